"""What a pass is: a frozen value with a name and a truthful ``run``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.ir.importer import paused_collector


class Pass(Protocol):
    """One rewriting of a graph; its options are its fields. Running it again changes nothing."""

    @property
    def name(self) -> str:
        """Name on the command line and in reports, with hyphens."""

    def run(self, graph: Graph) -> bool:
        """Rewrite ``graph`` in place, its subgraphs and functions too; whether the model that it stands for changed."""


@dataclass(frozen=True)
class Pipeline:
    """Passes one after the other, `rounds` times at most; itself a pass.

    Another round follows only when the last pass changed something, so put last the one whose work lets the others
    find more.
    """

    name: str
    passes: tuple[Pass, ...]
    rounds: int = 1

    def run(self, graph: Graph) -> bool:
        """Run every pass; whether one of them changed something."""
        changed: list[bool] = []
        with paused_collector():
            for _ in range(self.rounds):
                changed += [each.run(graph) for each in self.passes]
                if not changed[-1]:
                    break
        return any(changed)
