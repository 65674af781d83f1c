"""Several calls of one function at once, each in a process; none outlives who asked for it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Generic, TypeVar

from onnxgs_opt.cli.interrupts import held_back, remembered

A = TypeVar("A")
R = TypeVar("R")
PATIENCE_S = 5
"""How long a process that is asked to end may take: a library may be busy."""


@dataclass(frozen=True)
class Worker:
    """A process, and the end of its pipe that is here."""

    process: BaseProcess
    pipe: Connection


@dataclass
class Workers(Generic[A, R]):
    """Processes that call a function.

    Attributes:
        call: The function; it and what it takes and returns can be pickled.
        at_once: How many of them.
        died: What stands for the result of a call whose process ended, by what it was called with and its exit code.
    """

    call: Callable[[A], R]
    at_once: int
    died: Callable[[A, int], R]

    def results(self, asked: Sequence[A]) -> Iterator[R]:
        """What comes of each, in their order, each as soon as it and all before it are there."""
        waiting = list(enumerate(asked))[::-1]
        found: dict[int, R] = {}
        busy: dict[Connection, tuple[Worker, int]] = {}
        idle: list[Worker] = []
        try:
            for place in range(len(asked)):
                while place not in found:
                    while waiting and len(busy) < self.at_once:
                        worker = idle.pop() if idle else self._started()
                        index, argument = waiting.pop()
                        busy[worker.pipe] = worker, index
                        with suppress(OSError):  # it has ended, which its answer tells
                            worker.pipe.send(argument)
                    for pipe in [pipe for pipe in wait(list(busy)) if isinstance(pipe, Connection)]:
                        worker, index = busy[pipe]
                        found[index] = self._result(worker, asked[index])
                        idle += [worker] if worker.process.is_alive() else []
                        del busy[pipe]
                yield found.pop(place)
        finally:
            _end([*idle, *(worker for worker, _ in busy.values())])

    def _result(self, worker: Worker, asked: A) -> R:
        """What a process has sent; where it ended without, what stands for that."""
        try:
            return worker.pipe.recv()  # type: ignore[no-any-return]
        except (EOFError, OSError):
            worker.process.join()
            return self.died(asked, worker.process.exitcode or 0)

    def _started(self) -> Worker:
        context = get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(target=_work, args=(self.call, there), daemon=True)
        with held_back():
            process.start()
        there.close()
        return Worker(process, here)


def _work(call: Callable[[A], R], pipe: Connection) -> None:
    """Answer what comes through a pipe until that is closed. Ctrl-C is for who started this process, which ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, OSError, KeyboardInterrupt), remembered():
        while True:
            pipe.send(call(pipe.recv()))


def _end(workers: Sequence[Worker]) -> None:
    for worker in workers:
        worker.pipe.close()
        worker.process.terminate()
    for worker in workers:
        worker.process.join(PATIENCE_S)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
