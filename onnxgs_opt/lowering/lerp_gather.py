"""`lerp-gather`: elements read plane by plane with one index for all corners, weighted along x, then along y."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.lowering.base import REORDERED, Emitted, Tolerance, bilinear_refusal, gather_refusal
from onnxgs_opt.lowering.emit.cells import Cells, emit_cells
from onnxgs_opt.lowering.emit.image_layouts import emit_planes, in_result_type, spread
from onnxgs_opt.lowering.emit.views import emit_view
from onnxgs_opt.runtime import Quirk
from onnxgs_opt.runtime.target import Target
from onnxgs_opt.samplers.site import Site

THREADS = 2
"""Threads that can read a single plane at once, each from a copy of its own."""


@dataclass(frozen=True)
class LerpGather:
    """The image is shifted, not the index: by a column for the right corners, by a row for the lower ones.

    The four reads of a point then share one index, which is repeated over the channels once. A single plane keeps its
    place and has its index shifted; it is repeated, because onnxruntime shares GatherElements out to threads by rows.
    """

    name: str = "lerp-gather"
    tolerance: Tolerance = REORDERED

    def refusal(self, site: Site, target: Target) -> str | None:
        """Refuse opsets without GatherElements, and dynamic sizes where those go wrong."""
        if (refusal := bilinear_refusal(self.name, site) or gather_refusal(self.name, site, target)) is not None:
            return refusal
        sizes = (site.batch, site.channels, *site.image_size, *site.sample_size)
        if Quirk.DYNAMIC_GATHER_ELEMENTS_IS_NAN in target.quirks and None in sizes:
            return "an engine of TensorRT 8.6 with dynamic sizes made NaN of half of its samples"
        return None

    def emit(self, builder: Builder, site: Site) -> Emitted:
        """Write the sampler; see `Lowering.emit`."""
        image = emit_view(builder, site.image)
        cells = emit_cells(builder, site, image)
        write = _single_plane if (site.batch, site.channels) == (1, 1) else _planes
        return Emitted(write(builder, site, image, cells), cells.mask)


def _single_plane(builder: Builder, site: Site, image: Tensor, cells: Cells) -> Tensor:
    """The points in `THREADS` rows, each of which reads its own copy of the plane."""
    rows = THREADS if site.points is not None and site.points % THREADS == 0 else 1
    planes = builder.reshape(image, [1, -1])
    if rows > 1:
        planes = builder.op("Expand", planes, builder.const([rows, 1], np.int64))
    upper = builder.reshape(cells.index, [rows, -1])
    lower = builder.op("Add", upper, cells.down)
    mixed = []
    for row in (upper, lower):
        left, right = (
            _read(builder, site, planes, index, cells) for index in (row, builder.op("Add", row, cells.right))
        )
        mixed.append(_mix(builder, site, (left, right), cells.columns))
    return _mix(builder, site, (mixed[0], mixed[1]), cells.rows)


def _planes(builder: Builder, site: Site, image: Tensor, cells: Cells) -> Tensor:
    index = spread(builder, site, image, cells.index)
    rows = [emit_planes(builder, t) for t in (image, builder.slice(image, 2, cells.next_row))]
    mixed = []
    for row in rows:
        pair = (row, builder.slice(row, 2, cells.right))
        left, right = (_read(builder, site, t, index, cells) for t in pair)
        mixed.append(_mix(builder, site, (left, right), cells.columns))
    return _mix(builder, site, (mixed[0], mixed[1]), cells.rows)


def _read(builder: Builder, site: Site, planes: Tensor, index: Tensor, cells: Cells) -> Tensor:
    """Elements along the last axis, as [N, C, Ho, Wo]."""
    rank = len(planes.shape or [0] * 3)
    read = builder.op("GatherElements", planes, index, axis=rank - 1)
    height, width = builder.dim(cells.index, 2), builder.dim(cells.index, 3)
    batch, channels = (1, 1) if rank == 2 else (builder.dim(read, 0), builder.dim(read, 1))
    return in_result_type(builder, site, builder.reshape(read, [batch, channels, height, width], True))


def _mix(builder: Builder, site: Site, values: tuple[Tensor, Tensor], weights: tuple[Tensor, Tensor]) -> Tensor:
    """w0*a + w1*b: as many operations as a + w1*(b-a), and right for infinite pixels and strong contrasts."""
    low, high = (builder.op("Mul", v, in_result_type(builder, site, w)) for v, w in zip(values, weights, strict=True))
    return builder.op("Add", low, high)
