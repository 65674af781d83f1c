"""`merged-gather`: one read of the image for all four corners of every point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import onnx_graphsurgeon as gs

from onnxgs_opt.builder import Builder
from onnxgs_opt.lowering.base import Target, Tolerance
from onnxgs_opt.lowering.cells import emit_corners, index_type
from onnxgs_opt.lowering.grids import has_one_item
from onnxgs_opt.site import Site
from onnxgs_opt.views import emit_view

PLANES_UP_TO = 8
"""Channels up to which reading planes is faster than rows of channels: onnxruntime on a CPU, fp32."""


REORDERED = Tolerance(
    rtol=1e-6,
    atol=1e-6,
    reason="the same four products, in another order of summation: a few roundings of fp32",
)


@dataclass(frozen=True)
class MergedGather:
    """One Gather or GatherElements over stacked indices, products of weights, one sum."""

    name: str = "merged-gather"
    tolerance: Tolerance = REORDERED

    def refusal(self, site: Site, target: Target) -> str | None:
        """Refuse mirrored borders and opsets without GatherElements."""
        if site.policy.border == "reflection":
            return "merged-gather has no reflection padding yet"
        if target.opset < 11:
            return f"merged-gather needs opset >= 11, the model has {target.opset}"
        return None

    def emit(self, builder: Builder, site: Site) -> gs.Tensor:
        """Write the sampler; see `Lowering.emit`."""
        image = emit_view(builder, site.image)
        if site.channels is not None and site.channels <= PLANES_UP_TO:
            return _from_planes(builder, site, image)
        return _from_rows(builder, site, image)


def _from_planes(builder: Builder, site: Site, image: gs.Tensor) -> gs.Tensor:
    """Elements of [N, C, H*W], their index repeated over the channels."""
    corners = emit_corners(builder, site, image, axis=1)
    channels = cast(int, site.channels)
    index = builder.reshape(corners.index, [0, 1, -1])
    batch = builder.dim(image, 0) if all(has_one_item(builder, view) for view in (site.x, site.y)) else 1
    if (batch, channels) != (1, 1):
        repeats = [batch if isinstance(batch, gs.Tensor) else builder.const([batch], np.int64)]
        index = builder.op("Expand", index, builder.concat([*repeats, builder.const([channels, 1], np.int64)], 0))
    read = builder.op("GatherElements", builder.reshape(image, [0, channels, -1]), index, axis=2)
    height = builder.dim(corners.index, 2)
    read, weights = _as(builder, site, read), _as(builder, site, corners.weights)
    if channels == 1:
        read = builder.reshape(read, [0, 4, height, -1])
        return builder.reduce_sum(builder.op("Mul", read, weights), 1, keepdims=True)
    read, weights = builder.reshape(read, [0, channels, 4, height, -1]), builder.unsqueeze(weights, [1])
    return builder.reduce_sum(builder.op("Mul", read, weights), 2)


def _from_rows(builder: Builder, site: Site, image: gs.Tensor) -> gs.Tensor:
    """Rows of [N*H*W, C], weighted by a product of [1, 4] and [4, C] a point."""
    corners = emit_corners(builder, site, image, axis=3)
    rows = builder.reshape(builder.transpose(image, [0, 2, 3, 1]), [-1, builder.dim(image, 1)])
    read = builder.op("Gather", rows, _plus_batch(builder, site, image, corners.index), axis=0)
    weights = builder.unsqueeze(_as(builder, site, corners.weights), [3])
    points = builder.op("MatMul", weights, _as(builder, site, read))
    return builder.transpose(builder.squeeze(points, [3]), [0, 3, 1, 2])


def _plus_batch(builder: Builder, site: Site, image: gs.Tensor, index: gs.Tensor) -> gs.Tensor:
    """The index into the planes of a batch laid end to end: n*H*W is added."""
    if site.batch == 1:
        return index
    batch, plane = builder.dim(image, 0), builder.dims_product([builder.dim(image, 2), builder.dim(image, 3)])
    whole = index_type(site)
    if isinstance(batch, int) and isinstance(plane, int):
        first = np.arange(batch, dtype=np.int64) * plane
        return cast(gs.Tensor, builder.op("Add", index, first.astype(whole).reshape(-1, 1, 1, 1)))
    count = builder.op("Squeeze", batch) if isinstance(batch, gs.Tensor) else builder.const(batch, np.int64)
    numbers = builder.reshape(builder.op("Range", 0, count, 1), [-1, 1, 1, 1])
    return cast(gs.Tensor, builder.op("Add", index, builder.op("Mul", numbers, plane)))


def _as(builder: Builder, site: Site, t: gs.Tensor) -> gs.Tensor:
    """In the type of the sampler's result: an fp16 image may have fp32 coordinates, and the reverse."""
    result = builder.graph.tensor(site.output).dtype
    return t if result is None else builder.cast(t, result)
