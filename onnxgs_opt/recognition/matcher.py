"""Prove that an expression is a sampler that is known, or say where it is not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, permutations, product

from onnxgs_opt.recognition.algebra.expression import Algebra, Expr, walk
from onnxgs_opt.recognition.algebra.piecewise import Cell, Coordinate, Resolver, Split, Unresolved, partitions
from onnxgs_opt.recognition.algebra.polynomial import ZERO, Monomial, Number, Poly
from onnxgs_opt.recognition.coordinates import choosers, coordinates_of, domain, grids_of
from onnxgs_opt.recognition.fill import fill_of
from onnxgs_opt.recognition.match import Axis, Match, Miss, Stage
from onnxgs_opt.recognition.periods import repeats_so, within_periods
from onnxgs_opt.recognition.reasons import Words, either, extent, lettered, listed, quoted, source, sources, width
from onnxgs_opt.samplers.border import BORDER, BORDERS, ZEROS, Border
from onnxgs_opt.samplers.kernel import LINEAR, Kernel
from onnxgs_opt.samplers.sampler import Sampler, candidates, taps


@dataclass(frozen=True)
class Interpolation:
    """A kernel along so many axes, and the borders that are tried with it."""

    name: str
    kernel: Kernel
    axes: int
    borders: tuple[Border, ...] = (ZEROS, BORDER)

    @property
    def taps(self) -> int:
        """How many pixels a sample takes."""
        return math.prod([self.kernel.taps] * self.axes)

    @property
    def reads(self) -> str:
        """The reads in words."""
        return f"the {'four' if self.taps == 4 else self.taps} reads"


RECOGNISED = (Interpolation("bilinear", LINEAR, 2),)
PERIODIC = tuple(border for border in BORDERS.values() if border.periodic)
AXES = "zyx"
Sides = tuple[str, ...]
"""The name of the border along each axis."""


def recognise(
    algebra: Algebra, root: Expr, known: Sequence[Interpolation] = RECOGNISED, grids: bool = False
) -> Match | Miss:
    """Decide whether `root` is a `known` interpolation of one tensor at data-dependent coordinates.

    With `grids`, what is added to the floor of a tensor is added to the tensor: see `grids_of`.
    """
    reads = [e for e in walk((root,)) if e.op == "elem" and e.leaves != frozenset((e,))]
    if not reads:
        return Miss("every read is at a fixed place: no index depends on what an input holds", code="GSO111")
    names = sorted({str(r.args[0]) for r in reads})
    if len(names) > 1:
        condition = f"it adds up reads of {quoted(names)}, and a sampler reads one tensor"
        return Miss(condition, len(reads), "GSO104", apart=True)
    found = coordinates_of(algebra, reads)
    if isinstance(found, Miss):
        return replace(found, apart=_is_nested(reads), stage=Stage.COORDINATES)
    fitting = [kind for kind in known if kind.axes == len(found)]
    if not fitting:
        counts = sorted({kind.axes for kind in known})
        free = choosers(root, found)
        if free and len(found) - len(free) in counts:
            condition = (
                f"which part of {quoted(names)} is sampled is told by {listed(source(c.leaf) for c in free)}, and a "
                "sampler reads the item of a batch that it makes a sample of"
            )
            return Miss(condition, len(reads), apart=True, stage=Stage.TAPS)
        condition = f"where it reads depends on {sources(found)}, and a sampler has {_either(counts)}"
        miss = Miss(condition, len(reads), degenerate=len(found) < counts[0], apart=len(found) > counts[-1])
        return replace(miss, stage=Stage.COORDINATES)
    beside = grids_of(algebra, reads)
    if grids:
        found = [replace(c, offset=algebra.add(c.offset, beside.get(c.leaf, algebra.zero))) for c in found]
    result = _match(algebra, root, found, fitting)
    if isinstance(result, Miss):
        around = [within_periods(root, coordinate) for coordinate in found]
        result = result if around == found else _match(algebra, root, around, fitting)
    return replace(result, beside=True) if isinstance(result, Miss) and beside else result


def _is_nested(reads: Sequence[Expr]) -> bool:
    """Whether what one read gives says where another one reads."""
    indices = walk(tuple(i for read in reads for i in read.args[1]))  # type: ignore[attr-defined]
    return any(e.op == "elem" and e.leaves != frozenset((e,)) for e in indices)


def _either(numbers: Iterable[int]) -> str:
    return " or ".join(map(str, numbers))


def _match(algebra: Algebra, root: Expr, coordinates: list[Coordinate], known: Sequence[Interpolation]) -> Match | Miss:
    try:
        return _matched(algebra, root, coordinates, known)
    except Unresolved as reason:
        taps = sum(e.op == "elem" and e.leaves != frozenset((e,)) for e in walk((root,)))
        miss = Miss(str(reason), taps, reason.code, extents=reason.extents, stage=Stage.REGIONS)
        return replace(miss, about=reason.about)


def _matched(
    algebra: Algebra, root: Expr, coordinates: list[Coordinate], known: Sequence[Interpolation]
) -> Match | Miss:
    rough = Resolver(coordinates, algebra.effort)
    grid = partitions(rough, [domain(c) for c in coordinates], [root])
    counts = sorted(kind.taps for kind in known)
    seen: Miss | None = None
    for region in sorted(product(*grid), key=_place):
        poly = rough.evaluate(root, region)
        found = len(_taps(rough, poly))
        kind = next((kind for kind in known if kind.taps == found), None)
        if kind is not None:
            return _identify(algebra, root, kind, coordinates, rough, region, poly)
        if seen is None or found > seen.taps:
            at = f"{_where(region, 'pqr')} ({lettered('pqr', (c.leaf for c in coordinates))})"
            condition = f"it adds up {found} pixels where {at}, and a sampler adds up {_either(counts)}"
            seen = Miss(condition, found, stage=Stage.TAPS)
        if found > counts[-1]:
            break  # a sample takes as many pixels, wherever it is
    return seen or Miss("no region is read")


def _where(region: Sequence[Cell], names: str) -> str:
    return " and ".join(cell.describe(name) for cell, name in zip(region, names, strict=False))


def _place(region: Sequence[Cell]) -> tuple[int, int]:
    """Wide regions first; of mirror images, and of repeated ones, that which begins at pixel 0."""
    return -extent(region), sum(abs(cell.lo) for cell in region if cell.lo is not None)


def _taps(resolver: Resolver, poly: Poly) -> set[int]:
    return {a for monomial, _ in poly for a in monomial if a in resolver.elements}


def _identify(
    algebra: Algebra,
    root: Expr,
    kind: Interpolation,
    coordinates: list[Coordinate],
    rough: Resolver,
    region: tuple[Cell, ...],
    poly: Poly,
) -> Match | Miss:
    """Name the image's axes from one region with all taps, where `root` is `poly`, then prove the rest."""
    found = _taps(rough, poly)
    elements = [rough.elements[t] for t in sorted(found)]
    image, columns = elements[0][0], list(zip(*(values for _, values in elements), strict=True))
    spatial = [axis for axis, column in enumerate(columns) if _varies(rough, column)]
    sizes = _sizes(root, image)
    if len(spatial) != kind.axes:
        split = _linear(columns[spatial[0]], kind) if len(spatial) == 1 else None
        whole = None if split is None else (image, spatial[0], split)
        at = f"axis {spatial[0]} of '{image}'" if len(spatial) == 1 else ""
        condition = _rows(columns[spatial[0]], split, at, sizes[spatial[0]]) if at else ""
        condition = (
            condition or f"{kind.reads} differ along {len(spatial)} of the axes of '{image}', and not {kind.axes}"
        )
        return Miss(condition, kind.taps, "GSO102", whole, stage=Stage.CORNERS)
    rest: list[Expr | None] = []
    for axis, column in enumerate(columns):
        plain = None if axis in spatial else rough.index_expr(algebra, column[0])
        if axis not in spatial and plain is None:
            condition = f"axis {axis} of '{image}' is read neither at one index nor along an axis of the output"
            return Miss(condition, kind.taps, "GSO108", stage=Stage.CORNERS)
        rest.append(plain)
    affine = outside(algebra, rough, poly, found)
    floors = [rough.floor_of(axis, cell) for axis, cell in enumerate(region)]
    best = Miss(f"{kind.reads} are not the corners around the coordinate", kind.taps, "GSO102", stage=Stage.CORNERS)
    for order in permutations(range(kind.axes)):
        axes: list[Axis] = []
        for position, k in zip(spatial, order, strict=True):
            offset = _offset(algebra, kind.kernel, coordinates[k], [v - floors[k] for v in columns[position]])
            if offset is not None:
                own = replace(coordinates[k], offset=offset, reach=None)
                reach = None if coordinates[k].reach is None else within_periods(root, own).reach
                axes.append(Axis(own.leaf, own.slope, offset, position, sizes[position], reach))
        if len(axes) < kind.axes:
            continue
        result = _prove(algebra, root, image, kind, tuple(axes), tuple(rest), affine)
        if isinstance(result, Match):
            return result
        best = result if result.stage else replace(result, stage=Stage.PROOF)
    return best


