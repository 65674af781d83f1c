"""`roi-align`: one RoiAlign node, every point a region of one sample, which is bilinear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder, Dim
from onnxgs_opt.lowering.base import REORDERED, Emitted, Tolerance, bilinear_refusal
from onnxgs_opt.lowering.emit.cells import is_inside_image
from onnxgs_opt.lowering.emit.coordinates import emit_pixel_grid
from onnxgs_opt.lowering.emit.views import emit_view
from onnxgs_opt.lowering.emit.windows import bounds, far_where_outside
from onnxgs_opt.runtime import Quirk
from onnxgs_opt.runtime.target import Target
from onnxgs_opt.samplers.site import Site

FIRST_OPSET = 11
LAST_OPSET = 21
"""The newest whose RoiAlign onnxruntime has: that of opset 22 takes bfloat16 too."""
HALF_PIXELS_SINCE = 16


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
        if target.opset < FIRST_OPSET:
            return f"roi-align needs opset >= {FIRST_OPSET}, the model has {target.opset}"
        if target.opset > LAST_OPSET:
            return f"onnxruntime has no RoiAlign of opset >= {LAST_OPSET + 1}, and the model has {target.opset}"
        if Quirk.ROI_ALIGN_IS_FOR_FEW_REGIONS in target.quirks:
            return "TensorRT runs RoiAlign by a plugin for a few hundred regions, not for one a point"
        if Quirk.OLD_ROI_ALIGN_IS_HALF_PIXEL in target.quirks and target.opset < HALF_PIXELS_SINCE:
            return f"the target moves the regions of a RoiAlign of opset < {HALF_PIXELS_SINCE} by half a pixel"
        if site.dtype != "float32" or "float64" in site.types:
            own = "float64" if "float64" in site.types else site.dtype
            return f"RoiAlign is used in float32 only, the sampler computes in {own}"
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


def _clamped(builder: Builder, site: Site, points: Tensor, sizes: tuple[Dim, Dim]) -> Tensor:
    """The points, clamped to the image where the sampler clamps."""
    if site.inside or is_inside_image(site.policy):
        return points
    return cast(Tensor, builder.op("Min", builder.op("Max", points, 0.0), bounds(builder, sizes, -1, np.float32)))


def _items(builder: Builder, batch: Dim, points: Dim) -> Tensor:
    """For every region the item of the batch that it is of: one number an item, repeated; runtimes fold it."""
    if isinstance(batch, int) and batch == 1:
        return cast(Tensor, builder.op("Expand", builder.const([0], np.int64), builder.sizes([points])))
    both = [d if isinstance(d, Tensor) else builder.const([d], np.int64) for d in (batch, points)]
    if isinstance(batch, int):
        numbers = builder.const(np.arange(batch, dtype=np.int64).reshape(-1, 1))
    else:
        numbers = builder.unsqueeze(builder.op("Range", 0, builder.op("Squeeze", batch), 1), [1])
    return builder.reshape(builder.op("Expand", numbers, builder.concat(both, 0)), [-1])
