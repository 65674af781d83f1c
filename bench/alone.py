"""Each case in a process of its own: what one leaves of the heap would change the times of the next."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of a module in a new process."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def measure(case: str, target: str, budget_s: float, rows: list[str], clock: str) -> dict[str, Any]:
    """`bench.measure.measure`, which says on standard error what it has."""
    find_cuda()
    from bench.measure import measure as found

    return found(case, target, budget_s, _say, rows, clock)


def header(target: str, machine: str, command: list[str]) -> dict[str, Any]:
    """`bench.measure.header`."""
    find_cuda()
    from bench.measure import header as found

    return found(target, machine, command)


def find_cuda() -> None:
    """Torch, where there is one, loads the CUDA libraries that onnxruntime-gpu then finds."""
    with contextlib.suppress(ImportError):
        import torch  # noqa: F401


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
