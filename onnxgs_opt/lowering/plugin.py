"""`plugin`: the sampler as one node onnxgs::BilinearSample, with a function body where no plugin is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.lowering.base import REORDERED, Emitted, Tolerance
from onnxgs_opt.lowering.emit.coordinates import emit_pixel_grid, for_batch
from onnxgs_opt.lowering.emit.views import emit_view
from onnxgs_opt.lowering.function import sample_function
from onnxgs_opt.runtime.target import Target
from onnxgs_opt.samplers.op import BORDER_CODES, COORDINATE_CODES, DOMAIN, NAME, WINDOW_CODES
from onnxgs_opt.samplers.site import Site

FIRST_IR_WITH_FUNCTIONS = 8
NCHW = 0


@dataclass(frozen=True)
class Plugin:
    """The node keeps the whole sampler, so that an engine's plugin or a custom op of that name can take it.

    Its attributes are int codes, see `sample_function`: border, window, coordinates, layout. The strings
    `plugin_namespace` and `plugin_version` make TensorRT 10.7 and later prefer the plugin to the function.
    """

    name: str = "plugin"
    tolerance: Tolerance = REORDERED

    def refusal(self, site: Site, target: Target) -> str | None:
        """Refuse what the function body cannot compute: whatever runs the node falls back on it."""
        if site.policy.border == "reflection":
            return "BilinearSample has no reflection padding yet"
        if target.opset < 11:
            return f"the body of BilinearSample needs opset >= 11, the model has {target.opset}"
        if site.dtype != "float32":
            return f"the body of BilinearSample computes in float32, the sampler in {site.dtype}"
        return None

    def emit(self, builder: Builder, site: Site) -> Emitted:
        """Write the node, its function, the import of its domain and the IR version that functions need."""
        image = emit_view(builder, site.image)
        grid, coordinates = _grid(builder, site, image)
        grid = builder.cast(grid, np.float32) if grid.dtype not in (None, np.float32) else grid
        graph = builder.graph
        graph.add_function(sample_function(graph.opset))
        graph.import_domain(DOMAIN, 1)
        graph.envelope.ir_version = max(graph.envelope.ir_version, FIRST_IR_WITH_FUNCTIONS)
        height, width = ((grid.shape or [None] * 4)[axis] for axis in (1, 2))
        batch, channels = (image.shape or [None] * 4)[:2]
        result = builder.op(
            NAME,
            image,
            grid,
            domain=DOMAIN,
            dtype=image.dtype,
            shape=[batch, channels, height, width],
            border=BORDER_CODES[site.policy.border],
            window=WINDOW_CODES[site.policy.window],
            coordinates=COORDINATE_CODES[coordinates],
            layout=NCHW,
            plugin_namespace=DOMAIN,
            plugin_version="1",
        )
        return Emitted(result)


def tolerance_from_grid(site: Site) -> Tolerance | None:
    """What recomputing pixels from a normalised grid costs; None where the node reads the model's own pixels.

    Export and node each round a coordinate a few times, by half an ulp of the size of the image, and neighbouring
    pixels of a unit-normal image differ by a few units: 6 * (H + W) * 2^-24, at least 1e-4.
    """
    if not _reads_normalised(site):
        return None
    height, width = site.image_size
    size = (height or 0) + (width or 0)
    return Tolerance(1e-4, max(1e-4, 6 * size * 2.0**-24), "pixels are computed anew from the normalised grid")


def _reads_normalised(site: Site) -> bool:
    return site.grid is not None and site.coordinates == "normalised" and site.policy.window == "all"


def _grid(builder: Builder, site: Site, image: Tensor) -> tuple[Tensor, str]:
    """The grid and the name of its coordinates.

    A window is decided on the very pixel coordinates of the model: computed anew from normalised ones they
    could differ by an ulp, and a point on the window's edge by its whole value.
    """
    if site.grid is None or not _reads_normalised(site):
        return emit_pixel_grid(builder, site, image), "pixel"
    grid = for_batch(builder, site.grid, image, emit_view(builder, site.grid))
    return grid, "normalised-corners" if site.align_corners else "normalised"
