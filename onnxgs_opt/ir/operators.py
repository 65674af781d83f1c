"""Which operator a node is, and the classes of operators that analyses ask for."""

from __future__ import annotations

import onnx_graphsurgeon as gs

DEFAULT_DOMAINS = ("", "ai.onnx")


def operator(node: gs.Node) -> str:
    """The name of a standard operator; "" for one of another domain, which may mean anything whatever it is called."""
    return str(node.op) if node.domain in (None, *DEFAULT_DOMAINS) else ""


def first_name(node: gs.Node) -> str:
    """The name of a node's first output that has one; "" where none has."""
    return next((t.name for t in node.outputs if t.name), "")


READS = frozenset(("Gather", "GatherElements", "GatherND"))
LAYOUTS = frozenset(
    ("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand", "Identity", "Slice", "Split", "Tile", "If")
)
PARTS = frozenset(("Slice", "Split", "Gather"))
"""Operators whose result is a part of their input: what one read took for several corners comes apart there."""

CONTRACTIONS = frozenset(("ReduceSum", "ReduceMean", "MatMul", "Einsum"))
SUMS = CONTRACTIONS | frozenset(("Add", "Sub", "Sum"))
CARRIES = LAYOUTS | SUMS | frozenset(("Mul", "Div", "Neg", "Where", "Cast", "Clip", "Concat"))
"""Operators through which the value of a read flows into a weighted sum."""
