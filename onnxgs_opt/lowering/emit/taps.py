"""Any sampler as nodes, straight from its definition: right on the first day of a new kind, and as slow as it looks."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.lowering.emit.cells import comparison, float_type
from onnxgs_opt.samplers.arithmetic import Arithmetic
from onnxgs_opt.samplers.border import clamp
from onnxgs_opt.samplers.sampler import Sampler, sample


class _Nodes:
    """Arithmetic whose values are tensors of one float type; its conditions are booleans, but for the constant 1."""

    def __init__(self, builder: Builder, dtype: np.dtype[Any]) -> None:
        self._builder, self._dtype = builder, dtype
        self.zero, self.one = self.num(0), self.num(1)

    def num(self, value: int | Fraction) -> Tensor:
        return self._builder.const(float(value), self._dtype)

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        return b if a is self.zero else self._op("Add", a, b)

    def sub(self, a: Tensor, b: Tensor) -> Tensor:
        return self._op("Sub", a, b)

    def mul(self, a: Tensor, b: Tensor) -> Tensor:
        """Of conditions, whether both hold."""
        if a is self.one or b is self.one:
            return b if a is self.one else a
        return self._op("And" if a.dtype == bool else "Mul", a, b)

    def div(self, a: Tensor, b: Tensor) -> Tensor:
        return self._op("Div", a, b)

    def floor(self, a: Tensor) -> Tensor:
        return self._op("Floor", a)

    def round(self, a: Tensor) -> Tensor:
        return self._op("Round", a)

    def minimum(self, a: Tensor, b: Tensor) -> Tensor:
        return self._op("Min", a, b)

    def maximum(self, a: Tensor, b: Tensor) -> Tensor:
        return self._op("Max", a, b)

    def ge(self, a: Tensor) -> Tensor:
        return comparison(self._builder, "Greater", "Less", a, self.zero, True)

    def gt(self, a: Tensor) -> Tensor:
        return comparison(self._builder, "Greater", "Less", a, self.zero, False)

    def select(self, condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return a if condition is self.one else self._op("Where", condition, a, b)

    def _op(self, op_type: str, *inputs: Tensor) -> Tensor:
        return self._builder.op(op_type, *inputs)


def arithmetic(builder: Builder, dtype: np.dtype[Any]) -> Arithmetic[Tensor]:
    """Arithmetic that writes nodes on tensors of one float type."""
    return _Nodes(builder, dtype)


def emit_taps(builder: Builder, sampler: Sampler, image: Tensor, points: Sequence[Tensor]) -> Tensor:
    """The samples [N, C, P] of image [N, C, *S] at points, one [N or 1, P] an axis of S, in the points' type."""
    dtype = float_type(points[0])
    o = arithmetic(builder, dtype)
    dims = [builder.dim(image, axis) for axis in range(len(points) + 2)]
    sizes = [o.num(dim) if isinstance(dim, int) else builder.cast(dim, dtype) for dim in dims[2:]]
    planes = builder.cast(builder.reshape(image, [0, dims[1], -1]), dtype)
    every = builder.sizes((*dims[:2], 1))

    def read(index: tuple[Tensor, ...]) -> Tensor:
        linear = builder.const(0, np.int64)
        for i, size, dim in zip(index, sizes, dims[2:], strict=True):
            inside = builder.cast(clamp(o, i, o.sub(size, o.one)), np.int64)  # what does not count is read somewhere
            linear = builder.op("Add", builder.op("Mul", linear, dim), inside)
        return builder.op("GatherElements", planes, builder.op("Expand", linear, every), axis=2)

    return sample(o, sampler, [builder.unsqueeze(p, [1]) for p in points], sizes, read)
