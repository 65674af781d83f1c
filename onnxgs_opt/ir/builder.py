"""Writes ONNX of the opset that the model has, 11 or later where an operator changed.

What is known is folded, and what is equal is shared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, Literal, TypeAlias, cast, overload

import numpy as np
import onnx_graphsurgeon as gs
from numpy.typing import ArrayLike, DTypeLike, NDArray

from onnxgs_opt.ir.constants import constant_value, element_count, plain_attributes, small_value
from onnxgs_opt.ir.evaluator import EVALUATORS, evaluate
from onnxgs_opt.ir.exporter import to_onnx_type
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.ir.made import new_node, new_variable
from onnxgs_opt.ir.operators import REDUCTIONS
from onnxgs_opt.ir.type_inference import result_type

Dim: TypeAlias = "int | gs.Tensor"
Operand: TypeAlias = "gs.Tensor | NDArray[Any] | float | int | bool"
_AXES_INPUT_SINCE = 13
_REDUCE_AXES_INPUT_SINCE = 18  # but for ReduceSum
_ZERO_IS_ZERO_SINCE = 14
"""Reshape's allowzero: a 0 among the dims, which may be computed, is no longer "as before"."""
_SPLIT_INPUT_SINCE = 13
_INTEGER_MIN_MAX_SINCE = 12
_END = 2**31 - 1
"""For Slice: to the end of an axis, however long."""


