"""ONNX operators on small numpy arrays: what index and shape arithmetic is made of, bit for bit.

Only operators whose result does not depend on the runtime are here: exact integer and boolean
arithmetic, IEEE basic operations, data movement. Transcendental functions, float reductions and
convolutions differ in the last bit from one runtime to the next and stay in the graph.

Data movement also works on arrays of objects, which is how partly known shapes are carried along.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray

from onnxgs_opt.ir.operators import COPIES

Array: TypeAlias = NDArray[Any]
LIMIT = 4096  # elements of a result
CARRYING_UNKNOWNS = COPIES | {"Cast"}
"""Operators that work on arrays of objects too."""


class NotEvaluable(Exception):  # noqa: N818  (a value that is not there, not a failure)
    """The operator, its attributes or these values have no evaluation here."""


@dataclass(frozen=True)
class Call:
    """One application of an operator: inputs (None where omitted), attributes, opset, output count.

    A result has at most `limit` elements.
    """

    inputs: Sequence[Array | None]
    attrs: Mapping[str, Any]
    opset: int
    outputs: int = 1
    limit: int = LIMIT

    def __getitem__(self, index: int) -> Array:
        """Input ``index``; raises `NotEvaluable` when it is omitted."""
        value = self.get(index)
        if value is None:
            raise NotEvaluable
        return value

    def get(self, index: int) -> Array | None:
        """Input ``index``, None when it is omitted."""
        return self.inputs[index] if index < len(self.inputs) else None

    def ints(self, name: str, index: int) -> list[int] | None:
        """A list that older opsets have as attribute ``name`` and newer ones as input ``index``."""
        if name in self.attrs:
            return [int(i) for i in self.attrs[name]]
        value = self.get(index)
        return None if value is None else [int(i) for i in value.reshape(-1)]


def evaluate(
    op: str,
    inputs: Sequence[Array | None],
    attrs: Mapping[str, Any],
    opset: int,
    outputs: int = 1,
    limit: int = LIMIT,
) -> tuple[Array, ...] | None:
    """Outputs of an operator of the default domain, None when it is not evaluated here.

    Values that no runtime agrees on (overflow, division by zero, a cast out of range, an index out of
    bounds) and results over `limit` elements are not evaluated either.
    """
    rule = EVALUATORS.get(op)
    if rule is None or any(v is not None and v.dtype.kind not in "biufO" for v in inputs):
        return None
    moved = any(v is not None and v.dtype == object for v in inputs)
    if moved and op not in CARRYING_UNKNOWNS:
        return None
    try:
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            result = rule(Call(inputs, attrs, opset, outputs, limit))
    except (NotEvaluable, ArithmeticError, ValueError, IndexError, TypeError, KeyError, MemoryError):
        return None
    results = result if isinstance(result, tuple) else (result,)
    arrays = tuple(np.asarray(r) for r in results)
    return arrays if all(a.size <= limit for a in arrays) else None


def _limit(call: Call, shape: Sequence[int]) -> Sequence[int]:
    count = 1
    for dim in shape:
        count *= dim
    if not 0 <= count <= call.limit:
        raise NotEvaluable
    return shape


def _elementwise(function: Callable[..., Any]) -> Callable[[Call], Array]:
    def run(call: Call) -> Array:
        arrays = [call[k] for k in range(len(call.inputs))]
        if len({a.dtype for a in arrays}) != 1:
            raise NotEvaluable
        _limit(call, np.broadcast_shapes(*(a.shape for a in arrays)))
        return np.asarray(function(*arrays))

    return run


def _arithmetic(function: Callable[..., Any]) -> Callable[[Call], Array]:
    """Elementwise with the dtype of the inputs as result."""
    inner = _elementwise(function)

    def run(call: Call) -> Array:
        return inner(call).astype(call[0].dtype, copy=False)

    return run


def _rounded(function: Callable[..., Any]) -> Callable[[Call], Array]:
    """Arithmetic whose result is rounded: in half precision some runtimes round less often, so that nothing may be."""
    inner = _arithmetic(function)

    def run(call: Call) -> Array:
        if call[0].dtype != np.float16:
            return inner(call)
        exact = inner(replace(call, inputs=[None if a is None else a.astype(np.float64) for a in call.inputs]))
        if not np.array_equal(exact.astype(np.float16), exact):
            raise NotEvaluable
        return exact.astype(np.float16)

    return run


def _variadic(function: Callable[[Array, Array], Array]) -> Callable[[Call], Array]:
    def fold(*arrays: Array) -> Array:
        result = arrays[0]
        for array in arrays[1:]:
            result = function(result, array)
        return result

    return _arithmetic(fold)


def _divide(a: Array, b: Array) -> Array:
    if a.dtype.kind == "f":
        return np.true_divide(a, b)
    if not np.all(b):
        raise NotEvaluable
    quotient = np.abs(a) // np.abs(b)  # ONNX rounds towards zero, numpy down
    return np.where((a < 0) != (b < 0), -quotient, quotient)


def _mod(call: Call) -> Array:
    if not np.all(call[1]) or (call[0].dtype.kind == "f" and not call.attrs.get("fmod")):
        raise NotEvaluable
    return _arithmetic(np.fmod if call.attrs.get("fmod") else np.mod)(call)


def _floats(function: Callable[..., Any]) -> Callable[[Call], Array]:
    def run(call: Call) -> Array:
        if call[0].dtype.kind != "f":
            raise NotEvaluable
        return _arithmetic(function)(call)

    return run


def _clip(call: Call) -> Array:
    value = call[0]
    bounds = [call.attrs.get(n, call.get(k)) for n, k in (("min", 1), ("max", 2))]
    for function, bound in zip((np.maximum, np.minimum), bounds, strict=True):
        if bound is not None:
            value = function(value, np.asarray(bound, value.dtype))
    return value


def _cast(call: Call) -> Array:
    value = call[0]
    target = onnx.helper.tensor_dtype_to_np_dtype(call.attrs["to"])
    if value.dtype == object:
        if target != np.int64:
            raise NotEvaluable
        return value
    if target.kind not in "biuf":
        raise NotEvaluable
    result = value.astype(target)
    if target.kind in "iu" and not np.array_equal(np.trunc(value.astype(np.float64)), result.astype(np.float64)):
        raise NotEvaluable  # out of range
    if target == np.float16 and not np.array_equal(result.astype(value.dtype), value):
        raise NotEvaluable  # runtimes that compute in single precision skip this rounding
    return result


def _pow(call: Call) -> Array:
    """Whole powers of powers of two, which every runtime has exactly, as of a shift of bits."""
    base, exponent = (call[k].astype(np.float64) for k in (0, 1))
    _limit(call, np.broadcast_shapes(base.shape, exponent.shape))
    made = np.power(base, exponent)
    two = np.all(np.frexp(base)[0] == 0.5) and np.array_equal(exponent, np.trunc(exponent))
    if not two or not np.array_equal(made.astype(call[0].dtype), made):
        raise NotEvaluable
    return made.astype(call[0].dtype)


def _where(call: Call) -> Array:
    if call[0].dtype != np.bool_ or call[1].dtype != call[2].dtype:
        raise NotEvaluable
    _limit(call, np.broadcast_shapes(call[0].shape, call[1].shape, call[2].shape))
    return np.where(call[0], call[1], call[2])


def _reduce(function: Callable[..., Any]) -> Callable[[Call], Array]:
    def run(call: Call) -> Array:
        value = call[0]
        if value.dtype.kind not in "iu":
            raise NotEvaluable
        axes = call.ints("axes", 1)
        if not axes and call.attrs.get("noop_with_empty_axes"):
            return value
        kept = bool(call.attrs.get("keepdims", 1))
        return np.asarray(function(value, axis=tuple(axes) if axes else None, keepdims=kept)).astype(value.dtype)

    return run


def _shape(call: Call) -> Array:
    start, end = call.attrs.get("start", 0), call.attrs.get("end")
    return np.asarray(call[0].shape[start:end], np.int64)


def _reshape(call: Call) -> Array:
    value = call[0]
    target = [int(i) for i in call[1]]
    if not call.attrs.get("allowzero"):
        target = [value.shape[k] if dim == 0 else dim for k, dim in enumerate(target)]
    return value.reshape(target)


def _flatten(call: Call) -> Array:
    value, axis = call[0], call.attrs.get("axis", 1)
    axis += value.ndim if axis < 0 else 0
    return value.reshape(math.prod(value.shape[:axis]), math.prod(value.shape[axis:]))


def _squeeze(call: Call) -> Array:
    axes = call.ints("axes", 1)
    return np.squeeze(call[0], tuple(axes) if axes is not None else None)


def _unsqueeze(call: Call) -> Array:
    axes = call.ints("axes", 1)
    if axes is None:
        raise NotEvaluable
    return np.expand_dims(call[0], tuple(axes))


def _expand(call: Call) -> Array:
    shape = np.broadcast_shapes(call[0].shape, tuple(int(i) for i in call[1]))
    return np.broadcast_to(call[0], _limit(call, shape)).copy()


def _tile(call: Call) -> Array:
    repeats = [int(i) for i in call[1]]
    _limit(call, [a * b for a, b in zip(call[0].shape, repeats, strict=True)])
    return np.tile(call[0], repeats)


def _constant_of_shape(call: Call) -> Array:
    value = call.attrs.get("value")
    fill = np.zeros(1, np.float32) if value is None else np.asarray(value)
    return np.full(_limit(call, [int(i) for i in call[0]]), fill.reshape(-1)[0], fill.dtype)


def _range(call: Call) -> Array:
    start, limit, delta = (call[k].reshape(()) for k in range(3))
    if start.dtype.kind not in "iu" or not delta:
        raise NotEvaluable
    count = max(0, -(-(int(limit) - int(start)) // int(delta)))
    _limit(call, [count])
    return (int(start) + np.arange(count, dtype=np.int64) * int(delta)).astype(start.dtype)


def _gather(call: Call) -> Array:
    axis = call.attrs.get("axis", 0)
    _limit(call, [*np.delete(call[0].shape, axis), *call[1].shape])
    return np.take(call[0], call[1], axis=axis)


def _gather_elements(call: Call) -> Array:
    data, index, axis = call[0], call[1].astype(np.int64), call.attrs.get("axis", 0)
    if any(a > b for k, (a, b) in enumerate(zip(index.shape, data.shape, strict=True)) if k != axis % data.ndim):
        raise NotEvaluable
    data = data[tuple(slice(None if k == axis % data.ndim else size) for k, size in enumerate(index.shape))]
    return np.take_along_axis(data, np.where(index < 0, index + data.shape[axis], index), axis)


def _slice(call: Call) -> Array:
    value = call[0]
    starts, ends = call.ints("starts", 1), call.ints("ends", 2)
    if starts is None or ends is None:
        raise NotEvaluable
    axes = call.ints("axes", 3) or list(range(len(starts)))
    steps = call.ints("steps", 4) or [1] * len(starts)
    slices = [slice(None)] * value.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        size = value.shape[axis]
        # An end before the first element has no Python spelling but None.
        stop = None if step < 0 and end < -size else end
        slices[axis] = slice(start, stop, step)
    return value[tuple(slices)]


def _split(call: Call) -> tuple[Array, ...]:
    value, axis = call[0], call.attrs.get("axis", 0)
    size = value.shape[axis]
    sizes = call.ints("split", 1)
    if sizes is None:
        chunk = -(-size // call.outputs)
        sizes = [min(chunk, size - chunk * k) for k in range(call.outputs)]
    if sum(sizes) != size or len(sizes) != call.outputs or min(sizes) < 0:
        raise NotEvaluable
    return tuple(np.split(value, np.cumsum(sizes)[:-1], axis))


def _concat(call: Call) -> Array:
    arrays = [call[k] for k in range(len(call.inputs))]
    kinds = {a.dtype for a in arrays if a.dtype != object}
    if len(kinds) > 1:
        raise NotEvaluable
    return np.concatenate(arrays, call.attrs["axis"])


def _scatter_nd(call: Call) -> Array:
    if call.attrs.get("reduction", "none") not in ("none", b"none"):
        raise NotEvaluable
    result = call[0].copy()
    result[tuple(np.moveaxis(call[1], -1, 0))] = call[2]
    return result


EVALUATORS: Mapping[str, Callable[[Call], Any]] = {
    "Add": _rounded(np.add),
    "Sub": _rounded(np.subtract),
    "Mul": _rounded(np.multiply),
    "Div": _rounded(_divide),
    "Mod": _mod,
    "Neg": _arithmetic(np.negative),
    "Abs": _arithmetic(np.abs),
    "Sign": _arithmetic(np.sign),
    "Floor": _floats(np.floor),
    "Ceil": _floats(np.ceil),
    "Round": _floats(np.rint),
    "Sqrt": _rounded(np.sqrt),
    "Pow": _pow,
    "Min": _variadic(np.minimum),
    "Max": _variadic(np.maximum),
    "Sum": _rounded(lambda *arrays: sum(arrays[1:], arrays[0])),
    "Clip": _clip,
    "Equal": _elementwise(np.equal),
    "Less": _elementwise(np.less),
    "LessOrEqual": _elementwise(np.less_equal),
    "Greater": _elementwise(np.greater),
    "GreaterOrEqual": _elementwise(np.greater_equal),
    "And": _elementwise(np.logical_and),
    "Or": _elementwise(np.logical_or),
    "Xor": _elementwise(np.logical_xor),
    "Not": _elementwise(np.logical_not),
    "Where": _where,
    "Cast": _cast,
    "ReduceProd": _reduce(np.prod),
    "ReduceSum": _reduce(np.sum),
    "ReduceMin": _reduce(np.min),
    "ReduceMax": _reduce(np.max),
    "Shape": _shape,
    "Size": lambda call: np.asarray(call[0].size, np.int64),
    "Identity": lambda call: call[0],
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": lambda call: np.ascontiguousarray(np.transpose(call[0], call.attrs.get("perm"))),
    "Expand": _expand,
    "Tile": _tile,
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "Slice": _slice,
    "Split": _split,
    "Concat": _concat,
    "ScatterND": _scatter_nd,
}
