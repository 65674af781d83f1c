"""What a pass is: a frozen value with a name and a truthful ``run``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.ir.importer import paused_collector


@dataclass(frozen=True)
class PassResult:
    """What a pass did.

    Attributes:
        changed: True when, and only when, the model that the graph stands for is different from before.
    """

    changed: bool


class Pass(Protocol):
    """One rewriting of a graph; its options are its fields. Running it again changes nothing."""

    @property
    def name(self) -> str:
        """Name on the command line and in reports, with hyphens."""
        ...

    def run(self, graph: Graph) -> PassResult:
        """Rewrite ``graph`` in place, its subgraphs and functions too."""
        ...


@dataclass(frozen=True)
class Pipeline:
    """Passes one after the other; itself a pass.

    Attributes:
        name: Name of the whole.
        passes: The passes, in order.
        rounds: How often to go through them at most. Another round follows only when the last pass
            changed something, so put last the one whose work lets the others find more.
    """

    name: str
    passes: tuple[Pass, ...]
    rounds: int = 1

    def run(self, graph: Graph) -> PassResult:
        """Run every pass; changed when one of them changed something."""
        results: list[PassResult] = []
        with paused_collector():
            for _ in range(self.rounds):
                results += [each.run(graph) for each in self.passes]
                if not results[-1].changed:
                    break
        return PassResult(any(r.changed for r in results))
