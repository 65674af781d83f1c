"""Models that other libraries hold in memory: read from them, and given back as the kind that came."""

from __future__ import annotations

import sys
from typing import Any

from onnx import ModelProto

from onnxgs_opt.errors import UsageError
from onnxgs_opt.ir.files import parsed


def proto_of(model: object) -> ModelProto:
    """The model that bytes, an exporter's program (torch's `ONNXProgram`) or an `onnx_ir.Model` hold.

    Raises:
        ModelError: The bytes are no model.
        UsageError: It is none of these.
    """
    match model:
        case ModelProto():
            return model
        case bytes():
            return parsed(model, "<model>")
    if _is_of_onnx_ir(model):
        made: ModelProto = _onnx_ir().to_proto(model)
        return made
    if isinstance(proto := getattr(model, "model_proto", None), ModelProto):
        return proto
    hint = "give a path, bytes, an onnx.ModelProto, an onnx_ir.Model, or torch's ONNXProgram"
    raise UsageError(f"a {type(model).__name__} is no model", hint)


def same_kind(given: Any, proto: ModelProto) -> Any:
    """`proto` as the kind of model in memory that `given` is."""
    match given:
        case ModelProto():
            return proto
        case bytes():
            return proto.SerializeToString()
    made = _onnx_ir().from_proto(proto)
    if _is_of_onnx_ir(given):
        return made
    return type(given)(made, given.exported_program)


def _is_of_onnx_ir(model: object) -> bool:
    """Whether it is an `onnx_ir.Model`; nobody can hold one without having imported the library."""
    library = sys.modules.get("onnx_ir")
    return library is not None and isinstance(model, library.Model)


def _onnx_ir() -> Any:
    """The library onnx_ir, which whoever holds one of its models, or a program of torch's exporter, has."""
    import onnx_ir

    return onnx_ir
