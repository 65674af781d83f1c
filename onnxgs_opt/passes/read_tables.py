"""Read tables of indices and places that the exporter put into another file."""

from __future__ import annotations

from dataclasses import dataclass

from onnxgs_opt.ir import Constant
from onnxgs_opt.ir.constants import read_table
from onnxgs_opt.ir.graph import Graph


@dataclass(frozen=True)
class ReadTables:
    """Put them into the model: torch's exporter writes all of more than 256 bytes beside it, a batch's and a grid's."""

    name: str = "read-tables"

    def run(self, graph: Graph) -> bool:
        """Read those of the main graph and of subgraphs, where the model came from a folder."""
        folder = graph.folder
        if folder is None:
            return False
        parts = (graph, *graph.bodies())
        constants = {id(t): t for part in parts for t in part.tensors().values() if isinstance(t, Constant)}
        return any([read_table(constant, folder) for constant in constants.values()])
