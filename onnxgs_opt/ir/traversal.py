"""Nodes in a valid order, and the graphs and tensors inside control flow, of graphsurgeon's objects and of messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import onnx_graphsurgeon as gs
from onnx import GraphProto, ModelProto, NodeProto

from onnxgs_opt.errors import ModelError


def node_subgraphs(node: gs.Node) -> list[gs.Graph]:
    """Graphs among the attributes of a node, in attribute order."""
    return [value for value in node.attrs.values() if isinstance(value, gs.Graph)] if node.attrs else []


def bodies_of(node: NodeProto) -> list[GraphProto]:
    """The same of the message of a node."""
    return [body for a in node.attribute for body in ((a.g,) if a.HasField("g") else a.graphs)]


def with_bodies(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """Nodes, each before those in its bodies, however deep."""
    for node in nodes:
        yield node
        for body in bodies_of(node):
            yield from with_bodies(body.node)


def nodes_of(model: ModelProto) -> Iterator[NodeProto]:
    """Every node of a model, its bodies and functions included."""
    yield from with_bodies(model.graph.node)
    for function in model.functions:
        yield from with_bodies(function.node)


def captured(node: gs.Node) -> Iterator[gs.Tensor]:
    """Every tensor that the bodies of a control-flow node read or return, theirs and the outer ones."""
    for body in node_subgraphs(node):
        yield from body.outputs
        for inner in body.nodes:
            yield from inner.inputs
            yield from captured(inner)


def sort_nodes(nodes: Sequence[gs.Node]) -> list[gs.Node]:
    """Order nodes so that each stands behind its producers, moving only what has to move.

    A producer that stands too late is moved to right in front of its first consumer. Linear.

    Raises:
        ModelError: The nodes form a cycle.
    """
    local = {id(node) for node in nodes}
    if _is_sorted(nodes, local):
        return list(nodes)
    done: set[int] = set()
    open_: set[int] = set()
    result: list[gs.Node] = []
    for root in nodes:
        if id(root) in done:
            continue
        stack = [(root, _producers(root, local, done))]
        open_.add(id(root))
        while stack:
            node, pending = stack[-1]
            if not pending:
                stack.pop()
                done.add(id(node))
                result.append(node)
                continue
            producer = pending.pop()
            if id(producer) in done:
                continue
            if id(producer) in open_:
                raise has_cycle(producer)
            open_.add(id(producer))
            stack.append((producer, _producers(producer, local, done)))
    return result


def has_cycle(node: gs.Node) -> ModelError:
    """The error of nodes that form a cycle, of which this is one."""
    return ModelError(
        f"the graph has a cycle through node {node.name or node.op!r}",
        "an ONNX graph must be acyclic: export the model again",
    )


def _is_sorted(nodes: Sequence[gs.Node], local: set[int]) -> bool:
    seen: set[int] = set()
    for node in nodes:
        for tensor in (*node.inputs, *captured(node)) if node_subgraphs(node) else node.inputs:
            for producer in tensor.inputs:
                if id(producer) not in seen and id(producer) in local:
                    return False
        seen.add(id(node))
    return True


def _producers(node: gs.Node, local: set[int], done: set[int]) -> list[gs.Node]:
    # The last comes off first, so inputs are listed back to front.
    found = [p for t in reversed(node.inputs) for p in t.inputs if id(p) in local and id(p) not in done]
    if node_subgraphs(node):
        found += [p for t in captured(node) for p in t.inputs if id(p) in local and id(p) not in done]
    return found
