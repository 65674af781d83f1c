"""Tensors that hold both coordinates of a sampler, and the units that they are in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

from onnxgs_opt.recognition.algebra.expression import Algebra, Expr
from onnxgs_opt.recognition.algebra.polynomial import Number
from onnxgs_opt.recognition.axes import Roles, shift_of, view_of
from onnxgs_opt.recognition.coordinates import pieces
from onnxgs_opt.recognition.lifting.lift import Lift
from onnxgs_opt.recognition.lifting.rule import Index
from onnxgs_opt.recognition.match import Axis, Match
from onnxgs_opt.samplers.coordinates import COORDINATES, PIXEL, CoordinateName, Coordinates
from onnxgs_opt.samplers.view import View

Units = tuple[CoordinateName, bool | None]
"""The name of the units, and which normalised ones they are."""


def _close(a: Number, b: Number) -> bool:
    return abs(float(a) - float(b)) <= 1e-6 * max(1.0, abs(float(b)))


def _is_pixel(match: Match) -> bool:
    return all(a.slope == 1 and a.offset.value == 0 for a in match.axes)


def units(algebra: Algebra, match: Match, first: Units | None = None) -> Coordinates:
    """The units that a model's coordinates are in, `first` if they are; pixels where they are in none that has a name.

    The scale is compared to one part in a million, since exporters round 2/(W-1) to fp32. At some size the scale of
    other units is the same: of two pixels, the unit is one.
    """
    known = [] if first is None else [COORDINATES[first]]
    for found in (*known, *COORDINATES.values()):
        if all(_is_in(algebra, axis, found) for axis in match.axes):
            return found
    return PIXEL


def _is_in(algebra: Algebra, axis: Axis, units: Coordinates) -> bool:
    """Whether the leaf of an axis has these units."""
    wanted = units.to_pixel(algebra, axis.leaf, algebra.num(axis.size))
    ((_, slope),), offset = wanted.terms, axis.offset.value
    return offset is not None and _close(axis.slope, slope) and _close(offset, wanted.constant)


@dataclass(frozen=True)
class Grid:
    """How the model holds both coordinates; `view` is None where they are in two tensors of pixels."""

    view: View | None
    coordinates: CoordinateName
    align_corners: bool | None
    flipped: bool = False


def grid_of(lift: Lift, match: Match, roles: Roles, needed: bool, like: Units | None = None) -> Grid | None:
    """The tensor that holds both coordinates; None where one of pixels is `needed` and the model has none.

    It is needed where no tensors hold x and y alone. Normalised coordinates do not serve: made pixels anew, a point on
    a border may round to its other side. `like` are the units at other sizes.
    """
    if len(match.axes) != 2:
        found = units(lift.algebra, match, like)
        triple = pixel_triple(lift, match, roles) if needed else None
        if needed:
            return None if triple is None else Grid(triple[0], "pixel", None, triple[1])
        return Grid(None, found.name, found.align_corners)
    found = units(lift.algebra, match)
    if needed:
        pair = pixel_pair(lift, match, roles)
        return None if pair is None else Grid(pair[0], "pixel", None, pair[1])
    view = _normalised_pair(match, roles)
    direct = found.name == "normalised" or _is_pixel(match)
    return Grid(view if direct else None, found.name, found.align_corners)


def _normalised_pair(match: Match, roles: Roles) -> View | None:
    """The tensor that both coordinates are computed from, if these are its elements, x first."""
    (yt, yi, sizes), (xt, xi, _) = (axis.leaf.args for axis in match.axes)
    if xt != yt:
        return None
    view, flipped = _pair(str(xt), xi, yi, sizes, roles) or (None, False)  # type: ignore[arg-type]
    return None if flipped else view


def pixel_pair(lift: Lift, match: Match, roles: Roles) -> tuple[View, bool] | None:
    """The tensor of both pixel coordinates, preferably one that the model rounds, and whether y is before x in it."""
    exact = match.policy.window != "all"
    rounded, (y, x) = {name for name, _ in lift.rounded}, match.axes
    places: dict[str, list[tuple[Index, int]]] = {}
    for (name, index), value in lift.values.items():
        shift = shift_of(lift, value, y, exact)
        if shift is not None:
            places.setdefault(name, []).append((index, shift))
    best: tuple[View, bool] | None = None
    for (name, index), value in lift.values.items():
        shift = shift_of(lift, value, x, exact) if name in places else None
        for other, same in places[name] if shift is not None else ():
            found = _pair(name, index, other, lift.shape(name), roles) if shift == same else None
            if found is not None and (best is None or (name in rounded) > (best[0].tensor in rounded)):
                best = replace(found[0], shift=same), found[1]
    return best


def pixel_triple(lift: Lift, match: Match, roles: Roles) -> tuple[View, bool] | None:
    """The tensor of three pixel coordinates that stand in one axis of it, and whether z is the first of them."""
    exact = match.policy.window != "all"
    places: list[dict[str, list[Index]]] = []
    for axis in reversed(match.axes):
        held: dict[str, list[Index]] = {}
        for (name, index), value in lift.values.items():
            if shift_of(lift, value, axis, exact) == 0:
                held.setdefault(name, []).append(index)
        places.append(held)
    for name in sorted(set(places[0]).intersection(*places[1:])) if len(places) == 3 else ():
        for indices in product(*(held[name] for held in places)):
            for order in (indices, indices[::-1]):
                view = _in_one_axis(name, order, lift.shape(name), roles)
                if view is not None:
                    return view, order is not indices
    return None


def _in_one_axis(name: str, indices: Sequence[Index], sizes: Sequence[int], roles: Roles) -> View | None:
    """The view of a tensor that has coordinates, those at `indices`, in this order along an axis of its own."""
    apart = [axis for axis, parts in enumerate(zip(*indices, strict=True)) if len(set(parts)) > 1]
    if len(apart) != 1 or [index[apart[0]].value for index in indices] != list(range(sizes[apart[0]])):
        return None
    return _full_view(name, indices[0], sizes, roles, apart[0])


def _full_view(name: str, index: Index, sizes: Sequence[int], roles: Roles, pair: int) -> View | None:
    """The view of a tensor whose axis `pair` holds coordinates, which are those of every point."""
    view = view_of(name, index, sizes, roles, pair)
    groups = (roles.batch, *roles.samples)
    full = view is not None and all(len(g) == len(v) for g, v in zip(view.groups, groups, strict=False))
    return view if full else None


def _pair(name: str, x: Index, y: Index, sizes: Sequence[int], roles: Roles) -> tuple[View, bool] | None:
    """The view of a tensor with x and y at two indices, and whether y comes first.

    They stand in one axis, of 2 or of as many as there are points: all x and then all y, or one after the other.
    """
    apart = [axis for axis, (a, b) in enumerate(zip(x, y, strict=True)) if a is not b]
    if len(apart) != 1:
        return None
    (axis,) = apart
    step = _difference(x[axis], y[axis])
    if not step:
        return None
    first = (x if step > 0 else y)[axis]
    found = _halves(first, abs(step), sizes[axis])
    if found is None:
        return None
    inner, split, place = found
    index = (*x[:axis], *inner, *x[axis + 1 :])
    dims = (*sizes[:axis], *(2 if i is None else int(i.hi or 0) + 1 for i in inner), *sizes[axis + 1 :])
    view = _full_view(name, tuple(first if i is None else i for i in index), dims, roles, axis + place)
    if view is None:
        return None
    return replace(view, split=None if split is None else (axis, split)), step < 0


def _difference(x: Expr, y: Expr) -> int:
    """By how much y's index is larger than x's; 0 where that is not one number."""
    fixed = x.terms == y.terms if x.value is None else y.value is not None
    return int(y.constant - x.constant) if fixed else 0


def _halves(first: Expr, step: int, size: int) -> tuple[tuple[Expr | None, ...], tuple[int, int] | None, int] | None:
    """How an axis holds x and y: its parts (None is the pair), the sizes to split it into, the pair's place there."""
    if first.value == 0 and step == 1 and size == 2:
        return (None,), None, 0
    if first.op == "idx" and 2 * step == size == 2 * (int(first.hi or 0) + 1):
        return (None, first), (2, -1), 0
    ((point, slope), *more) = first.terms or ((first, 0),)
    if slope == 2 and not more and first.constant == 0 and point.op == "idx" and step == 1:
        return ((point, None), (-1, 2), 1) if size == 2 * (int(point.hi or 0) + 1) else None
    return None


def tests_pixels(lift: Lift, match: Match) -> bool:
    """Whether the model compares its coordinates in pixels: in other units a point at a border may round otherwise."""
    slopes = {axis.leaf: axis.slope for axis in match.axes}
    return all(
        abs(slope) == slopes.get(leaf, abs(slope))
        for value in lift.compared
        for piece in pieces(lift.algebra, value)
        for leaf, slope in piece.terms
    )
