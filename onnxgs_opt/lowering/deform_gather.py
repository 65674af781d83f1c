"""A deformable convolution without DeformConv: pixels are weighted first, then one read has all points of the kernel.

What is made at a position is a sum over the points k of the kernel and the four pixels p around each: of the share of p
times weights[k] . image[p]. These products, of every pixel with the weights of every point, are one MatMul, of which
a position reads four rows a point. The samples, as many times the image as the kernel has points, are never laid out
for a convolution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import lcm, prod
from typing import cast

import numpy as np

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder, Dim
from onnxgs_opt.ir.constants import constant_value
from onnxgs_opt.lowering import LOWERINGS, refusal_of
from onnxgs_opt.lowering.base import gather_refusal
from onnxgs_opt.lowering.blocked_gather import BLOCK, block_refusal, emit_blocks, scan_refusal
from onnxgs_opt.lowering.deform_conv import NAME, emit_channels, emit_deform_conv, emit_weights
from onnxgs_opt.lowering.deform_samples import (
    Dims,
    as_sampler,
    emit_offsets,
    emit_output,
    emit_pixels,
    emit_weighed,
    sampler_at,
)
from onnxgs_opt.lowering.deform_taps import emit_taps, has_few_taps
from onnxgs_opt.lowering.emit.cells import INT32_LIMIT, emit_corners
from onnxgs_opt.lowering.emit.image_layouts import plus_items
from onnxgs_opt.lowering.emit.views import emit_view
from onnxgs_opt.lowering.merged_gather import SHORT_FLOATS
from onnxgs_opt.runtime import Quirk
from onnxgs_opt.runtime.target import Target
from onnxgs_opt.samplers.deform import DeformSite, Geometry
from onnxgs_opt.samplers.view import View, known_product

MERGED, BLOCKED = "merged-gather", "blocked-gather"

CORNERS = 4
MOST_PARTS = 2
"""Offset groups in a group of channels: of each, a point reads a row of all that the group makes."""

SHORTEST = 16
"""Channels that a group makes: of shorter rows onnxruntime reads fewer bytes in the same time."""


def is_whole(name: str, site: DeformSite) -> bool:
    """Whether a lowering writes all of a site, not the sampler in it alone: no cell of pixels has a single row."""
    return name == NAME or 1 not in site.sizes[2:4]


def is_read_last(name: str, site: DeformSite) -> bool:
    """Whether a lowering weighs pixels before it reads them: where rows are neither many nor short."""
    own = site.geometry
    few = _parts(own) <= MOST_PARTS and (own.groups == 1 or (site.sizes[4] or 0) >= SHORTEST * own.groups)
    return name in READ_LAST and few


def whole_refusals(site: DeformSite, target: Target) -> dict[str, str | None]:
    """What the lowerings say of a site, of which they write all."""
    sampler = as_sampler(site)
    said = {name: refusal_of(lowering, sampler, target) for name, lowering in LOWERINGS.items()}
    if not is_read_last(MERGED, site):
        return said
    short = SHORT_FLOATS if Quirk.SHORT_FLOATS_BY_DEFAULT in target.quirks else None
    merged = short or gather_refusal(MERGED, sampler, target)
    blocked = merged or scan_refusal(target)
    points = known_product((site.sizes[0], site.geometry.groups, *site.sizes[5:]))
    if blocked is None and points is None:
        blocked = "blocked-gather needs to know the number of positions, and it is dynamic"
    return {**said, MERGED: merged, BLOCKED: blocked or block_refusal(points or 0, _block(site))}


def _parts(geometry: Geometry) -> int:
    return lcm(geometry.groups, geometry.offset_groups) // geometry.groups


def _block(site: DeformSite) -> float:
    """How many positions a block of `blocked-gather` has, about."""
    return BLOCK * site.geometry.groups / ((site.sizes[4] or 1) * site.geometry.points * _parts(site.geometry))


def emit_merged(builder: Builder, site: DeformSite) -> Tensor:
    """The output of a site, by one read."""
    reads = _emit_reads(builder, site)
    read = builder.op("Gather", reads.rows, reads.index, axis=0)
    sums = builder.op("MatMul", reads.shares, read)
    last = len(sums.shape or [0] * 5) - 1
    turned = builder.transpose(sums, [*range(last - 2), last - 1, last, last - 2])
    return emit_output(builder, site, turned, reads.dims)


def emit_blocked(builder: Builder, site: DeformSite) -> Tensor:
    """The output of a site, by one read of a block of positions at a time; its sizes are static."""
    reads, groups = _emit_reads(builder, site), site.geometry.groups
    batch, _, _, _, made, *positions = cast("tuple[int, ...]", site.sizes)
    count, taps = batch * groups * prod(positions), CORNERS * site.geometry.points * _parts(site.geometry)
    sizes = (count, taps, made // groups)
    sums = emit_blocks(builder, reads.rows, (reads.index, reads.shares), sizes, _block(site))
    sums = builder.reshape(sums, [batch, groups, -1, made // groups])
    return emit_output(builder, site, builder.transpose(sums, [0, 1, 3, 2]), reads.dims)


@dataclass(frozen=True)
class _Reads:
    """Rows [R, O / groups] of weighted pixels, and by position the T of them that are read, and their shares.

    Both lie as [N, groups, Ho * Wo, T], with a 1 before T in shares, and may lack axes of 1 in front.
    """

    rows: Tensor
    index: Tensor
    shares: Tensor
    dims: Dims


def _emit_reads(builder: Builder, site: DeformSite) -> _Reads:
    """What is read, where, and how much of it counts."""
    own = site.geometry
    image = emit_view(builder, site.image)
    if has_few_taps(site):
        batch, _, height, width, _, *positions = cast("tuple[int, ...]", site.sizes)
        index, shares = emit_taps(builder, site)
        return _Reads(_emit_rows(builder, site, image, height * width), index, shares, [batch, *positions])
    pixels = emit_pixels(builder, site, emit_offsets(builder, site))
    dims = [builder.dim(pixels[0], axis) for axis in (0, 2, 3)]
    y, x = (View(tensor.name, ((0,), (1,), (2, 3))) for tensor in pixels)
    corners = emit_corners(builder, sampler_at(site, site.image, y, x), image)
    shares = corners.weights
    if site.mask is not None:
        mask = emit_channels(builder, site.mask)
        shares = builder.op("Mul", shares, _apart(builder, mask, [1, own.offset_groups * own.points], dims))
    plane = builder.dims_product([builder.dim(image, 2), builder.dim(image, 3)])
    index = _emit_index(builder, site, corners.index, dims, plane)
    every = lcm(own.groups, own.offset_groups)
    if every > own.offset_groups:
        shares = _apart(builder, shares, [CORNERS, own.offset_groups, 1, own.points], dims)
        repeats = np.array([1, 1, 1, every // own.offset_groups, 1, 1], np.int64)
        shares = builder.op("Expand", shares, builder.const(repeats))
    index, shares = (_by_group(builder, own, taps, dims) for taps in (index, shares))
    return _Reads(_emit_rows(builder, site, image, plane), index, builder.unsqueeze(shares, [3]), dims)


def _emit_index(builder: Builder, site: DeformSite, pixels: Tensor, dims: Dims, plane: Dim) -> Tensor:
    """The rows [N, 4, offset groups, parts, points, Ho*Wo] of pixels [N, 4, offset groups * points, Ho*Wo]."""
    own = site.geometry
    every = lcm(own.groups, own.offset_groups)
    rows = known_product((site.sizes[0], every, *site.sizes[2:4], own.points))
    kind = np.int32 if rows is not None and rows < INT32_LIMIT else np.int64
    index = builder.op("Mul", builder.cast(pixels, kind), own.points)
    index = _apart(builder, index, [CORNERS, own.offset_groups, 1, own.points], dims)
    index = builder.op("Add", index, np.arange(own.points, dtype=kind)[:, None])
    items = builder.dims_product([dims[0], every])
    if isinstance(items, int) and items == 1:
        return index
    column = [dims[0] if isinstance(dims[0], int) else -1, 1, own.offset_groups, every // own.offset_groups, 1, 1]
    return plus_items(builder, index, (items, builder.dims_product([plane, own.points])), kind, column)


def _emit_rows(builder: Builder, site: DeformSite, image: Tensor, plane: Dim) -> Tensor:
    """Every pixel times the weights of every point: rows of O / groups, by item, part of the channels, pixel and point.

    A part of the channels is what a group and an offset group have in common.
    """
    own, channels, made = site.geometry, site.sizes[1] or 1, site.sizes[4] or 1
    every = lcm(own.groups, own.offset_groups)
    lead = [] if every == 1 else [every]
    apart = [own.groups, made // own.groups, every // own.groups, channels // every, own.points]
    together = [*lead, channels // every, own.points * made // own.groups]
    weights = emit_weights(builder, site)
    value = constant_value(weights)
    if value is not None:
        weights = builder.const(value.reshape(apart).transpose(0, 2, 3, 4, 1).reshape(together))
    else:
        weights = builder.reshape(builder.transpose(builder.reshape(weights, apart), [0, 2, 3, 4, 1]), together)
    pixels = builder.reshape(image, [builder.dim(image, 0), *lead, channels // every, plane])
    rank = 3 + len(lead)
    pixels = builder.transpose(pixels, [*range(rank - 2), rank - 1, rank - 2])
    return builder.reshape(builder.op("MatMul", pixels, weights), [-1, made // own.groups])


def _by_group(builder: Builder, own: Geometry, taps: Tensor, dims: Dims) -> Tensor:
    """What is [N, 4, ..., points, Ho*Wo] as [N, groups, Ho*Wo, T], with one axis moved where that will do."""
    inner = own.points * _parts(own)
    if own.groups == 1:
        return builder.transpose(_apart(builder, taps, [1, CORNERS * inner], dims), [0, 1, 3, 2])
    turned = builder.transpose(_apart(builder, taps, [CORNERS, own.groups, inner], dims), [0, 2, 4, 1, 3])
    return builder.reshape(turned, [dims[0], own.groups, builder.dims_product(dims[1:]), CORNERS * inner])


def _apart(builder: Builder, t: Tensor, inner: Sequence[int], dims: Dims) -> Tensor:
    """What has N first and Ho*Wo last, with these axes between."""
    return builder.reshape(t, [dims[0], *inner, builder.dims_product(dims[1:])])


READ_LAST: dict[str, Callable[[Builder, DeformSite], Tensor]] = {MERGED: emit_merged, BLOCKED: emit_blocked}
"""What weighs pixels before it reads them, by the lowering's name."""


def emit_whole(builder: Builder, site: DeformSite, name: str) -> Tensor:
    """The output of a site, all of which the lowering `name` writes."""
    if name == NAME:
        return emit_deform_conv(builder, site)
    return READ_LAST[name](builder, site) if is_read_last(name, site) else emit_weighed(builder, site, name)