def _varies(resolver: Resolver, column: Sequence[Poly]) -> bool:
    """Whether the reads' indices of one axis differ; of a single read, whether a coordinate moves its index."""
    return len(set(column)) > 1 if len(column) > 1 else resolver.moves(column[0])


def _offset(algebra: Algebra, kernel: Kernel, coordinate: Coordinate, steps: Sequence[Poly]) -> Expr | None:
    """The offset of the pixel coordinate whose taps are `steps` behind a floor; None where they are no kernel's."""
    shifts = {step.constant for step in steps}
    if None in shifts or len(shifts) != kernel.taps:
        return None
    low, high = min(shifts), max(shifts)  # type: ignore[type-var]
    if high - low != kernel.taps - 1:  # type: ignore[operator]
        return None
    return algebra.add(coordinate.offset, algebra.num(low - kernel.first - kernel.shift))  # type: ignore[operator]


def outside(algebra: Algebra, resolver: Resolver, poly: Poly, taps: set[int]) -> tuple[Expr, Expr]:
    """The factor and the addend that the sum of all taps has if it is a sampler's: `factor` * sample + `addend`.

    The weights of the taps add up to 1 without the coordinates. What the coordinates have a part in is none of either;
    then the factor is 1 and the addend 0.
    """
    first: dict[Monomial, Number] = {}
    rest: dict[Monomial, Number] = {}
    for monomial, coefficient in poly:
        others = tuple(atom for atom in monomial if atom not in taps)
        if len(others) == len(monomial):
            rest[monomial] = coefficient
        elif len(others) == len(monomial) - 1 and all(atom in resolver.apart for atom in others):
            first[others] = first.get(others, 0) + coefficient
    factor = resolver.expr_of(algebra, Poly({m: c for m, c in first.items() if c}))
    addend = resolver.expr_of(algebra, Poly(rest))
    plain = factor is None or factor.value == 0 or addend is None
    return (algebra.one, algebra.zero) if plain else (factor, addend)  # type: ignore[return-value]


