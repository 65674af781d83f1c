"""Shapes and small values of every tensor when the dynamic dims have given sizes.

Exporters compute shapes with nodes, so a dynamic model is analysed at a few concrete sizes: at each, one forward sweep
gives every tensor a static shape and the shape arithmetic its value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from onnxgs_opt.scope import Array, Scope, subgraphs_of

MAX_VALUE_SIZE = 4096
"""Values above this many elements are not computed: shapes and index bases are small."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Fact:
    """What is known of a tensor: its shape, its numpy dtype, its value where small and constant at these sizes."""

    shape: Shape | None = None
    dtype: np.dtype[Any] | None = None
    value: Array | None = None


UNKNOWN = Fact()


def symbols(scope: Scope) -> list[str]:
    """Names of the dynamic dims of the inputs, in order; an unnamed dim gets the name `input:axis`."""
    names: dict[str, None] = {}
    for tensor in scope.inputs:
        for axis, dim in enumerate(tensor.shape or ()):
            if not isinstance(dim, int):
                names[dim_name(tensor, axis)] = None
    return list(names)


def dim_name(tensor: gs.Tensor, axis: int) -> str:
    """The name under which dim `axis` of an input is assigned a size."""
    dim = tensor.shape[axis]
    return dim if isinstance(dim, str) and dim else f"{tensor.name}:{axis}"


class Conflict(ValueError):
    """Two dims that have to be equal are not: the model does not run at these sizes."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b} do not broadcast")
        self.dims = (a, b)


def settle(scope: Scope, sizes: Mapping[str, int]) -> tuple[dict[str, int], dict[str, Fact]]:
    """Sizes at which the model is consistent, as near to `sizes` as possible, and the facts there.

    Exporters name dims that are one and the same differently, and freeze others while they call them dynamic. Where all
    `sizes` are distinct, two dims that do not fit tell which name has to change.
    """
    current = dict(sizes)
    for _ in range(len(sizes) + 1):
        conflicts: list[Conflict] = []
        facts = infer(scope, current, conflicts=conflicts)
        fixed = next((f for c in conflicts if (f := _fixed(current, c)) is not None), None)
        if fixed is None:
            break
        current = fixed
    return current, facts


def tied(asked: Mapping[str, int], settled: Mapping[str, int], sizes: Mapping[str, int]) -> dict[str, int]:
    """Other `sizes`, with what asking for distinct ones and settling for fewer has shown about the names."""
    names = {size: name for name, size in asked.items()}
    out = dict(sizes)
    for name, size in settled.items():
        if size != asked[name]:
            out[name] = sizes[names[size]] if size in names else size
    return out


def _fixed(sizes: Mapping[str, int], conflict: Conflict) -> dict[str, int] | None:
    for wrong, right in (conflict.dims, conflict.dims[::-1]):
        if wrong in sizes.values():
            return {name: right if size == wrong else size for name, size in sizes.items()}
    return None


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
        if isinstance(tensor, gs.Constant):
            facts[name] = _of_constant(tensor)
    for node in scope.nodes:
        _visit(node, facts, scope.opset, [] if conflicts is None else conflicts)
    return facts


def _visit(node: gs.Node, facts: dict[str, Fact], opset: int, conflicts: list[Conflict]) -> None:
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


def _declared(tensor: gs.Tensor, fact: Fact) -> Fact:
    shape = tensor.shape
    if shape is None or not all(isinstance(d, int) for d in shape):
        return fact
    return Fact(tuple(shape), fact.dtype or _dtype(tensor))


def _dtype(tensor: gs.Tensor) -> np.dtype[Any] | None:
    try:
        return None if tensor.dtype is None else np.dtype(tensor.dtype)
    except TypeError:
        return None  # an ONNX type that numpy has no name for, e.g. bfloat16 as an enum


def _of_input(tensor: gs.Tensor, sizes: Mapping[str, int]) -> Fact:
    if tensor.shape is None:
        return Fact(None, _dtype(tensor))
    dims = (d if isinstance(d, int) else sizes[dim_name(tensor, axis)] for axis, d in enumerate(tensor.shape))
    return Fact(tuple(dims), _dtype(tensor))


def _of_constant(tensor: gs.Constant) -> Fact:
    shape = tuple(tensor.shape)
    size = int(np.prod(shape, dtype=np.int64))
    lazy = tensor._values
    external = getattr(getattr(lazy, "_tensor", None), "data_location", 0) == onnx.TensorProto.EXTERNAL
    value = np.asarray(tensor.values) if size <= MAX_VALUE_SIZE and not external else None
    return Fact(shape, _dtype(tensor), value)


def _apply(node: gs.Node, inputs: list[Fact], facts: Mapping[str, Fact], opset: int) -> list[Fact]:
    if node.op == "If" and inputs[0].value is not None:
        return _branch(node, bool(inputs[0].value), facts, opset)
    if node.domain not in (None, "", "ai.onnx"):
        return []
    values = [f.value for f in inputs]
    present = [v is not None for v, t in zip(values, node.inputs, strict=True) if t.name]
    evaluate = EVALUATORS.get(node.op)
    if evaluate is not None and all(present) and (present or node.op == "Constant"):
        return [_of_array(a) for a in evaluate(node, values, opset)]
    shape = SHAPES.get(node.op)
    if shape is not None:
        return shape(node, inputs, opset)
    return _library(node, inputs, opset)


def _of_array(array: object) -> Fact:
    value = np.asarray(array)
    return Fact(value.shape, value.dtype, value if value.size <= MAX_VALUE_SIZE else None)


def _branch(node: gs.Node, condition: bool, facts: Mapping[str, Fact], opset: int) -> list[Fact]:
    body = node.attrs["then_branch" if condition else "else_branch"]
    inner = infer(Scope.of(body), {}, facts)
    return [inner.get(t.name, UNKNOWN) for t in body.outputs]


def _library(node: gs.Node, inputs: list[Fact], opset: int) -> list[Fact]:
    """Shapes by onnx's own inference of one node, for the operators that have no rule here."""
    if subgraphs_of(node) or not onnx.defs.has(node.op):
        return []
    named = {t.name: f for t, f in zip(node.inputs, inputs, strict=True) if t.name}
    if any(f.shape is None or f.dtype is None for f in named.values()):
        return []
    types = {
        name: onnx.helper.make_tensor_type_proto(onnx.helper.np_dtype_to_tensor_dtype(f.dtype), f.shape)
        for name, f in named.items()
    }
    data = {name: onnx.numpy_helper.from_array(f.value, name) for name, f in named.items() if f.value is not None}
    proto = onnx.helper.make_node(
        node.op, [t.name for t in node.inputs], [t.name for t in node.outputs], **_attributes(node)
    )
    schema = onnx.defs.get_schema(node.op, opset)
    try:
        result = onnx.shape_inference.infer_node_outputs(schema, proto, types, data)
    except Exception:  # the library raises its own untyped errors for nodes it cannot infer
        return []
    return [_of_type(result.get(t.name)) for t in node.outputs]


