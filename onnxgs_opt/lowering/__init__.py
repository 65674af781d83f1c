"""Ways of writing a sampler, by the names that the command line uses."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.lowering.attention import BUILT_IN_PLUGIN
from onnxgs_opt.lowering.axis_matmul import AXIS_MATMUL
from onnxgs_opt.lowering.base import EXACT, SLOPE, Emitted, Lowering, Tolerance, in_halves, rounds_to_halves
from onnxgs_opt.lowering.blocked_gather import BlockedGather
from onnxgs_opt.lowering.deform_conv import DEFORM_CONV
from onnxgs_opt.lowering.emit.operands import BORDERS, emit_plain, plain
from onnxgs_opt.lowering.grid_sample import GridSample, tolerance_of_round_trip
from onnxgs_opt.lowering.keep import Keep
from onnxgs_opt.lowering.lerp_gather import LerpGather
from onnxgs_opt.lowering.merged_gather import MergedGather
from onnxgs_opt.lowering.packed_gather import PackedGather
from onnxgs_opt.lowering.plugin import Plugin, tolerance_from_grid
from onnxgs_opt.lowering.polyphase_conv import POLYPHASE
from onnxgs_opt.lowering.resize import RESIZE
from onnxgs_opt.lowering.roi_align import RoiAlign
from onnxgs_opt.lowering.row_gather import RowGather
from onnxgs_opt.runtime.target import Target
from onnxgs_opt.samplers.site import BILINEAR, Site

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
    "resize": RESIZE,
    "polyphase-conv": POLYPHASE,
    "axis-matmul": AXIS_MATMUL,
    "deform-conv": DEFORM_CONV,
    "tensorrt-attention": BUILT_IN_PLUGIN,
}


CUBIC = "the polynomials of the weights are evaluated in another order, and their terms are up to 12 times as large"

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
    """The borders that a lowering of bilinear sites writes itself: its `borders`, or those that all of them do."""
    own: Collection[str] = getattr(lowering, "borders", BORDERS)
    return own


def tolerance_of(lowering: Lowering, site: Site) -> Tolerance:
    """How far a site lowered so may be from the exported one: as many roundings, of the type that it computes in."""
    own = _of_kernels(site, _at_size(lowering, site) or lowering.tolerance)
    tolerance = own if isinstance(lowering, Keep) else _with_border(site, _with_steps(site, own))
    return in_halves(tolerance) if rounds_to_halves(site) else tolerance


def _of_kernels(site: Site, own: Tolerance) -> Tolerance:
    """What other kernels than the linear one of two axes cost.

    The terms of a cubic weight reach 12, four times an axis, and both forms round each of them; of one pixel nothing is
    computed.
    """
    if site.taps == 1:
        return replace(EXACT, carried=own.carried)
    if any(name.startswith("cubic") for name in site.kernels):
        return replace(own, rtol=max(own.rtol, 1e-5), atol=max(own.atol, 3e-5), reason=CUBIC)
    eight = site.taps / len(BILINEAR) ** 2
    return replace(own, rtol=own.rtol * eight, atol=own.atol * eight) if eight > 1 else own


def _with_steps(site: Site, own: Tolerance) -> Tolerance:
    """What it costs to add a grid to the coordinates before they are rounded: half an ulp of the size of the image."""
    atol = SLOPE * sum(size or 0 for size in site.image_size) * 2.0**-24
    if atol <= own.atol or not any(any(view.steps) for view in site.coordinate_views):
        return own
    return replace(own, atol=atol, reason="the grid that the points stand on is added to coordinates before the floor")


def _with_border(site: Site, own: Tolerance) -> Tolerance:
    """What it costs to move coordinates into the image, and to take a fill value from pixels and add it again."""
    moves = site.policy.border not in BORDERS and site.kernels == BILINEAR
    moved = SLOPE * sum(size or 0 for size in site.image_size) * 2.0**-24 if moves else 0.0
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
