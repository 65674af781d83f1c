"""The arithmetic that lowerings share: the 2x2 cell of pixels around a point, and the weights of its corners.

A cell never leaves the image: its first pixel is b = clamp(floor(p), 0, S-2) on each axis, and the weights
of b and b+1 follow from d = p - b, for every border policy:

* window inside the image:  1-d, d               (outside the window they are multiplied by 0)
* border:                   1-d, d               with p clamped to [0, S-1] first
* zeros:                    relu(min(1-d, 1+d)), relu(min(d, 2-d))     (hat functions around b and b+1)

So all four corners are one index plus 0, 1, W and W+1. Inside the image d = p - floor(p) is exact, so that
the weights have the very bits of the exported ones. The window's bounds are compared with p itself.

Operands carry an axis of size 1 for the corners (the corner axis); coordinates may broadcast along others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import onnx_graphsurgeon as gs

from onnxgs_opt.builder import Builder, Dim
from onnxgs_opt.site import WINDOWS, Policy, Site, View, Window
from onnxgs_opt.views import emit_view

INT32_LIMIT = 2**31


@dataclass(frozen=True)
class Corners:
    """Where the four corners of each point are, and how much each counts; stacked along the corner axis.

    `index` is y*W + x within one plane of the image: no channel and no batch offset in it.
    """

    index: gs.Tensor
    weights: gs.Tensor


def emit_corners(builder: Builder, site: Site, image: gs.Tensor, axis: int) -> Corners:
    """Write index and weights of shape [N, Ho, Wo] with the four corners inserted at `axis` (1 or 3).

    `image` is [N, C, H, W]. The index is int32 where the image's size is known to allow it, else int64.
    """
    x, y = (emit_view(builder, with_unit_axis(view, axis)) for view in (site.x, site.y))
    height, width = builder.dim(image, 2), builder.dim(image, 3)
    across, down = _cell(builder, x, width), _cell(builder, y, height)
    mask = emit_mask(builder, site, across, down, axis)
    wx, wy = _weights(builder, across, site.policy, None), _weights(builder, down, site.policy, mask)
    whole = index_type(site)
    row, column = builder.cast(down.first, whole), builder.cast(across.first, whole)
    start = builder.op("Add", builder.op("Mul", row, width), column)
    stacked = (
        builder.concat([wx[0], wx[1], wx[0], wx[1]], axis),
        builder.concat([wy[0], wy[0], wy[1], wy[1]], axis),
    )
    index = builder.op("Add", start, _steps(builder, width, whole, axis))
    return Corners(index, builder.op("Mul", *stacked))


@dataclass(frozen=True)
class AxisCell:
    """Along one axis: the coordinate p, the size S, floor(p) and the first pixel b of the cell, as floats."""

    p: gs.Tensor
    size: Dim
    floor: gs.Tensor | None = None
    first: gs.Tensor | None = None

    @property
    def dtype(self) -> Any:
        """Element type of the coordinate; fp32 where the model does not say."""
        return float_type(self.p)


def emit_mask(builder: Builder, site: Site, across: AxisCell, down: AxisCell, axis: int) -> gs.Tensor | None:
    """The window as a 0/1 tensor of the coordinates' type; None when every coordinate is in it.

    A mask that the model keeps is shared. One that would be left for the sampler alone is made anew by
    equal comparisons: exported ones compare [N, Ho, Wo, 1] with a scalar, for which onnxruntime takes 15
    times as long as for [N, 1, Ho, Wo].
    """
    window = WINDOWS[site.policy.window]
    if site.policy.window == "all":
        return None
    if site.mask is not None:
        mask = emit_view(builder, with_unit_axis(site.mask, axis))
        return builder.cast(mask, across.dtype)
    tests = [*_tests(builder, across, window), *_tests(builder, down, window)]
    inside = tests[0]
    for test in tests[1:]:
        inside = builder.op("And", inside, test)
    return builder.cast(inside, across.dtype)


def with_unit_axis(view: View, axis: int) -> View:
    """The same view with an axis of size 1 at `axis`: one that it would drop, if there is any."""
    spare = sorted(set(range(view.rank)) - set(view.order))[:1]
    groups = (*view.groups[:axis], tuple(spare), *view.groups[axis:])
    return replace(view, groups=groups, units=view.units - len(spare))


def float_type(tensor: gs.Tensor) -> Any:
    """Element type of a float tensor, fp32 where it is not known."""
    return np.dtype(np.float32) if tensor.dtype is None else tensor.dtype


def index_type(site: Site) -> type[np.signedinteger[Any]]:
    """The integer type that surely holds every linear index of the image."""
    sizes = (site.batch, *site.image_size)
    if any(size is None for size in sizes):
        return np.int64
    return np.int32 if int(np.prod([s for s in sizes if s], dtype=np.int64)) < INT32_LIMIT else np.int64


def _cell(builder: Builder, p: gs.Tensor, size: Dim) -> AxisCell:
    floor = builder.op("Floor", p)
    return AxisCell(p, size, floor, _clamp(builder, floor, size, -2))


def _weights(builder: Builder, cell: AxisCell, policy: Policy, mask: gs.Tensor | None) -> tuple[gs.Tensor, gs.Tensor]:
    """Weights of both pixels of the cell along one axis, times the mask."""
    contained = _inside_image(WINDOWS[policy.window])
    clamps = policy.border == "border" and not contained
    p = _clamp(builder, cell.p, cell.size, -1) if clamps else cell.p
    offset = builder.op("Sub", p, cell.first)
    if policy.border == "zeros" and not contained:
        return _masked(builder, _hats(builder, offset), mask)
    if mask is None:
        return builder.op("Sub", 1.0, offset), offset
    high = builder.op("Mul", offset, mask)
    return builder.op("Sub", mask, high), high


def _hats(builder: Builder, d: gs.Tensor) -> tuple[gs.Tensor, gs.Tensor]:
    """Weights of two neighbouring pixels at distance d from the first: 0 beyond 1 from each."""
    low = builder.op("Min", builder.op("Sub", 1.0, d), builder.op("Add", d, 1.0))
    high = builder.op("Min", d, builder.op("Sub", 2.0, d))
    return builder.op("Relu", low), builder.op("Relu", high)


def _masked(
    builder: Builder, weights: tuple[gs.Tensor, gs.Tensor], mask: gs.Tensor | None
) -> tuple[gs.Tensor, gs.Tensor]:
    if mask is None:
        return weights
    return builder.op("Mul", weights[0], mask), builder.op("Mul", weights[1], mask)


def _inside_image(window: Window) -> bool:
    """Whether every coordinate of the window lies in [0, S-1]."""
    return window.lo is not None and window.lo >= 0 and window.hi is not None and window.hi <= -1


def _clamp(builder: Builder, p: gs.Tensor, size: Dim, last: int) -> gs.Tensor:
    """Clamp to [0, S+last]. Opset 11 clamps floats only, so this comes before the cast to integers."""
    high = _bound(builder, size, last, float_type(p))
    if isinstance(size, int):
        return cast(gs.Tensor, builder.op("Clip", p, 0.0, high))
    return builder.clip(p, 0.0, high)


def _tests(builder: Builder, cell: AxisCell, window: Window) -> list[gs.Tensor]:
    """What has to hold along one axis; 0 <= p < S-1 is that clamping floor(p) to [0, S-2] changes nothing."""
    if window == WINDOWS["interior"] and cell.first is not None:
        return [builder.op("Equal", cell.floor, cell.first)]
    tests = []
    if window.lo is not None:
        low = builder.const(window.lo, cell.dtype)
        tests.append(_compare(builder, "Greater", "Less", cell.p, low, window.lo_closed))
    if window.hi is not None:
        high = _bound(builder, cell.size, window.hi, cell.dtype)
        tests.append(_compare(builder, "Less", "Greater", cell.p, high, window.hi_closed))
    return tests


def _compare(builder: Builder, op_type: str, opposite: str, p: gs.Tensor, bound: gs.Tensor, closed: bool) -> gs.Tensor:
    if not closed:
        return cast(gs.Tensor, builder.op(op_type, p, bound))
    if builder.opset >= 12:  # they are this young
        return cast(gs.Tensor, builder.op(f"{op_type}OrEqual", p, bound))
    return cast(gs.Tensor, builder.op("Not", builder.op(opposite, p, bound)))


def _bound(builder: Builder, size: Dim, offset: int, dtype: Any) -> gs.Tensor:
    """S + offset as a float."""
    if isinstance(size, int):
        return builder.const(size + offset, dtype)
    return builder.cast(size if offset == 0 else builder.op("Add", size, offset), dtype)


def _steps(builder: Builder, width: Dim, whole: type[np.signedinteger[Any]], axis: int) -> gs.Tensor:
    """0, 1, W, W+1 along the corner axis."""
    shape = [4 if k == axis else 1 for k in range(4)]
    right = np.array([0, 1, 0, 1], whole).reshape(shape)
    down = np.array([0, 0, 1, 1], whole).reshape(shape)
    if isinstance(width, int):
        return builder.const(right + down * whole(width), whole)
    return cast(gs.Tensor, builder.op("Add", builder.op("Mul", builder.const(down), width), builder.const(right)))
