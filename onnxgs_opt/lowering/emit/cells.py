"""The arithmetic that lowerings share: the 2x2 cell of pixels around a point, and the weights of its corners.

A cell never leaves the image: its first pixel is b = clamp(floor(p), 0, S-2) on each axis, and the weights
of b and b+1 follow from d = p - b, for every border policy:

* window inside the image:  1-d, d               (outside the window they are multiplied by 0)
* border:                   1-d, d               with p clamped to [0, S-1] first
* zeros:                    relu(min(1-d, 1+d)), relu(min(d, 2-d))     (hat functions around b and b+1)

So all four corners are one index plus 0, 1, W and W+1. Inside the image d = p - floor(p) is exact, so that
the weights have the very bits of the exported ones. The window's bounds are compared with p itself.

An axis of a size that is dynamic may have a single pixel at run time. Its cell is that pixel twice: both corners have
one index, and b is 0; the hat around b+1 is 0 everywhere; the window 0 <= p < S-1, which is empty then, is
floor(p) == b for a b of -1/2, which no floor is and which is 0 as an index.

Operands carry an axis of size 1 for the corners (the corner axis); coordinates may broadcast along others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, cast

import numpy as np

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder, Dim
from onnxgs_opt.lowering.emit.views import emit_view
from onnxgs_opt.samplers.policy import WINDOWS, Policy, Window
from onnxgs_opt.samplers.site import Site
from onnxgs_opt.samplers.view import View, known_product

INT32_LIMIT = 2**31
SINGLE = 4  # bytes
EXACT = 2**24
"""Up to here fp32 holds every integer."""


@dataclass(frozen=True)
class Cells:
    """The cell of each point: where its first pixel is, and how much its columns and its rows count.

    `index` is y*W + x within one plane of the image, no channel and no batch offset in it: [N, 1, Ho, Wo]. `columns`
    are the weights of the left and the right column, `rows` of the upper and the lower row with the window's mask in
    them; each broadcasts to the index. `right` and `down` are what the index of the next column and the next row has
    more, 1 and W, or 0 where there is none; `next_row` is 1 or 0. `inside` is the window, None where every point is in
    it; `mask` is that of `Emitted`.
    """

    index: Tensor
    columns: tuple[Tensor, Tensor]
    rows: tuple[Tensor, Tensor]
    right: Dim
    down: Dim
    next_row: Dim
    inside: Tensor | None = None
    mask: Tensor | None = None

    def corner_weights(self, builder: Builder) -> tuple[Tensor, ...]:
        """Weights of the corners in the order of the index's steps 0, 1, W, W+1."""
        return tuple(builder.op("Mul", column, row) for row in self.rows for column in self.columns)


def emit_cells(builder: Builder, site: Site, image: Tensor) -> Cells:
    """Write index and weights for image [N, C, H, W]; the index is as `index_type` has it.

    The innermost axis stays Wo: onnxruntime takes 15 times as long for [N, Ho, Wo, 1] against a scalar.
    """
    # A Reshape may tell sizes that the file leaves open: they decide the type of the index, to which no int64 is added.
    sizes = builder.dim(image, 2), builder.dim(image, 3)
    height, width = (own or size for own, size in zip(site.image_size, sizes, strict=True))
    x, y = emit_pixels(builder, site, (height, width), 1)
    across, down = (axis_cell(builder, p, size, site.policy) for p, size in ((x, width), (y, height)))
    inside = emit_inside(builder, site.policy, (across, down))
    own = None if inside is None else as_own_mask(builder, site.mask, inside)
    mask = None if inside is None else builder.cast(inside, across.dtype)
    columns, rows = axis_weights(builder, across, site.policy, None), axis_weights(builder, down, site.policy, mask)
    line = builder.dims_product([width, down.step])
    index = linear_index(builder, site, (down, across), index_type(site))
    return Cells(index, columns, rows, across.step, line, down.step, inside, own)


