"""`merged-gather`: one read of the image for all four corners of every point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.lowering.base import REORDERED, Emitted, Tolerance, gather_refusal
from onnxgs_opt.lowering.emit.cells import Corners, emit_corners
from onnxgs_opt.lowering.emit.image_layouts import emit_planes, emit_rows, in_result_type, plus_batch, spread
from onnxgs_opt.lowering.emit.views import emit_view
from onnxgs_opt.runtime import Quirk
from onnxgs_opt.runtime.target import Target
from onnxgs_opt.samplers.site import Site

PLANES_UP_TO = 8
"""Channels up to which reading planes is faster than rows of channels: onnxruntime on a CPU, fp32."""

SHORT_FLOATS = (
    "merged-gather has a MatMul, before which the target computes in bfloat16 or halves unless told otherwise (GSO209)"
)


@dataclass(frozen=True)
class MergedGather:
    """One Gather or GatherElements over stacked indices, products of weights, one sum."""

    name: str = "merged-gather"
    tolerance: Tolerance = REORDERED

    def refusal(self, site: Site, target: Target) -> str | None:
        """Refuse opsets without GatherElements, and a MatMul that would make coordinates short."""
        if not self._reads_planes(site) and Quirk.SHORT_FLOATS_BY_DEFAULT in target.quirks:
            return SHORT_FLOATS
        return gather_refusal(self.name, site, target)

    def emit(self, builder: Builder, site: Site) -> Emitted:
        """Write the sampler; see `Lowering.emit`."""
        image = emit_view(builder, site.image)
        if self._reads_planes(site):
            corners = emit_corners(builder, site, image)
            return Emitted(_from_planes(builder, site, image, corners), corners.mask)
        return _from_rows(builder, site, image)

    @staticmethod
    def _reads_planes(site: Site) -> bool:
        return site.channels is not None and site.channels <= PLANES_UP_TO


def _from_planes(builder: Builder, site: Site, image: Tensor, corners: Corners) -> Tensor:
    """Elements of [N, C, H*W], their index repeated over the channels."""
    channels = cast(int, site.channels)
    index = spread(builder, site, image, corners.index)
    read = builder.op("GatherElements", emit_planes(builder, image), index, axis=2)
    height, width = builder.dim(corners.index, 2), builder.dim(corners.index, 3)
    read, weights = (in_result_type(builder, site, t) for t in (read, corners.weights))
    if channels == 1:
        read = builder.reshape(read, [0, 4, height, width])
        return builder.reduce_sum(builder.op("Mul", read, weights), 1, keepdims=True)
    read, weights = builder.reshape(read, [0, channels, 4, height, width]), builder.unsqueeze(weights, [1])
    return builder.reduce_sum(builder.op("Mul", read, weights), 2)


def _from_rows(builder: Builder, site: Site, image: Tensor) -> Emitted:
    """Rows of [N*H*W, C], weighted by a product of [1, 4] and [4, C] a point."""
    rows, index, weights, mask = emit_row_corners(builder, site, image)
    read = in_result_type(builder, site, builder.op("Gather", rows, index, axis=0))
    points = builder.op("MatMul", builder.unsqueeze(weights, [3]), read)
    return Emitted(builder.transpose(builder.squeeze(points, [3]), [0, 3, 1, 2]), mask)


def emit_row_corners(builder: Builder, site: Site, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """The image as rows [N*H*W, C]; the corners of each point and their weights, both [N, Ho, Wo, 4]; the mask."""
    corners = emit_corners(builder, site, image)
    index = builder.transpose(plus_batch(builder, site, image, corners.index, rank=4), [0, 2, 3, 1])
    weights = builder.transpose(in_result_type(builder, site, corners.weights), [0, 2, 3, 1])
    return emit_rows(builder, image), index, weights, corners.mask
