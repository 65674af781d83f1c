"""Replace each recognised cone by one node that says what it computes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from onnxgs_opt.ir import Node
from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import Target, emit, refusal_of
from onnxgs_opt.lowering.emit.views import emit_output
from onnxgs_opt.lowering.plugin import Plugin, operator_nodes
from onnxgs_opt.samplers.op import prefix_of
from onnxgs_opt.samplers.site import Site


def raised_nodes(graph: Graph) -> dict[str, Node]:
    """The raised node of every site, by the site's prefix."""
    return {node.name.rsplit("/", 1)[0]: node for node in operator_nodes(graph)}


def can_raise(site: Site, opset: int) -> bool:
    """Whether the node's function body can compute the site; where not, it is lowered from its cone directly."""
    return refusal_of(Plugin(), site, Target(opset)) is None


@dataclass(frozen=True)
class RaiseBilinear:
    """Write the operator of its kernel for each of `sites`; the cones stay, unused, until dead nodes are removed.

    The model stays valid: the node comes with a function that any runtime can inline.
    """

    sites: tuple[Site, ...] = ()
    name: str = "raise-bilinear"

    def run(self, graph: Graph) -> bool:
        """Raise every site that is not raised yet."""
        done = raised_nodes(graph)
        changed = False
        for site in self.sites:
            if prefix_of(site) in done or not can_raise(site, graph.opset):
                continue
            part = graph.at(site.body)
            builder = Builder(part, prefix_of(site))
            samples = emit(Plugin(), builder, replace(site, mask=None)).samples  # whichever lowering it gets gives one
            output = part.tensor(site.output)
            part.stand_in(output, emit_output(builder, site, samples))
            changed = True
        return changed
