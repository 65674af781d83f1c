"""How far choosing by measurement is, what is left of it, and whether its time is over."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

Progress = Callable[[str], None]


@dataclass
class Pace:
    """Counts the forms of sites that are built, checked and timed.

    Attributes:
        forms: How many there are.
        budget: Seconds after which none is begun; None is any.
        progress: Who is told of each form that is begun.
        begun: How many were begun.
    """

    forms: int
    budget: float | None = None
    progress: Progress | None = None
    begun: int = 0
    _start: float = field(default_factory=time.perf_counter)

    @property
    def left(self) -> float:
        """Seconds of the budget that are left."""
        return math.inf if self.budget is None else self.budget - (time.perf_counter() - self._start)

    @property
    def is_over(self) -> bool:
        """Whether the budget is spent."""
        return self.left <= 0

    def begin(self) -> None:
        """Count a form and tell of it, with an estimate from those before."""
        done, self.begun = self.begun, self.begun + 1
        if self.progress is None:
            return
        words = f"tune form {self.begun} of {self.forms}"
        seconds = (time.perf_counter() - self._start) * (self.forms - done) / max(1, done)
        self.progress(words + (f", about {min(seconds, self.left):.0f} s left" if done else ""))

    def skip(self, forms: int) -> None:
        """Count forms that need no measuring."""
        self.begun += forms
