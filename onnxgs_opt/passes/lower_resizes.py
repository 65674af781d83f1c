"""Replace what is a Resize, spelt as reads and weights, by the node."""

from __future__ import annotations

from dataclasses import dataclass

from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering.resize import emit_resize
from onnxgs_opt.samplers.op import prefix_of
from onnxgs_opt.samplers.resize import ResizeSite


@dataclass(frozen=True)
class LowerResizes:
    """Write each of `sites` as one Resize; their cones stay, unused, until dead nodes are removed."""

    sites: tuple[ResizeSite, ...] = ()
    name: str = "lower-resizes"

    def run(self, graph: Graph) -> bool:
        """Write every site that still is made as it was found."""
        changed = False
        for site in self.sites:
            part = graph.at(site.body)
            output = part.tensor(site.output)
            if output.inputs and output.inputs[0].name in site.cone:
                part.stand_in(output, emit_resize(Builder(part, prefix_of(site)), site))
                changed = True
        return changed
