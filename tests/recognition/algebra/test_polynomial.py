"""Polynomials agree with arithmetic on numbers, and equal ones are equal objects."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from onnxgs_opt.recognition.algebra.polynomial import ONE, ZERO, Poly

numbers = st.one_of(st.integers(-4, 4), st.fractions(-3, 3, max_denominator=8))
monomials = st.lists(st.integers(0, 2), max_size=3).map(lambda atoms: tuple(sorted(atoms)))
polys = st.dictionaries(monomials, numbers.filter(bool), max_size=4).map(Poly)
points = st.tuples(*[st.fractions(-3, 3, max_denominator=5)] * 3)


def value(poly, point):
    total = Fraction(0)
    for monomial, coefficient in poly:
        term = Fraction(coefficient)
        for atom in monomial:
            term *= point[atom]
        total += term
    return total


@given(polys, polys, points)
def test_arithmetic_is_that_of_the_values(a, b, point):
    assert value(a + b, point) == value(a, point) + value(b, point)
    assert value(a - b, point) == value(a, point) - value(b, point)
    assert value(a * b, point) == value(a, point) * value(b, point)
    assert value(a.scale(Fraction(2, 3)), point) == value(a, point) * Fraction(2, 3)


@given(polys, polys, polys)
def test_factoring_and_order_leave_no_trace(a, b, c):
    assert a * (b + c) == a * c + b * a
    assert hash(a + b) == hash(b + a)
    assert a - a == ZERO
    assert a * ONE == a


def test_a_constant_knows_its_value():
    assert ZERO.constant == 0
    assert Poly.const(Fraction(1, 2)).constant == Fraction(1, 2)
    assert Poly.atom(3).constant is None
    assert not ZERO
