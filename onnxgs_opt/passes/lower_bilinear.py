"""Replace each raised node by the spelling that the plan names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from onnxgs_opt.builder import Builder
from onnxgs_opt.graph import Graph
from onnxgs_opt.lowering import LOWERINGS
from onnxgs_opt.lowering.sample_function import DOMAIN, NAME
from onnxgs_opt.passes.base import PassResult
from onnxgs_opt.passes.raise_bilinear import prefix_of, raised_nodes
from onnxgs_opt.site import Site

RAISED = "plugin"
"""The lowering that keeps the raised node."""


@dataclass(frozen=True)
class LowerBilinear:
    """Write, for each of `sites` that is raised, the lowering that `plan` names by site id; `plugin` is the node itself."""

    sites: tuple[Site, ...] = ()
    plan: Mapping[str, str] = field(default_factory=dict)
    name: str = "lower-bilinear"

    def run(self, graph: Graph) -> PassResult:
        """Lower every raised site whose plan says so, and drop the function when nothing calls it any more."""
        raised = raised_nodes(graph)
        changed = False
        for site in self.sites:
            node, lowering = raised.get(prefix_of(site)), self.plan.get(site.id, RAISED)
            if node is None or lowering == RAISED:
                continue
            samples = LOWERINGS[lowering].emit(Builder(graph, prefix_of(site)), site)
            graph.replace_all_uses(node.outputs[0], samples)
            graph.nodes.remove(node)
            changed = True
        if changed and not raised_nodes(graph):
            graph.drop_function(DOMAIN, NAME)
        return PassResult(changed)
