"""Lift one element of a tensor to an `Expr`: pull it back through the graph to the elements it is made of.

Layout operators rewrite the index, arithmetic becomes algebra, and a gather puts a computed index into the element it
reads. What has no rule is a leaf. The lift never fails and is exact: a leaf only makes less recognisable.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction

import numpy as np
import onnx_graphsurgeon as gs

from onnxgs_opt.dims import UNKNOWN, Fact, reduced_axes
from onnxgs_opt.expr import Algebra, Expr
from onnxgs_opt.facts import infer
from onnxgs_opt.layout import LAYOUT
from onnxgs_opt.poly import Number
from onnxgs_opt.scope import Array, Scope
from onnxgs_opt.tables import affine, exact, sampled

Index = tuple[Expr, ...]

MAX_DEPTH = 150
"""Recursion guard; the deepest sampler seen is 70 nodes from read to coordinate."""
MAX_UNROLLED = 16
"""Reductions of more elements than this are no weighted sum of taps (bicubic has 16)."""


class NoRule(Exception):  # noqa: N818 (a value that is not there, not a failure)
    """The operator, at these shapes, has no rule: its output becomes a leaf."""


class Lift:
    """Lifts tensors of one scope at concrete sizes.

    `stops` are tensors that reads do not look behind. `splits` gives, for a stop, an axis and the sizes that it is seen
    as (an image whose rows are linear). `levels` lists the tensors that reads were pulled through.
    """

    def __init__(
        self,
        scope: Scope,
        facts: Mapping[str, Fact],
        stops: frozenset[str] = frozenset(),
        splits: Mapping[str, tuple[int, tuple[int, ...]]] | None = None,
    ) -> None:
        self.algebra = Algebra()
        self.facts = dict(facts)
        self.levels: dict[str, None] = {}
        self.values: dict[tuple[str, Index], Expr] = {}
        self._opset = scope.opset
        self._producer = dict(scope.producer)
        self._tensors = dict(scope.tensors)
        self._stops = stops
        self._splits = splits or {}
        self._depth = 0
        self._tables: dict[str, Array | None] = {}

    def root(self, name: str) -> tuple[Expr, Index]:
        """The expression of one element of `name` and its index variables."""
        shape = self.shape(name)
        index = tuple(self.algebra.idx(axis, size) for axis, size in enumerate(shape))
        return self.value(name, index), index

    def shape(self, name: str) -> tuple[int, ...]:
        """The tensor's concrete shape; NoRule when unknown."""
        shape = self.facts.get(name, UNKNOWN).shape
        if shape is None:
            raise NoRule(f"the shape of '{name}' is not known")
        return shape

    def value(self, name: str, index: Index) -> Expr:
        """Element `index` of tensor `name`."""
        key = (name, index)
        found = self.values.get(key)
        if found is None:
            self._depth += 1
            found = self.values[key] = self._lifted(name, index)
            self._depth -= 1
        return found

    def _lifted(self, name: str, index: Index) -> Expr:
        reading = any(i.leaves for i in index)
        if reading:
            self.levels[name] = None
        if name in self._stops or self._depth > MAX_DEPTH:
            return self.leaf(name, index)
        table = self._table(name)
        if table is not None:
            return self._element(name, table, index)
        node, position = self._producer.get(name, (None, 0))
        if node is None:
            return self.leaf(name, index)
        rules = READING if reading else RULES
        rule = rules.get(node.op) if node.domain in (None, "", "ai.onnx") else None
        if rule is None:
            return self.leaf(name, index)
        try:
            return rule(self, node, position, index)
        except (NoRule, ValueError, KeyError, IndexError):
            return self.leaf(name, index)

    def leaf(self, name: str, index: Index) -> Expr:
        """The element itself, not looked behind."""
        fact = self.facts.get(name, UNKNOWN)
        sizes = fact.shape or (2**62,) * len(index)
        if name in self._splits:
            index, sizes = self._split(index, sizes, *self._splits[name])
        integral = fact.dtype is not None and fact.dtype.kind in "iub"
        node, _ = self._producer.get(name, (None, 0))
        lo, hi = RANGES.get(node.op, (None, None)) if node is not None else (None, None)
        return self.algebra.elem(name, index, lo, hi, integral, sizes)

    def _split(
        self, index: Index, sizes: tuple[int, ...], axis: int, parts: tuple[int, ...]
    ) -> tuple[Index, tuple[int, ...]]:
        rest = sizes[axis] // math.prod(p for p in parts if p > 0)
        dims = tuple(rest if p < 0 else p for p in parts)
        pieces = self.algebra.unravel(index[axis], dims)
        return (*index[:axis], *pieces, *index[axis + 1 :]), (*sizes[:axis], *dims, *sizes[axis + 1 :])

    def _table(self, name: str) -> Array | None:
        """The values of a constant tensor; None for a computed or external one.

        Of computed constants only scalars and shapes count: longer ones are coordinates, which stay visible as such.
        """
        if name not in self._tables:
            tensor = self._tensors.get(name)
            value = self.facts.get(name, UNKNOWN).value
            node, _ = self._producer.get(name, (None, 0))
            if node is not None and node.op == "Constant" and isinstance(node.attrs.get("value"), gs.Constant):
                tensor = node.attrs["value"]
            if isinstance(tensor, gs.Constant):
                value = value if value is not None or _is_external(tensor) else np.asarray(tensor.values)
            elif value is not None and value.size > 1 and (value.ndim > 1 or value.size > 8):
                value = None
            self._tables[name] = value
        return self._tables[name]

    def _element(self, name: str, table: Array, index: Index) -> Expr:
        """Element of a constant: a number, an affine function of the index variables, or a leaf with known range."""
        if table.dtype.kind not in "iubf" or not table.size:
            return self.leaf(name, index)
        variables = sorted({t for i in index for t, _ in i.terms if t.op == "idx"}, key=lambda t: t.serial)
        if any(t not in variables for i in index for t, _ in i.terms):
            return self.leaf(name, index)
        part = sampled(table, index, variables)
        slopes = affine(part)
        if slopes is not None:
            out = self.algebra.num(exact(part.flat[0]))
            for variable, slope in zip(variables, slopes, strict=True):
                out = self.algebra.add(out, variable, slope)
            return out
        if not np.isfinite(part).all():
            return self.leaf(name, index)
        lo, hi = exact(part.min()), exact(part.max())
        return self.algebra.elem(name, index, lo, hi, table.dtype.kind in "iub", self.shape(name))

    def enter(self, body: gs.Graph) -> None:
        """Make the tensors of a subgraph, whose names are unique in the model, known to the lift."""
        scope = Scope.of(body)
        self.facts.update(infer(scope, {}, self.facts))
        self._producer.update(scope.producer)
        self._tensors.update(scope.tensors)

    def operands(self, node: gs.Node, index: Index) -> list[Expr]:
        """The inputs of an elementwise operator at output index `index`."""
        return [self.value(t.name, self.broadcast(t.name, index)) for t in node.inputs if t.name]

    def broadcast(self, name: str, index: Index) -> Index:
        """The index into an operand that is broadcast to the output that `index` is of."""
        shape = self.shape(name)
        kept = index[len(index) - len(shape) :]
        return tuple(self.algebra.zero if size == 1 else i for i, size in zip(kept, shape, strict=True))

    def dtype_kind(self, name: str) -> str:
        """Numpy's kind letter of a tensor's dtype, '?' when unknown."""
        dtype = self.facts.get(name, UNKNOWN).dtype
        return "?" if dtype is None else dtype.kind


