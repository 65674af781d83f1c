"""`polyphase-conv`: a Resize by a whole number as one Conv, of which an output channel is a place within a pixel.

Samples at the same place in their pixel have the same weights. A Conv makes those of each place, its phase, and
DepthToSpace puts them side by side. Edges are repeated before, as taps beyond the image are.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder, Dim
from onnxgs_opt.lowering.base import EXACT, OfNoSampler
from onnxgs_opt.lowering.resize import NO_RESIZE, PLANE, emit_around, weighing_refusal
from onnxgs_opt.runtime.target import Target
from onnxgs_opt.samplers.resampling import Resampling, taps
from onnxgs_opt.samplers.resize import ResizeSite
from onnxgs_opt.samplers.view import Array

NAME = "polyphase-conv"
FIRST_OPSET = 11
MIDDLE = 4
"""A pixel of nine, of which no tap lies beyond the image."""

MOST_GROUPS = 256
"""Channels of which each has its own copy of the weights, which onnxruntime convolves faster than images of one."""

POLYPHASE = OfNoSampler(NAME, NO_RESIZE, EXACT)
"""One Conv; only for sites that are a Resize."""


def polyphase_refusal(site: ResizeSite, target: Target) -> str | None:
    """Say why a site cannot be written as one Conv; None when it can."""
    own, factors = site.resampling, {axis.factor for axis in site.axes}
    if target.opset < FIRST_OPSET:
        return f"a Pad of sizes that are inputs needs opset {FIRST_OPSET}, the model has {target.opset}"
    if (other := weighing_refusal(NAME, site, target)) is not None:
        return other
    if own.transform == "align_corners" or own.exclude_outside:
        return "not every pixel has samples of the same weights"
    (factor,) = factors if len(factors) == 1 and len(site.axes) == PLANE else (None,)
    if factor is None or factor.denominator != 1 or factor < 2:
        return f"{NAME} is for two axes that grow by one whole number"
    if any(axis.size is not None and axis.samples not in (None, axis.size * factor) for axis in site.axes):
        return "it has other samples than those of whole pixels"
    return None


def emit_polyphase(builder: Builder, site: ResizeSite) -> Tensor:
    """The output of a site as a Conv of its image, and DepthToSpace."""
    return emit_around(builder, site, 0, _convolved)


def _convolved(builder: Builder, site: ResizeSite, image: Tensor, lead: list[Dim]) -> Tensor:
    """The image [N, C, H, W] with more samples along its last axes."""
    factor, channels = int(site.axes[0].factor or 1), lead[1]
    weights, before, behind = phases(site.resampling, factor)
    ends = builder.const([0, 0, before, before, 0, 0, behind, behind], np.int64)
    sizes = [builder.dim(image, axis) for axis in (2, 3)]
    grown = [_plus(builder, size, before + behind) for size in sizes]
    padded = builder.op("Pad", image, ends, mode="edge", dtype=image.dtype, shape=_known([*lead, *grown]))
    is_grouped = isinstance(channels, int) and channels <= MOST_GROUPS
    groups = int(channels) if is_grouped else 1
    if not is_grouped:
        padded = builder.reshape(padded, [builder.dims_product(lead), 1, *grown])
    kernel = np.einsum("ai,bj->abij", weights, weights).reshape(factor**2, 1, *2 * weights.shape[1:])
    kernel = builder.const(np.tile(kernel, (groups, 1, 1, 1)).astype(np.float32))
    made = builder.op("Conv", padded, kernel, group=groups, dtype=image.dtype)
    whole = [*lead, *(builder.dims_product([size, factor]) for size in sizes)]
    shape = _known(whole) if is_grouped else None
    result = builder.op("DepthToSpace", made, blocksize=factor, mode="CRD", dtype=image.dtype, shape=shape)
    return result if is_grouped else builder.reshape(result, whole)


def _plus(builder: Builder, size: Dim, more: int) -> Dim:
    return size + more if isinstance(size, int) else builder.op("Add", size, more)


def _known(sizes: Sequence[Dim]) -> list[int | None]:
    return [size if isinstance(size, int) else None for size in sizes]


def phases(resampling: Resampling, factor: int) -> tuple[Array, int, int]:
    """The weights [factor, taps] of the pixels around each place in a pixel; how many lie before it, and behind it."""
    own = taps(resampling, 2 * MIDDLE + 1, (2 * MIDDLE + 1) * factor, Fraction(factor))
    rows = slice(MIDDLE * factor, (MIDDLE + 1) * factor)
    places = own.index[rows] - MIDDLE
    before, behind = max(0, -int(places.min())), max(0, int(places.max()))
    table = np.zeros((factor, before + 1 + behind))
    np.add.at(table, (np.arange(factor)[:, None], places + before), own.weights[rows])
    return table, before, behind
