"""Exact polynomials over numbered atoms: the normal form in which formulas are compared.

Two expressions are equal as real functions of their atoms iff their `Poly`s are equal, whatever order, factoring or
fusing an exporter chose.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction

Number = int | Fraction
_UNIT = 1
"""Told by identity, as a small integer may be in CPython; elsewhere it is multiplied by, with the same result."""
Monomial = tuple[int, ...]  # sorted atom numbers, repeated for powers; () is the constant 1


class Poly:
    """An immutable polynomial with rational coefficients; zero coefficients are never stored."""

    __slots__ = ("_degree", "_hash", "_key", "terms")

    def __init__(self, terms: Mapping[Monomial, Number]) -> None:
        self.terms = terms
        self._key: frozenset[tuple[Monomial, Number]] | None = None
        self._degree: int | None = None
        self._hash: int | None = None

    @staticmethod
    def const(value: Number) -> Poly:
        """The constant polynomial `value`."""
        return Poly({(): value}) if value else ZERO

    @staticmethod
    def atom(number: int) -> Poly:
        """The polynomial that is atom `number`."""
        return Poly({(number,): 1})

    @staticmethod
    def sum(constant: Number, parts: Iterable[tuple[Poly, Number]]) -> Poly:
        """A number and multiples of polynomials, added up."""
        out: dict[Monomial, Number] = {(): constant} if constant else {}
        for part, factor in parts:
            if factor is _UNIT and not out:
                out = dict(part.terms)
                continue
            for monomial, coefficient in part.terms.items():
                more = coefficient if factor is _UNIT else coefficient * factor  # a fraction times 1 costs as any
                known = out.get(monomial)
                total = more if known is None else known + more
                if total:
                    out[monomial] = total if type(total) is int else tidy(total)
                else:
                    out.pop(monomial, None)
        return Poly(out)

    @property
    def key(self) -> frozenset[tuple[Monomial, Number]]:
        """A hashable value that is equal exactly for equal polynomials."""
        if self._key is None:
            self._key = frozenset(self.terms.items())
        return self._key

    @property
    def constant(self) -> Number | None:
        """The value of a constant polynomial; None when an atom is left."""
        if not self.terms:
            return 0
        return self.terms.get(()) if len(self.terms) == 1 else None

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Poly) and self.terms == other.terms)

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(self.key)
        return self._hash

    def __bool__(self) -> bool:
        return bool(self.terms)

    def __iter__(self) -> Iterator[tuple[Monomial, Number]]:
        return iter(self.terms.items())

    def __add__(self, other: Poly) -> Poly:
        return Poly.sum(0, ((self, 1), (other, 1))) if self.terms else other

    @property
    def degree(self) -> int:
        """How many factors its longest product has."""
        if self._degree is None:
            self._degree = max(map(len, self.terms), default=0)
        return self._degree

    def __mul__(self, other: Poly) -> Poly:
        for one, constant in ((self, other.constant), (other, self.constant)):
            if constant is not None:
                return one.scale(constant)
        out: dict[Monomial, Number] = {}
        for left, a in self.terms.items():
            for right, b in other.terms.items():
                monomial = left + right
                if left and right and left[-1] > right[0]:
                    monomial = tuple(sorted(monomial))
                product = a if b is _UNIT else b if a is _UNIT else a * b
                out[monomial] = out[monomial] + product if monomial in out else product
        return Poly({m: c if type(c) is int else tidy(c) for m, c in out.items() if c})

    def scale(self, factor: Number) -> Poly:
        """The polynomial times a number."""
        if factor is _UNIT:
            return self
        if not factor:
            return ZERO
        scaled = ((m, c * factor) for m, c in self.terms.items())
        return Poly({m: c if type(c) is int else tidy(c) for m, c in scaled})

    def __sub__(self, other: Poly) -> Poly:
        return self + other.scale(-1)

    def over(self, other: Poly) -> Number | None:
        """The number c for which this is c * `other`; None where there is none, or `other` is 0."""
        if not other.terms or self.terms.keys() != other.terms.keys():
            return None
        monomial = next(iter(other.terms))
        scale = Fraction(self.terms[monomial]) / other.terms[monomial]
        return tidy(scale) if other.scale(scale) == self else None

    def __repr__(self) -> str:
        return " + ".join(f"{c}*{m}" for m, c in sorted(self.terms.items())) or "0"


def tidy(number: Number) -> Number:
    """An integer as an int: arithmetic on those is many times faster."""
    return number.numerator if number.denominator == 1 else number


ZERO = Poly({})
ONE = Poly({(): 1})