def _attributes(node: gs.Node) -> dict[str, object]:
    return {k: v for k, v in node.attrs.items() if isinstance(v, (int, float, str, list, tuple))}


def _of_type(proto: onnx.TypeProto | None) -> Fact:
    if proto is None or not proto.HasField("tensor_type") or not proto.tensor_type.HasField("shape"):
        return UNKNOWN
    dims = proto.tensor_type.shape.dim
    dtype = onnx.helper.tensor_dtype_to_np_dtype(proto.tensor_type.elem_type)
    if not all(d.HasField("dim_value") for d in dims):
        return Fact(None, dtype)
    return Fact(tuple(d.dim_value for d in dims), dtype)


# ---- shapes -----------------------------------------------------------------------------------------------------------


def _known(fact: Fact) -> Shape:
    if fact.shape is None:
        raise ValueError("unknown shape")
    return fact.shape


def _ints(node: gs.Node, name: str, position: int, inputs: Sequence[Fact]) -> list[int] | None:
    """An operator's int list, which is an attribute or, in later opsets, an input."""
    if name in node.attrs:
        value = node.attrs[name]
        return [value] if isinstance(value, int) else list(value)
    if position < len(inputs) and node.inputs[position].name:
        array = inputs[position].value
        if array is None:
            raise ValueError(f"{name} is not known")
        return [int(v) for v in np.ravel(array)]
    return None


