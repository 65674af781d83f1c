"""Several calls at once, each in a process: one that dies stops no other, and none outlives who asked."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from onnxgs_opt import cli
from onnxgs_opt.cli.processes import Workers

FOUND = Path(__file__).parent / "fixtures/models/masked_interior.ts17.st.onnx"
SENT = pytest.mark.skipif(sys.platform == "win32", reason="there are no signals")


def squared(number: int) -> int:
    """The square; one number ends the process as the system does that takes its memory."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


@SENT
def test_a_process_that_dies_stops_no_other() -> None:
    workers = Workers(squared, 2, lambda number, code: 1000 * number + code)
    assert list(workers.results([1, 2, 3, 4, 5])) == [1, 4, 3000 - signal.SIGKILL, 16, 25]
    assert list(workers.results([])) == []


def alive(session: int) -> Iterator[str]:
    """Processes of a session that still run."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, of, *_ = path.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        if int(of) == session and state != "Z":
            yield path.parent.name


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize(("number", "code", "whom"), [("SIGTERM", 143, "one"), ("SIGINT", 130, "group")])
def test_a_signal_ends_every_process(tmp_path: Path, number: str, code: int, whom: str) -> None:
    """Workers waited for their next model for ever, with the standard output of a pipeline in their hands."""
    for name in "abcdef":
        shutil.copy(FOUND, tmp_path / f"{name}.onnx")
    words = [
        sys.executable,
        "-m",
        "onnxgs_opt",
        ".",
        "--output-dir",
        "out",
        "--jobs",
        "2",
        "--lowering",
        "merged-gather",
    ]
    with subprocess.Popen(
        words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("a.onnx")
        (os.killpg if whom == "group" else os.kill)(process.pid, getattr(signal, number))
        _, said = process.communicate(timeout=60)
        assert process.returncode == code
        assert "Traceback" not in said
        assert said.splitlines()[-1] == {130: "error: interrupted", 143: "error: ended"}[code]
        deadline = time.monotonic() + 10
        while list(alive(process.pid)) and time.monotonic() < deadline:  # Python's own is told by the end of the others
            time.sleep(0.05)
        assert list(alive(process.pid)) == []
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")] == []


@SENT
def test_a_run_that_is_asked_to_end_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("onnxgs_opt.api.run", lambda options: os.kill(os.getpid(), signal.SIGTERM))
    assert cli.main([str(FOUND), str(tmp_path / "out.onnx")]) == 143
    assert capsys.readouterr().err.strip() == "error: ended"
    assert signal.getsignal(signal.SIGTERM) is before
