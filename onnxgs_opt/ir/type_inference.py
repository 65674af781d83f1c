"""Element types and shapes of one operator's results, by onnx's own inference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import onnx
import onnx_graphsurgeon as gs
from onnx import AttributeProto, NodeProto, TensorProto, TypeProto

from onnxgs_opt.ir.constants import small_value
from onnxgs_opt.ir.exporter import to_onnx_type
from onnxgs_opt.ir.importer import Dim, Known, known_type

MOST_ANSWERS, MOST_BYTES = 4096, 1024
"""Of the library that are kept, and bytes of the constants and attributes that it was asked with."""
_INFERRED_AS = {"GreaterOrEqual": "Greater", "LessOrEqual": "Less"}
"""Operators that the library knows only by what they are made of, and others of the same types and shapes."""


def inferred(
    node: NodeProto, opset: int, types: Mapping[str, TypeProto], values: Mapping[str, TensorProto]
) -> Mapping[str, TypeProto]:
    """The types of a standard operator's outputs, by name; none where the library cannot tell."""
    name = _INFERRED_AS.get(node.op_type, node.op_type)
    if not onnx.defs.has(name):
        return {}
    try:
        schema = onnx.defs.get_schema(name, opset)
        found: Mapping[str, TypeProto] = onnx.shape_inference.infer_node_outputs(
            schema, node, dict(types), dict(values)
        )
    except Exception:  # the library raises its own untyped errors for nodes it cannot infer
        return {}
    return found


def result_type(
    op: str, tensors: Sequence[gs.Tensor | None], attrs: Mapping[str, Any], opset: int, outputs: int
) -> list[Known]:
    """(dtype, shape) of each output of a standard operator, None for what is not known; dims may be names or None."""
    if any(isinstance(value, gs.Graph) for value in attrs.values()):
        return [(None, None)] * outputs  # a body tells its outputs itself, to whoever wrote it
    operands = tuple(None if t is None else _operand(t) for t in tensors)
    given = tuple(_attribute(name, value) for name, value in sorted(attrs.items()) if value is not None)
    known = _result_types if sum(map(len, given)) + sum(len(o.value) for o in operands if o) <= MOST_BYTES else _asked
    return [(dtype, None if dims is None else list(dims)) for dtype, dims in known(op, operands, given, opset, outputs)]


class _Operand(NamedTuple):
    """What types follow from: element type and dims, None where unknown, and the message of a small constant."""

    elem_type: int | None
    dims: tuple[Dim, ...] | None
    value: bytes


def _operand(tensor: gs.Tensor) -> _Operand:
    value = small_value(tensor)
    return _Operand(
        None if tensor.dtype is None else to_onnx_type(tensor.dtype),
        None if tensor.shape is None else tuple(tensor.shape),
        b"" if value is None else onnx.numpy_helper.from_array(value).SerializeToString(),
    )


def _attribute(name: str, value: Any) -> bytes:
    plain = onnx.numpy_helper.from_array(value.values) if isinstance(value, gs.Constant) else value
    message: bytes = onnx.helper.make_attribute(name, plain).SerializeToString()
    return message


def _asked(
    op: str, operands: tuple[_Operand | None, ...], attributes: tuple[bytes, ...], opset: int, outputs: int
) -> list[tuple[Any, tuple[Dim, ...] | None]]:
    """As `result_type`, of values that can be looked up."""
    there = {f"input{k}": operand for k, operand in enumerate(operands) if operand is not None}
    values = {name: _named(operand.value, name) for name, operand in there.items() if operand.value}
    read = [f"input{k}" if f"input{k}" in there else "" for k in range(len(operands))]
    made = [f"output{k}" for k in range(outputs)]
    node = onnx.helper.make_node(op, read, made)
    node.attribute.extend(map(AttributeProto.FromString, attributes))
    found = [types for guess in _guesses(there) if (types := inferred(node, opset, guess, values))]
    known = [_common([known_type(types.get(name, TypeProto())) for types in found]) for name in made]
    return [(dtype, None if dims is None else tuple(dims)) for dtype, dims in known]


_result_types = lru_cache(maxsize=MOST_ANSWERS)(_asked)
"""A sampler is written with the same few operators again and again: to ask the library takes many times as long."""


def _named(message: bytes, name: str) -> TensorProto:
    tensor = TensorProto(name=name)
    tensor.MergeFromString(message)
    return tensor


def _guesses(operands: Mapping[str, _Operand]) -> Iterator[dict[str, TypeProto]]:
    """The operands' types; where the element type of one is not known, once with each of some that it may be."""
    told = {k: o.elem_type for k, o in operands.items() if o.elem_type is not None}
    any_of = {TensorProto.FLOAT, TensorProto.INT64, *told.values()}
    for guess in any_of if len(told) < len(operands) else (TensorProto.UNDEFINED,):
        yield {k: onnx.helper.make_tensor_type_proto(told.get(k, guess), o.dims) for k, o in operands.items()}


def _common(found: Sequence[Known]) -> Known:
    """What holds whichever of the guesses is right."""
    dtypes, shapes = ([known[k] for known in found] for k in (0, 1))
    if not found:
        return None, None
    same_type, same_shape = (all(each == values[0] for each in values) for values in (dtypes, shapes))
    return dtypes[0] if same_type else None, shapes[0] if same_shape else None
