"""Where reads come together: the sums that may be samplers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import onnx_graphsurgeon as gs

from onnxgs_opt.dims import UNKNOWN, Fact
from onnxgs_opt.importer import operator
from onnxgs_opt.scope import Scope

READS = frozenset(("Gather", "GatherElements", "GatherND"))
LAYOUTS = frozenset(
    ("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand", "Identity", "Slice", "Split", "Tile", "If")
)
PARTS = frozenset(("Slice", "Split", "Gather"))
"""Operators whose result is a part of their input: what one read took for several corners comes apart there."""
CONTRACTIONS = frozenset(("ReduceSum", "ReduceMean", "MatMul", "Einsum"))
SUMS = CONTRACTIONS | frozenset(("Add", "Sub", "Sum"))
CARRIES = LAYOUTS | SUMS | frozenset(("Mul", "Div", "Neg", "Where", "Cast", "Clip", "Concat"))
"""Operators through which the value of a read flows into a weighted sum."""
TAPS = 4
MAX_READS = 16

Part = tuple[str, str]
"""A read, and the tensor that holds a part of it: "" for all of it."""


def has_reads(nodes: Iterable[gs.Node]) -> bool:
    """Whether any of the nodes may read an image: most models are told apart here."""
    return any(operator(node) in READS and not _is_lookup(node) for node in nodes)


def _is_lookup(node: gs.Node) -> bool:
    """A read at an index that the file itself fixes, or of integers, samples no image."""
    data, index = node.inputs[:2]
    return isinstance(index, gs.Constant) or str(data.dtype).startswith(("int", "uint", "bool"))


def _is_sample(node: gs.Node, facts: Mapping[str, Fact]) -> bool:
    """A read of floats at an index that is more than one number or a few fixed ones, which only select."""
    if _is_lookup(node):
        return False
    data, index = (facts.get(t.name, UNKNOWN) for t in node.inputs[:2])
    if (data.dtype is not None and data.dtype.kind != "f") or index.shape == ():
        return False
    return index.value is None or index.value.size > TAPS


@dataclass(frozen=True)
class Join:
    """A node in which reads that came by different ways are summed, and those reads."""

    node: gs.Node
    reads: frozenset[str]
    whole: bool = False

    @property
    def too_few(self) -> bool:
        """Whether the sum takes one element of each read (`whole`), and there are not four."""
        return self.whole and len(self.reads) < TAPS


def joins_of(
    scope: Scope, facts: Mapping[str, Fact], counts: Callable[[gs.Node, Mapping[str, Fact]], bool] = _is_sample
) -> Iterator[Join]:
    """The nodes that sum reads, in execution order; `counts` tells which gathers are reads of an image.

    Both are nodes of the scope's own graph: a read outside the body of a loop is none of its own.
    """
    flow: dict[str, frozenset[Part]] = {}
    for node in scope.own:
        op = operator(node)
        if op in READS and counts(node, facts):
            flow[node.outputs[0].name] = frozenset(((node.outputs[0].name, ""),))
            continue
        if op not in CARRIES and not (op == "Gather" and _selects(node, facts)):
            continue
        parts = [flow[t.name] for t in node.inputs if t.name in flow]
        if not parts:
            continue
        union = frozenset[Part]().union(*parts)
        if len(union) > MAX_READS:
            continue
        for tensor in node.outputs:
            flow[tensor.name] = union
            if op in CONTRACTIONS or (op in PARTS and len(union) == 1):
                flow[tensor.name] = frozenset((read, tensor.name) for read, _ in union)
        if op in CONTRACTIONS or (op in SUMS and len(union) > max(map(len, parts))):
            whole = op not in CONTRACTIONS and not any(part for _, part in union)
            yield Join(node, frozenset(read for read, _ in union), whole)


def _selects(node: gs.Node, facts: Mapping[str, Fact]) -> bool:
    """Whether a gather only takes a part of its input, at fixed positions."""
    value = facts.get(node.inputs[1].name, UNKNOWN).value
    return isinstance(node.inputs[1], gs.Constant) or (value is not None and value.size <= TAPS)
