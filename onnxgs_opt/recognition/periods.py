"""Indices that begin anew every so many pixels, mirrored or repeated ones: what shows on a few periods holds for all.

An index that is made of remainders is the same function again after a period T, from some pixel on and before some
other. Whether a whole expression is, is told by what each part of it gains while the coordinate p goes on by T:

* p gains T, floor(p) as much, and a sum the sum of what its terms gain.
* floor(x) gains what x does, where that is an integer: x mod n, which is x - n*floor(x/n), gains nothing. So does x
  rounded with halves to the even neighbour, where it is an even one.
* A comparison with something that gains is decided for good from some p on: the choice that hangs on it is one of two.
* All else has to be made of what gains nothing, and then it is periodic itself.

So it suffices to look at all points up to where the last comparison is decided, and at a period more on either side;
at one period where nothing is compared so. A sampler that agrees there has the same period, or is constant there
already: otherwise it reads two different pixels one period apart, where the expression reads the same one twice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from onnxgs_opt.recognition.algebra.expr import Terms
from onnxgs_opt.recognition.algebra.expression import Algebra, Expr, children, walk
from onnxgs_opt.recognition.algebra.piecewise import Coordinate, Reach
from onnxgs_opt.recognition.match import Axis
from onnxgs_opt.samplers.border import Border

NONE, ONE = Fraction(0), Fraction(1)
MARGIN = 3
"""Pixels that a proof looks at beyond that: two floors in a row, each with the pixel behind it."""


class _NotPeriodicError(Exception):
    """An expression that goes on to change, or of which it is not known that it does not."""


def within_periods(root: Expr, coordinate: Coordinate) -> Coordinate:
    """The coordinate with the range of floors that stand for all, where `root` has remainders of them; else itself.

    The period is the shortest that fits, of the numbers that integers are divided by, or else their common multiple.
    """
    return replace(coordinate, reach=reach_of((root,), coordinate) or coordinate.reach)


def reach_of(roots: Sequence[Expr], coordinate: Coordinate) -> Reach | None:
    """The floors that stand for all in every one of `roots`; None where they have no such period in common."""
    for period in _periods(roots, coordinate.leaf):
        try:
            tails = [_Tail(coordinate, period, side) for side in (1, -1)]
            decided = [tail.decided_from(root) for tail in tails for root in roots]
        except _NotPeriodicError:
            continue
        first = -MARGIN
        last = period + MARGIN
        if found := [distance for distance in decided if distance is not None]:
            last += math.ceil(max(found))
            first = -last
        return Reach(first, last, period)
    return None


def repeats_so(border: Border, algebra: Algebra, axis: Axis) -> bool:
    """Whether a border's indices begin anew whenever those of an axis do."""
    if axis.reach is None:
        return False
    period, last = axis.reach.period, algebra.num(axis.size - 1)
    first, again = ([border.index(algebra, algebra.num(k + gap), last)[0] for k in range(3)] for gap in (0, period))
    return first == again


def _periods(roots: Sequence[Expr], leaf: Expr) -> list[int]:
    """What integers made of a leaf are divided by before a floor, in order, and their least common multiple.

    What is divided twice, m first and then 2, begins anew after 2*m. An odd number is doubled last: halves go to the
    even neighbour, which is the other one an odd number on.
    """
    twice: dict[Expr, int] = {}
    divisors: set[int] = set()
    for expr in walk(roots):
        parts = [part for part in children(expr) if leaf in part.leaves]
        twice[expr] = math.lcm(*(twice[part] for part in parts))
        if expr.op == "floor":
            terms: Terms = expr.args[0].terms  # type: ignore[attr-defined]
            whole = [(t, Fraction(c).denominator) for t, c in terms if t.floored and leaf in t.leaves]
            divisors.update(divisor for _, divisor in whole)
            twice[expr] = math.lcm(*(twice[term] * divisor for term, divisor in whole))
    divisors -= {1}
    common = math.lcm(*divisors, *(twice[root] for root in roots))
    return sorted({*divisors, math.lcm(*divisors), common, common * (1 + common % 2)}) if divisors else []


@dataclass(frozen=True)
class _Way:
    """How an expression goes on: what it gains in a period, and how far it is from the line of that slope at most.

    `value` is the number that it is for good; None where it is none. `spread` is None where no bound is known.
    """

    gain: Fraction
    spread: Fraction | None
    value: Fraction | None = None


