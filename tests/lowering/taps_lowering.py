"""`taps`: every pixel of the definition is a read of its own; right for every policy, and as slow as it looks."""

from __future__ import annotations

from dataclasses import dataclass

from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.lowering.base import REORDERED, Emitted, Lowering, Tolerance
from onnxgs_opt.lowering.emit.coordinates import emit_pixel_grid
from onnxgs_opt.lowering.emit.image_layouts import in_result_type
from onnxgs_opt.lowering.emit.taps import emit_taps
from onnxgs_opt.lowering.emit.views import emit_view
from onnxgs_opt.runtime.target import Target
from onnxgs_opt.samplers.border import BORDERS
from onnxgs_opt.samplers.policy import WINDOWS
from onnxgs_opt.samplers.sampler import AxisSpec
from onnxgs_opt.samplers.site import Site


@dataclass(frozen=True)
class Taps:
    name: str = "taps"
    tolerance: Tolerance = REORDERED
    borders: frozenset[str] = frozenset(BORDERS)

    def refusal(self, site: Site, target: Target) -> str | None:
        return None if target.opset >= 11 else f"taps needs opset >= 11, the model has {target.opset}"

    def emit(self, builder: Builder, site: Site) -> Emitted:
        image = emit_view(builder, site.image)  # [N, C, H, W]
        grid = emit_pixel_grid(builder, site, image)  # [N, Ho, Wo, 2]
        x, y = (builder.reshape(part, [0, -1]) for part in builder.split(grid, 3, [1, 1]))
        axis = AxisSpec(border=BORDERS[site.policy.border], window=WINDOWS[site.policy.window])
        samples = emit_taps(builder, (axis, axis), image, [y, x])  # [N, C, Ho*Wo]
        shaped = builder.reshape(samples, [0, 0, builder.dim(grid, 1), builder.dim(grid, 2)])
        return Emitted(in_result_type(builder, site, shaped))


TAPS: Lowering = Taps()
