"""Put a proven sampler into terms of existing tensors: from a `Match` on expressions to the `View`s of a `Site`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from onnxgs_opt.bilinear import Axis, Match, Miss, window_condition
from onnxgs_opt.expr import Expr
from onnxgs_opt.layout import Index
from onnxgs_opt.lift import Lift
from onnxgs_opt.recognise import domain, partitions
from onnxgs_opt.region import Coordinate, Resolver, Split, Unresolved
from onnxgs_opt.site import WINDOWS, CoordinateName, View

Split_ = tuple[int, tuple[int, ...]]


@dataclass(frozen=True)
class Placement:
    """Where a match's operands are; the fields are those of `Site`."""

    image: View
    x: View | None
    y: View | None
    grid: View | None
    coordinates: CoordinateName
    align_corners: bool | None
    mask: View | None
    flipped: bool
    inside: bool
    output_groups: tuple[tuple[int, ...], ...]

    @property
    def coordinate_views(self) -> tuple[View, ...]:
        """The tensors of the coordinates: x and y, or the grid of both."""
        views = (self.grid,) if self.x is None or self.y is None else (self.x, self.y)
        return tuple(view for view in views if view is not None)


@dataclass(frozen=True)
class Roles:
    """The output's index variables as batch (in image and coordinates), channel (image) and sample (coordinates)."""

    batch: tuple[Expr, ...]
    channel: tuple[Expr, ...]
    sample: tuple[Expr, ...]

    @property
    def sample_groups(self) -> tuple[tuple[Expr, ...], tuple[Expr, ...]]:
        """The sample variables as Ho and Wo: the last is Wo, the others Ho."""
        return self.sample[:-1], self.sample[-1:]


def place(
    lift: Lift,
    index: Index,
    match: Match,
    alive: Iterable[str],
    split: Split_ | None,
    like: Placement | None = None,
) -> Placement | Miss:
    """Find the tensors that hold the image and the coordinates of `match`, laid out by the axes of the output.

    `alive` are tensors of the cone that stay in the graph whatever happens to it: a mask among them is shared. `like`
    is the placement found at other sizes, whose tensors must do here too: at size 2, times S-1 changes nothing and more
    tensors than one hold the same.
    """
    roles = _roles(index, match)
    if isinstance(roles, Miss):
        return roles
    image = _image_view(match, roles, split)
    x, y = _coordinate_views(lift, match, roles, like)
    if image is None:
        return Miss(f"the axes of '{match.image}' are not axes of the output", 4, "GSO108")
    grid = _grid(lift, match, roles, x is None or y is None)
    if grid is None:
        return Miss("no tensor holds the pixel coordinates by themselves", 4, "GSO108")
    return Placement(
        image=image,
        x=x,
        y=y,
        grid=grid.view,
        coordinates=grid.coordinates,
        align_corners=grid.align_corners,
        flipped=grid.flipped,
        inside=_stays_inside(match),
        mask=_mask_view(lift, match, roles, alive if like is None else _names(like.mask)),
        output_groups=tuple(
            tuple(k for k, i in enumerate(index) if i in group)
            for group in (roles.batch, roles.channel, *roles.sample_groups)
        ),
    )


def _roles(index: Index, match: Match) -> Roles | Miss:
    variables = [i for i in index if i.op == "idx"]
    in_image = {i for i in match.index if i is not None and i.op == "idx"}
    in_coordinates = {i for axis in (match.x, match.y) for i in _variables(axis)}
    lost = [i for i in variables if i not in in_image | in_coordinates]
    if lost:
        return Miss(f"output axis {lost[0].args[0]} repeats the samples", 4, "GSO108")
    return Roles(
        batch=tuple(i for i in variables if i in in_image and i in in_coordinates),
        channel=tuple(i for i in variables if i in in_image and i not in in_coordinates),
        sample=tuple(i for i in variables if i not in in_image),
    )


def _variables(axis: Axis) -> set[Expr]:
    """The index variables that a coordinate depends on."""
    index: Index = axis.leaf.args[1]  # type: ignore[assignment]
    return {t for i in (*index, axis.offset) for t, _ in i.terms if t.op == "idx"}


