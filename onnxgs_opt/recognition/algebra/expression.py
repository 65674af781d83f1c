"""Scalar expressions of index variables and tensor elements, hash-consed so that equal spellings are one object.

An `Expr` is what one element of a tensor computes. Sums are kept as sorted linear combinations, floors give up their
integral part and conditions are folded by bounds, so that most index arithmetic of an exporter normalises away while
it is built. What is left piecewise (clamps, masks, floors of coordinates) is resolved region by region in `piecewise`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from operator import attrgetter

from onnxgs_opt.recognition.algebra.effort import Effort
from onnxgs_opt.recognition.algebra.expr import ROUNDINGS, Bound, Expr, Op, children, masked, walk
from onnxgs_opt.recognition.algebra.polynomial import Number, tidy

__all__ = ["ROUNDINGS", "Algebra", "Bound", "Expr", "children", "masked", "walk"]


SERIAL = attrgetter("serial")
USUAL_BITS = 4096
"""Of a number: a product of dozens of doubles has fewer."""


class Algebra:
    """Makes expressions, simplified and interned; Exhausted where they are more than its `effort` allows."""

    def __init__(self) -> None:
        self.effort = Effort()
        self._interned: dict[tuple[object, ...], Expr] = {}
        self.zero = self.num(0)
        self.one = self.num(1)

    def _make(self, op: Op, *args: object) -> tuple[Expr, bool]:
        key = (op, *args)
        found = self._interned.get(key)
        if found is not None:
            return found, False
        self.effort.spend(1)
        made = self._interned[key] = Expr(len(self._interned), op, args)
        return made, True

    # ---- atoms ----------------------------------------------------------------------------------------------------

    def num(self, value: Number) -> Expr:
        """A constant."""
        value = tidy(value)
        made, new = self._make("lin", value, ())
        if new:
            made.lo = made.hi = value
            made.integral = isinstance(value, int)
        return made

    def idx(self, axis: int, size: int) -> Expr:
        """The index variable of root axis `axis`, 0 <= i < size; the constant 0 when size is 1."""
        if size == 1:
            return self.zero
        made, new = self._make("idx", axis, size)
        if new:
            made.lo, made.hi, made.integral = 0, size - 1, True
        return made

    def elem(
        self,
        tensor: str,
        index: tuple[Expr, ...],
        lo: Bound = None,
        hi: Bound = None,
        integral: bool = False,
        sizes: tuple[int, ...] = (),
    ) -> Expr:
        """Element `index` of a tensor, as a leaf; `sizes` are the tensor's dims."""
        made, new = self._make("elem", tensor, index)
        if new:
            made.args = (tensor, index, sizes)
            made.lo, made.hi, made.integral = lo, hi, integral
            inner = frozenset[Expr]().union(*(i.leaves for i in index))
            made.leaves = inner or frozenset((made,))
            made.floored = bool(inner)
        return made

    def copied(self, expr: Expr, parts: Mapping[Expr, Expr], names: Mapping[str, str]) -> Expr:
        """An expression of another algebra, made of what `parts` has for its operands and of tensors named anew."""
        args: tuple[object, ...]
        match expr.op:
            case "lin":
                args = expr.constant, () if expr.value is not None else tuple((parts[t], c) for t, c in expr.terms)
            case "elem":
                args = names[str(expr.args[0])], tuple(parts[i] for i in children(expr))
            case "idx":
                args = expr.args
            case _:
                args = tuple(parts[part] for part in children(expr))
        made, new = self._make(expr.op, *args)
        if new:
            made.args = (*args, expr.args[2]) if expr.op == "elem" else args
            made.lo, made.hi, made.integral, made.floored = expr.lo, expr.hi, expr.integral, expr.floored
            inner = frozenset[Expr]().union(*(part.leaves for part in children(made)))
            made.leaves = inner or (frozenset((made,)) if expr.op == "elem" else inner)
        return made

    # ---- arithmetic -----------------------------------------------------------------------------------------------

    def _lin(self, constant: Number, terms: dict[Expr, Number]) -> Expr:
        kept = [(t, c) for t in sorted(terms, key=SERIAL) if (c := terms[t])]
        self.effort.spend(len(kept))
        if not kept:
            return self.num(constant)
        if not constant and len(kept) == 1 and kept[0][1] == 1:
            return kept[0][0]
        made, new = self._make("lin", constant, tuple(kept))
        if new:
            made.lo, made.hi = _bounds_of(constant, kept)
            if any(t.op == "floor" for t, _ in kept):
                made.lo, made.hi = _remainder_bounds(made)
            made.integral = constant.denominator == 1 and all(t.integral and c.denominator == 1 for t, c in kept)
            _inherit(made, (t for t, _ in kept))
        return made

    def add(self, a: Expr, b: Expr, factor: Number = 1) -> Expr:
        """A + factor * b."""
        terms = dict(a.terms)
        for term, coefficient in b.terms:
            more = coefficient * factor
            total = terms[term] + more if term in terms else more
            terms[term] = total if type(total) is int else tidy(total)
        return self._lin(tidy(a.constant + b.constant * factor), terms)

    def sub(self, a: Expr, b: Expr) -> Expr:
        """A - b."""
        return self.add(a, b, -1)

    def scale(self, a: Expr, factor: Number) -> Expr:
        """A * factor, factor a number; of squares of squares each has twice as many digits."""
        bits = factor.numerator.bit_length() + factor.denominator.bit_length()
        self.effort.spend(bits if bits > USUAL_BITS else 0)
        return self.add(self.zero, a, factor)

    def div(self, a: Expr, b: Expr) -> Expr:
        """A / b, b a number other than 0."""
        assert b.value
        return self.scale(a, Fraction(1) / b.value)

    def mul(self, a: Expr, b: Expr) -> Expr:
        """A * b."""
        for left, right in ((a, b), (b, a)):
            if left.value is not None:
                return self.scale(right, left.value)
        a, b = sorted((a, b), key=lambda e: e.serial)
        made, new = self._make("mul", a, b)
        if new:
            made.lo, made.hi = _product_bounds(a, b)
            made.integral = a.integral and b.integral
            _inherit(made, (a, b))
        return made

    def floor(self, a: Expr) -> Expr:
        """The greatest integer <= a; integral parts move out, and known bounds may decide the rest."""
        if a.integral:
            return a
        whole = {t: c for t, c in a.terms if t.integral and c.denominator == 1}
        shift = math.floor(a.constant)
        rest = self._lin(tidy(a.constant - shift), {t: c for t, c in a.terms if t not in whole})
        outside = self._lin(shift, whole)
        if rest.lo is not None and rest.hi is not None and math.floor(rest.lo) == math.floor(rest.hi):
            return self.add(outside, self.num(math.floor(rest.lo)))
        if a.lo is not None and a.hi is not None and math.floor(a.lo) == math.floor(a.hi):
            return self.num(math.floor(a.lo))  # what is moved out takes a remainder apart, and its bounds with it
        made, new = self._make("floor", rest)
        if new:
            made.lo = None if rest.lo is None else math.floor(rest.lo)
            made.hi = None if rest.hi is None else math.floor(rest.hi)
            made.integral = True
            _inherit(made, (rest,))
            made.floored = True
        return self.add(outside, made)

    def round(self, a: Expr) -> Expr:
        """The nearest integer, halfway the even one; what is even moves out, and known bounds may decide the rest."""
        if a.integral:
            return a
        even = {t: c for t, c in a.terms if t.integral and c.denominator == 1 and c % 2 == 0}
        shift = 2 * math.floor(Fraction(a.constant) / 2)
        rest = self._lin(tidy(a.constant - shift), {t: c for t, c in a.terms if t not in even})
        outside = self._lin(shift, even)
        lo, hi = (None if bound is None else round(bound) for bound in (rest.lo, rest.hi))
        if lo is not None and lo == hi:
            return self.add(outside, self.num(lo))
        made, new = self._make("round", rest)
        if new:  # halves may as well go the other way: what is clamped behind stays clamped
            made.lo = None if rest.lo is None else math.ceil(rest.lo - Fraction(1, 2))
            made.hi = None if rest.hi is None else math.floor(rest.hi + Fraction(1, 2))
            made.integral = True
            _inherit(made, (rest,))
            made.floored = True
        return self.add(outside, made)

    def ceil(self, a: Expr) -> Expr:
        """The least integer >= a."""
        return self.scale(self.floor(self.scale(a, -1)), -1)

    def trunc(self, a: Expr) -> Expr:
        """A rounded towards zero, as a cast from float to int does."""
        return a if a.integral else self.select(self.ge(a), self.floor(a), self.ceil(a))

    def quotient(self, a: Expr, divisor: int) -> Expr:
        """floor(a / divisor)."""
        return self.floor(self.scale(a, Fraction(1, divisor)))

    def remainder(self, a: Expr, divisor: int) -> Expr:
        """A minus divisor times its quotient."""
        return self.add(a, self.quotient(a, divisor), -divisor)

    def ravel(self, index: Sequence[Expr], sizes: Sequence[int]) -> Expr:
        """The row-major linear index."""
        out = self.zero
        for i, size in zip(index, sizes, strict=True):
            out = self.add(self.scale(out, size), i)
        return out

    def unravel(self, linear: Expr, sizes: Sequence[int]) -> tuple[Expr, ...]:
        """The index along each of `sizes` of a row-major linear index."""
        out: list[Expr] = []
        for size in reversed(sizes[1:]):
            quotient = self.quotient(linear, size)
            out.append(self.add(linear, quotient, -size))
            linear = quotient
        return (linear, *reversed(out)) if sizes else ()

    # ---- conditions -----------------------------------------------------------------------------------------------

    def ge(self, a: Expr) -> Expr:
        """1 where a >= 0, else 0."""
        if a.lo is not None and a.lo >= 0:
            return self.one
        if a.hi is not None and a.hi < 0:
            return self.zero
        floor = less_than_its_floor(a)
        if floor is not None:  # whether q is whole: 1 less what ceil(q) is more than floor(q)
            whole = self.add(self.add(floor, self.one), self.ceil(floor.args[0]), -1)  # type: ignore[arg-type]
            whole.lo, whole.hi = 0, 1
            return whole
        made, new = self._make("ge", a)
        if new:
            made.lo, made.hi, made.integral = 0, 1, True
            made.leaves, made.floored = a.leaves, True
        return made

    def gt(self, a: Expr) -> Expr:
        """1 where a > 0, else 0."""
        return self.sub(self.one, self.ge(self.scale(a, -1)))

    def eq(self, a: Expr) -> Expr:
        """1 where a == 0, else 0."""
        return self.mul(self.ge(a), self.ge(self.scale(a, -1)))

    def select(self, condition: Expr, a: Expr, b: Expr) -> Expr:
        """A where condition is 1, b where it is 0."""
        if a is b or condition is self.one:
            return a
        if condition is self.zero:
            return b
        made, new = self._make("select", condition, a, b)
        if new:
            a_lo, a_hi = _bounds_where(a, _known(condition, True))
            b_lo, b_hi = _bounds_where(b, _known(condition, False))
            made.lo = None if a_lo is None or b_lo is None else min(a_lo, b_lo)
            made.hi = None if a_hi is None or b_hi is None else max(a_hi, b_hi)
            made.integral = a.integral and b.integral
            made.leaves = condition.leaves | a.leaves | b.leaves
            made.floored = a.floored or b.floored or not (a.leaves or b.leaves)  # the last: a mask, not a clamp
        return made

    def maximum(self, a: Expr, b: Expr) -> Expr:
        """The larger of two."""
        made = self.select(self.ge(self.sub(a, b)), a, b)
        if made.op == "select":
            made.lo = max((e.lo for e in (a, b, made) if e.lo is not None), default=None)
        return made

    def minimum(self, a: Expr, b: Expr) -> Expr:
        """The smaller of two."""
        made = self.select(self.ge(self.sub(b, a)), a, b)
        if made.op == "select":
            made.hi = min((e.hi for e in (a, b, made) if e.hi is not None), default=None)
        return made

    def absolute(self, a: Expr) -> Expr:
        """|a|."""
        made = self.select(self.ge(a), a, self.scale(a, -1))
        made.lo = 0 if made.lo is None else max(made.lo, 0)
        return made


