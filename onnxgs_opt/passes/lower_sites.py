"""From sites and what was chosen for them to the graph that has it, for every kind of site."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from onnxgs_opt._version import __version__
from onnxgs_opt.ir import Tensor
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
from onnxgs_opt.samplers.site import AnySite, Site, StructuralSite

METADATA = "onnxgs_opt"
"""The key of the model's metadata under which the version and the lowerings stand."""

SHARE = PASSES["eliminate-common-subexpressions"]
"""Sites on one image or at the same points share what they have in common."""

ROI_ALIGN = "roi-align"

Lowerings = Mapping[str, str]
"""The lowering of every site, by the site's id."""

LoweringPasses = Callable[[Sequence[Any], Lowerings], tuple[Pass, ...]]


def lower(graph: Graph, sites: Sequence[AnySite], lowerings: Lowerings) -> Graph:
    """A copy of the canonical graph in which the sites that `lowerings` names by id are lowered so."""
    lowered = graph.copy()
    passes = lowering_passes([site for site in sites if site.id in lowerings], lowerings)
    Pipeline("lower", (*passes, SHARE, EliminateDead(), PASSES["split-parts"])).run(lowered)
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


def _of_wholes(
    emit: Callable[..., Tensor],
    is_whole: Callable[[str, Any], bool] = lambda name, site: True,
    samplers: Callable[[Any], Sequence[AnySite]] = lambda site: (site.plain,),
) -> LoweringPasses:
    """What makes the passes of a kind whose sites `emit` writes whole, each by the name of its lowering.

    Of those that are not, the samplers alone are lowered, and what is made of their samples stays.
    """

    def passes(sites: Sequence[AnySite], lowerings: Lowerings) -> tuple[Pass, ...]:
        chosen = [(site, lowerings[site.id]) for site in sites]
        whole = [(site, own) for site, own in chosen if is_whole(own, site)]
        named = {name: [site for site, own in whole if own == name] for name in LOWERINGS}
        forms = (LowerWhole(own, partial(emit, name=name)) for name, own in named.items() if own)
        inner = [(part, own) for site, own in chosen if not is_whole(own, site) for part in samplers(site)]
        return *forms, *lowering_passes([part for part, _ in inner], {part.id: own for part, own in inner})

    return passes


LOWER: dict[str, LoweringPasses] = {
    "bilinear": _of_samplers,
    "sampler": _of_samplers,
    "grid-sample": _of_samplers,
    "structural": _of_sums,
    "resize": _of_wholes(lambda builder, site, name: RESIZING[name].emit(builder, site)),
    "roi-align": _of_wholes(
        lambda builder, site, name: emit_regions(builder, site), lambda name, site: name == ROI_ALIGN
    ),
    "deform-conv": _of_wholes(emit_whole, is_whole),
    "deformable-attention": _of_wholes(
        emit_attention, lambda name, site: name in WHOLE_ATTENTION, lambda site: site.plain
    ),
}
"""What makes the passes of sites, by their kind."""
