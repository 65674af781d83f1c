"""The image as planes of pixels, [N, C, H*W], and indices that read the same points of every plane."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from onnxgs_opt.builder import Builder, Dim
from onnxgs_opt.lowering.grids import has_one_item
from onnxgs_opt.site import Site


def emit_planes(builder: Builder, image: gs.Tensor) -> gs.Tensor:
    """Write image [N, C, H, W] as [N, C, H*W]."""
    return builder.reshape(image, [0, builder.dim(image, 1), -1])


def spread(builder: Builder, site: Site, image: gs.Tensor, index: gs.Tensor, planes: Dim | None = None) -> gs.Tensor:
    """An index [N, ..., Ho, Wo] for GatherElements: flattened and repeated to [N, `planes`, P]; by default C planes."""
    flat = builder.reshape(index, [0, 1, -1])
    batch = builder.dim(image, 0) if all(has_one_item(builder, view) for view in site.coordinate_views) else 1
    planes = builder.dim(image, 1) if planes is None else planes
    if all(isinstance(d, int) and d == 1 for d in (batch, planes)):
        return flat
    sizes = [d if isinstance(d, gs.Tensor) else builder.const([d], np.int64) for d in (batch, planes, 1)]
    expanded: gs.Tensor = builder.op("Expand", flat, builder.concat(sizes, 0))
    return expanded