def _broadcast(shapes: Sequence[Shape]) -> Shape:
    out: list[int] = []
    for places in zip_longest(*(reversed(s) for s in shapes), fillvalue=1):
        wide = sorted({d for d in places if d != 1})
        if len(wide) > 1:
            raise Conflict(wide[0], wide[1])
        out.append(wide[0] if wide else 1)
    return tuple(reversed(out))


def _elementwise(node: gs.Node, inputs: list[Fact], opset: int) -> list[Fact]:
    shape = _broadcast([_known(f) for f, t in zip(inputs, node.inputs, strict=True) if t.name])
    if node.op in ("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal", "And", "Or", "Not", "Xor"):
        return [Fact(shape, np.dtype(bool))]
    if node.op == "Cast":
        return [Fact(shape, onnx.helper.tensor_dtype_to_np_dtype(int(node.attrs["to"])))]
    return [Fact(shape, inputs[1 if node.op == "Where" else 0].dtype)]


def reshaped(old: Shape, target: Sequence[int], allow_zero: bool = False) -> Shape:
    """The shape that Reshape gives a tensor of shape `old`."""
    dims = [old[i] if d == 0 and not allow_zero else d for i, d in enumerate(target)]
    total = int(np.prod(old, dtype=np.int64))
    if -1 in dims:
        rest = int(np.prod([d for d in dims if d != -1], dtype=np.int64))
        dims[dims.index(-1)] = total // rest if rest else 0
    if int(np.prod(dims, dtype=np.int64)) != total:
        for wanted, got in zip(target, old, strict=False):
            if wanted not in (-1, 0, 1, got) and wanted not in old:
                raise Conflict(wanted, got)
        raise ValueError("reshape of another size")
    return tuple(dims)


def _reshape(node: gs.Node, inputs: list[Fact], opset: int) -> list[Fact]:
    target = _ints(node, "shape", 1, inputs) or []
    return [Fact(reshaped(_known(inputs[0]), target, bool(node.attrs.get("allowzero", 0))), inputs[0].dtype)]


def _flatten(node: gs.Node, inputs: list[Fact], opset: int) -> list[Fact]:
    shape, axis = _known(inputs[0]), node.attrs.get("axis", 1)
    axis += len(shape) if axis < 0 else 0
    halves = (int(np.prod(shape[:axis], dtype=np.int64)), int(np.prod(shape[axis:], dtype=np.int64)))
    return [Fact(halves, inputs[0].dtype)]


def _transpose(node: gs.Node, inputs: list[Fact], opset: int) -> list[Fact]:
    shape = _known(inputs[0])
    perm = node.attrs.get("perm") or range(len(shape))[::-1]
    return [Fact(tuple(shape[p] for p in perm), inputs[0].dtype)]


def _unsqueeze(node: gs.Node, inputs: list[Fact], opset: int) -> list[Fact]:
    shape, axes = _known(inputs[0]), _ints(node, "axes", 1, inputs) or []
    rank = len(shape) + len(axes)
    places, rest = {a % rank for a in axes}, iter(shape)
    return [Fact(tuple(1 if i in places else next(rest) for i in range(rank)), inputs[0].dtype)]


def _squeeze(node: gs.Node, inputs: list[Fact], opset: int) -> list[Fact]:
    shape, axes = _known(inputs[0]), _ints(node, "axes", 1, inputs)
    drop = {i for i, d in enumerate(shape) if d == 1} if axes is None else {a % len(shape) for a in axes}
    return [Fact(tuple(d for i, d in enumerate(shape) if i not in drop), inputs[0].dtype)]


def _expand(node: gs.Node, inputs: list[Fact], opset: int) -> list[Fact]:
    target = _ints(node, "shape", 1, inputs) or []
    return [Fact(np.broadcast_shapes(_known(inputs[0]), tuple(target)), inputs[0].dtype)]


def _tile(node: gs.Node, inputs: list[Fact], opset: int) -> list[Fact]:
    repeats = _ints(node, "repeats", 1, inputs) or []
    return [Fact(tuple(d * r for d, r in zip(_known(inputs[0]), repeats, strict=True)), inputs[0].dtype)]


