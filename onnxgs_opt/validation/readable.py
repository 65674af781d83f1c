"""Models whose inputs and outputs numpy has arrays of: bfloat16, float8, int4 and the like are cast at the ends."""

from __future__ import annotations

from copy import deepcopy

from onnx import ModelProto, NodeProto, TensorProto, helper

from onnxgs_opt.ir.traversal import with_bodies

PLAIN = {
    getattr(TensorProto, name): TensorProto.INT8 if name.startswith("INT") else TensorProto.UINT8
    for name in ("INT2", "UINT2", "INT4", "UINT4")
    if hasattr(TensorProto, name)
} | {
    getattr(TensorProto, name): TensorProto.FLOAT
    for name in TensorProto.DataType.keys()  # noqa: SIM118 (no mapping)
    if name.startswith(("BFLOAT", "FLOAT8", "FLOAT4"))
}
"""For each type that onnxruntime takes and gives no arrays of, one that holds all its numbers."""


def readable(model: ModelProto) -> ModelProto:
    """The model, or a copy in which a Cast makes each such input, and another type of each such output.

    Inputs keep their names; such an output is called "name as float" after its new type.
    """
    ends = [*model.graph.input, *model.graph.output]
    if not any(value.type.tensor_type.elem_type in PLAIN for value in ends):
        return model
    copy = deepcopy(model)
    stored = {tensor.name for tensor in copy.graph.initializer}
    first, last, renamed = [], [], {}
    for value in copy.graph.input:
        code = value.type.tensor_type.elem_type
        if code in PLAIN and value.name not in stored:
            renamed[value.name] = f"{value.name} as declared"
            first.append(helper.make_node("Cast", [value.name], [renamed[value.name]], to=code))
            value.type.tensor_type.elem_type = PLAIN[code]
    for value in copy.graph.output:
        code = value.type.tensor_type.elem_type
        if code in PLAIN:
            name = f"{value.name} as {TensorProto.DataType.Name(PLAIN[code]).lower()}"
            last.append(helper.make_node("Cast", [renamed.get(value.name, value.name)], [name], to=PLAIN[code]))
            value.name, value.type.tensor_type.elem_type = name, PLAIN[code]
    for node in with_bodies(copy.graph.node):
        for place, name in enumerate(node.input):
            node.input[place] = renamed.get(name, name)
    nodes = [*first, *copy.graph.node, *last]
    copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del copy.graph.node[:]
    copy.graph.node.extend(copies)
    return copy