class Builder:
    """Appends nodes to a graph, named ``prefix/Op_k``; their order is settled when the graph is written."""

    def __init__(self, graph: Graph, prefix: str) -> None:
        """Build into ``graph``; several builders on one graph do not disturb each other."""
        self.graph = graph
        self.prefix = prefix
        self._constants: dict[tuple[Any, ...], gs.Constant] = {}
        self._shared: dict[tuple[Any, ...], gs.Tensor] = {}
        self._squeezed: dict[int, tuple[gs.Tensor, tuple[int, ...], gs.Tensor]] = {}

    @property
    def opset(self) -> int:
        """Version of the default domain that nodes are written for."""
        return self.graph.opset

    # -- constants and nodes ----------------------------------------------------------------------

    def const(self, value: ArrayLike, dtype: DTypeLike | None = None) -> gs.Tensor:
        """A constant; equal ones of this builder are one tensor.

        Without `dtype` an array keeps its own type; a bare Python float makes float32, an int int64.
        """
        array = np.asarray(value, dtype)
        if dtype is None and not isinstance(value, (np.ndarray, np.generic)) and array.dtype == np.float64:
            array = array.astype(np.float32)
        array = np.ascontiguousarray(array).reshape(array.shape)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = self.graph.fresh_name(f"{self.prefix}/const")
            self._constants[key] = gs.Constant(name, array)
        return self._constants[key]

    @overload
    def op(self, op_type: str, *inputs: Operand | None, outputs: Literal[1] = 1, **how: Any) -> gs.Tensor: ...

    @overload
    def op(self, op_type: str, *inputs: Operand | None, outputs: int, **how: Any) -> tuple[gs.Tensor, ...]: ...

    def op(
        self,
        op_type: str,
        *inputs: Operand | None,
        domain: str = "",
        outputs: int = 1,
        dtype: Any = None,
        shape: Sequence[int | str | None] | None = None,
        **attrs: Any,
    ) -> Any:
        """Append one node and return its output, or a tuple of them when ``outputs`` is over 1.

        Bare numbers take the element type of the first tensor among the inputs. When every input is a
        small constant and the operator can be evaluated, the result is a constant and no node is made.

        Args:
            op_type: The operator.
            inputs: Tensors, arrays, numbers; None for an omitted optional input.
            domain: Operator domain, "" for the standard one.
            outputs: Number of outputs.
            dtype: Element type of the results; where None it follows from the operator when it can.
            shape: Shape of the results; where None it follows from the operator when it can.
            attrs: Attributes of the node; None leaves one out.
        """
        attrs = {name: value for name, value in attrs.items() if value is not None}
        tensors = self._operands(op_type, inputs)
        folded = None if domain else self._fold(op_type, tensors, attrs, outputs)
        if folded is not None:
            return folded
        told = dtype is not None and shape is not None
        nothing = [(None, None)] * outputs
        known = nothing if domain or told else result_type(op_type, tensors, attrs, self.opset, outputs)
        results = [
            self._variable(op_type, k, dtype if dtype is not None else own[0], shape if shape is not None else own[1])
            for k, own in enumerate(known)
        ]
        name = self.graph.fresh_name(f"{self.prefix}/{op_type}")
        node = new_node(op_type, name, attrs, [_present(t) for t in tensors], results, domain or None)
        self.graph.nodes.append(node)
        return results[0] if outputs == 1 else tuple(results)

    def _variable(self, op_type: str, index: int, dtype: Any, shape: Any) -> gs.Variable:
        base = f"{self.prefix}/{op_type}_out" if index == 0 else f"{self.prefix}/{op_type}_out{index}"
        dtype = np.dtype(dtype) if dtype is not None and not isinstance(dtype, int) else dtype
        return new_variable(self.graph.fresh_name(base), dtype, None if shape is None else list(shape))

    def _operands(self, op_type: str, inputs: Sequence[Operand | None]) -> list[gs.Tensor | None]:
        start = 1 if op_type == "Where" and len(inputs) > 1 else 0
        like = next((x.dtype for x in inputs[start:] if isinstance(x, (gs.Tensor, np.ndarray))), None)
        numpy_like = like if isinstance(like, np.dtype) else None
        return [self._operand(x, numpy_like) for x in inputs]

    def _operand(self, value: Operand | None, like: np.dtype[Any] | None) -> gs.Tensor | None:
        if value is None or isinstance(value, gs.Tensor):
            return value
        return self.const(value, None if isinstance(value, (np.ndarray, np.generic)) else like)

    def _fold(self, op_type: str, tensors: Sequence[gs.Tensor | None], attrs: Mapping[str, Any], outputs: int) -> Any:
        if op_type not in EVALUATORS:
            return None
        values = [None if t is None else small_value(t) for t in tensors]
        if any(v is None and t is not None for v, t in zip(values, tensors, strict=True)):
            return None
        if any(v is not None and v.dtype.kind not in "biuf" for v in values):
            return None
        results = evaluate(op_type, values, plain_attributes(attrs), self.opset, outputs)
        if results is None:
            return None
        constants = tuple(self.const(r) for r in results)
        return constants[0] if outputs == 1 else constants

    def name_of(self, t: gs.Tensor) -> str:
        """The name by which `Graph.tensor` finds a tensor from now on, also one that was folded and has no reader."""
        if isinstance(t, gs.Constant) and all(t is not constant for constant in self.graph.constants):
            self.graph.constants.append(t)
        return cast(str, t.name)

    # -- what changed between opsets --------------------------------------------------------------

    def unsqueeze(self, t: gs.Tensor, axes: Sequence[int]) -> gs.Tensor:
        """Insert axes of size 1 at these positions of the result; ``t`` itself when there are none.

        What `squeeze` has just removed is not inserted again, and a static tensor is reshaped once instead of twice.
        """
        before, removed, _ = self._squeezed.get(id(t), (None, (), None))
        if before is not None and list(removed) == list(axes):
            return before
        if before is not None and before.shape is not None and all(isinstance(d, int) for d in before.shape):
            kept = iter(d for k, d in enumerate(before.shape) if k not in removed)
            rank = len(before.shape) - len(removed) + len(axes)
            return self.reshape(before, [1 if k in axes else next(kept) for k in range(rank)])
        return self._with_axes("Unsqueeze", t, axes) if axes else t

    def squeeze(self, t: gs.Tensor, axes: Sequence[int]) -> gs.Tensor:
        """Remove these axes of size 1; ``t`` itself when there are none."""
        if not axes:
            return t
        result = self._with_axes("Squeeze", t, axes)
        if min(axes) >= 0:
            self._squeezed[id(result)] = (t, tuple(axes), result)  # holds the result, so that its id stays its own
        return result

    def reduce_sum(self, t: gs.Tensor, axis: int | Sequence[int], keepdims: bool = False) -> gs.Tensor:
        """Sum over one axis or several."""
        axes = [axis] if isinstance(axis, int) else list(axis)
        return self._with_axes("ReduceSum", t, axes, keepdims=int(keepdims))

    def _with_axes(self, op_type: str, t: gs.Tensor, axes: Sequence[int], **attrs: Any) -> gs.Tensor:
        axes = [int(a) for a in axes]
        is_late = op_type in REDUCTIONS - {"ReduceSum"}
        if self.opset < (_REDUCE_AXES_INPUT_SINCE if is_late else _AXES_INPUT_SINCE):
            return self.op(op_type, t, axes=axes, **attrs)
        return self.op(op_type, t, self.const(axes, np.int64), **attrs)

    def slice(self, t: gs.Tensor, axis: int, start: Dim, stop: int = _END) -> gs.Tensor:
        """Elements ``start`` to ``stop`` (exclusive) of one axis; ``t`` itself when that is all of it."""
        if not isinstance(start, int):
            ends, axes = (self.const([value], np.int64) for value in (stop, axis))
            return self.op("Slice", t, start, ends, axes)
        size = _static(t, axis)
        if size is not None and start == 0 and stop >= size:
            return t
        return self.op("Slice", t, *(self.const([b], np.int64) for b in (start, stop, axis)))

    def split(self, t: gs.Tensor, axis: int, sizes: Sequence[int]) -> tuple[gs.Tensor, ...]:
        """Cut one axis into pieces of these sizes; a single piece is ``t`` itself."""
        sizes = [int(s) for s in sizes]
        if len(sizes) == 1:
            return (t,)
        if self.opset < _SPLIT_INPUT_SINCE:
            return self.op("Split", t, outputs=len(sizes), axis=axis, split=sizes)
        return self.op("Split", t, self.const(sizes, np.int64), outputs=len(sizes), axis=axis)

    def concat(self, ts: Sequence[gs.Tensor], axis: int) -> gs.Tensor:
        """Join tensors along one axis; a single one is itself."""
        return ts[0] if len(ts) == 1 else self.op("Concat", *ts, axis=axis)

    def transpose(self, t: gs.Tensor, perm: Sequence[int]) -> gs.Tensor:
        """Axis k of the result is axis ``perm[k]`` of ``t``; ``t`` itself when nothing moves."""
        perm = [int(p) for p in perm]
        return t if perm == list(range(len(perm))) else self.op("Transpose", t, perm=perm)

    def cast(self, t: gs.Tensor, dtype: DTypeLike | int) -> gs.Tensor:
        """``t`` with another element type; ``t`` itself when it is known to have it."""
        target = to_onnx_type(dtype)
        if t.dtype is not None and to_onnx_type(t.dtype) == target:
            return t
        return self.op("Cast", t, to=target)

    def clip(self, t: gs.Tensor, low: Operand | None, high: Operand | None) -> gs.Tensor:
        """Clamp to [low, high]; either may be None. On integers this is Max and Min from opset 12 on.

        Opset 11 has neither for integers: there it is spelt with Where.
        """
        for op_type, bound in (("Max", low), ("Min", high)):
            if bound is not None:
                t = self._bounded(op_type, t, bound)
        return t

    def _bounded(self, op_type: str, t: gs.Tensor, bound: Operand) -> gs.Tensor:
        floating = isinstance(t.dtype, np.dtype) and t.dtype.kind == "f"
        if floating or self.opset >= _INTEGER_MIN_MAX_SINCE:
            return self.op(op_type, t, bound)
        compare = "Less" if op_type == "Max" else "Greater"
        return self.op("Where", self.op(compare, t, bound), bound, t)

    # -- shapes -----------------------------------------------------------------------------------

    def reshape(self, t: gs.Tensor, dims: Sequence[Dim], broadcast: bool = False) -> gs.Tensor:
        """``t`` with these dims; ``t`` itself when they are its own, static or made by `dim`.

        Each is an int (-1 once, for what remains) or a 1-element int64 tensor [1]. Where the result is only computed
        with what has these dims itself (`broadcast`), one of several that are 0 is so at least, others may be 1.
        """
        static = [d for d in dims if isinstance(d, (int, np.integer))]
        if len(static) < len(dims):
            return t if self._has_dims(t, dims) else self._reshape_dynamic(t, dims, broadcast)
        target = self._resolved(t, [int(d) for d in static])
        if t.shape is not None and list(t.shape) == target:
            return t
        return self.op("Reshape", t, self.const(target, np.int64))

    def flatten(self, t: gs.Tensor, axis: int) -> gs.Tensor:
        """``t`` as a matrix, whose rows are the axes before ``axis``; axes may have no element, unlike with a -1."""
        if element_count(t) is not None:
            rows = int(np.prod(t.shape[:axis], dtype=np.int64))
            return self.reshape(t, [rows, -1])
        halves = None if t.shape is None else [t.shape[:axis], t.shape[axis:]]
        shape = None if halves is None else [self._static_product(half) for half in halves]
        return self.op("Flatten", t, axis=axis, shape=shape)

    @staticmethod
    def _static_product(dims: Sequence[Any]) -> int | None:
        return int(np.prod(dims, dtype=np.int64)) if all(isinstance(d, int) for d in dims) else None

    def _resolved(self, t: gs.Tensor, target: list[int]) -> list[int]:
        """Replace -1 when the size of ``t`` is known, so that equal reshapes are equal nodes."""
        count = element_count(t)
        rest = int(np.prod([d for d in target if d != -1], dtype=np.int64))
        if -1 not in target or count is None or rest <= 0 or count % rest:
            return target
        return [count // rest if d == -1 else d for d in target]

    def _has_dims(self, t: gs.Tensor, dims: Sequence[Dim]) -> bool:
        """Whether each of these dims is known to be that axis of ``t``."""
        if t.shape is None or len(t.shape) != len(dims):
            return False
        return all(
            _static(t, axis) == dim if isinstance(dim, int) else self._shared.get(("dim", id(t), axis)) is dim
            for axis, dim in enumerate(dims)
        )

    def _reshape_dynamic(self, t: gs.Tensor, dims: Sequence[Dim], broadcast: bool) -> gs.Tensor:
        values = [constant_value(d) if isinstance(d, gs.Tensor) else np.asarray(d) for d in dims]
        known = [None if v is None else int(v.reshape(-1)[0]) for v in values]
        if None not in known:
            return self.reshape(t, cast("list[int]", known))
        if known.count(None) == 1 and -1 not in known and 0 not in known:
            # One unknown size needs no Shape arithmetic.
            return self.reshape(t, [-1 if k is None else k for k in known])
        dims = [self.dim(t, axis) if k == 0 else dim for axis, (k, dim) in enumerate(zip(known, dims, strict=True))]
        shape = [dim if isinstance(dim, int) and dim != -1 else None for dim in dims]
        if -1 in known:
            return self.op("Reshape", t, self.sizes(dims), shape=shape)
        if self.opset >= _ZERO_IS_ZERO_SINCE:
            return self.op("Reshape", t, self.sizes(dims), shape=shape, allowzero=1)
        return self._reshape_without_zeros(t, dims, shape, broadcast)

    def _reshape_without_zeros(
        self, t: gs.Tensor, dims: Sequence[Dim], shape: Sequence[int | None], broadcast: bool
    ) -> gs.Tensor:
        """Where a 0 means "as before": that for the first dims, if they are those of ``t``.

        Of the others the first 0 is -1, what remains, and further ones are 1 for Expand to make them 0.
        """
        kept = next((k for k, dim in enumerate(dims) if dim is not self._shared.get(("dim", id(t), k))), len(dims))
        first, later = (self.const([0] * kept + [n] * (len(dims) - kept), np.int64) for n in (-1, 1))
        before = self.sizes(list(accumulate(dims[:-1], lambda a, b: self.dims_product([a, b]), initial=1)))
        wanted = self.sizes(dims)
        instead = self.op("Where", self.op("Equal", before, 0), later, first)
        target = self.op("Where", self.op("Equal", wanted, 0), instead, wanted)
        if broadcast:
            return self.op("Reshape", t, target, shape=shape)
        known = [dim if dim == 1 else None for dim in shape]
        return self.op("Expand", self.op("Reshape", t, target, shape=known), wanted, shape=shape)

    def sizes(self, dims: Sequence[Dim]) -> gs.Tensor:
        """Sizes as one int64 tensor."""
        return self.concat([d if isinstance(d, gs.Tensor) else self.const([int(d)], np.int64) for d in dims], 0)

    def dim(self, t: gs.Tensor, axis: int) -> Dim:
        """Size of an axis: an int when static, else a 1-element int64 tensor [1], made once a builder."""
        size = _static(t, axis)
        if size is not None:
            return size
        axis += len(t.shape) if axis < 0 and t.shape is not None else 0
        shape = self._shape(t)
        index = self.const([axis], np.int64)
        return self._once(("dim", id(t), axis), t, lambda: self.op("Gather", shape, index, shape=[1], axis=0))

    def dims(self, t: gs.Tensor, first: int, end: int) -> gs.Tensor:
        """Sizes of the axes from `first` to `end` (exclusive) as one int64 tensor."""
        static = [_static(t, axis) for axis in range(first, end)]
        if any(size is not None for size in static):
            return self.sizes([self.dim(t, axis) for axis in range(first, end)])
        return self.slice(self._shape(t), 0, first, end)

    def _shape(self, t: gs.Tensor) -> gs.Tensor:
        return self._once(("shape", id(t)), t, lambda: self.op("Shape", t))

    def dims_product(self, dims: Sequence[Dim]) -> Dim:
        """Product of sizes: an int when all are, else a 1-element int64 tensor [1]; of none it is 1."""
        product = 1
        unknown: list[gs.Tensor] = []
        for dim in dims:
            value = constant_value(dim) if isinstance(dim, gs.Tensor) else np.asarray(dim)
            if value is None:
                unknown.append(dim)
            else:
                product *= int(value.reshape(-1)[0])
        if not unknown or product == 0:
            return product
        result = unknown[0]
        for other in unknown[1:]:
            result = self.op("Mul", result, other)
        return result if product == 1 else self.op("Mul", result, self.const([product], np.int64))

    def _once(self, key: tuple[Any, ...], t: gs.Tensor, make: Any) -> gs.Tensor:
        # The entry keeps t alive, so that its id stays its own.
        if key not in self._shared:
            self._shared[key] = make()
            self._shared[("alive", id(t))] = t
        return self._shared[key]


def _present(tensor: gs.Tensor | None) -> gs.Tensor:
    return gs.Variable.empty() if tensor is None else tensor


def _static(tensor: gs.Tensor, axis: int) -> int | None:
    if tensor.shape is None or not -len(tensor.shape) <= axis < len(tensor.shape):
        return None
    dim = tensor.shape[axis]
    return dim if isinstance(dim, int) and dim >= 0 else None