def _image_view(match: Match, roles: Roles, split: Split_ | None) -> View | None:
    where = {i: axis for axis, i in enumerate(match.index) if i is not None and i.op == "idx"}
    for axis, i in enumerate(match.index):
        whole = i is None or (i.op == "idx" and i.hi == match.sizes[axis] - 1 and where[i] == axis)
        if not whole and match.sizes[axis] != 1:
            return None
    groups = tuple(tuple(where[v] for v in group) for group in (roles.batch, roles.channel))
    return View(
        match.image,
        (*groups, (match.y.position,), (match.x.position,)),
        split,
        len(match.index) - len(where) - 2,
    )


def _names(view: View | None) -> tuple[str, ...]:
    return () if view is None else (view.tensor,)


def _coordinate_views(
    lift: Lift, match: Match, roles: Roles, like: Placement | None
) -> tuple[View, View] | tuple[None, None]:
    """The tensors of x and of y, those of `like` where it is given; none where only one is found."""
    if like is None:
        views = [_coordinate_view(lift, axis, roles, None) for axis in (match.x, match.y)]
    elif like.x is None or like.y is None:
        return None, None
    else:
        names = (like.x.tensor, like.y.tensor)
        views = [_coordinate_view(lift, a, roles, n) for a, n in zip((match.x, match.y), names, strict=True)]
    x, y = views
    return (None, None) if x is None or y is None else (x, y)


def _coordinate_view(lift: Lift, axis: Axis, roles: Roles, wanted: str | None) -> View | None:
    """The tensor that is the pixel coordinate, if one is indexed by output axes alone."""
    pixel = lift.algebra.add(axis.offset, axis.leaf, axis.slope)
    for (name, index), value in lift.values.items():
        if value is pixel and wanted in (None, name) and lift.dtype_kind(name) == "f":
            view = _view(name, index, lift.shape(name), roles)
            if view is not None:
                return view
    return None


def _view(name: str, index: Index, shape: Sequence[int], roles: Roles, tail: int = 0) -> View | None:
    """The view [N, Ho, Wo] (and `tail` trailing axes) of a tensor; None when its index is not the output's."""
    where: dict[Expr, int] = {}
    for axis, (i, size) in enumerate(zip(index[: len(index) - tail], shape, strict=False)):
        if i.op == "idx" and i not in where and i.hi == size - 1:
            where[i] = axis
        elif not (size == 1 and i.value == 0):
            return None
    groups = []
    for group in (roles.batch, *roles.sample_groups):
        present = [v for v in group if v in where]
        if present and len(present) != len(group):
            return None
        groups.append(tuple(where.pop(v) for v in present))
    tails = tuple((axis,) for axis in range(len(shape) - tail, len(shape)))
    return None if where else View(name, (*groups, *tails), units=len(shape) - tail - sum(map(len, groups)))


# ---- units and grid --------------------------------------------------------------------------------------


def _close(a: object, b: float) -> bool:
    return abs(float(a) - b) <= 1e-6 * max(1.0, abs(b))  # type: ignore[arg-type]


def _is_pixel(match: Match) -> bool:
    return all(a.slope == 1 and a.offset.value == 0 for a in (match.x, match.y))


def units(match: Match) -> tuple[CoordinateName, bool | None]:
    """How the leaf coordinates relate to pixels: GridSample's units under align_corners, else pixels.

    The scale is compared to one part in a million, since exporters round 2/(W-1) to fp32.
    """
    for align_corners in (True, False):
        for name, span in (("normalised", 2), ("unit", 1)):
            if all(_is_scaled(axis, align_corners, span) for axis in (match.x, match.y)):
                return name, align_corners  # type: ignore[return-value]
    return "pixel", None


def _is_scaled(axis: Axis, align_corners: bool, span: int) -> bool:
    """Whether the leaf covers the image in `span` units: -1 to 1, or 0 to 1."""
    scale = (axis.size - 1) if align_corners else axis.size
    start = 0.0 if align_corners else -0.5
    offset = axis.offset.value
    centre = start + scale / 2 if span == 2 else start
    return offset is not None and _close(axis.slope, scale / span) and _close(offset, centre)


@dataclass(frozen=True)
class Grid:
    """How the model holds both coordinates; `view` is None where they are in two tensors of pixels."""

    view: View | None
    coordinates: CoordinateName
    align_corners: bool | None
    flipped: bool = False


