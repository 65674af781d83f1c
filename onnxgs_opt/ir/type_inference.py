"""Element types and shapes of one operator's results, by onnx's own inference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import onnx
import onnx_graphsurgeon as gs
from onnx import NodeProto, TensorProto, TypeProto

from onnxgs_opt.ir.constants import small_value
from onnxgs_opt.ir.exporter import to_onnx_type
from onnxgs_opt.ir.importer import Known, known_type

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
    operands = {f"input{k}": t for k, t in enumerate(tensors) if t is not None}
    values = {k: value for k, t in operands.items() if (value := _small_value(t, k)) is not None}
    plain = {k: onnx.numpy_helper.from_array(v.values) if isinstance(v, gs.Constant) else v for k, v in attrs.items()}
    read = [f"input{k}" if f"input{k}" in operands else "" for k in range(len(tensors))]
    made = [f"output{k}" for k in range(outputs)]
    node = onnx.helper.make_node(op, read, made, **plain)
    found = [types for guess in _guesses(operands) if (types := inferred(node, opset, guess, values))]
    return [_common([known_type(types.get(name, TypeProto())) for types in found]) for name in made]


def _guesses(operands: Mapping[str, gs.Tensor]) -> Iterator[dict[str, TypeProto]]:
    """The operands' types; where the element type of one is not known, once with each of some that it may be."""
    told = {k: to_onnx_type(t.dtype) for k, t in operands.items() if t.dtype is not None}
    any_of = {TensorProto.FLOAT, TensorProto.INT64, *told.values()}
    for guess in any_of if len(told) < len(operands) else (TensorProto.UNDEFINED,):
        yield {k: onnx.helper.make_tensor_type_proto(told.get(k, guess), t.shape) for k, t in operands.items()}


def _common(found: Sequence[Known]) -> Known:
    """What holds whichever of the guesses is right."""
    dtypes, shapes = ([known[k] for known in found] for k in (0, 1))
    if not found:
        return None, None
    same_type, same_shape = (all(each == values[0] for each in values) for values in (dtypes, shapes))
    return dtypes[0] if same_type else None, shapes[0] if same_shape else None


def _small_value(tensor: gs.Tensor, name: str) -> TensorProto | None:
    value = small_value(tensor)
    return None if value is None else onnx.numpy_helper.from_array(value, name)
