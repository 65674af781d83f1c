"""A deformable convolution as samples at the points of its kernel, by any lowering, and one MatMul that weighs them.

The samples of every channel and point [N, C * points, Ho * Wo] are the right operand as they come: an exported Conv has
them laid out for it, which takes longer than it does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import cast

import numpy as np

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder, Dim
from onnxgs_opt.ir.constants import constant_value
from onnxgs_opt.lowering import LOWERINGS, emit
from onnxgs_opt.lowering.deform_conv import emit_channels, emit_weights
from onnxgs_opt.lowering.emit.views import emit_ramp, emit_view, regrouped
from onnxgs_opt.lowering.grid_sample import from_edges
from onnxgs_opt.samplers.deform import DeformSite
from onnxgs_opt.samplers.policy import Policy
from onnxgs_opt.samplers.site import AS_IT_IS, Site
from onnxgs_opt.samplers.view import Array, View, known_product

Dims = Sequence[Dim]
"""N, Ho and Wo."""

PLAIN = ((0,), (1,), (2,), (3,))
GRID_SAMPLE = "grid-sample"
XY = np.array([1, 0])
MOST_PLACES = 2**15
"""Elements of a table of places, 128 KiB of the file."""


def emit_weighed(builder: Builder, site: DeformSite, name: str) -> Tensor:
    """The output of a site: samples by the lowering `name`, times the mask, times the weights."""
    own, channels = site.geometry, site.sizes[1] or 1
    image, offsets = emit_view(builder, site.image), emit_offsets(builder, site)
    dims = [builder.dim(offsets[0], axis) for axis in (0, 2, 3)]
    items, positions = builder.dims_product([dims[0], own.offset_groups]), builder.dims_product(dims[1:])
    size = [builder.dim(image, axis) for axis in (2, 3)]
    image = builder.reshape(image, [items, channels // own.offset_groups, *size])
    if name == GRID_SAMPLE and is_small(site):
        sampler = _normalised(site, image, _emit_grid(builder, site, offsets, items))
    else:
        y, x = (builder.reshape(p, [items, own.points, positions]) for p in emit_pixels(builder, site, offsets))
        sampler = sampler_by_group(site, *map(_view, (image, y, x)))
    samples = emit(LOWERINGS[name], builder, sampler).samples
    if site.mask is not None:
        mask = builder.reshape(emit_channels(builder, site.mask), [items, 1, own.points, positions])
        samples = builder.op("Mul", samples, mask)
    columns = channels // own.groups * own.points
    lead = [own.groups] if own.groups > 1 else []
    samples = builder.reshape(samples, [dims[0], *lead, columns, positions])
    weights, made = emit_weights(builder, site), site.sizes[4] or 1
    shape, value = [*lead, made // own.groups, columns], constant_value(weights)
    weights = builder.reshape(weights, shape) if value is None else builder.const(value.reshape(shape))
    return emit_output(builder, site, builder.op("MatMul", weights, samples), dims)


def _view(t: Tensor) -> View:
    return View(t.name, PLAIN[: len(t.shape or PLAIN)])


def is_small(site: DeformSite) -> bool:
    """Whether `grid-sample` may read at places that are a table, and that is small."""
    return has_small_table(site) and from_edges(as_sampler(site))


def has_small_table(site: DeformSite) -> bool:
    """Whether the places of all points are a small table: a node is then most of the time that it takes."""
    sizes = [size for size in site.sizes[2:4] + site.sizes[5:] if size is not None]
    return len(sizes) == len(PLAIN) and 2 * site.geometry.points * prod(sizes[2:]) <= MOST_PLACES


def places_of(site: DeformSite) -> Array:
    """Where the points of a kernel are without offsets, in pixels: [points, 2, Ho * Wo], y before x."""
    own = site.geometry
    positions = np.indices(cast("tuple[int, ...]", site.sizes[5:])).reshape(2, -1)
    points = np.stack(np.divmod(np.arange(own.points), own.kernel[1]), 1)
    corner = points * own.dilations - np.array(own.pads[:2])
    return np.asarray(corner[:, :, None] + positions * np.array(own.strides)[:, None])


def _normalised(site: DeformSite, image: Tensor, grid: Tensor) -> Site:
    """Its sampler by group, at points that are from -1 to 1 between the edges of the image."""
    image_view, points = _view(image), _view(grid)
    plain = sampler_by_group(site, image_view, points, points)
    return replace(plain, x=None, y=None, grid=points, coordinates="normalised", align_corners=False)


def _emit_grid(builder: Builder, site: DeformSite, offsets: Sequence[Tensor], items: Dim) -> Tensor:
    """The points [N * offset groups, points, Ho * Wo, 2], x before y, from -1 to 1; both are made by the same nodes."""
    own, sizes = site.geometry, cast("tuple[int, ...]", site.sizes)
    half, places = np.array(sizes[3:1:-1])[:, None] / 2, places_of(site) + 0.5
    parts = [builder.reshape(part, [items, own.points, 2 // len(offsets), prod(sizes[5:])]) for part in offsets]
    both = builder.concat(parts[::-1], 2) if len(parts) > 1 else builder.op("Gather", parts[0], XY, axis=2)
    moved = builder.op("Add", both, places[:, ::-1].astype(np.float32))
    divisor = builder.const(half if half[0] != half[1] else half[0, 0], np.float32)
    return builder.transpose(builder.op("Sub", builder.op("Div", moved, divisor), 1.0), [0, 1, 3, 2])


def emit_output(builder: Builder, site: DeformSite, sums: Tensor, dims: Dims) -> Tensor:
    """The output of a site whose sums [N, groups, O / groups, Ho * Wo] these are."""
    made = site.sizes[4] or 1
    result = builder.reshape(sums, [dims[0], made, *dims[1:]])
    if site.weights.bias:
        bias = builder.reshape(builder.graph.tensor(site.weights.bias), [1, made, 1, 1])
        result = builder.op("Add", result, bias)
    return regrouped(builder, result, site.output_groups)


def emit_offsets(builder: Builder, site: DeformSite) -> list[Tensor]:
    """The offsets [N, offset groups * points * 2, Ho, Wo], y before x; or two tensors of half the channels."""
    return [emit_channels(builder, operand) for operand in site.offsets]


def emit_pixels(builder: Builder, site: DeformSite, offsets: list[Tensor]) -> list[Tensor]:
    """The rows and the columns [N, offset groups * points, Ho, Wo] that points are at, by their offsets."""
    own = site.geometry
    if len(offsets) == 1:
        batch, _, *positions = (builder.dim(offsets[0], axis) for axis in range(4))
        pairs = builder.reshape(offsets[0], [batch, len(site.offsets[0].table) // 2, 2, *positions])
        offsets = [builder.squeeze(part, [2]) for part in builder.split(pairs, 2, [1, 1])]
    pixels = []
    for axis, places in enumerate(np.divmod(np.arange(own.points), own.kernel[1])):
        first = np.tile(places * own.dilations[axis] - own.pads[axis], own.offset_groups).astype(np.float32)
        ramp = emit_ramp(builder, offsets[axis], 2 + axis, own.strides[axis], 4)
        pixels.append(builder.op("Add", offsets[axis], builder.op("Add", ramp, first[:, None, None])))
    return pixels


def as_sampler(site: DeformSite) -> Site:
    """The sampler of a site as lowerings write it, for what they say of it."""
    offsets = site.offsets[0].view
    return sampler_by_group(site, site.image, offsets, offsets)


def sampler_at(site: DeformSite, image: View, y: View, x: View) -> Site:
    """A sampler, zeros outside, of a site's image at pixels y and x; [N, offset groups * points, Ho * Wo] of them."""
    own, sizes = site.geometry, site.sizes
    return replace(
        site.plain,
        kind="bilinear",
        read_op="Gather",
        dtype="float32",
        types=("float32",),
        image=image,
        x=x,
        y=y,
        grid=None,
        mask=None,
        policy=Policy(),
        coordinates="pixel",
        align_corners=None,
        affine=AS_IT_IS,
        flipped=False,
        inside=False,
        batch=sizes[0],
        channels=sizes[1],
        image_size=sizes[2:4],
        sample_size=(own.offset_groups * own.points, known_product(sizes[5:])),
    )


def sampler_by_group(site: DeformSite, image: View, y: View, x: View) -> Site:
    """The same, of which each offset group is an item: [N * offset groups, points, Ho * Wo]."""
    own, (batch, channels) = site.geometry, site.sizes[:2]
    return replace(
        sampler_at(site, image, y, x),
        batch=None if batch is None else batch * own.offset_groups,
        channels=(channels or 1) // own.offset_groups,
        sample_size=(own.points, known_product(site.sizes[5:])),
    )
