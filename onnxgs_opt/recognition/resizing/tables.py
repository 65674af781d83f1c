"""Tables of indices and weights that are told apart by their numbers at some sizes: what may change beyond those."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import numpy as np

from onnxgs_opt.ir import Node
from onnxgs_opt.ir.constants import small_value
from onnxgs_opt.ir.def_use import Array
from onnxgs_opt.ir.operators import ARITHMETIC, operator
from onnxgs_opt.recognition.every_size import DECIDES
from onnxgs_opt.recognition.fixed_values import FixedValues
from onnxgs_opt.recognition.lifting.shape_functions import UNKNOWN
from onnxgs_opt.recognition.lifting.size_values import MOST

FINEST = 64
"""The denominator of the finest step that tables have; with a finer one a table may change first at a larger size."""

MOST_ROUNDED = 2.0**-20
"""What single precision makes of a fraction is off by less, of itself."""

FEW = 4.0
"""Weights are smaller: larger numbers in a table are places."""

WIDE = 4
"""Bytes of a type that holds every place along an axis."""


def changes_beyond(nodes: Iterable[Node], near: FixedValues, far: FixedValues, seen: int) -> str | None:
    """Why tables that are what they should be at the sizes of `near` and `far`, up to `seen`, may be others beyond."""
    for node in nodes:
        for name in (t.name for t in node.outputs):
            if not near.is_fixed(name):
                continue
            if (why := _outgrown(name, near, far)) is not None:
                return f"at '{node.name}' {why}"
            if operator(node) in DECIDES and any(_is_passed(small_value(t)) for t in node.inputs):
                return f"at '{node.name}' a table is compared with a number that a size may pass"
            if operator(node) in ARITHMETIC and any(_is_fine(small_value(t), seen) for t in node.inputs):
                return f"at '{node.name}' a table is computed with a number that may show at larger sizes only"
    return None


def _outgrown(name: str, near: FixedValues, far: FixedValues) -> str | None:
    dtype = near.facts.get(name, UNKNOWN).dtype
    if dtype is None or dtype.kind in "bOSU" or dtype.itemsize >= WIDE:
        return None
    less, more = (_largest(values.value(name)) for values in (near, far))
    return f"a table in {dtype} grows with a size, past what that type holds" if more > max(less, FEW) else None


def _largest(value: Array | None) -> float:
    return 0.0 if value is None else float(np.abs(value.astype(np.float64)).max(initial=0.0))


def _is_passed(value: Array | None) -> bool:
    """Whether it is one number that places along an axis reach, and weights do not."""
    if value is None or value.size != 1 or value.dtype.kind not in "fiu":
        return False
    return FEW < abs(float(value.reshape(()))) < MOST


def _is_fine(value: Array | None, seen: int) -> bool:
    """Whether it is one number that is no fraction of a small denominator, up to a rounding, or more than was seen."""
    if value is None or value.size != 1 or value.dtype.kind not in "fiu" or not np.isfinite(value).all():
        return False
    number = float(value.reshape(()))
    if value.dtype.kind != "f":
        return abs(number) > seen
    return abs(number - float(Fraction(number).limit_denominator(FINEST))) > MOST_ROUNDED * abs(number)
