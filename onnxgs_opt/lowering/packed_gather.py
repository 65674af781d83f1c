"""`packed-gather`: the four pixels of every cell side by side in one row, so that a point is one read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.lowering.base import REORDERED, Emitted, Tolerance, bilinear_refusal, gather_refusal
from onnxgs_opt.lowering.emit.cells import emit_cells
from onnxgs_opt.lowering.emit.image_layouts import emit_points, emit_rows, in_result_type, sum_of
from onnxgs_opt.lowering.emit.views import emit_view
from onnxgs_opt.runtime.target import Target
from onnxgs_opt.samplers.site import Site


@dataclass(frozen=True)
class PackedGather:
    """One Gather of rows of 4C values: fewest reads, for four copies of the image.

    Rows that wrap to the next line or item are packed too, and never read: a cell's first pixel is at most (H-2, W-2).
    """

    name: str = "packed-gather"
    tolerance: Tolerance = REORDERED

    def refusal(self, site: Site, target: Target) -> str | None:
        """Refuse sizes that are not known, and opsets whose Clip takes no bounds as inputs."""
        if (refusal := bilinear_refusal(self.name, site) or gather_refusal(self.name, site, target)) is not None:
            return refusal
        if site.channels is None or None in site.image_size:  # of a single row, no cell would be packed
            return "packed-gather needs to know the image's size and channels, and they are dynamic"
        return None

    def emit(self, builder: Builder, site: Site) -> Emitted:
        """Write the sampler; see `Lowering.emit`."""
        image = emit_view(builder, site.image)
        cells = emit_cells(builder, site, image)
        width, channels = cast(int, site.image_size[1]), cast(int, site.channels)
        rows = emit_rows(builder, image)
        steps = (0, 1, width, width + 1)
        last = steps[-1]
        shifted = [*(builder.slice(rows, 0, step, step - last) for step in steps[:-1]), builder.slice(rows, 0, last)]
        packed = builder.concat(shifted, 1)
        read = builder.op("Gather", packed, emit_points(builder, site, image, cells), axis=0)
        corners = builder.split(in_result_type(builder, site, read), 3, [channels] * 4)
        weights = [builder.squeeze(in_result_type(builder, site, w), [1]) for w in cells.corner_weights(builder)]
        terms = [builder.op("Mul", c, builder.unsqueeze(w, [3])) for c, w in zip(corners, weights, strict=True)]
        return Emitted(builder.transpose(sum_of(builder, terms), [0, 3, 1, 2]), cells.mask)
