"""Prove that an expression is a sampler that is known, or say where it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from itertools import pairwise, permutations

from onnxgs_opt.recognition.algebra.expression import Algebra, Expr, walk
from onnxgs_opt.recognition.algebra.piecewise import Cell, Coordinate, Resolver, Unresolved, partitions
from onnxgs_opt.recognition.algebra.polynomial import Monomial, Number, Poly
from onnxgs_opt.recognition.coordinates import choosers, coordinates_of, domain, grids_of, in_indices, not_rounded
from onnxgs_opt.recognition.match import Axis, Match, Miss, Stage
from onnxgs_opt.recognition.periods import within_periods
from onnxgs_opt.recognition.proving import Interpolation, prove, sizes_of
from onnxgs_opt.recognition.reasons import (
    apart_along,
    in_rows,
    lettered,
    listed,
    quoted,
    source,
    sources,
    steps_of,
    where,
)
from onnxgs_opt.recognition.regions import MAX_PROOFS, ascends, first_of, in_order, taps_in
from onnxgs_opt.samplers.kernel import LINEAR, Kernel
from onnxgs_opt.samplers.sampler import Sampler

RECOGNISED = (Interpolation("bilinear", (LINEAR, LINEAR)),)


def recognise(
    algebra: Algebra,
    root: Expr,
    known: Sequence[Interpolation] = RECOGNISED,
    grids: bool = False,
    like: Sampler | None = None,
) -> Match | Miss:
    """Decide whether `root` is a `known` interpolation of one tensor at data-dependent coordinates.

    With `grids`, what is added to the floor of a tensor is added to the tensor: see `grids_of`. `like` is what it is at
    other sizes.
    """
    reads = reads_of(root)
    if isinstance(reads, Miss):
        return reads
    found = coordinates_of(algebra, reads)
    if isinstance(found, Miss):
        return replace(found, apart=found.apart or _is_nested(reads), stage=Stage.COORDINATES)
    fitting = [replace(kind, like=like) for kind in known if kind.axes == len(found)]
    if not fitting:
        counts = sorted({kind.axes for kind in known})
        free = choosers(root, found)
        if free and len(found) - len(free) in counts:
            condition = (
                f"which part of '{reads[0].args[0]}' is sampled is told by {listed(source(c.leaf) for c in free)}, "
                "and a sampler reads the item of a batch that it makes a sample of"
            )
            return Miss(condition, len(reads), apart=True, stage=Stage.COORDINATES)
        condition = f"where it reads depends on {sources(found)}, and bilinear sampling has {_either(counts)}"
        miss = Miss(condition, len(reads), degenerate=len(found) < counts[0], apart=len(found) > counts[-1])
        whole = not_rounded(algebra, reads) if miss.degenerate else None
        if whole is not None:
            miss = replace(miss, condition=whole.condition, about=whole.about, reported=whole.code)
        return replace(miss, stage=Stage.COORDINATES)
    beside = grids_of(algebra, reads)
    if grids:
        found = on_grids(algebra, found, beside)
    result = _match(algebra, root, found, fitting)
    if isinstance(result, Miss):
        around = [within_periods(root, coordinate) for coordinate in found]
        turning = result if around == found else _match(algebra, root, around, fitting)
        result = turning.saying(result) if isinstance(turning, Miss) and result.is_further(turning) else turning
    return replace(result, beside=True) if isinstance(result, Miss) and beside else result


def reads_of(root: Expr) -> list[Expr] | Miss:
    """The reads of an expression whose indices depend on data, which are all of one tensor."""
    reads = [e for e in walk((root,)) if e.is_read]
    if not reads:
        return Miss("every read is at a fixed place: no index depends on what an input holds", code="GSO111")
    names = sorted({str(r.args[0]) for r in reads})
    if len(names) > 1:
        condition = f"it adds up reads of {quoted(names)}, and a sampler reads one tensor"
        return Miss(condition, len(reads), "GSO104", apart=True)
    if len({len(r.args[1]) for r in reads}) > 1:  # type: ignore[arg-type]
        return Miss(f"one read of '{names[0]}' has more indices than another", len(reads), "GSO102", apart=True)
    return reads


def on_grids(algebra: Algebra, found: Sequence[Coordinate], beside: Mapping[Expr, Expr]) -> list[Coordinate]:
    """The coordinates with what is added to their floors."""
    return [replace(c, offset=algebra.add(c.offset, beside.get(c.leaf, algebra.zero))) for c in found]


def _is_nested(reads: Sequence[Expr]) -> bool:
    """Whether what one read gives says where another one reads."""
    return any(e.is_read for e in in_indices(reads))


def _either(numbers: Iterable[int]) -> str:
    return " or ".join(map(str, numbers))


def _match(algebra: Algebra, root: Expr, coordinates: list[Coordinate], known: Sequence[Interpolation]) -> Match | Miss:
    try:
        return _matched(algebra, root, coordinates, known)
    except Unresolved as reason:
        taps = sum(e.is_read for e in walk((root,)))
        return Miss.unresolved(reason, taps)


def _matched(
    algebra: Algebra, root: Expr, coordinates: list[Coordinate], known: Sequence[Interpolation]
) -> Match | Miss:
    rough = Resolver(coordinates, algebra.effort)
    kinds = {kind.taps: kind for kind in reversed(known)}
    counts = sorted(kinds)
    first = first_of(rough, root, coordinates)
    if first is not None and len(first[2]) > counts[-1]:
        return _uncommon(first[0], coordinates, len(first[2]), counts)
    identify = cache(partial(_identify, algebra, root, coordinates, rough))
    turning, tried = any(coordinate.reach for coordinate in coordinates), 0
    begins = first is not None and (turning or _is_inside(rough, root, first[0], coordinates))
    if first is not None and begins and (kind := kinds.get(len(first[2]))) is not None:
        with suppress(Unresolved):  # a match is proven on all regions, so that they need not be looked at before
            if isinstance(match := identify(kind, first[0]), Match):
                return match
    grid = partitions(rough, [domain(c) for c in coordinates], [root])
    seen: Miss | None = None
    regions = in_order(grid, coordinates)
    for region in regions if turning else _moving_first(rough, root, regions, coordinates):
        found = len(taps_in(rough, rough.evaluate(root, region)))
        if (kind := kinds.get(found)) is not None:
            result = identify(kind, region)
            tried += isinstance(result, Miss) and result.stage > Stage.CORNERS
            if isinstance(result, Match) or not turning or tried == MAX_PROOFS:
                return result
            seen = max((miss for miss in (seen, result) if miss), key=_telling)
            continue
        if seen is None or found > seen.taps:
            seen = _uncommon(region, coordinates, found, counts)
        if found > counts[-1]:
            break  # a sample takes as many pixels, wherever it is
    return seen or Miss("no region is read")


def _moving_first(
    rough: Resolver, root: Expr, regions: Sequence[tuple[Cell, ...]], coordinates: Sequence[Coordinate]
) -> list[tuple[Cell, ...]]:
    """The regions, but before a first one outside the image that which is inside: where each coordinate moves a pixel.

    Known bounds may leave more room outside than inside.
    """
    first = next((region for region in regions if _is_inside(rough, root, region, coordinates)), regions[0])
    return [first, *(region for region in regions if region is not first)]


def _is_inside(rough: Resolver, root: Expr, region: tuple[Cell, ...], coordinates: Sequence[Coordinate]) -> bool:
    """Whether each coordinate moves a pixel; not asked where none has known bounds."""
    if all(coordinate.leaf.lo is None or coordinate.leaf.hi is None for coordinate in coordinates):
        return True
    floors = {2 * axis for axis in range(len(coordinates))}
    taps = taps_in(rough, rough.evaluate(root, region))
    return floors <= {a for t in taps for value in rough.elements[t][1] for monomial, _ in value for a in monomial}


def _uncommon(region: Sequence[Cell], coordinates: Sequence[Coordinate], found: int, counts: Sequence[int]) -> Miss:
    at = f"{where(region, 'pqr')} ({lettered('pqr', (c.leaf for c in coordinates))})"
    condition = f"it adds up {found} pixels where {at}, and bilinear sampling adds up {_either(counts)}"
    return Miss(condition, found, stage=Stage.TAPS)


def _telling(miss: Miss) -> tuple[Stage, int]:
    """How much the miss of one region of a mirrored or repeated image says; in some one axis stands still."""
    return miss.stage, 0 if miss.split is None else len(miss.split[2])


def _identify(
    algebra: Algebra,
    root: Expr,
    coordinates: list[Coordinate],
    rough: Resolver,
    kind: Interpolation,
    region: tuple[Cell, ...],
) -> Match | Miss:
    """Name the image's axes from one region with all taps, then prove the rest."""
    poly = rough.evaluate(root, region)
    found = taps_in(rough, poly)
    elements = [rough.elements[t] for t in sorted(found)]
    image, columns = elements[0][0], list(zip(*(values for _, values in elements), strict=True))
    spatial = [axis for axis, column in enumerate(columns) if _varies(rough, column)]
    sizes = sizes_of(root, image)
    if len(spatial) != kind.axes:
        split = _linear(columns[spatial[0]], kind) if len(spatial) == 1 else None
        whole = None if split is None else (image, spatial[0], split)
        at = f"axis {spatial[0]} of '{image}'" if len(spatial) == 1 else ""
        condition = in_rows(columns[spatial[0]], split, at, sizes[spatial[0]]) if at else ""
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
    condition = apart_along({p: columns[p] for p in spatial}, floors, image)
    best = Miss(condition, kind.taps, "GSO102", stage=Stage.CORNERS)
    for order in permutations(range(kind.axes)):
        moved: list[Coordinate] = []
        for position, k in zip(spatial, order, strict=True):
            steps = [v - floors[k] for v in columns[position]]
            rises = partial(ascends, poly, sorted(found), steps, 2 * k + 1)
            moved += _moved(algebra, kind.kernels[0], coordinates[k], steps, rises)
        if len(moved) < kind.axes:
            continue
        axes = tuple(_axis(root, c, position, sizes[position]) for c, position in zip(moved, spatial, strict=True))
        result = prove(algebra, root, image, kind, axes, tuple(rest), affine)
        if isinstance(result, Match):
            return result
        best = result if result.stage else replace(result, stage=Stage.PROOF)
    return best


