"""Random edits of a model at the level of the graph: what a careless exporter or an attacker could write."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper

HOSTILE = (
    "line\nbreak",
    "\x1b[31mred\x1b[0m",
    "::error::forged",
    "</td><script>alert(1)</script>",
    "`a` | b",
    "a\u202eb",
    "\x00",
    "n" * 300,
    "../../etc/passwd",
    "ünï©ode",
    "onnxgs_site0",
)
"""Names that could break a report, a path or the package's own names."""

SIZES = (0, 1, 2, 3, 5, -1, -(2**63), 2**31 - 1, 2**31, 2**40, 2**63 - 1)
OPERATORS = (
    *("Abs", "Neg", "Add", "Sub", "Mul", "Div", "Floor", "Ceil", "Cast", "Clip", "Min", "Max", "Where", "Identity"),
    *("Reshape", "Transpose", "Concat", "Split", "Slice", "Gather", "GatherElements", "GatherND", "Shape", "Squeeze"),
    *("Unsqueeze", "Expand", "Pad", "ReduceSum", "MatMul", "Constant", "ConstantOfShape", "GridSample", "If", "Loop"),
    *("Flatten", "Tile", "Range", "Equal", "Not", "And", "Less", "Mod", "Pow", "Size", "Einsum", "Nonsense"),
)

Edit = Callable[[ModelProto, random.Random], None]


def draw(seed: ModelProto, rng: random.Random) -> ModelProto:
    """A copy of the model with one to four edits."""
    model = ModelProto()
    model.CopyFrom(seed)
    for _ in range(rng.choice((1, 1, 2, 2, 3, 4))):
        rng.choice(EDITS)(model, rng)
    return model


# -- what there is to edit ------------------------------------------------------------------------


def _bodies(graph: GraphProto) -> list[GraphProto]:
    inner = [a.g for n in graph.node for a in n.attribute if a.type == AttributeProto.GRAPH]
    return [graph, *(body for g in inner for body in _bodies(g))]


def node_lists(model: ModelProto) -> list[Any]:
    return [g.node for g in _bodies(model.graph)] + [f.node for f in model.functions]


def _nodes(model: ModelProto, rng: random.Random) -> Any:
    return rng.choice(node_lists(model))


def _node(model: ModelProto, rng: random.Random) -> NodeProto | None:
    nodes = _nodes(model, rng)
    return rng.choice(nodes) if nodes else None


def _names(model: ModelProto) -> list[str]:
    found = [i.name for i in (*model.graph.input, *model.graph.initializer)]
    return found + [name for nodes in node_lists(model) for n in nodes for name in n.output]


def _tensors(model: ModelProto) -> list[TensorProto]:
    held = [t for g in _bodies(model.graph) for t in g.initializer]
    return held + [a.t for nodes in node_lists(model) for n in nodes for a in n.attribute if a.HasField("t")]


def _infos(model: ModelProto) -> list[Any]:
    return [i for g in _bodies(model.graph) for i in (*g.input, *g.output, *g.value_info)]


# -- edits ----------------------------------------------------------------------------------------


def rewire(model: ModelProto, rng: random.Random) -> None:
    """An input of a node becomes any tensor, a later one too: cycles come of it."""
    node = _node(model, rng)
    if node is not None and node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice([*_names(model), "", "dangling"])


def change_arity(model: ModelProto, rng: random.Random) -> None:
    node = _node(model, rng)
    if node is None:
        return
    names = rng.choice((node.input, node.output))
    if names and rng.random() < 0.6:
        del names[rng.randrange(len(names)) :]
    else:
        names.extend([rng.choice([*_names(model), "", "new"])] * rng.choice((1, 2, 20)))


def delete_node(model: ModelProto, rng: random.Random) -> None:
    nodes = _nodes(model, rng)
    if nodes:
        del nodes[rng.randrange(len(nodes))]


def double_node(model: ModelProto, rng: random.Random) -> None:
    """A node twice: its outputs are defined twice, unless they get other names."""
    nodes = _nodes(model, rng)
    if not nodes:
        return
    copy = nodes.add()
    copy.CopyFrom(rng.choice(nodes))
    if rng.random() < 0.6:
        copy.output[:] = [f"{name}_again" for name in copy.output]


