"""Check that what stands for a deformable convolution computes the same: with points on and around every border."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from onnx import ModelProto

from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import LOWERINGS, Tolerance, tolerance_of
from onnxgs_opt.lowering.deform_conv import deform_tolerance
from onnxgs_opt.lowering.deform_gather import is_whole
from onnxgs_opt.lowering.deform_samples import as_sampler
from onnxgs_opt.samplers.deform import DeformSite
from onnxgs_opt.samplers.view import Array, lay_out, spans
from onnxgs_opt.validation.boundary_values import pixels
from onnxgs_opt.validation.cone_check import ConeCheck, feeds_at, operand_cone, runs_of
from onnxgs_opt.validation.inputs import MAX_ROUNDS, POINTS, Run
from onnxgs_opt.validation.small_sizes import Shapes
from onnxgs_opt.validation.terms import Terms


def deform_check(graph: Graph, site: DeformSite, terms: Terms) -> ConeCheck[DeformSite]:
    """The check of a site.

    Raises:
        NotRunnableError: Its cone cannot run alone.
    """
    cone = operand_cone(graph, site, terms.scopes)
    rng = np.random.default_rng(terms.seed)

    def anywhere(size: int, grid: Array) -> Array:
        return pixels(size, grid.size, rng).reshape(grid.shape)

    def feeds(known: Shapes) -> dict[str, Array]:
        return deform_feeds(cone, site, known, rng, anywhere)

    runs = runs_of(graph, cone, terms, feeds, MAX_ROUNDS, POINTS)
    sized = (replace(run, image=tuple(_sizes(site, run.feeds)[1])) for run in runs)
    return ConeCheck.of(site, cone, terms, sized, _tolerance)


def _tolerance(site: DeformSite, name: str, run: Run) -> Tolerance:
    return tolerance_of_deform(site, name, (*site.sizes[:2], *run.image, *site.sizes[4:]))


def tolerance_of_deform(site: DeformSite, name: str, sizes: Sequence[int | None] = ()) -> Tolerance:
    """What the output of a site, at the sizes that count or at its own, may differ by where it is lowered so."""
    lowering, whole = LOWERINGS[name], is_whole(name, site)
    sized = replace(site, sizes=tuple(sizes or site.sizes))
    own = tolerance_of(lowering, as_sampler(sized) if whole else site.sampler)
    return deform_tolerance(sized, own, is_whole=whole)


Aim = Callable[[int, Array], Array]
"""From the pixels of an axis and those that the points of the kernel are at, to those where they are to be."""


def deform_feeds(
    cone: ModelProto, site: DeformSite, known: Shapes, rng: np.random.Generator, aim: Aim
) -> dict[str, Array]:
    """Inputs of a cone, unit-normal but for the offsets, which put the points where `aim` says.

    They are of `known` shapes where the file leaves them open.

    Raises:
        NotRunnableError: A shape is not known.
    """
    feeds = feeds_at(cone, known, rng)
    offsets = _offsets(site, feeds, aim)
    batch, *_, height, width = offsets.shape
    for k, operand in enumerate(site.offsets):
        name, own = operand.view.tensor, offsets if len(site.offsets) == 1 else offsets[:, :, k]
        if name in feeds:
            whole = rng.standard_normal((batch, operand.channels, height, width)).astype(np.float32)
            whole[:, list(operand.table)] = own.reshape(batch, -1, height, width)
            feeds[name] = lay_out(operand.view, whole, feeds[name].shape)
    return feeds


def _sizes(site: DeformSite, feeds: Mapping[str, Array]) -> tuple[int, list[int], list[int]]:
    """N, (H, W) and (Ho, Wo) of a site whose inputs are these."""
    batch, _, *image, _, height, width = (size or 0 for size in site.sizes)
    positions = [height, width]
    if site.image.tensor in feeds:
        batch, _, *image = spans(site.image, feeds[site.image.tensor].shape)
    for operand in site.offsets:
        if operand.view.tensor in feeds:
            positions = spans(operand.view, feeds[operand.view.tensor].shape)[2:]
    return batch, image, positions


def _offsets(site: DeformSite, feeds: Mapping[str, Array], aim: Aim) -> Array:
    """Offsets [N, offset groups * points, 2, Ho, Wo] that bring the points of the kernel to where `aim` says."""
    own = site.geometry
    batch, image, (height, width) = _sizes(site, feeds)
    parts = []
    for axis, size in enumerate(image):
        place = np.arange(own.points) // own.kernel[1] if axis == 0 else np.arange(own.points) % own.kernel[1]
        positions = np.arange(height)[:, None] if axis == 0 else np.arange(width)
        kernel = np.tile(place * own.dilations[axis], own.offset_groups)[:, None, None]
        grid = positions * own.strides[axis] - own.pads[axis] + kernel
        grid = np.broadcast_to(grid, (batch, len(kernel), height, width)).astype(np.float32)
        parts.append(aim(size, grid) - grid)
    return np.stack(parts, axis=2)
