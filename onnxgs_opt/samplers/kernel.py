"""Kernels: how many pixels along one axis a sample takes, which they are, and how much each counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from onnxgs_opt.samplers.arithmetic import Arithmetic, E

HALF = Fraction(1, 2)
TORCH = Fraction(-3, 4)
"""The parameter of cubic convolution that PyTorch and ONNX have."""


class Weights(Protocol):
    """The weight of every tap of a kernel."""

    def __call__(self, o: Arithmetic[E], t: E) -> Sequence[E]:
        """The weights at the fraction `t` of a coordinate; they add up to 1."""


class Rounding(Protocol):
    """The whole number that stands for a coordinate."""

    def __call__(self, o: Arithmetic[E], p: E) -> E:
        """An integer less than 1 from `p`."""


def down(o: Arithmetic[E], p: E) -> E:
    """The greatest integer <= p."""
    return o.floor(p)


def half_up(o: Arithmetic[E], p: E) -> E:
    """The nearest integer, halfway the larger one."""
    return o.floor(o.add(p, o.num(HALF)))


def half_down(o: Arithmetic[E], p: E) -> E:
    """The nearest integer, halfway the smaller one."""
    return o.sub(o.zero, o.floor(o.sub(o.num(HALF), p)))


def half_even(o: Arithmetic[E], p: E) -> E:
    """The nearest integer, halfway the even one: as ONNX's Round, PyTorch's round and GridSample do."""
    return o.round(p)


def half_away(o: Arithmetic[E], p: E) -> E:
    """The nearest integer, halfway the one further from 0: as C's round does."""
    return o.select(o.ge(p), half_up(o, p), half_down(o, p))


@dataclass(frozen=True)
class Kernel:
    """A sample at p takes the pixels a, a+1, ..., a+taps-1, where a = rounds(p) + first.

    `weights` are those of the pixels at t = p - rounds(p).
    """

    name: str
    first: int
    taps: int
    weights: Weights
    rounds: Rounding = down

    @property
    def shift(self) -> Fraction:
        """What is added to a coordinate before its floor is taken, where a floor rounds it."""
        return HALF if self.rounds in (half_up, half_down, half_away) else Fraction(0)

    def at(self, o: Arithmetic[E], p: E) -> list[tuple[E, E]]:
        """The index and the weight of every tap at the pixel coordinate `p`."""
        floor = self.rounds(o, p)
        weights = self.weights(o, o.sub(p, floor))
        return [(o.add(floor, o.num(self.first + k)), weight) for k, weight in enumerate(weights)]


def cubic(a: Fraction) -> Kernel:
    """Cubic convolution with parameter `a` (Keys, 1981).

    A pixel at distance x counts (a+2)x^3 - (a+3)x^2 + 1 up to 1, ax^3 - 5ax^2 + 8ax - 4a up to 2, and 0 beyond.
    """

    def inner(o: Arithmetic[E], x: E) -> E:
        slope = o.sub(o.mul(o.num(a + 2), x), o.num(a + 3))
        return o.add(o.mul(slope, o.mul(x, x)), o.one)

    def outer(o: Arithmetic[E], x: E) -> E:
        slope = o.add(o.mul(o.sub(x, o.num(5)), x), o.num(8))
        return o.mul(o.num(a), o.sub(o.mul(slope, x), o.num(4)))

    def weights(o: Arithmetic[E], t: E) -> Sequence[E]:
        rest = o.sub(o.one, t)
        return outer(o, o.add(t, o.one)), inner(o, t), inner(o, rest), outer(o, o.add(rest, o.one))

    return Kernel("cubic" if a == TORCH else f"cubic({a})", -1, 4, weights)


def nearest(name: str, rounds: Rounding) -> Kernel:
    """The one pixel that a coordinate is rounded to."""
    return Kernel(name, 0, 1, lambda o, t: (o.one,), rounds)


NEAREST = nearest("nearest", half_up)
LINEAR = Kernel("linear", 0, 2, lambda o, t: (o.sub(o.one, t), t))
TIES: tuple[Kernel, ...] = (
    NEAREST,
    nearest("nearest-even", half_even),
    nearest("nearest-away", half_away),
    nearest("nearest-down", half_down),
)
"""The nearest pixel, and halfway between two the larger index, the even one, the one further from 0, the smaller one.

Inside an image and beyond its last pixel, `nearest-away` is `nearest`.
"""

FLOOR = nearest("floor", down)
"""The pixel at or before the coordinate: what an export rounds down, whatever was added to it before."""

CUBICS = (cubic(TORCH), cubic(Fraction(-1, 2)))
KERNELS: Mapping[str, Kernel] = {kernel.name: kernel for kernel in (*TIES, FLOOR, LINEAR, *CUBICS)}
"""`cubic` is PyTorch's and ONNX's, a = -3/4; Catmull and Rom's, Keys' own and JAX's is `cubic(-1/2)`."""

_WORDS = {
    "nearest-even": "nearest (halves to even)",
    "nearest-away": "nearest (halves away from 0)",
    "nearest-down": "nearest (halves down)",
    "floor": "nearest (rounded down)",
}
_DIMENSIONS = {2: "bi", 3: "tri"}


def interpolation(kernels: Sequence[str]) -> str:
    """The kernels of an image's axes in words: nearest, bilinear, or each by itself where they differ."""
    first, *others = kernels
    if any(name != first for name in others):
        return " x ".join(_WORDS.get(name, name) for name in kernels)
    return _WORDS.get(first) or (first if KERNELS[first].taps == 1 else _DIMENSIONS.get(len(kernels), "") + first)
