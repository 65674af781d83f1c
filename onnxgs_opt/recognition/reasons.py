"""Why something is no sampler, in words: which pixel has which weight, where, and what a sampler would give it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise, product

from onnxgs_opt.recognition.algebra.expression import Expr, walk
from onnxgs_opt.recognition.algebra.piecewise import Cell, Coordinate, Resolver, Unresolved
from onnxgs_opt.recognition.algebra.polynomial import ZERO, Monomial, Number, Poly
from onnxgs_opt.recognition.match import Axis, Miss
from onnxgs_opt.samplers.kernel import Kernel

FRACTIONS = {"x": "u", "y": "v", "z": "w"}
"""Letters of x - floor(x), and of the others, as docs/samplers.md has them."""

FEW = 5
"""Coordinates that are listed."""

LONGEST = 6
"""Terms of a polynomial that are written out."""

PLAIN = {
    "zeros": "0",
    "border": "the nearest pixel",
    "reflection": "the pixel mirrored at the outer one",
    "symmetric": "the pixel mirrored at the edge",
    "wrap": "the pixel of the image repeated",
}
"""What a border has outside the image."""


def either(borders: Iterable[str]) -> str:
    """What one of several borders would have outside the image."""
    return " or ".join(PLAIN[border] for border in borders)


def listed(words: Iterable[str]) -> str:
    """A list, its last two joined by "and"."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def quoted(names: Iterable[str]) -> str:
    """A list of names, in quotes."""
    return listed(f"'{name}'" for name in names)


def number(value: Number) -> str:
    """An integer, a short decimal fraction, or a quotient."""
    short = f"{float(value):g}"
    return short if Fraction(short) == value else str(value)


def source(leaf: Expr) -> str:
    """The tensor that a coordinate is an element of, with the constant parts of its index: `'grid'[..., 0]`."""
    name, index, sizes = leaf.args
    if len(index) != len(sizes):  # type: ignore[arg-type]
        return f"'{name}'"  # a broken model, whose ranks contradict each other
    parts = zip(index, sizes, strict=True)  # type: ignore[call-overload]
    places = [str(i.value) if i.value is not None and size > 1 else ":" for i, size in parts]
    if set(places[:-1]) <= {":"}:
        places = ["...", *(place for place in places[-1:] if place != ":")]
    return f"'{name}'" if places == ["..."] else f"'{name}'[{', '.join(places)}]"


def lettered(letters: str, leaves: Iterable[Expr]) -> str:
    """Where coordinates come from, which are called by letters: `x from 'a', y from 'b'`."""
    return ", ".join(f"{letter} from {source(leaf)}" for letter, leaf in zip(letters, leaves, strict=False))


def sources(coordinates: Sequence[Coordinate]) -> str:
    """How many coordinates there are, and where they come from."""
    told = [source(c.leaf) for c in coordinates[:FEW]]
    more = [f"{len(coordinates) - FEW} more"] if len(coordinates) > FEW else []
    return f"{len(coordinates)} coordinate{'s' * (len(coordinates) > 1)}, {listed([*told, *more])}"


def in_rows(column: Sequence[Poly], split: Sequence[int] | None, axis: str, size: int) -> str:
    """Why what stands in one axis is no rows of images, in words; "" where it is."""
    if split is not None and size % math.prod(split[1:]):
        rows = f"rows of {split[-1]}" + (f" in images of {math.prod(split[1:])}" if len(split) > 2 else "")
        return f"{axis} is read in {rows}, and {size} is no multiple of that"
    steps = steps_of(column)
    if split is None and any(large % small for small, large in pairwise(steps)):
        return f"{axis} is read in steps of {listed(map(str, steps))}, each of which would have to divide the next"
    return ""


def apart_along(columns: Mapping[int, Sequence[Poly]], floors: Sequence[Poly], image: str) -> str:
    """That the pixels along some axis of an image are no neighbours behind one floor, and which they are."""
    for axis, column in columns.items():
        for floor in floors:
            steps = {step for value in column if (step := (value - floor).constant) is not None}
            gap = max((after - before for before, after in pairwise(sorted(steps))), default=1)
            if len(steps) == len(set(column)) and gap > 1:
                return f"along axis {axis} of '{image}' it reads pixels that lie {gap} apart, and are no neighbours"
    return f"the pixels of '{image}' that it reads are not those around one point"


