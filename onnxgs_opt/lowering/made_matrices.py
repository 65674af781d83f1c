"""A cubic Resize of dynamic sizes as one MatMul an axis: the matrices are made of distances, in every call.

A sample counts each pixel by how far away it is. The columns are one product with the whole matrix, whose image has its
edges repeated. The rows are cut into tiles of as many samples each, of which a product has only the pixels that they
reach; behind the last sample a tile is filled up, and what is made there is cut off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder, Operand
from onnxgs_opt.lowering.resize import wanted_size
from onnxgs_opt.samplers.resampling import Resampling
from onnxgs_opt.samplers.resize import ResizeSite

HALF = 0.5
REACH = 2
"""Pixels from a sample beyond which a cubic weight is 0."""

HEIGHT = 32
"""Rows of samples that are one product: of fewer the products are short, of more they have more zeros."""


@dataclass(frozen=True)
class Counts:
    """What there is along the resampled axes, one element an axis.

    Attributes:
        first: The place of the first of them among the image's axes.
        samples: How many samples, int64.
        pixels: How many pixels, float32.
        lengths: How many samples, float32.
        steps: Pixels from one sample to the next, or samples a pixel where nothing aligns corners; float32.
        last: The last pixel, float32.
    """

    first: int
    samples: Tensor
    pixels: Tensor
    lengths: Tensor
    steps: Tensor
    last: Tensor


def emit_counts(builder: Builder, site: ResizeSite, image: Tensor, first: int) -> Counts:
    """Count all axes at once: where images are small, a node is most of the time that it takes."""
    sizes = builder.dims(image, first, first + len(site.axes))
    samples = _samples(builder, site, image, sizes, first)
    pixels, lengths = builder.cast(sizes, np.float32), builder.cast(samples, np.float32)
    last = builder.op("Sub", pixels, 1.0)
    factors = [axis.factor for axis in site.axes]
    if site.resampling.transform == "align_corners":
        steps = builder.op("Div", last, builder.op("Max", builder.op("Sub", lengths, 1.0), 1.0))
    elif None in factors:
        steps = builder.op("Div", lengths, pixels)
    else:
        steps = builder.const([float(factor or 1) for factor in factors], np.float32)
    return Counts(first, samples, pixels, lengths, steps, last)


def _samples(builder: Builder, site: ResizeSite, image: Tensor, sizes: Tensor, first: int) -> Tensor:
    """How many samples every axis has."""
    scales = [axis.scale for axis in site.axes if axis.samples is None and axis.source is None]
    known = [scale for scale in scales if scale is not None]
    if len(known) < len(site.axes):
        return builder.sizes([wanted_size(builder, axis, image, first + k) for k, axis in enumerate(site.axes)])
    more = builder.op("Mul", sizes, builder.const([scale.numerator for scale in known], np.int64))
    parts = [scale.denominator for scale in known]
    return more if set(parts) == {1} else builder.op("Div", more, builder.const(parts, np.int64))


def emit_columns(builder: Builder, site: ResizeSite, image: Tensor, counts: Counts) -> Tensor:
    """The image [..., W] with the samples of its last axis instead of its pixels."""
    k = len(site.axes) - 1
    ends = [0] * (counts.first + k) + [REACH]
    padded = builder.op("Pad", image, builder.const(2 * ends, np.int64), mode="edge", dtype=image.dtype)
    end = builder.op("Add", _of(builder, counts.pixels, k), float(REACH))
    pixels = builder.op("Range", float(-REACH), end, 1.0)
    first = HALF if _stands_within(site.resampling) else 0.0
    i = builder.op("Range", first, _of(builder, counts.lengths, k), 1.0)
    places = _places(builder, site.resampling, i, counts, k)
    apart = builder.op("Sub", places, builder.unsqueeze(pixels, [1]))
    matrix = _weights(builder, float(site.resampling.coefficient), apart, 2)
    return builder.op("MatMul", padded, matrix, dtype=image.dtype)


def emit_rows(builder: Builder, site: ResizeSite, image: Tensor, counts: Counts) -> Tensor:
    """The image [N, C, H, W] with the samples of its rows instead of these, by tiles."""
    axis, own = counts.first, site.resampling
    starts = builder.op("Range", 0.0, _of(builder, counts.lengths, 0), float(HEIGHT))
    within = np.arange(HEIGHT, dtype=np.float32)[:, None] + np.float32(HALF if _stands_within(own) else 0)
    places = _places(builder, own, builder.op("Add", builder.unsqueeze(starts, [1, 2]), within), counts, 0)
    lowest = builder.op("Floor", builder.op("Gather", places, builder.const([0], np.int64), axis=1))
    pixels = builder.op("Add", lowest, _reached(builder, site, counts))
    matrices = _weights(builder, float(own.coefficient), builder.op("Sub", places, pixels), 3)
    inside = builder.clip(pixels, 0.0, _of(builder, counts.last, 0))
    index = builder.squeeze(builder.cast(inside, np.int64), [1])
    read = builder.op("Gather", image, index, axis=axis, dtype=image.dtype)
    made = builder.op("MatMul", matrices, read, dtype=image.dtype)
    rows = builder.op("Mul", builder.op("Shape", starts), HEIGHT)
    columns = builder.op("Gather", counts.samples, builder.const([1], np.int64), axis=0)
    whole = builder.op("Reshape", made, builder.concat([builder.const([0] * axis, np.int64), rows, columns], 0))
    bounds = [builder.const(value, np.int64) for value in ([0, 0], [axis, axis + 1])]
    return builder.op("Slice", whole, bounds[0], counts.samples, bounds[1], dtype=image.dtype)


def _reached(builder: Builder, site: ResizeSite, counts: Counts) -> Tensor:
    """Which pixels the samples of a tile reach, counted from the one at or before the first of these.

    The last one stands HEIGHT - 1 steps behind the first, which is less than a pixel behind its own.
    """
    factor, corners = site.axes[0].factor, site.resampling.transform == "align_corners"
    if factor is not None and (factor >= 1 or not corners):
        # Samples from corner to corner are no further apart than 1 / factor, where there are more of them than pixels.
        apart = int((HEIGHT - 1) / factor)
        return builder.const(np.arange(1 - REACH, apart + 2 + REACH, dtype=np.float32))
    span = builder.op("Mul" if corners else "Div", np.float32(HEIGHT - 1), _of(builder, counts.steps, 0))
    return builder.op("Range", float(1 - REACH), builder.op("Add", span, float(2 + REACH)), 1.0)


def _of(builder: Builder, counts: Tensor, k: int) -> Tensor:
    """What is counted of the k-th resampled axis, a scalar."""
    return builder.op("Gather", counts, builder.const(k, np.int64), axis=0)


def _places(builder: Builder, own: Resampling, i: Operand, counts: Counts, k: int) -> Tensor:
    """Where the samples i of an axis stand, in pixels: see `samplers.resampling.places`, whose half i has already."""
    step = _of(builder, counts.steps, k)
    if own.transform == "align_corners":
        return builder.op("Mul", i, step)
    at = builder.op("Div", i, step)
    return builder.op("Sub", at, HALF) if _stands_within(own) else at


def _stands_within(own: Resampling) -> bool:
    """Whether samples stand in the middle of their part of the image, as pixels do."""
    return own.transform == "half_pixel"


def _weights(builder: Builder, a: float, apart: Tensor, rank: int) -> Tensor:
    """Cubic weights of pixels that are so far apart from samples; one more axis, the first, is 1.

    At a distance d these are p^2 (a - a p) + q^2 (4 a + 3 - 2 q), of p = max(2 - d, 0) and q = max(1 - d, 0): behind 1
    the second product is 0, behind 2 both are. Both are made by the same nodes.
    """
    ends, slopes, offsets = (
        np.array(pair, np.float32).reshape(2, *[1] * rank) for pair in ([REACH, 1], [-a, -2], [a, 4 * a + 3])
    )
    left = builder.op("Relu", builder.op("Sub", ends, builder.op("Abs", apart)))
    factor = builder.op("Add", builder.op("Mul", left, slopes), offsets)
    outer, inner = builder.split(builder.op("Mul", builder.op("Mul", left, left), factor), 0, [1, 1])
    return builder.op("Add", outer, inner)
