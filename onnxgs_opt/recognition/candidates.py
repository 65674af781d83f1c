"""The sums of reads in a graph, each of which may be a sampler, and whether a graph can hold any."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from onnxgs_opt.ir import Constant, Node, Tensor
from onnxgs_opt.ir.constants import element_count
from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.ir.operators import CARRIES, CONTRACTIONS, MOVES, PARTS, READS, ROUNDS, SUMS, operator
from onnxgs_opt.recognition.fixed_values import is_fixed
from onnxgs_opt.recognition.lifting.shape_functions import UNKNOWN, Fact

TAPS = 4
MAX_READS = 16
NO_PIXELS = frozenset(("bool", "int32", "int64", "uint32", "uint64"))
"""Types of masks, indices and shapes; integers of 8 and 16 bits may be pixels."""

Part = tuple[str, str]
"""The output of a read, and the tensor that holds a part of it; "" stands for all of it."""


def has_reads(nodes: Iterable[Node]) -> bool:
    """Whether any node may read an image; this is cheap, and False for most models."""
    return any(operator(node) in READS and (not _is_lookup(node) or reads_labels(node)) for node in nodes)


def _is_lookup(node: Node) -> bool:
    """Whether a read samples no image: its index is a constant of the file, or it reads no pixels."""
    data, index = node.inputs[:2]
    return isinstance(index, Constant) or str(data.dtype) in NO_PIXELS


def _is_sample(node: Node, facts: Mapping[str, Fact]) -> bool:
    """Whether a read may sample an image: it reads pixels, not at one index or at up to four constant ones."""
    if _is_lookup(node):
        return False
    data, index = (facts.get(t.name, UNKNOWN) for t in node.inputs[:2])
    if str(data.dtype) in NO_PIXELS or index.shape == ():
        return False
    return index.value is None or index.value.size > TAPS


def reads_labels(node: Node) -> bool:
    """Whether a node may read an image of whole numbers, such as classes: it has rows, which shapes have not."""
    data, index = node.inputs[:2]
    labels = str(data.dtype) in NO_PIXELS and str(data.dtype) != "bool" and not isinstance(index, Constant)
    return labels and data.shape is not None and len(data.shape) > 1


@dataclass(frozen=True)
class Join:
    """A node that sums reads, and the names of their outputs; `whole` where it takes one element of each.

    `parts`: how many terms it has, of which several may be of one read.
    """

    node: Node
    reads: frozenset[str]
    whole: bool = False
    parts: int = 0

    @property
    def too_few(self) -> bool:
        """Whether the sum has less than four terms, each of them one element of a read."""
        return self.whole and len(self.reads) < TAPS


def joins_of(
    scope: Scope,
    facts: Mapping[str, Fact],
    counts: Callable[[Node, Mapping[str, Fact]], bool] = _is_sample,
    crowded: set[str] | None = None,
) -> Iterator[Join]:
    """The nodes that sum reads, in execution order; `counts` tells which gathers are reads of an image.

    Sums and reads are nodes of this graph itself, not of one around it or in it. What is rounded says where others
    read: what it is made of is not summed there. Names of tensors that more reads come together in than any join has
    are put into `crowded`.
    """
    crowded = set() if crowded is None else crowded
    rounded = _rounded(scope)
    flow: dict[str, frozenset[Part]] = {}
    for node in scope.own:
        op = operator(node)
        if op in READS and counts(node, facts):
            flow[node.outputs[0].name] = frozenset(((node.outputs[0].name, ""),))
            continue
        contracts = op in CONTRACTIONS or (op == "Conv" and _sums_blocks(node))
        if op not in CARRIES and not contracts and not (op == "Gather" and _selects(node, facts)):
            continue
        parts = [flow[t.name] for t in node.inputs if t.name in flow]
        union = _together(node, op, parts) if parts else frozenset[Part]()
        if len(union) > MAX_READS or any(t.name in crowded for t in node.inputs):
            crowded.update({t.name for t in node.outputs} - rounded)
        if not parts or len(union) > MAX_READS:
            continue
        for tensor in node.outputs:
            if tensor.name in rounded:
                continue
            flow[tensor.name] = union
            if contracts or (op in PARTS and len(union) == 1):
                flow[tensor.name] = frozenset((read, tensor.name) for read, _ in union)
        if contracts or (op in SUMS and len(union) > max(map(len, parts))):
            whole = not contracts and not any(part for _, part in union)
            yield Join(node, frozenset(read for read, _ in union), whole, len(union))


def _together(node: Node, op: str, parts: Sequence[frozenset[Part]]) -> frozenset[Part]:
    """The parts of reads that come together in a node; windows of one read, side by side, are a part by themselves."""
    union = frozenset[Part]().union(*parts)
    reads = {read for read, _ in union} if op == "Concat" else set()
    return frozenset((read, node.outputs[0].name) for read in reads) if len(reads) == 1 else union


def _sums_blocks(node: Node) -> bool:
    """Whether a convolution sums blocks of each channel by itself that lie side by side: no element is in two."""
    _, channels, *window = next((t.shape for t in node.inputs[1:2] if isinstance(t, Constant)), (0, 0))
    side_by_side = window == list(node.attrs.get("strides", ()))
    return side_by_side and channels == 1 < math.prod(window) <= MAX_READS


def single_reads(scope: Scope, facts: Mapping[str, Fact]) -> Iterator[Join]:
    """Each read whose index may come from floats, by itself: the pixel that is nearest to a point is one."""
    for node in scope.own:
        reads = operator(node) in READS and (_is_sample(node, facts) or reads_labels(node))
        if reads and is_rounded(scope, node.inputs[1].name):
            yield Join(node, frozenset((node.outputs[0].name,)), whole=True)


def picked(scope: Scope, everywhere: bool = False) -> frozenset[str]:
    """Rows that data pick of numbers that coordinates are made of: the best boxes, say, of all that there are.

    They are what reads make at whole numbers that are none of floats and not fixed; `everywhere`, not of coordinates
    alone.
    """
    known: dict[str, bool] = {}
    nodes = scope.nodes if everywhere else scope.backward_slice(sorted(_rounded(scope)))
    reads = [node for node in nodes if operator(node) in READS]
    return frozenset(
        node.outputs[0].name
        for node in reads
        if not is_fixed(scope, node.inputs[1].name, known) and not is_rounded(scope, node.inputs[1].name)
    )


def _rounded(scope: Scope) -> set[str]:
    """Tensors that are rounded as they are or in another layout."""
    found: set[str] = set()
    for node in reversed(scope.own):
        moves = operator(node) in MOVES and any(tensor.name in found for tensor in node.outputs)
        cast = operator(node) == "Cast" and _is_whole(node.outputs[0])
        if moves or cast or operator(node) in ROUNDS:
            found.add(node.inputs[0].name)
    return found


def _selects(node: Node, facts: Mapping[str, Fact]) -> bool:
    """Whether a gather only takes a part of its input, at fixed positions."""
    value = facts.get(node.inputs[1].name, UNKNOWN).value
    return isinstance(node.inputs[1], Constant) or (value is not None and value.size <= TAPS)


CARRIERS = MOVES | READS | {"Pad", "Cast"}
"""Operators that exporters repeat for every read: two reads behind copies of them are of one tensor."""

MAY_ROUND = ROUNDS | {"If"}
MAX_CONE = 512


def may_hold_sums(graph: Graph) -> bool:
    """Whether a graph, or a body in it, sums two reads of one tensor, or has a read whose index is made of floats."""
    scopes: dict[str, Scope] = {}
    return any(_may_hold_sums(part, scopes) for part in (graph, *graph.bodies()))


def _may_hold_sums(graph: Graph, scopes: dict[str, Scope]) -> bool:
    reads = [node for node in graph.nodes if operator(node) in READS]
    if not any(_may_read(node, {}) or (len(node.inputs) > 1 and reads_labels(node)) for node in reads):
        return False
    scope = Scope.at(graph, scopes)
    if any(True for _ in single_reads(scope, {})):
        return True
    groups = {join.reads for join in joins_of(scope, {}, _may_read)}
    return any(_may_be_sampler(scope, reads) for reads in groups)


def _may_read(node: Node, facts: Mapping[str, Fact]) -> bool:
    """Whether a read may sample an image: it reads pixels and no shapes, and not at up to four constant indices."""
    if len(node.inputs) < 2:  # an opset that has no such operator: anything may be called so
        return False
    data, index = node.inputs[:2]
    if str(data.dtype) in NO_PIXELS or (data.inputs and operator(data.inputs[0]) == "Shape"):
        return False
    fixed = isinstance(index, Constant) or (index.inputs and operator(index.inputs[0]) == "Constant")
    if not fixed:
        return True
    count = element_count(index)
    return count is None or count > TAPS


def _may_be_sampler(scope: Scope, reads: frozenset[str]) -> bool:
    if len(reads) == 1:
        (read,) = reads
        return is_rounded(scope, scope.producer[read][0].inputs[1].name)
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


def is_rounded(scope: Scope, index: str) -> bool:
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
        if from_floats or operator(node) in MAY_ROUND or len(seen) > MAX_CONE:
            return True
        pending += [t.name for t in node.inputs]
    return False


def _is_whole(tensor: Tensor) -> bool:
    return str(tensor.dtype).startswith(("int", "uint", "bool"))
