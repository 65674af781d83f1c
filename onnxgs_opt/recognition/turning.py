"""Samplers of any kernel in images that are mirrored or repeated, proven axis by axis.

An index along one axis hangs on one coordinate. It is compared with what a border makes of a tap, on all floors that
stand for all (`periods`). Where every index is a tap's, a read is the pixel of one tap along each axis, and what is
left to compare are the weights: with a symbol for each pixel both sums are polynomials of the fractions. Regions of
several coordinates, of which a mirrored image has thousands, are not looked at. Along an axis that does not turn beside
one that does, the symbol has the index that is read, and is compared on all regions of that axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, reduce
from itertools import product

from onnxgs_opt.recognition.algebra.expression import Algebra, Expr, children, walk
from onnxgs_opt.recognition.algebra.piecewise import Cell, Coordinate, Resolver, partitions
from onnxgs_opt.recognition.coordinates import domain, pieces
from onnxgs_opt.recognition.match import Axis, Match
from onnxgs_opt.recognition.matcher import outside
from onnxgs_opt.recognition.periods import reach_of
from onnxgs_opt.samplers.border import BORDER, PERIODIC, ZEROS, Border
from onnxgs_opt.samplers.kernel import HALF, Kernel
from onnxgs_opt.samplers.sampler import AxisSpec, Sampler

FIRST_TAPS = range(-3, 4)
"""How far the first pixel of a sample may be from a floor where no floor is so far inside that all pixels are."""

MAX_GUESSES = 9
"""Ways to count the taps that are tried with a border: of an image of two rows many fit."""

WIDTHS, SMALLEST = (1, 2, 4), 2
"""Pixels that kernels take along an axis; those that a sampler needs along one."""

Steps = frozenset[int]
"""What is added to the floor of a coordinate, or to the rounded coordinate, for each pixel along an axis."""

Guess = tuple[Border, Steps]


@dataclass(frozen=True)
class Turned:
    """The indices along one axis of the image, `position`, and the coordinate that they turn with.

    `rounds`: they are made of the rounded coordinate, not of its floor. `steps` are its taps if it does not turn, as
    far as that is known.
    """

    position: int
    coordinate: Coordinate
    indices: tuple[Expr, ...]
    rounds: bool
    steps: Steps | None = None
    resolvers: dict[Coordinate, Resolver] = field(default_factory=dict, compare=False, repr=False)

    def guesses(self, algebra: Algebra, size: int) -> Iterator[tuple[Border, Steps]]:
        """Borders and taps that fit at the ends of all cells of floors; where there is no end of these, the others."""
        if self.steps is not None and reach_of(self.indices, self.coordinate) is None:
            yield from ((border, self.steps) for border in (BORDER, ZEROS))
            return
        places = self._places(algebra)
        lows = {min(pixels) - floor for floor, pixels in places.items()}  # inside the image, where it is not mirrored
        # Of an image of less pixels than taps some indices are the same.
        widths = [w for w in WIDTHS if w == len(self.indices) or len(self.indices) < w > size]
        for border, width in product(PERIODIC, widths if places and size >= SMALLEST else ()):
            for low in lows.union(FIRST_TAPS):
                steps = range(low, low + width)
                if all(pixels == {_pixel(border, f + step, size) for step in steps} for f, pixels in places.items()):
                    yield border, frozenset(steps)

    def _places(self, algebra: Algebra) -> Mapping[int, set[int]]:
        """The pixels that are read, by the floor of the coordinate."""
        resolver, cells = self._on_all_floors(algebra, self.coordinate, self.indices)
        found: dict[int, set[int]] = {}
        for cell in cells:
            if cell.u_lo == cell.u_hi or (self.rounds and cell.u_lo >= HALF):
                continue
            for floor in (cell.lo, cell.hi):
                here = (replace(cell, lo=floor, hi=floor),)
                at = [resolver.evaluate(index, here).constant for index in self.indices]
                if floor is not None and None not in at:
                    found[floor] = {int(pixel) for pixel in at if pixel is not None}
        return found

    def read_by(self, algebra: Algebra, axis: Axis, taps: Sequence[Expr]) -> dict[Expr, int] | None:
        """For each index, and for each of the `taps`, the number of the first tap that is the same everywhere.

        None where an index is no tap, or a tap no index.
        """
        every = (*self.indices, *taps)
        resolver, cells = self._on_all_floors(algebra, axis.coordinate, every)
        rows = [tuple(resolver.evaluate(index, (cell,)) for cell in cells) for index in every]
        known = rows[len(self.indices) :]
        if not cells or set(rows[: len(self.indices)]) != set(known):
            return None
        return {index: known.index(row) for index, row in zip(every, rows, strict=True)}

    def _on_all_floors(
        self, algebra: Algebra, coordinate: Coordinate, indices: Sequence[Expr]
    ) -> tuple[Resolver, Sequence[Cell]]:
        """The cells of a coordinate that stand for all, none where the indices begin never anew, and their resolver.

        Of each coordinate there is one: every guess asks for the same indices.
        """
        reach = reach_of(indices, coordinate)
        own = replace(coordinate, reach=reach)
        resolver = self.resolvers.setdefault(own, Resolver([own], algebra.effort))
        return resolver, [] if reach is None else partitions(resolver, [[Cell(reach.lo, reach.hi)]], indices)[0]


@lru_cache(maxsize=4096)
def _pixel(border: Border, tap: int, size: int) -> int:
    """The pixel that a tap reads."""
    algebra = Algebra()
    pixel = border.index(algebra, algebra.num(tap), algebra.num(size - 1))[0].value
    assert isinstance(pixel, int)
    return pixel


def _far(steps: Steps) -> tuple[int, bool]:
    """How far the taps are from where a kernel has them: from the floor on, and of four one before; rather behind."""
    beyond = min(steps) + (len(steps) - 1) // 2
    return abs(beyond), beyond < 0


def turned_along(
    algebra: Algebra,
    found: Sequence[Coordinate],
    columns: Mapping[int, Sequence[Expr]],
    steps: Mapping[int, Steps],
) -> list[Turned] | None:
    """What the indices of each axis in `columns` turn with; None where one hangs on more than one coordinate.

    `steps` are the taps along axes that may not turn.
    """
    by_leaf = {frozenset((c.leaf,)): c for c in found}
    out = []
    for position, column in columns.items():
        coordinate = by_leaf.get(column[0].leaves)
        if coordinate is None or any(index.leaves != column[0].leaves for index in column):
            return None
        rounds = any(e.op == "round" and pieces(algebra, e.args[0]) for e in walk(column))  # type: ignore[arg-type]
        out.append(Turned(position, coordinate, tuple(dict.fromkeys(column)), rounds, steps.get(position)))
    return out if len({turned.coordinate.leaf for turned in out}) == len(found) else None


@dataclass(frozen=True)
class Turning:
    """An expression, `root`, all whose reads are of one image, and what they turn with along the axes that turn.

    `rest` is the index of every other axis of the image, `sizes` are those of all.
    """

    root: Expr
    image: str
    turned: Sequence[Turned]
    rest: tuple[Expr | None, ...]
    sizes: tuple[int, ...]

    def guesses(self, algebra: Algebra, like: Sampler | None) -> Iterator[tuple[Guess, ...]]:
        """Borders and taps along each axis that fit where the floors are near the borders of the image."""
        along = [list(turned.guesses(algebra, self.sizes[turned.position])) for turned in self.turned]
        fitting = []
        for way in product(*along):
            borders, widths = tuple(border for border, _ in way), [len(steps) for _, steps in way]
            known = like is None or (borders, widths) == (_borders(like), [spec.kernel.taps for spec in like])
            if known and widths != [2, 2] and any(border.periodic for border in borders):  # two by two is `matcher`'s
                fitting.append(way)
        likely = sorted(fitting, key=lambda way: [sum(part) for part in zip(*(_far(s) for _, s in way), strict=True)])
        for only in (*PERIODIC, None):  # those that differ at last
            yield from [way for way in likely if _one_border(way) is only][:MAX_GUESSES]

    def proven(
        self, algebra: Algebra, axes: tuple[Axis, ...], kernels: Sequence[Kernel], borders: Sequence[Border]
    ) -> Match | None:
        """The sampler of these kernels and borders at the coordinates of `axes`; None where `root` is another."""
        pixels: list[dict[Expr, int] | None] = []
        taps: list[list[tuple[Expr, Expr, Expr]]] = []
        for axis, kernel, border, turned in zip(axes, kernels, borders, self.turned, strict=True):
            last = algebra.num(axis.size - 1)
            every = [(*border.index(algebra, i, last), w) for i, w in kernel.at(algebra, axis.pixel(algebra))]
            number = turned.read_by(algebra, axis, [index for index, _, _ in every]) if border.periodic else None
            if border.periodic and number is None:
                return None
            pixels.append(number)
            taps.append([(_numbered(algebra, number, index), inside, w) for index, inside, w in every])
        sample = algebra.zero
        for corner in product(*taps):
            indices, inside, weights = zip(*corner, strict=True)
            value = algebra.mul(reduce(algebra.mul, weights), self._symbol(algebra, pixels, indices))
            sample = algebra.add(sample, algebra.select(reduce(algebra.mul, inside), value, algebra.zero))
        affine = self._compared(algebra, axes, self._with_symbols(algebra, pixels), sample)
        if affine is None:
            return None
        sampler = tuple(map(AxisSpec, kernels, borders))
        axes = tuple(replace(a, turns=spec.turns(a.size)) for spec, a in zip(sampler, axes, strict=True))
        return Match(sampler, self.image, axes, self.rest, self.sizes, *affine)

    def _symbol(self, algebra: Algebra, pixels: Sequence[Mapping[Expr, int] | None], indices: tuple[Expr, ...]) -> Expr:
        """What stands for the pixel of a tap along each axis that turns, and of an index along each other one.

        An axis that turns may have fewer pixels than a sample has taps along it.
        """
        along = zip(self.turned, pixels, strict=True)
        sizes = tuple(self.sizes[turned.position] if number is None else WIDTHS[-1] for turned, number in along)
        return algebra.elem(f"{self._symbols}{sizes}", indices, sizes=sizes)

    @property
    def _symbols(self) -> str:
        """How the names of all tensors of symbols begin: which axes turn tells their sizes."""
        return f"{self.image}\0tap"

    def _with_symbols(self, algebra: Algebra, pixels: Sequence[Mapping[Expr, int] | None]) -> Expr:
        """The root with the symbol of its pixel for each read."""
        made: dict[Expr, Expr] = {}
        for expr in walk((self.root,)):
            below = children(expr)
            if expr.is_read:
                index = [expr.args[1][turned.position] for turned in self.turned]  # type: ignore[index]
                known = zip(pixels, index, strict=True)
                made[expr] = self._symbol(algebra, pixels, tuple(_numbered(algebra, number, i) for number, i in known))
            elif all(made[part] is part for part in below):
                made[expr] = expr
            else:
                made[expr] = algebra.copied(expr, made, {})
        return made[self.root]

    def _compared(self, algebra: Algebra, axes: tuple[Axis, ...], root: Expr, sample: Expr) -> tuple[Expr, Expr] | None:
        """The factor and the addend that make the `root` of the `sample`; None where none do."""
        resolver = Resolver([replace(axis.coordinate, reach=None) for axis in axes], algebra.effort)
        cells = partitions(resolver, [domain(replace(axis.coordinate, reach=None)) for axis in axes], [root, sample])
        rows = [tuple(resolver.evaluate(expr, region) for expr in (root, sample)) for region in product(*cells)]
        symbols = [{a for m, _ in total for a in m if self._is_symbol(resolver, a)} for total, _ in rows]
        fullest = max(range(len(rows)), key=lambda k: len(symbols[k]))
        affine = outside(algebra, resolver, rows[fullest][0], symbols[fullest])
        for region, (total, wanted) in zip(product(*cells), rows, strict=True):
            factor, addend = (resolver.evaluate(expr, region) for expr in affine)
            if total != factor * wanted + addend:
                return None
        return affine

    def _is_symbol(self, resolver: Resolver, atom: int) -> bool:
        expr, (tensor, _) = resolver.apart.get(atom), resolver.elements.get(atom, ("", ()))
        name = expr.args[0] if expr is not None and expr.op == "elem" else tensor
        return str(name).startswith(self._symbols)


def _numbered(algebra: Algebra, number: Mapping[Expr, int] | None, index: Expr) -> Expr:
    """The number of the tap that an index is; itself along an axis that does not turn."""
    return index if number is None else algebra.num(number[index])


def _borders(sampler: Sampler) -> tuple[Border, ...]:
    return tuple(spec.border for spec in sampler)


def _one_border(way: Sequence[Guess]) -> Border | None:
    """The border of all axes; None where they differ."""
    first, *others = (border for border, _ in way)
    return first if all(border is first for border in others) else None
