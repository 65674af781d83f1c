"""How long models take beside each other: run in turn, so that a busy machine slows all of them alike."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from statistics import median, quantiles
from typing import Protocol, runtime_checkable

from onnxgs_opt.samplers.view import Array

Feeds = Mapping[str, Array]
Call = Callable[[], object]


@runtime_checkable
class TimesItself(Protocol):
    """A call whose time its device tells: the clock of the host adds what starting it costs."""

    def __call__(self) -> object:
        """Run once, to the end."""

    def seconds(self, calls: int) -> float:
        """The mean time of one of some calls, which are made."""


@runtime_checkable
class Stops(Protocol):
    """A call that another thread can end early."""

    def __call__(self) -> object:
        """Run once; an error where it was stopped."""

    def stop(self) -> None:
        """Have it end as soon as it can."""


MIN_ROUNDS, MAX_ROUNDS = 5, 25
SAMPLE_S = 5e-4
"""A sample is as many calls as take this long."""

MAX_CALLS = 20
STOPPING_S = 10.0
"""How long a call that was stopped is waited for: it ends its node first."""

CALLS = "onnxgs-opt call"
"""The name of the threads of calls."""

CLEAR = 1.02
"""A ratio of medians below this is no gain, however steady."""


class SlowError(Exception):
    """A model was stopped because it took longer than it was given."""


@dataclass(frozen=True)
class Race:
    """Seconds a call by name, one value a round; values of one round were taken one after the other."""

    seconds: Mapping[str, tuple[float, ...]]

    def median_ms(self, name: str) -> float:
        """The median, in milliseconds."""
        return 1e3 * median(self.seconds[name])

    def spread(self, name: str) -> float:
        """Half the distance of the quartiles, as a part of the median."""
        low, middle, high = quantiles(self.seconds[name], n=4)
        return (high - low) / (2 * middle)

    def ratios(self, before: str, after: str) -> tuple[float, ...]:
        """The quotients before / after of every round, in rising order: above 1 is faster."""
        return tuple(sorted(b / a for b, a in zip(self.seconds[before], self.seconds[after], strict=True)))

    def ratio(self, before: str, after: str) -> float:
        """The median of the ratios of the rounds."""
        return median(self.ratios(before, after))

    def quartiles(self, before: str, after: str) -> tuple[float, float]:
        """What a quarter of the ratios lies below, and what a quarter lies above."""
        ratios = self.ratios(before, after)
        return ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]

    def is_faster(self, before: str, after: str) -> bool:
        """Whether the gain exceeds the noise: three rounds of four agree, and their median says more than 2 %."""
        return self.quartiles(before, after)[0] > 1 and self.ratio(before, after) > CLEAR


def timed(call: Call, calls: int = 1) -> float:
    """Seconds a call, the mean of some."""
    if isinstance(call, TimesItself):
        return call.seconds(calls)
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls


def settled(call: Call) -> float:
    """Seconds of a call in this thread, after one that is not timed: the first of a thread sets up what others find."""
    call()
    return timed(call)


def run_within(call: Call, seconds: float) -> float:
    """Seconds that one call took in a thread of its own, in which a GPU's libraries are set up first.

    What is not done by then, or when Ctrl-C is pressed, is stopped; a call that does not stop finishes by itself.

    Raises:
        SlowError: It is not done by then.
    """
    taken: list[float] = []
    failed: list[Exception] = []
    done = threading.Event()

    def attempt() -> None:
        try:
            taken.append(timed(call))
        except Exception as reason:  # onnxruntime's errors have no other base; raised again below
            failed.append(reason)
        finally:
            done.set()

    threading.Thread(target=attempt, name=CALLS, daemon=True).start()
    try:
        is_in_time = done.wait(seconds)
    finally:
        if not done.is_set() and isinstance(call, Stops):
            call.stop()
            done.wait(STOPPING_S)
    if not is_in_time:
        raise SlowError(f"it took longer than {seconds:.1f} s")
    if failed:
        raise failed[0]
    return taken[0]


def is_running() -> bool:
    """Whether a call that was given up still runs: it aborts a Python that ends by itself while it comes back."""
    return any(thread.name == CALLS for thread in threading.enumerate())


def race(calls: Mapping[str, Call], budget_s: float, once: Mapping[str, float] | None = None, seed: int = 0) -> Race:
    """Time calls that have run before, in turn, for about `budget_s`, in an order that `seed` shuffles every round.

    `once` are seconds that a call takes, where they are known.
    Before each sample its call is made once untimed: whatever ran before, it then finds its own data in the caches, as
    in a program that runs one model over and over.
    """
    shuffled = Random(seed)
    once = once or {name: settled(call) for name, call in calls.items()}
    repeats = {name: max(1, min(MAX_CALLS, round(SAMPLE_S / max(t, 1e-6)))) for name, t in once.items()}
    a_round = sum(once[name] * (1 + repeats[name]) for name in calls)
    rounds = max(MIN_ROUNDS, min(MAX_ROUNDS, int(budget_s / max(a_round, 1e-6))))
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name in shuffled.sample(list(calls), len(calls)):
            calls[name]()
            seconds[name].append(timed(calls[name], repeats[name]))
    return Race({name: tuple(values) for name, values in seconds.items()})
