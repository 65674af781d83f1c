"""The image as planes of pixels, [N, C, H*W], and indices that read the same points of every plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder, Dim
from onnxgs_opt.ir.constants import SMALL, element_count
from onnxgs_opt.lowering.emit.cells import Cells, index_type
from onnxgs_opt.lowering.emit.coordinates import has_one_item
from onnxgs_opt.samplers.site import Site


def emit_planes(builder: Builder, image: Tensor) -> Tensor:
    """Write image [N, C, H, W] as [N, C, H*W]."""
    return builder.reshape(image, [0, builder.dim(image, 1), builder.dims_product(_sizes(builder, image))])


def _sizes(builder: Builder, image: Tensor) -> list[Dim]:
    return [builder.dim(image, axis) for axis in range(2, len(image.shape or [0] * 4))]


def spread(builder: Builder, site: Site, image: Tensor, index: Tensor, planes: Dim | None = None) -> Tensor:
    """An index [N, ..., Ho, Wo] for GatherElements: flattened and repeated to [N, `planes`, P]; by default C planes."""
    static = element_count(index) is not None
    flat = builder.reshape(index, [0, 1, -1]) if static else builder.unsqueeze(builder.flatten(index, 1), [1])
    batch = builder.dim(image, 0) if all(has_one_item(builder, view) for view in site.coordinate_views) else 1
    planes = builder.dim(image, 1) if planes is None else planes
    if all(isinstance(d, int) and d == 1 for d in (batch, planes)):
        return flat
    return builder.op("Expand", flat, builder.sizes((batch, planes, 1)))


def emit_rows(builder: Builder, image: Tensor) -> Tensor:
    """Write image [N, C, H, W] as [N*H*W, C]."""
    last = len(image.shape or [0] * 4) - 1
    return builder.flatten(builder.transpose(image, [0, *range(2, last + 1), 1]), last)


def emit_points(builder: Builder, site: Site, image: Tensor, cells: Cells) -> Tensor:
    """The row [N, Ho, Wo] of each cell's first pixel."""
    return plus_batch(builder, site, image, builder.squeeze(cells.index, [1]), rank=3)


def plus_batch(builder: Builder, site: Site, image: Tensor, index: Tensor, rank: int) -> Tensor:
    """The index into the planes of a batch laid end to end: n*H*W is added along the first of its `rank` axes."""
    if site.batch == 1:
        return index
    batch, plane = builder.dim(image, 0), builder.dims_product(_sizes(builder, image))
    return plus_items(builder, index, (batch, plane), index_type(site), [-1] + [1] * (rank - 1))


def plus_items(builder: Builder, index: Tensor, each: tuple[Dim, Dim], kind: Any, column: Sequence[Dim]) -> Tensor:
    """The index, in the type `kind`, plus n * size for item n of `each` = (items, size); they lie as `column`."""
    items, size = each
    if isinstance(items, int) and isinstance(size, int) and items <= SMALL:
        first = np.arange(items, dtype=np.int64) * size
        return builder.op("Add", index, first.astype(kind).reshape(cast("list[int]", column)))
    count = builder.op("Squeeze", items) if isinstance(items, Tensor) else builder.const(items, np.int64)
    numbers = builder.reshape(builder.op("Range", 0, count, 1), column)
    return builder.op("Add", index, builder.cast(builder.op("Mul", numbers, size), kind))


def sum_of(builder: Builder, terms: Sequence[Tensor]) -> Tensor:
    """One Sum of tensors of one shape: onnxruntime on a GPU makes one pass of it where three Adds make three."""
    return builder.op("Sum", *terms)


def in_result_type(builder: Builder, site: Site, t: Tensor) -> Tensor:
    """In the type of the sampler's result: an fp16 image may have fp32 coordinates, and the reverse."""
    result = builder.graph.tensor(site.output).dtype
    return t if result is None else builder.cast(t, result)
