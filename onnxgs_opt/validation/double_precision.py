"""A model in double precision: what the original would compute without its roundings."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto

from onnxgs_opt.ir.external_data import tensors_of
from onnxgs_opt.ir.traversal import bodies_of, nodes_of

FLOAT, DOUBLE = TensorProto.FLOAT, TensorProto.DOUBLE
CLIPS_NO_DOUBLES = 11


def in_double(model: ModelProto) -> ModelProto:
    """A copy whose fp32 tensors, constants and casts are fp64; other types stay.

    Of opset 11 it becomes opset 12, which says the same: onnxruntime has no Clip of doubles before.

    Raises:
        ValueError: A weight is stored outside the model.
    """
    wide = deepcopy(model)
    for opset in wide.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version == CLIPS_NO_DOUBLES:
            opset.version += 1
    for tensor in tensors_of(wide):
        _widen(tensor)
    _describe(wide.graph)
    for node in nodes_of(wide):
        for body in bodies_of(node):
            _describe(body)
        for attribute in node.attribute:
            _convert(node, attribute)
    return wide


def _describe(graph: GraphProto) -> None:
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type == FLOAT:
            value.type.tensor_type.elem_type = DOUBLE


def _convert(node: onnx.NodeProto, attribute: AttributeProto) -> None:
    if node.op_type == "Cast" and attribute.name == "to" and attribute.i == FLOAT:
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
