"""Cells of a coordinate: where its floor and its fraction are, and how a cell falls apart where a condition changes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

from onnxgs_opt.recognition.algebra.expr import Bound
from onnxgs_opt.recognition.algebra.polynomial import Number, tidy

MAX_CELLS = 24
"""A sampler has about a dozen cells an axis; more is not one, or not seen at the right place."""

MAX_CELLS_OF_PERIODS = 60
"""Of one whose image is mirrored or repeated, of which two periods are looked at."""


@dataclass(frozen=True, eq=False)
class Cell:
    """floor(p) in [lo, hi] (None: unbounded) and p - floor(p) in the range u_lo..u_hi, inclusive as flagged."""

    lo: int | None = None
    hi: int | None = None
    u_lo: Number = 0
    u_hi: Number = 1
    u_lo_in: bool = True
    u_hi_in: bool = False

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Cell) and self._hash == other._hash and self._key == other._key)

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _key(self) -> tuple[object, ...]:
        return self.lo, self.hi, self.u_lo, self.u_hi, self.u_lo_in, self.u_hi_in

    @cached_property
    def _hash(self) -> int:
        """Kept: a region is looked up again and again, and hashing a fraction is slow."""
        return hash(self._key)

    def describe(self, axis: str) -> str:
        """The cell in words, e.g. `x = 39` or `0 <= x < 38`."""
        if self.lo is not None and self.lo == self.hi:
            if self.u_lo == self.u_hi:
                return f"{axis} = {float(self.lo + self.u_lo):g}"
            return f"{float(self.lo + self.u_lo):g} < {axis} < {float(self.lo + self.u_hi):g}"
        if self.u_lo == self.u_hi == 0:
            low, high = (
                ("" if self.lo is None else f" from {self.lo}"),
                ("" if self.hi is None else f" up to {self.hi}"),
            )
            return f"{axis} is a whole number{low}{high}"
        if (self.u_lo, self.u_hi) == (0, 1):
            return self._chain(axis)
        return f"{self._chain(axis)} and {float(self.u_lo):g} <= {axis} - floor({axis}) <= {float(self.u_hi):g}"

    def _chain(self, axis: str) -> str:
        """All numbers whose floor is in the range."""
        if self.lo is None:
            return f"{axis} is any number" if self.hi is None else f"{axis} < {self.hi + 1}"
        return f"{axis} >= {self.lo}" if self.hi is None else f"{self.lo} <= {axis} < {self.hi + 1}"


def split_floor(cell: Cell, slope: Number, rest: tuple[Bound, Bound, bool, bool]) -> tuple[Cell, ...]:
    """Cells on which slope * f + rest keeps its sign, f in the middle ones being one integer each."""
    low, high, _, high_in = rest
    if low is None or high is None:
        return ()
    surely, never = Fraction(-low) / slope, Fraction(-high) / slope
    if slope > 0:
        first = math.ceil(surely)  # f >= first: at least zero
        last = math.ceil(never) - 1 if high_in or never.denominator != 1 else int(never)  # f <= last: below zero
    else:
        last = math.floor(surely)  # f <= last: at least zero
        first = math.floor(never) + 1 if high_in or never.denominator != 1 else int(never)  # f >= first: below
    if first - last > MAX_CELLS:
        return ()
    parts = [(None, last), *((f, f) for f in range(last + 1, first)), (first, None)]
    return tuple(part for lo, hi in parts if (part := within(cell, lo, hi)) is not None)


def split_fraction(cell: Cell, slope: Number, constant: Number) -> tuple[Cell, ...]:
    """Cells on which slope * u + constant keeps its sign, u in the middle one being where it is 0."""
    if not slope:
        return ()
    root = tidy(Fraction(-constant) / slope)
    below = replace(cell, u_hi=root, u_hi_in=False)
    above = replace(cell, u_lo=root, u_lo_in=False)
    parts: list[Cell] = []
    if root > cell.u_lo:
        parts.append(below)
    if (cell.u_lo < root or (cell.u_lo == root and cell.u_lo_in)) and (
        root < cell.u_hi or (root == cell.u_hi and cell.u_hi_in)
    ):
        parts.append(replace(cell, u_lo=root, u_hi=root, u_lo_in=True, u_hi_in=True))
    if root < cell.u_hi:
        parts.append(above)
    return tuple(parts)


def within(cell: Cell, lo: int | None, hi: int | None) -> Cell | None:
    """The part of a cell where floor(p) is in [lo, hi], None being no bound; None where there is none."""
    low = max((bound for bound in (cell.lo, lo) if bound is not None), default=None)
    high = min((bound for bound in (cell.hi, hi) if bound is not None), default=None)
    if low is not None and high is not None and low > high:
        return None
    return Cell(low, high, cell.u_lo, cell.u_hi, cell.u_lo_in, cell.u_hi_in)