def _concat(node: gs.Node, inputs: list[Fact], opset: int) -> list[Fact]:
    shapes = [list(_known(f)) for f in inputs]
    axis = node.attrs["axis"] % len(shapes[0])
    shapes[0][axis] = sum(s[axis] for s in shapes)
    return [Fact(tuple(shapes[0]), inputs[0].dtype)]


def _gather(node: gs.Node, inputs: list[Fact], opset: int) -> list[Fact]:
    data, index = _known(inputs[0]), _known(inputs[1])
    axis = node.attrs.get("axis", 0) % len(data)
    return [Fact((*data[:axis], *index, *data[axis + 1 :]), inputs[0].dtype)]


def _gather_elements(node: gs.Node, inputs: list[Fact], opset: int) -> list[Fact]:
    return [Fact(_known(inputs[1]), inputs[0].dtype)]


def _gather_nd(node: gs.Node, inputs: list[Fact], opset: int) -> list[Fact]:
    data, index = _known(inputs[0]), _known(inputs[1])
    return [Fact((*index[:-1], *data[node.attrs.get("batch_dims", 0) + index[-1] :]), inputs[0].dtype)]


def slice_ranges(node: gs.Node, values: Sequence[Array | None], shape: Shape) -> dict[int, range]:
    """The indices that Slice takes along each sliced axis; ValueError when they are not known."""
    if "starts" in node.attrs:
        starts, ends = node.attrs["starts"], node.attrs["ends"]
        axes, steps = node.attrs.get("axes", range(len(starts))), [1] * len(starts)
    else:
        if values[1] is None or values[2] is None:
            raise ValueError("slice bounds are not known")
        starts, ends = np.ravel(values[1]), np.ravel(values[2])
        given = [values[k] if k < len(values) and node.inputs[k].name else None for k in (3, 4)]
        for k in (3, 4):
            if k < len(values) and node.inputs[k].name and values[k] is None:
                raise ValueError("slice axes are not known")
        axes = range(len(starts)) if given[0] is None else np.ravel(given[0])
        steps = [1] * len(starts) if given[1] is None else np.ravel(given[1])
    out: dict[int, range] = {}
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        place = int(axis) % len(shape)
        out[place] = range(*slice(int(start), int(end), int(step)).indices(shape[place]))
    return out


def _slice(node: gs.Node, inputs: list[Fact], opset: int) -> list[Fact]:
    shape = list(_known(inputs[0]))
    for axis, taken in slice_ranges(node, [f.value for f in inputs], tuple(shape)).items():
        shape[axis] = len(taken)
    return [Fact(tuple(shape), inputs[0].dtype)]


