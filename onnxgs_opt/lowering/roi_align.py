"""`roi-align`: one RoiAlign node, every point a region of one sample, which is bilinear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder, Dim
from onnxgs_opt.lowering.base import REORDERED, SLOPE, Emitted, Tolerance, bilinear_refusal
from onnxgs_opt.lowering.emit.cells import is_inside_image
from onnxgs_opt.lowering.emit.coordinates import emit_pixel_grid
from onnxgs_opt.lowering.emit.views import count_to, dim_of, emit_view, laid_out
from onnxgs_opt.lowering.emit.windows import bounds, far_where_outside
from onnxgs_opt.runtime import Quirk
from onnxgs_opt.runtime.target import Target
from onnxgs_opt.samplers.roi_align import RoiAlignSite
from onnxgs_opt.samplers.site import Site

FIRST_OPSET = 11
LAST_OPSET = 21
"""The newest whose RoiAlign onnxruntime has: that of opset 22 takes bfloat16 too."""
HALF_PIXELS_SINCE = 16

REACH = 4
"""Boxes reach about an image beyond theirs, and a place is rounded twice along each axis."""


@dataclass(frozen=True)
class RoiAlign:
    """Weights and indices are the operator's own, computed from the pixel coordinates themselves.

    A region that starts at p - 1/2 is made one pixel wide, and its only sample is taken in its middle. Both steps are
    exact from p = 1/4 on; below, p moves by 2^-26 at most. The operator repeats the outermost pixels, so that samplers
    which fade to zero beyond them are refused.
    """

    name: str = "roi-align"
    tolerance: Tolerance = REORDERED

    def refusal(self, site: Site, target: Target) -> str | None:
        """Refuse other borders than RoiAlign's, other types than fp32, and runtimes that take a few regions only."""
        if (other := bilinear_refusal(self.name, site)) is not None:
            return other
        if (unknown := _opset_refusal(target)) is not None:
            return unknown
        if Quirk.ROI_ALIGN_IS_FOR_FEW_REGIONS in target.quirks:
            return "TensorRT runs RoiAlign by a plugin for a few hundred regions, not for one a point"
        if (other := _type_refusal(site.dtype, site.types)) is not None:
            return other
        if site.policy.border == "zeros" and not (site.inside or is_inside_image(site.policy)):
            return "RoiAlign repeats the outermost pixels, and the sampler fades to zero beyond them"
        return None

    def emit(self, builder: Builder, site: Site) -> Emitted:
        """Write the sampler; see `Lowering.emit`."""
        image = emit_view(builder, site.image)
        points = builder.cast(emit_pixel_grid(builder, site, image), np.float32)
        channels, height, width = (builder.dim(image, axis) for axis in (1, 2, 3))
        start = builder.op("Sub", _clamped(builder, site, points, (height, width)), 0.5)
        start, mask = far_where_outside(builder, site, points, start, (height, width))
        regions = builder.concat([start, start], 3)
        items, lines, columns = (builder.dim(points, axis) for axis in range(3))
        samples = builder.op(
            "RoiAlign",
            image,
            builder.reshape(regions, [-1, 4]),
            _items(builder, items, builder.dims_product([lines, columns])),
            dtype=image.dtype,
            output_height=1,
            output_width=1,
            sampling_ratio=1,
            coordinate_transformation_mode="output_half_pixel" if builder.opset >= HALF_PIXELS_SINCE else None,
        )
        samples = builder.reshape(samples, [items, lines, columns, channels])
        return Emitted(builder.transpose(samples, [0, 3, 1, 2]), mask)


def _opset_refusal(target: Target) -> str | None:
    if target.opset < FIRST_OPSET:
        return f"roi-align needs opset >= {FIRST_OPSET}, the model has {target.opset}"
    if target.opset > LAST_OPSET:
        return f"onnxruntime has no RoiAlign of opset >= {LAST_OPSET + 1}, and the model has {target.opset}"
    if Quirk.OLD_ROI_ALIGN_IS_HALF_PIXEL in target.quirks and target.opset < HALF_PIXELS_SINCE:
        return f"the target moves the regions of a RoiAlign of opset < {HALF_PIXELS_SINCE} by half a pixel"
    return None


def _type_refusal(dtype: str, types: Sequence[str]) -> str | None:
    if dtype == "float32" and "float64" not in types:
        return None
    own = "float64" if "float64" in types else dtype
    return f"RoiAlign is used in float32 only, the sampler computes in {own}"


def _clamped(builder: Builder, site: Site, points: Tensor, sizes: tuple[Dim, Dim]) -> Tensor:
    """The points, clamped to the image where the sampler clamps."""
    if site.inside or is_inside_image(site.policy):
        return points
    return builder.op("Min", builder.op("Max", points, 0.0), bounds(builder, sizes, -1, np.float32))


def _items(builder: Builder, batch: Dim, points: Dim) -> Tensor:
    """For every region the item of the batch that it is of: one number an item, repeated; runtimes fold it."""
    if isinstance(batch, int) and batch == 1:
        return builder.op("Expand", builder.const([0], np.int64), builder.sizes([points]))
    numbers = builder.op("Expand", count_to(builder, batch, [1]), builder.sizes([batch, points]))
    return builder.reshape(numbers, [-1])


