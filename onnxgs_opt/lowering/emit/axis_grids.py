"""GridSample's grids for single pixels and for volumes: an axis at a time, then side by side.

Of a single pixel the rounded coordinate itself is normalised, so that GridSample, which rounds as it does, comes back
to that very pixel: its error is some ulps of the size of the image, and a half is far away. Where a border has another
pixel stand for it, that one is.
"""

from __future__ import annotations

from functools import reduce

import numpy as np

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder, Dim
from onnxgs_opt.lowering.emit.cells import bound, float_type
from onnxgs_opt.lowering.emit.coordinates import for_batch, has_one_item
from onnxgs_opt.lowering.emit.stacked import emit_axis_points, specs_of
from onnxgs_opt.lowering.emit.taps import arithmetic
from onnxgs_opt.samplers.border import MIRRORED, ZEROS, Border, mirror
from onnxgs_opt.samplers.sampler import AxisSpec
from onnxgs_opt.samplers.site import Site


def emit_axis_grid(builder: Builder, site: Site, image: Tensor) -> Tensor:
    """The grid [N, Ho, Wo, 2] or [N, Do, Ho, Wo, 3], x first.

    It is for align_corners 0 of single pixels and of images that are mirrored about their edges, else for 1.
    """
    sizes = [builder.dim(image, 2 + k) for k in range(len(site.kernels))]
    points = [builder.squeeze(p, [1]) for p in emit_axis_points(builder, site, sizes)]
    parts = [
        _rounded(builder, spec, p, size) if site.taps == 1 else _corners(builder, spec.border, p, size)
        for spec, p, size in zip(specs_of(site), points, sizes, strict=True)
    ]
    wide = np.result_type(*(float_type(part) for part in parts))
    parts = [builder.cast(part, wide) for part in reversed(parts)]
    shapes = {tuple(part.shape or ()) for part in parts}
    if len(shapes) > 1 or not all(isinstance(size, int) for shape in shapes for size in shape):
        whole = builder.op("Shape", reduce(lambda a, b: builder.op("Add", a, b), parts))
        parts = [builder.op("Expand", part, whole) for part in parts]
    last = 1 + len(parts)
    grid = builder.concat([builder.unsqueeze(part, [last]) for part in parts], last)
    shared = all(has_one_item(builder, view) for view in site.coordinate_views)
    return for_batch(builder, site.coordinate_views[0], image, grid) if shared else grid


def _rounded(builder: Builder, spec: AxisSpec, p: Tensor, size: Dim) -> Tensor:
    """(2r + 1) / S - 1 of the rounded coordinate r, or of the pixel that stands for it."""
    o = arithmetic(builder, float_type(p))
    ((index, _),) = spec.kernel.at(o, p)
    if spec.border is not ZEROS:
        index, _ = spec.border.index(o, index, o.sub(bound(builder, size, 0, float_type(p)), o.one))
    return _edges(builder, index, size)


def _edges(builder: Builder, p: Tensor, size: Dim) -> Tensor:
    """(2p + 1) / S - 1."""
    edges = builder.op("Add", builder.op("Mul", p, 2.0), 1.0)
    return builder.op("Sub", builder.op("Div", edges, bound(builder, size, 0, float_type(p))), 1.0)


def _corners(builder: Builder, border: Border, p: Tensor, size: Dim) -> Tensor:
    """P / ((S-1)/2) - 1: the divisor is exact, so that this rounds twice only.

    A sample of a mirrored image is that at the mirrored point, which is near enough to come back as it was.
    """
    if border.name in MIRRORED:
        o, beyond = arithmetic(builder, float_type(p)), MIRRORED[border.name]
        p = mirror(o, p, o.sub(bound(builder, size, 0, float_type(p)), o.one), beyond)
        if beyond:
            return _edges(builder, p, size)
    last = builder.op("Sub", bound(builder, size, 0, float_type(p)), 1.0)
    half = builder.op("Mul", builder.op("Max", last, 1.0), 0.5)
    return builder.op("Sub", builder.op("Div", p, half), 1.0)
