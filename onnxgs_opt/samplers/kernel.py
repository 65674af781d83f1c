"""Kernels: how many pixels along one axis a sample takes, which they are, and how much each counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from onnxgs_opt.samplers.arithmetic import Arithmetic, E


class Weights(Protocol):
    """The weight of every tap of a kernel."""

    def __call__(self, o: Arithmetic[E], t: E) -> Sequence[E]:
        """The weights at the fraction `t` of a coordinate; they add up to 1."""


@dataclass(frozen=True)
class Kernel:
    """A sample at p takes the pixels a, a+1, ..., a+taps-1, where a = floor(p + shift) + first.

    `weights` are those of the pixels at t = p - floor(p + shift).
    """

    name: str
    first: int
    taps: int
    weights: Weights
    shift: Fraction = Fraction(0)

    def at(self, o: Arithmetic[E], p: E) -> list[tuple[E, E]]:
        """The index and the weight of every tap at the pixel coordinate `p`."""
        floor = o.floor(o.add(p, o.num(self.shift)) if self.shift else p)
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

    return Kernel("cubic", -1, 4, weights)


NEAREST = Kernel("nearest", 0, 1, lambda o, t: (o.one,), Fraction(1, 2))
LINEAR = Kernel("linear", 0, 2, lambda o, t: (o.sub(o.one, t), t))
KERNELS: Mapping[str, Kernel] = {kernel.name: kernel for kernel in (NEAREST, LINEAR, cubic(Fraction(-3, 4)))}
"""Halfway between two pixels `nearest` takes the right one; `cubic` is PyTorch's and ONNX's, a = -3/4."""
