"""Arithmetic on numbers that follow from sizes: exact where it is the same formula at all sizes, else a break."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np

from onnxgs_opt.ir import Node
from onnxgs_opt.ir.operators import operator
from onnxgs_opt.recognition.algebra.polynomial import Number, Poly
from onnxgs_opt.recognition.algebra.quantity import Quantity, Range


@dataclass(frozen=True)
class Break:
    """A number for which no one formula holds at all sizes: the node that makes it, and why.

    `sizes` are the names of those that it depends on, `at` one of them and the value from which on it is another.
    """

    node: str
    why: str
    sizes: tuple[str, ...] = ()
    at: tuple[str, int] | None = None


Element: TypeAlias = Quantity | Break
RangeOf: TypeAlias = Callable[[int], Range]
MOST_TERMS, MOST_FACTORS = 64, 32
"""Of a formula: limits, strides and scales have a few, and squares of squares twice as many at every step."""

MOST = 2**24
"""No axis is longer: beyond it, single precision does not have every coordinate."""

ROUNDED = "floats round what is equal only in exact numbers, at some sizes up and at others down"
ZERO, ONE = Quantity.of(0), Quantity.of(1)


@dataclass(frozen=True)
class SizeArithmetic:
    """What one node computes of elements: `source` and `target` are the types before and after, `names` the sizes'.

    `quotient` gives what a formula is divided by a number and rounded down; None where it is no size.
    """

    node: Node
    source: np.dtype[Any] | None
    target: np.dtype[Any] | None
    range_of: RangeOf
    names: Sequence[str]
    quotient: Callable[[Quantity, int], Quantity | None] = lambda value, divisor: None

    def apply(self, operands: Sequence[Element]) -> Element:
        """The element of the result, which its type has to hold."""
        exact = [o for o in operands if isinstance(o, Quantity)]
        if operator(self.node) == "Where" and operands[1] == operands[2]:
            return operands[1]
        if len(exact) < len(operands):
            return next(o for o in operands if isinstance(o, Break))
        rule = (RULES | REDUCTIONS).get(operator(self.node))
        if rule is None:
            return self.broken(f"{self.node.op} has no formula here", *exact)
        result = rule(self, exact)
        if isinstance(result, Quantity) and (result.length > MOST_TERMS or result.degree > MOST_FACTORS):
            return Break(self.node.name, f"{self.node.op} makes a formula of sizes that is too long to follow")
        return self._fitted(result) if isinstance(result, Quantity) else result

    def same(self, a: Quantity, b: Quantity) -> Element:
        """1 for two that are equal, where floats give them exactly."""
        if a.is_rounded or b.is_rounded:
            return self.broken(ROUNDED, a, b)
        return ONE

    def broken(self, why: str, *operands: Quantity) -> Break:
        """A break at this node, with what it is about and the size at which two operands are equal, if there is one."""
        about = ", ".join(in_names(o.over, self.names) for o in operands)
        place = _root(operands[0].plus(operands[1], -1).over) if len(operands) == 2 else None
        at = None if place is None else (self.names[place[0]], place[1])
        where = "" if at is None else f", as at {at[0]} = {at[1]}"
        names = tuple(self.names[a] for a in sorted(frozenset().union(*(o.atoms for o in operands))))
        return Break(self.node.name, f"{why} ({about}{where})", names, at)

    def _fitted(self, value: Quantity) -> Element:
        """The number, where narrow and unsigned integers hold it at all sizes."""
        if self.target is not None and self.target.kind == "f" and not value.is_binary:
            return replace(value, is_rounded=True)
        if self.target is None or self.target.kind not in "iu" or self.target.name in ("int64", "int32"):
            return value
        held = np.iinfo(self.target)
        lo, hi = value.bounds(self.range_of)
        if lo is not None and lo >= held.min and hi is not None and hi <= held.max:
            return value
        beyond = Quantity.of(int(held.max) + 1)
        return self.broken(f"{self.target.name} does not hold every such number", value, beyond)

    # ---- decisions ------------------------------------------------------------------------------------------------

    def sign(self, value: Quantity) -> tuple[bool | None, bool | None]:
        """Whether it is >= 0 at all sizes, and whether it is > 0 at all; None where that depends on the sizes."""
        lo, hi = value.bounds(self.range_of)
        return _holds(lo is not None and lo >= 0, hi is not None and hi < 0), _holds(
            lo is not None and lo > 0, hi is not None and hi <= 0
        )

    def larger(self, a: Quantity, b: Quantity, most: bool) -> Element:
        """The larger of two, or where `most` is False the smaller one, where it is the same one at all sizes."""
        (a_first, _), (b_first, _) = self.sign(a.plus(b, -1)), self.sign(b.plus(a, -1))
        if a_first:
            return a if most else b
        if b_first:
            return b if most else a
        return self.broken("which of two is larger changes with a size", a, b)

    def compared(self, holds: bool | None, a: Quantity, b: Quantity) -> Element:
        """1 or 0 where a comparison has one result."""
        if holds is None:
            return self.broken("the result of a comparison changes with a size", a, b)
        return ONE if holds else ZERO

    def whole(self, value: Quantity) -> Element:
        """The number rounded to an integer, whichever way, which it is already."""
        if value.is_rounded and operator(self.node) != "Round" and _is_near_whole(value):
            return self.broken(ROUNDED, value)
        if value.is_integral:
            return replace(value, is_rounded=False)
        if value.constant is not None:
            return self.rounded(value.constant)
        return self.broken("what is rounded changes with a size", value)

    def rounded(self, value: Number) -> Quantity:
        """A number as this node rounds it."""
        ways: dict[str, Callable[[Number], int]] = {"Floor": math.floor, "Ceil": math.ceil, "Round": round}
        how = ways.get(operator(self.node), math.trunc)
        return Quantity.of(how(value))


def in_names(poly: Poly, names: Sequence[str]) -> str:
    """A polynomial in the names of the sizes."""
    terms = [(c, "*".join(names[a] for a in m)) for m, c in poly]
    text = " + ".join(f"{c}*{m}" if m and c != 1 else m or str(c) for c, m in terms)
    return text.replace("+ -1*", "- ").replace("+ -", "- ") or "0"


def _is_near_whole(value: Quantity) -> bool:
    """Whether an error of a float may lead to another integer."""
    number = value.constant
    return value.is_integral or (number is not None and abs(number - Fraction(round(number))) < Fraction(1, 1000))


def _holds(always: bool, never: bool) -> bool | None:
    return True if always else False if never else None


Rule = Callable[[SizeArithmetic, Sequence[Quantity]], Element]


def _fold(step: Callable[[SizeArithmetic, Quantity, Quantity], Element]) -> Rule:
    def rule(own: SizeArithmetic, operands: Sequence[Quantity]) -> Element:
        total: Element = operands[0]
        for operand in operands[1:]:
            if isinstance(total, Break):
                return total
            total = step(own, total, operand)
        return total

    return rule


def _extreme(most: bool) -> Rule:
    return _fold(lambda own, a, b: own.larger(a, b, most))


def _divide(own: SizeArithmetic, operands: Sequence[Quantity]) -> Element:
    a, b = operands
    at_least, above = own.sign(b)
    if not above and at_least is not False:
        return own.broken("a divisor may be 0", a, b)
    quotient = a.by(b)
    if own.source is None or own.source.kind == "f" or quotient.is_integral:
        return quotient
    if quotient.constant is not None:
        return Quantity.of(int(quotient.constant))
    if own.sign(a)[0] and own.sign(b.plus(a, -1))[1]:
        return ZERO
    whole = own.quotient(a, b.constant) if own.sign(a)[0] and isinstance(b.constant, int) else None
    return own.broken("a quotient is rounded", a, b) if whole is None else whole


def _mod(own: SizeArithmetic, operands: Sequence[Quantity]) -> Element:
    a, b = operands
    if own.sign(a)[0] and own.sign(b.plus(a, -1))[1]:
        return a
    at_least, above = own.sign(a)[0], own.sign(b)[1]
    if at_least and above and a.constant is not None and b.constant is not None:
        return Quantity.of(a.constant % b.constant)
    if above and a.by(b).is_integral and (a.is_rounded or b.is_rounded):
        return own.broken(ROUNDED, a, b)
    return ZERO if above and a.by(b).is_integral else own.broken("a remainder changes with a size", a, b)


def _equal(own: SizeArithmetic, operands: Sequence[Quantity]) -> Element:
    a, b = operands
    if (a.over, a.under) == (b.over, b.under):
        return own.same(a, b)
    above, below = own.sign(a.plus(b, -1))[1], own.sign(b.plus(a, -1))[1]
    return own.compared(False if above or below else None, a, b)


def _compare(strict: bool, swapped: bool) -> Rule:
    def rule(own: SizeArithmetic, operands: Sequence[Quantity]) -> Element:
        a, b = operands[::-1] if swapped else operands
        difference = a.plus(b, -1)
        if difference.is_rounded and not difference.over:
            return own.broken(ROUNDED, a, b)
        return own.compared(own.sign(difference)[strict], a, b)

    return rule


def _absolute(own: SizeArithmetic, operands: Sequence[Quantity]) -> Element:
    (a,) = operands
    return own.larger(a, ZERO.plus(a, -1), True)


def _power(own: SizeArithmetic, operands: Sequence[Quantity]) -> Element:
    a, b = operands
    if b.constant not in (0, 1, 2):
        return own.broken("a power of a size is no polynomial", a, b)
    return (ONE, a, a.times(a))[int(b.constant)]


def _where(own: SizeArithmetic, operands: Sequence[Quantity]) -> Element:
    condition, a, b = operands
    return a if condition.constant else b


def _clip(own: SizeArithmetic, operands: Sequence[Quantity]) -> Element:
    value: Element = operands[0]
    for k, most in ((1, True), (2, False)):
        bound = operands[k] if k < len(operands) and own.node.inputs[k].name else None
        given = own.node.attrs.get("min" if most else "max")
        bound = Quantity.of(given) if given is not None else bound
        if bound is not None and isinstance(value, Quantity):
            value = own.larger(value, bound, most)
    return value


def _cast(own: SizeArithmetic, operands: Sequence[Quantity]) -> Element:
    (a,) = operands
    kind = "f" if own.target is None else own.target.kind
    if kind not in "biuf":
        return own.broken(f"{own.target} does not hold every size", a)
    if kind == "b":
        result = _equal(own, (a, ZERO))
        return result if isinstance(result, Break) else ONE.plus(result, -1)
    return own.whole(a) if kind in "iu" else a


def _logic(function: Callable[[Number, Number], bool]) -> Rule:
    def step(own: SizeArithmetic, a: Quantity, b: Quantity) -> Element:
        return ONE if function(a.constant or 0, b.constant or 0) else ZERO

    return _fold(step)


RULES: dict[str, Rule] = {
    "Abs": _absolute,
    "Add": _fold(lambda own, a, b: a.plus(b)),
    "And": _logic(lambda a, b: bool(a and b)),
    "Cast": _cast,
    "Ceil": lambda own, operands: own.whole(operands[0]),
    "Clip": _clip,
    "Div": _divide,
    "Equal": _equal,
    "Floor": lambda own, operands: own.whole(operands[0]),
    "Greater": _compare(strict=True, swapped=False),
    "GreaterOrEqual": _compare(strict=False, swapped=False),
    "Identity": lambda own, operands: operands[0],
    "Less": _compare(strict=True, swapped=True),
    "LessOrEqual": _compare(strict=False, swapped=True),
    "Max": _extreme(True),
    "Min": _extreme(False),
    "Mod": _mod,
    "Mul": _fold(lambda own, a, b: a.times(b)),
    "Neg": lambda own, operands: ZERO.plus(operands[0], -1),
    "Not": lambda own, operands: ONE.plus(operands[0], -1),
    "Or": _logic(lambda a, b: bool(a or b)),
    "Pow": _power,
    "Reciprocal": lambda own, operands: _divide(own, (ONE, operands[0])),
    "Relu": lambda own, operands: own.larger(operands[0], ZERO, True),
    "Round": lambda own, operands: own.whole(operands[0]),
    "Sub": _fold(lambda own, a, b: a.plus(b, -1)),
    "Sum": _fold(lambda own, a, b: a.plus(b)),
    "Where": _where,
    "Xor": _logic(lambda a, b: bool(a) != bool(b)),
}
"""What operators make of numbers that follow from sizes."""

REDUCTIONS: dict[str, Rule] = {
    "ReduceMax": RULES["Max"],
    "ReduceMin": RULES["Min"],
    "ReduceProd": RULES["Mul"],
    "ReduceSum": RULES["Add"],
}


def _root(poly: Poly) -> tuple[int, int] | None:
    """The size, and the value of it, where a linear polynomial in that size alone is 0."""
    atoms = {m for m, _ in poly if m}
    if len(atoms) != 1 or len(next(iter(atoms))) != 1:
        return None
    (monomial,) = atoms
    return monomial[0], math.ceil(Fraction(-poly.terms.get((), 0)) / poly.terms[monomial])


def element(value: Any) -> Element:
    """An entry of an array of numbers or elements."""
    if isinstance(value, (Quantity, Break)):
        return value
    return Quantity.of(Fraction(float(value)) if isinstance(value, np.floating) else int(value))
