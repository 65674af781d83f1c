"""The pixels that a sample takes, any number of them, as one index and one weight each: for one read of them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder, Dim
from onnxgs_opt.lowering.emit.cells import (
    EXACT,
    as_own_mask,
    as_pixels,
    bound,
    emit_corners,
    emit_pixels,
    float_type,
    index_type,
)
from onnxgs_opt.lowering.emit.taps import arithmetic
from onnxgs_opt.lowering.emit.views import emit_view
from onnxgs_opt.samplers.arithmetic import Arithmetic
from onnxgs_opt.samplers.border import ZEROS, borders_along, clamp
from onnxgs_opt.samplers.kernel import KERNELS
from onnxgs_opt.samplers.policy import WINDOWS
from onnxgs_opt.samplers.sampler import AxisSpec
from onnxgs_opt.samplers.site import BILINEAR, Site
from onnxgs_opt.samplers.view import known_product


@dataclass(frozen=True)
class Stack:
    """Where the pixels of each point are, and how much each counts, stacked along axis 1: both [N, T, Ho, Wo].

    One pixel has no weight: it counts where `inside` [N, 1, Ho, Wo] is true, everywhere where that is None. `mask` is
    that of `Emitted`.
    """

    index: Tensor
    weights: Tensor | None
    inside: Tensor | None
    mask: Tensor | None

    @property
    def rank(self) -> int:
        """How many axes the points have."""
        return len(self.index.shape or [0] * 4) - 2

    def samples(self, builder: Builder) -> list[Dim]:
        """The sizes of the points' axes."""
        return [builder.dim(self.index, 2 + axis) for axis in range(self.rank)]


@dataclass(frozen=True)
class AxisTaps:
    """Index and weight of each pixel along one axis, where it counts, and the window; None is everywhere."""

    index: list[Tensor]
    weights: list[Tensor]
    inside: list[Tensor | None]
    window: Tensor | None

    def counted(self, builder: Builder, wide: Any) -> list[Tensor]:
        """The weights in the type `wide`, 0 for a pixel that does not count."""
        found = []
        for weight, inside in zip(self.weights, self.inside, strict=True):
            own = builder.cast(weight, wide)
            found.append(own if inside is None else builder.op("Mul", own, builder.cast(inside, wide)))
        return found


def specs_of(site: Site) -> tuple[AxisSpec, ...]:
    """What a site does along each axis of its image, at coordinates that are pixels."""
    borders, window = borders_along(site.policy.border, len(site.kernels)), WINDOWS[site.policy.window]
    return tuple(AxisSpec(KERNELS[name], own, window) for name, own in zip(site.kernels, borders, strict=True))


def emit_stack(builder: Builder, site: Site, image: Tensor) -> Stack:
    """Write index and weights for image [N, C, *S], of which points may have one, two or three coordinates."""
    if site.kernels == BILINEAR:
        corners = emit_corners(builder, site, image)
        return Stack(corners.index, corners.weights, None, corners.mask)
    sizes = [builder.dim(image, 2 + k) for k in range(len(site.kernels))]
    points = emit_axis_points(builder, site, sizes)
    axes = [emit_axis_taps(builder, spec, p, size) for spec, p, size in zip(specs_of(site), points, sizes, strict=True)]
    index = _linear_index(builder, site, axes, sizes)
    inside = all_of(builder, [axis.window for axis in axes])
    mask = None if inside is None else as_own_mask(builder, site.mask, inside)
    if all(len(axis.index) == 1 for axis in axes):
        return Stack(index, None, all_of(builder, [inside, *(axis.inside[0] for axis in axes)]), mask)
    wide = np.result_type(*(float_type(p) for p in points))
    parts = [builder.concat(axis.counted(builder, wide), 1) for axis in axes]
    if inside is not None:
        parts[0] = builder.op("Mul", parts[0], builder.cast(inside, wide))
    return Stack(index, _outer(builder, "Mul", parts, axes), None, mask)


