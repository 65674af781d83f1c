"""Assignments through a mask, `x[mask] = number`, which exporters write as a ScatterND at what NonZero finds."""

from __future__ import annotations

import math

from onnxgs_opt.ir import Node
from onnxgs_opt.ir.operators import MOVES, operator
from onnxgs_opt.recognition.algebra.expression import Expr
from onnxgs_opt.recognition.lifting.rule import Index, Lift, NoRule
from onnxgs_opt.recognition.lifting.shape_functions import UNKNOWN


def scatter_nd(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    """The number where the mask holds, else what was there; anything else that is scattered is a leaf."""
    data, places, updates = (tensor.name for tensor in node.inputs)
    mask, number = _mask(lift, places), _number(lift, updates)
    if node.attrs.get("reduction", "none") != "none" or lift.shape(mask) != lift.shape(data):
        raise NoRule("no number is put where a mask holds")
    assigned = lift.value(number, (lift.algebra.zero,) * len(lift.shape(number)))
    return lift.algebra.select(lift.value(mask, index), assigned, lift.value(data, index))


def _mask(lift: Lift, places: str) -> str:
    """The boolean tensor whose every true element stands in `places`, one a row."""
    rows = lift.maker(places)
    found = None if rows is None else lift.maker(rows.inputs[0].name)
    if rows is None or found is None or (operator(rows), operator(found)) != ("Transpose", "NonZero"):
        raise NoRule("the places are none of a mask")
    name: str = found.inputs[0].name
    if list(rows.attrs.get("perm") or (1, 0)) != [1, 0] or lift.dtype_kind(name) != "b":
        raise NoRule("the places are none of a mask")
    return name


def _number(lift: Lift, updates: str) -> str:
    """The tensor of one element that all updates are."""
    name = updates
    while True:
        shape = lift.facts.get(name, UNKNOWN).shape
        if shape is not None and math.prod(shape) == 1:
            return name
        node = lift.maker(name)
        if node is None or operator(node) not in MOVES:
            raise NoRule("the updates are not one number")
        name = node.inputs[0].name
