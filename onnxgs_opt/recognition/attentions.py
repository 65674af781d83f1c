"""Deformable attention as sites: written as a whole, or the samplers in it alone and the rest as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import Target
from onnxgs_opt.lowering.attention import WHOLE, attention_refusals
from onnxgs_opt.recognition.kind import Record, SiteKind
from onnxgs_opt.samplers.attention import AttentionSite
from onnxgs_opt.samplers.view import Layout, by, known_product

RULE = "GSO008"


@dataclass(frozen=True)
class Attentions:
    """Samplers of several levels whose samples are weighted and summed; what becomes of each is up to its kind."""

    kinds: Mapping[str, SiteKind[Any]]
    rule: str = RULE
    keeps_rest: bool = True

    def refusals(self, site: AttentionSite, target: Target) -> dict[str, str]:
        """What the lowerings say of the first sampler that they refuse, and of the whole."""
        found: dict[str, str] = {}
        for sampler in site.plain:
            found = {**self.kinds[sampler.kind].refusals(sampler, target), **found}
        own = attention_refusals(site, target)
        return {**{name: why for name, why in found.items() if name not in WHOLE}, **own}

    def workload(self, graph: Graph, site: AttentionSite, layout: Layout | None = None) -> str:
        """What it computes and its sizes, and how the samplers in it were spelt."""
        levels = "+".join(by(level) for level in site.levels)
        sizes = f"{by(site.sizes)}x{site.points_in_words}"
        inner = self.kinds[site.samplers[0].kind].workload(graph, site.plain[0], layout)
        return f"{self.rule} {levels} {sizes} {inner}"

    def record(self, site: AttentionSite) -> Record:
        """Channels of a head, and samples of all; GridSample nodes have cases of their own."""
        samples = known_product((*site.sizes, site.terms))
        is_dynamic = None in (*site.sizes, *(size for level in site.levels for size in level))
        return Record(
            "attentions", (site.sizes[-1], samples), "GridSample" if site.read_op == "GridSample" else "", is_dynamic
        )

    def operands(self, site: AttentionSite) -> tuple[str, str | tuple[str, ...]]:
        """The value, and the locations."""
        return site.value.tensor, site.locations.tensor