def emit_axis_points(builder: Builder, site: Site, sizes: Sequence[Dim]) -> list[Tensor]:
    """Pixel coordinates [N, 1, Ho, Wo], one tensor for each axis of the image in its order, which has these sizes.

    Each is in its own type but for bilinear ones: a half that is added in a wider type rounds otherwise.
    """
    if site.x is not None and site.kernels != BILINEAR:
        return [emit_view(builder, view.with_unit_axis(1)) for view in reversed(site.coordinate_views)]
    if site.grid is not None and len(site.kernels) != len(BILINEAR):
        grid = emit_view(builder, site.grid.with_unit_axis(1))
        parts = builder.split(grid, 2 + len(site.kernels), len(site.kernels) * [1])
        points = [builder.squeeze(part, [2 + len(site.kernels)]) for part in parts[:: 1 if site.flipped else -1]]
        if site.coordinates == "pixel":
            return points
        return [as_pixels(builder, site, p, size) for p, size in zip(points, sizes, strict=True)]
    return list(emit_pixels(builder, site, (sizes[0], sizes[1]), 1)[::-1])


def emit_axis_taps(builder: Builder, spec: AxisSpec, p: Tensor, size: Dim) -> AxisTaps:
    """Write what a sampler takes along one axis at a coordinate in pixels."""
    o = arithmetic(builder, float_type(p))
    whole = o.num(size) if isinstance(size, int) else builder.cast(size, float_type(p))
    last = o.num(size - 1) if isinstance(size, int) else o.sub(whole, o.one)
    found = AxisTaps([], [], [], _none_if_one(o, spec.window.condition(o, p, whole)))
    for i, weight in spec.kernel.at(o, p):
        index, inside = spec.border.index(o, i, last)
        found.index.append(clamp(o, index, last) if spec.border is ZEROS else index)
        found.weights.append(weight)
        found.inside.append(_none_if_one(o, inside))
    return found


def _none_if_one(o: Arithmetic[Tensor], condition: Tensor) -> Tensor | None:
    return None if condition is o.one else condition


def _linear_index(builder: Builder, site: Site, axes: Sequence[AxisTaps], sizes: Sequence[Dim]) -> Tensor:
    """The place of each pixel in a plane, computed in fp32 where that is exact: one conversion instead of several."""
    pixels = known_product(site.image_size)
    floats = {float_type(i) for axis in axes for i in axis.index} == {np.dtype(np.float32)}
    exact = pixels is not None and pixels <= EXACT and floats
    kind = np.float32 if exact else index_type(site)
    parts = []
    for k, axis in enumerate(axes):
        stride = builder.dims_product(sizes[k + 1 :])
        parts.append(strided(builder, builder.concat(axis.index, 1), stride, kind))
    return builder.cast(_outer(builder, "Add", parts, axes), index_type(site))


def strided(builder: Builder, index: Tensor, stride: Dim, kind: Any) -> Tensor:
    """How far places along an axis are from its first, in numbers of a type: `stride` from one to the next."""
    index = builder.cast(index, kind)
    if isinstance(stride, int) and stride == 1:
        return index
    return builder.op("Mul", index, bound(builder, stride, 0, kind))


def _outer(builder: Builder, op_type: str, parts: Sequence[Tensor], axes: Sequence[AxisTaps]) -> Tensor:
    """Every combination of what is stacked along axis 1 of the parts, the last part's the fastest.

    As many are stacked as `axes` have taps: an axis of size 1 may have a name in the file.
    """
    counts = [len(axis.index) for axis in axes]
    several = [k for k, count in enumerate(counts) if count != 1]
    if len(several) < 2:
        return reduce(lambda a, b: builder.op(op_type, a, b), parts)
    spread = []
    for k, part in enumerate(parts):
        own = several.index(k) if k in several else 0
        spread.append(builder.unsqueeze(part, [1 + j for j in range(len(several)) if j != own]))
    total = reduce(lambda a, b: builder.op(op_type, a, b), spread)
    rank = len(parts[0].shape or [0] * 4) - 2
    points = [builder.dim(total, 1 + len(several) + axis) for axis in range(rank)]
    return builder.reshape(total, [0, int(np.prod([counts[k] for k in several])), *points])


def all_of(builder: Builder, conditions: Sequence[Tensor | None]) -> Tensor | None:
    """Where all conditions hold; None, which is everywhere, where there are none."""
    given = [condition for condition in conditions if condition is not None]
    return reduce(lambda a, b: builder.op("And", a, b), given) if given else None