def linear_index(builder: Builder, site: Site, cells: Sequence[AxisCell], whole: type[np.signedinteger[Any]]) -> Tensor:
    """(z*H + y)*W + x of the first pixel, `cells` being those of the image's axes in their order.

    It is computed in fp32 where that is exact: one conversion instead of several.
    """
    firsts = [cast(Tensor, cell.first) for cell in cells]
    pixels = known_product(site.image_size) if isinstance(cells[-1].size, int) else None
    if pixels is None or pixels > EXACT or not all(first.dtype == np.float32 for first in firsts):
        firsts = [builder.cast(first, whole) for first in firsts]
    index = firsts[0]
    for first, cell in zip(firsts[1:], cells[1:], strict=True):
        size = cell.size if isinstance(cell.size, int) else builder.cast(cell.size, whole)
        index = builder.op("Add", builder.op("Mul", index, size), first)
    return builder.cast(index, whole)


@dataclass(frozen=True)
class Corners:
    """Where the four corners of each point are, and how much each counts; both [N, 4, Ho, Wo]; `mask` as in `Cells`."""

    index: Tensor
    weights: Tensor
    mask: Tensor | None


def emit_corners(builder: Builder, site: Site, image: Tensor) -> Corners:
    """Write index and weights with the four corners stacked along axis 1."""
    cells = emit_cells(builder, site, image)
    (left, right), (upper, lower) = cells.columns, cells.rows
    stacked = (builder.concat([left, right, left, right], 1), builder.concat([upper, upper, lower, lower], 1))
    index = builder.op("Add", cells.index, emit_steps(builder, (cells.down, cells.right), index_type(site)))
    return Corners(index, builder.op("Mul", *stacked), cells.mask)


def emit_pixels(builder: Builder, site: Site, sizes: tuple[Dim, Dim], axis: int) -> tuple[Tensor, Tensor]:
    """Pixel coordinates x and y [N, Ho, Wo] with an axis of size 1 at `axis` (1 or 3); `sizes` are (H, W).

    Where the model computes none, they follow from the grid in the order of roundings of onnxruntime's GridSample.
    """
    if site.x is not None and site.y is not None:
        return _alike(builder, *(emit_view(builder, view.with_unit_axis(axis)) for view in (site.x, site.y)))
    grid = emit_view(builder, cast(View, site.grid))
    if float_type(grid).itemsize < SINGLE:  # half precision cannot tell neighbouring pixels apart
        grid = builder.cast(grid, np.float32)
    x, y = builder.split(grid, 3, [1, 1])[:: -1 if site.flipped else 1]
    if axis != 3:
        x, y = (builder.unsqueeze(builder.squeeze(p, [3]), [axis]) for p in (x, y))
    if site.coordinates == "pixel":
        return x, y
    height, width = sizes
    return as_pixels(builder, site, x, width), as_pixels(builder, site, y, height)


