"""From a model to its canonical graph, and from that to what it holds."""

from __future__ import annotations

from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.passes import CANONICALISE, PASSES
from onnxgs_opt.recognition.candidates import may_hold_sums
from onnxgs_opt.recognition.findings import Survey, survey
from onnxgs_opt.recognition.grid_sample import has_grid_samples
from onnxgs_opt.recognition.known_proofs import Proofs
from onnxgs_opt.recognition.lifting.dynamic_dims import Box
from onnxgs_opt.recognition.resizes import may_hold_resizes
from onnxgs_opt.recognition.search import BOUND

MOVES = (PASSES["sink-reshapes"], PASSES["sink-roundings"])
CLEANS = (PASSES["eliminate-common-subexpressions"], PASSES["eliminate-dead"])


def canonical(start: Graph) -> tuple[Graph, bool]:
    """The canonical form of a graph, itself where it holds no site, and whether it may hold sums of reads."""
    has_sums = may_hold_sums(start)
    others = any(has_grid_samples(part.nodes) for part in (start, *start.bodies())) or may_hold_resizes(start)
    if not has_sums and not others:
        return start, False
    graph = start.copy()
    graph.name_nodes()
    CANONICALISE.run(graph)
    return graph, has_sums


def surveyed(
    graph: Graph, has_sums: bool, ranges: Box | None = None, stated: Box | None = None
) -> tuple[Graph, Survey]:
    """A canonical graph and what it holds, or a copy of it with layouts moved, and that, where it holds more samplers.

    The moved ones make tensors that the model did not have, so that they are moved only for that. `ranges` and `stated`
    are those of `survey`.
    """
    proofs = Proofs()
    found = survey(graph, has_sums, ranges, stated, proofs)
    if all(miss.code == BOUND for miss in found.near_misses):  # what took too long takes as long again
        return graph, found
    other = graph.copy()
    if not any([moving.run(other) for moving in MOVES]):  # each of them
        return graph, found
    for following in CLEANS:
        following.run(other)
    more = survey(other, has_sums, ranges, stated, proofs)
    return (other, more) if more.understood > found.understood else (graph, found)