def _is_external(tensor: gs.Constant) -> bool:
    proto = getattr(tensor._values, "_tensor", None)
    return getattr(proto, "data_location", 0) == 1


# ---- arithmetic ------------------------------------------------------------------------------------------

Rule = Callable[[Lift, gs.Node, int, Index], Expr]


def _arithmetic(combine: Callable[[Algebra, Expr, Expr], Expr], multiplies: bool = False) -> Rule:
    """A rule for a binary or n-ary operator; where two tensors mix before any floor, the result is a coordinate."""

    def rule(lift: Lift, node: gs.Node, position: int, index: Index) -> Expr:
        first, *rest = lift.operands(node, index)
        for operand in rest:
            both = first.leaves and operand.leaves and not first.floored and not operand.floored
            if both and (multiplies or first.leaves != operand.leaves):
                return lift.leaf(node.outputs[0].name, index)
            first = combine(lift.algebra, first, operand)
        return first

    return rule


def _unary(function: Callable[[Algebra, Expr], Expr]) -> Rule:
    return lambda lift, node, position, index: function(lift.algebra, lift.operands(node, index)[0])


def _compare(function: Callable[[Algebra, Expr], Expr], swapped: bool) -> Rule:
    def rule(lift: Lift, node: gs.Node, position: int, index: Index) -> Expr:
        a, b = lift.operands(node, index)
        return function(lift.algebra, lift.algebra.sub(b, a) if swapped else lift.algebra.sub(a, b))

    return rule


