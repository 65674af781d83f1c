"""What is legal in a model and goes wrong in some runtime, or for some input."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from onnxgs_opt.diagnostics import CODES, Remark
from onnxgs_opt.ir import Body, Constant, Node, Tensor
from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.ir.exporter import to_onnx_type
from onnxgs_opt.ir.operators import ARITHMETIC, BOUNDED, INTEGER, MOVES, READS, ROUNDS, operator
from onnxgs_opt.ir.traversal import node_subgraphs
from onnxgs_opt.recognition.grid_sample import OP as GRID_SAMPLE
from onnxgs_opt.recognition.grid_sample import is_linear
from onnxgs_opt.samplers.site import StructuralSite

RENAMED_IN = 20
"""Opset that calls bilinear linear."""

INTEGER_CLIP_SINCE = 12
FIRST = MOVES | {"Gather"}
"""Operators whose results are numbers of their first input."""

COMPUTED = ARITHMETIC | ROUNDS | {"Concat"}
"""Operators whose results are made of the numbers of all their inputs, and of their type."""

MAX_STEPS = 64


def node_hazards(graph: Body) -> tuple[Remark, ...]:
    """What single nodes of a graph show by themselves, those of its subgraphs included."""
    return (*_of_nodes(graph.nodes, int(graph.opset or 0)), *_partial_shapes(graph.nodes))


def read_hazards(scope: Scope, sums: Sequence[StructuralSite]) -> tuple[Remark, ...]:
    """What is wrong with the indices of one graph's reads; `sums` are those that no policy was proven of."""
    return (*_half_indices(scope), *_wrapping(scope, sums))


def _remark(code: str, node: Node, condition: str) -> Remark:
    return Remark(code, node.name, condition, CODES[code].action)


def _of_nodes(nodes: Iterable[Node], opset: int) -> Iterator[Remark]:
    """Hazards that one node shows by itself."""
    for node in nodes:
        if operator(node) == GRID_SAMPLE and len(node.inputs) > 1:  # at opsets without it, anything is called so
            yield from _of_grid_sample(node, opset)
        if operator(node) == "Clip" and 0 < opset < INTEGER_CLIP_SINCE and _is_integer(node.inputs[0]):
            yield _remark("GSO204", node, f"clamps integers at opset {opset}")
        for body in node_subgraphs(node):
            yield from _of_nodes(body.nodes, opset)


def _partial_shapes(nodes: Iterable[Node]) -> Iterator[Remark]:
    """One remark, at the first Shape that leaves dims out: exporters write one for every size that they need."""
    parts = list(_parts_of_shapes(nodes))
    if parts:
        others = f", as {len(parts) - 1} others do" if len(parts) > 1 else ""
        yield _remark("GSO205", parts[0], f"takes part of the shape of '{parts[0].inputs[0].name}'{others}")


def _parts_of_shapes(nodes: Iterable[Node]) -> Iterator[Node]:
    for node in nodes:
        if operator(node) == "Shape" and _takes_part(node):
            yield node
        for body in node_subgraphs(node):
            yield from _parts_of_shapes(body.nodes)


def _takes_part(node: Node) -> bool:
    """Whether a Shape leaves dims out; where the rank is not known, any bound but 0 may."""
    shape = node.inputs[0].shape
    start, end = int(node.attrs.get("start", 0)), node.attrs.get("end")
    if shape is None:
        return start != 0 or end is not None
    return len(range(len(shape))[start : None if end is None else int(end)]) != len(shape)


def _of_grid_sample(node: Node, opset: int) -> Iterator[Remark]:
    if opset >= RENAMED_IN and is_linear(node):
        yield _remark("GSO201", node, f"mode linear at opset {opset}")
    if _is_half(node.inputs[1]):
        yield _remark("GSO202", node, f"the grid '{node.inputs[1].name}' is fp16")


def _is_half(tensor: Tensor) -> bool:
    return tensor.dtype is not None and not isinstance(tensor.dtype, int) and np.dtype(tensor.dtype) == np.float16


def _is_integer(tensor: Tensor) -> bool:
    """Whether a tensor holds integers; where the file does not say, its makers do."""
    for _ in range(MAX_STEPS):
        if tensor.dtype is not None:
            return str(tensor.dtype).startswith(("int", "uint"))
        node = tensor.inputs[0] if tensor.inputs else None
        if node is None or not node.inputs:
            return False
        if operator(node) in INTEGER:
            return True
        if operator(node) == "Cast":
            return int(node.attrs["to"]) in (to_onnx_type(np.int64), to_onnx_type(np.int32))
        if operator(node) not in COMPUTED | FIRST:
            return False
        tensor = node.inputs[0]
    return False


def _half_indices(scope: Scope) -> Iterator[Remark]:
    """The first read of each tensor whose index was a half-precision number."""
    halves: set[str] = set()
    seen: set[str] = set()
    own = set(map(id, scope.own))
    for node in scope.nodes:
        reads = operator(node) in READS and id(node) in own
        if reads and node.inputs[1].name in halves and node.inputs[0].name not in seen:
            seen.add(node.inputs[0].name)
            yield _remark("GSO202", node, f"its index '{node.inputs[1].name}' comes from fp16 numbers")
        from_half = operator(node) == "Cast" and _is_half(node.inputs[0]) and _is_integer(node.outputs[0])
        if from_half or (_values(node) and any(t.name in halves for t in _values(node))):
            halves.update(t.name for t in node.outputs)


def _values(node: Node) -> list[Tensor]:
    """The inputs whose numbers are those of the result: none of an operator that makes others."""
    if operator(node) in FIRST:
        return list(node.inputs[:1])
    if operator(node) in COMPUTED:
        return list(node.inputs)
    return list(node.inputs[1:]) if operator(node) == "Where" else []


def _wrapping(scope: Scope, sums: Sequence[StructuralSite]) -> Iterator[Remark]:
    """Sums whose indices are computed from coordinates that nothing keeps in the image: one below 0 wraps."""
    for site in sums:
        loose = next((name for name in site.indices if is_loose(scope, name)), None)
        if loose is not None:
            node = scope.producer[site.results[site.indices.index(loose)]][0]
            yield _remark("GSO203", node, f"nothing bounds its index '{loose}'")


def is_loose(scope: Scope, index: str) -> bool:
    """Whether a float is rounded to make an index, and comes to it past every clamp, mask and modulo."""
    seen: set[tuple[str, bool]] = set()
    pending = [(index, False)]
    while pending:
        name, rounded = pending.pop()
        if (name, rounded) in seen or isinstance(scope.tensors[name], Constant):
            continue
        seen.add((name, rounded))
        node, _ = scope.producer.get(name, (None, 0))
        values = [] if node is None else _values(node)
        if node is not None and operator(node) in BOUNDED:
            continue
        if rounded and not values:
            return True
        rounded |= node is not None and operator(node) in ROUNDS | {"Cast"} and not _is_integer(node.inputs[0])
        pending += [(t.name, rounded) for t in values if t.name]
    return False
