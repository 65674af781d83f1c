"""Everything that one graph holds: samplers, GridSample nodes, other sums of reads, near-misses and hazards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import onnx_graphsurgeon as gs

from onnxgs_opt.dims import Shape
from onnxgs_opt.grid_sample_sites import grid_sample_sites
from onnxgs_opt.hazards import hazards, is_loose
from onnxgs_opt.importer import operator
from onnxgs_opt.remark import Remark
from onnxgs_opt.scope import Scope, reads_of
from onnxgs_opt.search import Found, find_sites
from onnxgs_opt.site import AnySite, Site, StructuralSite
from onnxgs_opt.structural import structural_sites

FIXED = "GSO111"
"""The near-miss of reads at positions that no input moves."""
LEAVES = "GSO114"
"""The near-miss of reads that nothing keeps in the image."""


@dataclass(frozen=True)
class Survey:
    """The sites of a graph by kind, and what else there is to say; ids are unique over both kinds.

    Attributes:
        samplers: Bilinear samplers: proven sums of reads (GSO001) and GridSample nodes (GSO002).
        sums: Other sums of reads of one tensor (GSO003).
        near_misses: What looks like a sampler and is not, each with its reason.
        hazards: What goes wrong in some runtime.
        shapes: Of every tensor, at each of several sizes of the dynamic dims that fit together.
    """

    samplers: tuple[Site, ...] = ()
    sums: tuple[StructuralSite, ...] = ()
    near_misses: tuple[Remark, ...] = ()
    hazards: tuple[Remark, ...] = ()
    shapes: tuple[Mapping[str, Shape], ...] = ()

    @property
    def sites(self) -> tuple[AnySite, ...]:
        """Every site, in the order of the ids."""
        return (*self.samplers, *self.sums)


def survey(graph: gs.Graph, has_sums: bool = True) -> Survey:
    """Look at one canonical graph, not at its subgraphs; `has_sums` is False where it surely has no sum of reads."""
    found = find_sites(graph) if has_sums else Found((), ())
    samplers = [*found.sites, *grid_sample_sites(graph)]
    claimed = {name for site in samplers for name in site.reads}
    sums = structural_sites(graph, found.sizes, claimed) if has_sums else []
    named_sums = tuple(replace(site, id=f"site{len(samplers) + k}") for k, site in enumerate(sums))
    return Survey(
        samplers=tuple(replace(site, id=f"site{k}") for k, site in enumerate(samplers)),
        sums=named_sums,
        near_misses=_unanswered(graph, found, named_sums),
        hazards=hazards(graph, named_sums),
        shapes=found.shapes,
    )


def _unanswered(graph: gs.Graph, found: Found, sums: tuple[StructuralSite, ...]) -> tuple[Remark, ...]:
    """The near-misses, one for each sum that merges anyway: why it is no sampler.

    Indices at fixed positions, and ones that may leave the image, are the reason whatever else failed.
    """
    if not sums:
        return found.near_misses
    scope = Scope.of(graph)
    kept = list(found.near_misses)
    for site in sums:
        inside = _behind(scope, site)
        own = [miss for miss in kept if miss.node in inside]
        kept = [miss for miss in kept if miss.node not in inside]
        kept += _of_sum(scope, site, own)
    return tuple(kept)


def _of_sum(scope: Scope, site: StructuralSite, own: list[Remark]) -> list[Remark]:
    last = scope.producer[site.output][0].name
    if all(_is_fixed(scope, name) for name in site.indices):
        return [Remark(FIXED, last, "no read has an index that depends on data")]
    if own and any(is_loose(scope, name) for name in site.indices):
        own = [miss for miss in own if miss.code == LEAVES] or [Remark(LEAVES, last, "nothing bounds its indices")]
    return [miss for miss in own if miss.node == last] or own[:1]


def _is_fixed(scope: Scope, index: str) -> bool:
    """Whether an index follows from constants and shapes alone."""
    seen: set[str] = set()
    pending = [index]
    while pending:
        name = pending.pop()
        node, _ = scope.producer.get(name, (None, 0))
        if node is None and not isinstance(scope.tensors[name], gs.Constant):
            return False
        if node is None or name in seen or operator(node) == "Shape":
            continue
        seen.add(name)
        pending += [t.name for t in reads_of(node)]
    return True


def _behind(scope: Scope, site: StructuralSite) -> set[str]:
    """Names of the nodes between a site's reads and its sum, that included."""
    last = site.output
    reads = set(site.reads)
    seen: set[str] = set()
    pending = [last]
    while pending:
        node, _ = scope.producer.get(pending.pop(), (None, 0))
        if node is None or node.name in seen or node.name in reads:
            continue
        seen.add(node.name)
        pending += [t.name for t in node.inputs]
    return seen
