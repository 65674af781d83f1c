"""A read-only view of one graph for analysis: who makes each tensor, who reads it, in execution order.

The body of an If, Loop or Scan sees the tensors of the graphs around it, so its scope goes on from theirs: one turn of
a loop, with everything outside as it is then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.ir.traversal import has_cycle, node_subgraphs

MAX_OUTSIDE = 1000
"""Nodes around a body that are looked at: the farther ones, a network that computes the image, say, tell nothing."""

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Scope:
    """The nodes of one graph, topologically sorted, and its tensors by name (names are unique in a graph).

    Of the graphs around a body, the nodes that it depends on come first and count too; `own` are the body's nodes
    alone. `order` is the place of the node that makes a tensor.
    """

    nodes: tuple[gs.Node, ...]
    own: tuple[gs.Node, ...]
    producer: Mapping[str, tuple[gs.Node, int]]
    consumers: Mapping[str, tuple[gs.Node, ...]]
    tensors: Mapping[str, gs.Tensor]
    inputs: tuple[gs.Tensor, ...]
    outputs: frozenset[str]
    opset: int
    order: Mapping[str, int]

    @classmethod
    def of(cls, graph: gs.Graph, outer: Scope | None = None) -> Scope:
        """The scope of a graphsurgeon graph, in the scope around it."""
        producer: dict[str, tuple[gs.Node, int]] = {}
        consumers: dict[str, list[gs.Node]] = {}
        tensors: dict[str, gs.Tensor] = {t.name: t for t in graph.inputs}
        for node in graph.nodes:
            for position, tensor in enumerate(node.outputs):
                producer[tensor.name] = (node, position)
                tensors[tensor.name] = tensor
            for tensor in reads_of(node):
                consumers.setdefault(tensor.name, []).append(node)
                tensors[tensor.name] = tensor
        nodes = _by_depth(graph.nodes, consumers)
        own = cls(
            nodes=nodes,
            own=nodes,
            producer=producer,
            consumers={name: tuple(nodes) for name, nodes in consumers.items()},
            tensors=tensors,
            inputs=tuple(graph.inputs),
            outputs=frozenset(t.name for t in graph.outputs),
            opset=graph.opset,
            order={t.name: k for k, node in enumerate(nodes) for t in node.outputs},
        )
        return own if outer is None else own._inside(outer)

    @classmethod
    def at(cls, graph: Graph, known: dict[str, Scope]) -> Scope:
        """The scope of a main graph or of a body, in what is around it; `known` are those made before, by path."""
        if graph.path not in known:
            known[graph.path] = cls.of(graph.gs, None if graph.outer is None else cls.at(graph.outer, known))
        return known[graph.path]

    def _inside(self, outer: Scope) -> Scope:
        """This body's scope together with what lies in front of it."""
        before = outer.backward_slice((n for n in self.tensors if n not in self.producer), limit=MAX_OUTSIDE)
        nodes = (*before, *self.nodes)
        made = {t.name for node in nodes for t in node.outputs} | {t.name for t in self.inputs}
        read = {t.name: t for node in before for t in reads_of(node)} | dict(self.tensors)
        outside = [t for name, t in read.items() if name not in made and not isinstance(t, gs.Constant)]
        consumers = dict(outer.consumers)
        for name, readers in self.consumers.items():
            consumers[name] = (*consumers.get(name, ()), *readers)
        return Scope(
            nodes=nodes,
            own=self.nodes,
            producer={t.name: (node, k) for node in nodes for k, t in enumerate(node.outputs)},
            consumers=consumers,
            tensors={**{t.name: t for node in before for t in node.outputs}, **read},
            inputs=(*outside, *self.inputs),
            outputs=outer.outputs | self.outputs,
            opset=self.opset,
            order={t.name: k for k, node in enumerate(nodes) for t in node.outputs},
        )

    def backward_slice(
        self, names: Iterable[str], stops: Collection[str] = (), limit: int | None = None
    ) -> list[gs.Node]:
        """The nodes that tensors depend on, in execution order, not looking behind `stops`; the nearest `limit`."""
        found: dict[int, gs.Node] = {}
        pending = deque(names)
        while pending and len(found) != limit:
            name = pending.popleft()
            node, _ = self.producer.get(name, (None, 0))
            if node is not None and id(node) not in found and name not in stops:
                found[id(node)] = node
                pending.extend(t.name for t in reads_of(node))
        return sorted(found.values(), key=lambda node: self.order[node.outputs[0].name])


def reads_of(node: gs.Node) -> list[gs.Tensor]:
    """The tensors a node reads, once each: its inputs and what its subgraphs capture from outside."""
    found = {t.name: t for t in node.inputs if t.name}
    for subgraph in node_subgraphs(node):
        made = {t.name for n in subgraph.nodes for t in n.outputs} | {t.name for t in subgraph.inputs}
        for inner in [*(t for n in subgraph.nodes for t in reads_of(n)), *subgraph.outputs]:
            if inner.name and inner.name not in made and not isinstance(inner, gs.Constant):
                found.setdefault(inner.name, inner)
    return list(found.values())


def _by_depth(nodes: Sequence[gs.Node], consumers: Mapping[str, Sequence[gs.Node]]) -> tuple[gs.Node, ...]:
    """Nodes by their distance from the inputs, which does not depend on the order that the file has them in.

    Raises:
        ModelError: They form a cycle: a body has the name of what is made of its own results.
    """
    place = {id(node): k for k, node in enumerate(nodes)}
    order = TopologicalSorter({k: () for k in place.values()})
    for node in nodes:
        for consumer in (c for tensor in node.outputs for c in consumers.get(tensor.name, ())):
            order.add(place[id(consumer)], place[id(node)])
    try:
        return tuple(nodes[k] for k in order.static_order())
    except CycleError as error:
        raise has_cycle(nodes[error.args[1][0]]) from error
