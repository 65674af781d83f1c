"""Constant tables as functions of their index."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from onnxgs_opt.ir.def_use import Array
from onnxgs_opt.recognition.algebra.expression import Expr
from onnxgs_opt.recognition.algebra.polynomial import Number
from onnxgs_opt.samplers.view import ramp


def exact(value: object) -> Number:
    """A numpy scalar as an exact number."""
    number = float(value) if not isinstance(value, (np.bool_, np.integer)) else int(value)  # type: ignore[arg-type]
    if isinstance(number, int):
        return number
    if not math.isfinite(number):
        raise ValueError("not finite")
    return int(number) if number.is_integer() else Fraction(number)


def sampled(table: Array, index: Sequence[Expr], variables: Sequence[Expr]) -> Array:
    """The table at every value of the index variables, one axis a variable."""
    ramps = np.ix_(*(np.arange(int(v.hi or 0) + 1) for v in variables))
    places = []
    for i in index:
        place = np.asarray(int(i.constant))
        for term, factor in i.terms:
            place = place + int(factor) * ramps[variables.index(term)]
        places.append(np.broadcast_to(place, tuple(r.size for r in ramps)))
    return np.asarray(table[tuple(places)])


def affine(table: Array) -> list[Number] | None:
    """The slope along each axis of a table that is affine in its index; None when it is not."""
    wide = table.astype(np.float64 if table.dtype.kind == "f" else np.int64)
    origin = wide.flat[0]
    if not np.isfinite(origin):
        return None
    expected = np.full(wide.shape, origin)
    slopes: list[Number] = []
    for axis, size in enumerate(wide.shape):
        step = np.take(wide, 1, axis).flat[0] - origin if size > 1 else wide.dtype.type(0)
        slopes.append(exact(step))
        expected = expected + ramp(axis, step * np.arange(size), wide.ndim)
    return slopes if np.array_equal(expected, wide) else None
