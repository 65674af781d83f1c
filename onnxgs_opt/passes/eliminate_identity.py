"""Remove nodes that hand on their input as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from onnxgs_opt.ir import Node
from onnxgs_opt.ir.constants import constant_value, element_count, small_value
from onnxgs_opt.ir.exporter import to_onnx_type
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.ir.operators import operator

TO_THE_END = 2**63 - 1
"""Where the Slice of an axis of any size ends that takes the rest of it."""


@dataclass(frozen=True)
class EliminateIdentity:
    """Let consumers of an Identity, or of a node that is one, read its input.

    A node stays when it is what gives a graph output its name: the input is a graph input, a constant,
    another output or a tensor from outside.
    """

    name: str = "eliminate-identity"

    def run(self, graph: Graph) -> bool:
        """Remove them here, in subgraphs and in functions."""
        return any([_eliminate(part) for part in (graph, *graph.subgraphs())])  # every part, not up to the first


def _eliminate(graph: Graph) -> bool:
    local = {id(node) for node in graph.nodes}
    outputs = {id(t) for t in graph.outputs}
    removed = []
    for node in graph.topological():
        if not _is_identity(node):
            continue
        source, result = node.inputs[0], node.outputs[0]
        if id(result) in outputs:
            if id(source) in outputs or not any(id(p) in local for p in source.inputs):
                continue
            outputs.discard(id(result))
            outputs.add(id(source))
        graph.replace_all_uses(result, source)
        removed.append(node)
    graph.remove_nodes(removed)
    return bool(removed)


def _is_identity(node: Node) -> bool:
    rule = _RULES.get(node.op)
    if rule is None or not operator(node) or len(node.outputs) != 1:
        return False
    if any(isinstance(value, Node.AttributeRef) for value in node.attrs.values()):
        return False
    return bool(node.inputs) and not node.inputs[0].is_empty() and rule(node)


def _same_type(node: Node) -> bool:
    dtype = node.inputs[0].dtype
    return dtype is not None and to_onnx_type(dtype) == node.attrs.get("to")


def _nothing_moves(node: Node) -> bool:
    perm = node.attrs.get("perm")
    return bool(perm) and perm == list(range(len(perm)))  # an empty one fits scalars only


def _same_shape(node: Node) -> bool:
    target = constant_value(node.inputs[1]) if len(node.inputs) > 1 else None
    if target is None or element_count(node.inputs[0]) is None:
        return False
    return list(node.inputs[0].shape) == target.reshape(-1).tolist()


def _takes_all(node: Node) -> bool:
    """Whether a Slice takes every place of its axes, which are named, in their order."""
    shape, bounds = node.inputs[0].shape, [small_value(bound) for bound in node.inputs[1:]]
    if shape is None or not 3 <= len(bounds) <= 4 or any(bound is None for bound in bounds):
        return False
    starts, ends, axes, *steps = (bound.reshape(-1).tolist() for bound in bounds if bound is not None)
    if any(start != 0 for start in starts) or any(step != 1 for each in steps for step in each):
        return False
    sizes = [shape[axis] for axis in axes]
    return all(end == TO_THE_END or (isinstance(d, int) and end >= d) for end, d in zip(ends, sizes, strict=True))


def _single(node: Node) -> bool:
    return len(node.inputs) == 1


_RULES: Mapping[str, Callable[[Node], bool]] = {
    "Identity": _single,
    "Cast": _same_type,
    "Transpose": _nothing_moves,
    "Reshape": _same_shape,
    "Expand": _same_shape,
    "Slice": _takes_all,
    "Concat": _single,
    "Sum": _single,
    "Max": _single,
    "Min": _single,
}
