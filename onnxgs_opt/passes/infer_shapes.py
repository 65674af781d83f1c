"""Fill in element types and shapes that follow from the inputs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

from onnxgs_opt.ir import Body, Constant, Node, Tensor
from onnxgs_opt.ir.constants import constant_value, small_value
from onnxgs_opt.ir.exporter import describes, export_constant, export_function, export_info, export_node, to_onnx_type
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.ir.importer import Known, known_type
from onnxgs_opt.ir.operators import DEFAULT_DOMAINS, first_name, operator
from onnxgs_opt.ir.traversal import bodies_of, node_subgraphs

_LOWEST_IR = 8  # below it the library wants every initialiser among the inputs, or knows no functions
LONG_ROW, LONG_TENSOR = 2**18, 2**22
"""Elements of a static row, and of another static tensor, beyond which the values of shapes are not followed."""

_GENERATED = "unk__"  # first part of the names that the library gives to unknown dims


@dataclass(frozen=True)
class InferShapes:
    """Run ONNX shape inference on a copy without weights and descriptions, and take over what it finds.

    Shapes follow from those of the model's inputs. What else the file says of shapes is not believed, for it may be
    left over from other sizes, but for results of operators of other domains, of which nothing else is known. The
    file's own words stay in it where they contradict nothing; those of outputs always do.
    """

    name: str = "infer-shapes"

    def run(self, graph: Graph) -> bool:
        """Fill in types of the main graph and of subgraphs; of a model that cannot be inferred, no shape is known."""
        inferred = _skeleton(graph)
        with suppress(onnx.shape_inference.InferenceError, RuntimeError, ValueError, TypeError, MemoryError):
            skeleton = inferred
            inferred = onnx.shape_inference.infer_shapes(skeleton)
            if not _holds_long_rows(inferred.graph, {t.name for t in graph.inputs}):
                inferred = onnx.shape_inference.infer_shapes(skeleton, data_prop=True)
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
        _add_type(tensor, model.graph.output)
    _undescribe(model.graph)
    foreign = (t for node in graph.nodes if not operator(node) for t in node.outputs)
    for tensor in (t for t in foreign if t.name and t.shape is not None):
        export_info(tensor, model.graph.value_info)
    for function in graph.gs.functions:
        export_function(function, model.functions.add())
    return model


def _add_input(tensor: Tensor, proto: GraphProto) -> None:
    source = constant_value(tensor) if tensor.dtype is None else tensor
    if source is not None:
        elem_type, shape = to_onnx_type(source.dtype), list(source.shape)
        proto.input.append(onnx.helper.make_tensor_value_info(tensor.name, elem_type, shape))


def _add_type(tensor: Tensor, infos: Any) -> None:
    """A tensor's element type, without a shape."""
    infos.add(name=tensor.name)
    if tensor.dtype is not None:
        infos[-1].type.tensor_type.elem_type = to_onnx_type(tensor.dtype)


def _undescribe(graph: GraphProto) -> None:
    """Take out what the bodies of a graph say of shapes, but for results of operators of other domains."""
    for body in (body for node in graph.node for body in bodies_of(node)):
        foreign = {name for node in body.node if node.domain not in DEFAULT_DOMAINS for name in node.output}
        kept = [info for info in body.value_info if info.name in foreign]
        del body.value_info[:]
        body.value_info.extend(kept)
        for info in body.output:
            if info.name not in foreign and info.type.HasField("tensor_type"):
                info.type.tensor_type.ClearField("shape")
        _undescribe(body)


def _take_over(graph: Body, proto: GraphProto) -> bool:
    found = {info.name: _without_generated(known_type(info.type)) for info in (*proto.value_info, *proto.output)}
    made = ((t, bool(operator(node))) for node in graph.nodes for t in node.outputs if t.name)
    changed = [_refine(t, found.get(t.name, (None, None)), standard) for t, standard in made]
    by_output = {next(filter(None, n.output)): n for n in proto.node if any(n.output) and bodies_of(n)}
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


def _bodies(node: Node, proto: NodeProto | None) -> list[bool]:
    attributes = {a.name: a.g for a in proto.attribute} if proto is not None else {}
    known = [(body, attributes.get(name)) for name, body in node.attrs.items() if isinstance(body, Body)]
    turned = [body for body, _ in known] if operator(node) in ("Loop", "Scan") else []
    given = [_hold(own, first) for body in turned for own, first in _carried(node, body)]
    return given + [_take_over(body, inferred) for body, inferred in known if inferred is not None]


def _carried(node: Node, body: Body) -> Iterator[tuple[Tensor, Sequence[Any] | None]]:
    """The inputs of a loop's body, each with the shape that it has in the first turn."""
    if operator(node) == "Loop":
        yield from ((own, first.shape) for own, first in zip(body.inputs[2:], node.inputs[2:], strict=False))
        return
    states = len(body.inputs) - int(node.attrs.get("num_scan_inputs", 0))
    axes = list(node.attrs.get("scan_input_axes", ())) or [0] * len(body.inputs)
    for place, (own, first) in enumerate(zip(body.inputs, node.inputs[-len(body.inputs) :], strict=False)):
        shape = None if first.shape is None else list(first.shape)
        if shape and states <= place < states + len(axes):
            axis = axes[place - states] % len(shape)
            del shape[axis]
        yield own, shape


def _hold(carried: Tensor, first: Sequence[Any] | None) -> bool:
    """Believe of the shape that a body says a tensor has in every turn what it has in the `first` one.

    Whether what the file says of it is wrong, and is not written again.
    """
    before = carried.shape
    if before is None or first is None or len(before) != len(first):
        carried.shape = None
    else:
        carried.shape = [a if a == b else None for a, b in zip(before, first, strict=True)]
    return before != carried.shape and not describes(carried)


def _refine(tensor: Tensor, known: Known, standard: bool) -> bool:
    """Give a tensor the type that was found; whether what the file says of it is wrong, and is not written again."""
    dtype, shape = known
    before = tensor.shape
    if tensor.dtype is None:
        tensor.dtype = dtype
    tensor.shape = shape if standard or before is None else _merged(list(before), shape)
    # What makes the file's description no more than imprecise is a note in memory: the model that is
    # written stays the same.
    return "origin" in tensor.__dict__ and before != tensor.shape and not describes(tensor)


def _merged(declared: list[Any], inferred: list[Any] | None) -> list[Any]:
    if inferred is None or len(inferred) != len(declared):
        return declared
    return [b if a is None or isinstance(b, int) else a for a, b in zip(declared, inferred, strict=True)]
