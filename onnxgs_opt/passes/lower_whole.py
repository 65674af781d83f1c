"""Replace what one node computes, spelt as many, by that node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.samplers.op import prefix_of


@dataclass(frozen=True)
class LowerWhole:
    """Write each of `sites`, by `emit`; their cones stay, unused, until dead nodes are removed."""

    sites: Sequence[Any]
    emit: Callable[[Builder, Any], Tensor]
    name: str = "lower-whole"

    def run(self, graph: Graph) -> bool:
        """Write every site that still is made as it was found."""
        changed = False
        for site in self.sites:
            part = graph.at(site.body)
            output = part.tensor(site.output)
            if output.inputs and output.inputs[0].name in site.cone:
                part.stand_in(output, self.emit(Builder(part, prefix_of(site)), site))
                changed = True
        return changed
