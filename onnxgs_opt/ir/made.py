"""Nodes and variables made in half of graphsurgeon's time.

Its classes look for synchronised lists whenever an attribute is set; those of a new object are none yet. Where objects
of the installed version have other attributes than are known here, its own constructors make them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_graphsurgeon as gs
from onnx_graphsurgeon.util.misc import SynchronizedList

_KNOWN = (
    {"op", "name", "attrs", "inputs", "outputs", "domain"},
    {"name", "inputs", "outputs", "dtype", "shape", "type"},
)
_AS_KNOWN = (vars(gs.Node("op")).keys(), vars(gs.Variable("name")).keys()) == _KNOWN


def new_variable(name: str, dtype: Any = None, shape: list[Any] | None = None) -> gs.Variable:
    """A tensor that nothing makes or reads yet."""
    if not _AS_KNOWN:
        return gs.Variable(name, dtype, shape)
    made = gs.Variable.__new__(gs.Variable)
    made.__dict__.update(
        name=name,
        inputs=SynchronizedList(made, "outputs", ()),
        outputs=SynchronizedList(made, "inputs", ()),
        dtype=dtype,
        shape=shape,
        type="tensor_type",
    )
    return made


def new_node(
    op: str,
    name: str,
    attrs: dict[str, Any],
    inputs: Sequence[gs.Tensor],
    outputs: Sequence[gs.Tensor],
    domain: str | None = None,
) -> gs.Node:
    """A node of these tensors, which know it."""
    if not _AS_KNOWN:
        return gs.Node(op, name, attrs, inputs, outputs, domain)
    made = gs.Node.__new__(gs.Node)
    made.__dict__.update(
        op=op,
        name=name,
        attrs=attrs,
        inputs=SynchronizedList(made, "outputs", inputs),
        outputs=SynchronizedList(made, "inputs", outputs),
        domain=domain,
    )
    return made
