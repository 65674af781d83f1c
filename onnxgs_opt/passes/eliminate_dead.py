"""Remove what reaches no output."""

from __future__ import annotations

from dataclasses import dataclass

from onnxgs_opt.ir.graph import Graph


@dataclass(frozen=True)
class EliminateDead:
    """Remove nodes that reach no output and initialisers that nothing reads; inputs stay."""

    name: str = "eliminate-dead"

    def run(self, graph: Graph) -> bool:
        """Remove them here, in subgraphs and in functions."""
        return graph.remove_dead() > 0
