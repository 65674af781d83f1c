"""Runs the fuzzers: each execution is a number, drawn and judged in a child process that a watchdog can end.

`python -m tests.reliability.fuzz bytes 0 1000` runs executions 0 to 999 of a campaign and prints what came of them.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.reliability.judge import CAMPAIGNS, Outcome

CHUNK = 2000
"""Executions a child process."""
LIMIT = 10
"""Seconds of processor time that one execution may take."""
WALL = 120
"""Seconds of wall time after which a child that does nothing is ended."""
MEMORY = 6 << 30
"""Address space of a child: a model of a few bytes must not need it all."""


@dataclass
class Tally:
    """What came of the executions of a campaign, and each one that must not have come out so."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, Any]] = field(default_factory=list)

    @property
    def executions(self) -> int:
        return sum(self.outcomes.values())

    def to_json(self) -> dict[str, Any]:
        outcomes = dict(sorted(self.outcomes.items()))
        return {"executions": self.executions, "outcomes": outcomes, "failures": self.failures}


def run(campaign: str, start: int, stop: int) -> Iterator[tuple[int, Tally]]:
    """Run executions `start` to `stop`; after each chunk the next number and what the chunk came to."""
    while start < stop:
        count = min(CHUNK, stop - start)
        tally, done = _chunk(campaign, start, count)
        start += done
        yield start, tally


def _chunk(campaign: str, start: int, count: int) -> tuple[Tally, int]:
    """Run up to `count` executions in a child; fewer when it had to be ended or died."""
    outcomes = mmap.mmap(-1, count)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        folder = Path(name)
        child = os.fork()
        if not child:
            _work(campaign, start, count, outcomes, folder)
        status = _watch(child, outcomes, count)
        failures = [json.loads(line) for line in _lines(folder / "failures")]
    done = outcomes[:count].rstrip(b"\0")
    tally = Tally(Counter(Outcome(code).name.lower() for code in done), failures)
    if len(done) == count:
        return tally, count
    hung = os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGPROF, signal.SIGKILL)
    outcome = Outcome.HANG if hung else Outcome.DIED
    tally.outcomes[outcome.name.lower()] += 1
    tally.failures.append({"seed": start + len(done), "outcome": outcome.name.lower(), "detail": f"status {status}"})
    return tally, len(done) + 1


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _watch(child: int, outcomes: mmap.mmap, count: int) -> int:
    """Wait for a child; end it when nothing happens any more."""
    seen, since = -1, time.monotonic()
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status
        done = len(outcomes[:count].rstrip(b"\0"))
        if done != seen:
            seen, since = done, time.monotonic()
        elif time.monotonic() - since > WALL:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.05)


def _work(campaign: str, start: int, count: int, outcomes: mmap.mmap, folder: Path) -> None:
    """Execute in the child; it never returns."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    judge = CAMPAIGNS[campaign]
    try:
        for k in range(count):
            signal.setitimer(signal.ITIMER_PROF, LIMIT)  # its signal ends the process
            try:
                outcome, detail = judge(start + k, folder)
            except Exception as error:
                outcome, detail = Outcome.CRASH, _where(error)
            if outcome >= Outcome.CRASH:
                with (folder / "failures").open("a", encoding="utf-8") as file:
                    record = {"seed": start + k, "outcome": outcome.name.lower(), "detail": detail}
                    file.write(json.dumps(record) + "\n")
            outcomes[k] = outcome
    finally:
        os._exit(0)


def _where(error: Exception) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "onnxgs_opt" in f.filename]
    where = ", ".join(f"{Path(f.filename).name}:{f.name}" for f in frames[-2:])
    return f"{type(error).__name__}: {' '.join(str(error).split())[:150]} ({where})"


def main(campaign: str, start: int, stop: int) -> int:
    """Print each failure as it comes, then the counts."""
    total = Tally()
    write = sys.stdout.write
    for _, tally in run(campaign, start, stop):
        total.outcomes += tally.outcomes
        for failure in tally.failures:
            write(json.dumps(failure) + "\n")
            total.failures.append(failure)
    write(f"{campaign}: {total.executions} executions: {dict(total.outcomes)}\n")
    return 1 if total.failures else 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