def less_than_its_floor(a: Expr) -> Expr | None:
    """The floor(q) of an expression that is a positive multiple of floor(q) - q; None of others."""
    for floor, factor in a.terms:
        q = floor.args[0] if floor.op == "floor" and factor > 0 else None
        if isinstance(q, Expr) and a.constant == -factor * q.constant and len(a.terms) == 1 + len(q.terms):
            slopes = dict(a.terms)
            if all(slopes.get(t) == -factor * c for t, c in q.terms):
                return floor
    return None


def _known(condition: Expr, holds: bool) -> list[tuple[Expr, int, int]]:
    """Expressions, signs and numbers: where a condition holds, or does not, sign * expression is at least a number."""
    if condition.op == "ge":
        value: Expr = condition.args[0]  # type: ignore[assignment]
        return [(value, 1, 0) if holds else (value, -1, int(value.integral))]
    if condition.op == "mul" and holds:
        return [fact for factor in condition.args for fact in _known(factor, True)]  # type: ignore[arg-type]
    if condition.constant == 1 and len(condition.terms) == 1 and condition.terms[0][1] == -1:
        return _known(condition.terms[0][0], not holds)  # 1 - m
    return []


def _bounds_where(value: Expr, known: Iterable[tuple[Expr, int, int]]) -> tuple[Bound, Bound]:
    """Bounds of a value where each sign * expression is at least a number: of k * expression + c, besides its own."""
    lo, hi = value.lo, value.hi
    for expr, sign, least in known:
        slopes = dict(value.terms)
        first, slope = expr.terms[0]
        k = Fraction(slopes.get(first, 0)) / slope
        if not k or slopes != {t: k * c for t, c in expr.terms}:
            continue
        end = tidy(value.constant + k * (sign * least - expr.constant))
        if k * sign > 0:
            lo = end if lo is None else max(lo, end)
        else:
            hi = end if hi is None else min(hi, end)
    return lo, hi


