"""Fill in element types and shapes that follow from the inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

from onnxgs_opt.ir import Body, Constant, Node, Tensor, Variable
from onnxgs_opt.ir.constants import constant_value, small_value
from onnxgs_opt.ir.exporter import describes, export_constant, export_function, export_info, export_node, to_onnx_type
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.ir.importer import Known, known_type
from onnxgs_opt.ir.operators import first_name, operator
from onnxgs_opt.ir.traversal import node_subgraphs

_LOWEST_IR = 8  # below it the library wants every initialiser among the inputs, or knows no functions
LONG_ROW, LONG_TENSOR = 2**18, 2**22
"""Elements of a static row, and of another static tensor, beyond which the values of shapes are not followed."""

_GENERATED = "unk__"  # first part of the names that the library gives to unknown dims


@dataclass(frozen=True)
class InferShapes:
    """Run ONNX shape inference on a copy without weights, and take over what it finds.

    It starts from the inputs alone. Where the file describes a tensor more precisely, the file is
    believed, unless it contradicts what follows from the inputs anywhere: then its descriptions are
    left over from another shape and none is believed. Outputs keep their description.
    """

    name: str = "infer-shapes"

    def run(self, graph: Graph) -> bool:
        """Fill in types of the main graph and of subgraphs; a model that cannot be inferred stays."""
        try:
            skeleton = _skeleton(graph)
            inferred = onnx.shape_inference.infer_shapes(skeleton)
            if not _holds_long_rows(inferred.graph, {t.name for t in graph.inputs}):
                inferred = onnx.shape_inference.infer_shapes(skeleton, data_prop=True)
        except (onnx.shape_inference.InferenceError, RuntimeError, ValueError, TypeError, MemoryError):
            return False
        return _take_over(graph.gs, inferred.graph)


def _holds_long_rows(graph: GraphProto, inputs: set[str]) -> bool:
    """Whether the values of shapes must not be followed: the library takes every row of numbers for a shape.

    It keeps about 150 bytes for each element of a row that is cast, added or gathered from, which takes 19 GB for one
    of 2^27 elements. Whatever is large and static may become such a row.
    """
    infos = (*graph.input, *graph.value_info, *graph.output)
    weights = {info.name for info in graph.input} - inputs
    return any(_is_long(info, info.name in weights) for info in infos)


def _is_long(info: ValueInfoProto, is_weight: bool) -> bool:
    shape = known_type(info.type)[1]
    if shape is None or any(not isinstance(dim, int) for dim in shape):
        return False
    row = len(shape) == 1
    return math.prod(shape) > (LONG_ROW if row else LONG_TENSOR) and (row or not is_weight)


def _skeleton(graph: Graph) -> ModelProto:
    """The model without descriptions and without big constants, which become inputs."""
    model = ModelProto()
    model.ir_version = max(_LOWEST_IR, graph.envelope.ir_version)
    model.opset_import.extend(graph.envelope.opset_import)
    used = {id(t): t for n in graph.nodes for t in n.inputs if isinstance(t, Constant)}
    constants = {**{id(c): c for c in graph.constants}, **used}
    for tensor in constants.values():
        if small_value(tensor) is not None:
            export_constant(tensor, model.graph)
        else:
            _add_input(tensor, model.graph)
    owned = set(constants)
    for node in graph.topological():
        if operator(node) == "Constant" and small_value(node.outputs[0]) is None:
            _add_input(node.outputs[0], model.graph)
        else:
            export_node(node, model.graph.node, owned, model.ir_version)
    for tensor in graph.inputs:
        export_info(tensor, model.graph.input)
    for tensor in graph.outputs:
        export_info(tensor, model.graph.output)
    for function in graph.gs.functions:
        export_function(function, model.functions.add())
    return model


def _add_input(tensor: Tensor, proto: GraphProto) -> None:
    source = constant_value(tensor) if tensor.dtype is None else tensor
    if source is not None:
        elem_type, shape = to_onnx_type(source.dtype), list(source.shape)
        proto.input.append(onnx.helper.make_tensor_value_info(tensor.name, elem_type, shape))


def _take_over(graph: Body, proto: GraphProto) -> bool:
    outputs = {id(t) for t in graph.outputs}
    found = {info.name: _without_generated(known_type(info.type)) for info in (*proto.value_info, *proto.output)}
    inner = [t for node in graph.nodes for t in node.outputs if id(t) not in outputs and t.name in found]
    stale = any(_contradicts(t.shape, found[t.name][1]) for t in inner)
    changed = [_refine(t, found[t.name], stale) for t in inner]
    changed += [_refine(t, found[t.name], False) for t in graph.outputs if _is_open(t, found)]
    by_output = {next(filter(None, n.output)): n for n in proto.node if any(n.output) and _has_body(n)}
    for node in graph.nodes if by_output else ():
        if node_subgraphs(node):
            changed += _bodies(node, by_output.get(first_name(node)))
    return any(changed)


def _without_generated(known: Known) -> Known:
    """A type without the names that the library made up for unknown dims."""
    dtype, shape = known
    if shape is None:
        return known
    return dtype, [None if type(d) is str and d.startswith(_GENERATED) else d for d in shape]


def _has_body(node: NodeProto) -> bool:
    return any(a.HasField("g") for a in node.attribute)


def _is_open(tensor: Tensor, found: Mapping[str, Known]) -> bool:
    return isinstance(tensor, Variable) and tensor.shape is None and tensor.name in found


def _bodies(node: Node, proto: NodeProto | None) -> list[bool]:
    attributes = {a.name: a.g for a in proto.attribute} if proto is not None else {}
    known = [(body, attributes.get(name)) for name, body in node.attrs.items() if isinstance(body, Body)]
    return [_take_over(body, inferred) for body, inferred in known if inferred is not None]


def _contradicts(declared: Sequence[Any] | None, inferred: Sequence[Any] | None) -> bool:
    if declared is None or inferred is None or declared == inferred:
        return False
    if len(declared) != len(inferred):
        return True
    return any(isinstance(a, int) and b not in (None, a) for a, b in zip(declared, inferred, strict=True))


def _refine(tensor: Tensor, known: Known, stale: bool) -> bool:
    dtype, shape = known
    before = tensor.shape
    if tensor.dtype is not None and before == shape:
        return False
    if tensor.dtype is None:
        tensor.dtype = dtype
    after = shape if stale or before is None else _merged(list(before), shape)
    tensor.shape = after
    # What makes the file's description no more than imprecise is a note in memory: the model that is
    # written stays the same.
    return "origin" in tensor.__dict__ and before != after and not describes(tensor)


def _merged(declared: list[Any], inferred: list[Any] | None) -> list[Any]:
    if inferred is None or len(inferred) != len(declared):
        return declared
    return [b if a is None or isinstance(b, int) else a for a, b in zip(declared, inferred, strict=True)]
