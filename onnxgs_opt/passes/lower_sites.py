"""From sites and what was chosen for them to the graph that has it, for every kind of site."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from onnxgs_opt._version import __version__
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import LOWERINGS
from onnxgs_opt.lowering.attention import WHOLE as WHOLE_ATTENTION
from onnxgs_opt.lowering.attention import emit_attention
from onnxgs_opt.lowering.deform_gather import emit_whole, is_whole
from onnxgs_opt.lowering.resizing import RESIZING
from onnxgs_opt.lowering.roi_align import emit_regions
from onnxgs_opt.passes import PASSES, EliminateDead, Pipeline
from onnxgs_opt.passes.base import Pass
from onnxgs_opt.passes.lower_bilinear import LowerBilinear
from onnxgs_opt.passes.lower_whole import LowerWhole
from onnxgs_opt.passes.merge_reads import MergeReads
from onnxgs_opt.passes.raise_bilinear import RaiseBilinear
from onnxgs_opt.samplers.attention import AttentionSite
from onnxgs_opt.samplers.deform import DeformSite
from onnxgs_opt.samplers.resize import ResizeSite
from onnxgs_opt.samplers.roi_align import RoiAlignSite
from onnxgs_opt.samplers.site import AnySite, Site, StructuralSite

METADATA = "onnxgs_opt"
"""The key of the model's metadata under which the version and the lowerings stand."""

SHARE = PASSES["eliminate-common-subexpressions"]
"""Sites on one image or at the same points share what they have in common."""

ROI_ALIGN = "roi-align"

Lowerings = Mapping[str, str]
"""The lowering of every site, by the site's id."""


def lower(graph: Graph, sites: Sequence[AnySite], lowerings: Lowerings) -> Graph:
    """A copy of the canonical graph in which the sites that `lowerings` names by id are lowered so."""
    lowered = graph.copy()
    passes = lowering_passes([site for site in sites if site.id in lowerings], lowerings)
    Pipeline("lower", (*passes, SHARE, EliminateDead())).run(lowered)
    if not lowered.gs.functions:  # raising needed a newer IR for its function
        lowered.envelope.ir_version = graph.envelope.ir_version
    lowered.set_metadata(METADATA, json.dumps({"version": __version__, "plan": dict(lowerings)}, sort_keys=True))
    return lowered


def still_read(lowered: Graph, sites: Sequence[AnySite], lowerings: Lowerings) -> dict[str, str]:
    """Of the sites that `lowerings` names by id, those of whose reads the lowered graph has any, and why they stay."""
    names = {node.name for part in (lowered, *lowered.bodies()) for node in part.nodes}
    why = "another part of the model still needs what it reads with '{}'"
    found = {site.id: next((read for read in site.reads if read in names), None) for site in sites}
    return {key: why.format(read) for key, read in found.items() if read is not None and key in lowerings}


def lowering_passes(sites: Sequence[AnySite], lowerings: Lowerings) -> tuple[Pass, ...]:
    """Passes that together lower every one of `sites` as chosen; kinds that share passes go through them together."""
    ways = dict.fromkeys(LOWER.values())
    shares = ((way, [site for site in sites if LOWER[site.kind] is way]) for way in ways)
    return tuple(each for way, own in shares if own for each in way(own, lowerings))


def _of_samplers(sites: Sequence[Site], lowerings: Lowerings) -> tuple[Pass, ...]:
    return RaiseBilinear(tuple(sites)), LowerBilinear(tuple(sites), lowerings)


def _of_sums(sites: Sequence[StructuralSite], lowerings: Lowerings) -> tuple[Pass, ...]:
    return (MergeReads(tuple(sites)),)


def _of_resizes(sites: Sequence[ResizeSite], lowerings: Lowerings) -> tuple[Pass, ...]:
    named = [(form, [site for site in sites if lowerings[site.id] == name]) for name, form in RESIZING.items()]
    return tuple(LowerWhole(own, form.emit) for form, own in named if own)


def _of_roi_aligns(sites: Sequence[RoiAlignSite], lowerings: Lowerings) -> tuple[Pass, ...]:
    """One node for those that are lowered to it; the others are lowered as what they are made of."""
    whole = [site for site in sites if lowerings[site.id] == ROI_ALIGN]
    plain = [site.plain for site in sites if lowerings[site.id] != ROI_ALIGN]
    return LowerWhole(whole, emit_regions), *lowering_passes(plain, lowerings)


def _of_deform_convs(sites: Sequence[DeformSite], lowerings: Lowerings) -> tuple[Pass, ...]:
    """Those that are written whole; of the others the samplers alone, and what weighs them stays."""
    whole = [site for site in sites if is_whole(lowerings[site.id], site)]
    samplers = [site.plain for site in sites if not is_whole(lowerings[site.id], site)]
    named = {name: [site for site in whole if lowerings[site.id] == name] for name in LOWERINGS}
    forms = [LowerWhole(own, partial(emit_whole, name=name)) for name, own in named.items() if own]
    return *forms, *lowering_passes(samplers, lowerings)


def _of_attentions(sites: Sequence[AttentionSite], lowerings: Lowerings) -> tuple[Pass, ...]:
    """The whole for those that are lowered so; of the others the samplers alone, and what weighs them stays."""
    named = [(name, [site for site in sites if lowerings[site.id] == name]) for name in WHOLE_ATTENTION]
    whole = [LowerWhole(own, partial(emit_attention, name=name)) for name, own in named if own]
    parted = [site for site in sites if lowerings[site.id] not in WHOLE_ATTENTION]
    inner = {sampler.id: lowerings[site.id] for site in parted for sampler in site.plain}
    return *whole, *lowering_passes([sampler for site in parted for sampler in site.plain], inner)


LOWER: dict[str, Callable[[Sequence[Any], Lowerings], tuple[Pass, ...]]] = {
    "bilinear": _of_samplers,
    "sampler": _of_samplers,
    "grid-sample": _of_samplers,
    "structural": _of_sums,
    "resize": _of_resizes,
    "roi-align": _of_roi_aligns,
    "deform-conv": _of_deform_convs,
    "deformable-attention": _of_attentions,
}
"""What makes the passes of sites, by their kind."""
