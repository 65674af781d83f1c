"""Contraction rules: an element of a sum or product over axes as the elements that it is made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import product

import numpy as np

from onnxgs_opt.ir import Node
from onnxgs_opt.ir.operators import einsum_letters
from onnxgs_opt.recognition.algebra.expression import Algebra, Expr
from onnxgs_opt.recognition.lifting.rule import Index, Lift, NoRule, Rule
from onnxgs_opt.recognition.lifting.shape_functions import UNKNOWN, reduced_axes

MAX_UNROLLED = 16
"""Reductions of more elements than this are no weighted sum of taps (bicubic has 16)."""


def _reduction(combine: Callable[[Algebra, Expr, Expr], Expr], of_none: int | None = None, mean: bool = False) -> Rule:
    """A rule for a reduction that gives the number `of_none` where it has no elements, or no rule there."""

    def rule(lift: Lift, node: Node, position: int, index: Index) -> Expr:
        parts = list(_reduced(lift, node, index))
        if not parts and of_none is None:
            raise NoRule("a reduction of nothing")
        total = parts[0] if parts else lift.algebra.num(of_none or 0)
        for part in parts[1:]:
            total = combine(lift.algebra, total, part)
        return lift.algebra.scale(total, Fraction(1, len(parts))) if mean else total

    return rule


def _reduced(lift: Lift, node: Node, index: Index) -> Iterator[Expr]:
    """The elements that one element of a reduction is made of."""
    source = node.inputs[0].name
    shape = lift.shape(source)
    axes = reduced_axes(node, [lift.facts.get(t.name, UNKNOWN) for t in node.inputs])
    if math.prod(shape[a] for a in axes) > MAX_UNROLLED:
        raise NoRule("a long reduction")
    keep = bool(node.attrs.get("keepdims", 1))
    for taken in np.ndindex(*(shape[a] for a in axes)):
        fixed = dict(zip(axes, taken, strict=True))
        rest = iter(i for k, i in enumerate(index) if not keep or k not in fixed)
        inner = tuple(lift.algebra.num(fixed[a]) if a in fixed else next(rest) for a in range(len(shape)))
        yield lift.value(source, inner)


def _matmul(lift: Lift, node: Node, position: int, index: Index) -> Expr:
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


def _einsum(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    """An equation of plain letters: the sum over those that the result does not have."""
    equation = einsum_letters(node)
    if equation is None:
        raise NoRule("not an equation of plain letters")
    operands, result = equation
    sizes: dict[str, int] = {}
    for letters, tensor in zip(operands, node.inputs, strict=True):
        for letter, size in zip(letters, lift.shape(tensor.name), strict=True):
            sizes[letter] = max(size, sizes.get(letter, 1))
    summed = sorted(set(sizes) - set(result))
    if math.prod(sizes[letter] for letter in summed) > MAX_UNROLLED:
        raise NoRule("not a small contraction")
    total = lift.algebra.zero
    for taken in product(*(range(sizes[letter]) for letter in summed)):
        at = dict(zip((*result, *summed), (*index, *map(lift.algebra.num, taken)), strict=True))
        term = lift.algebra.one
        for letters, tensor in zip(operands, node.inputs, strict=True):
            inner = lift.broadcast(tensor.name, tuple(at[letter] for letter in letters))
            term = lift.algebra.mul(term, lift.value(tensor.name, inner))
        total = lift.algebra.add(total, term)
    return total


CONTRACT: dict[str, Rule] = {
    "Einsum": _einsum,
    "MatMul": _matmul,
    "ReduceMax": _reduction(Algebra.maximum),
    "ReduceMean": _reduction(Algebra.add, mean=True),
    "ReduceMin": _reduction(Algebra.minimum),
    "ReduceProd": _reduction(Algebra.mul, of_none=1),
    "ReduceSum": _reduction(Algebra.add, of_none=0),
}
