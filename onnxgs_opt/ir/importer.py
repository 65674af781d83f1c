"""ONNX protobuf to graphsurgeon objects, losing nothing.

graphsurgeon's own importer drops node metadata, attributes it has no type for, initialisers that are
also inputs and non-tensor types. Here every object keeps the message that it came from in ``origin``,
and the exporter hands back that message wherever nothing changed.
"""

from __future__ import annotations

import functools
import gc
import math
from collections import ChainMap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import onnx
import onnx_graphsurgeon as gs
from onnx import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    TensorShapeProto,
    TypeProto,
    ValueInfoProto,
)
from onnx_graphsurgeon.importers.onnx_importer import get_numpy_type
from onnx_graphsurgeon.ir.tensor import LazyValues, SparseValues
from onnx_graphsurgeon.util.misc import convert_from_onnx_attr_type

from onnxgs_opt.errors import ModelError
from onnxgs_opt.ir.made import new_node, new_variable
from onnxgs_opt.ir.operators import DEFAULT_DOMAINS

Scope: TypeAlias = "ChainMap[str, gs.Tensor]"
Dim: TypeAlias = "int | str | None"
Known: TypeAlias = "tuple[Any, list[Any] | None]"
"""Element type and dims of a tensor, as far as they are known."""

FIRST_IR_WITH_FREE_INITIALIZERS = 4  # before it, every initialiser is listed among the inputs
_ELEMENT_TYPES = frozenset(TensorProto.DataType.values()) - {TensorProto.UNDEFINED}
_GRAPH_BODY = ("node", "initializer", "sparse_initializer", "input", "output", "value_info")


def shell_of(message: Any, body: Sequence[str]) -> Any:
    """Copy a message without the fields named in ``body``: what the graph objects do not hold."""
    shell = type(message)()
    for field, value in message.ListFields():
        if field.name in body:
            continue
        if hasattr(value, "extend"):
            getattr(shell, field.name).extend(value)
        elif hasattr(value, "CopyFrom"):
            getattr(shell, field.name).CopyFrom(value)
        else:
            setattr(shell, field.name, value)
    return shell


def opset_of(imports: Iterable[onnx.OperatorSetIdProto]) -> int | None:
    """Version of the default ONNX domain among ``imports``, None when it is not there."""
    return next((int(i.version) for i in imports if i.domain in DEFAULT_DOMAINS), None)


@functools.cache
def from_onnx_type(elem_type: int) -> Any:
    """Numpy dtype of an ONNX element type; the enum itself where numpy has none; None if undefined."""
    if elem_type == TensorProto.UNDEFINED:
        return None
    dtype = get_numpy_type(elem_type)
    return elem_type if dtype is None else dtype


def no_text() -> ModelError:
    """What to raise for text that is not UTF-8 and that protobuf hands out as bytes."""
    return ModelError("a name in the model is not UTF-8", "the file is damaged: export the model again")


@contextmanager
def readable_text() -> Iterator[None]:
    """Raise ModelError for a name or doc string that is not UTF-8; protobuf finds it only when it is read."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise ModelError(
            f"a name or text in the model is not UTF-8: {error.reason}", "the file is damaged: export the model again"
        ) from error


@contextmanager
def paused_collector() -> Iterator[None]:
    """Keep the cyclic garbage collector from walking a growing graph over and over; a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def import_model(model: ModelProto) -> gs.Graph:
    """Make graph objects of a model; its tensors stay where they are and are referred to."""
    opset = opset_of(model.opset_import)
    functions = [import_function(f, opset) for f in model.functions]
    graph = _import_graph(model.graph, ChainMap(), opset, model.opset_import, model.ir_version, functions)
    graph.ir_version = model.ir_version
    graph.producer_name, graph.producer_version = model.producer_name, model.producer_version
    return graph


def _import_graph(
    proto: GraphProto, outer: Scope, opset: int | None, imports: Any, ir: int, functions: Sequence[Any] = ()
) -> gs.Graph:
    scope = outer.new_child()
    local = scope.maps[0]
    listed = {info.name for info in proto.input}
    # From IR 4 on an initialiser that is also an input is a default value, which callers may override.
    defaults = [t for t in proto.initializer if t.name in listed and ir >= FIRST_IR_WITH_FREE_INITIALIZERS]
    overridable = {t.name for t in defaults}
    for tensor in proto.initializer:
        constant = import_constant(tensor)
        if tensor.name not in overridable:
            local[tensor.name] = constant
    for sparse in proto.sparse_initializer:
        _check_element_type(sparse.values)
        local[sparse.values.name] = gs.Constant(sparse.values.name, SparseValues(sparse))
    constants = list(local.values())
    for info in (*proto.input, *proto.value_info, *proto.output):
        if info.name not in local:
            local[info.name] = _import_variable(info)
    _note_infos(proto.value_info, local)
    nodes = [_import_node(node, scope, opset, imports, ir) for node in proto.node]
    graph = gs.Graph(
        nodes=nodes,
        inputs=[local[i.name] for i in proto.input if not isinstance(local[i.name], gs.Constant)],
        outputs=[local[o.name] for o in proto.output],
        name=proto.name,
        doc_string=proto.doc_string,
        opset=opset,
        import_domains=imports,
        functions=functions,
    )
    graph.origin = shell_of(proto, _GRAPH_BODY)
    graph.input_infos, graph.value_infos = list(proto.input), list(proto.value_info)
    graph.defaults = defaults
    graph.initializer_order = {t.name: k for k, t in enumerate(proto.initializer)}
    graph.constants = constants
    return graph


