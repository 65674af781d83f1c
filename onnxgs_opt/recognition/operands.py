"""Find the tensors of a proven sampler: from a `Match`, which has expressions, to the `View`s of a `Site`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product

from onnxgs_opt.recognition.algebra.expression import Expr
from onnxgs_opt.recognition.algebra.piecewise import Resolver, Split, Unresolved, partitions
from onnxgs_opt.recognition.axes import Roles, counted_view, roles_of, shift_of, view_of, with_sizes, with_steps
from onnxgs_opt.recognition.coordinates import domain
from onnxgs_opt.recognition.epilogue import affine_of
from onnxgs_opt.recognition.grids import grid_of, pixel_pair
from onnxgs_opt.recognition.lifting.lift import Lift
from onnxgs_opt.recognition.lifting.rule import Index
from onnxgs_opt.recognition.match import Axis, Match, Miss
from onnxgs_opt.recognition.reasons import listed, source
from onnxgs_opt.samplers.coordinates import CoordinateName
from onnxgs_opt.samplers.sampler import in_window
from onnxgs_opt.samplers.site import Affine, OfCoordinates
from onnxgs_opt.samplers.view import View

Split_ = tuple[int, tuple[int, ...]]
LETTERS = {3: "NCW", 4: "NCHW", 5: "NCDHW"}
"""The axes of an image, by their number."""


@dataclass(frozen=True)
class Placement(OfCoordinates):
    """Where a match's operands are; the fields are those of `Site`."""

    image: View
    x: View | None
    y: View | None
    z: View | None
    grid: View | None
    coordinates: CoordinateName
    align_corners: bool | None
    mask: View | None
    flipped: bool
    inside: bool
    bounds: tuple[tuple[int, int] | None, ...]
    output_groups: tuple[tuple[int, ...], ...]
    affine: Affine

    @property
    def operands(self) -> tuple[View, ...]:
        """Where the coordinates are, and what else is not looked behind."""
        return (*self.coordinate_views, *self.affine.factors, *self.affine.addends)

    def in_pixels(self) -> Placement | None:
        """The same without the units that the pixels are made of, which may have no name at other sizes."""
        named = self.x is not None and self.coordinates != "pixel"
        return replace(self, grid=None, coordinates="pixel", align_corners=None) if named else None

    def says(self, other: Placement) -> bool:
        """Whether it is the same as another one, or has only names for units beside it."""
        return other in (self, self.in_pixels())

    @property
    def layout(self) -> str:
        """The image's axes by letter, in memory order: NCHW, NHWC, HW, ..."""
        letters = {
            axis: letter
            for group, letter in zip(self.image.groups, LETTERS[len(self.image.groups)], strict=True)
            for axis in group
        }
        return "".join(letters.get(axis, "1") for axis in range(self.image.rank))


def place(
    lift: Lift, index: Index, match: Match, alive: Iterable[str], split: Split_ | None, like: Placement | None = None
) -> Placement | Miss:
    """Find the tensors that hold the image and the coordinates of `match`, laid out by the axes of the output.

    `alive` are tensors of the cone that something else needs too, so that a mask among them can be used. `like` is the
    placement found at other sizes, whose tensors have to serve here too: at size 2, where S-1 is 1, several tensors may
    be equal that are not so at others.
    """
    if like is not None and len(like.image.groups) - 2 != len(match.axes):
        return Miss("at these sizes it samples along another number of axes", 4, "GSO113")
    roles = roles_of(index, match)
    if isinstance(roles, Miss):
        return roles
    image = _image_view(match, roles, split)
    views = _coordinate_views(lift, match, roles, like)
    if image is None:
        runs = ((int(i.hi or 0) + 1, s) for i, s in zip(match.index, match.sizes, strict=True) if i and i.op == "idx")
        extents = next((run for run in runs if run[0] != run[1]), None)
        condition = f"'{match.image}' is not read over its whole batch and all of its channels along axes of the output"
        return Miss(condition, 4, "GSO108", extents=extents)
    grid = grid_of(lift, match, roles, not views, None if like is None else (like.coordinates, like.align_corners))
    if grid is None:
        made_of = listed(source(axis.leaf) for axis in reversed(match.axes))
        return Miss(f"no tensor holds the pixel coordinates by themselves, which are made of {made_of}", 4, "GSO108")
    by_letter = dict(zip("xyz", views, strict=False))
    inside = stays_inside(match)
    if inside and any(view is not None and any(view.steps) for view in views or (grid.view,)):
        return Miss("a grid is added to a coordinate behind its clamp", 4, "GSO108")
    affine = affine_of(lift, index, match, None if like is None else like.affine)
    if isinstance(affine, Miss):
        return affine
    return Placement(
        image=image,
        affine=affine,
        x=by_letter.get("x"),
        y=by_letter.get("y"),
        z=by_letter.get("z"),
        grid=grid.view,
        coordinates=grid.coordinates,
        align_corners=grid.align_corners,
        flipped=grid.flipped,
        inside=inside,
        bounds=_bounds(match) if match.within and not inside else (),
        mask=_mask_view(lift, match, roles, alive if like is None else _names(like.mask)),
        output_groups=tuple(
            tuple(k for k, i in enumerate(index) if i in group)
            for group in (roles.batch, roles.channel, *roles.samples)
        ),
    )