def _bounds_of(constant: Number, terms: Iterable[tuple[Expr, Number]]) -> tuple[Bound, Bound]:
    """Bounds of a sum of terms, each by itself."""
    lo: Bound = constant
    hi: Bound = constant
    for t, c in terms:
        low, high = (t.lo, t.hi) if c > 0 else (t.hi, t.lo)
        lo = None if lo is None or low is None else lo + low * c
        hi = None if hi is None or high is None else hi + high * c
    return lo, hi


def _remainder_bounds(made: Expr) -> tuple[Bound, Bound]:
    """Bounds of a sum with floors, besides its own: what is left of a division by m, a - m * floor(a/m), is 0 to m.

    Of whole numbers it is less than m, and a multiple of what divides them all. Outer floors are looked at first.
    """
    rest, constant = dict(made.terms), made.constant
    least: Number = 0
    most: Number = 0
    for floor, factor in reversed(made.terms):
        if floor.op != "floor" or floor not in rest:
            continue
        argument: Expr = floor.args[0]  # type: ignore[assignment]
        if any(rest.get(t) != -c * factor for t, c in argument.terms):
            continue
        parts = [(t, rest.pop(t)) for t in (floor, *(t for t, _ in argument.terms))]
        first = factor * argument.constant
        end = _last_before(first, first - factor, parts)
        least, most = least + min(first, end), most + max(first, end)
    lo, hi = _bounds_of(constant, rest.items())
    lows = [bound for bound in (made.lo, None if lo is None else lo + least) if bound is not None]
    highs = [bound for bound in (made.hi, None if hi is None else hi + most) if bound is not None]
    return max(lows, default=None), min(highs, default=None)


