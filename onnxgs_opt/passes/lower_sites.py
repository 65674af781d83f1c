"""The passes that write the lowerings of sites, for every kind of site."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from onnxgs_opt.passes.base import Pass
from onnxgs_opt.passes.lower_bilinear import LowerBilinear
from onnxgs_opt.passes.merge_reads import MergeReads
from onnxgs_opt.passes.raise_bilinear import RaiseBilinear
from onnxgs_opt.samplers.site import AnySite, Site, StructuralSite

Lowerings = Mapping[str, str]
"""The lowering of every site, by the site's id."""


def lowering_passes(sites: Sequence[AnySite], lowerings: Lowerings) -> tuple[Pass, ...]:
    """Passes that together lower every one of `sites` as chosen; kinds that share passes go through them together."""
    ways = dict.fromkeys(LOWER.values())
    return tuple(each for way in ways for each in way([s for s in sites if LOWER[s.kind] is way], lowerings))


def _of_samplers(sites: Sequence[Site], lowerings: Lowerings) -> tuple[Pass, ...]:
    return RaiseBilinear(tuple(sites)), LowerBilinear(tuple(sites), lowerings)


def _of_sums(sites: Sequence[StructuralSite], lowerings: Lowerings) -> tuple[Pass, ...]:
    return (MergeReads(tuple(sites)),)


LOWER: dict[str, Callable[[Sequence[Any], Lowerings], tuple[Pass, ...]]] = {
    "bilinear": _of_samplers,
    "grid-sample": _of_samplers,
    "structural": _of_sums,
}
"""What makes the passes of sites, by their kind."""
