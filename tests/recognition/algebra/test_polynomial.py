"""Polynomials agree with arithmetic on numbers, and equal ones are equal objects."""

from __future__ import annotations

import random
from fractions import Fraction

from onnxgs_opt.recognition.algebra.polynomial import ONE, ZERO, Number, Poly


def some_number(rng: random.Random) -> Number:
    """A small integer or quotient other than 0."""
    number = rng.choice((-1, 1)) * Fraction(rng.randint(1, 12), rng.choice((1, 1, 2, 3, 8)))
    return number.numerator if number.denominator == 1 else number


def some_poly(rng: random.Random, most: int = 4) -> Poly:
    """Up to `most` terms of up to three factors, of three atoms."""
    terms = [tuple(sorted(rng.choices(range(3), k=rng.randint(0, 3)))) for _ in range(rng.randint(0, most))]
    return Poly({monomial: some_number(rng) for monomial in terms})


def value(poly, point):
    total = Fraction(0)
    for monomial, coefficient in poly:
        term = Fraction(coefficient)
        for atom in monomial:
            term *= point[atom]
        total += term
    return total


def test_arithmetic_is_that_of_the_values():
    rng = random.Random(1)
    for _ in range(150):
        a, b = some_poly(rng), some_poly(rng)
        point = [Fraction(rng.randint(-15, 15), rng.randint(1, 5)) for _ in range(3)]
        assert value(a + b, point) == value(a, point) + value(b, point), (a, b)
        assert value(a - b, point) == value(a, point) - value(b, point), (a, b)
        assert value(a * b, point) == value(a, point) * value(b, point), (a, b)
        for factor in (some_number(rng), 0, 1, Fraction(2, 3)):
            assert value(a.scale(factor), point) == value(a, point) * factor, (a, factor)


def test_factoring_and_order_leave_no_trace():
    """Whatever the order, the terms are the same, none of them is 0, and integers are ints."""
    rng = random.Random(2)
    for _ in range(100):
        a, b, c = (some_poly(rng) for _ in range(3))
        assert a * (b + c) == a * c + b * a, (a, b, c)
        assert hash(a + b) == hash(b + a)
        assert (a + b).key == (b + a).key
        assert a - a == ZERO
        assert a * ONE == a
        for each in (a + b, a * b, a - c, a.scale(Fraction(3, 2)), a.scale(4)):
            assert all(each.terms.values())
            assert all(type(k) is int or k.denominator > 1 for _, k in each)


def test_integers_are_ints_whatever_they_are_made_of():
    half = Poly({(0,): Fraction(1, 2)})
    for whole in (half + half, half.scale(4), half * Poly.const(2), half.scale(Fraction(2)), half - half.scale(3)):
        assert [type(k) for _, k in whole] == [int], whole
    assert type(half.over(half)) is int
    assert type((half + half).constant or 0) is int


def test_one_polynomial_may_be_a_number_times_another():
    rng = random.Random(3)
    for _ in range(60):
        a, factor = some_poly(rng) + Poly.atom(5), some_number(rng)
        assert a.scale(factor).over(a) == factor
        assert (a + Poly.atom(5)).over(a) in (None, 2)
        assert a.over(ZERO) is None
        assert ZERO.over(a) is None
    x, y = Poly.atom(0), Poly.atom(1)
    assert (x + y.scale(2)).over(x + y) is None
    assert (x + y).over(x) is None


def test_a_constant_knows_its_value():
    assert ZERO.constant == 0
    assert Poly.const(Fraction(1, 2)).constant == Fraction(1, 2)
    assert Poly.atom(3).constant is None
    assert Poly.const(0) is ZERO
    assert Poly.const(2) == Poly({(): 2})
    assert (Poly.atom(3) + ONE).constant is None
    assert not ZERO
    assert ONE
    assert ONE != 1
