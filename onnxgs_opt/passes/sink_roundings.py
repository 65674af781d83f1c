"""Round coordinates after they are laid out, not before, so that a tensor has them as they lie in the output."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onnxgs_opt.ir import Constant, Node, Tensor
from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.ir.operators import ARITHMETIC, ORDERED, PARTS, READS, ROUNDS, operator
from onnxgs_opt.passes.sink_reshapes import varies

MIXES = (READS & PARTS) | {"Transpose"}
"""What takes an item at a fixed place, or turns axes: without them coordinates are found as they are, if at all."""

LAYOUTS = ORDERED | PARTS | MIXES

MOST_NODES = 16
"""Operators on whole numbers between the roundings and one layout."""


@dataclass(frozen=True)
class SinkRoundings:
    """Move what lays whole numbers out in front of the roundings that make them.

    Transpose(Cast(x) * w + Cast(y)) becomes Cast(Transpose(x)) * w + Cast(Transpose(y)), the same operations on the
    same elements. Otherwise no float tensor has the coordinates of a sampler whose index is rounded, or put together,
    in other axes than its output has.
    """

    name: str = "sink-roundings"

    def run(self, graph: Graph) -> bool:
        """Move them here and in subgraphs."""
        return any([_sink(part) for part in (graph, *graph.subgraphs())])  # every part


def _sink(graph: Graph) -> bool:
    changed = False
    nodes = list(graph.topological())
    if not any(operator(node) in MIXES and _lays_out(node) and _cone(_laid_out(node)) for node in nodes):
        return False
    for node in nodes:
        cone = _cone(node.inputs[0]) if _lays_out(node) else None
        if cone:
            _move(graph, node, cone)
            changed = True
    return changed


def _lays_out(node: Node) -> bool:
    if operator(node) not in LAYOUTS or len(node.outputs) != 1:
        return False
    return operator(node) != "Gather" or isinstance(node.inputs[1], Constant)


def _laid_out(node: Node) -> Tensor:
    """What a layout operator, and those before it, lay out."""
    tensor = node.inputs[0]
    while len(tensor.inputs) == 1 and _lays_out(tensor.inputs[0]):
        tensor = tensor.inputs[0].inputs[0]
    return tensor


def _kind(tensor: Tensor) -> str:
    return tensor.dtype.kind if isinstance(tensor.dtype, np.dtype) else "?"


def _rounds(node: Node) -> bool:
    if operator(node) != "Cast":
        return operator(node) in ROUNDS
    return _kind(node.inputs[0]) == "f" and _kind(node.outputs[0]) in "iu"


def _cone(whole: Tensor) -> list[Node] | None:
    """The roundings that a tensor is made of and what is computed of their results, in order; None of any other."""
    nodes: dict[int, Node] = {}
    return list(nodes.values()) if _collect(whole, nodes) else None


def _collect(tensor: Tensor, nodes: dict[int, Node]) -> bool:
    node = tensor.inputs[0] if len(tensor.inputs) == 1 else None
    if node is None or tensor.shape is None or len(node.outputs) != 1 or len(nodes) > MOST_NODES:
        return False
    if id(node) in nodes:
        return True
    operands = [t for t in node.inputs if varies(t)]
    if any(t.shape is None or list(t.shape) != list(tensor.shape) for t in operands):
        return False
    whole = all([_collect(t, nodes) for t in operands])  # of each of them: a rounded number may be rounded again
    moves = bool(operands) and (_rounds(node) or (whole and operator(node) in ARITHMETIC))
    if moves:
        nodes[id(node)] = node
    return moves


def _move(graph: Graph, layout: Node, cone: list[Node]) -> None:
    last = layout.outputs[0]
    builder = Builder(graph, last.name)
    laid: dict[int, Tensor] = {}

    def placed(tensor: Tensor) -> Tensor | None:
        if tensor.is_empty():
            return None
        if not varies(tensor):
            return tensor
        if id(tensor) not in laid:
            laid[id(tensor)] = builder.op(
                layout.op, tensor, *layout.inputs[1:], dtype=tensor.dtype, shape=last.shape, **layout.attrs
            )
        return laid[id(tensor)]

    for node in cone:
        made = node.outputs[0]
        laid[id(made)] = builder.op(
            node.op, *map(placed, node.inputs), dtype=made.dtype, shape=last.shape, **node.attrs
        )
    graph.replace_all_uses(last, laid[id(layout.inputs[0])])
    graph.remove_nodes([layout])
