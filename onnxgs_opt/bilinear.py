"""Bilinear sampling as a function, and the proof that an expression is it.

The reference is written once, as an expression over the same algebra that graphs are lifted to; recognition compares
the two on every region of the coordinate plane. docs/bilinear.md has the formulas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

from onnxgs_opt.expr import Algebra, Expr
from onnxgs_opt.poly import Number
from onnxgs_opt.site import WINDOWS, BorderName, Policy, Window

Read = Callable[[Expr, Expr], Expr]
"""Given row and column indices, the pixel there."""


def corners(algebra: Algebra, p: Expr) -> tuple[tuple[Expr, Expr], ...]:
    """The two (index, weight) pairs of a pixel coordinate p: floor(p) and the next one."""
    first = algebra.floor(p)
    fraction = algebra.sub(p, first)
    return (first, algebra.sub(algebra.one, fraction)), (algebra.add(first, algebra.one), fraction)


def reference(algebra: Algebra, border: BorderName, y: Expr, x: Expr, size: tuple[int, int], read: Read) -> Expr:
    """The bilinear sample at pixel (y, x) of an image of `size` (H, W), without a window."""
    total = algebra.zero
    last = tuple(algebra.num(s - 1) for s in size)
    for (i, wy), (j, wx) in product(corners(algebra, y), corners(algebra, x)):
        weight = algebra.mul(wy, wx)
        if border == "border":
            row, column = (_clamp(algebra, k, end) for k, end in zip((i, j), last, strict=True))
            total = algebra.add(total, algebra.mul(weight, read(row, column)))
            continue
        inside = algebra.mul(_inside(algebra, i, last[0]), _inside(algebra, j, last[1]))
        total = algebra.add(total, algebra.select(inside, algebra.mul(weight, read(i, j)), algebra.zero))
    return total


def _clamp(algebra: Algebra, i: Expr, last: Expr) -> Expr:
    return algebra.minimum(algebra.maximum(i, algebra.zero), last)


def _inside(algebra: Algebra, i: Expr, last: Expr) -> Expr:
    return algebra.mul(algebra.ge(i), algebra.ge(algebra.sub(last, i)))


def window_condition(algebra: Algebra, window: Window, p: Expr, size: int) -> Expr:
    """1 where p is in the window of an axis of `size`, else 0."""
    out = algebra.one
    if window.lo is not None:
        above = algebra.sub(p, algebra.num(window.lo))
        out = algebra.mul(out, algebra.ge(above) if window.lo_closed else algebra.gt(above))
    if window.hi is not None:
        below = algebra.sub(algebra.num(size + window.hi), p)
        out = algebra.mul(out, algebra.ge(below) if window.hi_closed else algebra.gt(below))
    return out


@dataclass(frozen=True)
class Axis:
    """One coordinate: pixel p = slope * leaf + offset, which indexes axis `position` of the image, of `size`."""

    leaf: Expr
    slope: Number
    offset: Expr
    position: int
    size: int


@dataclass(frozen=True)
class Match:
    """A proven sampler: what it reads and where; `index` gives the other image axes' index, `sizes` all sizes.

    The expression is `factor` times the sample plus `addend`; neither depends on the coordinates.
    """

    policy: Policy
    image: str
    y: Axis
    x: Axis
    index: tuple[Expr | None, ...]
    sizes: tuple[int, ...]
    factor: Expr
    addend: Expr

    @property
    def is_plain(self) -> bool:
        """Whether the expression is the sample itself."""
        return self.factor.value == 1 and self.addend.value == 0


@dataclass(frozen=True)
class Miss:
    """Why an expression is not a known sampler.

    `code` is the near-miss code, `taps` how many reads it sums where it sums most. `split` is set when the pixels stand
    in one axis of the image: the tensor, the axis, and the sizes (the first -1) to see it as. `degenerate` says that a
    coordinate is missing, which at the smallest size may only mean that its scale is 0 there. `apart`: there are more
    coordinates than one sampler has, so that a part of the sum may be one.
    """

    condition: str
    taps: int = 0
    code: str = "GSO112"
    split: tuple[str, int, tuple[int, ...]] | None = None
    degenerate: bool = False
    apart: bool = False


def policies(prefer: BorderName = "zeros") -> Iterator[Policy]:
    """Every policy, the plainest first; `prefer` decides between borders that are equal where coordinates can be."""
    borders: tuple[BorderName, ...] = ("zeros", "border")
    for window in WINDOWS:
        for border in sorted(borders, key=lambda b: b != prefer):
            yield Policy(border, window)
