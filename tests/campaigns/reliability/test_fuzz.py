"""A sample of the fuzzers, their own parts, and every failure that they found, by what it was."""

from __future__ import annotations

import random
from pathlib import Path

import onnx
import onnxruntime
import pytest

from onnxgs_opt import optimize
from onnxgs_opt.runtime import memory
from tests.campaigns.reliability import fuzz, graphs, wire
from tests.campaigns.reliability.__main__ import unfinished
from tests.campaigns.reliability.corpus import FOLDER, seeds
from tests.campaigns.reliability.judge import CAMPAIGNS, LOWERINGS, Outcome, judge

CRASHES = sorted((FOLDER.parent / "crashes").glob("*.onnx"))
"""Models that the fuzzers made and that the package once failed on, named by what failed."""


@pytest.mark.parametrize(("campaign", "count"), [("bytes", 600), ("graphs", 150)])
def test_sample(campaign: str, count: int) -> None:
    total = fuzz.Tally()
    for tally in fuzz.run(campaign, 0, count):
        total.add(tally)
    assert total.failures == []
    assert total.executions == count
    assert total.outcomes["refused"] > 0 < total.outcomes["unchanged"]


@pytest.mark.parametrize("name", list(seeds()))
def test_a_seed_is_accepted(name: str) -> None:
    model = onnx.ModelProto.FromString(seeds()[name])
    assert optimize(model, validate=False, lowering="merged-gather").report.exit_code == 0


def test_the_corpus_is_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.parent.rglob("*.onnx")) < 200_000


@pytest.mark.parametrize("lowering", sorted(set(LOWERINGS)))
@pytest.mark.parametrize("path", CRASHES, ids=lambda path: path.stem)
def test_what_once_failed(path: Path, lowering: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if path.stem == "body-of-a-node-without-outputs" and onnxruntime.__version__.startswith("1.20."):
        pytest.skip("onnxruntime 1.20 dies of a node without outputs")
    monkeypatch.setattr(memory, "free_bytes", lambda: 1 << 32)
    outcome, detail = judge(path, random.Random(0), validate=True, lowering=lowering)
    assert outcome < Outcome.CRASH, detail


@pytest.mark.parametrize("name", list(seeds()))
def test_wire_format(name: str) -> None:
    raw = seeds()[name]
    fields = wire.parse(raw)
    assert fields is not None
    assert wire.write(fields) == raw
    assert wire.mutate(raw, random.Random(1)) == wire.mutate(raw, random.Random(1))


def test_edits_change_a_copy() -> None:
    model = onnx.ModelProto.FromString(seeds()["rich"])
    before = model.SerializeToString(deterministic=True)
    drawn = {graphs.draw(model, random.Random(k)).SerializeToString(deterministic=True) for k in range(100)}
    assert model.SerializeToString(deterministic=True) == before
    assert len(drawn) > 50


def test_the_watchdog_counts_what_dies_and_what_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    import os
    import signal

    def judge(seed: int, *_: object) -> tuple[int, str]:
        if seed == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        while seed == 2:
            pass
        if seed == 3:
            raise KeyError("a bug")
        return 1, ""

    monkeypatch.setitem(CAMPAIGNS, "broken", judge)  # type: ignore[arg-type]
    monkeypatch.setattr(fuzz, "LIMIT", 0.2)
    total = fuzz.Tally()
    for tally in fuzz.run("broken", 0, 5):
        total.add(tally)
    assert [(f["seed"], f["outcome"]) for f in total.failures] == [(1, "died"), (2, "hang"), (3, "crash")]
    assert total.executions == 5


def test_jobs_run_the_same_executions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CAMPAIGNS:
        monkeypatch.setitem(CAMPAIGNS, name, lambda seed, *_: (Outcome.CRASH if seed % 5 == 3 else Outcome.REFUSED, ""))
    monkeypatch.setattr(fuzz, "CHUNK", 4)
    alone, state = fuzz.resume(100, tmp_path / "alone.json"), tmp_path / "state.json"
    fuzz.resume(50, state, jobs=3)
    together = fuzz.resume(100, state, jobs=2)
    assert {name: tally.to_json() for name, tally in together.items()} == {
        name: tally.to_json() for name, tally in alone.items()
    }


def test_a_run_that_came_to_its_end_is_begun_anew() -> None:
    results = {"fuzz": {"found": {"bytes": {"executions": 880}, "graphs": {"executions": 120}}}}
    assert unfinished(results, 1000) == {}
    assert unfinished(results, 2000) == results["fuzz"]["found"]
    assert unfinished({}, 1000) == {}