def _alike(builder: Builder, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Two float tensors in the wider of their types, which holds the numbers of both."""
    if x.dtype is None or y.dtype is None or x.dtype == y.dtype:
        return x, y
    wide = np.result_type(x.dtype, y.dtype)
    return builder.cast(x, wide), builder.cast(y, wide)


def as_pixels(builder: Builder, site: Site, g: Tensor, size: Dim) -> Tensor:
    """The pixels of a grid's coordinate along an axis: (g+1)/2*(S-1) with aligned corners, else ((g+1)*S-1)/2."""
    shifted = builder.op("Add", g, 1.0)
    if site.align_corners:
        return builder.op("Mul", builder.op("Mul", shifted, 0.5), bound(builder, size, -1, g.dtype))
    scaled = builder.op("Sub", builder.op("Mul", shifted, bound(builder, size, 0, g.dtype)), 1.0)
    return builder.op("Mul", scaled, 0.5)


@dataclass(frozen=True)
class AxisCell:
    """Along one axis: the coordinate p, the size S, floor(p) and the first pixel b of the cell, as floats.

    `step` is how far the second pixel is from the first: 1, and 0 where the axis has a single one.
    """

    p: Tensor
    size: Dim
    floor: Tensor | None = None
    first: Tensor | None = None
    step: Dim = 1

    @property
    def dtype(self) -> Any:
        """Element type of the coordinate; fp32 where the model does not say."""
        return float_type(self.p)


def emit_inside(builder: Builder, policy: Policy, cells: Sequence[AxisCell]) -> Tensor | None:
    """The window along all axes as a boolean tensor [N, 1, Ho, Wo]; None when every coordinate is in it."""
    window = WINDOWS[policy.window]
    if policy.window == "all":
        return None
    tests = [test for cell in cells for test in _tests(builder, cell, window)]
    inside = tests[0]
    for test in tests[1:]:
        inside = builder.op("And", inside, test)
    return inside


def as_own_mask(builder: Builder, view: View | None, inside: Tensor) -> Tensor | None:
    """The window [N, 1, Ho, Wo] or [N, Ho, Wo] as the model's own mask has it; None where the shapes may differ.

    Exported masks compare [N, Ho, Wo, 1] with a scalar, which can cost as much as all four reads.
    """
    if view is None:
        return None
    old = builder.graph.tensor(view.tensor)
    if view.split is not None or any(len(group) > 1 for group in view.groups) or old.dtype is None:
        return None
    corners = int(len(inside.shape or ()) > len(view.groups))
    axes = [*range(1, 1 + corners), *(k + corners * (k > 0) for k, group in enumerate(view.groups) if not group)]
    new = builder.squeeze(inside, sorted(axes))
    kept = sorted(view.order)
    new = builder.transpose(new, [view.order.index(axis) for axis in kept])
    new = builder.cast(builder.unsqueeze(new, [k for k in range(view.rank) if k not in kept]), old.dtype)
    same = new.shape is not None and None not in new.shape and new.shape == list(old.shape or [])
    return new if same else None


def is_inside_image(policy: Policy) -> bool:
    """Whether every coordinate of the window lies in [0, S-1]."""
    window = WINDOWS[policy.window]
    return window.lo is not None and window.lo >= 0 and window.hi is not None and window.hi <= -1


def float_type(tensor: Tensor) -> Any:
    """Element type of a float tensor, fp32 where it is not known."""
    return np.dtype(np.float32) if tensor.dtype is None else tensor.dtype


def index_type(site: Site) -> type[np.signedinteger[Any]]:
    """The integer type that surely holds every linear index of the image."""
    pixels = known_product((site.batch, *site.image_size))
    return np.int32 if pixels is not None and pixels < INT32_LIMIT else np.int64


def axis_cell(builder: Builder, p: Tensor, size: Dim, policy: Policy) -> AxisCell:
    """The cell along one axis of a coordinate in pixels."""
    floor = builder.op("Floor", p)
    if isinstance(size, int):
        return AxisCell(p, size, floor, clamped(builder, floor, size, -2))
    least = -0.5 if policy.window == "interior" else 0.0
    high = builder.op("Max", bound(builder, size, -2, float_type(p)), least)
    step = builder.clip(builder.op("Sub", size, 1), None, 1)
    return AxisCell(p, size, floor, builder.clip(floor, 0.0, high), step)


def axis_weights(builder: Builder, cell: AxisCell, policy: Policy, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Weights of both pixels of the cell along one axis, times the mask."""
    contained = is_inside_image(policy)
    clamps = policy.border == "border" and not contained
    known = isinstance(cell.size, int)
    p = clamped(builder, cell.p, cell.size, -1) if clamps and known else cell.p
    offset = builder.op("Sub", p, cell.first)
    if clamps and not known:  # the same with one node less: b is 0 before the image, and S-2 behind it
        offset = builder.op("Clip", offset, 0.0, 1.0)
    if policy.border == "zeros" and not contained:
        low, high = _hats(builder, offset, cell.step)
        return (low, high) if mask is None else (builder.op("Mul", low, mask), builder.op("Mul", high, mask))
    if mask is None:
        return builder.op("Sub", 1.0, offset), offset
    high = builder.op("Mul", offset, mask)
    return builder.op("Sub", mask, high), high


def _hats(builder: Builder, d: Tensor, step: Dim) -> tuple[Tensor, Tensor]:
    """Weights of two neighbouring pixels at distance d from the first: 0 beyond 1 from each.

    Where `step` is 0 there is no second one, and its weight is 0.
    """
    reach = 2.0 * step if isinstance(step, int) else builder.op("Mul", builder.cast(step, float_type(d)), 2.0)
    low = builder.op("Min", builder.op("Sub", 1.0, d), builder.op("Add", d, 1.0))
    high = builder.op("Min", d, builder.op("Sub", reach, d))
    return builder.op("Relu", low), builder.op("Relu", high)


def clamped(builder: Builder, p: Tensor, size: Dim, last: int) -> Tensor:
    """Clamp to [0, S+last]. Opset 11 clamps floats only, so this comes before the cast to integers."""
    high = bound(builder, size, last, float_type(p))
    if isinstance(size, int):
        return builder.op("Clip", p, 0.0, high)
    return builder.clip(p, 0.0, high)


def _tests(builder: Builder, cell: AxisCell, window: Window) -> list[Tensor]:
    """What has to hold along one axis; 0 <= p < S-1 is that clamping floor(p) to [0, S-2] changes nothing."""
    if window == WINDOWS["interior"] and cell.first is not None:
        return [builder.op("Equal", cell.floor, cell.first)]
    tests = []
    if window.lo is not None:
        low = builder.const(window.lo, cell.dtype)
        tests.append(comparison(builder, "Greater", "Less", cell.p, low, window.lo_closed))
    if window.hi is not None:
        high = bound(builder, cell.size, window.hi, cell.dtype)
        tests.append(comparison(builder, "Less", "Greater", cell.p, high, window.hi_closed))
    return tests


def comparison(builder: Builder, op_type: str, opposite: str, p: Tensor, bound: Tensor, closed: bool) -> Tensor:
    """Compare p with a bound, by `op_type` where that is open, else by its opposite negated or a newer operator."""
    if not closed:
        return builder.op(op_type, p, bound)
    if builder.opset >= 12:  # they are this young
        return builder.op(f"{op_type}OrEqual", p, bound)
    return builder.op("Not", builder.op(opposite, p, bound))


def bound(builder: Builder, size: Dim, offset: int, dtype: Any) -> Tensor:
    """S + offset as a number of a type."""
    if isinstance(size, int):
        return builder.const(size + offset, dtype)
    return builder.cast(size if offset == 0 else builder.op("Add", size, offset), dtype)


def emit_steps(builder: Builder, strides: Sequence[Dim], whole: type[np.signedinteger[Any]]) -> Tensor:
    """What the corners' indices have more than the first, [1, 2^k, 1, 1], given what a step along each axis adds.

    For the strides (W, 1) of two axes these are 0, 1, W, W+1.
    """
    corners = np.indices([2] * len(strides)).reshape(len(strides), 1, -1, 1, 1).astype(whole)
    if all(isinstance(stride, int) for stride in strides):
        return builder.const(sum(places * whole(own) for places, own in zip(corners, strides, strict=True)), whole)
    parts = [
        builder.const(places * whole(stride))
        if isinstance(stride, int)
        else builder.op("Mul", builder.const(places), builder.cast(stride, whole))
        for places, stride in zip(corners[::-1], strides[::-1], strict=True)
    ]
    return reduce(lambda total, part: builder.op("Add", total, part), parts)