def _grid(lift: Lift, match: Match, roles: Roles, needed: bool) -> Grid | None:
    """The tensor of both coordinates; None where one is `needed` and there is none that will do.

    Without tensors of x and y alone the lowerings take their pixels from the grid: from one of pixels only, since how
    the model rounds normalised ones decides on which side of a border a point is.
    """
    coordinates, align_corners = units(match)
    if needed:
        pair = _pixel_pair(lift, match, roles)
        return None if pair is None else Grid(pair[0], "pixel", None, pair[1])
    view = _grid_view(match.x.leaf, match.y.leaf, roles)
    direct = coordinates == "normalised" or _is_pixel(match)
    return Grid(view if direct else None, coordinates, align_corners)


def _grid_view(x: Expr, y: Expr, roles: Roles) -> View | None:
    """The tensor whose last axis is (x, y), if these are its elements."""
    (xt, xi, sizes), (yt, yi, _) = x.args, y.args
    if xt != yt or len(xi) < 2 or xi[:-1] != yi[:-1] or sizes[-1] != 2:  # type: ignore[arg-type, index]
        return None
    if xi[-1].value != 0 or yi[-1].value != 1:  # type: ignore[index]
        return None
    return _pair_view(str(xt), xi, sizes, roles)  # type: ignore[arg-type]


def _pair_view(name: str, index: Index, shape: Sequence[int], roles: Roles) -> View | None:
    view = _view(name, index, shape, roles, tail=1)
    full = view is not None and all(
        len(g) == len(v) for g, v in zip(view.groups, (roles.batch, *roles.sample_groups), strict=False)
    )
    return view if full else None


def _pixel_pair(lift: Lift, match: Match, roles: Roles) -> tuple[View, bool] | None:
    """The tensor whose last axis holds both pixel coordinates, and whether y comes first."""
    x, y = (lift.algebra.add(a.offset, a.leaf, a.slope) for a in (match.x, match.y))
    for (name, index), value in lift.values.items():
        if value is not x or not index or index[-1].value not in (0, 1) or lift.shape(name)[-1] != 2:
            continue
        place = int(index[-1].value)
        other = (*index[:-1], lift.algebra.num(1 - place))
        if lift.values.get((name, other)) is y:
            view = _pair_view(name, index, lift.shape(name), roles)
            if view is not None:
                return view, place == 1
    return None


def _stays_inside(match: Match) -> bool:
    """Whether known bounds keep both coordinates in the image."""
    for axis in (match.x, match.y):
        cells = domain(Coordinate(axis.leaf, axis.slope, axis.offset))
        low, high = cells[0].lo, cells[-1].hi
        if low is None or high is None or low < 0 or high > axis.size - 1:
            return False
        if high == axis.size - 1 and cells[-1].u_hi != 0:
            return False
    return True


# ---- mask ------------------------------------------------------------------------------------------------


def _mask_view(lift: Lift, match: Match, roles: Roles, alive: Iterable[str]) -> View | None:
    """A living float tensor of the cone that equals the window's condition at every coordinate."""
    if match.policy.window == "all":
        return None
    wanted = set(alive)
    condition = lift.algebra.one
    for axis in (match.y, match.x):
        pixel = lift.algebra.add(axis.offset, axis.leaf, axis.slope)
        inside = window_condition(lift.algebra, WINDOWS[match.policy.window], pixel, axis.size)
        condition = lift.algebra.mul(condition, inside)
    for (name, index), value in list(lift.values.items()):
        if name not in wanted or lift.dtype_kind(name) != "f" or not value.leaves:
            continue
        view = _view(name, index, lift.shape(name), roles)
        if view is not None and _equal(match, value, condition):
            return view
    return None


def _equal(match: Match, a: Expr, b: Expr) -> bool:
    """Whether two expressions of the match's coordinates agree everywhere."""
    coordinates = [Coordinate(axis.leaf, axis.slope, axis.offset) for axis in (match.y, match.x)]
    if a.leaves - {c.leaf for c in coordinates}:
        return False
    resolver = Resolver(coordinates)
    try:
        ys, xs = partitions(resolver, [domain(c) for c in coordinates], [a, b])
        return all(resolver.evaluate(a, (y, x)) == resolver.evaluate(b, (y, x)) for y in ys for x in xs)
    except (Split, Unresolved):
        return False
