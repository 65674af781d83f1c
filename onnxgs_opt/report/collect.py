"""From what was found, chosen and checked to the records of the report."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

from onnxgs_opt.diagnostics import CODES, Remark
from onnxgs_opt.ir import Constant, Node
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.ir.operators import READS
from onnxgs_opt.job import Job
from onnxgs_opt.lowering.plugin import operator_nodes
from onnxgs_opt.passes.lower_bilinear import RAISED
from onnxgs_opt.recognition import KINDS
from onnxgs_opt.recognition.findings import Survey
from onnxgs_opt.report.model import Count, Hazard, NearMiss, Report, SiteError, SitePolicy, SiteReport, Validation
from onnxgs_opt.report.verdict import Verdict
from onnxgs_opt.samplers.site import AnySite
from onnxgs_opt.tuning.plan import Choice, Plan
from onnxgs_opt.validation.compare import BROKEN, Comparison

NOT_FINITE, SMALL = "GSO207", "GSO208"
READ_OPS = READS | {"GridSample"}


def collect(
    job: Job, found: Survey, plan: Plan, checks: Mapping[str, Comparison], result: Graph, verdict: Verdict
) -> Report:
    """The report of a run whose result is `result`; `checks` are those of the sites, by id."""
    before = job.source if result is job.source else job.start
    reads = sum(len(site.reads) for site in found.sites)
    written = job.options.output if verdict.lets_write else None
    return Report(
        input=job.name,
        output=None if written is None else os.fspath(written),
        target=job.target.runtime,
        status=verdict.status,
        nodes=Count(before.size, result.size),
        reads=Count(reads, reads if result is job.source else image_reads(result, found.sites)),
        sites=tuple(site_record(site, plan.choices[site.id], checks.get(site.id)) for site in found.sites),
        near_misses=tuple(NearMiss(m.code, m.node, m.condition, _hint(m)) for m in found.near_misses),
        hazards=(
            *(Hazard(h.code, h.node, _hint(h)) for h in found.hazards),
            *_needs(job, plan, result),
            *_not_finite(found, plan, verdict),
            *_beyond(found, plan, checks, verdict),
        ),
        validation=validation_record(verdict.whole, job.source),
        timings=dict(job.clock.seconds),
    )


def _needs(job: Job, plan: Plan, result: Graph) -> tuple[Hazard, ...]:
    """What programs have to load for the result to be fast, where nodes were chosen because onnxgs-ops has them."""
    if not job.target.ops or RAISED not in plan.lowerings.values():
        return ()
    nodes = [node.name for node in operator_nodes(result)]
    return tuple(Hazard("GSO206", name, CODES["GSO206"].action) for name in nodes[:1])


def _not_finite(found: Survey, plan: Plan, verdict: Verdict) -> Iterator[Hazard]:
    """One hazard at the first sampler that was lowered: no lowering promises what comes of infinities and NaN."""
    lowered = [site for site in found.samplers if site.id in plan.lowerings]
    if verdict.status == "optimised" and lowered:
        yield Hazard(NOT_FINITE, lowered[0].reads[0], CODES[NOT_FINITE].action)


def _beyond(found: Survey, plan: Plan, checks: Mapping[str, Comparison], verdict: Verdict) -> Iterator[Hazard]:
    """One hazard at each sampler whose lowering was seen to do something else at a size of 0 or 1."""
    for site in found.samplers if verdict.status == "optimised" else ():
        where = checks[site.id].beyond if site.id in checks and site.id in plan.lowerings else ()
        if where:
            others = f" and at {len(where) - 1} more of the sizes that were tried" if len(where) > 1 else ""
            hint = f"Seen at {where[0]}{others}: {plan.lowerings[site.id]} does not give what the model gives there. "
            yield Hazard(SMALL, site.reads[0], hint + CODES[SMALL].action)


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
    image, grid = KINDS[site.kind].operands(site)
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
        domain=site.domain,
    )


def _error(comparison: Comparison | None) -> SiteError:
    if comparison is None or comparison.status == "not-run" or comparison.worst.startswith(BROKEN):
        return SiteError()
    return SiteError(comparison.max_abs, comparison.max_rel)


def _hint(remark: Remark) -> str:
    return remark.hint or CODES[remark.code].action


def validation_record(comparison: Comparison | None, graph: Graph) -> Validation:
    """The whole-model check of the report."""
    if comparison is None:
        return Validation()
    names = [t.name for t in graph.inputs if not isinstance(t, Constant)]
    shapes = tuple(dict(zip(names, run, strict=False)) for run in comparison.shapes)
    if comparison.status == "not-run":
        return Validation(seed=comparison.seed, reason=comparison.worst)
    if comparison.worst.startswith(BROKEN):
        return Validation(comparison.status, shapes, seed=comparison.seed, reason=comparison.worst)
    found = comparison
    return Validation(found.status, shapes, found.max_abs, found.max_rel, found.seed, from_double=found.from_double)