def split_sizes(node: gs.Node, inputs: Sequence[Fact]) -> tuple[int, list[int]]:
    """The axis that Split cuts and the sizes of its parts."""
    shape = _known(inputs[0])
    axis = node.attrs.get("axis", 0) % len(shape)
    sizes = _ints(node, "split", 1, inputs)
    if sizes is None:
        count = len(node.outputs)
        step = -(-shape[axis] // count)
        sizes = [min(step, shape[axis] - k * step) for k in range(count)]
    return axis, sizes


def _split(node: gs.Node, inputs: list[Fact], opset: int) -> list[Fact]:
    shape = _known(inputs[0])
    axis, sizes = split_sizes(node, inputs)
    return [Fact((*shape[:axis], size, *shape[axis + 1 :]), inputs[0].dtype) for size in sizes]


def _shape_of(node: gs.Node, inputs: list[Fact], opset: int) -> list[Fact]:
    shape = _known(inputs[0])
    return [_of_array(np.array(shape[node.attrs.get("start", 0) : node.attrs.get("end", len(shape))], np.int64))]


def _size_of(node: gs.Node, inputs: list[Fact], opset: int) -> list[Fact]:
    return [_of_array(np.array(np.prod(_known(inputs[0]), dtype=np.int64), np.int64))]


def pads_of(node: gs.Node, inputs: Sequence[Fact]) -> list[int]:
    """Pad's amounts, begins then ends, for every axis."""
    rank = len(_known(inputs[0]))
    pads = _ints(node, "pads", 1, inputs) or []
    axes = _ints(node, "axes", 3, inputs) if len(node.inputs) > 3 else None
    if axes is None:
        return pads
    out = [0] * (2 * rank)
    for k, axis in enumerate(axes):
        out[axis % rank], out[axis % rank + rank] = pads[k], pads[k + len(axes)]
    return out


def _pad(node: gs.Node, inputs: list[Fact], opset: int) -> list[Fact]:
    shape, pads = _known(inputs[0]), pads_of(node, inputs)
    dims = tuple(d + pads[i] + pads[i + len(shape)] for i, d in enumerate(shape))
    return [Fact(dims, inputs[0].dtype)]


def _same(node: gs.Node, inputs: list[Fact], opset: int) -> list[Fact]:
    return [Fact(inputs[0].shape, inputs[0].dtype)]


def reduced_axes(node: gs.Node, inputs: Sequence[Fact]) -> tuple[int, ...]:
    """The axes that a reduction sums over."""
    rank = len(_known(inputs[0]))
    axes = _ints(node, "axes", 1, inputs)
    if not axes:
        return () if node.attrs.get("noop_with_empty_axes", 0) else tuple(range(rank))
    return tuple(sorted(a % rank for a in axes))


def _reduce(node: gs.Node, inputs: list[Fact], opset: int) -> list[Fact]:
    shape, axes = _known(inputs[0]), reduced_axes(node, inputs)
    keep = node.attrs.get("keepdims", 1)
    dims = tuple(1 if i in axes else d for i, d in enumerate(shape) if keep or i not in axes)
    return [Fact(dims, inputs[0].dtype)]


ShapeRule = Callable[[gs.Node, list[Fact], int], list[Fact]]
ELEMENTWISE = frozenset(
    "Abs Add And Cast Ceil Clip Cos Div Equal Erf Exp Floor Greater GreaterOrEqual Identity Less LessOrEqual Log Max "
    "Min Mod Mul Neg Not Or Pow Reciprocal Relu Round Sigmoid Sign Sin Sqrt Sub Sum Tanh Where Xor Sin Softplus "
    "LeakyRelu HardSigmoid Gelu".split()
)
SHAPES: dict[str, ShapeRule] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys(("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"), _reduce),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Dropout", "BatchNormalization", "LayerNormalization"), _same),
    "Concat": _concat,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Pad": _pad,
    "Reshape": _reshape,
    "Shape": _shape_of,
    "Size": _size_of,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
SHAPES["Clip"] = SHAPES["Cast"] = _elementwise

# ---- values -----------------------------------------------------------------------------------------------------------

Values = list[Array | None]
Evaluator = Callable[[gs.Node, Any, int], list[Any]]


def _constant_node(node: gs.Node, values: Values, opset: int) -> list[Any]:
    for name, dtype in (("value_float", np.float32), ("value_int", np.int64)):
        if name in node.attrs:
            return [np.array(node.attrs[name], dtype)]
    for name, dtype in (("value_floats", np.float32), ("value_ints", np.int64)):
        if name in node.attrs:
            return [np.array(node.attrs[name], dtype)]
    return [node.attrs["value"].values]


def _divide(a: Array, b: Array) -> Array:
    if not np.issubdtype(a.dtype, np.integer):
        return np.asarray(a / b)
    return np.asarray(np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b)), a.dtype)  # ONNX rounds to zero


def _constant_of_shape(node: gs.Node, values: Any, opset: int) -> list[Any]:
    fill = node.attrs["value"].values if "value" in node.attrs else np.zeros(1, np.float32)
    dims = tuple(int(d) for d in values[0])
    if int(np.prod(dims, dtype=np.int64)) > MAX_VALUE_SIZE:
        return [np.broadcast_to(fill.reshape(()), dims)]
    return [np.full(dims, fill.reshape(()), fill.dtype)]


def _range(node: gs.Node, values: Any, opset: int) -> list[Any]:
    start, limit, step = (v.reshape(()) for v in values)
    if (limit - start) / step > MAX_VALUE_SIZE:
        raise ValueError("too long")
    return [np.arange(start, limit, step, start.dtype)]


def _by_shape(take: Callable[[Array, Shape], Array]) -> Evaluator:
    """An evaluator of an operator that only rearranges, from its shape rule."""

    def evaluate(node: gs.Node, values: Any, opset: int) -> list[Any]:
        facts = [UNKNOWN if v is None else Fact(v.shape, v.dtype, v) for v in values]
        shape = SHAPES[node.op](node, facts, opset)[0].shape
        return [take(values[0], shape or ())]

    return evaluate