def _divide(lift: Lift, node: gs.Node, position: int, index: Index) -> Expr:
    a, b = lift.operands(node, index)
    if b.value is None or not b.value:
        raise NoRule("divisor is not constant")
    if lift.dtype_kind(node.inputs[0].name) == "f":
        return lift.algebra.scale(a, Fraction(1) / b.value)
    if not isinstance(b.value, int) or b.value < 0 or a.lo is None or a.lo < 0:
        raise NoRule("integer division of possibly negative numbers rounds to zero")
    return lift.algebra.quotient(a, b.value)


def _mod(lift: Lift, node: gs.Node, position: int, index: Index) -> Expr:
    a, b = lift.operands(node, index)
    if b.value is None or b.value <= 0:
        raise NoRule("modulus is not a positive constant")
    whole = lift.algebra.scale(a, Fraction(1) / b.value)
    steps = lift.algebra.trunc(whole) if node.attrs.get("fmod") else lift.algebra.floor(whole)
    return lift.algebra.add(a, steps, -b.value)


def _cast(lift: Lift, node: gs.Node, position: int, index: Index) -> Expr:
    a = lift.operands(node, index)[0]
    source = lift.facts.get(node.inputs[0].name, UNKNOWN).dtype
    target = lift.facts.get(node.outputs[0].name, UNKNOWN).dtype
    if target is None:
        raise NoRule("unknown type")
    if target.kind == "b":
        boolean = a.lo == 0 and a.hi == 1 and a.integral
        return a if boolean else lift.algebra.sub(lift.algebra.one, lift.algebra.eq(a))
    if target.kind in "iu":
        return lift.algebra.trunc(a)
    narrows = source is None or target.itemsize < source.itemsize
    if narrows and not _survives(a, target.itemsize):
        raise NoRule("a narrowing cast rounds")
    return a


def _survives(a: Expr, size: int) -> bool:
    """Whether rounding to a float of `size` bytes leaves the meaning of a: not that of a coordinate or a large index.

    A weight, a mask or a read may be rounded: the result is as exact as its type.
    """
    if not a.integral:
        return a.floored or not a.leaves
    limit = {2: 2**11, 4: 2**24}.get(size, 2**53)
    return a.lo is not None and a.hi is not None and -limit <= a.lo and a.hi <= limit


def _where(lift: Lift, node: gs.Node, position: int, index: Index) -> Expr:
    return lift.algebra.select(*lift.operands(node, index))


def _clip(lift: Lift, node: gs.Node, position: int, index: Index) -> Expr:
    out = lift.value(node.inputs[0].name, index)
    for k, (attribute, bound) in enumerate((("min", Algebra.maximum), ("max", Algebra.minimum)), start=1):
        if attribute in node.attrs:
            out = bound(lift.algebra, out, lift.algebra.num(exact(node.attrs[attribute])))
        elif len(node.inputs) > k and node.inputs[k].name:
            name = node.inputs[k].name
            out = bound(lift.algebra, out, lift.value(name, lift.broadcast(name, index)))
    return out


def _reduce_sum(lift: Lift, node: gs.Node, position: int, index: Index) -> Expr:
    source = node.inputs[0].name
    shape = lift.shape(source)
    axes = reduced_axes(node, [lift.facts.get(t.name, UNKNOWN) for t in node.inputs])
    if math.prod(shape[a] for a in axes) > MAX_UNROLLED:
        raise NoRule("a long reduction")
    keep = bool(node.attrs.get("keepdims", 1))
    total = lift.algebra.zero
    for taken in np.ndindex(*(shape[a] for a in axes)):
        fixed = dict(zip(axes, taken, strict=True))
        rest = iter(i for k, i in enumerate(index) if not keep or k not in fixed)
        inner = tuple(lift.algebra.num(fixed[a]) if a in fixed else next(rest) for a in range(len(shape)))
        total = lift.algebra.add(total, lift.value(source, inner))
    return total