def move_node(model: ModelProto, rng: random.Random) -> None:
    """The nodes come in another order."""
    nodes = _nodes(model, rng)
    shuffled = [NodeProto.FromString(n.SerializeToString()) for n in nodes]
    rng.shuffle(shuffled)
    del nodes[:]
    nodes.extend(shuffled)


def change_operator(model: ModelProto, rng: random.Random) -> None:
    node = _node(model, rng)
    if node is None:
        return
    node.op_type = rng.choice((*OPERATORS, ""))
    if rng.random() < 0.1:
        node.domain = rng.choice(("acme", "ai.onnx", "com.microsoft", "onnxgs", "ai.onnx.ml"))


def change_attribute(model: ModelProto, rng: random.Random) -> None:
    """Another value, another type, another name, gone, or there twice."""
    node = _node(model, rng)
    if node is None:
        return
    if not node.attribute or rng.random() < 0.2:
        name = rng.choice(("axis", "to", "perm", "axes", "value", "batch_dims", "mode", "allowzero"))
        node.attribute.append(helper.make_attribute(name, rng.choice((0, -1, 2**62, 1.5, "x"))))
        return
    k = rng.randrange(len(node.attribute))
    attr = node.attribute[k]
    match rng.randrange(8):
        case 0:
            del node.attribute[k]
        case 1:
            attr.name = rng.choice(("axis", "to", "perm", "value", "then_branch", "body", ""))
        case 2:
            attr.type = rng.choice(list(AttributeProto.AttributeType.values()))
        case 3:
            node.attribute.append(attr)
        case 4:
            attr.ref_attr_name = rng.choice(("k", ""))
        case _:
            _change_value(attr, rng)


def _change_value(attr: AttributeProto, rng: random.Random) -> None:
    match attr.type:
        case AttributeProto.INT:
            attr.i = rng.choice((*SIZES, 6, 7, 9, 10, 11, 16))
        case AttributeProto.INTS:
            attr.ints[:] = [rng.choice(SIZES) for _ in range(rng.choice((0, 1, len(attr.ints), 9)))]
        case AttributeProto.FLOAT:
            attr.f = rng.choice((0.0, -1.0, float("nan"), float("inf"), 1e38))
        case AttributeProto.STRING:
            attr.s = rng.choice((b"", b"\xff", b"nearest", b"linear", b"reflection", b"x" * 100))
        case AttributeProto.TENSOR:
            _change_tensor(attr.t, rng)


def change_tensor(model: ModelProto, rng: random.Random) -> None:
    tensors = _tensors(model)
    if tensors:
        _change_tensor(rng.choice(tensors), rng)


def _change_tensor(tensor: TensorProto, rng: random.Random) -> None:
    """Dims that do not fit the data (far larger, too), another type, other values, data elsewhere."""
    match rng.randrange(7):
        case 0:
            tensor.dims[:] = [rng.choice(SIZES) for _ in range(rng.choice((0, 1, 2, 4, 9)))]
        case 1:
            tensor.data_type = rng.choice((*TensorProto.DataType.values(), 99, -1))
        case 2:
            tensor.raw_data = rng.randbytes(rng.choice((0, 1, 4, 8, 64)))
        case 3:
            tensor.ClearField(rng.choice(("raw_data", "float_data", "int64_data", "dims", "data_type")))
        case 4:
            _set_values(tensor, rng)
        case 5:
            tensor.data_location = TensorProto.EXTERNAL
            location = rng.choice(("weights.bin", "../w", "/etc/passwd", "", "a/../b", "."))
            tensor.external_data.add(key="location", value=location)
        case _:
            tensor.name = rng.choice((*HOSTILE, ""))


def _set_values(tensor: TensorProto, rng: random.Random) -> None:
    count = int(np.prod(tensor.dims)) if all(0 <= d < 100 for d in tensor.dims) and len(tensor.dims) < 4 else 0
    if tensor.data_type == TensorProto.INT64:
        made = helper.make_tensor(tensor.name, TensorProto.INT64, [count], [rng.choice(SIZES) for _ in range(count)])
    elif tensor.data_type == TensorProto.FLOAT:
        values = (0.0, 1.0, -1.0, 0.5, 2.0, 3.0, 1e30, float("nan"), float("-inf"))
        made = helper.make_tensor(tensor.name, TensorProto.FLOAT, [count], [rng.choice(values) for _ in range(count)])
    else:
        return
    dims = list(tensor.dims)
    tensor.CopyFrom(made)
    tensor.dims[:] = dims


