"""A model as TensorRT's parsers read it right: what they would misread is spelt otherwise."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

from onnxgs_opt.ir.traversal import bodies_of
from onnxgs_opt.samplers.op import is_own, is_plugin

_END = np.iinfo(np.int64).max


def for_engine(model: ModelProto) -> tuple[ModelProto, int]:
    """The model to parse, and how many nodes of it need the plugin's library.

    The operators' function bodies go. TensorRT 10.0 to 10.6 prefer a function to any plugin, and later ones where
    no plugin is registered: without the body a missing plugin is an error, not a slower engine.

    Their second output goes where nothing reads it: parsers want no more outputs than the plugin makes.

    Shape's `start` and `end` become a Slice: TensorRT 8.6 ignores them, and the wrong shape broadcasts on.
    """
    changed = deepcopy(model)
    del changed.functions[:]
    changed.functions.extend(f for f in model.functions if not is_plugin(f.domain, f.name))
    _spell_out_shapes(changed.graph)
    nodes = [node for node in changed.graph.node if is_own(node.domain, node.op_type)]
    for node in nodes:
        del node.output[1 if not any(node.output[1:]) else 2 :]
    return changed, len(nodes)


def _spell_out_shapes(graph: GraphProto) -> None:
    nodes: list[NodeProto] = []
    for number, node in enumerate(graph.node):
        for body in bodies_of(node):
            _spell_out_shapes(body)
        bounds = {a.name: a.i for a in node.attribute} if node.op_type == "Shape" and not node.domain else {}
        nodes += _sliced(graph, node, number, bounds) if bounds else [node]
    del graph.node[:]
    graph.node.extend(nodes)


def _sliced(graph: GraphProto, node: NodeProto, number: int, bounds: dict[str, int]) -> list[NodeProto]:
    """Shape(x)[start:end], its constants beside it."""
    stem = f"onnxgs/engine/{graph.name}/{number}"
    starts = np.array([bounds.get("start", 0)], np.int64)
    ends = np.array([bounds.get("end", _END)], np.int64)
    graph.initializer.append(numpy_helper.from_array(starts, f"{stem}/start"))
    graph.initializer.append(numpy_helper.from_array(ends, f"{stem}/end"))
    whole = helper.make_node("Shape", list(node.input), [f"{stem}/shape"], name=f"{stem}/Shape")
    names = [f"{stem}/shape", f"{stem}/start", f"{stem}/end"]
    return [whole, helper.make_node("Slice", names, list(node.output), name=node.name)]
