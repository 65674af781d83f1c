"""Coordinates as one tensor [N, Ho, Wo, 2], x then y: what GridSample and the plugin read."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from itertools import combinations

import numpy as np

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.ir.constants import element_count
from onnxgs_opt.lowering.emit.cells import emit_pixels
from onnxgs_opt.lowering.emit.views import emit_view
from onnxgs_opt.samplers.site import Site
from onnxgs_opt.samplers.view import View


def emit_pixel_grid(builder: Builder, site: Site, image: Tensor) -> Tensor:
    """Pixel coordinates for every item of the batch: the model's own tensor where it holds them."""
    if site.grid is not None and site.coordinates == "pixel" and not site.flipped:
        return for_batch(builder, site.grid, image, emit_view(builder, site.grid))
    return as_grid(builder, site, image, *emit_pixels(builder, site, (builder.dim(image, 2), builder.dim(image, 3)), 3))


def as_grid(builder: Builder, site: Site, image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Coordinates [N, Ho, Wo, 1] of a site side by side, for every item of the batch."""
    return for_batch(builder, site.coordinate_views[0], image, builder.concat(of_one_shape(builder, x, y), 3))


def of_one_shape(builder: Builder, *points: Tensor) -> tuple[Tensor, ...]:
    """All coordinates of every point, where one of them broadcasts along an axis of another."""
    if not any(_differ(p, q) for p, q in combinations(points, 2)):
        return points
    if all(element_count(p) is not None for p in points):
        whole = builder.const(np.broadcast_shapes(*(p.shape for p in points)), np.int64)
        return tuple(builder.op("Expand", p, whole) for p in points)
    return tuple(reduce(_expanded(builder), (q for q in points if q is not p), p) for p in points)


def _expanded(builder: Builder) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda own, other: builder.op("Expand", own, builder.op("Shape", other))


def for_batch(builder: Builder, view: View, image: Tensor, grid: Tensor) -> Tensor:
    """Repeat a grid that all items of a batch share, as the operators want one grid an item."""
    if not has_one_item(builder, view):
        return grid
    batch = builder.dim(image, 0)
    if isinstance(batch, int) and batch == 1:
        return grid
    others = builder.const([1] * (len(grid.shape or [0] * 4) - 1), np.int64)
    return builder.op("Expand", grid, builder.concat([builder.sizes([batch]), others], 0))


def has_one_item(builder: Builder, view: View) -> bool:
    """Whether the operand surely is the same for all items of a batch: its first axis is 1."""
    shape = builder.graph.tensor(view.tensor).shape
    if view.split is not None or shape is None or not set(view.groups[0]).isdisjoint(view.repeated):
        return False
    return all(shape[axis] == 1 for axis in view.groups[0])


def _differ(x: Tensor, y: Tensor) -> bool:
    """Whether one of the two broadcasts against the other; of sizes with two names, one may be 1."""
    if x.shape is None or y.shape is None:
        return False
    return any((a == 1) != (b == 1) or _are_two_names(a, b) for a, b in zip(x.shape, y.shape, strict=True))


def _are_two_names(a: object, b: object) -> bool:
    return isinstance(a, str) and isinstance(b, str) and a != b
