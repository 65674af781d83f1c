"""What a report can draw of a site beyond its records: its cone before and after, and where it was checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from onnxgs_opt.ir import Constant, Node, Tensor
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.ir.operators import MOVES, READS, operator
from onnxgs_opt.recognition import KINDS
from onnxgs_opt.samplers.op import is_own, prefix_of
from onnxgs_opt.samplers.policy import Policy
from onnxgs_opt.samplers.site import BILINEAR, AnySite
from onnxgs_opt.validation.compare import Comparison
from onnxgs_opt.validation.error_map import Points

Role = Literal["input", "read", "node", "output"]


@dataclass(frozen=True)
class Box:
    """One node of a picture: a node of the graph, or a tensor that the cone starts or ends at (`op` is empty)."""

    name: str
    op: str
    role: Role


@dataclass(frozen=True)
class Cone:
    """A part of a graph: boxes, and arrows (from, to, tensor) between their positions. Constants are left out."""

    boxes: tuple[Box, ...]
    arrows: tuple[tuple[int, int, str], ...]


@dataclass(frozen=True)
class Evidence:
    """One site, as drawn: `before` is its cone in canonical form, `after` what replaced it, None where kept.

    `policy` is None for a sum of reads of which no more is known; `kernels` are those along the axes of the image.
    """

    id: str
    policy: Policy | None
    before: Cone
    after: Cone | None = None
    points: tuple[Points, ...] = ()
    worst: str = ""
    kernels: tuple[str, ...] = BILINEAR


def evidence_of(
    graph: Graph, lowered: Graph | None, sites: Sequence[AnySite], comparisons: Mapping[str, Comparison]
) -> tuple[Evidence, ...]:
    """Evidence for every site of `graph`; `lowered` is the graph in which some are replaced."""
    old = {path: {n.name: n for n in graph.at(path).nodes} for path in {site.body for site in sites}}
    new = {} if lowered is None else {n.name: n for part in (lowered, *lowered.bodies()) for n in part.nodes}
    by_prefix: dict[str, list[Node]] = {}
    for name, node in new.items():
        by_prefix.setdefault("/".join(name.split("/", 2)[:2]), []).append(node)
    out = []
    for site in sites:
        check = comparisons.get(site.id, Comparison("not-run"))
        drawn = [old[site.body][n] for n in site.cone if n in old[site.body]]
        cone = cone_between(drawn, site.output, frozenset(site.reads))
        after = _after(site, by_prefix.get(prefix_of(site), ()), [new[n] for n in site.cone if n in new])
        out.append(Evidence(site.id, site.policy, cone, after, check.points, check.worst, site.kernels))
    return tuple(out)


def cone_between(nodes: Sequence[Node], output: str, reads: frozenset[str]) -> Cone:
    """The picture of some nodes: what they read from outside becomes inputs, `output` stands at their end."""
    boxes = [Box(n.name, n.op, "read" if n.name in reads else "node") for n in nodes]
    made = {t.name: k for k, n in enumerate(nodes) for t in n.outputs}
    arrows: list[tuple[int, int, str]] = []
    for k, node in enumerate(nodes):
        for tensor in _variables(node.inputs):
            if tensor.name not in made:
                made[tensor.name] = len(boxes)
                boxes.append(Box(tensor.name, "", "input"))
            arrows.append((made[tensor.name], k, tensor.name))
    used = {start for start, _, _ in arrows}
    ends = [k for k in range(len(nodes)) if k not in used]
    arrows += [(k, len(boxes), output) for k in ends]
    return Cone((*boxes, Box(output, "", "output")), tuple(dict.fromkeys(arrows)))


def _after(site: AnySite, new: Sequence[Node], left: Sequence[Node]) -> Cone | None:
    """What stands for a site now: the new nodes, and of a sum what is left of it, which still sums."""
    if not new:
        return None
    kept = left if KINDS[site.kind].keeps_rest else ()
    return cone_between([*new, *kept], site.output, _new_reads(new, KINDS[site.kind].operands(site)[0]))


def _variables(tensors: Iterable[Tensor]) -> list[Tensor]:
    return [t for t in tensors if t.name and not isinstance(t, Constant)]


def _new_reads(nodes: Sequence[Node], image: str) -> frozenset[str]:
    """Among a lowering's nodes those that read the image: its values, not its shape."""
    values = {image}
    reads = set()
    for node in nodes:
        if not node.inputs or node.inputs[0].name not in values:
            continue
        if operator(node) in READS | {"GridSample"} or is_own(node.domain, node.op):
            reads.add(node.name)
        elif operator(node) in MOVES:
            values.update(t.name for t in node.outputs)
    return frozenset(reads)
