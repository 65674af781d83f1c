"""Quotients of polynomials in sizes agree with arithmetic on numbers, and lie between their bounds."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction
from itertools import product
from math import prod

from onnxgs_opt.recognition.algebra.polynomial import ONE, Poly
from onnxgs_opt.recognition.algebra.quantity import Quantity
from tests.recognition.algebra.test_polynomial import some_number, some_poly

RANGES = ((2, None), (1, 4), (3, 3))
"""Of the three atoms: no bound above, a bound, one value."""


def value(quantity: Quantity, sizes: dict[int, int]) -> Fraction | None:
    """The quotient at these sizes by the definition; None where it has none."""
    over, under = (
        sum((Fraction(c) * prod(sizes[a] for a in m) for m, c in poly), Fraction(0))
        for poly in (quantity.over, quantity.under)
    )
    return over / under if under else None


def every_size() -> list[dict[int, int]]:
    """Sizes within the ranges; the first atom has some that are far apart."""
    spans = [(2, 3, 7, 100), range(1, 5), (3,)]
    return [dict(enumerate(sizes)) for sizes in product(*spans)]


def some_quantity(rng: random.Random) -> Quantity:
    under = some_poly(rng, 3)
    return Quantity(some_poly(rng, 3), ONE if rng.random() < 0.4 or not under else under)


def test_arithmetic_is_that_of_the_values() -> None:
    rng, tried = random.Random(1), 0
    for _ in range(200):
        a, b, factor = some_quantity(rng), some_quantity(rng), some_number(rng)
        for sizes in ({0: 5, 1: 2, 2: 3}, {0: 2, 1: 7, 2: 11}):
            first, second = value(a, sizes), value(b, sizes)
            if first is None or second is None:
                continue
            tried += 1
            assert a.at(sizes) == first
            assert isinstance(a.at(sizes), int) == (first.denominator == 1)
            assert a.plus(b, factor).at(sizes) == first + factor * second, (a, b, factor)
            assert a.times(b).at(sizes) == first * second, (a, b)
            if second and b.over:
                assert a.by(b).at(sizes) == first / second, (a, b)
    assert tried > 300


def test_values_lie_between_the_bounds() -> None:
    rng, bounded = random.Random(2), 0
    for _ in range(300):
        quantity = some_quantity(rng)
        found = [value(quantity, sizes) for sizes in every_size()]
        if None in found:
            continue
        low, high = quantity.bounds(lambda atom: RANGES[atom])
        bounded += (low, high) != (None, None)
        assert low is None or all(low <= each for each in found if each is not None), quantity
        assert high is None or all(each <= high for each in found if each is not None), quantity
    assert bounded > 100


def test_signs_of_quotients_are_found() -> None:
    """What can be said is said: (H - 1) / W is not negative, its opposite not positive; W - 5 has no sign."""
    h, w = Poly.atom(0), Poly.atom(1)
    by_w = Quantity(h - ONE, w)
    assert by_w.bounds(lambda atom: RANGES[atom]) == (0, None)
    assert Quantity(h - ONE, w.scale(-1)).bounds(lambda atom: RANGES[atom]) == (None, 0)
    assert Quantity(ONE - h, w).bounds(lambda atom: RANGES[atom]) == (None, 0)
    assert Quantity(ONE, w - Poly.const(3)).bounds(lambda atom: RANGES[atom]) == (None, None)
    assert Quantity(w).bounds(lambda atom: RANGES[atom]) == (1, 4)
    assert Quantity(w.scale(-2)).bounds(lambda atom: RANGES[atom]) == (-8, -2)
    assert Quantity(h * w).bounds(lambda atom: RANGES[atom]) == (2, None)


def test_what_single_precision_holds_is_binary() -> None:
    h = Quantity(Poly.atom(0))
    for value, is_binary in ((3, True), (0.5, True), (1 / 256, True), (1 / 512, False), (Fraction(1, 3), False)):
        assert Quantity.of(value).is_binary is is_binary, value
        assert h.times(Quantity.of(value)).is_binary is is_binary, value
        assert not Quantity.of(value).by(h).is_binary


def test_what_is_made_of_something_rounded_is_rounded() -> None:
    h, rounded = Quantity(Poly.atom(0)), replace(Quantity.of(3), is_rounded=True)
    for make in (Quantity.plus, Quantity.times, Quantity.by):
        assert not make(h, h).is_rounded
        assert make(h, rounded).is_rounded
        assert make(rounded, h).is_rounded
        assert make(rounded.by(h), h).is_rounded


def test_what_cancels_is_left_out() -> None:
    h, w = Poly.atom(0), Poly.atom(1)
    assert Quantity(h * w).by(Quantity(w)) == Quantity(h)
    assert Quantity(h * w).by(Quantity(w)).is_integral
    assert Quantity(h - ONE).by(Quantity((h - ONE).scale(2))).constant == Fraction(1, 2)
    assert not Quantity(h).by(Quantity.of(2)).is_integral
    assert Quantity(h * h + w).by(Quantity(h)).atoms == {0, 1}
    assert Quantity.of(3).constant == 3
