"""Remove what reaches no output."""

from __future__ import annotations

from dataclasses import dataclass

from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.passes.base import PassResult


@dataclass(frozen=True)
class EliminateDead:
    """Remove nodes that reach no output and initialisers that nothing reads; inputs stay."""

    name: str = "eliminate-dead"

    def run(self, graph: Graph) -> PassResult:
        """Remove them here, in subgraphs and in functions."""
        return PassResult(graph.remove_dead() > 0)
