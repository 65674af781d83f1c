"""Element type and shape of an operator's results, where a simple rule gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from onnxgs_opt.graph import constant_value

Shape: TypeAlias = "list[Any] | None"
Known: TypeAlias = "tuple[Any, Shape]"
Rule: TypeAlias = "Callable[[_Args], list[Shape]]"

_COMPARISONS = frozenset(("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or", "Xor", "Not"))
_INDICES = frozenset(("Shape", "Size", "ArgMax", "ArgMin", "NonZero"))


class _Args:
    """One application of an operator, with what is known of its operands."""

    def __init__(self, tensors: Sequence[Any], attrs: Mapping[str, Any], outputs: int) -> None:
        self.tensors, self.attrs, self.outputs = tensors, attrs, outputs

    def shape(self, index: int) -> list[Any]:
        tensor = self.tensors[index]
        if tensor is None or tensor.shape is None:
            raise LookupError
        return list(tensor.shape)

    def ints(self, name: str, index: int) -> list[int]:
        if name in self.attrs:
            return list(self.attrs[name])
        value = constant_value(self.tensors[index])
        if value is None:
            raise LookupError
        return [int(i) for i in value.reshape(-1)]


def result_type(
    op: str, tensors: Sequence[gs.Tensor | None], attrs: Mapping[str, Any], opset: int, outputs: int
) -> list[Known]:
    """(dtype, shape) of each output of a standard operator, None for what is not known."""
    rule = _RULES.get(op)
    shapes: list[Shape] = [None] * outputs
    if rule is not None:
        try:
            shapes = rule(_Args(tensors, attrs, outputs))
        except (LookupError, TypeError, ValueError):
            shapes = [None] * outputs
    dtype = _dtype(op, tensors, attrs)
    return [(dtype, shape) for shape in shapes]


def _dtype(op: str, tensors: Sequence[gs.Tensor | None], attrs: Mapping[str, Any]) -> Any:
    if op in _COMPARISONS:
        return np.dtype(bool)
    if op in _INDICES:
        return np.dtype(np.int64)
    if op == "Cast":
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(attrs["to"]))
    if op == "ConstantOfShape":
        value = attrs.get("value")
        return np.dtype(np.float32) if value is None else value.dtype
    source = tensors[1 if op == "Where" else 0] if tensors else None
    return None if source is None else source.dtype


def broadcast(shapes: Sequence[Sequence[Any]]) -> list[Any]:
    """Shape of an elementwise result; None for a dim that is not known."""
    rank = max(len(s) for s in shapes)
    padded = [[1] * (rank - len(s)) + list(s) for s in shapes]
    return [_broadcast_dim(dims) for dims in zip(*padded, strict=True)]


def _broadcast_dim(dims: Sequence[Any]) -> Any:
    rest = [d for d in dims if d != 1]
    known = [d for d in rest if isinstance(d, int)]
    if not rest:
        return 1
    if known:
        return known[0]
    return rest[0] if all(d == rest[0] for d in rest) else None


def _elementwise(args: _Args) -> list[Shape]:
    return [broadcast([args.shape(k) for k in range(len(args.tensors))])]


def _same(args: _Args) -> list[Shape]:
    return [args.shape(0)]


def _transpose(args: _Args) -> list[Shape]:
    shape = args.shape(0)
    return [[shape[p] for p in args.attrs.get("perm", range(len(shape) - 1, -1, -1))]]


def _unsqueeze(args: _Args) -> list[Shape]:
    shape, axes = args.shape(0), args.ints("axes", 1)
    rank = len(shape) + len(axes)
    inserted = {a % rank for a in axes}
    rest = iter(shape)
    return [[1 if k in inserted else next(rest) for k in range(rank)]]


def _squeeze(args: _Args) -> list[Shape]:
    shape, axes = args.shape(0), args.ints("axes", 1)
    removed = {a % len(shape) for a in axes}
    return [[d for k, d in enumerate(shape) if k not in removed]]


def _reduce(args: _Args) -> list[Shape]:
    shape, axes = args.shape(0), args.ints("axes", 1)
    reduced = {a % len(shape) for a in axes}
    if args.attrs.get("keepdims", 1):
        return [[1 if k in reduced else d for k, d in enumerate(shape)]]
    return [[d for k, d in enumerate(shape) if k not in reduced]]


def _concat(args: _Args) -> list[Shape]:
    shapes = [args.shape(k) for k in range(len(args.tensors))]
    axis = args.attrs["axis"] % len(shapes[0])
    result = [next((s[k] for s in shapes if isinstance(s[k], int)), shapes[0][k]) for k in range(len(shapes[0]))]
    sizes = [s[axis] for s in shapes]
    result[axis] = sum(sizes) if all(isinstance(s, int) for s in sizes) else None
    return [result]


def _split(args: _Args) -> list[Shape]:
    shape, axis = args.shape(0), args.attrs.get("axis", 0)
    return [_with(shape, axis, size) for size in args.ints("split", 1)]


def _slice(args: _Args) -> list[Shape]:
    shape = args.shape(0)
    starts, ends, axes = (args.ints(n, k + 1) for k, n in enumerate(("starts", "ends", "axes")))
    for start, end, axis in zip(starts, ends, axes, strict=True):
        size = shape[axis]
        shape = _with(shape, axis, len(range(size)[start:end]) if isinstance(size, int) else None)
    return [shape] if len(args.tensors) < 5 else [None]


def _with(shape: Sequence[Any], axis: int, size: Any) -> list[Any]:
    result = list(shape)
    result[axis] = size
    return result


def _gather(args: _Args) -> list[Shape]:
    data, index = args.shape(0), args.shape(1)
    axis = args.attrs.get("axis", 0) % len(data)
    return [[*data[:axis], *index, *data[axis + 1 :]]]


def _gather_nd(args: _Args) -> list[Shape]:
    data, index, batch = args.shape(0), args.shape(1), args.attrs.get("batch_dims", 0)
    return [[*index[:-1], *data[batch + index[-1] :]]]


def _reshape(args: _Args) -> list[Shape]:
    target = args.ints("shape", 1)
    shape = args.tensors[0].shape
    result = [(shape[k] if shape is not None else None) if d == 0 else d for k, d in enumerate(target)]
    filled = _remaining(shape, [d for d in result if d != -1])
    return [[filled if d == -1 else d for d in result]]


def _remaining(shape: Sequence[Any] | None, rest: Sequence[Any]) -> int | None:
    """What -1 stands for in a Reshape of ``shape`` whose other dims are ``rest``."""
    if shape is None or not all(isinstance(d, int) for d in (*shape, *rest)):
        return None
    count, unit = int(np.prod(shape)), int(np.prod(rest))
    return count // unit if unit else None


def _expand(args: _Args) -> list[Shape]:
    return [broadcast([args.shape(0), args.ints("shape", 1)])]


def _matmul(args: _Args) -> list[Shape]:
    a, b = args.shape(0), args.shape(1)
    if min(len(a), len(b)) < 2:
        return [None]
    return [[*broadcast([a[:-2], b[:-2]]), a[-2], b[-1]]]


def _grid_sample(args: _Args) -> list[Shape]:
    return [[*args.shape(0)[:2], *args.shape(1)[1:-1]]]


_ELEMENTWISE = [
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Mod",
    "Pow",
    "Min",
    "Max",
    "Sum",
    "Where",
    "Equal",
    "Less",
    "LessOrEqual",
    "Greater",
    "GreaterOrEqual",
    "And",
    "Or",
    "Xor",
    "BitwiseAnd",
    "BitwiseOr",
    "BitShift",
]
_UNARY = [
    "Neg",
    "Abs",
    "Sign",
    "Floor",
    "Ceil",
    "Round",
    "Sqrt",
    "Exp",
    "Log",
    "Reciprocal",
    "Not",
    "Identity",
    "Cast",
    "Clip",
    "Relu",
    "Sigmoid",
    "Tanh",
]

_RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    **dict.fromkeys(_UNARY, _same),
    **dict.fromkeys(("ReduceSum", "ReduceProd", "ReduceMax", "ReduceMin", "ReduceMean"), _reduce),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "GatherND": _gather_nd,
    "GatherElements": lambda args: [args.shape(1)],
    "Reshape": _reshape,
    "Expand": _expand,
    "MatMul": _matmul,
    "GridSample": _grid_sample,
    "Shape": lambda args: [[len(args.shape(0))]] if not args.attrs else [None],
    "Size": lambda args: [[]],
}
