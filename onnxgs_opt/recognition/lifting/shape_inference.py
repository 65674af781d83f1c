"""Shapes and small values of every tensor when the dynamic dims have given sizes.

Exporters compute shapes with nodes, so a dynamic model is analysed at a few concrete sizes: at each, one forward sweep
gives every tensor a static shape and the shape arithmetic its value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

from onnxgs_opt.ir import Constant, Node, Tensor
from onnxgs_opt.ir.constants import constant_value, is_size, plain_attributes
from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.ir.evaluator import evaluate
from onnxgs_opt.ir.operators import operator
from onnxgs_opt.ir.traversal import node_subgraphs
from onnxgs_opt.ir.type_inference import inferred
from onnxgs_opt.recognition.lifting.shape_functions import MAX_VALUE_SIZE, SHAPES, UNKNOWN, Conflict, Fact, of_array


def dim_name(tensor: Tensor, axis: int) -> str:
    """The name under which dim `axis` of an input is assigned a size."""
    dim = tensor.shape[axis]
    return dim if isinstance(dim, str) and dim else f"{tensor.name}:{axis}"


def infer(
    scope: Scope,
    sizes: Mapping[str, int],
    outer: Mapping[str, Fact] | None = None,
    conflicts: list[Conflict] | None = None,
) -> dict[str, Fact]:
    """Facts of every tensor of `scope`, its dynamic dims having `sizes`; `outer` are those of the enclosing scopes.

    Dims that do not fit together are appended to `conflicts`.
    """
    facts: dict[str, Fact] = dict(outer or {})
    for tensor in scope.inputs:
        facts[tensor.name] = _of_input(tensor, sizes)
    for name, tensor in scope.tensors.items():
        if isinstance(tensor, Constant):
            facts[name] = _of_constant(tensor)
    for node in scope.nodes:
        _visit(node, facts, scope.opset, [] if conflicts is None else conflicts)
    return facts


def _visit(node: Node, facts: dict[str, Fact], opset: int, conflicts: list[Conflict]) -> None:
    inputs = [facts.get(t.name, UNKNOWN) if t.name else UNKNOWN for t in node.inputs]
    try:
        results = _apply(node, inputs, facts, opset)
    except Conflict as conflict:
        conflicts.append(conflict)
        results = []
    except (ValueError, IndexError, TypeError, KeyError, ZeroDivisionError, OverflowError):
        results = []  # not inferable at these sizes: the tensors stay unknown
    for position, tensor in enumerate(node.outputs):
        fact = results[position] if position < len(results) else UNKNOWN
        facts[tensor.name] = fact if fact.shape is not None else _declared(tensor, fact)


def _declared(tensor: Tensor, fact: Fact) -> Fact:
    shape = tensor.shape
    if shape is None or not all(map(is_size, shape)):
        return fact
    return Fact(tuple(shape), fact.dtype or _dtype(tensor))


def _dtype(tensor: Tensor) -> np.dtype[Any] | None:
    try:
        return None if tensor.dtype is None else np.dtype(tensor.dtype)
    except TypeError:
        return None  # an ONNX type that numpy has no name for, e.g. bfloat16 as an enum


def _of_input(tensor: Tensor, sizes: Mapping[str, int]) -> Fact:
    if tensor.shape is None:
        return Fact(None, _dtype(tensor))
    dims = (d if is_size(d) else sizes[dim_name(tensor, axis)] for axis, d in enumerate(tensor.shape))
    return Fact(tuple(dims), _dtype(tensor))


def _of_constant(tensor: Constant) -> Fact:
    shape = tuple(tensor.shape)
    return Fact(shape, _dtype(tensor), constant_value(tensor) if math.prod(shape) <= MAX_VALUE_SIZE else None)


def _apply(node: Node, inputs: list[Fact], facts: Mapping[str, Fact], opset: int) -> list[Fact]:
    if not operator(node):
        return []
    if node.op == "If" and inputs[0].value is not None:
        return _branch(node, bool(inputs[0].value), facts, opset)
    if node.op == "Constant":
        value = constant_value(node.outputs[0])  # none of strings, sparse ones, and what lies in another file
        return [] if value is None else [of_array(value)]
    values = [f.value for f in inputs]
    if all(v is not None or not t.name for v, t in zip(values, node.inputs, strict=True)):
        arrays = evaluate(node.op, values, plain_attributes(node.attrs), opset, len(node.outputs))
        if arrays is not None:
            return [of_array(a) for a in arrays]
    shape = SHAPES.get(node.op)
    if shape is not None:
        return shape(node, inputs)
    return _library(node, inputs, opset)


def _branch(node: Node, condition: bool, facts: Mapping[str, Fact], opset: int) -> list[Fact]:
    body = node.attrs["then_branch" if condition else "else_branch"]
    inner = infer(Scope.of(body), {}, facts)
    return [inner.get(t.name, UNKNOWN) for t in body.outputs]


def _library(node: Node, inputs: list[Fact], opset: int) -> list[Fact]:
    """Shapes by onnx's own inference of one node, for the operators that have no rule here."""
    if node_subgraphs(node):
        return []
    named = {t.name: f for t, f in zip(node.inputs, inputs, strict=True) if t.name}
    if any(f.shape is None or f.dtype is None for f in named.values()):
        return []
    types = {
        name: onnx.helper.make_tensor_type_proto(onnx.helper.np_dtype_to_tensor_dtype(f.dtype), f.shape)
        for name, f in named.items()
    }
    data = {name: onnx.numpy_helper.from_array(f.value, name) for name, f in named.items() if f.value is not None}
    read, made = ([t.name for t in tensors] for tensors in (node.inputs, node.outputs))
    result = inferred(onnx.helper.make_node(node.op, read, made, **_attributes(node)), opset, types, data)
    return [_of_type(result.get(t.name)) for t in node.outputs]


def _attributes(node: Node) -> dict[str, Any]:
    return {k: v for k, v in node.attrs.items() if isinstance(v, (int, float, str, list, tuple))}


def _of_type(proto: onnx.TypeProto | None) -> Fact:
    if proto is None or not proto.HasField("tensor_type") or not proto.tensor_type.HasField("shape"):
        return UNKNOWN
    dims = proto.tensor_type.shape.dim
    dtype = onnx.helper.tensor_dtype_to_np_dtype(proto.tensor_type.elem_type)
    if not all(d.HasField("dim_value") for d in dims):
        return Fact(None, dtype)
    return Fact(tuple(d.dim_value for d in dims), dtype)
