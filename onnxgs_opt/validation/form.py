"""When two sites are checked alike: their cones differ in names alone, and so do what is known of their operands."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from onnx import ModelProto, NodeProto, ValueInfoProto

from onnxgs_opt.ir.traversal import bodies_of
from onnxgs_opt.samplers.site import Site, SizeRange
from onnxgs_opt.samplers.view import View

OWN = frozenset(("id", "body", "reads", "cone", "output"))
"""What a site is called and what its nodes are called: no check depends on it."""


def form_of(
    cone: ModelProto, site: Site, shapes: Iterable[Mapping[str, Sequence[int]]], layouts: Hashable
) -> Hashable | None:
    """All that the check of a site depends on, its tensors and dims numbered; None where the cone has bodies.

    Args:
        cone: The site's cone as exported.
        site: The site.
        shapes: Shapes of tensors, at each of several sizes.
        layouts: The sizes that it is run at, and what else the inputs and sessions depend on.
    """
    graph = cone.graph
    if cone.functions or any(map(bodies_of, graph.node)):
        return None
    tensors, dims = _Numbers(), _Numbers()
    inputs = tuple(_typed(value, tensors, dims) for value in graph.input)
    stored = tuple((tensors[t.name], t.data_type, tuple(t.dims), _values(t)) for t in graph.initializer)
    nodes = tuple(_node(node, tensors) for node in graph.node)
    outputs = tuple(_typed(value, tensors, dims) for value in graph.output)
    opsets = tuple((entry.domain, entry.version) for entry in cone.opset_import)
    known = tuple(tuple(_shape(at, value.name) for value in graph.input) for at in shapes)
    own = tuple(_numbered(getattr(site, f.name), tensors, dims) for f in fields(site) if f.name not in OWN)
    return cone.ir_version, opsets, inputs, stored, nodes, outputs, known, layouts, own


class _Numbers(dict[str, int]):
    """A number for each name, in the order in which they come; none has no name."""

    def __missing__(self, name: str) -> int:
        self[name] = len(self) if name else -1
        return self[name]


def _typed(value: ValueInfoProto, tensors: _Numbers, dims: _Numbers) -> Hashable:
    kind = value.type.tensor_type
    sizes = tuple(
        d.dim_value if d.HasField("dim_value") else ("dim", dims[d.dim_param or f"{value.name}:{axis}"])
        for axis, d in enumerate(kind.shape.dim)
    )
    return tensors[value.name], kind.elem_type, kind.HasField("shape"), sizes


def _values(tensor: Any) -> bytes:
    same = type(tensor)()
    same.CopyFrom(tensor)
    same.ClearField("name")
    return bytes(same.SerializeToString(deterministic=True))


def _node(node: NodeProto, tensors: _Numbers) -> Hashable:
    attributes = sorted(a.SerializeToString(deterministic=True) for a in node.attribute)
    made, read = (tuple(tensors[name] for name in names) for names in (node.output, node.input))
    return node.domain, node.op_type, read, made, tuple(attributes)


def _shape(known: Mapping[str, Sequence[int]], name: str) -> Hashable:
    return tuple(known[name]) if name in known else None


def _numbered(value: Any, tensors: _Numbers, dims: _Numbers) -> Hashable:
    """A part of a site with numbers for the names of tensors and of sizes."""
    if isinstance(value, (tuple, list)):
        return tuple(_numbered(part, tensors, dims) for part in value)
    if not is_dataclass(value):
        return value  # type: ignore[no-any-return]
    numbers = {View: ("tensor", tensors), SizeRange: ("name", dims)}.get(type(value))
    parts = []
    for field in fields(value):
        part = getattr(value, field.name)
        named = numbers is not None and field.name == numbers[0]
        parts.append(numbers[1].get(part, part) if named and numbers else _numbered(part, tensors, dims))
    return type(value).__name__, *parts
