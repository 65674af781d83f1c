"""Interpolations, and the proof that an expression is one whose coordinates and kernels are known."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from onnxgs_opt.recognition.algebra.expression import Algebra, Expr, walk
from onnxgs_opt.recognition.algebra.piecewise import Cell, Resolver, Split, Unresolved, partitions
from onnxgs_opt.recognition.algebra.polynomial import ZERO, Poly
from onnxgs_opt.recognition.coordinates import domain
from onnxgs_opt.recognition.fill import fill_of
from onnxgs_opt.recognition.match import Axis, Match, Miss, Stage
from onnxgs_opt.recognition.periods import repeats_so
from onnxgs_opt.recognition.reasons import Words, either, width
from onnxgs_opt.samplers.border import BORDER, BORDERS, CYLINDER, ZEROS, Border, borders_along
from onnxgs_opt.samplers.kernel import Kernel
from onnxgs_opt.samplers.sampler import AxisSpec, Sampler, candidates, taps

PERIODIC = tuple(border for border in BORDERS.values() if border.periodic)
AXES = "zyx"
Sides = tuple[str, ...]
"""The name of the border along each axis."""


@dataclass(frozen=True)
class Interpolation:
    """A kernel for each axis, and the borders that are tried with them.

    `narrow`: only with those that agree with what is proven on the lines through the middle of the image.
    `rounds`: of a cylinder too, where bounds of the columns' coordinate keep the proof finite.
    """

    name: str
    kernels: tuple[Kernel, ...]
    borders: tuple[Border, ...] = (ZEROS, BORDER)
    narrow: bool = False
    rounds: bool = False

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
    factor, root = affine[0], algebra.sub(root, affine[1])
    pixels = [axis.pixel(algebra) for axis in axes]
    size = [algebra.num(axis.size) for axis in axes]
    if min(axis.size for axis in axes) < 2:
        return _too_small(image, kind, axes)
    sizes = sizes_of(root, image)
    resolver = Resolver([axis.coordinate for axis in axes], algebra.effort)
    domains = [domain(axis.coordinate) for axis in axes]
    fill = fill_of(resolver, root, factor, domains)
    root = algebra.add(root, factor, -fill)

    def read(at: tuple[Expr, ...]) -> Expr:
        index = list(rest)
        for axis, i in zip(axes, at, strict=True):
            index[axis.position] = i
        pixel = algebra.elem(image, tuple(index), sizes=sizes)  # type: ignore[arg-type]
        return algebra.sub(pixel, algebra.num(fill))

    bounded = all(axis.is_bounded for axis in axes)
    turning = [border for border in PERIODIC if all(repeats_so(border, algebra, axis) for axis in axes)]
    borders = turning or [border for border in kind.borders if bounded or not border.periodic]
    first = {_sides(sampler): sampler for sampler in _tried(algebra, kind, axes, borders)}
    forms = {sides: algebra.mul(factor, taps(algebra, sampler, pixels, size, read)) for sides, sampler in first.items()}
    words = Words(resolver, axes, AXES[-kind.axes :], kind.kernels)
    like = f"it is like {kind.name} sampling of '{image}' ({words.at})"
    early = _differs_far_outside(resolver, root, forms, domains, words)
    if early is not None:
        return Miss(early, kind.taps, "GSO103", stage=Stage.OUTSIDE, like=like)
    if kind.narrow:
        forms = _agreeing(resolver, root, forms, domains)
        borders = [border for border in borders if kind.axes * (border.name,) in forms]
    if not forms:
        return Miss(f"it is no {kind.name} sampling of '{image}'", kind.taps, "GSO101", stage=Stage.PROOF)
    table = _Table(resolver, root, forms, partitions(resolver, domains, [root, *forms.values()]), brief=bool(turning))
    borders.sort(key=lambda border: bounded and border is not BORDER)  # which is told where all are equal
    for sampler in _tried(algebra, kind, axes, borders):
        conditions = [spec.window.condition(algebra, p, s) for spec, p, s in zip(sampler, pixels, size, strict=True)]
        if table.agrees(sampler, conditions):
            return Match(sampler, image, axes, rest, sizes, *affine, fill=fill, within=kind.rounds)
    return replace(table.first_difference(words), like=like)


def prove_or_round(
    algebra: Algebra,
    root: Expr,
    image: str,
    kind: Interpolation,
    axes: tuple[Axis, ...],
    rest: tuple[Expr | None, ...],
    affine: tuple[Expr, Expr],
) -> Match | Miss:
    """The same, also where the last column is before the first and the coordinate is kept to one turn."""
    result = prove(algebra, root, image, kind, axes, rest, affine)
    if isinstance(result, Match) or result.code != "GSO103" or not axes[-1].is_bounded:
        return result
    rounds = replace(kind, borders=(BORDERS["wrap"],), rounds=True)
    again = prove(algebra, root, image, rounds, axes, rest, affine)
    return again if isinstance(again, Match) else result


def _tried(algebra: Algebra, kind: Interpolation, axes: Sequence[Axis], borders: Sequence[Border]) -> Iterator[Sampler]:
    """Those with one of some borders, and that of a cylinder where only the columns' indices begin anew."""
    *others, last = axes
    rounds = borders_along(CYLINDER, len(axes))
    turns = kind.rounds or repeats_so(rounds[-1], algebra, last)
    round_ = not kind.narrow and others and not any(a.reach for a in others) and turns
    cylinder = [tuple(AxisSpec(kernel, border) for kernel, border in zip(kind.kernels, rounds, strict=True))]
    yield from cylinder if round_ and kind.rounds else ()
    yield from candidates(kind.kernels, borders)
    yield from cylinder if round_ and not kind.rounds else ()


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
        middle = [max(part, key=width) for part in axes]
        for axis, part in enumerate(axes):
            for cell in part:
                region = [*middle[:axis], cell, *middle[axis + 1 :]]
                actual = resolver.evaluate(root, region)
                for sides in list(kept) if actual else ():
                    if resolver.evaluate(forms[sides], region) != actual:
                        del kept[sides]
    except Split:
        return forms
    return kept


class _Table:
    """The polynomials of the root and of each border on every region, or up to the first difference where `brief`."""

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
            if brief and actual not in wanted.values():
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
    read = next(e for e in walk((root,)) if e.op == "elem" and e.args[0] == image and e.leaves != {e})
    sizes: tuple[int, ...] = read.args[2]  # type: ignore[assignment]
    return sizes
