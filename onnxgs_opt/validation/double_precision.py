"""A model in double precision: what the original would compute without its roundings."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto

FLOAT, DOUBLE = TensorProto.FLOAT, TensorProto.DOUBLE
CLIPS_NO_DOUBLES = 11


def in_double(model: ModelProto) -> ModelProto:
    """A copy whose fp32 tensors, constants and casts are fp64; other types stay.

    Of opset 11 it becomes opset 12, which says the same: onnxruntime has no Clip of doubles before.

    Raises:
        ValueError: A weight is stored outside the model.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    for opset in copy.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version == CLIPS_NO_DOUBLES:
            opset.version += 1
    _convert(copy.graph)
    for function in copy.functions:
        _convert_nodes(function.node)
    return copy


def _convert(graph: GraphProto) -> None:
    for tensor in graph.initializer:
        _widen(tensor)
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type == FLOAT:
            value.type.tensor_type.elem_type = DOUBLE
    _convert_nodes(graph.node)


def _convert_nodes(nodes: Iterable[onnx.NodeProto]) -> None:
    for node in nodes:
        for attribute in node.attribute:
            _convert_attribute(node, attribute)


def _convert_attribute(node: onnx.NodeProto, attribute: AttributeProto) -> None:
    if attribute.type == AttributeProto.GRAPH:
        _convert(attribute.g)
    elif attribute.type == AttributeProto.TENSOR:
        _widen(attribute.t)
    elif node.op_type == "Cast" and attribute.name == "to" and attribute.i == FLOAT:
        attribute.i = DOUBLE
    elif node.op_type == "Constant" and attribute.name in ("value_float", "value_floats"):
        values = attribute.f if attribute.name == "value_float" else list(attribute.floats)
        attribute.CopyFrom(
            onnx.helper.make_attribute("value", onnx.numpy_helper.from_array(np.array(values, np.float64)))
        )


def _widen(tensor: TensorProto) -> None:
    if tensor.data_location == TensorProto.EXTERNAL:
        raise ValueError("weights outside the model")
    if tensor.data_type == FLOAT:
        wide = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor).astype(np.float64), tensor.name)
        tensor.CopyFrom(wide)