def region_refusal(site: RoiAlignSite, target: Target) -> str | None:
    """Say why a RoIAlign by hand cannot be written as one node with a region a box; None when it can."""
    if site.differs is not None:
        return site.differs
    if (other := _opset_refusal(target) or _type_refusal(site.dtype, site.types)) is not None:
        return other
    if "float16" in site.types:
        return "RoiAlign computes in float32 what the model rounds to float16"
    if Quirk.ROI_ALIGN_IS_FOR_FEW_REGIONS in target.quirks:
        return "what TensorRT's plugin for RoiAlign computes has not been compared with the operator"
    if target.opset < HALF_PIXELS_SINCE and not (site.rows.wide and site.columns.wide):
        before = f"a RoiAlign of opset < {HALF_PIXELS_SINCE} makes every box a pixel long, and the model does not"
        return f"{before}; --opset {HALF_PIXELS_SINCE} has another mode"
    return None


def region_tolerance(site: RoiAlignSite, size: int) -> Tolerance:
    """What one node may differ by where the image has so many rows or columns at most."""
    reason = "the places of the samples, computed in another order, which moves them by about S*1e-7 pixels"
    atol = (1e-6 + REACH * SLOPE * size * 2.0**-24) * max(1.0, abs(float(site.scale)))
    return Tolerance(rtol=1e-6, atol=atol, reason=reason)


def emit_regions(builder: Builder, site: RoiAlignSite) -> Tensor:
    """The output of a site, as one RoiAlign of its image with a region a box."""
    image = emit_view(builder, site.image)
    regions = _regions(builder, site)
    height, width = site.bins
    modes = "half_pixel" if builder.opset >= HALF_PIXELS_SINCE else None
    bins = builder.op(
        "RoiAlign",
        image,
        regions,
        _numbers(builder, site, image, regions),
        dtype=image.dtype,
        output_height=height,
        output_width=width,
        sampling_ratio=site.ratio,
        coordinate_transformation_mode=modes,
    )
    bins = bins if site.scale == 1 else builder.op("Mul", bins, float(site.scale))
    batch, boxes, *others = site.output_groups
    groups = (*batch, *boxes), *others
    output = laid_out(builder, bins, groups, site.output_rank, partial(_size, builder, site))
    dtype = builder.graph.tensor(site.output).dtype
    return output if dtype is None else builder.cast(output, dtype)


def _regions(builder: Builder, site: RoiAlignSite) -> Tensor:
    """The boxes [K, 4] whose bins have the samples where the model has them: half a step beyond the outer ones."""
    lines = site.columns, site.rows
    places = builder.concat([builder.cast(emit_view(builder, line.view), np.float32) for line in lines], 1)
    across, total = site.columns.samples, site.columns.samples + site.rows.samples
    ends = [0, across], [across - 1, total - 1]
    first, last = (builder.op("Gather", places, builder.const(index, np.int64), axis=1) for index in ends)
    shares = [0.0 if line.samples == 1 else 0.5 / (line.samples - 1) for line in lines]
    half = builder.op("Mul", builder.op("Sub", last, first), np.array([shares], np.float32))
    if 0.0 in shares:
        half = builder.op("Add", half, np.array([[0.0 if share else 0.5 for share in shares]], np.float32))
    regions = builder.concat([builder.op("Sub", first, half), builder.op("Add", last, half)], 1)
    return builder.op("Add", regions, 0.5) if builder.opset >= HALF_PIXELS_SINCE else regions


def _numbers(builder: Builder, site: RoiAlignSite, image: Tensor, regions: Tensor) -> Tensor:
    """For every box the number of its image; negative ones count from the last, as in the reads."""
    if site.items is not None:
        numbers = builder.cast(emit_view(builder, site.items), np.int64)
        return builder.op("Mod", numbers, _at_least_one(builder, builder.dim(image, 0)))
    batch, boxes = site.output_groups[:2]
    if not batch:
        return _items(builder, 1, builder.dim(regions, 0))
    return _items(builder, builder.dim(image, 0), builder.dims_product([_size(builder, site, axis) for axis in boxes]))


def _at_least_one(builder: Builder, size: Dim) -> Dim:
    """A size, or 1 where it is 0 at run time: then there are no boxes either, and a divisor all the same."""
    return size if isinstance(size, int) else builder.clip(size, 1, None)


def _size(builder: Builder, site: RoiAlignSite, axis: int) -> Dim:
    """The size of one axis of the output."""
    batch, boxes, channels, rows, columns = site.output_groups
    for group, line in ((rows, site.rows), (columns, site.columns)):
        if axis in group:
            return line.bins[group.index(axis)]
    if axis in channels:
        return dim_of(builder, site.image, site.image.groups[1][channels.index(axis)])
    view = site.rows.view
    return dim_of(builder, view, view.groups[0][(*batch, *boxes).index(axis)])
