"""Ways of writing a sampler, by the names that the command line uses."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.lowering.base import Emitted, Lowering, Tolerance
from onnxgs_opt.lowering.blocked_gather import BlockedGather
from onnxgs_opt.lowering.emit.operands import BORDERS, emit_plain, plain
from onnxgs_opt.lowering.grid_sample import GridSample, tolerance_of_round_trip
from onnxgs_opt.lowering.keep import Keep
from onnxgs_opt.lowering.lerp_gather import LerpGather
from onnxgs_opt.lowering.merged_gather import MergedGather
from onnxgs_opt.lowering.packed_gather import PackedGather
from onnxgs_opt.lowering.plugin import Plugin, tolerance_from_grid
from onnxgs_opt.lowering.resize import Resize
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
    "resize": Resize(),
}


LARGEST_FILL = 1024
"""A fill value is taken from pixels and added again: beyond this one, unit-normal pixels would be off by 5e-4."""


def refusal_of(lowering: Lowering, site: Site, target: Target) -> str | None:
    """Why a lowering cannot write a site, once its operands say what the lowering cannot; None when it can."""
    if abs(float(site.policy.fill)) > LARGEST_FILL and not isinstance(lowering, Keep):
        return f"pixels less the fill value {float(site.policy.fill):g} would lose their last digits"
    return lowering.refusal(plain(site, _borders(lowering)), target)


def emit(lowering: Lowering, builder: Builder, site: Site) -> Emitted:
    """Write a site, and before it the operands that the lowering needs; only where there is no refusal."""
    return lowering.emit(builder, emit_plain(builder, site, _borders(lowering)))


def _borders(lowering: Lowering) -> Collection[str]:
    """The borders that a lowering writes itself: its `borders`, or those that all of them do."""
    own: Collection[str] = getattr(lowering, "borders", BORDERS)
    return own


def tolerance_of(lowering: Lowering, site: Site) -> Tolerance:
    """How far a site lowered so may be from the exported one: as many roundings, of the type that it computes in."""
    own = _at_size(lowering, site) or lowering.tolerance
    tolerance = own if isinstance(lowering, Keep) else _with_border(site, _with_steps(site, own))
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


def _with_border(site: Site, own: Tolerance) -> Tolerance:
    """What it costs to move coordinates into the image, and to take a fill value from pixels and add it again."""
    height, width = site.image_size
    moved = 0.0 if site.policy.border in BORDERS else 6 * ((height or 0) + (width or 0)) * 2.0**-24
    filled = 4 * abs(float(site.policy.fill)) * 2.0**-23
    if max(moved, filled) <= own.atol:
        return own
    why = (
        "coordinates are moved into the image before the floor" if moved else "the fill value is taken from all pixels"
    )
    return replace(own, atol=max(own.atol, moved, filled), reason=why)


def _at_size(lowering: Lowering, site: Site) -> Tolerance | None:
    match lowering:
        case Plugin():
            return tolerance_from_grid(site)
        case GridSample():
            return tolerance_of_round_trip(site)
    return None


__all__ = ["LOWERINGS", "Lowering", "Target", "Tolerance", "emit", "refusal_of", "rounds_to_halves", "tolerance_of"]