def steps_of(column: Sequence[Poly]) -> list[int]:
    """The whole numbers by which an index grows with each of what it is made of."""
    return sorted({abs(int(c)) for m, c in column[0] if m and c.denominator == 1})


def where(region: Iterable[Cell], letters: str) -> str:
    """A region of coordinates that are called by letters: `x = 39 and 0 <= y < 38`."""
    return " and ".join(cell.describe(letter) for cell, letter in zip(region, letters, strict=False))


def extent(region: Iterable[Cell]) -> int:
    """How many integers a region of bounded cells spans; unbounded ones and points are the least interesting."""
    return math.prod(width(cell) for cell in region)


def width(cell: Cell) -> int:
    """How many integers a bounded cell spans."""
    if cell.lo is None or cell.hi is None or cell.u_lo == cell.u_hi:
        return 0
    return cell.hi - cell.lo + 1


Row = tuple[Sequence[Cell], Poly, Mapping[tuple[str, ...], Poly]]
"""A region, what is computed there, and what each of some samplers has there, by its border along each axis."""


class Words:
    """Words for polynomials that a resolver gives, the coordinates being those of `axes`, called by `letters`."""

    def __init__(self, resolver: Resolver, axes: Sequence[Axis], letters: str, kernels: Sequence[Kernel]) -> None:
        self._resolver = resolver
        self._axes = axes
        self._letters = letters
        self._kernels = kernels

    @property
    def at(self) -> str:
        """Where the coordinates come from: `x from 'a', y from 'b'`."""
        return lettered(self._letters[::-1], (axis.leaf for axis in reversed(self._axes)))

    def where(self, region: Iterable[Cell]) -> str:
        """A region of the coordinates."""
        return where(region, self._letters)

    def first_difference(self, root: Expr, rows: Sequence[Row]) -> Miss:
        """Where `root` and the sampler that agrees on most regions differ, and how.

        Told is a region inside the image if they differ in one, else one that is outside along one axis only.
        """
        taps = math.prod(kernel.taps for kernel in self._kernels)
        wrong: dict[tuple[str, ...], list[Row]] = {}
        for row in rows:
            for sides, poly in row[2].items():
                wrong.setdefault(sides, []).extend((row,) if row[1] not in (poly, ZERO) else ())
        sides, others = min(wrong.items(), key=lambda item: len(item[1]))
        if not others:
            zero = [row for row in rows if not row[1] and any(row[2].values())]  # a single pixel may be outside as well
            region, *_ = max(zero, key=lambda row: (all(row[2].values()), *self._inside(row[0])))
            return Miss(f"it is 0 where {self.where(region)}, which is outside no known window", taps, "GSO107")
        region, actual, wanted = max(others, key=lambda row: self._inside(row[0]))
        pixel, how = self.difference(actual, wanted[sides])
        inside = self._inside(region)[0] == len(self._axes)
        beyond = "" if inside else f" if it is {PLAIN[sides[0]]} outside"
        about = None if pixel is None else self._read(root, pixel, region)
        code = "GSO101" if inside and all(width(cell) > 1 for cell in region) else "GSO103"
        return Miss(f"where {self.where(region)}, {how}{beyond}", taps, code, about=about)

    def _inside(self, region: Sequence[Cell]) -> tuple[int, int]:
        """Along how many axes all pixels of a sample in a region are in the image, and how large it is."""
        held = 0
        for cell, axis, kernel in zip(region, self._axes, self._kernels, strict=True):
            first, last = kernel.first, kernel.first + kernel.taps - 1
            known = cell.lo is not None and cell.hi is not None
            held += known and cell.lo + first >= 0 and cell.hi + last < axis.size  # type: ignore[operator]
        return held, extent(region)

    def _read(self, root: Expr, pixel: int, region: Sequence[Cell]) -> Expr | None:
        """The read that gives a pixel there."""
        reads = (e for e in walk((root,)) if e.is_read)
        return next((e for e in reads if self._gives(e, pixel, region)), None)

    def _gives(self, read: Expr, pixel: int, region: Sequence[Cell]) -> bool:
        try:
            return self._resolver.evaluate(read, region) == Poly.atom(pixel)
        except Unresolved:
            return False  # it counts for nothing there, and its index may be anywhere

    def difference(self, actual: Poly, wanted: Poly) -> tuple[int | None, str]:
        """The first pixel whose weight is another one, by its atom, and how; None where no pixel is."""
        ours, theirs = self._weights(actual), self._weights(wanted)
        for pixel in sorted({**ours, **theirs}, key=lambda atom: (atom is None, atom)):
            has, wants = ours.get(pixel, Poly({})), theirs.get(pixel, Poly({}))
            if has == wants:
                continue
            if pixel is None:
                return None, f"{self.sum(has)} is added to the pixels, and would have to be {self.sum(wants)}"
            if not has:
                return pixel, f"{self._pixel(pixel)} does not count, and would have to count {self._weight(wants)}"
            if not wants:
                return pixel, f"{self._pixel(pixel)} counts {self._weight(has)}, and would have to count for nothing"
            has_, wants_ = self._weight(has), self._weight(wants)
            return pixel, f"{self._pixel(pixel)} counts {has_}, and would have to count {wants_}"
        return None, "it computes something else"

    def _weights(self, poly: Poly) -> dict[int | None, Poly]:
        """By the atom of each pixel, the polynomial that it is multiplied by; what has no pixel is under None."""
        found: dict[int | None, dict[Monomial, Number]] = {}
        for monomial, coefficient in poly:
            pixels = [atom for atom in monomial if atom in self._resolver.elements]
            pixel = pixels[0] if pixels else None
            rest = list(monomial)
            if pixel is not None:
                rest.remove(pixel)
            found.setdefault(pixel, {})[tuple(rest)] = coefficient
        return {pixel: Poly(terms) for pixel, terms in found.items()}

    def _pixel(self, atom: int) -> str:
        _, values = self._resolver.elements[atom]
        places = (values[axis.position] for axis in self._axes if axis.position < len(values))
        return f"the pixel ({', '.join(map(self.sum, places))})"

    def _weight(self, poly: Poly) -> str:
        """A weight: a product of fractions where it is one, else a sum."""
        ways = [[(None, Poly.const(1)), *self._fractions(axis)] for axis in range(len(self._axes))]
        for factors in product(*ways):
            whole = Poly.const(1)
            for _, factor in factors:
                whole = whole * factor
            scale = poly.over(whole)
            if scale is not None:
                words = [word for word, _ in reversed(factors) if word is not None]
                return _product(scale, words)
        return self.sum(poly)

    def _fractions(self, axis: int) -> Iterator[tuple[str, Poly]]:
        letter, atom = FRACTIONS[self._letters[axis]], Poly.atom(2 * axis + 1)
        yield letter, atom
        yield f"(1-{letter})", Poly.const(1) - atom

    def sum(self, poly: Poly) -> str:
        """A polynomial, the terms of fewest atoms first, but for what is added to a floor."""
        floors = {2 * axis for axis in range(len(self._axes))}

        def rank(term: tuple[Monomial, Number]) -> tuple[bool, int, Monomial]:
            return not floors & set(term[0]), len(term[0]), term[0]

        terms = [_product(c, list(map(self._atom, reversed(monomial)))) for monomial, c in sorted(poly, key=rank)]
        if len(terms) > LONGEST:
            return "a longer sum"
        return " + ".join(terms).replace("+ -", "- ") or "0"

    def _atom(self, atom: int) -> str:
        if atom < 2 * len(self._axes):
            letter = self._letters[atom // 2]
            return FRACTIONS[letter] if atom % 2 else f"floor({letter})"
        if atom in self._resolver.elements:
            return self._pixel(atom)
        expr = self._resolver.apart.get(atom)
        return f"an element of {source(expr)}" if expr is not None and expr.op == "elem" else "another factor"


def _product(scale: Number, words: list[str]) -> str:
    """A number times what has these words."""
    if not words or abs(scale) != 1:
        words = [number(scale), *words]
    return "*".join(words) if scale != -1 or words == ["-1"] else "-" + "*".join(words)
