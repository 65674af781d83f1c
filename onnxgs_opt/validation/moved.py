"""A model some of whose tensors are off by a little: what is behind them tells how far it carries their roundings."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.exporter import to_onnx_type
from onnxgs_opt.ir.traversal import bodies_of
from onnxgs_opt.lowering.base import Tolerance


@dataclass(frozen=True)
class Moved:
    """By how much a tensor may be off, and the ONNX code of its element type."""

    tolerance: Tolerance
    element: int = TensorProto.FLOAT

    @classmethod
    def like(cls, tensor: Tensor, tolerance: Tolerance) -> Moved:
        """That of a tensor of a graph."""
        return cls(tolerance) if tensor.dtype is None else cls(tolerance, to_onnx_type(tensor.dtype))


def with_moved(model: ModelProto, tensors: Mapping[str, Moved]) -> ModelProto | None:
    """A copy in which each of these tensors t is t + (atol + rtol |t|) r, with r between -1 and 1 by element.

    They are named; names that the model does not compute are passed over. None where it computes none of them.
    """
    moved = deepcopy(model)
    return moved if _move_in(moved.graph, tensors) else None


def _move_in(graph: GraphProto, tensors: Mapping[str, Moved]) -> bool:
    nodes: list[NodeProto] = []
    found = False
    for node in graph.node:
        for body in bodies_of(node):
            found |= _move_in(body, tensors)
        nodes.append(node)
        for place, name in enumerate(node.output):
            if name in tensors:
                node.output[place] = f"{name}/exact"
                nodes += _moving(name, tensors[name])
                found = True
    copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    return found


def _moving(name: str, moved: Moved) -> list[NodeProto]:
    exact, parts = f"{name}/exact", [f"{name}/{part}" for part in ("r", "r like it", "size", "rtol", "by", "gap")]
    noise, same, size, scaled, allowed, gap = parts
    numbers = {f"{name}/{key}": getattr(moved.tolerance, key) for key in ("rtol", "atol")}
    constants = [_constant(f"{key} as number", value, moved.element) for key, value in numbers.items()]
    rtol, atol = (node.output[0] for node in constants)
    return [
        *constants,
        helper.make_node("RandomUniformLike", [exact], [noise], low=-1.0, high=1.0, seed=0.0, dtype=TensorProto.FLOAT),
        helper.make_node("Cast", [noise], [same], to=moved.element),
        helper.make_node("Abs", [exact], [size]),
        helper.make_node("Mul", [size, rtol], [scaled]),
        helper.make_node("Add", [scaled, atol], [allowed]),
        helper.make_node("Mul", [allowed, same], [gap]),
        helper.make_node("Add", [exact, gap], [name]),
    ]


def _constant(name: str, value: float, element: int) -> NodeProto:
    array = numpy_helper.to_array(helper.make_tensor(name, element, [], [value]))
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array, name))