def _last_before(first: Number, end: Number, parts: Sequence[tuple[Expr, Number]]) -> Number:
    """The last value on the way from `first` to `end`, which a sum of multiples does not reach; else `end` itself."""
    if not all(t.integral for t, _ in parts):
        return end
    under = math.lcm(*(c.denominator for _, c in parts))
    step = Fraction(math.gcd(*(int(c * under) for _, c in parts)), under)
    steps = Fraction(end) / step
    return tidy(step * (math.ceil(steps) - 1 if end > first else math.floor(steps) + 1))


def _inherit(made: Expr, parts: Iterable[Expr]) -> None:
    for part in parts:
        if not made.leaves:
            made.leaves = part.leaves  # one set for all that have the same: as a key it is told by identity
        elif not made.leaves >= part.leaves:
            made.leaves |= part.leaves
        made.floored |= part.floored


def _product_bounds(a: Expr, b: Expr) -> tuple[Bound, Bound]:
    known = [end for end in (a.lo, a.hi, b.lo, b.hi) if end is not None]
    ends = [end for end in known if (abs(end.numerator) + end.denominator).bit_length() <= USUAL_BITS]
    if len(ends) < 4:
        positive = a.lo is not None and b.lo is not None and a.lo >= 0 and b.lo >= 0
        return (0, None) if positive else (None, None)
    corners = [x * y for x in ends[:2] for y in ends[2:]]
    return min(corners), max(corners)
