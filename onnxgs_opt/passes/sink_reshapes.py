"""Flatten coordinates after they are computed, not before, so that a tensor has them as they lie in the output."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onnxgs_opt.ir import Constant, Node, Tensor
from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.ir.operators import ARITHMETIC, ROUNDS, operator

ROUNDINGS = ROUNDS | {"Mod"}


@dataclass(frozen=True)
class SinkReshapes:
    """Move a Reshape that merges axes behind the arithmetic with numbers that leads from it to a rounding.

    Reshape(x) * s + t becomes Reshape(x * s + t), the same operations on the same elements; so does what is computed of
    the x or the y in the last axis of Reshape(x). A sampler whose points are in one axis with the batch computes pixels
    there; its output, and what it started from, mostly has the axes apart. Where all sizes are known that axis can be
    split as it is.
    """

    name: str = "sink-reshapes"

    def run(self, graph: Graph) -> bool:
        """Move them here and in subgraphs."""
        return any([_sink(part) for part in (graph, *graph.subgraphs())])  # every part


@dataclass(frozen=True)
class _Chain:
    """A Reshape and the operators behind it, the last of which makes a coordinate."""

    reshape: Node
    nodes: tuple[Node, ...]


def _sink(graph: Graph) -> bool:
    local = {id(node) for node in graph.nodes}
    changed = False
    for node in graph.topological():
        chain = _chain_before(node, local) if _rounds(node) else None
        if chain is not None:
            _move(graph, chain)
            changed = True
    return changed


def _rounds(node: Node) -> bool:
    if operator(node) != "Cast":
        return operator(node) in ROUNDINGS
    kinds = [t.dtype.kind if isinstance(t.dtype, np.dtype) else "?" for t in (node.inputs[0], node.outputs[0])]
    return kinds[0] == "f" and kinds[1] in "iu"


def _chain_before(node: Node, local: set[int]) -> _Chain | None:
    """The way up from a rounding to a Reshape, through operators whose other operands are single numbers."""
    tensor, nodes = node.inputs[0], list[Node]()
    while len(tensor.inputs) == 1 and id(tensor.inputs[0]) in local:
        maker = tensor.inputs[0]
        if operator(maker) in ("Reshape", "Flatten"):
            chain = _Chain(maker, tuple(reversed(nodes)))
            return chain if nodes and _merges(maker) and (not _takes(nodes[-1]) or _keeps_last(maker)) else None
        if _takes(maker):
            nodes.append(maker)
            tensor = maker.inputs[0]
            if [operator(n) for n in tensor.inputs] != ["Reshape"]:
                return None
            continue
        varying = [t for t in maker.inputs if varies(t)]
        if operator(maker) not in ARITHMETIC or len(varying) != 1 or len(maker.outputs) != 1:
            return None
        nodes.append(maker)
        tensor = varying[0]
    return None


def _takes(node: Node) -> bool:
    """Whether it takes one place of the second axis of two, the x or the y of points in rows."""
    axes = node.inputs[0].shape if operator(node) == "Gather" else None
    index = node.inputs[1] if axes is not None and len(axes) == 2 else None
    return isinstance(index, Constant) and index.shape in ((), []) and node.attrs.get("axis", 0) in (1, -1)


def _keeps_last(node: Node) -> bool:
    """Whether a Reshape leaves the last axis, of known size, as it is."""
    before, after = node.inputs[0].shape, node.outputs[0].shape
    return isinstance(after[-1], int) and before[-1] == after[-1]


def varies(tensor: Tensor) -> bool:
    """Whether it is there, and more than a single number, which adds no axis to what it meets."""
    return not tensor.is_empty() and (tensor.shape is None or list(tensor.shape) not in ([], [1]))


def _merges(node: Node) -> bool:
    """Whether it puts several axes into one, at sizes that are not all known."""
    before, after = node.inputs[0].shape, node.outputs[0].shape
    if before is None or after is None or not 0 < len(after) < len(before):
        return False
    return not all(isinstance(size, int) for size in (*before, *after))


def _move(graph: Graph, chain: _Chain) -> None:
    last = chain.nodes[-1].outputs[0]
    builder = Builder(graph, last.name)
    source = chain.reshape.inputs[0]
    moved, before = source, chain.reshape.outputs[0]
    taken = _takes(chain.nodes[0])
    dims = source.shape[:-1] if taken else source.shape
    for node in chain.nodes:
        operands = [moved if t is before else None if t.is_empty() else t for t in node.inputs]
        attrs = {"axis": len(dims)} if taken and before is chain.reshape.outputs[0] else node.attrs
        before = node.outputs[0]
        moved = builder.op(node.op, *operands, dtype=before.dtype, shape=dims, **attrs)
    shape = [builder.const([-1])] if taken else chain.reshape.inputs[1:]
    flat = builder.op(chain.reshape.op, moved, *shape, dtype=last.dtype, shape=last.shape, **chain.reshape.attrs)
    graph.replace_all_uses(last, flat)