class _Tail:
    """All that lies to one side of some pixel: `side` is 1 for what is behind the image, -1 for what is before."""

    def __init__(self, coordinate: Coordinate, period: int, side: int) -> None:
        self._coordinate = coordinate
        self._period = period
        self._side = side
        self._decided: Fraction | None = None
        self._ways: dict[Expr, _Way] = {}

    def decided_from(self, root: Expr) -> Fraction | None:
        """The distance from pixel 0 from which on `root` is periodic, None where it is everywhere.

        Raises:
            _NotPeriodicError: It is not.
        """
        for expr in walk((root,)):
            if expr not in self._ways:
                self._ways[expr] = self._of(expr)
        if self._ways[root].gain:
            raise _NotPeriodicError
        return self._decided

    def _of(self, expr: Expr) -> _Way:
        if self._coordinate.leaf not in expr.leaves:
            return _Way(NONE, _most(expr), None if expr.value is None else Fraction(expr.value))
        if expr is self._coordinate.leaf:
            slope, offset = Fraction(self._coordinate.slope), _most(self._coordinate.offset)
            return _Way(self._period / slope, None if offset is None else offset / slope)
        ways: Mapping[Expr, _Way] = self._ways
        match expr.op:
            case "lin":
                return self._sum(expr)
            case "floor" | "round":
                way = ways[expr.args[0]]  # type: ignore[index]
                if way.gain.denominator != 1 or (expr.op == "round" and way.gain % 2):
                    raise _NotPeriodicError
                return _Way(way.gain, None if way.spread is None else way.spread + 1)
            case "ge":
                return self._comparison(ways[expr.args[0]])  # type: ignore[index]
            case "select":
                condition, a, b = (ways[part] for part in expr.args)  # type: ignore[index]
                return self._choice(condition, a, b)
            case "mul":
                a, b = (ways[part] for part in expr.args)  # type: ignore[index]
                return self._product(a, b)
            case _:  # a read
                if any(ways[index].gain for index in expr.args[1]):  # type: ignore[attr-defined]
                    raise _NotPeriodicError
                return _Way(NONE, None)

    def _sum(self, expr: Expr) -> _Way:
        gain, spread, value = NONE, abs(Fraction(expr.constant)), Fraction(expr.constant)
        known, constant = True, True
        for term, factor in expr.terms:
            way = self._ways[term]
            known = known and way.spread is not None
            constant = constant and way.value is not None
            if way.gain:
                gain += factor * way.gain
            if way.spread:
                spread += (factor if factor > 0 else -factor) * way.spread
            if way.value:
                value += factor * way.value
        return _Way(gain, spread if known else None, value if constant else None)

    def _comparison(self, way: _Way) -> _Way:
        if way.value is not None:
            return _Way(NONE, ONE, Fraction(way.value >= 0))
        if not way.gain:
            return _Way(NONE, ONE)
        if way.spread is None:
            raise _NotPeriodicError
        self._decided = max(self._decided or NONE, way.spread * self._period / abs(way.gain))
        return _Way(NONE, ONE, Fraction(way.gain * self._side > 0))

    def _choice(self, condition: _Way, a: _Way, b: _Way) -> _Way:
        if condition.value is not None:
            return a if condition.value else b
        if condition.gain or a.gain != b.gain:
            raise _NotPeriodicError
        known = a.spread is not None and b.spread is not None
        return _Way(a.gain, max(a.spread or NONE, b.spread or NONE) if known else None)

    def _product(self, a: _Way, b: _Way) -> _Way:
        for one, other in ((a, b), (b, a)):
            if one.value is not None:
                known = other.spread is not None
                value = None if other.value is None else one.value * other.value
                if not one.value:
                    return _Way(NONE, NONE, NONE)
                spread = abs(one.value) * (other.spread or NONE) if known else None
                return _Way(one.value * other.gain, spread, value)
        if a.gain or b.gain:
            raise _NotPeriodicError
        return _Way(NONE, None if a.spread is None or b.spread is None else a.spread * b.spread)


def _most(expr: Expr) -> Fraction | None:
    """The largest absolute value that an expression is known to have."""
    return None if expr.lo is None or expr.hi is None else Fraction(max(abs(Fraction(expr.lo)), abs(Fraction(expr.hi))))
