"""Runs the fuzzers: each execution is a number, drawn and judged in a child process that a watchdog can end.

`python -m tests.campaigns.reliability.fuzz bytes 0 1000` runs executions 0 to 999 of a campaign and prints what came of
them; `python -m tests.campaigns.reliability.fuzz all 1000000 STATE.json` runs both campaigns and can be interrupted
and resumed. Either takes the number of processes to run at a time as one argument more.
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

from tests.campaigns.reliability.judge import CAMPAIGNS, Outcome
from tests.fixtures.recognised import prove_once

CHUNK = 2000
"""Executions a child process."""
ROUND = 4
"""Children one after another, in each of several jobs, between two writings of the state."""
LIMIT = 10
"""Seconds of processor time that one execution may take, on a model of up to `LARGE` bytes."""
LARGE = 50_000
"""Time is linear: what is larger may take longer in proportion. A seed in 1,024 branches has 250 kB."""
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

    def add(self, other: Tally) -> None:
        """Take in other executions of the campaign; failures are in the order of their numbers."""
        self.outcomes += other.outcomes
        self.failures = sorted([*self.failures, *other.failures], key=lambda failure: failure["seed"])

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> Tally:
        return cls(Counter(entry["outcomes"]), entry["failures"])

    def to_json(self) -> dict[str, Any]:
        outcomes = dict(sorted(self.outcomes.items()))
        return {"executions": self.executions, "outcomes": outcomes, "failures": self.failures}


def run(campaign: str, start: int, stop: int, jobs: int = 1) -> Iterator[Tally]:
    """Run executions `start` to `stop`, in `jobs` children at a time; what each child came to, as they end."""
    todo = [(k, min(CHUNK, stop - k)) for k in range(start, stop, CHUNK)][::-1]
    running: list[_Child] = []
    while todo or running:
        while todo and len(running) < jobs:
            running.append(_Child(campaign, *todo.pop()))
        time.sleep(0.02)
        for child in list(running):
            status = child.poll()
            if status is None:
                continue
            running.remove(child)
            tally, done = child.tally(status)
            if done < child.count:
                todo.append((child.start + done, child.count - done))
            yield tally


class _Child:
    """A process that runs executions `start` to `start + count`; fewer when it has to be ended or dies."""

    def __init__(self, campaign: str, start: int, count: int) -> None:
        self.start, self.count = start, count
        self._outcomes = mmap.mmap(-1, count)
        self._room = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        self._found = Path(self._room.name) / "failures"
        (folder := Path(self._room.name) / "files").mkdir()
        self._seen, self._since = -1, time.monotonic()
        self._pid = os.fork()
        if not self._pid:
            _work(campaign, start, count, self._outcomes, folder, self._found)

    def _done(self) -> bytes:
        return self._outcomes[: self.count].rstrip(b"\0")

    def poll(self) -> int | None:
        """The wait status once it has ended; it is ended when nothing happens any more."""
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if pid:
            return status
        done = len(self._done())
        if done != self._seen:
            self._seen, self._since = done, time.monotonic()
        elif time.monotonic() - self._since > WALL:
            os.kill(self._pid, signal.SIGKILL)
        return None

    def tally(self, status: int) -> tuple[Tally, int]:
        """What came of its executions, and how many they were."""
        failures = [json.loads(line) for line in _lines(self._found)]
        self._room.cleanup()
        done = self._done()
        tally = Tally(Counter(Outcome(code).name.lower() for code in done), failures)
        if len(done) == self.count:
            return tally, self.count
        hung = os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGPROF, signal.SIGKILL)
        outcome = (Outcome.HANG if hung else Outcome.DIED).name.lower()
        tally.outcomes[outcome] += 1
        tally.failures.append({"seed": self.start + len(done), "outcome": outcome, "detail": f"status {status}"})
        return tally, len(done) + 1


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _work(campaign: str, start: int, count: int, outcomes: mmap.mmap, folder: Path, found: Path) -> None:
    """Execute in the child; it never returns."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    judge = CAMPAIGNS[campaign]
    prove_once()
    try:
        for k in range(count):
            _allow(0)
            try:
                outcome, detail = judge(start + k, folder, _allow)
            except Exception as error:
                outcome, detail = Outcome.CRASH, _where(error)
            if outcome >= Outcome.CRASH:
                with found.open("a", encoding="utf-8") as file:
                    record = {"seed": start + k, "outcome": outcome.name.lower(), "detail": detail}
                    file.write(json.dumps(record) + "\n")
            outcomes[k] = outcome
    finally:
        os._exit(0)


def _allow(size: int) -> None:
    """Give an execution on so many bytes its time; the timer's signal ends the process."""
    signal.setitimer(signal.ITIMER_PROF, LIMIT * max(1.0, size / LARGE))


def _where(error: Exception) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "onnxgs_opt" in f.filename]
    where = ", ".join(f"{Path(f.filename).name}:{f.name}" for f in frames[-2:])
    return f"{type(error).__name__}: {' '.join(str(error).split())[:150]} ({where})"


MIX = {"bytes": 0.88, "graphs": 0.12}
"""The share of each campaign in all executions; one on a graph takes six times as long."""


def resume(executions: int, state: Path, jobs: int = 1) -> dict[str, Tally]:
    """Run all campaigns up to `executions` together, from where the state file says that they were left.

    It says how many of a campaign are done, which are the first so many: it is written where none before is running.
    """
    totals = {name: Tally.from_json(entry) for name, entry in _read(state).items()}
    totals = {name: totals.get(name, Tally()) for name in MIX}
    while True:
        left = {name: round(share * executions) - totals[name].executions for name, share in MIX.items()}
        name = max(MIX, key=lambda n: left[n] / MIX[n])
        if left[name] <= 0:
            return totals
        start = totals[name].executions
        for tally in run(name, start, start + min(ROUND * jobs * CHUNK, left[name]), jobs):
            totals[name].add(tally)
        document = json.dumps({n: t.to_json() for n, t in totals.items()}, indent=1) + "\n"
        temporary = state.with_suffix(".tmp")
        temporary.write_text(document, encoding="utf-8")
        temporary.replace(state)


def _read(state: Path) -> dict[str, Any]:
    return json.loads(state.read_text(encoding="utf-8")) if state.exists() else {}


def main(arguments: list[str]) -> int:
    """`all COUNT STATE [JOBS]`, or `CAMPAIGN START STOP [JOBS]`: prints failures and counts; 1 if any failed."""
    jobs = int(arguments[3]) if len(arguments) > 3 else 1
    if arguments[0] == "all":
        totals = resume(int(arguments[1]), Path(arguments[2]), jobs)
    else:
        totals = {arguments[0]: Tally()}
        for tally in run(arguments[0], int(arguments[1]), int(arguments[2]), jobs):
            totals[arguments[0]].add(tally)
    for name, total in totals.items():
        for failure in total.failures:
            sys.stdout.write(json.dumps(failure) + "\n")
        sys.stdout.write(f"{name}: {total.executions} executions: {dict(total.outcomes)}\n")
    return 1 if any(total.failures for total in totals.values()) else 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main(sys.argv[1:]))
