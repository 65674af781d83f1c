"""Graphsurgeon objects to ONNX protobuf: the original messages where nothing changed, in a valid order."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto
from onnx_graphsurgeon.exporters.onnx_exporter import OnnxExporter
from onnx_graphsurgeon.ir.tensor import LazyValues, SparseValues

from onnxgs_opt.ir.importer import FIRST_IR_WITH_FREE_INITIALIZERS, shell_of
from onnxgs_opt.ir.operators import DEFAULT_DOMAINS
from onnxgs_opt.ir.traversal import node_subgraphs, sort_nodes

_PLAIN = (int, float, str, list)


def to_onnx_type(dtype: Any) -> int:
    """ONNX element type of a numpy dtype, or of an ONNX element type already."""
    return dtype if isinstance(dtype, int) else int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def export_model(graph: gs.Graph, shell: ModelProto) -> ModelProto:
    """Make a model of the graph objects, inside the envelope that the original came in."""
    model = deepcopy(shell)
    export_graph(graph, model.graph, set(), model.ir_version, is_body=False)
    for function in graph.functions:
        export_function(function, model.functions.add())
    _import_used_domains(model.opset_import, graph)
    return model


def export_graph(graph: gs.Graph, proto: GraphProto, owned: set[int], ir: int, is_body: bool = True) -> None:
    """Fill ``proto``; ``owned`` are the ids of the constants that enclosing graphs already hold.

    Before IR 4 an initialiser is an input too, and a branch has none: there, new constants of a body are nodes.
    """
    state = graph.__dict__
    shell = state.get("origin")
    if shell is not None:
        proto.CopyFrom(shell)
    proto.name = graph.name
    nodes = sort_nodes(graph.nodes)
    constants = _own_constants(graph, nodes, owned)
    owned = owned | {id(c) for c in constants}
    order = state.get("initializer_order", {})
    if is_body and ir < FIRST_IR_WITH_FREE_INITIALIZERS:
        _export_as_nodes([c for c in constants if c.name not in order], proto)
        constants = [c for c in constants if c.name in order]
    for node in nodes:
        export_node(node, proto.node, owned, ir)
    held = [*constants, *state.get("defaults", ())]
    for constant in sorted(held, key=lambda c: order.get(c.name, len(order))):
        export_constant(constant, proto)
    _export_inputs(graph, proto, constants, ir)
    for tensor in graph.outputs:
        export_info(tensor, proto.output, stays=True)
    _export_value_infos(graph, nodes, constants, proto.value_info)


def _export_as_nodes(constants: Sequence[gs.Constant], proto: GraphProto | FunctionProto) -> None:
    for constant in constants:
        node = proto.node.add(op_type="Constant", output=[constant.name])
        node.attribute.add(name="value", type=AttributeProto.TENSOR, t=export_tensor(constant))


def _export_value_infos(graph: gs.Graph, nodes: list[gs.Node], constants: list[gs.Constant], target: Any) -> None:
    """Describe what the original described, in its order, and what no shape inference can know."""
    outer = {id(t) for t in (*graph.inputs, *graph.outputs)}
    told = {c.name: c for c in constants if "info" in c.__dict__}
    for node in nodes:
        custom = node.domain is not None and node.domain not in DEFAULT_DOMAINS
        for tensor in node.outputs:
            known = "origin" in tensor.__dict__ or (custom and tensor.dtype is not None)
            if known and id(tensor) not in outer:
                told[tensor.name] = tensor
    for info in graph.__dict__.get("value_infos", ()):
        tensor = told.pop(info.name, None)
        if isinstance(tensor, gs.Constant):
            _append_info(info, target)
        elif tensor is not None:
            export_info(tensor, target)
    for tensor in told.values():
        if not isinstance(tensor, gs.Constant):
            export_info(tensor, target)


def _own_constants(graph: gs.Graph, nodes: Sequence[gs.Node], owned: set[int]) -> list[gs.Constant]:
    found = {id(c): c for c in graph.__dict__.get("constants", ()) if isinstance(c, gs.Constant)}
    for tensor in (*(t for n in nodes for t in n.inputs), *graph.outputs):
        if isinstance(tensor, gs.Constant) and not tensor.inputs and id(tensor) not in owned:
            found.setdefault(id(tensor), tensor)
    return list(found.values())


def _export_inputs(graph: gs.Graph, proto: GraphProto, constants: list[gs.Constant], ir: int) -> None:
    """List the inputs in their original order, with the initialisers that were listed among them."""
    live = {id(t) for t in graph.inputs}
    by_name = {t.name: t for t in (*constants, *graph.inputs)}
    for info in graph.__dict__.get("input_infos", ()):
        tensor = by_name.pop(info.name, None)
        if tensor is None:
            continue
        if isinstance(tensor, gs.Constant):
            _append_info(info, proto.input)
        else:
            live.discard(id(tensor))
            export_info(tensor, proto.input)
    for tensor in (t for t in graph.inputs if id(t) in live):
        export_info(tensor, proto.input)
    if ir < FIRST_IR_WITH_FREE_INITIALIZERS:
        for constant in (c for c in constants if c.name in by_name):
            export_info(constant, proto.input)


def export_function(function: gs.Function, proto: FunctionProto) -> None:
    """Fill ``proto`` with a model-local function."""
    proto.CopyFrom(function.origin)
    proto.input.extend(t.name for t in function.inputs)
    proto.output.extend(t.name for t in function.outputs)
    nodes = sort_nodes(function.nodes)
    # A function has no initialisers: constants are nodes, in front.
    constants = _own_constants(function, nodes, set())
    _export_as_nodes(constants, proto)
    for node in nodes:
        export_node(node, proto.node, {id(c) for c in constants}, onnx.IR_VERSION)
    _export_value_infos(function, nodes, constants, proto.value_info)
    _import_used_domains(proto.opset_import, function)


def _import_used_domains(imports: Any, graph: gs.Graph) -> None:
    known = {"" if i.domain in DEFAULT_DOMAINS else i.domain for i in imports}
    todo = list(graph.nodes)
    while todo:
        node = todo.pop()
        todo.extend(inner for body in node_subgraphs(node) for inner in body.nodes)
        if node.domain and node.domain not in known and node.domain not in DEFAULT_DOMAINS:
            known.add(node.domain)
            imports.add(domain=node.domain, version=1)


def export_tensor(constant: gs.Constant) -> TensorProto:
    """Tensor message of a constant: the original one where it is not decoded, so weights stay outside."""
    values = constant._values
    if not isinstance(values, LazyValues):
        return onnx.numpy_helper.from_array(np.asarray(values), constant.name)
    original: TensorProto = values.tensor
    if original.name == constant.name:
        return original
    renamed = deepcopy(original)
    renamed.name = constant.name
    return renamed


def export_constant(constant: gs.Constant | TensorProto, proto: GraphProto) -> None:
    """Append a constant to the initialisers of a graph."""
    if isinstance(constant, TensorProto):
        proto.initializer.append(constant)
        return
    if isinstance(constant._values, SparseValues):
        sparse = proto.sparse_initializer.add()
        sparse.CopyFrom(constant._values.tensor)
        sparse.values.name = constant.name
        return
    proto.initializer.append(export_tensor(constant))


def export_info(tensor: gs.Tensor, target: Any, stays: bool = False) -> None:
    """Append the description of a tensor: the original one where it still holds, or `stays` whatever is known."""
    info = tensor.__dict__.get("origin", (None,))[0]
    if info is not None and (stays or describes(tensor)):
        _append_info(info, target)
        if info.name != tensor.name:
            target[-1].name = tensor.name
        return
    if tensor.dtype is None:
        target.add(name=tensor.name)
        return
    shape = None if tensor.shape is None else list(tensor.shape)
    made = onnx.helper.make_tensor_type_proto(to_onnx_type(tensor.dtype), shape)
    target.add(name=tensor.name, type=made)
    if info is not None:
        target[-1].metadata_props.extend(info.metadata_props)
        if info.doc_string:
            target[-1].doc_string = info.doc_string


def _append_info(info: ValueInfoProto, target: Any) -> None:
    """Append a description; a size below 0, which some exporters write for one that they do not know, is left out.

    Beside new nodes it would be computed with: onnx's checker refuses to add sizes of -1, and dies of smaller ones.
    """
    target.append(info)
    for dim in target[-1].type.tensor_type.shape.dim:
        if dim.dim_value < 0:
            dim.ClearField("dim_value")


def describes(tensor: gs.Tensor) -> bool:
    """Whether the file's description of a tensor is right, if perhaps less precise than what is known."""
    info, dtype, shape = tensor.__dict__.get("origin", (None, None, None))
    if info is None or tensor.dtype is None or shape is None or tensor.shape == shape:
        return info is not None and (tensor.dtype is None or dtype is None or tensor.dtype == dtype)
    if tensor.shape is None:
        return bool(tensor.dtype == dtype)
    if tensor.dtype != dtype or len(tensor.shape) != len(shape):
        return False
    return all(not isinstance(a, int) or a == b for a, b in zip(shape, tensor.shape, strict=True))


