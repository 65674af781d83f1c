"""Deformable convolutions as sites: one node, or the sampler in them written otherwise and the rest as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import Target
from onnxgs_opt.lowering.deform_conv import NAME, deform_refusal
from onnxgs_opt.lowering.deform_gather import is_whole, whole_refusals
from onnxgs_opt.recognition.kind import Record, SiteKind
from onnxgs_opt.samplers.deform import DeformSite
from onnxgs_opt.samplers.view import Layout, by, known_product

RULE = "GSO006"


@dataclass(frozen=True)
class DeformConvs:
    """Samplers whose samples a convolution weighs; what else than the one node may become of one is up to its kind."""

    kinds: Mapping[str, SiteKind[Any]]
    rule: str = RULE
    keeps_rest: bool = True

    def refusals(self, site: DeformSite, target: Target) -> dict[str, str]:
        """What the lowerings say of all of it, or of the sampler where that is what they write."""
        of_sampler = self.kinds[site.sampler.kind].refusals(site.plain, target)
        said = {name: why for name, why in whole_refusals(site, target).items() if is_whole(name, site)}
        others = {name: why for name, why in of_sampler.items() if not is_whole(name, site)}
        every = {**others, **said, NAME: deform_refusal(site, target)}
        return {name: why for name, why in every.items() if why is not None}

    def workload(self, graph: Graph, site: DeformSite, layout: Layout | None = None) -> str:
        """What it computes and its sizes, and what decides how fast the sampler in it is."""
        masked = "masked " if site.mask is not None else ""
        own = f"{self.rule} {site.geometry.words}, {masked}{by(site.sizes)}".replace(" ", "-").replace(",", "")
        return f"{own} {self.kinds[site.sampler.kind].workload(graph, site.plain, layout)}"

    def record(self, site: DeformSite) -> Record:
        """The number of products."""
        batch, channels, _, _, made, *positions = site.sizes
        products = known_product((batch, channels, made, *positions))
        every = None if products is None else products * site.geometry.points
        return Record("deforms", (every,), is_dynamic=None in site.sizes)

    def operands(self, site: DeformSite) -> tuple[str, str | tuple[str, ...]]:
        """The image, and the offsets."""
        offsets = tuple(dict.fromkeys(operand.view.tensor for operand in site.offsets))
        return site.image.tensor, offsets[0] if len(offsets) == 1 else offsets