def _axis(root: Expr, coordinate: Coordinate, position: int, size: int) -> Axis:
    """An axis of the image; the offset of the coordinate is known by now, and so is where it is to be looked at."""
    own = coordinate if coordinate.reach is None else within_periods(root, replace(coordinate, reach=None))
    return Axis(own.leaf, own.slope, own.offset, position, size, own.reach)


def _varies(resolver: Resolver, column: Sequence[Poly]) -> bool:
    """Whether the reads' indices of one axis differ; of a single read, whether a coordinate moves its index."""
    return len(set(column)) > 1 if len(column) > 1 else resolver.moves(column[0])


def _moved(
    algebra: Algebra, kernel: Kernel, coordinate: Coordinate, steps: Sequence[Poly], rises: Callable[[], bool]
) -> list[Coordinate]:
    """The coordinate with the offset at which taps `steps` behind its floor are the kernel's; none where they are not.

    Of one whose image is mirrored or repeated, the weights of linear taps have to rise towards the one behind.
    """
    shifts = {step.constant for step in steps}
    if None in shifts or len(shifts) != kernel.taps:
        return []
    low, high = min(shifts), max(shifts)  # type: ignore[type-var]
    if high - low != kernel.taps - 1:  # type: ignore[operator]
        return []
    if coordinate.reach is not None and kernel is LINEAR and not rises():
        return []
    shift = algebra.num(low - kernel.first - kernel.shift)  # type: ignore[operator]
    return [replace(coordinate, offset=algebra.add(coordinate.offset, shift))]


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


def linear_split(column: Sequence[Poly], axes: int) -> tuple[int, ...] | None:
    """The sizes to split an axis into whose index is base * H * W + y * W + x; None when it is not that."""
    steps = steps_of(column)
    if len(steps) not in (axes, axes + 1) or steps[0] != 1:
        return None
    sizes = [large // small for small, large in pairwise(steps) if large % small == 0]
    return (-1, *reversed(sizes)) if len(sizes) == len(steps) - 1 else None


def _linear(column: tuple[Poly, ...], kind: Interpolation) -> tuple[int, ...] | None:
    offsets = {d for v in column if (d := (v - column[0]).constant) is not None}
    return linear_split(column, kind.axes) if len(offsets) == kind.taps else None