def import_function(proto: FunctionProto, opset: int | None) -> gs.Function:
    """Make graph objects of a function body; ``opset`` is what it uses when it imports none itself."""
    opset = opset_of(proto.opset_import) or opset
    scope: Scope = ChainMap({name: new_variable(name) for name in proto.input})
    local = scope.maps[0]
    for info in proto.value_info:
        if info.name not in local:
            local[info.name] = _import_variable(info)
    nodes = [_import_node(node, scope, opset, proto.opset_import, onnx.IR_VERSION) for node in proto.node]
    function = gs.Function(
        proto.name,
        domain=proto.domain,
        nodes=nodes,
        inputs=[local[name] for name in proto.input],
        outputs=[_lookup(name, scope) for name in proto.output],
        doc_string=proto.doc_string,
        opset=opset,
        import_domains=proto.opset_import,
    )
    function.source, function.origin = proto, shell_of(proto, ("node", "input", "output", "value_info"))
    function.value_infos = list(proto.value_info)
    return function


def _note_infos(infos: Iterable[ValueInfoProto], local: Any) -> None:
    """Some exporters describe initialisers among the values; the exporter then does so too."""
    for info in infos:
        tensor = local[info.name]
        if isinstance(tensor, gs.Constant):
            tensor.info = info


def import_constant(tensor: TensorProto) -> gs.Constant:
    """Wrap a tensor message without decoding it; ModelError where its element type does not exist."""
    location = int(tensor.data_location) if tensor.HasField("data_location") else None
    return gs.Constant(tensor.name, StoredValues(tensor), data_location=location)


class StoredValues(LazyValues):  # type: ignore[misc]
    """Values that stay in their message. Graphsurgeon's own constructor writes warnings to stdout."""

    def __init__(self, tensor: TensorProto) -> None:
        """Take over what the message says of itself."""
        _check_element_type(tensor)
        self.tensor = tensor
        self.shape = list(tensor.dims)
        self.dtype = from_onnx_type(tensor.data_type)
        itemsize: int = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        self.nbytes = math.prod(self.shape) * itemsize


def _check_element_type(tensor: TensorProto) -> None:
    if tensor.data_type not in _ELEMENT_TYPES:
        raise ModelError(
            f"tensor {tensor.name!r} has element type {tensor.data_type}, which does not exist",
            "the file is damaged or made for a newer ONNX: export the model again",
        )


def known_type(proto: TypeProto) -> Known:
    """Numpy dtype and dims of a type; (None, None) for sequences, maps, optionals and unknown types."""
    if not proto.HasField("tensor_type"):
        return None, None
    tensor = proto.tensor_type
    dtype = from_onnx_type(tensor.elem_type)
    if not tensor.HasField("shape"):
        return dtype, None
    return dtype, [_dim(dim) for dim in tensor.shape.dim]


def _dim(dim: TensorShapeProto.Dimension) -> Dim:
    """A size, a name, or None where nothing is known, for which some exporters write -1."""
    if dim.HasField("dim_param"):
        if not isinstance(dim.dim_param, str):
            raise no_text()
        return dim.dim_param or None
    return dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else None


def _import_variable(info: ValueInfoProto) -> gs.Variable:
    dtype, shape = known_type(info.type)
    tensor = new_variable(info.name, dtype, shape)
    tensor.type = info.type.WhichOneof("value") or "tensor_type"
    tensor.origin = (info, dtype, None if shape is None else list(shape))
    return tensor


def _lookup(name: str, scope: Scope) -> gs.Tensor:
    if not name:
        return gs.Variable.empty()
    local = scope.maps[0]
    tensor = local.get(name)
    if tensor is None and len(scope.maps) > 1:
        tensor = scope.get(name)
    if tensor is None:
        tensor = local[name] = new_variable(name)
    return tensor


def _import_node(proto: NodeProto, scope: Scope, opset: int | None, imports: Any, ir: int) -> gs.Node:
    attrs = {a.name: _import_attribute(a, scope, opset, imports, ir) for a in proto.attribute}
    inputs = [_lookup(name, scope) for name in proto.input]
    own: Scope = ChainMap(scope.maps[0])
    outputs = [_lookup(name, own) for name in proto.output]
    domain = proto.domain if proto.HasField("domain") else None
    node = new_node(proto.op_type, proto.name, attrs, inputs, outputs, domain)
    node.origin = (proto, {k: list(v) if isinstance(v, list) else v for k, v in attrs.items()})
    return node


def _import_attribute(attr: AttributeProto, scope: Scope, opset: int | None, imports: Any, ir: int) -> Any:
    if attr.ref_attr_name:
        return gs.Node.AttributeRef(attr.ref_attr_name, convert_from_onnx_attr_type(attr.type))
    match attr.type:
        case AttributeProto.INT:
            return attr.i
        case AttributeProto.INTS:
            return list(attr.ints)
        case AttributeProto.FLOAT:
            return attr.f
        case AttributeProto.FLOATS:
            return list(attr.floats)
        case AttributeProto.TENSOR:
            return import_constant(attr.t)
        case AttributeProto.GRAPH:
            return _import_graph(attr.g, scope, opset, imports, ir)
        case AttributeProto.STRING:
            return _text(attr.s, attr)
        case AttributeProto.STRINGS:
            texts = [_text(s, None) for s in attr.strings]
            return attr if None in texts else texts
    return attr  # no graphsurgeon counterpart: the message itself passes through


def _text(raw: bytes, otherwise: Any) -> Any:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return otherwise