def _slice_value(node: gs.Node, values: Any, opset: int) -> list[Any]:
    taken = slice_ranges(node, values, values[0].shape)
    out = values[0]
    for axis, places in taken.items():
        out = np.take(out, list(places), axis=axis)
    return [out]


def _split_value(node: gs.Node, values: Any, opset: int) -> list[Any]:
    axis, sizes = split_sizes(node, [Fact(v.shape, v.dtype, v) for v in values])
    return list(np.split(values[0], np.cumsum(sizes)[:-1], axis=axis))


def _reduction(reduce: Callable[..., Any]) -> Evaluator:
    def evaluate(node: gs.Node, values: Any, opset: int) -> list[Any]:
        axes = reduced_axes(node, [Fact(v.shape, v.dtype, v) for v in values])
        return [np.asarray(reduce(values[0], axis=axes, keepdims=bool(node.attrs.get("keepdims", 1))))]

    return evaluate


def _numpy(function: Callable[..., Any]) -> Evaluator:
    return lambda node, values, opset: [np.asarray(function(*(v for v in values if v is not None)))]


def _cast(node: gs.Node, values: Any, opset: int) -> list[Any]:
    return [values[0].astype(onnx.helper.tensor_dtype_to_np_dtype(int(node.attrs["to"])))]


def _clip(node: gs.Node, values: Any, opset: int) -> list[Any]:
    bounds = [*values[1:], None, None][:2]
    low = bounds[0] if bounds[0] is not None else node.attrs.get("min", -np.inf)
    high = bounds[1] if bounds[1] is not None else node.attrs.get("max", np.inf)
    return [np.clip(values[0], low, high).astype(values[0].dtype)]


EVALUATORS: dict[str, Evaluator] = {
    "Constant": _constant_node,
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "Cast": _cast,
    "Clip": _clip,
    "Slice": _slice_value,
    "Split": _split_value,
    "Identity": _numpy(lambda a: a),
    "Add": _numpy(np.add),
    "Sub": _numpy(np.subtract),
    "Mul": _numpy(np.multiply),
    "Div": _numpy(_divide),
    "Mod": lambda node, v, opset: [np.fmod(v[0], v[1]) if node.attrs.get("fmod") else np.mod(v[0], v[1])],
    "Neg": _numpy(np.negative),
    "Abs": _numpy(np.abs),
    "Floor": _numpy(np.floor),
    "Ceil": _numpy(np.ceil),
    "Reciprocal": _numpy(np.reciprocal),
    "Min": _numpy(lambda *a: np.minimum.reduce(np.broadcast_arrays(*a))),
    "Max": _numpy(lambda *a: np.maximum.reduce(np.broadcast_arrays(*a))),
    "Equal": _numpy(np.equal),
    "Less": _numpy(np.less),
    "LessOrEqual": _numpy(np.less_equal),
    "Greater": _numpy(np.greater),
    "GreaterOrEqual": _numpy(np.greater_equal),
    "And": _numpy(np.logical_and),
    "Or": _numpy(np.logical_or),
    "Xor": _numpy(np.logical_xor),
    "Not": _numpy(np.logical_not),
    "Where": _numpy(np.where),
    "Gather": lambda node, v, opset: [np.take(v[0], v[1], axis=node.attrs.get("axis", 0))],
    "Concat": lambda node, v, opset: [np.concatenate(v, axis=node.attrs["axis"])],
    "Transpose": lambda node, v, opset: [np.transpose(v[0], node.attrs.get("perm"))],
    "Reshape": _by_shape(lambda a, shape: a.reshape(shape)),
    "Flatten": _by_shape(lambda a, shape: a.reshape(shape)),
    "Squeeze": _by_shape(lambda a, shape: a.reshape(shape)),
    "Unsqueeze": _by_shape(lambda a, shape: a.reshape(shape)),
    "Expand": _by_shape(lambda a, shape: np.broadcast_to(a, shape)),
    "Tile": lambda node, v, opset: [np.tile(v[0], v[1])],
    "ReduceSum": _reduction(np.sum),
    "ReduceProd": _reduction(np.prod),
    "ReduceMax": _reduction(np.max),
    "ReduceMin": _reduction(np.min),
}
