"""Arithmetic rules: what an element of an operator's output computes from elements of its inputs."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from onnxgs_opt.ir import Node
from onnxgs_opt.ir.constants import constant_value
from onnxgs_opt.ir.evaluator import evaluate
from onnxgs_opt.recognition.algebra.expression import Algebra, Expr, walk
from onnxgs_opt.recognition.lifting.bits import BITS, shifted_with_sign
from onnxgs_opt.recognition.lifting.reduction import CONTRACT
from onnxgs_opt.recognition.lifting.rule import Index, Lift, NoRule, Rule
from onnxgs_opt.recognition.lifting.scatter import scatter_nd
from onnxgs_opt.recognition.lifting.shape_functions import UNKNOWN
from onnxgs_opt.recognition.lifting.tables import exact
from onnxgs_opt.recognition.lifting.windows import WINDOWS

EXACT_BELOW = {1: 2**2, 2: 2**11, 4: 2**24, 8: 2**53}
"""The largest integer up to which a float of so many bytes has them all."""

BRAIN = 2**8
"""That of bfloat16, which spends its bits on the exponent."""


def exact_below(dtype: np.dtype[Any]) -> int:
    """The largest integer up to which a type of floats has them all."""
    return BRAIN if dtype.name == "bfloat16" else EXACT_BELOW.get(dtype.itemsize, EXACT_BELOW[8])


def _arithmetic(combine: Callable[[Algebra, Expr, Expr], Expr], multiplies: bool = False) -> Rule:
    """A rule for a binary or n-ary operator; where two tensors mix before any floor, the result is a coordinate."""

    def rule(lift: Lift, node: Node, position: int, index: Index) -> Expr:
        first, *rest = lift.operands(node, index)
        for operand in rest:
            both = first.leaves and operand.leaves and not first.floored and not operand.floored
            if both and (multiplies or (first.leaves != operand.leaves and not lift.mixes)):
                return lift.leaf(node.outputs[0].name, index)
            first = combine(lift.algebra, first, operand)
        return first

    return rule


def _unary(function: Callable[[Algebra, Expr], Expr]) -> Rule:
    return lambda lift, node, position, index: function(lift.algebra, lift.operands(node, index)[0])


def _rounding(function: Callable[[Algebra, Expr], Expr]) -> Rule:
    def rule(lift: Lift, node: Node, position: int, index: Index) -> Expr:
        operand = lift.operands(node, index)[0]
        lift.note_rounded(node.inputs[0].name, index, operand)
        return function(lift.algebra, operand)

    return rule


def _compare(function: Callable[[Algebra, Expr], Expr], swapped: bool) -> Rule:
    def rule(lift: Lift, node: Node, position: int, index: Index) -> Expr:
        decided = _beside_no_number(lift, node, index)
        if decided is not None:
            return decided
        a, b = lift.operands(node, index)
        lift.compared |= {value for value in (a, b) if value.leaves}
        return function(lift.algebra, lift.algebra.sub(b, a) if swapped else lift.algebra.sub(a, b))

    return rule


def _beside_no_number(lift: Lift, node: Node, index: Index) -> Expr | None:
    """The result of a comparison with infinity or no number; None where neither operand is such a constant."""
    known = [lift.facts.get(t.name, UNKNOWN).value for t in node.inputs]
    odd = [v is not None and v.size == 1 and v.dtype.kind == "f" and not np.isfinite(v).all() for v in known]
    if odd not in ([True, False], [False, True]):
        return None
    other = node.inputs[odd.index(False)].name
    _assume_finite(lift, lift.value(other, lift.broadcast(other, index)))
    sides = [v if v is not None and is_odd else np.zeros(1) for v, is_odd in zip(known, odd, strict=True)]
    decided = evaluate(node.op, [v.astype(np.float64) for v in sides], {}, 0)
    return None if decided is None else lift.algebra.num(int(decided[0].reshape(-1)[0]))


def _assume_finite(lift: Lift, value: Expr) -> None:
    """A coordinate is taken for a finite number: where it is none, there is nothing to read."""
    lead = all(lift.leads_to_read(str(leaf.args[0])) for leaf in value.leaves)
    if not lead or any(part.is_read for part in walk((value,))):
        raise NoRule("what is no coordinate may be infinite or no number")


def _is_no_number(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    """IsNaN and IsInf, which no coordinate is."""
    _assume_finite(lift, lift.operands(node, index)[0])
    return lift.algebra.zero


def _divide(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    a, b = lift.operands(node, index)
    if b.value is None or not b.value:
        raise NoRule("divisor is not constant")
    if lift.dtype_kind(node.inputs[0].name) == "f":
        return lift.algebra.scale(a, Fraction(1) / b.value)
    if not isinstance(b.value, int) or b.value < 0:
        raise NoRule("an integer is divided by no positive one")
    return lift.algebra.trunc(lift.algebra.scale(a, Fraction(1, b.value)))


def _reciprocal(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    (a,) = lift.operands(node, index)
    if a.value is None or not a.value:
        raise NoRule("divisor is not constant")
    return lift.algebra.num(Fraction(1) / a.value)


def _power(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    """Powers from 0 to 3, as cubic weights have; the square or the cube of a coordinate is a leaf.

    Of whole numbers others, too: a shift by n bits is exported as a division by 2^n.
    """
    a, b = lift.operands(node, index)
    if isinstance(a.value, int) and isinstance(b.value, int) and 0 <= b.value < 64:
        return lift.algebra.num(a.value**b.value)
    if b.value not in (0, 1, 2, 3) or (b.value > 1 and a.leaves and not a.floored):
        raise NoRule("not a small power")
    out = lift.algebra.one
    for _ in range(int(b.value)):
        out = lift.algebra.mul(out, a)
    return out


def _mod(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    a, b = lift.operands(node, index)
    if b.value is None or b.value <= 0:
        raise NoRule("modulus is not a positive constant")
    if b.value == 1:  # the fraction: what is left of rounding down
        lift.note_rounded(node.inputs[0].name, index, a)
    whole = lift.algebra.scale(a, Fraction(1) / b.value)
    steps = lift.algebra.trunc(whole) if node.attrs.get("fmod") else lift.algebra.floor(whole)
    return lift.algebra.add(a, steps, -b.value)


def _mean(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    total = lift.algebra.zero
    for operand in lift.operands(node, index):
        if total.leaves and operand.leaves - total.leaves and not operand.floored:
            raise NoRule("a coordinate is mixed of several tensors")
        total = lift.algebra.add(total, operand)
    return lift.algebra.scale(total, Fraction(1, len(node.inputs)))


def _cast(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    a = lift.operands(node, index)[0]
    source = lift.facts.get(node.inputs[0].name, UNKNOWN).dtype
    target = lift.facts.get(node.outputs[0].name, UNKNOWN).dtype
    if target is None or target.kind in "OSU":
        raise NoRule("it is no number" if target else "unknown type")
    if target.kind == "b":
        return a if a.is_condition else lift.algebra.sub(lift.algebra.one, lift.algebra.eq(a))
    if target.kind in "iu":
        if a.integral and len(a.leaves) > 1 and source is not None and source.kind not in "iub":
            lift.exact_below = min(lift.exact_below, exact_below(source))
        lift.note_rounded(node.inputs[0].name, index, a)
        return lift.algebra.trunc(a)
    narrows = source is None or target.itemsize < source.itemsize
    if narrows and not _survives(a, target):
        raise NoRule("a narrowing cast rounds")
    return a


def _survives(a: Expr, target: np.dtype[Any]) -> bool:
    """Whether rounding to a type of floats leaves the meaning of a: not that of a coordinate or a large index.

    A weight, a mask or a read may be rounded: the result is as exact as its type.
    """
    if not a.integral:
        return a.floored or not a.leaves
    if target.itemsize > 2:
        return True  # coordinates beyond 2^24 pixels are outside the contract
    most = exact_below(target)
    return a.lo is not None and a.hi is not None and a.lo >= -most and a.hi <= most


def _where(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    """What is not taken may be no number at all."""
    shifted = shifted_with_sign(lift, node, index)
    if shifted is not None:
        return shifted
    condition, a, b = ((t.name, lift.broadcast(t.name, index)) for t in node.inputs)
    taken = lift.value(*condition)
    if taken.value is not None:
        return lift.value(*(a if taken.value else b))
    first, second = lift.value(*a), lift.value(*b)
    whole = _floored(lift.algebra, taken, first, second) or _rounded_down(lift.algebra, taken, first, second)
    return whole or lift.algebra.select(taken, first, second)


def _floored(algebra: Algebra, taken: Expr, first: Expr, second: Expr) -> Expr | None:
    """R + n where r < 0, else r: what x - n*trunc(x/n) is made to, so that it is x - n*floor(x/n); None of else."""
    size = algebra.sub(first, second).value
    if size is None or size <= 0 or taken is not algebra.sub(algebra.one, algebra.ge(second)):
        return None
    for term, factor in second.terms:
        whole = algebra.add(second, term, -factor)
        if factor == -size and term is algebra.trunc(algebra.scale(whole, Fraction(1) / size)):
            return algebra.add(whole, algebra.floor(algebra.scale(whole, Fraction(1) / size)), -size)
    return None


def _rounded_down(algebra: Algebra, taken: Expr, first: Expr, second: Expr) -> Expr | None:
    """A quotient rounded towards zero, less 1 where it is below zero and not whole: its floor; None of else."""
    condition = second.args[0] if second.op == "select" else None
    quotient = condition.args[0] if isinstance(condition, Expr) and condition.op == "ge" else None
    if not isinstance(quotient, Expr) or taken.op != "mul" or algebra.sub(second, first) is not algebra.one:
        return None
    parts = algebra.sub(algebra.ceil(quotient), algebra.floor(quotient))
    negative = next((factor for factor in taken.args if factor is not parts), parts)
    below = algebra.sub(algebra.one, negative)  # type: ignore[arg-type]
    if second is not algebra.trunc(quotient) or parts not in taken.args or below.op != "ge":
        return None
    compared, (term, factor) = below.args[0], quotient.terms[0]
    scale = Fraction(dict(compared.terms).get(term, 0)) / factor  # type: ignore[attr-defined]
    return algebra.floor(quotient) if scale > 0 and algebra.scale(quotient, scale) is compared else None


def _clip(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    out = lift.value(node.inputs[0].name, index)
    for k, (attribute, bound) in enumerate((("min", Algebra.maximum), ("max", Algebra.minimum)), start=1):
        if attribute in node.attrs:
            out = bound(lift.algebra, out, lift.algebra.num(exact(node.attrs[attribute])))
        elif len(node.inputs) > k and node.inputs[k].name:
            name = node.inputs[k].name
            out = bound(lift.algebra, out, lift.value(name, lift.broadcast(name, index)))
    return out


def _range(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    start, _, step = (lift.value(t.name, ()) for t in node.inputs)
    return lift.algebra.add(start, lift.algebra.mul(index[0], step))


def _constant_of_shape(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    fill = constant_value(node.attrs["value"]) if "value" in node.attrs else np.zeros(1)
    if fill is None or fill.size != 1:
        raise NoRule("its value is not at hand")
    return lift.algebra.num(exact(fill.reshape(())[()]))


def taken_branch(lift: Lift, node: Node, position: int, index: Index) -> Expr:
    """If: the branch that is taken at the sizes of the lift."""
    condition = lift.facts.get(node.inputs[0].name, UNKNOWN).value
    if condition is None:
        raise NoRule("the condition is not known")
    body = node.attrs["then_branch" if bool(condition) else "else_branch"]
    lift.enter(body)
    return lift.value(body.outputs[position].name, index)


def _or(algebra: Algebra, a: Expr, b: Expr) -> Expr:
    neither = algebra.mul(algebra.sub(algebra.one, a), algebra.sub(algebra.one, b))
    return algebra.sub(algebra.one, neither)


def _xor(algebra: Algebra, a: Expr, b: Expr) -> Expr:
    if b is algebra.zero:
        return a
    return algebra.select(a, algebra.sub(algebra.one, b), b)


ARITHMETIC: dict[str, Rule] = {
    **CONTRACT,
    **WINDOWS,
    "Abs": _unary(Algebra.absolute),
    "Add": _arithmetic(Algebra.add),
    "And": _arithmetic(Algebra.mul),
    **BITS,
    "Cast": _cast,
    "Ceil": _rounding(Algebra.ceil),
    "Clip": _clip,
    "ConstantOfShape": _constant_of_shape,
    "Div": _divide,
    "Equal": _compare(Algebra.eq, swapped=False),
    "Floor": _rounding(Algebra.floor),
    "Greater": _compare(Algebra.gt, swapped=False),
    "GreaterOrEqual": _compare(Algebra.ge, swapped=False),
    "IsInf": _is_no_number,
    "IsNaN": _is_no_number,
    "Less": _compare(Algebra.gt, swapped=True),
    "LessOrEqual": _compare(Algebra.ge, swapped=True),
    "Max": _arithmetic(Algebra.maximum),
    "Mean": _mean,
    "Min": _arithmetic(Algebra.minimum),
    "Mod": _mod,
    "Mul": _arithmetic(Algebra.mul, multiplies=True),
    "Neg": _unary(lambda algebra, a: algebra.scale(a, -1)),
    "Not": _unary(lambda algebra, a: algebra.sub(algebra.one, a)),
    "Or": _arithmetic(_or),
    "Pow": _power,
    "Range": _range,
    "Reciprocal": _reciprocal,
    "Relu": _unary(lambda algebra, a: algebra.maximum(a, algebra.zero)),
    "Round": _rounding(Algebra.round),
    "ScatterND": scatter_nd,
    "Sign": _unary(lambda algebra, a: algebra.sub(algebra.ge(a), algebra.ge(algebra.scale(a, -1)))),
    "Sub": _arithmetic(Algebra.sub),
    "Sum": _arithmetic(Algebra.add),
    "Where": _where,
    "Xor": _arithmetic(_xor),
}
