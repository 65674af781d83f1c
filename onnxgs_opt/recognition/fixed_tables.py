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
from onnxgs_opt.recognition.fixed_values import NEAR, FixedValues
from onnxgs_opt.recognition.lifting.shape_functions import UNKNOWN, Fact
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
        fixed = [t.name for t in node.outputs if near.is_fixed(t.name)]
        read = [t.name for t in node.inputs if t.name] if fixed else []
        places = [name for name in (*read, *fixed) if _grows(name, near, far)]
        short = [f.dtype for n in fixed if n in places and _is_short(f := near.facts.get(n, UNKNOWN))]
        if short:
            return f"at '{node.name}' a table in {short.pop()} grows with a size, past what that type holds"
        if places and operator(node) in DECIDES and any(_is_passed(small_value(t)) for t in node.inputs):
            return f"at '{node.name}' a table is compared with a number that a size may pass"
        if places and operator(node) in NEAR:
            return f"at '{node.name}' places are summed or taken to a power"
        if places and operator(node) in ARITHMETIC and any(_is_fine(small_value(t), seen) for t in node.inputs):
            return f"at '{node.name}' a table is computed with a number that may show at larger sizes only"
    return None


def _grows(name: str, near: FixedValues, far: FixedValues) -> bool:
    """Whether the numbers of a table are places along an axis: larger where that is longer."""
    if not near.is_fixed(name):
        return False
    less, more = (_largest(values.value(name)) for values in (near, far))
    return more > max(less, FEW)


def _is_short(fact: Fact) -> bool:
    """Whether a type of numbers does not hold every place."""
    return fact.dtype is not None and fact.dtype.kind not in "bOSU" and fact.dtype.itemsize < WIDE


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
