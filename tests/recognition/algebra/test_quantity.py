"""Quotients of polynomials in sizes agree with arithmetic on numbers, and lie between their bounds."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import prod

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from onnxgs_opt.recognition.algebra.polynomial import ONE, Poly
from onnxgs_opt.recognition.algebra.quantity import Quantity
from tests.recognition.algebra.test_polynomial import monomials, numbers

polys = st.dictionaries(monomials, numbers.filter(bool), max_size=3).map(Poly)
quantities = st.builds(Quantity, polys, st.one_of(st.just(ONE), polys.filter(bool)))
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


@settings(max_examples=60)
@given(quantities, quantities, numbers)
def test_arithmetic_is_that_of_the_values(a: Quantity, b: Quantity, factor: Fraction) -> None:
    for sizes in ({0: 5, 1: 2, 2: 3}, {0: 2, 1: 7, 2: 11}):
        first, second = value(a, sizes), value(b, sizes)
        assume(first is not None and second is not None)
        assert first is not None
        assert second is not None
        assert a.at(sizes) == first
        assert a.plus(b, factor).at(sizes) == first + factor * second
        assert a.times(b).at(sizes) == first * second
        if second and b.over:
            assert a.by(b).at(sizes) == first / second


@settings(max_examples=150)
@given(quantities)
def test_values_lie_between_the_bounds(quantity: Quantity) -> None:
    found = [value(quantity, sizes) for sizes in every_size()]
    assume(None not in found)
    low, high = quantity.bounds(lambda atom: RANGES[atom])
    assert low is None or all(low <= each for each in found if each is not None)
    assert high is None or all(each <= high for each in found if each is not None)


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


def test_what_cancels_is_left_out() -> None:
    h, w = Poly.atom(0), Poly.atom(1)
    assert Quantity(h * w).by(Quantity(w)) == Quantity(h)
    assert Quantity(h * w).by(Quantity(w)).is_integral
    assert Quantity(h - ONE).by(Quantity((h - ONE).scale(2))).constant == Fraction(1, 2)
    assert not Quantity(h).by(Quantity.of(2)).is_integral
    assert Quantity(h * h + w).by(Quantity(h)).atoms == {0, 1}
    assert Quantity.of(3).constant == 3
