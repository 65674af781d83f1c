"""`axis-matmul`: a Resize as one MatMul an axis, whose matrix has the weights of every sample.

A matrix is mostly zeros: it pays where images are small, and where the runtime's own node is slow. All but the last
axis are cut into tiles, whose matrices are smaller. Where sizes are dynamic, the matrices of cubic weights are made in
every call.
"""

from __future__ import annotations

from fractions import Fraction
from math import prod
from typing import cast

import numpy as np

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder, Dim
from onnxgs_opt.lowering.base import EXACT, OfNoSampler
from onnxgs_opt.lowering.resize import NO_RESIZE, PLANE, emit_around, wanted_size, weighing_refusal
from onnxgs_opt.runtime.target import Target
from onnxgs_opt.samplers.resampling import Resampling, taps
from onnxgs_opt.samplers.resize import ResizedAxis, ResizeSite
from onnxgs_opt.samplers.view import Array

NAME = "axis-matmul"
FIRST_OPSET = 11
MOST_WEIGHTS = 2**20
"""Elements of all matrices together, 4 MiB of the file: those of 512 x 512 pixels at twice the size."""

TILE = 32
"""Pixels along an axis whose samples are one product: those far away have weight 0 and are left out."""

REACH = 2
"""Pixels from a sample beyond which a cubic weight is 0."""

AXIS_MATMUL = OfNoSampler(NAME, NO_RESIZE, EXACT)
"""One MatMul an axis; only for sites that are a Resize."""


def matmul_refusal(site: ResizeSite, target: Target) -> str | None:
    """Say why a site cannot be written as products with matrices; None when it can."""
    if (other := weighing_refusal(NAME, site, target)) is not None:
        return other
    if not _is_static(site):
        return _dynamic_refusal(site, target)
    count = sum((axis.size or 0) * (axis.samples or 0) for axis in site.axes)
    if count > MOST_WEIGHTS:
        return f"its matrices would have {count} elements, most of them 0, and {MOST_WEIGHTS} is the most"
    return None


def _is_static(site: ResizeSite) -> bool:
    return all(axis.size and axis.samples for axis in site.axes)


def _dynamic_refusal(site: ResizeSite, target: Target) -> str | None:
    """Refuse sizes that inputs decide where a Resize is fast, or where no formula of distances has the weights."""
    own = site.resampling
    if own.mode != "cubic":
        return f"a matrix of dynamic size has to be made in every call, which no {own.mode} Resize is slow enough for"
    if own.exclude_outside or own.transform == "pytorch_half_pixel" or len(site.axes) > PLANE:
        return f"{NAME} has no formula for the weights of dynamic sizes"
    if target.opset < FIRST_OPSET:
        return f"a Pad of sizes that are inputs needs opset {FIRST_OPSET}, the model has {target.opset}"
    return None


def emit_matmuls(builder: Builder, site: ResizeSite) -> Tensor:
    """The output of a site as its image times one matrix after another."""
    return emit_around(builder, site, 0, _multiplied if _is_static(site) else _multiplied_by_made)


def _multiplied(builder: Builder, site: ResizeSite, image: Tensor, lead: list[Dim]) -> Tensor:
    """The image [N, C, ...] times a matrix along its last axes, the last one first."""
    sizes = [axis.size or 0 for axis in site.axes]
    for k in reversed(range(len(sizes))):
        matrix = matrix_of(site.resampling, site.axes[k]).astype(np.float32)
        before, behind = [*lead, *sizes[:k]], sizes[k + 1 :]
        if behind:
            image = builder.reshape(image, [*before, sizes[k], prod(behind)])
            made = _by_tiles(builder, matrix, image, before)
        else:
            made = builder.op("MatMul", image, builder.const(matrix.T), dtype=image.dtype)
        sizes[k] = len(matrix)
        image = builder.reshape(made, [*before, sizes[k], *behind])
    return image


def _by_tiles(builder: Builder, matrix: Array, image: Tensor, before: list[Dim]) -> Tensor:
    """A matrix times an image [..., pixels, columns]; each tile of a long axis by the pixels that it reads."""
    index, tiles = tiles_of(matrix)
    if len(tiles) > 1:
        image = builder.op("Gather", image, builder.const(index), axis=len(before))
    return cast(Tensor, builder.op("MatMul", builder.const(tiles if len(tiles) > 1 else matrix), image))


