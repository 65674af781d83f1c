"""Look at a graph again with the coordinates apart that it has flattened, where that finds more samplers."""

from __future__ import annotations

from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.passes import PASSES
from onnxgs_opt.recognition.findings import Survey, survey

RELOOK = (PASSES["sink-reshapes"], PASSES["eliminate-common-subexpressions"], PASSES["eliminate-dead"])


def surveyed(graph: Graph, has_sums: bool) -> tuple[Graph, Survey]:
    """A canonical graph and what it holds, or a copy of it with Reshapes moved, and that, where it holds more samplers.

    The moved ones make tensors that the model did not have, so that they are moved only for that.
    """
    found = survey(graph, has_sums)
    if not found.near_misses:
        return graph, found
    other = graph.copy()
    if not RELOOK[0].run(other).changed:
        return graph, found
    for following in RELOOK[1:]:
        following.run(other)
    more = survey(other, has_sums)
    return (other, more) if len(more.samplers) > len(found.samplers) else (graph, found)
