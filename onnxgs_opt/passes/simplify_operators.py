"""Replace operators that exporters leave to an optimiser by those that say the same with types and numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from onnxgs_opt.ir import Node, Tensor
from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.ir.constants import small_value
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.ir.operators import operator


@dataclass(frozen=True)
class SimplifyOperators:
    """CastLike becomes Cast; what is taken out of a sequence becomes a Slice of what it was split from, or its element.

    A OneHot of constant indices becomes a Gather of its values. A CastLike of unknown type stays, and so does a
    sequence whose parts are not known by number.
    """

    name: str = "simplify-operators"

    def run(self, graph: Graph) -> bool:
        """Replace them here and in bodies; what a function is called with may have any type."""
        return any([_simplify(part) for part in (graph, *graph.bodies())])  # every part, not up to the first


def _simplify(graph: Graph) -> bool:
    gone = []
    for node in graph.topological():
        rule, count = SIMPLIFIED.get(operator(node)), len(graph.nodes)
        new = None if rule is None else rule(graph, node)
        if new is None:
            continue
        is_made = any(maker is made for made in graph.nodes[count:] for maker in new.inputs)
        (graph.stand_in if is_made else graph.replace_all_uses)(node.outputs[0], new)
        gone.append(node)
    graph.remove_nodes(gone)
    return bool(gone)


def _cast_like(graph: Graph, node: Node) -> Tensor | None:
    dtype = node.inputs[1].dtype
    return None if dtype is None else _builder(graph, node).cast(node.inputs[0], dtype)


def _sequence_at(graph: Graph, node: Node) -> Tensor | None:
    position = small_value(node.inputs[1])
    if position is None:
        return None
    place, elements = int(position.reshape(-1)[0]), _elements(node.inputs[0])
    if elements is not None:
        return elements[place] if -len(elements) <= place < len(elements) else None
    maker = _maker(node.inputs[0])
    return None if maker is None or operator(maker) != "SplitToSequence" else _part(graph, maker, place)


def _part(graph: Graph, split: Node, place: int) -> Tensor | None:
    """The part of a SplitToSequence at a place; None where it is not known which elements those are."""
    sizes = small_value(split.inputs[1]) if len(split.inputs) > 1 else None
    if len(split.inputs) > 1 and sizes is None:
        return None
    axis, builder = int(split.attrs.get("axis", 0)), _builder(graph, split)
    if sizes is None or sizes.ndim == 0:
        size = 1 if sizes is None else int(sizes)
        if place < 0:
            return None
        part = builder.slice(split.inputs[0], axis, place * size, (place + 1) * size)
        return part if split.attrs.get("keepdims", 1) or sizes is not None else builder.squeeze(part, [axis])
    if not -len(sizes) <= place < len(sizes):
        return None
    first = int(sizes[: place % len(sizes)].sum())
    return builder.slice(split.inputs[0], axis, first, first + int(sizes[place]))


def _concat_from_sequence(graph: Graph, node: Node) -> Tensor | None:
    elements, axis, builder = _elements(node.inputs[0]), int(node.attrs["axis"]), _builder(graph, node)
    if not elements or not node.attrs.get("new_axis", 0):
        return builder.concat(elements, axis) if elements else None
    if axis < 0 and elements[0].shape is None:
        return None
    axis += len(elements[0].shape or ()) + 1 if axis < 0 else 0
    return builder.concat([builder.unsqueeze(t, [axis]) for t in elements], axis)


def _one_hot(graph: Graph, node: Node) -> Tensor | None:
    """Its two values, read at constant places: an exporter writes so how often a tensor is repeated along one axis."""
    indices, depth = (small_value(tensor) for tensor in node.inputs[:2])
    if indices is None or depth is None or indices.dtype.kind != "i":
        return None
    count = int(depth.reshape(-1)[0])
    places = np.where(indices < 0, indices + count, indices)[..., None] == np.arange(count)
    chosen = np.moveaxis(places, -1, int(node.attrs.get("axis", -1)))
    builder = _builder(graph, node)
    return builder.op("Gather", node.inputs[2], builder.const(chosen.astype(np.int64), np.int64), axis=0)


def _elements(sequence: Tensor) -> list[Tensor] | None:
    """The tensors that a sequence was put together from, in their order; None where that is not known."""
    node = _maker(sequence)
    if node is None or operator(node) != "SequenceInsert":
        known = node is not None and operator(node) in ("SequenceConstruct", "SequenceEmpty")
        return list(node.inputs) if node is not None and known else None
    before = _elements(node.inputs[0])
    place = small_value(node.inputs[2]) if len(node.inputs) > 2 else np.asarray(len(before or ()))
    if before is None or place is None:
        return None
    before.insert(int(place.reshape(-1)[0]), node.inputs[1])
    return before


def _maker(tensor: Tensor) -> Node | None:
    return tensor.inputs[0] if tensor.inputs else None


def _builder(graph: Graph, node: Node) -> Builder:
    return Builder(graph, node.name or node.op)


SIMPLIFIED: Mapping[str, Callable[[Graph, Node], Tensor | None]] = {
    "CastLike": _cast_like,
    "ConcatFromSequence": _concat_from_sequence,
    "OneHot": _one_hot,
    "SequenceAt": _sequence_at,
}
