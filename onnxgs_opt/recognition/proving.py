"""Interpolations, and the proof that an expression is one whose coordinates and kernels are known."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

from onnxgs_opt.recognition.algebra.cells import within
from onnxgs_opt.recognition.algebra.expression import Algebra, Expr, walk
from onnxgs_opt.recognition.algebra.piecewise import Cell, Resolver, Split, Unresolved, partitions
from onnxgs_opt.recognition.algebra.polynomial import ZERO, Poly
from onnxgs_opt.recognition.coordinates import domain
from onnxgs_opt.recognition.fill import fill_of
from onnxgs_opt.recognition.match import Axis, Match, Miss, Stage
from onnxgs_opt.recognition.periods import repeats_so
from onnxgs_opt.recognition.reasons import Words, either, width
from onnxgs_opt.samplers.border import BORDER, BORDERS, PERIODIC, ZEROS, Border
from onnxgs_opt.samplers.kernel import Kernel
from onnxgs_opt.samplers.sampler import AxisSpec, Sampler, candidates, taps

AXES = "zyx"
Sides = tuple[str, ...]
"""The name of the border along each axis."""


@dataclass(frozen=True)
class Interpolation:
    """A kernel for each axis, and the borders that are tried with them.

    `narrow`: only with those that agree with what is proven on the lines through the middle of the image. `like` is
    what it is at other sizes: of two rows a mirrored image is a repeated one, too.
    """

    name: str
    kernels: tuple[Kernel, ...]
    borders: tuple[Border, ...] = (ZEROS, BORDER)
    narrow: bool = False
    like: Sampler | None = None

    @property
    def several(self) -> tuple[Border, ...]:
        """The borders along the axes, where it has to have those and they are no one that is tried; else none."""
        borders = tuple(spec.border for spec in self.like or ())
        return borders if len(set(borders)) > 1 or not set(self.borders).issuperset(borders) else ()

    @property
    def axes(self) -> int:
        """Along how many axes it samples."""
        return len(self.kernels)

    @property
    def taps(self) -> int:
        """How many pixels a sample takes."""
        return math.prod(kernel.taps for kernel in self.kernels)

    @property
    def reads(self) -> str:
        """The reads in words."""
        return f"the {'four' if self.taps == 4 else self.taps} reads"


def prove(
    algebra: Algebra,
    root: Expr,
    image: str,
    kind: Interpolation,
    axes: tuple[Axis, ...],
    rest: tuple[Expr | None, ...],
    affine: tuple[Expr, Expr],
) -> Match | Miss:
    """Compare `root` with every candidate on every region, `affine` being the factor and the addend of the sample."""
    root = algebra.sub(root, affine[1])
    if min(axis.size for axis in axes) < 2:
        return _too_small(image, kind, axes)
    resolver = Resolver([axis.coordinate for axis in axes], algebra.effort)
    domains = [domain(axis.coordinate) for axis in axes]
    fill = fill_of(resolver, root, affine[0], domains)
    known = Match((), image, axes, rest, sizes_of(root, image), *affine, fill=fill)
    proof = _Proof(algebra, algebra.add(root, affine[0], -fill), kind, known, resolver, domains)
    known_ones = proof.of_several([kind.several]) if kind.several else None
    found = known_ones or proof.of_one_border()
    if not isinstance(found, Match) and kind.axes > 1:
        found = proof.of_several() or found
    return _less_turns(algebra, found) if isinstance(found, Match) else found


def _less_turns(algebra: Algebra, match: Match) -> Match:
    """The same sampler of coordinates that no whole turn of a repeated or mirrored image is added to."""

    def unturned(axis: Axis, turn: int) -> Axis:
        whole = turn * round(axis.offset.constant / turn) if turn else 0
        return replace(axis, offset=algebra.sub(axis.offset, algebra.num(whole))) if whole else axis

    along = zip(match.sampler, match.axes, strict=True)
    return replace(match, axes=tuple(unturned(axis, spec.turns(axis.size)) for spec, axis in along))


@dataclass(frozen=True)
class _Proof:
    """What is compared, `root`, and all of the sampler that is known before: `known` has none yet."""

    algebra: Algebra
    root: Expr
    kind: Interpolation
    known: Match
    resolver: Resolver
    domains: list[list[Cell]]

    @cached_property
    def _pixels(self) -> list[Expr]:
        return [axis.pixel(self.algebra) for axis in self.known.axes]

    @cached_property
    def _sizes(self) -> list[Expr]:
        return [self.algebra.num(axis.size) for axis in self.known.axes]

    @cached_property
    def _bounded(self) -> bool:
        """Whether all coordinates are bounded, so that no period is without end."""
        return all(axis.is_bounded for axis in self.known.axes)

    def _read(self, at: tuple[Expr, ...]) -> Expr:
        algebra, index = self.algebra, list(self.known.index)
        for axis, i in zip(self.known.axes, at, strict=True):
            index[axis.position] = i
        pixel = algebra.elem(self.known.image, tuple(index), sizes=self.known.sizes)  # type: ignore[arg-type]
        return algebra.sub(pixel, algebra.num(self.known.fill))

    def _form(self, sampler: Sampler) -> Expr:
        """What the root is, if it is the sampler and that has no window."""
        sample = taps(self.algebra, sampler, self._pixels, self._sizes, self._read)
        return self.algebra.mul(self.known.factor, sample)

    def _table(self, forms: dict[Sides, Expr], brief: bool) -> _Table:
        cells = partitions(self.resolver, self.domains, [self.root, *forms.values()])
        return _Table(self.resolver, self.root, forms, cells, brief)

    def of_one_border(self) -> Match | Miss:
        """The sampler whose border is the same along all axes, or why it is none."""
        kind, image, axes = self.kind, self.known.image, self.known.axes
        turning = [border for border in PERIODIC if all(repeats_so(border, self.algebra, axis) for axis in axes)]
        borders = turning or [border for border in kind.borders if self._bounded or not border.periodic]
        again = None if kind.like is None else self._again(kind.like, borders)
        if again is not None:
            return again
        first = {_sides(sampler): sampler for sampler in candidates(kind.kernels, borders)}
        forms = {sides: self._form(sampler) for sides, sampler in first.items()}
        words = Words(self.resolver, axes, AXES[-kind.axes :], kind.kernels)
        like = f"it is like {kind.name} sampling of '{image}' ({words.at})"
        early = _differs_far_outside(self.resolver, self.root, forms, self.domains, words)
        if early is not None:
            return Miss(early, kind.taps, "GSO103", stage=Stage.OUTSIDE, like=like)
        if kind.narrow:
            every, forms = forms, _agreeing(self.resolver, self.root, forms, self.domains)
            if not forms:
                return replace(self._on_lines(every, words), like=like, stage=Stage.PROOF)
            borders = [border for border in borders if kind.axes * (border.name,) in forms]
        table = self._table(forms, bool(turning))
        borders.sort(key=lambda border: self._bounded and border is not BORDER)  # which is told where all are equal
        first_like = sorted(candidates(kind.kernels, borders), key=lambda sampler: sampler != kind.like)
        for sampler in first_like:  # of two rows several are equal
            if table.agrees(sampler, self._windows(sampler)):
                return replace(self.known, sampler=sampler)
        return replace(table.first_difference(words), like=like)

    def _on_lines(self, forms: dict[Sides, Expr], words: Words) -> Miss:
        """Where none of the `forms` is the root on the lines through the middle of the image, in words."""
        plain = {sides: form for sides, form in forms.items() if sides[0] in (ZEROS.name, BORDER.name)} or forms
        roots = [self.root, *forms.values()]
        axes = [self.resolver.partition(axis, part, roots) for axis, part in enumerate(self.domains)]
        rows = []
        for region in _lines(axes):
            actual = self.resolver.evaluate(self.root, region)
            rows.append((region, actual, {sides: self.resolver.evaluate(e, region) for sides, e in plain.items()}))
        return words.first_difference(self.root, rows)

    def _again(self, sampler: Sampler, borders: Sequence[Border]) -> Match | None:
        """What it is at other sizes, which is mostly what it is here, too; None where that is not seen."""
        own = {spec.border for spec in sampler}
        if tuple(spec.kernel for spec in sampler) != self.kind.kernels or len(own) > 1 or not own.issubset(borders):
            return None
        try:
            table = self._table({_sides(sampler): self._form(sampler)}, True)
        except Unresolved:
            return None
        return replace(self.known, sampler=sampler) if table.agrees(sampler, self._windows(sampler)) else None

    def _windows(self, sampler: Sampler) -> list[Expr]:
        """Where the windows along the axes are open."""
        along = zip(sampler, self._pixels, self._sizes, strict=True)
        return [spec.window.condition(self.algebra, pixel, size) for spec, pixel, size in along]

    def of_several(self, ways: Iterable[tuple[Border, ...]] = ()) -> Match | None:
        """The sampler with a border along each axis, and no window; None where it is none, or that is not seen.

        Where nothing turns, a border that does is proven as far as bounds of the coordinate reach.
        """
        axes = self.known.axes
        try:
            for way in ways or self._ways():
                sampler = tuple(AxisSpec(kernel, own) for kernel, own in zip(self.kind.kernels, way, strict=True))
                tried = len(set(way)) == 1 and way[0] in self.kind.borders
                if not tried and self._table({_sides(sampler): self._form(sampler)}, True).agrees(sampler, ()):
                    ended = any(border.periodic and not axis.reach for border, axis in zip(way, axes, strict=True))
                    return replace(self.known, sampler=sampler, within=ended)
        except (Split, Unresolved):
            pass
        return None

    def _ways(self) -> Iterable[tuple[Border, ...]]:
        """The borders that fit along each axis by itself."""
        along: list[list[Border]] = []
        plain = self._form(tuple(AxisSpec(kernel, BORDER) for kernel in self.kind.kernels))
        middle = [self._in_the_middle(axis, (self.root, plain)) for axis in range(self.kind.axes)]
        if self.resolver.evaluate(self.root, middle) != self.resolver.evaluate(plain, middle):
            return ()  # whatever the borders are
        for axis in range(self.kind.axes):
            along.append(self._borders_of(axis))
            if not along[-1]:
                return ()
        return product(*along)

    def _borders_of(self, axis: int) -> list[Border]:
        """The borders that fit along one axis, on the line where all others are in the middle of the image."""
        own = self.known.axes[axis]
        turning = [border for border in PERIODIC if repeats_so(border, self.algebra, own)]
        every = turning or [border for border in BORDERS.values() if own.is_bounded or not border.periodic]
        every.sort(key=lambda border: own.is_bounded and border is not BORDER)  # which is told where all are equal
        forms = []
        for border in every:
            sides = [border if k == axis else BORDER for k in range(self.kind.axes)]
            forms.append(self._form(tuple(map(AxisSpec, self.kind.kernels, sides))))
        line = [self._in_the_middle(k, (self.root, *forms)) for k in range(self.kind.axes)]
        fitting = list(zip(every, forms, strict=True))
        for cell in self.resolver.partition(axis, self.domains[axis], (self.root, *forms)):
            region = [*line[:axis], cell, *line[axis + 1 :]]
            actual = self.resolver.evaluate(self.root, region)
            fitting = [(border, form) for border, form in fitting if self.resolver.evaluate(form, region) == actual]
        return [border for border, _ in fitting]

    def _in_the_middle(self, axis: int, roots: Sequence[Expr]) -> Cell:
        """A cell along an axis where no border is read, or one pixel of the last."""
        last = self.known.axes[axis].size - 2
        cells = [within(cell, 0, last) for cell in self.resolver.partition(axis, self.domains[axis], roots)]
        return max((cell for cell in cells if cell is not None), key=width, default=Cell())


def _too_small(image: str, kind: Interpolation, axes: Sequence[Axis]) -> Miss:
    is_, needs = (" x ".join(map(str, n)) for n in ([axis.size for axis in axes], [2] * kind.axes))
    return Miss(f"'{image}' is {is_}, and a sampler needs {needs} pixels", kind.taps, "GSO113")


def _sides(sampler: Sampler) -> Sides:
    return tuple(spec.border.name for spec in sampler)


def _differs_far_outside(
    resolver: Resolver, root: Expr, forms: dict[Sides, Expr], cells: Sequence[list[Cell]], words: Words
) -> str | None:
    """How, where `root` is no border's sample and not 0 beyond a corner of the image; a cheap look before the proof.

    The sum that a mask follows is mostly told from a sampler there.
    """
    roots = [root, *forms.values()]
    try:
        axes = [resolver.partition(axis, part, roots) for axis, part in enumerate(cells)]
        middle = [max(part, key=width) for part in axes]
        if resolver.evaluate(root, middle) != resolver.evaluate(roots[1], middle):
            return None  # the table tells more of what is wrong inside
        for region in product(*((part[0], part[-1]) for part in axes)):
            actual, *wanted = (resolver.evaluate(expr, region) for expr in roots)
            if actual not in (*wanted, ZERO):
                borders = dict.fromkeys(sides[0] for sides in forms)
                return f"where {words.where(region)}, it is {words.sum(actual)}, and would have to be {either(borders)}"
    except Split:
        return None
    return None


def _agreeing(
    resolver: Resolver, root: Expr, forms: dict[Sides, Expr], cells: Sequence[list[Cell]]
) -> dict[Sides, Expr]:
    """The forms that are the root, where it is not 0, on every line through the middle; all if these cannot be seen."""
    roots = [root, *forms.values()]
    kept = dict(forms)
    try:
        axes = [resolver.partition(axis, part, roots) for axis, part in enumerate(cells)]
        for region in _lines(axes):
            actual = resolver.evaluate(root, region)
            for sides in list(kept) if actual else ():
                if resolver.evaluate(forms[sides], region) != actual:
                    del kept[sides]
    except Split:
        return forms
    return kept


def _lines(axes: Sequence[Sequence[Cell]]) -> Iterator[list[Cell]]:
    """The regions on the lines along each axis that go through the middle of all others."""
    middle = [max(part, key=width) for part in axes]
    for axis, part in enumerate(axes):
        for cell in part:
            yield [*middle[:axis], cell, *middle[axis + 1 :]]


class _Table:
    """The polynomials of the root and of each border on every region.

    Where `brief`, up to the first at which the root is none of them, nor 0 as behind a closed window.
    """

    def __init__(
        self,
        resolver: Resolver,
        root: Expr,
        forms: dict[Sides, Expr],
        cells: tuple[list[Cell], ...],
        brief: bool,
    ) -> None:
        self._resolver = resolver
        self._root = root
        self._cells = cells
        self._rows: dict[tuple[int, ...], tuple[Poly, dict[Sides, Poly]]] = {}
        for place in product(*map(range, map(len, cells))):
            region = self._region(place)
            actual = resolver.evaluate(root, region)
            wanted = {sides: resolver.evaluate(e, region) for sides, e in forms.items()}
            self._rows[place] = actual, wanted
            if brief and actual not in (ZERO, *wanted.values()):
                break

    def _region(self, place: tuple[int, ...]) -> tuple[Cell, ...]:
        return tuple(part[k] for part, k in zip(self._cells, place, strict=True))

    def agrees(self, sampler: Sampler, conditions: Sequence[Expr]) -> bool:
        """Whether the sampler is the root on every region, `conditions` being those of its windows."""
        try:
            inside = [self._decided(axis, condition) for axis, condition in enumerate(conditions)]
        except (Split, Unresolved):
            return False  # the window changes inside a cell where the root does not
        sides = _sides(sampler)
        return all(
            actual == (wanted[sides] if all(map(list.__getitem__, inside, place)) else ZERO)
            for place, (actual, wanted) in self._rows.items()
        )

    def _decided(self, axis: int, condition: Expr) -> list[bool]:
        out = []
        for cell in self._cells[axis]:
            region = [cells[0] for cells in self._cells]
            region[axis] = cell
            out.append(bool(self._resolver.evaluate(condition, region)))
        return out

    def first_difference(self, words: Words) -> Miss:
        """Where the border that agrees on most regions differs, in words."""
        rows = [(self._region(place), *row) for place, row in self._rows.items()]
        return words.first_difference(self._root, rows)


def sizes_of(root: Expr, image: str) -> tuple[int, ...]:
    """The dims of the image, as the reads have them."""
    read = next(e for e in walk((root,)) if e.is_read and e.args[0] == image)
    sizes: tuple[int, ...] = read.args[2]  # type: ignore[assignment]
    return sizes
