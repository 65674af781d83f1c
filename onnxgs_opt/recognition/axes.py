"""Which axes of a sampler's output are batch, channels and samples, and which tensors lie along them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from onnxgs_opt.recognition.algebra.expression import Expr
from onnxgs_opt.recognition.lifting.lift import Lift
from onnxgs_opt.recognition.lifting.rule import Index
from onnxgs_opt.recognition.match import Axis, Match, Miss
from onnxgs_opt.samplers.view import Repeat, View


@dataclass(frozen=True)
class Roles:
    """What each axis of the output is: batch (of image and coordinates), channel (of the image) or sample (of points).

    Axes are index variables. `samples` has a group a coordinate, Ho and Wo where there are two; the first has the rest.
    """

    batch: tuple[Expr, ...]
    channel: tuple[Expr, ...]
    samples: tuple[tuple[Expr, ...], ...]


def roles_of(index: Index, match: Match) -> Roles | Miss:
    """The roles of the index variables of an output; a miss where one of them only repeats samples."""
    variables = [i for i in index if i.op == "idx"]
    in_image = {i for i in match.index if i is not None and i.op == "idx"}
    in_coordinates = {i for axis in match.axes for i in _variables(axis)}
    lost = [i for i in variables if i not in in_image | in_coordinates]
    if lost:
        condition = f"along axis {lost[0].args[0]} of the output neither the image nor a coordinate changes"
        return Miss(condition, 4, "GSO108")
    samples = tuple(i for i in variables if i not in in_image)
    first = len(samples) - len(match.axes) + 1
    return Roles(
        batch=tuple(i for i in variables if i in in_image and i in in_coordinates),
        channel=tuple(i for i in variables if i in in_image and i not in in_coordinates),
        samples=(samples[: max(first, 0)], *(samples[k : k + 1] for k in range(first, len(samples)))),
    )


def _variables(axis: Axis) -> set[Expr]:
    """The index variables that a coordinate depends on."""
    index: Index = axis.leaf.args[1]  # type: ignore[assignment]
    return {t for i in (*index, axis.offset) for t, _ in i.terms if t.op == "idx"}


def view_of(
    name: str, index: Index, shape: Sequence[int], roles: Roles, pair: int | None = None, partial: bool = False
) -> View | None:
    """The view [N, Ho, Wo] of a tensor that is read at `index`; None when it does not lie along the output's axes.

    `pair` is an axis that holds x and y, which becomes the last one. One axis may hold all points of several output
    axes in their order; it is split. `partial` allows tensors that lie along some of the axes that make one: they are
    repeated along the others, whose sizes `with_sizes` finds.
    """
    split = None if pair is not None else _split_of(index, shape)
    if split is not None:
        axis, variables = split
        sizes = [int(v.hi or 0) + 1 for v in variables]
        inner, dims = (*index[:axis], *variables, *index[axis + 1 :]), (*shape[:axis], *sizes, *shape[axis + 1 :])
        apart = view_of(name, inner, dims, roles, partial=partial)
        return None if apart is None or apart.split is not None else replace(apart, split=(axis, (-1, *sizes[1:])))
    where = axes_along(index, shape, pair)
    if where is None:
        return None
    groups: list[tuple[int, ...]] = []
    rank = len(shape)
    for group in _groups(roles):
        absent = [v for v in group if v not in where]
        if 0 < len(absent) < len(group):
            if not partial:
                return None
            where.update(zip(absent, range(rank, rank + len(absent)), strict=True))
            rank += len(absent)
        groups.append(tuple(where.pop(v) for v in group if v in where))
    if pair is not None:
        groups.append((pair,))
    repeats = (Repeat(),) * (rank - len(shape))
    return None if where else View(name, tuple(groups), units=rank - sum(map(len, groups)), repeats=repeats)


def axes_along(index: Index, shape: Sequence[int], but: int | None = None) -> dict[Expr, int] | None:
    """For each index variable the axis of a tensor, read at `index`, along which it runs over all.

    None where an axis, other than `but`, has neither a variable of its own nor a single element.
    """
    where: dict[Expr, int] = {}
    for axis, (i, size) in enumerate(zip(index, shape, strict=True)):
        if axis == but:
            continue
        if i.op == "idx" and i not in where and i.hi == size - 1:
            where[i] = axis
        elif not (size == 1 and i.value == 0):
            return None
    return where


def with_sizes(view: View, other: View) -> View | None:
    """The view with the tensor of `other` for the sizes of what it is repeated along; None where that does not tell.

    Both are coordinates of the same points.
    """
    pairs = zip(view.groups, other.groups, strict=True)
    opposite = {axis: at for own, its in pairs for axis, at in zip(own, its, strict=False)}
    places = [opposite.get(axis, -1) for axis in view.repeated]
    if places and (other.split is not None or any(at < 0 or at in other.repeated for at in places)):
        return None
    return replace(view, repeats=tuple(Repeat(other.tensor, at) for at in places))


def _split_of(index: Index, shape: Sequence[int]) -> tuple[int, tuple[Expr, ...]] | None:
    """An axis that several index variables run along, the last the fastest, and these; None where there is none."""
    for axis, (i, size) in enumerate(zip(index, shape, strict=True)):
        terms = sorted(i.terms, key=lambda term: -term[1])
        if len(terms) < 2 or i.constant or any(v.op != "idx" for v, _ in terms):
            continue
        stride = size
        for variable, slope in terms:
            if slope * (int(variable.hi or 0) + 1) != stride:
                break
            stride = int(slope)
        if stride == 1:
            return axis, tuple(variable for variable, _ in terms)
    return None


def counted_view(lift: Lift, axis: Axis, roles: Roles, wanted: str | None) -> View | None:
    """The view of a tensor of whole numbers, so many a pixel, that is a coordinate; None where there is none.

    Both these numbers and their quotients have a part in the cone, so that only what both are made of will do.
    """
    parts, shift = 1 / Fraction(axis.slope), axis.offset.value
    if parts.denominator != 1 or not isinstance(shift, int):
        return None
    held = [place for place, value in lift.values.items() if value is axis.leaf]
    views = (view_of(name, index, lift.shape(name), roles, partial=True) for name, index in held)
    view = next((view for view in views if view is not None and wanted in (None, view.tensor)), None)
    return view and replace(view, parts=int(parts), shift=shift)


def with_steps(lift: Lift, view: View, value: Expr, axis: Axis, roles: Roles) -> View | None:
    """The view of a tensor that is the pixel coordinate less a grid; None where what is missing is no such grid.

    A grid is whole multiples of places along axes of the output and a whole number.
    """
    missing = lift.algebra.sub(axis.pixel(lift.algebra), value)
    if value.floored or not missing.integral or missing.leaves:
        return None
    slopes = dict(missing.terms)
    along = [
        slopes.pop(g[0], 0) if len(g) == 1 and own else 0 for g, own in zip(_groups(roles), view.groups, strict=True)
    ]
    return None if slopes else replace(view, shift=int(missing.constant), steps=tuple(map(int, along)))


def _groups(roles: Roles) -> tuple[tuple[Expr, ...], ...]:
    return roles.batch, *roles.samples


def shift_of(lift: Lift, value: Expr, axis: Axis, exact: bool) -> int | None:
    """The whole number that has to be added to a value to make the pixel coordinate; None where there is none.

    `exact` allows 0 only: beside a window, a float that something is added to may round to the other side of a border.
    Where the sample turns, whole turns are left out.
    """
    pixel = axis.pixel(lift.algebra)
    if value is pixel:
        return 0
    missing = lift.algebra.sub(pixel, value)
    turned = bool(axis.turns) and all(t.integral and c % axis.turns == 0 for t, c in missing.terms)
    if exact or value.leaves != pixel.leaves or (missing.terms and not turned) or not isinstance(missing.constant, int):
        return None
    half = axis.turns // 2
    return (missing.constant + half) % axis.turns - half if axis.turns else missing.constant
