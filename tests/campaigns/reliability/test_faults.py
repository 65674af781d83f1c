"""A sample of the faults, and that the judge sees a save that is not safe."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from onnxgs_opt import api
from onnxgs_opt.ir import files as storage
from onnxgs_opt.recognition.find import surveyed
from tests.campaigns.reliability import faults
from tests.campaigns.reliability.faults import KINDS, Tally
from tests.fixtures.recognised import remembering

LOOKED = remembering(surveyed, wherever=True)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "MODEL_BYTES", 1 << 15)
    monkeypatch.setattr(faults, "DATA_BYTES", 3 << 14)
    monkeypatch.setattr(api, "surveyed", LOOKED)  # saving is what goes wrong here
    for cached in (faults._model, faults._result):
        cached.cache_clear()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("fault", "stride"), [("kill", 37), ("interrupt", 41)])
def test_at_some_lines(fault: str, stride: int, kind: str) -> None:
    tally = faults.at_every_line(fault, stride, **KINDS[kind])
    assert tally.broken == []
    assert tally.outcomes["OUT is old"] > 1


@pytest.mark.parametrize("kind", KINDS)
def test_no_space(kind: str) -> None:
    tally = faults.disk_full(4, **KINDS[kind])
    assert tally.broken == []
    assert tally.outcomes["OUT is old"] >= 1


def test_read_only() -> None:
    tally = faults.read_only(old=False)
    assert tally.broken == []
    assert tally.outcomes == {"OUT is old": 2}


@pytest.mark.parametrize("run", [faults.random_kills, faults.two_at_once])
def test_moments(run) -> None:  # type: ignore[no-untyped-def]
    assert run(3).broken == []


def test_ctrl_c_of_the_command() -> None:
    assert faults.interrupts(2).broken == []


def test_the_judge_sees_a_save_that_is_not_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Written in place, without a temporary file: a kill leaves a part of it."""

    def fill(unfinished: Path, raw: bytes, target: Path) -> None:
        with target.open("wb") as file:
            for start in range(0, len(raw), 1024):
                file.write(raw[start : start + 1024])
                file.flush()
        shutil.copy(target, unfinished)

    monkeypatch.setattr(storage, "fill", fill)
    fill.__code__ = fill.__code__.replace(co_filename=storage.__file__)
    tally: Tally = faults.at_every_line("kill", 23, old=True)
    assert any("neither the old file nor the new" in wrong for wrong in tally.broken)
