"""Numbers that follow from the sizes of a model: quotients of polynomials in them, and what is known of their signs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod

from onnxgs_opt.recognition.algebra.polynomial import ONE, Monomial, Number, Poly, tidy

Range = tuple[int, int | None]
"""The least and the largest value of a size; None where nothing bounds it."""

FINEST = 256
"""The denominator of the smallest binary fraction of a size that is taken to be exact in single precision."""

Bounds = tuple[Number | None, Number | None]


@dataclass(frozen=True)
class Quantity:
    """`over` / `under`, polynomials whose atoms are sizes; `under` is not 0 at any size of the domain.

    `is_rounded` is for what floats, which do not hold it, give only nearly: a third of a size, and three times that.
    """

    over: Poly
    under: Poly = ONE
    is_rounded: bool = False

    @classmethod
    def of(cls, value: Number | float) -> Quantity:
        """A number by itself."""
        return cls(Poly.const(tidy(Fraction(value))))

    @property
    def constant(self) -> Number | None:
        """The number that it is at all sizes; None where it changes."""
        return self.over.constant if self.under == ONE else None

    @property
    def is_integral(self) -> bool:
        """Whether it is an integer because all its coefficients are."""
        return self.under == ONE and all(type(c) is int for _, c in self.over)

    @property
    def is_binary(self) -> bool:
        """Whether single precision holds it: an integer, halves, or some further binary digits."""
        coefficients = [Fraction(c).denominator for _, c in self.over]
        return self.under == ONE and all(d & (d - 1) == 0 and d <= FINEST for d in coefficients)

    @property
    def length(self) -> int:
        """How many terms it has."""
        return len(self.over.terms) + len(self.under.terms)

    @property
    def degree(self) -> int:
        """How many factors its longest product has."""
        return max(self.over.degree, self.under.degree)

    @property
    def atoms(self) -> frozenset[int]:
        """The sizes that it depends on."""
        return frozenset(atom for poly in (self.over, self.under) for monomial, _ in poly for atom in monomial)

    def plus(self, other: Quantity, factor: Number = 1) -> Quantity:
        """The sum with `factor` times another one."""
        if self.under == other.under:
            return self._with(other, self.over + other.over.scale(factor), self.under)
        over = self.over * other.under + (other.over * self.under).scale(factor)
        return self._with(other, over, self.under * other.under)

    def times(self, other: Quantity) -> Quantity:
        """The product."""
        return self._with(other, self.over * other.over, self.under * other.under)

    def by(self, other: Quantity) -> Quantity:
        """The exact quotient by one that is never 0."""
        return self._with(other, self.over * other.under, self.under * other.over)

    def _with(self, other: Quantity, over: Poly, under: Poly) -> Quantity:
        return replace(_reduced(over, under), is_rounded=self.is_rounded or other.is_rounded)

    def at(self, sizes: Mapping[int, int]) -> Number:
        """The number that it is where each atom has its size."""
        over, under = (sum(c * prod(sizes[a] for a in m) for m, c in poly) for poly in (self.over, self.under))
        return tidy(Fraction(over) / under)

    def put(self, formulas: Mapping[int, Quantity]) -> Quantity:
        """The same with a formula in place of some atoms."""
        if self.atoms.isdisjoint(formulas):
            return self
        over, under = (_put(poly, formulas) for poly in (self.over, self.under))
        return replace(over.by(under), is_rounded=self.is_rounded)

    def solved_for(self, atom: int) -> Quantity | None:
        """What an atom is where this is 0; None where that is no polynomial of the other atoms."""
        factor = self.over.terms.get((atom,))
        rest = Poly({m: c for m, c in self.over if m != (atom,)})
        if not factor or any(atom in monomial for monomial, _ in rest):
            return None
        return Quantity(rest.scale(Fraction(-1) / factor))

    def bounds(self, range_of: Callable[[int], Range]) -> Bounds:
        """Numbers that it lies between at all sizes of the domain; None where none was found."""
        if self.under == ONE:
            return bounds(self.over, range_of)
        (lo, hi), (least, most) = bounds(self.over, range_of), bounds(self.under, range_of)
        positive = least is not None and least > 0
        if not positive and (most is None or most >= 0):
            return None, None
        rises, falls = lo is not None and lo >= 0, hi is not None and hi <= 0
        return (0 if (rises if positive else falls) else None), (0 if (falls if positive else rises) else None)


def bounds(poly: Poly, range_of: Callable[[int], Range]) -> Bounds:
    """Numbers that a polynomial lies between where each atom is its least value plus something that is not negative."""
    shifted = Poly({})
    for monomial, coefficient in poly:
        term = Poly.const(coefficient)
        for atom in monomial:
            term = term * (Poly.atom(atom) + Poly.const(range_of(atom)[0]))
        shifted = shifted + term
    lo: Number | None = shifted.terms.get((), 0)
    hi = lo
    for monomial, coefficient in shifted:
        if monomial:
            most = _most(monomial, range_of)
            if coefficient < 0:
                lo = None if lo is None or most is None else lo + coefficient * most
            else:
                hi = None if hi is None or most is None else hi + coefficient * most
    return lo, hi


def _most(monomial: Monomial, range_of: Callable[[int], Range]) -> int | None:
    spans = [None if hi is None else hi - lo for lo, hi in map(range_of, monomial)]
    return None if None in spans else prod(span for span in spans if span is not None)


def _reduced(over: Poly, under: Poly) -> Quantity:
    """The quotient without what one term below divides in all terms above."""
    if under == ONE:
        return Quantity(over)
    if not over:
        return Quantity(over)
    monomial, below = next(iter(under))
    ratio = Fraction(over.terms.get(monomial, 0)) / below
    if over == under.scale(ratio):
        return Quantity(Poly.const(tidy(ratio)))
    if len(under.terms) > 1:
        return Quantity(over, under)
    ((divisor, factor),) = under.terms.items()
    rest = [(_without(monomial, divisor), coefficient) for monomial, coefficient in over]
    if any(monomial is None for monomial, _ in rest):
        return Quantity(over.scale(Fraction(1) / factor), Poly({divisor: 1}))
    return Quantity(Poly({m: c for m, c in rest if m is not None}).scale(Fraction(1) / factor))


def _put(poly: Poly, formulas: Mapping[int, Quantity]) -> Quantity:
    total = Quantity(Poly({}))
    for monomial, factor in poly:
        term = Quantity(Poly.const(factor))
        for atom in monomial:
            term = term.times(formulas.get(atom) or Quantity(Poly.atom(atom)))
        total = total.plus(term)
    return total


def _without(monomial: Monomial, divisor: Monomial) -> Monomial | None:
    """What is left of a product without some of its factors; None where it has not all of them."""
    left = list(monomial)
    for atom in divisor:
        if atom not in left:
            return None
        left.remove(atom)
    return tuple(left)
