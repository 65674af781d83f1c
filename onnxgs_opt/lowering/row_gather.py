"""`row-gather`: four reads of rows of channels, each times its weight, summed."""

from __future__ import annotations

from dataclasses import dataclass

from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.lowering.base import REORDERED, Emitted, Tolerance, bilinear_refusal, gather_refusal
from onnxgs_opt.lowering.emit.cells import emit_cells
from onnxgs_opt.lowering.emit.image_layouts import emit_points, emit_rows, in_result_type, sum_of
from onnxgs_opt.lowering.emit.views import emit_view
from onnxgs_opt.runtime.target import Target
from onnxgs_opt.samplers.site import Site


@dataclass(frozen=True)
class RowGather:
    """The image channels-last; results of one corner are small enough to stay in a cache until they are summed."""

    name: str = "row-gather"
    tolerance: Tolerance = REORDERED

    def refusal(self, site: Site, target: Target) -> str | None:
        """Refuse opsets whose Clip takes no bounds as inputs."""
        return bilinear_refusal(self.name, site) or gather_refusal(self.name, site, target)

    def emit(self, builder: Builder, site: Site) -> Emitted:
        """Write the sampler; see `Lowering.emit`."""
        image = emit_view(builder, site.image)
        cells = emit_cells(builder, site, image)
        rows, first = emit_rows(builder, image), emit_points(builder, site, image, cells)
        below = builder.op("Add", first, cells.down)
        corners = (first, builder.op("Add", first, cells.right), below, builder.op("Add", below, cells.right))
        terms = []
        for index, weight in zip(corners, cells.corner_weights(builder), strict=True):
            read = in_result_type(builder, site, builder.op("Gather", rows, index, axis=0))
            column = builder.unsqueeze(builder.squeeze(in_result_type(builder, site, weight), [1]), [3])
            terms.append(builder.op("Mul", read, column))
        total = sum_of(builder, terms)
        return Emitted(builder.transpose(total, [0, 3, 1, 2]), cells.mask)