def _image_view(match: Match, roles: Roles, split: Split_ | None) -> View | None:
    where = {i: axis for axis, i in enumerate(match.index) if i is not None and i.op == "idx"}
    for axis, i in enumerate(match.index):
        whole = i is None or (i.op == "idx" and i.hi == match.sizes[axis] - 1 and where[i] == axis)
        if not whole and match.sizes[axis] != 1:
            return None
    groups = tuple(tuple(where[v] for v in group) for group in (roles.batch, roles.channel))
    return View(
        match.image,
        (*groups, *((axis.position,) for axis in match.axes)),
        split,
        len(match.index) - len(where) - len(match.axes),
    )


def _names(view: View | None) -> tuple[str, ...]:
    return () if view is None else (view.tensor,)


def _coordinate_views(lift: Lift, match: Match, roles: Roles, like: Placement | None) -> tuple[View, ...]:
    """The tensors of the coordinates, x first, those of `like` where it is given; none where one of them is not found.

    Also where the model rounds one tensor of both x and y: tensors of each alone are then copies it does not go by.
    """
    exact = match.policy.window != "all"
    if like is not None and like.x is None:
        return ()
    names = (None,) * len(match.axes) if like is None else like.coordinate_tensors
    views = [_coordinate_view(lift, a, roles, n, exact) for a, n in zip(reversed(match.axes), names, strict=True)]
    found = tuple(view for own in views if own and (view := _sized(own, views)) is not None)
    if len(found) < len(views):
        return ()
    rounded = {name for name, _ in lift.rounded}
    alone = like is not None or len(found) != 2 or {view.tensor for view in found} & rounded
    pair = None if alone else pixel_pair(lift, match, roles)
    return () if pair is not None and pair[0].tensor in rounded else found


def _sized(view: View, views: Sequence[View | None]) -> View | None:
    """The view with another one for the sizes of what it is repeated along; None where no other one tells them."""
    if not view.repeated:
        return view
    told = (with_sizes(view, other) for other in views if other is not None and other is not view)
    return next((sized for sized in told if sized is not None), None)


def _coordinate_view(lift: Lift, axis: Axis, roles: Roles, wanted: str | None, exact: bool) -> View | None:
    """A tensor along the output's axes that holds one pixel coordinate, perhaps less a whole number (`View.shift`).

    Preferred is one that needs no change, then one with an axis to split, then one with a number to add, then one with
    a grid to add, and each of these rather in all axes that it is to have than repeated along some.
    """
    if axis.counts_parts:
        return counted_view(lift, axis, roles, wanted)
    best: tuple[tuple[bool, int], View] | None = None
    for (name, index), value in list(lift.values.items()):
        if wanted not in (None, name) or lift.dtype_kind(name) != "f":
            continue
        shift = shift_of(lift, value, axis, exact)
        steps = shift is None and not exact and value.leaves == axis.leaf.leaves and axis.offset.value is None
        view = view_of(name, index, lift.shape(name), roles, partial=True) if shift is not None or steps else None
        if view is not None:
            view = with_steps(lift, view, value, axis, roles) if steps else replace(view, shift=shift or 0)
        if view is None:
            continue
        rank = bool(view.repeats), 3 if steps else 2 if shift else int(view.split is not None)
        if rank == (False, 0):
            return view
        if best is None or rank < best[0]:
            best = rank, view
    return None if best is None else best[1]


def stays_inside(match: Match) -> bool:
    """Whether known bounds keep all coordinates in the image."""
    for axis in match.axes:
        cells = domain(axis.coordinate)
        low, high = cells[0].lo, cells[-1].hi
        if low is None or high is None or low < 0 or high > axis.size - 1:
            return False
        if high == axis.size - 1 and cells[-1].u_hi != 0:
            return False
    return True


def _bounds(match: Match) -> tuple[tuple[int, int] | None, ...]:
    """The whole numbers that each coordinate is known to lie between, x first; the upper one less the size."""
    ends = [(cells[0].lo, cells[-1].hi, axis.size) for axis in match.axes if (cells := domain(axis.coordinate))]
    return tuple(None if lo is None or hi is None else (lo, hi - size) for lo, hi, size in reversed(ends))


def _mask_view(lift: Lift, match: Match, roles: Roles, alive: Iterable[str]) -> View | None:
    """A float tensor, among those that stay (`alive`), that equals the window's condition at every coordinate."""
    if match.policy.window == "all":
        return None
    wanted = set(alive)
    pixels = [axis.pixel(lift.algebra) for axis in match.axes]
    condition = in_window(lift.algebra, match.sampler, pixels, [lift.algebra.num(axis.size) for axis in match.axes])
    for (name, index), value in list(lift.values.items()):
        if name not in wanted or lift.dtype_kind(name) != "f" or not value.leaves:
            continue
        view = view_of(name, index, lift.shape(name), roles)
        if view is not None and _equal(match, value, condition):
            return view
    return None


def _equal(match: Match, a: Expr, b: Expr) -> bool:
    """Whether two expressions of the match's coordinates agree everywhere."""
    coordinates = [replace(axis.coordinate, reach=None) for axis in match.axes]
    if a.leaves - {c.leaf for c in coordinates}:
        return False
    resolver = Resolver(coordinates)
    try:
        axes = partitions(resolver, [domain(c) for c in coordinates], [a, b])
        return all(resolver.evaluate(a, region) == resolver.evaluate(b, region) for region in product(*axes))
    except (Split, Unresolved):
        return False
