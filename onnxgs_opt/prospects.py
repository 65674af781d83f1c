"""Whether a graph can hold a sum of reads at all: one sweep over what the exporter wrote, before anything is copied.

It may say yes to a graph that holds none; a no is final. Most models are told apart here.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx_graphsurgeon as gs

from onnxgs_opt.constants import element_count
from onnxgs_opt.dims import Fact
from onnxgs_opt.graph import Graph
from onnxgs_opt.importer import operator
from onnxgs_opt.joins import LAYOUTS, READS, TAPS, joins_of
from onnxgs_opt.scope import Scope

CARRIERS = (LAYOUTS | READS | {"Pad", "Cast"}) - {"If"}
"""Operators that exporters repeat for every read: two reads behind copies of them are of one tensor."""
ROUNDINGS = frozenset(("Floor", "Ceil", "Round", "If"))
MAX_CONE = 512


def may_hold_sums(graph: Graph) -> bool:
    """Whether two reads of one tensor come together somewhere, or one whose index is made of floats is summed.

    Bodies are looked at too.
    """
    scopes: dict[str, Scope] = {}
    return any(_may_hold_sums(part, scopes) for part in (graph, *graph.bodies()))


def _may_hold_sums(graph: Graph, scopes: dict[str, Scope]) -> bool:
    if not any(operator(node) in READS and _may_read(node, {}) for node in graph.nodes):
        return False
    scope = Scope.at(graph, scopes)
    groups = {join.reads for join in joins_of(scope, {}, _may_read)}
    return any(_may_be_sampler(scope, reads) for reads in groups)


def _may_read(node: gs.Node, facts: Mapping[str, Fact]) -> bool:
    """Not of integers, such as shapes, and not at a few fixed positions, which only select."""
    if len(node.inputs) < 2:  # an opset that has no such operator: anything may be called so
        return False
    data, index = node.inputs[:2]
    if str(data.dtype).startswith(("int", "uint", "bool")) or (data.inputs and operator(data.inputs[0]) == "Shape"):
        return False
    fixed = isinstance(index, gs.Constant) or (index.inputs and operator(index.inputs[0]) == "Constant")
    if not fixed:
        return True
    count = element_count(index)
    return count is None or count > TAPS


def _may_be_sampler(scope: Scope, reads: frozenset[str]) -> bool:
    if len(reads) == 1:
        (read,) = reads
        return _is_rounded(scope, scope.producer[read][0].inputs[1].name)
    roots = [_root(scope, scope.producer[read][0].inputs[0].name) for read in reads]
    return len(set(roots)) < len(roots) or None in roots


def _root(scope: Scope, name: str) -> str | None:
    """The tensor that this one is a layout or a part of; None where that cannot be told."""
    while name in scope.producer:
        node, _ = scope.producer[name]
        if operator(node) == "If":
            return None
        if operator(node) not in CARRIERS:
            return name
        name = node.inputs[0].name
    return name


def _is_rounded(scope: Scope, index: str) -> bool:
    """Whether an index may come from floats."""
    seen: set[str] = set()
    pending = [index]
    while pending:
        name = pending.pop()
        if name in seen or name not in scope.producer:
            continue
        seen.add(name)
        node, _ = scope.producer[name]
        from_floats = operator(node) == "Cast" and not _is_whole(node.inputs[0])
        if from_floats or operator(node) in ROUNDINGS or len(seen) > MAX_CONE:
            return True
        pending += [t.name for t in node.inputs]
    return False


def _is_whole(tensor: gs.Tensor) -> bool:
    return str(tensor.dtype).startswith(("int", "uint", "bool"))
