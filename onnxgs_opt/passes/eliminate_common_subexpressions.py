"""Compute once what is computed several times."""

from __future__ import annotations

import struct
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from onnx import AttributeProto

from onnxgs_opt.ir import Constant, Node
from onnxgs_opt.ir.constants import small_value
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.ir.operators import RANDOM, operator
from onnxgs_opt.ir.traversal import node_subgraphs


@dataclass(frozen=True)
class EliminateCommonSubexpressions:
    """Merge standard nodes with the same inputs and attributes, and small constants of the same bytes.

    Random operators, operators with bodies and those of other domains are left alone. Each graph is
    looked at by itself: a body shares nothing with its neighbour.
    """

    name: str = "eliminate-common-subexpressions"

    def run(self, graph: Graph) -> bool:
        """Merge here, in subgraphs and in functions."""
        return any([_merge(part, part is graph) for part in (graph, *graph.subgraphs())])  # every part


def _merge(graph: Graph, is_main: bool) -> bool:
    merged = _merge_constants(graph, is_main)
    outputs = {id(t) for t in graph.outputs}
    first: dict[Hashable, Node] = {}
    duplicates = []
    for node in graph.topological():
        key = _node_key(node)
        if key is None or _replaces(graph, first.setdefault(key, node), node, outputs) is False:
            continue
        duplicates.append(node)
    graph.remove_nodes(duplicates)
    return merged or bool(duplicates)


def _replaces(graph: Graph, kept: Node, node: Node, outputs: set[int]) -> bool:
    pairs = list(zip(node.outputs, kept.outputs, strict=True))
    # Two outputs of the graph keep their two makers: an Identity would be no gain.
    if kept is node or any(id(old) in outputs and id(new) in outputs for old, new in pairs):
        return False
    for old, new in pairs:
        if old.is_empty():
            continue
        graph.replace_all_uses(old, new)
        if id(old) in outputs:
            outputs.add(id(new))
    return True


def _merge_constants(graph: Graph, is_main: bool) -> bool:
    own = {id(c) for c in graph.constants}
    outputs = {id(t) for t in graph.outputs}
    first: dict[Hashable, Constant] = {}
    merged = False
    used = {id(t): t for node in graph.nodes for t in node.inputs if isinstance(t, Constant)}
    for constant in (*graph.constants, *(t for key, t in used.items() if key not in own)):
        # In a body, a constant that is not its own may have readers elsewhere.
        replaceable = (is_main or id(constant) in own) and id(constant) not in outputs
        key = _constant_key(constant)
        if key is None or not constant.outputs:
            continue
        kept = first.setdefault(key, constant)
        if kept is not constant and replaceable:
            graph.replace_all_uses(constant, kept)
            merged = True
    return merged


def _node_key(node: Node) -> Hashable | None:
    if node.op in RANDOM or not operator(node) or node_subgraphs(node):
        return None
    attrs = tuple(sorted((name, _attribute_key(value)) for name, value in node.attrs.items()))
    inputs = tuple(0 if t.is_empty() else id(t) for t in node.inputs)
    return node.op, attrs, inputs, tuple(t.is_empty() for t in node.outputs)


def _attribute_key(value: Any) -> str:
    if isinstance(value, Constant):
        return f"tensor {_constant_key(value) or id(value)}"
    if isinstance(value, AttributeProto):
        return f"message {value.SerializeToString()!r}"
    if isinstance(value, float):
        return f"float {struct.pack('d', value)!r}"  # NaN and -0.0 compare as bytes
    if isinstance(value, list):
        return f"list {[_attribute_key(v) for v in value]}"
    return f"{type(value).__name__} {value!r}"


def _constant_key(constant: Constant) -> Hashable | None:
    value = small_value(constant)
    if value is None or value.dtype == object:
        return None
    return value.dtype.str, str(value.dtype), value.shape, value.tobytes()
