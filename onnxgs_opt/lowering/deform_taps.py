"""Where the points of a small deformable convolution read, and how much each pixel counts, in few nodes.

Of small sizes a node is most of the time that it takes. Here rows and columns of all points are made by the same
nodes, and so are the weights of both pixels along an axis: 23 nodes, where a sampler's own arithmetic (`emit.cells`),
which has other borders and dynamic sizes, too, has 45.
"""

from __future__ import annotations

from math import prod
from typing import cast

import numpy as np

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.lowering.deform_conv import emit_channels
from onnxgs_opt.lowering.deform_samples import emit_offsets, has_small_table, places_of
from onnxgs_opt.lowering.emit.cells import EXACT
from onnxgs_opt.samplers.deform import DeformSite
from onnxgs_opt.samplers.view import Array

CORNERS = np.array([0, 1])
"""The pixels along an axis that a point reads, counted from the first one."""


def has_few_taps(site: DeformSite) -> bool:
    """Whether sizes are static and small, and all channels are read at the same points."""
    own = site.geometry
    if not has_small_table(site) or own.groups > 1 or own.offset_groups > 1:
        return False
    return None not in site.sizes and prod(cast("tuple[int, ...]", _image(site))) * own.points <= EXACT


def _image(site: DeformSite) -> tuple[int | None, ...]:
    """N, H and W."""
    return site.sizes[:1] + site.sizes[2:4]


def emit_taps(builder: Builder, site: DeformSite) -> tuple[Tensor, Tensor]:
    """The rows that a position reads, those of `deform_gather`, and how much each counts, side by side.

    The weight of a pixel at a distance d along an axis is max(1 - d, 0). A point outside reads pixels at the edge,
    which are further away.

    Returns:
        The rows [N, Ho * Wo, points * 4] and the shares [N, Ho * Wo, 1, points * 4], both without N where that is 1.
    """
    own, count = site.geometry, prod(cast("tuple[int, ...]", site.sizes[5:]))
    batch, height, width = cast("tuple[int, ...]", _image(site))
    at = builder.op("Add", _offsets(builder, site, count), places_of(site)[:, :, None].astype(np.float32))
    first = _first(builder, at, height, width)
    apart = builder.op("Sub", builder.op("Sub", at, first), CORNERS[:, None].astype(np.float32))
    rows, columns = builder.split(builder.op("Relu", builder.op("Sub", 1.0, builder.op("Abs", apart))), 2, [1, 1])
    rows = builder.reshape(rows, [batch, own.points, 2, 1, count])
    if site.mask is not None:
        mask = emit_channels(builder, site.mask)
        rows = builder.op("Mul", rows, builder.reshape(mask, [batch, own.points, 1, 1, count]))
    shares = builder.op("Mul", rows, columns)
    steps = own.points * np.array([width, 1], np.float32).reshape(2, 1, 1)
    corner = builder.op("Add", *builder.split(builder.op("Mul", first, steps), 2, [1, 1]))
    index = builder.op("Add", builder.cast(corner, np.int32), _further(site))
    items, taps = [batch] * (batch > 1), len(CORNERS) ** 2 * own.points
    index, shares = builder.reshape(index, [*items, taps, count]), builder.reshape(shares, [*items, 1, taps, count])
    k = len(items)
    return builder.transpose(index, [*range(k), k + 1, k]), builder.transpose(shares, [*range(k), k + 2, k, k + 1])


def _offsets(builder: Builder, site: DeformSite, count: int) -> Tensor:
    """The offsets [N, points, 2, 1, Ho * Wo], y before x."""
    parts = emit_offsets(builder, site)
    shape = [site.sizes[0] or 1, site.geometry.points, 2 // len(parts), 1, count]
    return builder.concat([builder.reshape(part, shape) for part in parts], 2)


def _first(builder: Builder, at: Tensor, height: int, width: int) -> Tensor:
    """The first row and the first column that points read: see `emit.cells`."""
    floor = builder.op("Floor", at)
    if height == width:
        return builder.op("Clip", floor, 0.0, float(height - 2))
    return builder.clip(floor, 0.0, np.array([height - 2, width - 2], np.float32).reshape(2, 1, 1))


def _further(site: DeformSite) -> Array:
    """What the rows of taps have more than that of their first pixel in the first item, [N, points, 2, 2, 1]."""
    batch, height, width = cast("tuple[int, ...]", _image(site))
    items = height * width * np.arange(batch)[:, None, None, None]
    pixels = items + width * CORNERS[:, None] + CORNERS
    further = pixels * site.geometry.points + np.arange(site.geometry.points)[:, None, None]
    return np.asarray(further[..., None].astype(np.int32))
