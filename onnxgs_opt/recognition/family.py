"""Samplers of every kernel along one to three axes: the reads' indices say which it may be, the proof which it is.

An index is a floor or a rounded coordinate and a number. Where an axis of the image has one such number, the sample
takes one pixel along it; where it has two or four, it is linear or cubic. Unlike in `matcher`, no region has to show
all pixels: of an image of two rows none does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

from onnxgs_opt.recognition.algebra.cells import within
from onnxgs_opt.recognition.algebra.expression import ROUNDINGS, Algebra, Expr, masked
from onnxgs_opt.recognition.algebra.piecewise import Coordinate, Resolver, Unresolved
from onnxgs_opt.recognition.algebra.polynomial import Number, tidy
from onnxgs_opt.recognition.coordinates import coordinates_of, domain, grids_of, pieces
from onnxgs_opt.recognition.match import Axis, Match, Miss, Stage
from onnxgs_opt.recognition.matcher import linear_split, on_grids, outside, reads_of
from onnxgs_opt.recognition.periods import within_periods
from onnxgs_opt.recognition.proving import Interpolation, prove, sizes_of
from onnxgs_opt.recognition.reasons import sources
from onnxgs_opt.recognition.regions import fullest
from onnxgs_opt.recognition.turning import WIDTHS, Steps, Turning, turned_along
from onnxgs_opt.samplers.border import BORDERS
from onnxgs_opt.samplers.kernel import CUBICS, FLOOR, LINEAR, TIES, Kernel
from onnxgs_opt.samplers.kernel import half_even as to_even
from onnxgs_opt.samplers.sampler import Sampler

MAX_AXES = 3


@dataclass(frozen=True)
class _Along:
    """An axis of the image, the coordinate that moves along it, and the pixels behind its floor."""

    position: int
    coordinate: Coordinate
    steps: Steps
    rounds: bool


def recognise_any(algebra: Algebra, root: Expr, grids: bool = False, like: Sampler | None = None) -> Match | Miss:
    """Decide whether `root` samples one tensor by any kernel along one to three axes; see `matcher.recognise`.

    `like` is what it is at other sizes: of two rows a mirrored image is a repeated one, too, and where windows of two
    pixels begin no coordinate says.
    """
    reads = reads_of(root)
    if isinstance(reads, Miss):
        return replace(reads, degenerate=like is not None and reads.code == "GSO111")
    found = coordinates_of(algebra, reads)
    if isinstance(found, Miss):
        return found
    if like is not None and len(found) < len(like):
        return Miss(f"the reads depend on {len(found)} of {len(like)} coordinates", len(reads), degenerate=True)
    if any(c.leaf.integral and (c.slope == 1 or len(reads) == 1) for c in found):
        return Miss("what is rounded is an integer, no coordinate", len(reads))
    if len(found) > MAX_AXES:
        return Miss(f"the reads depend on {len(found)} coordinates", len(reads), apart=True)
    beside = grids_of(algebra, reads)
    try:
        result = _match(algebra, root, reads, on_grids(algebra, found, beside) if grids else found, like)
    except Unresolved as reason:
        result = Miss.unresolved(reason, len(reads))
    if isinstance(result, Miss) and len(found) > 1:  # along one axis it may look any number up in a table
        result = replace(result, stage=max(result.stage, Stage.TAPS))
    return replace(result, beside=True) if isinstance(result, Miss) and beside else result


def _match(
    algebra: Algebra, root: Expr, reads: Sequence[Expr], found: Sequence[Coordinate], like: Sampler | None
) -> Match | Miss:
    image, count = str(reads[0].args[0]), len(reads)
    indices = [read.args[1] for read in reads]
    spatial = [axis for axis, column in enumerate(zip(*indices, strict=True)) if any(i.leaves for i in column)]
    if len(spatial) != len(found):
        split = _split_of(algebra, root, reads, found) if len(spatial) == 1 and len(found) > 1 else None
        whole = None if split is None else (image, spatial[0], split)
        several = f"{len(spatial)} of the axes of '{image}'"
        condition = f"{several} are read where {sources(found)} say, and each would have to have one of its own"
        return Miss(condition, count, "GSO102", whole)
    rest: list[Expr | None] = []
    for axis, column in enumerate(zip(*indices, strict=True)):
        same = set(column)
        if axis not in spatial and len(same) > 1:
            return Miss(
                f"axis {axis} of '{image}' is read neither at one index nor along an axis of the output",
                count,
                "GSO108",
            )
        rest.append(None if axis in spatial else next(iter(same)))
    columns = {axis: [index[axis] for index in indices] for axis in spatial}  # type: ignore[index]
    sizes = sizes_of(root, image)
    along = _along(algebra, found, columns, like)
    narrow = {own.position: own.steps for own in along if len(own.steps) in WIDTHS}
    turned = turned_along(algebra, found, columns, narrow)
    match = None if turned is None else _turned(algebra, Turning(root, image, turned, tuple(rest), sizes), like)
    if match is not None:
        return match
    if len({a.coordinate.leaf for a in along}) < len(found):
        return Miss("an index is not simply a rounded coordinate and a whole number", count, "GSO102")
    wide = next((own for own in along if own.position not in narrow), None)
    if wide is not None:
        several = f"along axis {wide.position} it reads {len(wide.steps)} pixels of each point"
        return Miss(f"{several}, and no kernel that is known does", count, "GSO102")
    if [len(a.steps) for a in along] == [2, 2]:
        return Miss("it is bilinear sampling of a border that no bilinear sampler has", count, "GSO103")
    resolver = Resolver(found, algebra.effort)
    affine = outside(algebra, resolver, *fullest(resolver, root, found, count)[1:])
    best = Miss("the reads are not the pixels that a kernel takes", count, "GSO102")
    for kernels in _likely(algebra, along, columns, sizes, like):
        axes = [_axis(algebra, a, kernel, sizes[a.position]) for a, kernel in zip(along, kernels, strict=True)]
        kind = Interpolation(_name(kernels), kernels, tuple(BORDERS.values()), narrow=True, like=like)
        result = prove(algebra, root, image, kind, tuple(axes), tuple(rest), affine)
        if isinstance(result, Match):
            return result
        likelier = not best.like or result.code != "GSO101"  # what differs inside the image is hardly that kernel
        best = result if likelier else best
    return best


def _turned(algebra: Algebra, turning: Turning, like: Sampler | None) -> Match | None:
    """The sampler of a mirrored or repeated image that reads with indices that turn are."""
    try:
        for way in turning.guesses(algebra, like):
            turned = zip(turning.turned, way, strict=True)
            along = [_Along(turn.position, turn.coordinate, own, turn.rounds) for turn, (_, own) in turned]
            known = () if like is None else (tuple(spec.kernel for spec in like),)
            for kernels in known or _kernels(along):
                at = zip(along, kernels, strict=True)
                axes = tuple(_axis(algebra, a, kernel, turning.sizes[a.position]) for a, kernel in at)
                match = turning.proven(algebra, axes, kernels, [border for border, _ in way])
                if match is not None:
                    return match
    except Unresolved:
        pass
    return None


def _axis(algebra: Algebra, along: _Along, kernel: Kernel, size: int) -> Axis:
    shift = 0 if along.rounds else kernel.shift
    offset = algebra.add(along.coordinate.offset, algebra.num(min(along.steps) - kernel.first - shift))
    return Axis(along.coordinate.leaf, along.coordinate.slope, offset, along.position, size)


def _likely(
    algebra: Algebra,
    along: Sequence[_Along],
    columns: Mapping[int, Sequence[Expr]],
    sizes: Sequence[int],
    like: Sampler | None,
) -> Iterator[tuple[Kernel, ...]]:
    """Kernels for each axis that may be, those of `like` alone where they are among them; the last where none may."""
    every = list(_kernels(along))
    known = [kernels for kernels in every if like is not None and kernels == tuple(spec.kernel for spec in like)]
    none = True
    for kernels in known or every:
        if _rounds_so(algebra, along, kernels, columns, sizes):
            none = False
            yield kernels
    if none:
        yield every[-1]


def _rounds_so(
    algebra: Algebra,
    along: Sequence[_Along],
    kernels: Sequence[Kernel],
    columns: Mapping[int, Sequence[Expr]],
    sizes: Sequence[int],
) -> bool:
    """Whether single pixels well inside the image may be those that the kernels take: a look that costs no proof."""
    for own, kernel in zip(along, kernels, strict=True):
        index, leaf = columns[own.position][0], own.coordinate.leaf
        if kernel.taps > 1 or index.leaves != {leaf}:
            continue
        axis = _axis(algebra, own, kernel, sizes[own.position])
        ((tap, _),) = kernel.at(algebra, axis.pixel(algebra))
        resolver = Resolver([axis.coordinate], algebra.effort)
        for cell in resolver.partition(0, domain(axis.coordinate), (index, tap)):
            inside = within(cell, 1, axis.size - 3)
            if inside is not None and resolver.evaluate(index, (inside,)) != resolver.evaluate(tap, (inside,)):
                return False
    return True


def _kernels(along: Sequence[_Along]) -> Iterator[tuple[Kernel, ...]]:
    """Kernels for each axis: along axes with as many pixels the same one."""
    mixed = len({a.rounds for a in along}) > 1
    cubics = CUBICS if any(len(a.steps) == 4 for a in along) else CUBICS[:1]
    for cubic, *ways in product(cubics, *(_roundings(a) for a in along if len(a.steps) == 1)):
        if mixed or len(set(ways)) <= 1:
            nearest = iter(ways)
            yield tuple(next(nearest) if len(a.steps) == 1 else LINEAR if len(a.steps) == 2 else cubic for a in along)


def _roundings(along: _Along) -> tuple[Kernel, ...]:
    ties = tuple(kernel for kernel in TIES if (kernel.rounds is to_even) == along.rounds)
    return ties if along.rounds else (*ties, FLOOR)


def _name(kernels: Sequence[Kernel]) -> str:
    names = list(dict.fromkeys(kernel.name for kernel in kernels))
    return " and ".join(names)


def _along(
    algebra: Algebra, found: Sequence[Coordinate], columns: Mapping[int, Sequence[Expr]], like: Sampler | None
) -> list[_Along]:
    """What each spatial axis is indexed by, but for those with an index of another form."""
    by_leaf = {c.leaf: c for c in found}
    every = {position: _along_one(algebra, position, column, by_leaf) for position, column in columns.items()}
    if like is None or len(like) != len(columns):
        return [own for own in every.values() if own is not None]
    kernels = dict(zip(columns, (spec.kernel for spec in like), strict=True))
    for position in sorted((p for p, own in every.items() if own is None), key=lambda p: len(_leaves(columns[p]))):
        taken = {own.coordinate.leaf for own in every.values() if own is not None}
        left = [by_leaf[leaf] for leaf in _leaves(columns[position]) - taken if leaf in by_leaf]
        if len(left) == 1:  # along two pixels a clamped floor is a condition; the proof tells whether it is that kernel
            kernel = kernels[position]
            taps = frozenset(range(kernel.first, kernel.first + kernel.taps))
            every[position] = _Along(position, left[0], taps, kernel.rounds is to_even)
    return [own for own in every.values() if own is not None]


def _leaves(column: Sequence[Expr]) -> frozenset[Expr]:
    return frozenset[Expr]().union(*(index.leaves for index in column))


def _along_one(
    algebra: Algebra, position: int, column: Sequence[Expr], by_leaf: Mapping[Expr, Coordinate]
) -> _Along | None:
    each = [list(_steps(algebra, index)) for index in dict.fromkeys(column)]
    leaves, rounds = {s.leaf for own in each for s in own}, {s.rounds for own in each for s in own}
    if not all(each) or len(leaves) != 1 or not leaves <= by_leaf.keys():
        return None
    # A cast rounds towards zero: of its floor and its ceil, which is one more, the floor counts.
    steps = {tidy(min(s.number for s in own)) for own in each}
    low = math.floor(min(steps))
    if len(rounds) != 1 or steps != set(range(low, low + len(steps))):
        return None
    if rounds == {True} and len(steps) > 1:
        return None
    return _Along(position, by_leaf[next(iter(leaves))], frozenset(range(low, low + len(steps))), rounds == {True})


class _Step(NamedTuple):
    """A piece of an index: floor(q) + number, or the rounded q, q being the coordinate that a leaf is made."""

    leaf: Expr
    number: Number
    rounds: bool


def _steps(algebra: Algebra, index: Expr) -> Iterator[_Step]:
    """The pieces of an index that move with a coordinate; what they are chosen by, a mask of all axes say, is none."""
    if index.op == "select":
        _, a, b = index.args
        yield from _steps(algebra, a)  # type: ignore[arg-type]
        yield from _steps(algebra, b)  # type: ignore[arg-type]
        return
    if index.op == "mul":
        inner = masked(index)
        yield from () if inner is None else _steps(algebra, inner)
        return
    repeats = [(t, c) for t, c in index.terms if t.op == "floor" and t.args[0].floored]  # type: ignore[attr-defined]
    varying = [(t, c) for t, c in index.terms if t.leaves and (t, c) not in repeats]
    if len(varying) != 1 or abs(varying[0][1]) != 1:
        return
    ((term, sign),) = varying
    constant = index.constant
    if repeats:  # the border is periodic: numbers count modulo its period
        _, factor = repeats[0]
        period = factor if factor > 0 else -factor
        constant -= period if 2 * constant > period else 0
    if term.op not in ROUNDINGS:
        if term is not index:
            yield from (s._replace(number=s.number + constant) for s in _steps(algebra, term) if sign == 1)
        return
    for piece in pieces(algebra, term.args[0]):  # type: ignore[arg-type]
        step, leaf = _step(piece, sign, term.op == "round"), next(t for t, _ in piece.terms if t.leaves)
        yield from () if step is None else (_Step(leaf, constant + step, term.op == "round"),)


def _step(piece: Expr, sign: Number, rounds: bool) -> int | None:
    """What sign * floor(piece) is more than the floor of the piece's coordinate, where that is not whole.

    None where it falls as the coordinate rises.
    """
    slope = next(c for t, c in piece.terms if t.leaves)
    if (slope > 0) != (sign > 0):
        return None
    return math.floor(piece.constant) if slope > 0 else math.floor(-piece.constant) + (not rounds)


def _split_of(
    algebra: Algebra, root: Expr, reads: Sequence[Expr], found: Sequence[Coordinate]
) -> tuple[int, ...] | None:
    """The sizes to split an axis of the image into along which all coordinates move."""
    around = [within_periods(reads[0], coordinate) for coordinate in found]
    turns = any(coordinate.reach for coordinate in around)  # then one read, of any pixel, tells it
    resolver = Resolver(around, algebra.effort)
    whole, count = (reads[0], 1) if turns else (root, len(reads))
    _, _, taps = fullest(resolver, whole, around, count)
    columns = zip(*(resolver.elements[t][1] for t in sorted(taps)), strict=True)
    moving = [column for column in columns if any(resolver.moves(value) for value in column)]
    return linear_split(moving[0], len(found)) if len(moving) == 1 else None
