"""Expressions keep their value while they are simplified, and equal spellings are one object."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxgs_opt.recognition.algebra.expression import Algebra
from onnxgs_opt.recognition.algebra.piecewise import Cell, Coordinate, Resolver

leaves = st.one_of(st.just(("x",)), st.tuples(st.just("c"), st.fractions(-3, 3, max_denominator=4)))
unary = st.sampled_from(["floor", "round", "ceil", "trunc", "ge", "gt", "eq", "abs"])
binary = st.sampled_from(["+", "-", "max", "min"])
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(unary, inner), st.tuples(binary, inner, inner), st.tuples(st.just("select"), inner, inner, inner)
    ),
    max_leaves=7,
)


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


@settings(max_examples=400, deadline=None)
@given(trees, st.fractions(-5, 5, max_denominator=12))
def test_simplifying_preserves_the_value(tree, x):
    algebra = Algebra()
    leaf = algebra.elem("p", ())
    expr = build(algebra, leaf, tree)
    whole = math.floor(x)
    cell = Cell(whole, whole, x - whole, x - whole, True, True)
    resolver = Resolver([Coordinate(leaf, 1, algebra.zero)])
    found = resolver.evaluate(expr, [cell]).constant
    assert found == value(tree, x)
    assert expr.lo is None or expr.lo <= found
    assert expr.hi is None or found <= expr.hi
    assert not expr.integral or Fraction(found).denominator == 1


def test_equal_spellings_are_one_object():
    algebra = Algebra()
    x = algebra.elem("x", ())
    one = algebra.one
    assert algebra.sub(algebra.add(x, one), x) is one
    assert algebra.floor(algebra.add(x, algebra.num(3))) is algebra.add(algebra.floor(x), algebra.num(3))
    assert algebra.mul(x, algebra.floor(x)) is algebra.mul(algebra.floor(x), x)
    assert algebra.select(algebra.one, x, one) is x


@pytest.mark.parametrize("sizes", [(2, 3, 4), (1, 5), (7,), (3, 1, 2)])
def test_unravel_undoes_ravel(sizes):
    algebra = Algebra()
    index = tuple(algebra.idx(axis, size) for axis, size in enumerate(sizes))
    assert algebra.unravel(algebra.ravel(index, sizes), sizes) == index


def test_what_is_left_of_a_division_is_bounded():
    algebra = Algebra()
    rest = algebra.remainder(algebra.elem("x", ()), 8)
    assert (rest.lo, rest.hi) == (0, 8)
    mirrored = algebra.absolute(algebra.sub(rest, algebra.num(4)))
    assert (mirrored.lo, mirrored.hi) == (0, 4)
