"""A cubic Resize of dynamic sizes as one MatMul an axis: the matrices are made of distances, in every call.

A sample counts each pixel by how far away it is. The columns are one product with the whole matrix, whose image has its
edges repeated. The rows are cut into tiles of as many samples each, of which a product has only the pixels that they
reach; behind the last sample a tile is filled up, and what is made there is not read. The rows of all images lie side
by side meanwhile: a small image is then one product, where several would wake a thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder, Dim, Operand
from onnxgs_opt.lowering.resize import wanted_size
from onnxgs_opt.samplers.resampling import Resampling
from onnxgs_opt.samplers.resize import ResizeSite

HALF = 0.5
REACH = 2
"""Pixels from a sample beyond which a cubic weight is 0."""

PLURAL = 2
"""Samples a pixel, of which one pixel has several: the first is not the last."""

HEIGHT = 32
"""Rows of samples that are one product: of fewer the products are short, of more they have more zeros."""


@dataclass(frozen=True)
class Counts:
    """What there is along the resampled axes; of three parts, each has an element an axis.

    Attributes:
        first: The place of the first of them among the image's axes.
        sizes: How many pixels, how many samples, and how many pixels again, int64.
        floats: The same, float32.
        ends: The last pixel, the last sample, and what is behind the last pixel that a sample reaches, float32.
        steps: By axis pixels from one sample to the next, samples a pixel where nothing aligns corners; float32 [1].
    """

    first: int
    sizes: Tensor
    floats: Tensor
    ends: Tensor
    steps: tuple[Tensor, ...]


def emit_counts(builder: Builder, site: ResizeSite, image: Tensor, first: int) -> Counts:
    """Count all axes at once: where images are small, a node is most of the time that it takes."""
    sizes, count = _sizes(builder, site, image, first), len(site.axes)
    floats = builder.cast(sizes, np.float32)
    ends = builder.op("Add", floats, np.repeat([-1, -1, REACH], count).astype(np.float32))
    factors, thirds, ones = [axis.factor for axis in site.axes], [count] * 3, [1] * count
    if site.resampling.transform == "align_corners":
        last, spans, _ = builder.split(ends, 0, thirds)
        if any(factor is None or factor < PLURAL for factor in factors):
            spans = builder.op("Max", spans, 1.0)
        steps = builder.split(builder.op("Div", last, spans), 0, ones)
    elif None in factors:
        pixels, lengths, _ = builder.split(floats, 0, thirds)
        steps = builder.split(builder.op("Div", lengths, pixels), 0, ones)
    else:
        steps = tuple(builder.const([float(factor or 1)], np.float32) for factor in factors)
    return Counts(first, sizes, floats, ends, steps)


def _sizes(builder: Builder, site: ResizeSite, image: Tensor, first: int) -> Tensor:
    """How many pixels, samples, and pixels again every axis has."""
    places, scales = range(first, first + len(site.axes)), [axis.scale or Fraction(1) for axis in site.axes]
    if any(axis.scale is None or axis.samples is not None or axis.source is not None for axis in site.axes):
        pixels = [builder.dim(image, place) for place in places]
        samples = [wanted_size(builder, axis, image, k) for axis, k in zip(site.axes, places, strict=True)]
        return builder.sizes([*pixels, *samples, *pixels])
    ones = [1] * len(scales)
    sizes = builder.op("Gather", builder.op("Shape", image), builder.const([*places] * 3, np.int64), axis=0)
    more, parts = ([*ones, *(getattr(s, n) for s in scales), *ones] for n in ("numerator", "denominator"))
    sizes = builder.op("Mul", sizes, builder.const(more, np.int64))
    return sizes if set(parts) == {1} else builder.op("Div", sizes, builder.const(parts, np.int64))


def emit_columns(builder: Builder, site: ResizeSite, image: Tensor, counts: Counts) -> Tensor:
    """The image [..., W] with the samples of its last axis instead of its pixels."""
    k = len(site.axes) - 1
    ends = [0] * (counts.first + k) + [REACH]
    padded = builder.op("Pad", image, builder.const(2 * ends, np.int64), mode="edge", dtype=image.dtype)
    count = len(site.axes)
    pixels = builder.op("Range", float(-REACH), _of(builder, counts.ends, 2 * count + k), 1.0)
    first = HALF if _stands_within(site.resampling) else 0.0
    i = builder.op("Range", first, _of(builder, counts.floats, count + k), 1.0)
    places = _places(builder, site.resampling, i, counts, k)
    apart = builder.op("Sub", places, builder.unsqueeze(pixels, [1]))
    matrix = _weights(builder, float(site.resampling.coefficient), apart, 2)
    return builder.op("MatMul", padded, matrix, dtype=image.dtype)


def emit_rows(builder: Builder, site: ResizeSite, image: Tensor, counts: Counts, dims: Sequence[Dim]) -> Tensor:
    """The rows [H, N, C, W] of images, of which `dims` are N and C, with their samples instead: [N, C, samples, W]."""
    own = site.resampling
    starts = builder.op("Range", 0.0, _of(builder, counts.floats, 2), float(HEIGHT))
    within = np.arange(HEIGHT, dtype=np.float32)[:, None] + np.float32(HALF if _stands_within(own) else 0)
    places = _places(builder, own, builder.op("Add", builder.unsqueeze(starts, [1, 2]), within), counts, 0)
    lowest = builder.op("Floor", builder.op("Gather", places, builder.const([0], np.int64), axis=1))
    pixels = builder.op("Add", lowest, _reached(builder, site, counts))
    matrices = _weights(builder, float(own.coefficient), builder.op("Sub", places, pixels), 3)
    inside = builder.op("Clip", pixels, 0.0, _of(builder, counts.ends, 0))
    index = builder.squeeze(builder.cast(inside, np.int64), [1])
    read = builder.op("Gather", builder.flatten(image, 1), index, axis=0, dtype=image.dtype)
    made = builder.op("MatMul", matrices, read, dtype=image.dtype)
    samples, columns = (
        part if axis.samples is None else axis.samples
        for part, axis in zip(builder.split(counts.sizes, 0, [2, 1, 1, 2])[1:3], site.axes, strict=True)
    )
    table = builder.reshape(made, [-1, columns])
    return builder.op("Gather", table, _rows_of(builder, [samples, *dims]), axis=0, dtype=image.dtype)


def _rows_of(builder: Builder, sizes: Sequence[Dim]) -> Tensor:
    """Where each row of an image [N, C, rows, W] is among rows that lie as [rows, N, C], which have these sizes."""
    count = builder.op("ReduceProd", builder.sizes(sizes), keepdims=0, dtype=np.int64, shape=[])
    return builder.transpose(builder.reshape(builder.op("Range", 0, count, 1), sizes), [1, 2, 0])


def _reached(builder: Builder, site: ResizeSite, counts: Counts) -> Tensor:
    """Which pixels the samples of a tile reach, counted from the one at or before the first of these.

    The last one stands HEIGHT - 1 steps behind the first, which is less than a pixel behind its own.
    """
    factor, corners = site.axes[0].factor, site.resampling.transform == "align_corners"
    if factor is not None and (factor >= 1 or not corners):
        # Samples from corner to corner are no further apart than 1 / factor, where there are more of them than pixels.
        apart = int((HEIGHT - 1) / factor)
        return builder.const(np.arange(1 - REACH, apart + 2 + REACH, dtype=np.float32))
    span = builder.op("Mul" if corners else "Div", np.float32(HEIGHT - 1), builder.squeeze(counts.steps[0], [0]))
    return builder.op("Range", float(1 - REACH), builder.op("Add", span, float(2 + REACH)), 1.0)


def _of(builder: Builder, counts: Tensor, k: int) -> Tensor:
    """The k-th of what is counted, a scalar."""
    return builder.op("Gather", counts, builder.const(k, np.int64), axis=0)


def _places(builder: Builder, own: Resampling, i: Operand, counts: Counts, k: int) -> Tensor:
    """Where the samples i of an axis stand, in pixels: see `samplers.resampling.places`, whose half i has already."""
    step = counts.steps[k]
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