def _prove(
    algebra: Algebra,
    root: Expr,
    image: str,
    kind: Interpolation,
    axes: tuple[Axis, ...],
    rest: tuple[Expr | None, ...],
    affine: tuple[Expr, Expr],
) -> Match | Miss:
    """Compare `root` with every candidate on every region, `affine` being the factor and the addend of the sample."""
    factor, addend = affine
    root = algebra.sub(root, addend)
    pixels = [axis.pixel(algebra) for axis in axes]
    size = [algebra.num(axis.size) for axis in axes]
    if min(axis.size for axis in axes) < 2:
        is_, needs = (" x ".join(map(str, n)) for n in ([axis.size for axis in axes], [2] * kind.axes))
        return Miss(f"'{image}' is {is_}, and a sampler needs {needs} pixels", kind.taps, "GSO113")
    sizes = _sizes(root, image)
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

    bounded = all(axis.leaf.lo is not None and axis.leaf.hi is not None for axis in axes)
    turning = [border for border in PERIODIC if all(repeats_so(border, algebra, axis) for axis in axes)]
    borders = [*(border for border in kind.borders if bounded or not border.periodic), *turning]
    first = {_sides(sampler): sampler for sampler in candidates(kind.kernel, kind.axes, borders)}
    forms = {sides: algebra.mul(factor, taps(algebra, sampler, pixels, size, read)) for sides, sampler in first.items()}
    words = Words(resolver, axes, AXES[-kind.axes :], kind.kernel)
    like = f"it is like {kind.name} sampling of '{image}' ({words.at})"
    early = _differs_far_outside(resolver, root, forms, domains, words)
    if early is not None:
        return Miss(early, kind.taps, "GSO103", stage=Stage.OUTSIDE, like=like)
    table = _Table(resolver, root, kind, forms, partitions(resolver, domains, [root, *forms.values()]))
    borders.sort(key=lambda border: bounded and border is not BORDER)  # which is told where all are equal
    for sampler in candidates(kind.kernel, kind.axes, borders):
        conditions = [spec.window.condition(algebra, p, s) for spec, p, s in zip(sampler, pixels, size, strict=True)]
        if table.agrees(sampler, conditions):
            return Match(sampler, image, axes, rest, sizes, factor, addend, fill=fill)
    return replace(table.first_difference(words), like=like)


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


