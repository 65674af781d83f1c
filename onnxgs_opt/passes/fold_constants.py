"""Replace what can be computed beforehand by its value, where the value is small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxgs_opt.ir import Constant, Node, Tensor
from onnxgs_opt.ir.constants import byte_count, constant_value, plain_attributes, small_value
from onnxgs_opt.ir.evaluator import EVALUATORS, evaluate
from onnxgs_opt.ir.graph import Graph, as_constant
from onnxgs_opt.ir.operators import SIZES, operator

_ALWAYS_SMALL = 64  # elements: not more than the node that it replaces


@dataclass(frozen=True)
class FoldConstants:
    """Evaluate standard operators on constants and on known shapes, dim by dim where others are open.

    Values up to 4096 elements are followed; one of more than 64 is stored only when no more bytes are
    stored than go away with the node's own constants, so that no file grows. Constant nodes become
    initialisers, save in functions, which have none. What makes a graph output stays.
    """

    name: str = "fold-constants"

    def run(self, graph: Graph) -> bool:
        """Fold here, in subgraphs and in functions."""
        return any([_fold(part, part is graph) for part in (graph, *graph.subgraphs())])  # every part


@dataclass
class _Known:
    """Values found on the way, by tensor id. Partly known shapes are arrays of objects."""

    graph: Graph
    trusts_shapes: bool
    values: dict[int, NDArray[Any] | None] = field(default_factory=dict)
    results: dict[int, tuple[NDArray[Any], ...]] = field(default_factory=dict)

    def of(self, tensor: Tensor) -> NDArray[Any] | None:
        if id(tensor) not in self.values:
            self.values[id(tensor)] = _small_number(tensor) if isinstance(tensor, Constant) else None
        return self.values[id(tensor)]

    def visit(self, node: Node) -> None:
        results = self._evaluate(node)
        if results is None or len(results) != len(node.outputs):  # the file says more outputs than the operator has
            return
        for tensor, value in zip(node.outputs, results, strict=True):
            self.values[id(tensor)] = _whole(value)
        if all(_is_number(self.values[id(t)]) for t in node.outputs):
            self.results[id(node)] = tuple(self.values[id(t)] for t in node.outputs)  # type: ignore[misc]

    def _evaluate(self, node: Node) -> tuple[NDArray[Any], ...] | None:
        if not operator(node):
            return None
        if node.op == "Constant":
            value = _small_number(node.outputs[0])
            return None if value is None else (value,)
        if node.op not in EVALUATORS or not node.inputs:
            return None
        if node.op in SIZES:
            return self._shape(node)
        inputs = [None if t.is_empty() else self.of(t) for t in node.inputs]
        if any(v is None and not t.is_empty() for v, t in zip(inputs, node.inputs, strict=True)):
            return None
        if any(isinstance(value, Node.AttributeRef) for value in node.attrs.values()):
            return None
        return evaluate(node.op, inputs, plain_attributes(node.attrs), self.graph.opset, len(node.outputs))

    def _shape(self, node: Node) -> tuple[NDArray[Any], ...] | None:
        dims = self._dims(node.inputs[0])
        if dims is None or not all(isinstance(value, int) for value in node.attrs.values()):
            return None
        if node.op == "Size":
            known = [d for d in dims if d is not None]
            return None if len(known) < len(dims) else (np.asarray(np.prod(known, dtype=np.int64)),)
        shape = np.empty(len(dims), object)
        shape[:] = dims
        return (shape[node.attrs.get("start", 0) : node.attrs.get("end")],)

    def _dims(self, tensor: Tensor) -> list[int | None] | None:
        """Shape with None for open dims; None when nothing is known that can be believed."""
        value = self.of(tensor)
        if value is not None:
            return list(value.shape)
        source = _literal_tensor(tensor)
        if source is None and not self.trusts_shapes:
            return None
        shape = tensor.shape if source is None else source.shape
        if shape is None or getattr(tensor, "type", "tensor_type") != "tensor_type":
            return None
        return [d if isinstance(d, int) and d >= 0 else None for d in shape]


def _fold(graph: Graph, trusts_shapes: bool) -> bool:
    known = _Known(graph, trusts_shapes)
    order = graph.topological()
    for node in order:
        known.visit(node)
    outputs = {id(t) for t in graph.outputs}
    gone: dict[int, Node] = {}
    stored: list[tuple[Tensor, Any]] = []
    for node in reversed(order):
        values = _values_to_store(graph, node, known, gone, outputs)
        if values is not None:
            gone[id(node)] = node
            stored += values
    graph.remove_nodes(list(gone.values()))
    for tensor, value in reversed(stored):
        as_constant(graph, tensor, value)
    return bool(gone)


def _values_to_store(
    graph: Graph, node: Node, known: _Known, gone: dict[int, Node], outputs: set[int]
) -> list[tuple[Tensor, Any]] | None:
    """Outputs that remaining nodes read, with their values; None when the node has to stay."""
    constant = _literal(graph, node)
    results = known.results.get(id(node))
    if (results is None and constant is None) or any(id(t) in outputs for t in node.outputs):
        return None
    if constant is not None:
        needed = any(id(n) not in gone for n in node.outputs[0].outputs)
        return [(node.outputs[0], constant)] if needed else []
    pairs = [
        (t, value)
        for t, value in zip(node.outputs, results or (), strict=True)
        if any(id(n) not in gone for n in t.outputs)
    ]
    large = sum(value.nbytes for _, value in pairs if value.size > _ALWAYS_SMALL)
    return pairs if large <= _freed(node.inputs) or not large else None


def _literal(graph: Graph, node: Node) -> Any:
    """What a Constant node holds, undecoded where it is a tensor; None when it stays a node."""
    if operator(node) != "Constant" or graph.is_function:
        return None
    value = node.attrs.get("value")
    if isinstance(value, Constant):
        return value._values
    return constant_value(node.outputs[0])


def _literal_tensor(tensor: Tensor) -> Constant | None:
    """The constant that a tensor is, or that a Constant node makes of it, however big."""
    if isinstance(tensor, Constant):
        return tensor
    value = tensor.inputs[0].attrs.get("value") if tensor.inputs and operator(tensor.inputs[0]) == "Constant" else None
    return value if isinstance(value, Constant) else None


def _freed(inputs: Sequence[Tensor]) -> int:
    """Bytes of the constants that only this node reads."""
    own = [t for t in inputs if len(t.outputs) == 1 and not (t.inputs and operator(t.inputs[0]) != "Constant")]
    return sum(map(byte_count, own))


def _small_number(tensor: Tensor) -> NDArray[Any] | None:
    value = small_value(tensor)
    return None if value is None or value.dtype.kind not in "biuf" else value


def _whole(value: NDArray[Any]) -> NDArray[Any]:
    """A shape whose dims are all known is an ordinary int64 array."""
    if value.dtype != object or any(d is None for d in value.reshape(-1)):
        return value
    return value.astype(np.int64)


def _is_number(value: NDArray[Any] | None) -> bool:
    return value is not None and value.dtype != object
