"""Resampling at fixed places along one axis, as ONNX's Resize defines it: which pixels, and how much each counts."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from onnxgs_opt.samplers.kernel import cubic
from onnxgs_opt.samplers.view import Array

TRANSFORMS = ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
"""Where the samples of a Resize stand, its `coordinate_transformation_mode`; the first that fits gives the name."""

ROUNDINGS = ("floor", "round_prefer_floor", "round_prefer_ceil", "ceil")
"""Which pixel is the nearest one, its `nearest_mode`."""


@dataclass(frozen=True)
class Resampling:
    """The attributes of a Resize, those that its mode does not look at at their defaults."""

    mode: str
    transform: str
    rounding: str = "floor"
    coefficient: Fraction = Fraction(-3, 4)
    exclude_outside: bool = False

    @property
    def words(self) -> str:
        """The mode, and where the samples stand."""
        return f"{self.mode} {self.transform}" + (f" {self.rounding}" if self.mode == "nearest" else "")


KNOWN = (
    *(Resampling("nearest", transform, rounding) for rounding in ROUNDINGS for transform in TRANSFORMS),
    *(Resampling("linear", transform) for transform in TRANSFORMS),
    *(
        Resampling("cubic", transform, coefficient=a, exclude_outside=excludes)
        for a in (Fraction(-3, 4), Fraction(-1, 2))
        for excludes in (False, True)
        for transform in TRANSFORMS
    ),
)
"""What is looked for, in this order."""


@dataclass(frozen=True)
class Taps:
    """For each of M samples K pixels of an axis, `index` [M, K], and how much each counts, `weights` [M, K].

    A pixel may stand there twice; what it counts is added up.
    """

    index: Array
    weights: Array


def places(resampling: Resampling, size: int, samples: int, scale: Fraction, dtype: Any = np.float64) -> Array:
    """The coordinates of the samples in pixels, computed in a float type in the order that ONNX's text has.

    Args:
        resampling: What is asked for.
        size: Pixels along the axis.
        samples: Samples along the axis.
        scale: Samples a pixel.
        dtype: The type; runtimes compute in float32.
    """
    i, half = np.arange(samples).astype(dtype), dtype(0.5)
    ratio = dtype(scale.numerator) / dtype(scale.denominator)
    match resampling.transform:
        case "align_corners":
            return np.asarray(i * dtype(size - 1) / dtype(samples - 1) if samples > 1 else i)
        case "asymmetric":
            return np.asarray(i / ratio)
        case "pytorch_half_pixel" if samples == 1:
            return np.zeros(1, dtype)
    return np.asarray((i + half) / ratio - half)


def taps(resampling: Resampling, size: int, samples: int, scale: Fraction) -> Taps:
    """The taps of every sample along an axis of `size` pixels."""
    at = places(resampling, size, samples, scale)
    if resampling.mode == "nearest":
        return Taps(nearest(resampling, at, size)[:, None], np.ones((samples, 1)))
    if resampling.mode == "linear":
        at = np.clip(at, 0, size - 1)
    low = np.floor(at)
    t = at - low
    if resampling.mode == "linear":
        index, weights = low[:, None] + [0, 1], np.stack([1 - t, t], 1)
    else:
        kernel = cubic(resampling.coefficient)
        index, weights = low[:, None] + np.arange(-1, 3), np.stack(kernel.weights(NUMBERS, t), 1)
    if resampling.exclude_outside:
        weights = np.where((index >= 0) & (index < size), weights, 0)
        weights = weights / weights.sum(1, keepdims=True)
    return Taps(np.clip(index, 0, size - 1).astype(np.int64), weights)


def nearest(resampling: Resampling, at: Array, size: int) -> Array:
    """The nearest pixel of every coordinate, in the coordinates' own arithmetic."""
    half = at.dtype.type(0.5)
    match resampling.rounding:
        case "floor":
            rounded = np.floor(at)
        case "ceil":
            rounded = np.ceil(at)
        case "round_prefer_floor":
            rounded = np.ceil(at - half)
        case _:
            rounded = np.floor(at + half)
    return np.asarray(np.clip(rounded, 0, size - 1)).astype(np.int64)


def exactly_nearest(resampling: Resampling, size: int, samples: int, scale: Fraction) -> Array:
    """The nearest pixel of every sample along an axis, without any rounding of coordinates."""
    i = np.arange(samples, dtype=np.int64)
    p, q = scale.numerator, scale.denominator
    over, under = {
        "align_corners": (i * (size - 1), max(samples - 1, 1)),
        "asymmetric": (i * q, p),
    }.get(resampling.transform, ((2 * i + 1) * q - p, 2 * p))
    if resampling.transform == "pytorch_half_pixel" and samples == 1:
        over = np.zeros_like(i)
    rounded = {
        "floor": over // under,
        "ceil": -(-over // under),
        "round_prefer_floor": -((under - 2 * over) // (2 * under)),
        "round_prefer_ceil": (2 * over + under) // (2 * under),
    }[resampling.rounding]
    return np.asarray(np.clip(rounded, 0, size - 1))


class _Numbers:
    """Arithmetic of doubles, as the kernels ask for it."""

    zero, one = np.float64(0), np.float64(1)

    def num(self, value: int | Fraction) -> Any:
        return np.float64(float(value))

    def add(self, a: Any, b: Any) -> Any:
        return a + b

    def sub(self, a: Any, b: Any) -> Any:
        return a - b

    def mul(self, a: Any, b: Any) -> Any:
        return a * b


NUMBERS: Any = _Numbers()
