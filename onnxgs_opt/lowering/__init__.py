"""Ways of writing a sampler, by the names that the command line uses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from onnxgs_opt.lowering.base import Lowering, Tolerance
from onnxgs_opt.lowering.blocked_gather import BlockedGather
from onnxgs_opt.lowering.grid_sample import GridSample, tolerance_of_round_trip
from onnxgs_opt.lowering.keep import Keep
from onnxgs_opt.lowering.lerp_gather import LerpGather
from onnxgs_opt.lowering.merged_gather import MergedGather
from onnxgs_opt.lowering.packed_gather import PackedGather
from onnxgs_opt.lowering.plugin import Plugin, tolerance_from_grid
from onnxgs_opt.lowering.roi_align import RoiAlign
from onnxgs_opt.lowering.row_gather import RowGather
from onnxgs_opt.runtime.target import Target
from onnxgs_opt.samplers.site import Site

LOWERINGS: dict[str, Lowering] = {
    "keep": Keep(),
    "merged-gather": MergedGather(),
    "blocked-gather": BlockedGather(),
    "lerp-gather": LerpGather(),
    "row-gather": RowGather(),
    "packed-gather": PackedGather(),
    "grid-sample": GridSample(),
    "roi-align": RoiAlign(),
    "plugin": Plugin(),
}


def tolerance_of(lowering: Lowering, site: Site) -> Tolerance:
    """How far a site lowered so may be from the exported one: as many roundings, of the type that it computes in."""
    tolerance = _with_steps(site, _at_size(lowering, site) or lowering.tolerance)
    if not rounds_to_halves(site):
        return tolerance
    scale = float(np.finfo(np.float16).eps / np.finfo(np.float32).eps)
    return replace(tolerance, rtol=scale * tolerance.rtol, atol=scale * tolerance.atol)


def rounds_to_halves(site: Site) -> bool:
    """Whether something between its operands and its result is rounded to half precision."""
    return "float16" in (site.dtype, *site.types)


def _with_steps(site: Site, own: Tolerance) -> Tolerance:
    """What it costs to add a grid to the coordinates before they are rounded: half an ulp of the size of the image.

    Pixels of a unit-normal image differ by about 6 at most.
    """
    height, width = site.image_size
    atol = 6 * ((height or 0) + (width or 0)) * 2.0**-24
    if atol <= own.atol or not any(any(view.steps) for view in site.coordinate_views):
        return own
    return replace(own, atol=atol, reason="the grid that the points stand on is added to coordinates before the floor")


def _at_size(lowering: Lowering, site: Site) -> Tolerance | None:
    match lowering:
        case Plugin():
            return tolerance_from_grid(site)
        case GridSample():
            return tolerance_of_round_trip(site)
    return None


__all__ = ["LOWERINGS", "Lowering", "Target", "Tolerance", "rounds_to_halves", "tolerance_of"]
