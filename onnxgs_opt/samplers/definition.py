"""Bilinear sampling as a function, written once, over any arithmetic. docs/bilinear.md has the formulas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

from onnxgs_opt.samplers.arithmetic import Arithmetic, E
from onnxgs_opt.samplers.policy import WINDOWS, BorderName, Policy, Window


def corners(algebra: Arithmetic[E], p: E) -> tuple[tuple[E, E], ...]:
    """The two (index, weight) pairs of a pixel coordinate p: floor(p) and the next one."""
    first = algebra.floor(p)
    fraction = algebra.sub(p, first)
    return (first, algebra.sub(algebra.one, fraction)), (algebra.add(first, algebra.one), fraction)


def reference(
    algebra: Arithmetic[E], border: BorderName, y: E, x: E, size: tuple[int, int], read: Callable[[E, E], E]
) -> E:
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


def _clamp(algebra: Arithmetic[E], i: E, last: E) -> E:
    return algebra.minimum(algebra.maximum(i, algebra.zero), last)


def _inside(algebra: Arithmetic[E], i: E, last: E) -> E:
    return algebra.mul(algebra.ge(i), algebra.ge(algebra.sub(last, i)))


def window_condition(algebra: Arithmetic[E], window: Window, p: E, size: int) -> E:
    """1 where p is in the window of an axis of `size`, else 0."""
    out = algebra.one
    if window.lo is not None:
        above = algebra.sub(p, algebra.num(window.lo))
        out = algebra.mul(out, algebra.ge(above) if window.lo_closed else algebra.gt(above))
    if window.hi is not None:
        below = algebra.sub(algebra.num(size + window.hi), p)
        out = algebra.mul(out, algebra.ge(below) if window.hi_closed else algebra.gt(below))
    return out


def policies(prefer: BorderName = "zeros") -> Iterator[Policy]:
    """Every policy, the plainest first; `prefer` decides between borders that are equal where coordinates can be."""
    borders: tuple[BorderName, ...] = ("zeros", "border")
    for window in WINDOWS:
        for border in sorted(borders, key=lambda b: b != prefer):
            yield Policy(border, window)
