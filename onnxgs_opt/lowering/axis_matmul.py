"""`axis-matmul`: a Resize as one MatMul an axis, whose matrix has the weights of every sample.

A matrix is mostly zeros: it pays where images are small, and where the runtime's own node is slow. All but the last
axis are cut into tiles, whose matrices are smaller. Where sizes are dynamic, the matrices of cubic weights are made in
every call (`made_matrices`).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import prod

import numpy as np

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder, Dim
from onnxgs_opt.lowering.base import EXACT, OfNoSampler
from onnxgs_opt.lowering.made_matrices import emit_columns, emit_counts, emit_rows
from onnxgs_opt.lowering.resize import NO_RESIZE, PLANE, emit_around, weighing_refusal
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

SHORT = 2**16
"""Multiplications of a product that is too short for onnxruntime to divide it; several ones it always divides."""

AXIS_MATMUL = OfNoSampler(NAME, NO_RESIZE, EXACT)
"""One MatMul an axis; only for sites that are a Resize."""


def matmul_refusal(site: ResizeSite, target: Target) -> str | None:
    """Say why a site cannot be written as products with matrices; None when it can."""
    if (other := weighing_refusal(NAME, site, target)) is not None:
        return other
    if not all(map(_is_static, site.axes)) and (other := _dynamic_refusal(site, target)) is not None:
        return other
    count = sum((axis.size or 0) * (axis.samples or 0) for axis in site.axes)
    if count > MOST_WEIGHTS:
        return f"its matrices would have {count} elements, most of them 0, and {MOST_WEIGHTS} is the most"
    return None


def _is_static(axis: ResizedAxis) -> bool:
    return bool(axis.size and axis.samples)


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
    return emit_around(builder, site, 0, _multiplied if all(map(_is_static, site.axes)) else _multiplied_by_made)


def _multiplied(builder: Builder, site: ResizeSite, image: Tensor, lead: list[Dim]) -> Tensor:
    """The image [N, C, ...] times a matrix along its last axes, the last one first."""
    sizes = [axis.size or 0 for axis in site.axes]
    for k in reversed(range(len(sizes))):
        matrix = matrix_of(site.resampling, site.axes[k]).astype(np.float32)
        before, behind = [*lead, *sizes[:k]], sizes[k + 1 :]
        if behind:
            image = builder.reshape(image, [*before, sizes[k], prod(behind)])
            made = (_at_once if _is_short(matrix, before, prod(behind)) else _by_tiles)(builder, matrix, image, before)
        else:
            made = builder.op("MatMul", image, builder.const(matrix.T), dtype=image.dtype)
        sizes[k] = len(matrix)
        image = builder.reshape(made, [*before, sizes[k], *behind])
    return image


def _multiplied_by_made(builder: Builder, site: ResizeSite, image: Tensor, lead: list[Dim]) -> Tensor:
    """The same of one axis or two, of which inputs decide the size of one at least."""
    counts = emit_counts(builder, site, image, len(lead))
    dims = [builder.dim(image, axis) for axis in range(len(lead))]
    makes_rows = len(site.axes) == PLANE and not _is_static(site.axes[0])
    if makes_rows:
        image = builder.transpose(image, [2, 0, 1, 3])
    last = site.axes[-1]
    if _is_static(last):
        matrix = matrix_of(site.resampling, last).astype(np.float32)
        image = builder.op("MatMul", image, builder.const(matrix.T), dtype=image.dtype)
    else:
        image = emit_columns(builder, site, image, counts)
    if makes_rows:
        return emit_rows(builder, site, image, counts, dims)
    for axis in site.axes[:-1]:
        matrix = matrix_of(site.resampling, axis).astype(np.float32)
        image = builder.op("MatMul", builder.const(matrix), image, dtype=image.dtype)
    return image


def _is_short(matrix: Array, before: Sequence[Dim], columns: int) -> bool:
    """Whether a matrix times some images of so many columns is one product that a single thread makes."""
    images = prod(size if isinstance(size, int) else SHORT for size in before)
    return images > 1 and images * matrix.size * columns < SHORT


def _at_once(builder: Builder, matrix: Array, image: Tensor, before: list[Dim]) -> Tensor:
    """A matrix times an image [..., pixels, columns], as one product: of several, each may wake a thread."""
    rank, columns = len(before), builder.dim(image, -1)
    aside = builder.transpose(image, [rank, *range(rank), rank + 1])
    made = builder.op("MatMul", builder.const(matrix), builder.reshape(aside, [matrix.shape[1], -1]))
    whole = builder.reshape(made, [len(matrix), *before, columns])
    return builder.transpose(whole, [*range(1, rank + 1), 0, rank + 1])


def _by_tiles(builder: Builder, matrix: Array, image: Tensor, before: list[Dim]) -> Tensor:
    """A matrix times an image [..., pixels, columns]; each tile of a long axis by the pixels that it reads."""
    index, tiles = tiles_of(matrix)
    if len(tiles) > 1:
        image = builder.op("Gather", image, builder.const(index), axis=len(before))
    return builder.op("MatMul", builder.const(tiles if len(tiles) > 1 else matrix), image)


def tiles_of(matrix: Array) -> tuple[Array, Array]:
    """A matrix [samples, pixels] in tiles of as many samples each: the pixels [T, K] of each, its part [T, ., K]."""
    samples, size = matrix.shape
    count = max(n for n in range(1, max(size // TILE, 1) + 1) if samples % n == 0)
    parts = matrix.reshape(count, -1, size)
    read = [np.flatnonzero(part.any(0)) for part in parts]
    width = max(int(own[-1] - own[0]) + 1 for own in read)
    index = np.array([min(int(own[0]), size - width) for own in read])[:, None] + np.arange(width)
    return index, np.stack([part[:, own] for part, own in zip(parts, index, strict=True)])


def matrix_of(resampling: Resampling, axis: ResizedAxis) -> Array:
    """How much each pixel of an axis of static sizes counts in each of its samples, [samples, pixels]."""
    size, samples = axis.size or 0, axis.samples or 0
    own = taps(resampling, size, samples, axis.factor or Fraction(1))
    matrix = np.zeros((samples, size))
    np.add.at(matrix, (np.arange(samples)[:, None], own.index), own.weights)
    return matrix
