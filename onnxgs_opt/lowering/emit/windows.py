"""The window of a sampler on coordinates that lie side by side, [N, Ho, Wo, 2]: half the nodes of one at a time.

A point of which one coordinate is outside is put far outside by that coordinate alone, so that nothing has to join the
two, unless the model itself reads its mask.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder, Dim
from onnxgs_opt.lowering.emit.cells import as_own_mask, comparison, float_type
from onnxgs_opt.samplers.policy import WINDOWS
from onnxgs_opt.samplers.site import Site
from onnxgs_opt.samplers.view import View

Sizes = tuple[Dim, Dim]
OUTSIDE = -10.0
"""Outside of every image by more than a pixel, in pixels and in GridSample's units."""


def far_where_outside(
    builder: Builder, site: Site, points: Tensor, values: Tensor, sizes: Sizes
) -> tuple[Tensor, Tensor | None]:
    """`values` [N, Ho, Wo, 2], with `OUTSIDE` for each coordinate of the pixels `points` that is not in the window.

    `sizes` are those of the image, (H, W). With it the mask of `Emitted`.
    """
    inside = emit_sides(builder, site, points, sizes)
    if inside is None:
        return values, None
    mask = sides_as_own_mask(builder, site.mask, inside)
    return builder.op("Where", inside, values, builder.const(OUTSIDE, float_type(values))), mask


def emit_sides(builder: Builder, site: Site, points: Tensor, sizes: Sizes) -> Tensor | None:
    """Whether each coordinate of [N, Ho, Wo, 2] is in the window; None when all are."""
    window = WINDOWS[site.policy.window]
    tests = []
    if window.lo is not None:
        low = builder.const(window.lo, float_type(points))
        tests.append(comparison(builder, "Greater", "Less", points, low, window.lo_closed))
    if window.hi is not None:
        high = bounds(builder, sizes, window.hi, float_type(points))
        tests.append(comparison(builder, "Less", "Greater", points, high, window.hi_closed))
    if not tests:
        return None
    return tests[0] if len(tests) == 1 else builder.op("And", *tests)


def bounds(builder: Builder, sizes: Sizes, offset: int, dtype: Any) -> Tensor:
    """W + offset and H + offset, as floats [2]."""
    height, width = sizes
    if isinstance(height, int) and isinstance(width, int):
        return builder.const(np.array([width + offset, height + offset]), dtype)
    return builder.cast(builder.op("Add", builder.sizes((width, height)), offset), dtype)


def both_sides(builder: Builder, inside: Tensor, dtype: Any) -> Tensor:
    """1 where both coordinates are in the window, else 0: [N, Ho, Wo, 1]."""
    across, down = builder.split(builder.cast(inside, dtype), 3, [1, 1])
    return builder.op("Mul", across, down)


def sides_as_own_mask(builder: Builder, view: View | None, inside: Tensor) -> Tensor | None:
    """The window `inside` [N, Ho, Wo, 2] as the model's own mask has it, where that has the axes N, Ho, Wo in order."""
    if view is None or view.split is not None or list(view.order) != sorted(view.order):
        return None
    old = builder.graph.tensor(view.tensor)
    shapes = old.shape or [None], inside.shape or [None]
    if old.dtype is None:
        return None
    if not all(isinstance(d, int) for shape in shapes for d in shape):
        return as_own_mask(builder, view, builder.squeeze(both_sides(builder, inside, old.dtype), [3]))
    if 2 * np.prod(shapes[0]) != np.prod(shapes[1]):
        return None
    return builder.reshape(both_sides(builder, inside, old.dtype), shapes[0])
