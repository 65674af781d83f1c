"""From what was found, chosen and checked to the records of the report."""

from __future__ import annotations

from collections.abc import Iterable

from onnxgs_opt.diagnostics import CODES, Remark
from onnxgs_opt.ir import Constant, Node
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.ir.operators import READS
from onnxgs_opt.report.model import Hazard, NearMiss, SiteError, SitePolicy, SiteReport, Validation
from onnxgs_opt.samplers.site import AnySite
from onnxgs_opt.tuning.plan import Choice
from onnxgs_opt.validation.compare import Comparison

READ_OPS = READS | {"GridSample"}


def image_reads(graph: Graph, sites: Iterable[AnySite]) -> int:
    """Gathers and samplers that read one of the sites' images, through layout or not."""
    reads = {name for site in sites for name in site.reads}
    return sum(
        node.name in reads or (node.op in READ_OPS and node.name.startswith("onnxgs/") and _is_image_read(node))
        for part in (graph, *graph.bodies())
        for node in part.nodes
    )


def _is_image_read(node: Node) -> bool:
    return node.op != "Gather" or not node.inputs[0].inputs or node.inputs[0].inputs[0].op != "Shape"


def site_record(site: AnySite, choice: Choice, comparison: Comparison | None) -> SiteReport:
    """One site of the report."""
    image, grid = site.operands
    border = "as read" if site.policy is None else site.policy.name
    return SiteReport(
        id=site.id,
        rule=site.rule,
        policy=SitePolicy(site.kind, border, site.coordinates, site.align_corners, site.layout, site.dtype),
        image=image,
        grid=grid,
        output=site.output,
        reads=site.reads,
        read_op=site.read_op,
        lowering=choice.lowering,
        reason=choice.reason,
        refusals=dict(choice.refusals),
        error=_error(comparison),
        measurements=choice.measurements,
        body=site.body,
    )


def _error(comparison: Comparison | None) -> SiteError:
    if comparison is None or comparison.status == "not-run":
        return SiteError()
    return SiteError(comparison.max_abs, comparison.max_rel)


def near_miss(remark: Remark) -> NearMiss:
    """One near-miss of the report."""
    return NearMiss(remark.code, remark.node, remark.condition, remark.hint or CODES[remark.code].action)


def hazard(remark: Remark) -> Hazard:
    """One hazard of the report."""
    return Hazard(remark.code, remark.node, remark.hint or CODES[remark.code].action)


def validation_record(comparison: Comparison | None, graph: Graph) -> Validation:
    """The whole-model check of the report."""
    if comparison is None:
        return Validation()
    names = [t.name for t in graph.inputs if not isinstance(t, Constant)]
    shapes = tuple(dict(zip(names, run, strict=False)) for run in comparison.shapes)
    if comparison.status == "not-run":
        return Validation(seed=comparison.seed, reason=comparison.worst)
    return Validation(comparison.status, shapes, comparison.max_abs, comparison.max_rel, comparison.seed)
