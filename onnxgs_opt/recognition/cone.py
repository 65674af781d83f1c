"""What belongs to a tensor of a graph: what it is made of, what is made of it alone, and what others need of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

from onnxgs_opt.ir import Node
from onnxgs_opt.ir.def_use import Scope, reads_of
from onnxgs_opt.ir.operators import CARRIES, MOVES, operator
from onnxgs_opt.recognition.match import Miss

FOLLOWS = CARRIES | {"Shape", "ConstantOfShape"}
"""Operators on the way to where everything made of a tensor comes together; a mask may be made in its shape."""

LAYOUTS = MOVES | {"If"}

MAX_REACH = 12
"""How many operators after the sum may still belong to the sampler: a mask and layout."""


def reach(scope: Scope, node: Node) -> Iterator[Node]:
    """The node, and those after it that the same sampler may go on to: its mask, its layout."""
    for _ in range(MAX_REACH):
        yield node
        if len(node.outputs) != 1:
            return
        following = _meeting(scope, node.outputs[0].name)
        if following is None:
            return
        node = following


def _meeting(scope: Scope, output: str) -> Node | None:
    """The nearest node that everything made of a tensor goes through: its consumer, or where several come together.

    A lerp reads both of its ends twice. None where a part goes elsewhere.
    """
    pending = {scope.order[c.outputs[0].name]: c for c in scope.consumers.get(output, ())}
    made = [output]
    for _ in range(MAX_REACH):
        if not pending or any(name in scope.outputs for name in made):
            return None
        node = pending.pop(min(pending))
        if operator(node) not in FOLLOWS:
            return None
        if not pending:
            return node
        made = [tensor.name for tensor in node.outputs]
        followers = (c for name in made for c in scope.consumers.get(name, ()))
        pending |= {scope.order[c.outputs[0].name]: c for c in followers}
    return None


def through_layouts(nodes: Iterable[Node]) -> Iterator[tuple[Node, bool]]:
    """Each node, and whether it is a layout operator with another one behind it."""
    for node, following in pairwise((*nodes, None)):
        assert node is not None
        yield node, following is not None and {operator(node), operator(following)} <= LAYOUTS


def alive(scope: Scope, output: str) -> frozenset[str]:
    """Tensors that stay when the sampler goes: outputs, and what something outside its cone reads."""
    nodes = scope.backward_slice([output])
    inside = {id(node) for node in nodes}
    return frozenset(
        name
        for name in (t.name for node in nodes for t in node.outputs)
        if name != output and (name in scope.outputs or any(id(c) not in inside for c in scope.consumers.get(name, ())))
    )


def carried(scope: Scope, reads: Iterable[str], output: str) -> frozenset[str]:
    """The tensors from the reads on to the sum: what is read flows through them, and through `output` last."""
    inside = {id(n) for n in scope.backward_slice([output])}
    pending = list(reads)
    seen = set(pending)
    while pending:
        name = pending.pop()
        consumers = scope.consumers.get(name, ()) if name != output else ()
        followers = [c for c in consumers if id(c) in inside and operator(c) in CARRIES]
        made = {tensor.name for consumer in followers for tensor in consumer.outputs} - seen
        seen |= made
        pending += made
    return frozenset(seen)


def escape(scope: Scope, reads: Iterable[str], output: str) -> Miss | None:
    """A tensor between the reads and the sum that something else needs too."""
    inside = {id(n) for n in scope.backward_slice([output])}
    for name in sorted(carried(scope, reads, output) - {output}, key=scope.order.__getitem__):
        if name in scope.outputs:
            return Miss(f"'{name}', between the reads and the sum, is a graph output", 4, "GSO106")
        for consumer in scope.consumers.get(name, ()):
            if id(consumer) not in inside:
                return Miss(f"'{name}', between the reads and the sum, is also read by '{consumer.name}'", 4, "GSO105")
    return None


def made_of(scope: Scope, names: Iterable[str]) -> set[str]:
    """The tensors themselves, and those that are made of one of them, in whatever way."""
    reached = set(names)
    for node in scope.nodes:
        if any(tensor.name in reached for tensor in reads_of(node)):
            reached.update(tensor.name for tensor in node.outputs)
    return reached