def change_type(model: ModelProto, rng: random.Random) -> None:
    """What an input, an output or a value is said to be."""
    infos = _infos(model)
    if not infos:
        return
    info = rng.choice(infos)
    match rng.randrange(6):
        case 0:
            info.type.tensor_type.elem_type = rng.choice((*TensorProto.DataType.values(), 99, -1))
        case 1:
            info.type.tensor_type.ClearField("shape")
        case 2:
            info.ClearField("type")
        case 3:
            dim = info.type.tensor_type.shape.dim.add()
            dim.dim_value = rng.choice(SIZES)
        case 4 if info.type.tensor_type.shape.dim:
            dim = rng.choice(info.type.tensor_type.shape.dim)
            dim.dim_param = rng.choice((*HOSTILE, "", "N"))
        case _:
            for dim in info.type.tensor_type.shape.dim:
                dim.dim_value = rng.choice(SIZES)


def rename(model: ModelProto, rng: random.Random) -> None:
    """A tensor, everywhere, or a node gets a hostile name, or one that is taken."""
    new = rng.choice((*HOSTILE, *_names(model)))
    if rng.random() < 0.4:
        node = _node(model, rng)
        if node is not None:
            node.name = new
        return
    names = _names(model)
    if not names:
        return
    old = rng.choice(names)
    for nodes in node_lists(model):
        for node in nodes:
            node.input[:] = [new if name == old else name for name in node.input]
            node.output[:] = [new if name == old else name for name in node.output]
    for item in (*_infos(model), *_tensors(model)):
        item.name = new if item.name == old else item.name


def double_entry(model: ModelProto, rng: random.Random) -> None:
    """An input, output, initialiser, value, function or opset import there twice, or gone."""
    graph = rng.choice(_bodies(model.graph))
    lists = (graph.input, graph.output, graph.initializer, graph.value_info, model.functions, model.opset_import)
    entries: Any = rng.choice([entries for entries in lists if entries] or [graph.value_info])
    if entries and rng.random() < 0.5:
        entries.add().CopyFrom(rng.choice(entries))
    elif entries:
        del entries[rng.randrange(len(entries))]


def change_versions(model: ModelProto, rng: random.Random) -> None:
    if rng.random() < 0.5:
        model.ir_version = rng.choice((0, 1, 3, 4, 7, 8, 10, 13, 14, 2**62, -1))
        return
    for entry in model.opset_import:
        entry.version = rng.choice((0, 1, 6, 7, 9, 11, 12, 13, 15, 16, 18, 20, 23, 25, 99, -1, 2**62))


def add_output(model: ModelProto, rng: random.Random) -> None:
    """A tensor inside the graph becomes an output as well."""
    names = _names(model)
    if names:
        model.graph.output.add(name=rng.choice(names))


def wrap(model: ModelProto, rng: random.Random) -> None:
    """The last node moves into both branches of an If, a few levels deep."""
    if not model.graph.node:
        return
    graph = model.graph
    for level in range(rng.choice((1, 2, 5))):
        last = NodeProto.FromString(graph.node[-1].SerializeToString())
        if not last.output:
            return
        inner = [helper.make_node("Identity", [last.output[0]], ["inner"])]
        body = GraphProto(name=f"body{level}", node=[last, *inner])
        body.output.add(name="inner")
        outer = helper.make_node("If", ["condition"], list(last.output), then_branch=body, else_branch=body)
        graph.node[len(graph.node) - 1].CopyFrom(outer)
    if all(i.name != "condition" for i in graph.input):
        graph.input.append(helper.make_tensor_value_info("condition", TensorProto.BOOL, []))


EDITS: tuple[Edit, ...] = (
    *(rewire, rewire, rewire, change_arity, delete_node, double_node, move_node, change_operator, change_operator),
    *(change_attribute, change_attribute, change_tensor, change_tensor, change_type, rename, double_entry),
    *(change_versions, add_output, wrap),
)
