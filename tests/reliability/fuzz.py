"""Runs the fuzzers: each execution is a number, drawn and judged in a child process that a watchdog can end.

`python -m tests.reliability.fuzz bytes 0 1000` runs executions 0 to 999 of a campaign and prints what came of them;
`python -m tests.reliability.fuzz all 1000000 STATE.json` runs both campaigns and can be interrupted and resumed.
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

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> Tally:
        return cls(Counter(entry["outcomes"]), entry["failures"])

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
        found = Path(name) / "failures"
        (folder := Path(name) / "files").mkdir()
        child = os.fork()
        if not child:
            _work(campaign, start, count, outcomes, folder, found)
        status = _watch(child, outcomes, count)
        failures = [json.loads(line) for line in _lines(found)]
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


def _work(campaign: str, start: int, count: int, outcomes: mmap.mmap, folder: Path, found: Path) -> None:
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
                with found.open("a", encoding="utf-8") as file:
                    record = {"seed": start + k, "outcome": outcome.name.lower(), "detail": detail}
                    file.write(json.dumps(record) + "\n")
            outcomes[k] = outcome
    finally:
        os._exit(0)


def _where(error: Exception) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "onnxgs_opt" in f.filename]
    where = ", ".join(f"{Path(f.filename).name}:{f.name}" for f in frames[-2:])
    return f"{type(error).__name__}: {' '.join(str(error).split())[:150]} ({where})"


MIX = {"bytes": 0.88, "graphs": 0.12}
"""The share of each campaign in all executions; one on a graph takes six times as long."""


def resume(executions: int, state: Path) -> dict[str, Tally]:
    """Run all campaigns up to `executions` together, from where the state file says that they were left."""
    totals = {name: Tally.from_json(entry) for name, entry in _read(state).items()}
    totals = {name: totals.get(name, Tally()) for name in MIX}
    while True:
        left = {name: round(share * executions) - totals[name].executions for name, share in MIX.items()}
        name = max(MIX, key=lambda n: left[n] / MIX[n])
        if left[name] <= 0:
            return totals
        start = totals[name].executions
        for _, tally in run(name, start, start + min(CHUNK, left[name])):
            totals[name].outcomes += tally.outcomes
            totals[name].failures += tally.failures
        document = json.dumps({n: t.to_json() for n, t in totals.items()}, indent=1) + "\n"
        temporary = state.with_suffix(".tmp")
        temporary.write_text(document, encoding="utf-8")
        temporary.replace(state)


def _read(state: Path) -> dict[str, Any]:
    return json.loads(state.read_text(encoding="utf-8")) if state.exists() else {}


def main(arguments: list[str]) -> int:
    """`all COUNT STATE`, or `CAMPAIGN START STOP`: prints each failure, then the counts; 1 when there are any."""
    if arguments[0] == "all":
        totals = resume(int(arguments[1]), Path(arguments[2]))
    else:
        total = Tally()
        for _, tally in run(arguments[0], int(arguments[1]), int(arguments[2])):
            total.outcomes += tally.outcomes
            total.failures += tally.failures
        totals = {arguments[0]: total}
    for name, total in totals.items():
        for failure in total.failures:
            sys.stdout.write(json.dumps(failure) + "\n")
        sys.stdout.write(f"{name}: {total.executions} executions: {dict(total.outcomes)}\n")
    return 1 if any(total.failures for total in totals.values()) else 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main(sys.argv[1:]))
