"""Sampling as a function, written once: any kernel, border and number of axes, over any arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from typing import TypeAlias

from onnxgs_opt.samplers.arithmetic import Arithmetic, E
from onnxgs_opt.samplers.border import ZEROS, Border
from onnxgs_opt.samplers.coordinates import PIXEL, Coordinates
from onnxgs_opt.samplers.kernel import LINEAR, Kernel, half_away, half_even
from onnxgs_opt.samplers.policy import WINDOWS, Window


@dataclass(frozen=True)
class AxisSpec:
    """What a sampler does along one axis of the image."""

    kernel: Kernel = LINEAR
    border: Border = ZEROS
    window: Window = WINDOWS["all"]
    coordinates: Coordinates = PIXEL

    def turns(self, size: int) -> int:
        """How many pixels on a sample is the same; 0 where it never is, or that is not known."""
        ends = self.border.period is None or self.window is not WINDOWS["all"] or self.kernel.rounds is half_away
        period = 0 if ends else self.border.period(size)  # type: ignore[misc]
        return 2 * period if period % 2 and self.kernel.rounds is half_even else period


Sampler: TypeAlias = tuple[AxisSpec, ...]
"""One entry for every spatial axis of the image, in their order: (y, x) where there are two."""


def sample(
    o: Arithmetic[E], sampler: Sampler, point: Sequence[E], sizes: Sequence[E], read: Callable[[tuple[E, ...]], E]
) -> E:
    """The sample at `point`, one coordinate an axis, of an image of `sizes`; `read` gives a pixel by its index.

    out = [point in window] * sum over the taps of all axes of weight * read(index). A tap that counts for nothing is
    still read where the border leaves its index: outside the image.
    """
    pixels = [spec.coordinates.to_pixel(o, g, size) for spec, g, size in zip(sampler, point, sizes, strict=True)]
    return o.select(in_window(o, sampler, pixels, sizes), taps(o, sampler, pixels, sizes, read), o.zero)


def taps(
    o: Arithmetic[E], sampler: Sampler, pixels: Sequence[E], sizes: Sequence[E], read: Callable[[tuple[E, ...]], E]
) -> E:
    """The sum over the taps, whatever the window, at pixel coordinates."""
    axes = [_taps_of(o, spec, p, size) for spec, p, size in zip(sampler, pixels, sizes, strict=True)]
    total = o.zero
    for corner in product(*axes):
        index, weights, inside = zip(*corner, strict=True)
        value = o.mul(reduce(o.mul, weights), read(index))
        total = o.add(total, o.select(reduce(o.mul, inside), value, o.zero))
    return total


def _taps_of(o: Arithmetic[E], spec: AxisSpec, p: E, size: E) -> list[tuple[E, E, E]]:
    """Index, weight, and 1 where it counts, of every tap of one axis."""
    found = []
    for i, weight in spec.kernel.at(o, p):
        index, inside = spec.border.index(o, i, o.sub(size, o.one))
        found.append((index, weight, inside))
    return found


def in_window(o: Arithmetic[E], sampler: Sampler, pixels: Sequence[E], sizes: Sequence[E]) -> E:
    """1 where every coordinate is in the window of its axis, else 0."""
    axes = zip(sampler, pixels, sizes, strict=True)
    return reduce(o.mul, [spec.window.condition(o, p, size) for spec, p, size in axes])


def candidates(kernels: Sequence[Kernel], borders: Sequence[Border]) -> Iterator[Sampler]:
    """The samplers that recognition tries, in this order: every window with every border, the same on all axes.

    A periodic border has no window.
    """
    for window in WINDOWS.values():
        for border in borders:
            if border.periodic and window is not WINDOWS["all"]:
                continue
            yield tuple(AxisSpec(kernel, border, window) for kernel in kernels)
