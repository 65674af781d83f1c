"""`roi-align`: one RoiAlign node, every point a region of one sample, which is bilinear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import onnx_graphsurgeon as gs

from onnxgs_opt.builder import Builder, Dim
from onnxgs_opt.lowering.base import Target, Tolerance
from onnxgs_opt.lowering.cells import AxisCell, emit_inside, emit_pixels, is_inside_image
from onnxgs_opt.lowering.grids import emit_pixel_grid
from onnxgs_opt.lowering.merged_gather import REORDERED
from onnxgs_opt.site import Site
from onnxgs_opt.views import emit_view

FIRST_OPSET = 11
HALF_PIXELS_SINCE = 16
OUTSIDE = -10.0
"""A region that starts here is outside of any image by more than a pixel: RoiAlign makes 0 of it."""


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
        """Refuse other borders than RoiAlign's, other types than fp32, and TensorRT, which runs it by a plugin."""
        if target.opset < FIRST_OPSET:
            return f"roi-align needs opset >= {FIRST_OPSET}, the model has {target.opset}"
        if target.runtime.startswith("tensorrt"):
            return "TensorRT runs RoiAlign by a plugin for a few hundred regions, not for one a point"
        if site.policy.border == "reflection":
            return "roi-align has no reflection padding yet"
        if site.dtype != "float32":
            return f"RoiAlign is used in float32 only, the sampler computes in {site.dtype}"
        if site.policy.border == "zeros" and not (site.inside or is_inside_image(site.policy)):
            return "RoiAlign repeats the outermost pixels, and the sampler fades to zero beyond them"
        return None

    def emit(self, builder: Builder, site: Site) -> gs.Tensor:
        """Write the sampler; see `Lowering.emit`."""
        image = emit_view(builder, site.image)
        points = _points(builder, site, image)
        start = builder.op("Sub", points, 0.5)
        inside = _window(builder, site, image)
        if inside is not None:
            chosen = builder.unsqueeze(builder.squeeze(inside, [1]), [3])
            start = builder.op("Where", chosen, start, builder.const(OUTSIDE, np.float32))
        regions = builder.reshape(builder.concat([start, start], 3), [-1, 4])
        batch, height, width = (builder.dim(points, axis) for axis in (0, 1, 2))
        channels = builder.dim(image, 1)
        samples = builder.op(
            "RoiAlign",
            image,
            regions,
            _items(builder, site, batch, builder.dims_product([height, width])),
            dtype=image.dtype,
            output_height=1,
            output_width=1,
            sampling_ratio=1,
            coordinate_transformation_mode="output_half_pixel" if builder.opset >= HALF_PIXELS_SINCE else None,
        )
        return builder.transpose(builder.reshape(samples, [batch, height, width, channels]), [0, 3, 1, 2])


def _points(builder: Builder, site: Site, image: gs.Tensor) -> gs.Tensor:
    """Pixel coordinates [N, Ho, Wo, 2], clamped to the image where the sampler clamps."""
    points = builder.cast(emit_pixel_grid(builder, site, image), np.float32)
    if site.inside or is_inside_image(site.policy):
        return points
    return cast(gs.Tensor, builder.op("Min", builder.op("Max", points, 0.0), _last(builder, image)))


def _last(builder: Builder, image: gs.Tensor) -> gs.Tensor:
    """W-1 and H-1."""
    sizes = [builder.dim(image, axis) for axis in (3, 2)]
    if all(isinstance(size, int) for size in sizes):
        return builder.const(np.array(sizes, np.float32) - 1)
    both = builder.concat([s if isinstance(s, gs.Tensor) else builder.const([s], np.int64) for s in sizes], 0)
    return builder.cast(builder.op("Sub", both, 1), np.float32)


def _window(builder: Builder, site: Site, image: gs.Tensor) -> gs.Tensor | None:
    if site.policy.window == "all":
        return None
    sizes = (builder.dim(image, 2), builder.dim(image, 3))
    x, y = emit_pixels(builder, site, sizes, 1)
    return emit_inside(builder, site, AxisCell(x, sizes[1]), AxisCell(y, sizes[0]))


def _items(builder: Builder, site: Site, batch: Dim, points: Dim) -> gs.Tensor:
    """For every region the item of the batch that it is of: one number an item, repeated; runtimes fold it."""
    sizes = [d if isinstance(d, gs.Tensor) else builder.const([d], np.int64) for d in (batch, points)]
    if site.batch == 1:
        zero = builder.const([0], np.int64)
        return cast(gs.Tensor, builder.op("Expand", zero, sizes[1]))
    if isinstance(batch, int):
        numbers = builder.const(np.arange(batch, dtype=np.int64).reshape(-1, 1))
    else:
        numbers = builder.unsqueeze(builder.op("Range", 0, builder.op("Squeeze", batch), 1), [1])
    return builder.reshape(builder.op("Expand", numbers, builder.concat(sizes, 0)), [-1])