def tiles_of(matrix: Array) -> tuple[Array, Array]:
    """A matrix [samples, pixels] in tiles of as many samples each: the pixels [T, K] of each, its part [T, ., K]."""
    samples, size = matrix.shape
    count = max(n for n in range(1, max(size // TILE, 1) + 1) if samples % n == 0)
    parts = matrix.reshape(count, -1, size)
    read = [np.flatnonzero(part.any(0)) for part in parts]
    width = max(int(own[-1] - own[0]) + 1 for own in read)
    index = np.array([min(int(own[0]), size - width) for own in read])[:, None] + np.arange(width)
    return index, np.stack([part[:, own] for part, own in zip(parts, index, strict=True)])


def _multiplied_by_made(builder: Builder, site: ResizeSite, image: Tensor, lead: list[Dim]) -> Tensor:
    """The same where sizes are dynamic: by matrices that are made of distances, of an image with its edges repeated."""
    places = range(len(lead), len(lead) + len(site.axes))
    sizes = [builder.dim(image, place) for place in places]
    ends = [0] * len(lead) + [REACH] * len(sizes)
    made = builder.op("Pad", image, builder.const(2 * ends, np.int64), mode="edge", dtype=image.dtype)
    for axis, size, place in reversed(list(zip(site.axes, sizes, places, strict=True))):
        is_last = place == places[-1]
        at = _places(builder, site.resampling, axis, size, wanted_size(builder, axis, image, place))
        pixels = _range(builder, -REACH, builder.op("Add", size, REACH) if isinstance(size, Tensor) else size + REACH)
        columns, rows = (at, pixels) if is_last else (pixels, at)
        apart = builder.op("Sub", builder.unsqueeze(rows, [1]), builder.unsqueeze(columns, [0]))
        matrix = _weights(builder, float(site.resampling.coefficient), builder.op("Abs", apart))
        made = builder.op("MatMul", *((made, matrix) if is_last else (matrix, made)), dtype=image.dtype)
    return cast(Tensor, made)


def _range(builder: Builder, first: int, end: Dim) -> Tensor:
    """The integers from `first` to `end` (exclusive), as floats."""
    if isinstance(end, int):
        return builder.const(np.arange(first, end, dtype=np.float32))
    return builder.cast(builder.op("Range", first, builder.squeeze(end, [0]), 1), np.float32)


def _places(builder: Builder, own: Resampling, axis: ResizedAxis, size: Dim, samples: Dim) -> Tensor:
    """Where the samples of an axis stand, in pixels: see `samplers.resampling.places`."""
    i = _range(builder, 0, samples)
    if own.transform == "align_corners":
        last, steps = (builder.op("Sub", _float(builder, count), 1.0) for count in (size, samples))
        return cast(Tensor, builder.op("Div", builder.op("Mul", i, last), builder.op("Max", steps, 1.0)))
    ratio = builder.const(float(axis.factor), np.float32) if axis.factor is not None else None
    if ratio is None:
        ratio = builder.op("Div", _float(builder, samples), _float(builder, size))
    if own.transform == "asymmetric":
        return cast(Tensor, builder.op("Div", i, ratio))
    return cast(Tensor, builder.op("Sub", builder.op("Div", builder.op("Add", i, 0.5), ratio), 0.5))


def _float(builder: Builder, count: Dim) -> Tensor:
    return builder.const([count], np.float32) if isinstance(count, int) else builder.cast(count, np.float32)


def _weights(builder: Builder, a: float, distance: Tensor) -> Tensor:
    """Cubic weights of pixels at distances d: (a+2)d^3 - (a+3)d^2 + 1 below 1, a(d^3 - 5d^2 + 8d - 4) below 2."""
    d, e = distance, builder.op("Min", distance, float(REACH))
    slope = builder.op("Sub", builder.op("Mul", d, a + 2), a + 3)
    near = builder.op("Add", builder.op("Mul", builder.op("Mul", slope, d), d), 1.0)
    bend = builder.op("Add", builder.op("Mul", builder.op("Sub", e, 5.0), e), 8.0)
    far = builder.op("Mul", builder.op("Sub", builder.op("Mul", bend, e), 4.0), a)
    return cast(Tensor, builder.op("Where", builder.op("Less", d, 1.0), near, far))


def matrix_of(resampling: Resampling, axis: ResizedAxis) -> Array:
    """How much each pixel of an axis of static sizes counts in each of its samples, [samples, pixels]."""
    size, samples = axis.size or 0, axis.samples or 0
    own = taps(resampling, size, samples, axis.factor or Fraction(1))
    matrix = np.zeros((samples, size))
    np.add.at(matrix, (np.arange(samples)[:, None], own.index), own.weights)
    return matrix