def export_node(node: gs.Node, target: Any, owned: set[int], ir: int) -> None:
    """Append the message of a node; ``owned`` are the constants that its bodies need not hold."""
    proto, snapshot = node.__dict__.get("origin", (None, {}))
    inputs, outputs = [t.name for t in node.inputs], [t.name for t in node.outputs]
    if proto is not None and not node_subgraphs(node) and _same(node, proto, snapshot, inputs, outputs):
        target.append(proto)
        return
    made = shell_of(proto, ("attribute", "input", "output")) if proto is not None else NodeProto()
    if node.op != made.op_type or (node.domain or "") != made.domain:
        made.overload = ""
    made.op_type = node.op
    if node.name != made.name:
        made.name = node.name
    if (node.domain or "") != made.domain:
        made.domain = node.domain
    made.input.extend(inputs)
    made.output.extend(outputs)
    originals = {a.name: a for a in proto.attribute} if proto is not None else {}
    for name, value in node.attrs.items():
        _export_attribute(name, value, snapshot.get(name), originals.get(name), made, owned, ir)
    target.append(made)


def _same(node: gs.Node, proto: NodeProto, snapshot: dict[str, Any], inputs: Any, outputs: Any) -> bool:
    return (
        proto.op_type == node.op
        and proto.name == node.name
        and proto.domain == (node.domain or "")
        and proto.input == inputs
        and proto.output == outputs
        and len(snapshot) == len(node.attrs)
        and all(name in snapshot and _unchanged(v, snapshot[name]) for name, v in node.attrs.items())
    )


def _unchanged(value: Any, before: Any) -> bool:
    # Tensors of one name compare equal, so only plain values may be compared by value.
    if isinstance(value, gs.Constant):
        return value is before and isinstance(value._values, LazyValues)
    return value is before or (type(value) is type(before) and type(value) in _PLAIN and value == before)


def _export_attribute(
    name: str, value: Any, before: Any, original: AttributeProto | None, node: NodeProto, owned: set[int], ir: int
) -> None:
    if isinstance(value, gs.Graph):
        made = node.attribute.add(name=name, type=AttributeProto.GRAPH)
        export_graph(value, made.g, owned, ir)
    elif isinstance(value, AttributeProto):
        node.attribute.append(value)
    elif original is not None and _unchanged(value, before):
        node.attribute.append(original)
    elif isinstance(value, gs.Constant):
        node.attribute.add(name=name, type=AttributeProto.TENSOR, t=export_tensor(value))
    else:
        node.attribute.extend(OnnxExporter.export_attributes({name: value}))
