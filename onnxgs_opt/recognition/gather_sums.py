"""Sums of reads that are no known sampler: which of their reads are one read at more indices, whatever they compute."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from onnxgs_opt.ir import Constant, Node
from onnxgs_opt.ir.def_use import Scope, reads_of
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.ir.operators import ORDERED, READS, operator
from onnxgs_opt.lowering import LOWERINGS, Target
from onnxgs_opt.lowering.keep import KEEP
from onnxgs_opt.recognition.candidates import TAPS, Join, joins_of
from onnxgs_opt.recognition.cone import made_of
from onnxgs_opt.recognition.fixed_values import is_fixed
from onnxgs_opt.recognition.kind import Record
from onnxgs_opt.recognition.lifting.dynamic_dims import SizeSets
from onnxgs_opt.recognition.lifting.shape_functions import UNKNOWN, Fact
from onnxgs_opt.recognition.resizes import reads_pixels
from onnxgs_opt.samplers.site import StructuralSite
from onnxgs_opt.samplers.view import Layout

RULE = "GSO003"
LONGEST = 2**31 - 1
"""Elements of the one index: the shape inference of onnx and of some runtimes counts no further."""

POSSIBLE = (KEEP, "merged-gather")
NO_SEMANTICS = "it is a sum of reads and no known sampler: its reads can merge, nothing else"
Facts = Mapping[str, Fact]


@dataclass(frozen=True)
class GatherSum:
    """A sum of reads of which no more is known: all that it may become is one read at more indices."""

    rule: str = RULE
    keeps_rest: bool = True

    def refusals(self, site: StructuralSite, target: Target) -> dict[str, str]:
        """Every lowering that needs to know what is computed."""
        return {name: NO_SEMANTICS for name in LOWERINGS if name not in POSSIBLE}

    def workload(self, graph: Graph, site: StructuralSite, layout: Layout | None = None) -> str:
        """The operator of its reads, their type, number and sizes."""
        return f"reads {site.read_op} {site.dtype} x{len(site.reads)} opset{graph.opset} {site.shapes}"

    def record(self, site: StructuralSite) -> Record:
        """The number of elements that are read."""
        read = len(site.reads) * math.prod(site.shapes[0][1])
        return Record("reads", (read,), site.read_op, len(set(site.shapes)) > 1)

    def operands(self, site: StructuralSite) -> tuple[str, str]:
        """What is read, and the index of the first read."""
        return site.data, site.indices[0]


class _Kind(NamedTuple):
    """What reads must have in common to be one read: `shapes` are those of data and index at each analysed size."""

    data: Hashable
    op: str
    attributes: tuple[tuple[str, int], ...]
    index_type: str
    shapes: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]


def structural_sites(scope: Scope, sizes: SizeSets, claimed: Collection[str] = ()) -> list[StructuralSite]:
    """The sums of two or more reads of one tensor, in execution order, without ids.

    Args:
        scope: The graph; equal expressions must be one tensor, for reads of different tensors do not merge.
        sizes: Sets of sizes: reads are of one shape when they are at each of the small ones.
        claimed: Names of reading nodes that belong to other sites.
    """
    if sum(operator(node) in READS for node in scope.own) < 2:
        return []
    facts = [sizes.facts(0)]
    joins = sorted(joins_of(scope, facts[0], _is_table_read), key=lambda join: -len(join.reads))
    if not any(len(join.reads) > 1 for join in joins):
        return []
    facts += [sizes.facts(k) for k in range(1, len(sizes.near))]
    position = {tensor.name: k for k, node in enumerate(scope.nodes) for tensor in node.outputs}
    found = _sites(scope, facts, joins, position, set(claimed))
    return sorted(found, key=lambda site: position[site.output])


def sums_of_fixed_parts(scope: Scope, claimed: Collection[str]) -> list[Node]:
    """The last sums of four or more parts of one read at places that no data tell, of those that are not `claimed`."""
    known: dict[str, bool] = {}

    def counts(node: Node, facts: Facts) -> bool:
        data, index = node.inputs[:2]
        is_free = node.name not in claimed and reads_pixels(node) and not is_fixed(scope, data.name, known)
        return is_free and is_fixed(scope, index.name, known)

    last: dict[frozenset[str], Node] = {}
    for join in joins_of(scope, {}, counts):
        if len(join.reads) == 1 and join.parts >= TAPS:
            last[join.reads] = join.node
    return list(last.values())


def _sites(
    scope: Scope, facts: Sequence[Facts], joins: Iterable[Join], position: Mapping[str, int], claimed: set[str]
) -> Iterator[StructuralSite]:
    """The widest sums first; a read belongs to one site only."""
    for join in joins:
        nodes = [scope.producer[name][0] for name in sorted(join.reads, key=position.__getitem__)]
        for kind, group in _by_kind([n for n in nodes if n.name not in claimed], scope, facts).items():
            free = _independent(scope, group)
            if len(free) < 2 or len(free) * max(math.prod(index) for _, index in kind.shapes) > LONGEST:
                continue
            claimed |= {node.name for node in free}
            yield _site(scope, join, kind, free, facts[0])


def _is_table_read(node: Node, facts: Facts) -> bool:
    """A read of floats at more than a few positions; those may be fixed in the file."""
    if all(isinstance(tensor, Constant) for tensor in node.inputs[:2]):
        return False
    data, index = (facts.get(t.name, UNKNOWN) for t in node.inputs[:2])
    if data.dtype is None or data.dtype.kind != "f" or not index.shape:
        return False
    return index.value is None or index.value.size > TAPS


def _by_kind(nodes: Iterable[Node], scope: Scope, facts: Sequence[Facts]) -> dict[_Kind, list[Node]]:
    groups: dict[_Kind, list[Node]] = {}
    for node in nodes:
        kind = _kind(node, scope, facts)
        if kind is not None:
            groups.setdefault(kind, []).append(node)
    return groups


def _kind(node: Node, scope: Scope, facts: Sequence[Facts]) -> _Kind | None:
    """None where a shape is not known, or nothing can be joined along the axis."""
    data, index = node.inputs[:2]
    pairs = [(f.get(data.name, UNKNOWN).shape, f.get(index.name, UNKNOWN).shape) for f in facts]
    shapes = tuple((a, b) for a, b in pairs if a is not None and b is not None)
    index_type = facts[0].get(index.name, UNKNOWN).dtype
    if len(shapes) < len(facts) or index_type is None:
        return None
    attributes = _attributes(node, len(shapes[0][0]))
    stack = _axes(node.op, attributes)[0]
    last = 1 if node.op == "GatherND" else 0
    if any(len(shape) <= stack + last or not len(data_shape) for data_shape, shape in shapes):
        return None
    if last and any(shape[-1] > len(data_shape) - stack for data_shape, shape in shapes):
        return None
    return _Kind(_origin(data.name, scope, facts), node.op, attributes, str(index_type), shapes)


def _origin(name: str, scope: Scope, facts: Sequence[Facts]) -> Hashable:
    """What the elements of a tensor are and in which shape: equal for copies that exporters make of one layout."""
    node, _ = scope.producer.get(name, (None, 0))
    shapes = tuple(f.get(name, UNKNOWN).shape for f in facts)
    if node is None or None in shapes:
        return name
    source = node.inputs[0].name if node.inputs else ""
    if operator(node) == "Transpose":
        return "Transpose", tuple(node.attrs.get("perm", ())), _origin(source, scope, facts)
    if operator(node) not in ORDERED:
        return name
    origin = _origin(source, scope, facts)
    return "Reshape", shapes, origin[2] if isinstance(origin, tuple) and origin[0] == "Reshape" else origin


def _attributes(node: Node, rank: int) -> tuple[tuple[str, int], ...]:
    if node.op == "GatherND":
        return (("batch_dims", int(node.attrs.get("batch_dims", 0))),)
    axis = int(node.attrs.get("axis", 0))
    return (("axis", axis + rank if axis < 0 else axis),)


def _axes(op: str, attributes: tuple[tuple[str, int], ...]) -> tuple[int, int]:
    """The axis of the indices to join along, and the axis of the result that it becomes."""
    ((_, axis),) = attributes
    return (0, axis) if op == "Gather" else (axis, axis)


def _independent(scope: Scope, nodes: Sequence[Node]) -> list[Node]:
    """Those of `nodes` (in execution order) whose indices need no other's result, lest the merged read need itself."""
    tainted: set[str] = set()
    group = {id(node) for node in nodes}
    free: list[Node] = []
    start = next(k for k, node in enumerate(scope.nodes) if node is nodes[0])
    for node in scope.nodes[start:]:
        if id(node) in group and not any(t.name in tainted for t in reads_of(node)):
            free.append(node)
        if node is nodes[-1]:
            break
        if id(node) in group or any(t.name in tainted for t in reads_of(node)):
            tainted.update(t.name for t in node.outputs)
    return free


def _site(scope: Scope, join: Join, kind: _Kind, nodes: Sequence[Node], facts: Facts) -> StructuralSite:
    stack, part = _axes(kind.op, kind.attributes)
    data = nodes[0].inputs[0].name
    dtype: Any = facts[data].dtype
    results = tuple(node.outputs[0].name for node in nodes)
    return StructuralSite(
        id="",
        rule=RULE,
        data=data,
        dtype=str(dtype),
        output=join.node.outputs[0].name,
        reads=tuple(node.name for node in nodes),
        read_op=kind.op,
        attributes=kind.attributes,
        indices=tuple(node.inputs[1].name for node in nodes),
        results=results,
        stack=stack,
        part=part,
        shapes=kind.shapes,
        cone=tuple(node.name for node in _between(scope, results, join.node.outputs[0].name)),
    )


def _between(scope: Scope, results: Sequence[str], output: str) -> list[Node]:
    """The reads with these results, and the nodes between them and the output, in execution order."""
    reached = made_of(scope, results)
    after = scope.backward_slice([output], results)
    nodes = [scope.producer[name][0] for name in results]
    nodes += [node for node in after if any(t.name in reached for t in node.outputs)]
    return sorted(nodes, key=lambda node: scope.order[node.outputs[0].name])
