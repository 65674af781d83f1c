"""Expressions keep their value while they are simplified, and equal spellings are one object."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import pytest

from onnxgs_opt.recognition.algebra.effort import Exhausted
from onnxgs_opt.recognition.algebra.expression import Algebra, walk
from onnxgs_opt.recognition.algebra.piecewise import Cell, Coordinate, Resolver


def build(algebra, x, tree):
    match tree:
        case ("x",):
            return x
        case ("c", number):
            return algebra.num(number)
        case ("select", condition, a, b):
            return algebra.select(algebra.ge(build(algebra, x, condition)), build(algebra, x, a), build(algebra, x, b))
        case (op, a, b):
            method = {"+": algebra.add, "-": algebra.sub, "max": algebra.maximum, "min": algebra.minimum}[op]
            return method(build(algebra, x, a), build(algebra, x, b))
        case (op, a):
            return getattr(algebra, {"abs": "absolute"}.get(op, op))(build(algebra, x, a))


def value(tree, x):
    match tree:
        case ("x",):
            return x
        case ("c", number):
            return number
        case ("select", condition, a, b):
            return value(a, x) if value(condition, x) >= 0 else value(b, x)
        case (op, a, b):
            left, right = value(a, x), value(b, x)
            return {"+": left + right, "-": left - right, "max": max(left, right), "min": min(left, right)}[op]
        case (op, a):
            v = value(a, x)
            return {
                "floor": math.floor(v), "round": round(v), "ceil": math.ceil(v), "trunc": math.trunc(v), "abs": abs(v),
                "ge": int(v >= 0), "gt": int(v > 0), "eq": int(v == 0),
            }[op]  # fmt: skip


def some_tree(rng: random.Random, size: int) -> tuple:
    """A tree of conditions, roundings and sums over one coordinate."""
    if size < 2:
        return ("x",) if rng.random() < 0.6 else ("c", Fraction(rng.randint(-12, 12), rng.randint(1, 4)))
    match rng.randrange(5):
        case 0 | 1:
            return rng.choice(("floor", "round", "ceil", "trunc", "ge", "gt", "eq", "abs")), some_tree(rng, size - 1)
        case 2 | 3:
            return rng.choice(("+", "-", "max", "min")), some_tree(rng, size // 2), some_tree(rng, size - size // 2)
        case _:
            return ("select", *(some_tree(rng, size // 3) for _ in range(3)))


def test_simplifying_preserves_the_value():
    rng = random.Random(5)
    for _ in range(400):
        tree, x = some_tree(rng, rng.randint(1, 9)), Fraction(rng.randint(-60, 60), rng.randint(1, 12))
        algebra = Algebra()
        leaf = algebra.elem("p", ())
        expr = build(algebra, leaf, tree)
        whole = math.floor(x)
        cell = Cell(whole, whole, x - whole, x - whole, True, True)
        resolver = Resolver([Coordinate(leaf, 1, algebra.zero)])
        found = resolver.evaluate(expr, [cell]).constant
        assert found == value(tree, x), (tree, x)
        assert expr.lo is None or expr.lo <= found, (tree, x)
        assert expr.hi is None or found <= expr.hi, (tree, x)
        assert not expr.integral or Fraction(found).denominator == 1, (tree, x)


def test_equal_spellings_are_one_object():
    algebra = Algebra()
    x = algebra.elem("x", ())
    one = algebra.one
    assert algebra.sub(algebra.add(x, one), x) is one
    assert algebra.floor(algebra.add(x, algebra.num(3))) is algebra.add(algebra.floor(x), algebra.num(3))
    assert algebra.mul(x, algebra.floor(x)) is algebra.mul(algebra.floor(x), x)
    assert algebra.select(algebra.one, x, one) is x
    left = algebra.sub(algebra.add(algebra.scale(x, 2), algebra.num(Fraction(1, 2))), one)
    for q in (x, left):  # one more than the floor where something is left over
        more = algebra.gt(algebra.scale(algebra.sub(q, algebra.floor(q)), 3))
        assert algebra.add(algebra.floor(q), more) is algebra.ceil(q)


@pytest.mark.parametrize("sizes", [(2, 3, 4), (1, 5), (7,), (3, 1, 2)])
def test_unravel_undoes_ravel(sizes):
    algebra = Algebra()
    index = tuple(algebra.idx(axis, size) for axis, size in enumerate(sizes))
    assert algebra.unravel(algebra.ravel(index, sizes), sizes) == index


def test_unravel_gives_back_an_index_that_is_one_number():
    """The row is 1 wherever the floor is 0 or 1: it was taken for that number, and stayed in the column."""
    algebra = Algebra()
    floors = [algebra.floor(algebra.elem(name, (), lo=0, hi=hi)) for name, hi in (("y", 1), ("x", 2))]
    row = algebra.minimum(algebra.add(floors[0], algebra.one), algebra.one)
    assert (row.lo, row.hi) == (1, 1)
    assert algebra.unravel(algebra.ravel((row, floors[1]), (2, 3)), (2, 3)) == (row, floors[1])


def test_what_is_left_of_a_division_is_bounded():
    algebra = Algebra()
    rest = algebra.remainder(algebra.elem("x", ()), 8)
    assert (rest.lo, rest.hi) == (0, 8)
    mirrored = algebra.absolute(algebra.sub(rest, algebra.num(4)))
    assert (mirrored.lo, mirrored.hi) == (0, 4)


def at(expr, points):
    """The value of an expression; `points` has those of the elements, by tensor and index, and of index variables."""
    match expr.op:
        case "lin":
            return expr.constant + sum(c * at(t, points) for t, c in expr.terms if t is not expr)
        case "idx":
            return points[expr.args[0]]
        case "elem":
            return points[(expr.args[0], *(at(i, points) for i in expr.args[1]))]
        case "mul":
            return at(expr.args[0], points) * at(expr.args[1], points)
        case "ge":
            return int(at(expr.args[0], points) >= 0)
        case "select":
            return at(expr.args[1 if at(expr.args[0], points) else 2], points)
        case op:
            return {"floor": math.floor, "round": round}[op](at(expr.args[0], points))


def known(expr):
    return expr.op, expr.lo, expr.hi, expr.integral, expr.floored, sorted(map(repr, expr.leaves))


def test_bounds_hold_and_a_copy_is_the_same():
    """Trees over an element with bounds, one without and an index variable; a copy has the same value and facts."""
    rng = random.Random(7)
    for _ in range(150):
        algebra, other = Algebra(), Algebra()
        i = algebra.idx(1, 5)
        leaves = [algebra.elem("x", (i,), -2, 3, sizes=(5,)), algebra.elem("y", (), sizes=()), i]
        parts = [build(algebra, rng.choice(leaves), some_tree(rng, rng.randint(1, 7))) for _ in range(2)]
        root = algebra.mul(*parts) if rng.random() < 0.5 else algebra.minimum(*parts)
        copies = {}
        for expr in walk([root]):
            copies[expr] = other.copied(expr, copies, {"x": "x", "y": "y"})
        assert [known(expr) for expr in copies] == [known(copy) for copy in copies.values()]
        for _ in range(6):
            place = rng.randrange(5)
            points = {
                1: place,
                ("x", place): Fraction(rng.randint(-8, 12), 4),
                ("y",): Fraction(rng.randint(-40, 40), 4),
            }
            found = at(root, points)
            assert found == at(copies[root], points)
            for expr in copies:
                value = at(expr, points)
                assert expr.lo is None or expr.lo <= value, (expr, points)
                assert expr.hi is None or value <= expr.hi, (expr, points)
                assert not expr.integral or Fraction(value).denominator == 1, (expr, points)


def test_bounds_are_as_tight_as_a_clamp_says():
    algebra = Algebra()
    x, y = algebra.elem("x", ()), algebra.elem("y", (), 2, 5)

    def clamp(value, low, high):
        return algebra.minimum(algebra.maximum(value, algebra.num(low)), algebra.num(high))

    def bounds(value):
        return value.lo, value.hi

    assert algebra.elem("y", ()) is y
    assert bounds(y) == (2, 5), "what is known stays known"
    assert bounds(clamp(x, 0, 7)) == (0, 7)
    assert bounds(algebra.maximum(algebra.minimum(x, algebra.num(7)), algebra.zero)) == (0, 7)
    assert bounds(algebra.maximum(x, y)) == (2, None)
    assert bounds(algebra.minimum(x, y)) == (None, 5)
    assert bounds(algebra.absolute(x)) == (0, None)
    assert bounds(algebra.absolute(algebra.sub(y, algebra.num(3)))) == (0, 2)
    assert clamp(y, 0, 7) is y
    assert clamp(y, 6, 7) is algebra.num(6)
    assert bounds(algebra.scale(y, -2)) == (-10, -4)
    assert bounds(algebra.mul(y, algebra.sub(y, algebra.num(4)))) == (-10, 5)
    assert bounds(algebra.mul(algebra.absolute(x), y)) == (0, None)
    assert bounds(algebra.mul(x, y)) == (None, None)
    assert bounds(algebra.floor(algebra.div(y, algebra.num(4)))) == (0, 1)
    assert bounds(algebra.round(algebra.div(y, algebra.num(4)))) == (0, 1)
    assert algebra.floor(algebra.div(y, algebra.num(8))) is algebra.zero
    assert algebra.round(algebra.div(y, algebra.num(16))) is algebra.zero
    assert bounds(algebra.select(algebra.ge(x), algebra.one, y)) == (1, 5)
    inside = algebra.mul(algebra.ge(x), algebra.ge(algebra.sub(algebra.num(7), x)))
    assert bounds(algebra.select(inside, x, algebra.num(9))) == (0, 9)
    outside = algebra.sub(algebra.one, algebra.ge(x))
    assert bounds(algebra.select(outside, algebra.zero, algebra.add(algebra.one, x, 2))) == (0, None)


def test_a_condition_of_two_masks_bounds_nothing():
    """Where 1 - (x >= 5) - (x <= -5) does not hold, x may be either."""
    algebra = Algebra()
    x, five = algebra.elem("x", ()), algebra.num(5)
    one_side, other_side = algebra.ge(algebra.sub(x, five)), algebra.ge(algebra.scale(algebra.add(x, five), -1))
    neither = algebra.sub(algebra.sub(algebra.one, one_side), other_side)
    kept = algebra.select(neither, algebra.num(7), x)
    assert (kept.lo, kept.hi) == (None, None)
    twice = algebra.select(algebra.add(algebra.num(2), one_side, -1), x, algebra.num(7))
    assert (twice.lo, twice.hi) == (None, None)
    apart = algebra.select(algebra.sub(algebra.one, one_side), x, five)
    assert (apart.lo, apart.hi) == (None, 5)


def test_integers_move_out_of_what_is_rounded():
    algebra = Algebra()
    x, i = algebra.elem("x", ()), algebra.idx(0, 9)
    moved = algebra.add(algebra.add(x, i, 3), algebra.num(Fraction(7, 2)))
    rest = algebra.add(x, algebra.num(Fraction(1, 2)))
    assert algebra.floor(moved) is algebra.add(algebra.add(algebra.floor(rest), i, 3), algebra.num(3))
    even = algebra.add(algebra.add(x, i, 4), algebra.num(Fraction(7, 2)))
    beyond = algebra.add(x, algebra.num(Fraction(3, 2)))
    assert algebra.round(even) is algebra.add(algebra.add(algebra.round(beyond), i, 4), algebra.num(2))
    assert algebra.round(algebra.add(x, i)) is not algebra.add(algebra.round(x), i), "3.5 and 2.5 round to even ones"
    assert algebra.quotient(algebra.add(algebra.scale(i, 8), algebra.idx(1, 8)), 8) is i
    assert algebra.idx(3, 1) is algebra.zero


def test_what_an_expression_depends_on_and_whether_it_is_floored():
    algebra = Algebra()
    x, y, i = algebra.elem("x", ()), algebra.elem("y", ()), algebra.idx(0, 4)
    read = algebra.elem("image", (algebra.floor(x), i), sizes=(9, 4))
    told = {
        algebra.add(x, y): ({x, y}, False),
        algebra.mul(x, y): ({x, y}, False),
        algebra.floor(x): ({x}, True),
        algebra.round(x): ({x}, True),
        algebra.mul(algebra.floor(x), y): ({x, y}, True),
        algebra.ge(x): ({x}, True),
        algebra.maximum(x, y): ({x, y}, False),
        algebra.select(algebra.ge(x), algebra.one, algebra.num(3)): ({x}, True),
        algebra.maximum(x, algebra.floor(y)): ({x, y}, True),
        read: ({x}, True),
        algebra.elem("image", (i, i), sizes=(4, 4)): ({algebra.elem("image", (i, i))}, False),
        i: (set(), False),
    }
    assert {expr: (set(expr.leaves), expr.floored) for expr in told} == told


def test_effort_is_spent_by_what_is_made():
    algebra = Algebra()
    before = algebra.effort.left
    first = algebra.floor(algebra.elem("x", ()))
    spent = before - algebra.effort.left
    assert spent > 0
    assert algebra.floor(algebra.elem("x", ())) is first
    algebra.effort.left = 3
    with pytest.raises(Exhausted):
        [algebra.elem(f"y{number}", ()) for number in range(9)]


def test_what_divisions_leave_of_several_numbers_is_bounded_by_each() -> None:
    """A row of 5 in 7 rows: the last place is 34, whatever the numbers are."""
    algebra = Algebra()
    y, x = (algebra.floor(algebra.elem(name, (), sizes=())) for name in "yx")
    place = algebra.add(algebra.scale(algebra.remainder(y, 7), 5), algebra.remainder(algebra.add(x, algebra.num(3)), 5))
    assert (place.lo, place.hi) == (0, 34)
    assert algebra.quotient(place, 35) is algebra.zero
    assert algebra.quotient(place, 5) is algebra.remainder(y, 7)
    rest = algebra.remainder(algebra.elem("p", (), sizes=()), 5)  # of what is no integer it comes as near as may be
    assert (rest.lo, rest.hi) == (0, 5)


def test_where_an_integer_is_not_at_least_another_it_is_less_by_one() -> None:
    """The mirror image of 0 to 13 about the edge behind 6: 13 - p where p > 6."""
    algebra = Algebra()
    rest = algebra.remainder(algebra.floor(algebra.elem("p", (), sizes=())), 14)
    beyond = algebra.gt(algebra.sub(rest, algebra.num(6)))
    mirrored = algebra.select(beyond, algebra.sub(algebra.num(13), rest), rest)
    assert (mirrored.lo, mirrored.hi) == (0, 6)
