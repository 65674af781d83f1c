"""Is it a graph? What every later step relies on, checked before anything else is done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import onnx
from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto

from onnxgs_opt.errors import ModelError
from onnxgs_opt.ir.external_data import location_of, tensors_of
from onnxgs_opt.ir.importer import no_text, opset_of
from onnxgs_opt.ir.operators import DEFAULT_DOMAINS

_EXPORT_AGAIN = "export the model again, or check it with onnx.checker.check_model"
_CLAMPED_TWICE = (
    "export it again with torch.onnx.export(..., dynamo=True, optimize=False): where a tensor is clamped twice, "
    "onnxscript's optimizer writes a bound that nothing makes"
)
"""Seen of onnxscript 0.7.2, which makes one Clip of two and forgets to write the constant that it computed."""

_FEW = 4096
"""Elements that are read whatever the file says."""

_BITS: dict[int, int] = {
    **dict.fromkeys((TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.INT16, TensorProto.UINT16), 16),
    **dict.fromkeys((TensorProto.FLOAT, TensorProto.INT32, TensorProto.UINT32), 32),
    **dict.fromkeys((TensorProto.DOUBLE, TensorProto.INT64, TensorProto.UINT64, TensorProto.COMPLEX64), 64),
    TensorProto.COMPLEX128: 128,
    **dict.fromkeys((TensorProto.INT8, TensorProto.UINT8, TensorProto.BOOL), 8),
}
"""Bits of an element of raw data; of the others a bit at least."""

_NEWER = "upgrade the onnx package, or export the model again"


def verify(model: ModelProto) -> None:
    """Check what every later step relies on: one linear walk, no weights read.

    Raises:
        ModelError: No graph, no opset, an undefined or doubly defined tensor, an ONNX operator with inputs or
            attributes that it does not have, or weights out of reach.
    """
    if not model.HasField("graph") or not (model.graph.node or model.graph.output):
        raise ModelError("there is no graph in it", "is it an ONNX model? " + _EXPORT_AGAIN)
    if not 0 < model.ir_version <= onnx.IR_VERSION:
        raise ModelError(
            f"its IR version is {model.ir_version}, onnx {onnx.__version__} reads 1 to {onnx.IR_VERSION}", _NEWER
        )
    opset = opset_of(model.opset_import)
    if not model.opset_import:
        raise _no_opset()
    _check_opset(opset)
    _Checks(opset).graph(model.graph, ())
    for function in model.functions:
        own = opset_of(function.opset_import)
        _check_opset(own)
        _Checks(own or opset, in_function=True).function(function)
    for tensor in tensors_of(model):
        if tensor.data_location == TensorProto.EXTERNAL:
            location_of(tensor)
        _check_size(tensor)


def _no_opset() -> ModelError:
    return ModelError("it imports no ONNX opset", "the file may be truncated: " + _EXPORT_AGAIN)


def _check_opset(opset: int | None) -> None:
    newest = onnx.defs.onnx_opset_version()
    if opset is not None and opset < 1:
        raise ModelError(f"it imports ONNX opset {opset}, which does not exist", _EXPORT_AGAIN)
    if opset is not None and opset > newest:
        raise ModelError(f"it imports ONNX opset {opset}, onnx {onnx.__version__} knows 1 to {newest}", _NEWER)


def _check_size(tensor: TensorProto) -> None:
    """A tensor of a few bytes must not ask for the memory of a large one; its data is not decoded for that."""
    count = 1
    for size in tensor.dims:
        if size < 0:
            raise ModelError(f"tensor {tensor.name!r} has the size {size}", "sizes are 0 or more: " + _EXPORT_AGAIN)
        count *= size
    if count <= _FEW or tensor.data_location == TensorProto.EXTERNAL or tensor.data_type == TensorProto.STRING:
        return
    bits = _BITS.get(tensor.data_type, 1)
    bits = bits if tensor.HasField("raw_data") else min(bits, 8)  # a number of a list takes a byte at least
    if count * bits > 8 * tensor.ByteSize():
        shape = list(tensor.dims)
        raise ModelError(f"tensor {tensor.name!r} has less data than its shape {shape} needs", _EXPORT_AGAIN)


Scopes = tuple[set[str], ...]
"""The names that the graphs around one have, innermost last."""


@dataclass(frozen=True)
class _Checks:
    """The walk over the graphs that use one opset."""

    opset: int | None
    in_function: bool = False

    def graph(self, graph: GraphProto, outer: Scopes) -> None:
        inputs = [info.name for info in graph.input]
        initializers = [t.name for t in graph.initializer] + [t.values.name for t in graph.sparse_initializer]
        for names, kind in ((inputs, "inputs"), (initializers, "initialisers")):
            if len(set(names)) != len(names):
                raise ModelError(
                    f"two {kind} have the name {next(n for k, n in enumerate(names) if n in names[:k])!r}",
                    _EXPORT_AGAIN,
                )
        known = self.nodes(graph.node, {*inputs, *initializers}, outer)
        _check_outputs([info.name for info in graph.output], known, outer, graph.name)

    def function(self, function: FunctionProto) -> None:
        known = self.nodes(function.node, set(function.input), ())
        _check_outputs(function.output, known, (), function.name)

    def nodes(self, nodes: Iterable[NodeProto], given: set[str], outer: Scopes) -> set[str]:
        """Check the nodes; the names that are known where they are."""
        known = given
        for name in (name for node in nodes for name in node.output if name):
            if name in known:
                raise ModelError(f"tensor {name!r} is defined twice", "every tensor is made once: " + _EXPORT_AGAIN)
            known.add(name)
        _check_text(known)
        _check_text(t for n in nodes for t in (n.name, n.op_type, n.domain, n.overload, n.doc_string))
        for node in nodes:
            self.node(node, known, outer)
        return known

    def node(self, node: NodeProto, known: set[str], outer: Scopes) -> None:
        for position, name in enumerate(node.input):
            if name and name not in known and not any(name in names for names in outer):
                hint = _CLAMPED_TWICE if position and node.op_type == "Clip" else _EXPORT_AGAIN
                raise ModelError(f"{_called(node)} reads {name!r}, which nothing makes", hint)
        if node.domain in DEFAULT_DOMAINS:
            if self.opset is None:
                raise _no_opset()
            shape = _shape_of(node.op_type, self.opset)
            if shape is not None:
                shape.check(node)
        for attr in node.attribute:
            if not isinstance(attr.name, str):
                raise no_text()
            if attr.type == AttributeProto.GRAPH:
                self.graph(attr.g, (*outer, known))
            elif attr.ref_attr_name and not self.in_function:
                raise ModelError(f"{_called(node)} refers to an attribute of a function and is in none", _EXPORT_AGAIN)


def _check_outputs(names: Iterable[str], known: set[str], outer: Scopes, graph: str) -> None:
    for name in names:
        if name not in known and not any(name in around for around in outer):
            raise ModelError(f"nothing makes the output {name!r} of graph {graph!r}", _EXPORT_AGAIN)


def _check_text(names: Iterable[str]) -> None:
    """Protobuf hands out text that is not UTF-8 as bytes, or fails when it is read."""
    try:
        "".join(names)
    except TypeError as error:
        raise no_text() from error


def _called(node: NodeProto) -> str:
    return f"node {node.name or node.op_type!r}"


@dataclass(frozen=True)
class _Shape:
    """What ONNX says of an operator: how many inputs and outputs, and the types of its attributes."""

    inputs: tuple[int, int]
    outputs: tuple[int, int]
    types: Mapping[str, int]
    required: frozenset[str]

    def check(self, node: NodeProto) -> None:
        """Compare a node with it.

        Raises:
            ModelError: It has too few or too many inputs or outputs, or an attribute that is missing, there twice or
                of another type.
        """
        _check_count(node, "inputs", node.input, self.inputs)
        _check_count(node, "outputs", node.output, self.outputs)
        seen = set()
        for attr in node.attribute:
            name = attr.name
            if name in seen:
                raise ModelError(f"{_called(node)} has the attribute {name!r} twice", _EXPORT_AGAIN)
            seen.add(name)
            wanted = self.types.get(name, attr.type)
            if attr.type != wanted:
                raise ModelError(f"the attribute {name!r} of {_called(node)} is of another type", _EXPORT_AGAIN)
            if name == "keepdims" and attr.i not in (0, 1):  # readers do not agree on what else it means
                raise ModelError(f"keepdims of {_called(node)} is {attr.i}, not 0 or 1", _EXPORT_AGAIN)
        if not self.required <= seen:
            missing = ", ".join(sorted(self.required - seen))
            raise ModelError(f"{_called(node)} lacks the attribute {missing}", _EXPORT_AGAIN)


def _check_count(node: NodeProto, kind: str, names: Sequence[str], allowed: tuple[int, int]) -> None:
    low, high = allowed
    if low <= len(names) <= high:
        return
    given = list(names)
    while len(given) > high and not given[-1]:
        given.pop()
    if not low <= len(given) <= high:
        wanted = str(low) if low == high else f"{low} or more" if high > len(given) else f"{low} to {high}"
        raise ModelError(f"{_called(node)} has {len(given)} {kind}, {node.op_type} takes {wanted}", _EXPORT_AGAIN)


@cache
def _shape_of(op_type: str, opset: int) -> _Shape | None:
    """None for operators that ONNX does not have: plugins are often written into the default domain.

    One that only a later opset has is taken as it is there.
    """
    if not onnx.defs.has(op_type):
        return None
    try:
        schema = onnx.defs.get_schema(op_type, opset, "")
    except onnx.defs.SchemaError:
        schema = onnx.defs.get_schema(op_type, onnx.defs.onnx_opset_version(), "")
    if schema.deprecated:
        return None
    return _Shape(
        (schema.min_input, schema.max_input),
        (schema.min_output, schema.max_output),
        {name: int(attr.type.value) for name, attr in schema.attributes.items()},  # type: ignore[attr-defined]
        frozenset(name for name, attr in schema.attributes.items() if attr.required),
    )
