"""How much work one look at a candidate may be: counted, so that the same model gives the same answer everywhere."""

from __future__ import annotations

MAX_EFFORT = 200_000
"""Expressions made, values found on regions and terms multiplied; the proof of a bicubic takes 82,000."""


class Exhausted(Exception):  # noqa: N818 (an answer, not a failure)
    """The work that one look may be is done, and nothing is proven."""


class Effort:
    """What is left of it."""

    def __init__(self, limit: int = MAX_EFFORT) -> None:
        """Start with so many steps."""
        self.left = limit

    def spend(self, steps: int) -> None:
        """Count steps; Exhausted where none is left."""
        self.left -= steps
        if self.left < 0:
            raise Exhausted
