"""Replace each raised node by the spelling that the plan names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from onnxgs_opt.ir import Node, Tensor
from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import LOWERINGS, emit
from onnxgs_opt.lowering.emit.views import emit_output
from onnxgs_opt.lowering.plugin import give_mask, operator_nodes, read_in_place
from onnxgs_opt.passes.raise_bilinear import can_raise, raised_nodes
from onnxgs_opt.samplers.op import DOMAIN, NAMES, prefix_of
from onnxgs_opt.samplers.site import Site

RAISED = "plugin"
"""The lowering that keeps the raised node."""


@dataclass(frozen=True)
class LowerBilinear:
    """Write, for each raised site, the lowering that `plan` names by its id; `plugin` is the raised node itself."""

    sites: tuple[Site, ...] = ()
    plan: Mapping[str, str] = field(default_factory=dict)
    name: str = "lower-bilinear"

    def run(self, graph: Graph) -> bool:
        """Lower every raised site whose plan says so, and drop the function when nothing calls it any more."""
        raised = raised_nodes(graph)
        changed = False
        gone: dict[str, list[Node]] = {}
        for site in self.sites:
            node, lowering = raised.get(prefix_of(site)), self.plan.get(site.id, RAISED)
            if node is None and (lowering == RAISED or can_raise(site, graph.opset)):
                continue
            part = graph.at(site.body)
            builder = Builder(part, prefix_of(site))
            if node is not None and lowering == RAISED:
                changed |= replace_mask(part, site, give_mask(builder, site, node))
                changed |= read_in_place(part, node)
                continue
            emitted = emit(LOWERINGS[lowering], builder, site)
            replace_mask(part, site, emitted.mask)
            if node is None:
                part.stand_in(part.tensor(site.output), emit_output(builder, site, emitted.samples))
            else:
                part.stand_in(node.outputs[0], emitted.samples)
                gone.setdefault(site.body, []).append(node)
            changed = True
        for path, nodes in gone.items():
            graph.at(path).remove_nodes(nodes)
        if changed:
            called = {node.op for node in operator_nodes(graph)}
            for name in [name for name in NAMES if name not in called]:
                graph.drop_function(DOMAIN, name)
        return changed


def replace_mask(part: Graph, site: Site, mask: Tensor | None) -> bool:
    """Let a mask that a lowering made stand for the model's own; whether it did."""
    if site.mask is None or mask is None:
        return False
    part.replace_all_uses(part.tensor(site.mask.tensor), mask)
    return True