class _Table:
    """The root's and each border's polynomial on every region."""

    def __init__(
        self,
        resolver: Resolver,
        root: Expr,
        kind: Interpolation,
        forms: dict[Sides, Expr],
        cells: tuple[list[Cell], ...],
    ) -> None:
        self._resolver = resolver
        self._root = root
        self._kind = kind
        self._cells = cells
        self._rows: dict[tuple[int, ...], tuple[Poly, dict[Sides, Poly]]] = {}
        for place in product(*map(range, map(len, cells))):
            region = self._region(place)
            actual = resolver.evaluate(root, region)
            self._rows[place] = actual, {sides: resolver.evaluate(e, region) for sides, e in forms.items()}

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


def _rows(column: Sequence[Poly], split: Sequence[int] | None, axis: str, size: int) -> str:
    """Why what stands in one axis is no rows of images, in words; "" where it is."""
    if split is not None and size % math.prod(split[1:]):
        rows = f"rows of {split[-1]}" + (f" in images of {math.prod(split[1:])}" if len(split) > 2 else "")
        return f"{axis} is read in {rows}, and {size} is no multiple of that"
    steps = _steps(column)
    if split is None and any(large % small for small, large in pairwise(steps)):
        return f"{axis} is read in steps of {listed(map(str, steps))}, each of which would have to divide the next"
    return ""


def _steps(column: Sequence[Poly]) -> list[int]:
    return sorted({abs(int(c)) for m, c in column[0] if m and c.denominator == 1})


def _linear(column: tuple[Poly, ...], kind: Interpolation) -> tuple[int, ...] | None:
    """The sizes to split an axis into whose index is base * H * W + y * W + x; None when it is not that."""
    steps = _steps(column)
    offsets = {d for v in column if (d := (v - column[0]).constant) is not None}
    if len(offsets) != kind.taps or len(steps) not in (kind.axes, kind.axes + 1) or steps[0] != 1:
        return None
    sizes = [large // small for small, large in pairwise(steps) if large % small == 0]
    return (-1, *reversed(sizes)) if len(sizes) == len(steps) - 1 else None


def _sizes(root: Expr, image: str) -> tuple[int, ...]:
    """The dims of the image, as the reads have them."""
    read = next(e for e in walk((root,)) if e.op == "elem" and e.args[0] == image and e.leaves != {e})
    sizes: tuple[int, ...] = read.args[2]  # type: ignore[assignment]
    return sizes