def _matmul(lift: Lift, node: gs.Node, position: int, index: Index) -> Expr:
    a, b = (t.name for t in node.inputs)
    left, right = lift.shape(a), lift.shape(b)
    if len(left) < 2 or len(right) < 2 or left[-1] > MAX_UNROLLED:
        raise NoRule("not a small contraction")
    total = lift.algebra.zero
    for k in range(left[-1]):
        step = lift.algebra.num(k)
        row = lift.broadcast(a, (*index[:-1], step))
        column = lift.broadcast(b, (*index[:-2], step, index[-1]))
        total = lift.algebra.add(total, lift.algebra.mul(lift.value(a, row), lift.value(b, column)))
    return total


def _range(lift: Lift, node: gs.Node, position: int, index: Index) -> Expr:
    start, _, step = (lift.value(t.name, ()) for t in node.inputs)
    return lift.algebra.add(start, lift.algebra.mul(index[0], step))


def _constant_of_shape(lift: Lift, node: gs.Node, position: int, index: Index) -> Expr:
    fill = node.attrs["value"].values.flat[0] if "value" in node.attrs else 0
    return lift.algebra.num(exact(np.asarray(fill)[()]))


def _if(lift: Lift, node: gs.Node, position: int, index: Index) -> Expr:
    condition = lift.facts.get(node.inputs[0].name, UNKNOWN).value
    if condition is None:
        raise NoRule("the condition is not known")
    body = node.attrs["then_branch" if bool(condition) else "else_branch"]
    lift.enter(body)
    return lift.value(body.outputs[position].name, index)


def _or(algebra: Algebra, a: Expr, b: Expr) -> Expr:
    return algebra.sub(algebra.add(a, b), algebra.mul(a, b))


def _xor(algebra: Algebra, a: Expr, b: Expr) -> Expr:
    return algebra.add(algebra.add(a, b), algebra.mul(a, b), -2)


RANGES: dict[str, tuple[Number, Number]] = {"Sigmoid": (0, 1), "Softmax": (0, 1), "Tanh": (-1, 1)}
"""Operators whose outputs are bounded, which can prove that a coordinate stays inside."""

ARITHMETIC: dict[str, Rule] = {
    "Abs": _unary(Algebra.absolute),
    "Add": _arithmetic(Algebra.add),
    "And": _arithmetic(Algebra.mul),
    "Cast": _cast,
    "Ceil": _unary(Algebra.ceil),
    "Clip": _clip,
    "ConstantOfShape": _constant_of_shape,
    "Div": _divide,
    "Equal": _compare(Algebra.eq, swapped=False),
    "Floor": _unary(Algebra.floor),
    "Greater": _compare(Algebra.gt, swapped=False),
    "GreaterOrEqual": _compare(Algebra.ge, swapped=False),
    "Less": _compare(Algebra.gt, swapped=True),
    "LessOrEqual": _compare(Algebra.ge, swapped=True),
    "MatMul": _matmul,
    "Max": _arithmetic(Algebra.maximum),
    "Min": _arithmetic(Algebra.minimum),
    "Mod": _mod,
    "Mul": _arithmetic(Algebra.mul, multiplies=True),
    "Neg": _unary(lambda algebra, a: algebra.scale(a, -1)),
    "Not": _unary(lambda algebra, a: algebra.sub(algebra.one, a)),
    "Or": _arithmetic(_or),
    "Range": _range,
    "ReduceSum": _reduce_sum,
    "Relu": _unary(lambda algebra, a: algebra.maximum(a, algebra.zero)),
    "Sub": _arithmetic(Algebra.sub),
    "Sum": _arithmetic(Algebra.add),
    "Where": _where,
    "Xor": _arithmetic(_xor),
}
READING: dict[str, Rule] = {**LAYOUT, "If": _if}
"""Operators behind which a read is followed to its image."""
RULES: dict[str, Rule] = {**ARITHMETIC, **READING}
