"""Compute once what is computed of a tensor and of parts of it."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from onnxgs_opt.ir import Node, Tensor
from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.ir.constants import small_value
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.ir.operators import ARITHMETIC, MOVES, ROUNDS, operator

ELEMENT_BY_ELEMENT = ARITHMETIC | ROUNDS
MOST_MOVES = 4
"""Operators that take a part, one behind the other: a Slice and a Squeeze, say."""


@dataclass(frozen=True)
class TakeParts:
    """Take a part of what is computed of the whole, where that is computed as well.

    Where Sub(x, c) is there, Sub(Gather(x, i), c) becomes Gather(Sub(x, c), i): the same operation on the same
    elements, `c` being one number. Otherwise a coordinate is in two tensors, neither of which is made of the other.
    """

    name: str = "take-parts"

    def run(self, graph: Graph) -> bool:
        """Take them here and in subgraphs."""
        return any([_take(part) for part in (graph, *graph.subgraphs())])  # every part


def _take(graph: Graph) -> bool:
    wholes: dict[Hashable, Tensor] = {}
    for node in graph.nodes:
        if (found := _of_one(node)) is not None:
            wholes.setdefault((id(found[0]), found[1]), node.outputs[0])
    replaced = []
    for node in graph.topological() if wholes else ():
        part, key = _of_one(node) or (None, None)
        moves = list(_moves_before(part))
        for k, first in enumerate(moves):
            whole = wholes.get((id(first.inputs[0]), key))
            if whole is not None and whole is not node.outputs[0]:
                _replace(graph, node.outputs[0], whole, moves[k::-1])
                replaced.append(node)
                break
    graph.remove_nodes(replaced)
    return bool(replaced)


def _of_one(node: Node) -> tuple[Tensor, Hashable] | None:
    """The tensor that a node computes each element of its result from, and how; None of nodes that take others, too."""
    if operator(node) not in ELEMENT_BY_ELEMENT or len(node.outputs) != 1:
        return None
    values = [small_value(t) for t in node.inputs]
    varying = [t for t, value in zip(node.inputs, values, strict=True) if value is None and not t.is_empty()]
    if len(varying) != 1 or any(value is not None and value.ndim for value in values):
        return None
    numbers = tuple(None if value is None else (value.dtype.str, value.tobytes()) for value in values)
    return varying[0], (node.op, numbers, repr(sorted(node.attrs.items())))


def _moves_before(part: Tensor | None) -> Iterator[Node]:
    """The operators that take a part of a tensor, the last first."""
    for _ in range(MOST_MOVES if part is not None else 0):
        node = part.inputs[0] if len(part.inputs) == 1 else None  # type: ignore[union-attr]
        taken = node is not None and (operator(node) in MOVES or (operator(node) == "Gather" and _is_fixed(node)))
        if node is None or not taken or len(node.outputs) != 1:
            return
        yield node
        part = node.inputs[0]


def _is_fixed(gather: Node) -> bool:
    return small_value(gather.inputs[1]) is not None


def _replace(graph: Graph, old: Tensor, whole: Tensor, moves: Sequence[Node]) -> None:
    builder = Builder(graph, old.name)
    taken = whole
    for move in moves:
        shape = move.outputs[0].shape
        taken = builder.op(move.op, taken, *move.inputs[1:], dtype=old.dtype, shape=shape, **move.attrs)
    graph.replace_all_uses(old, taken)
