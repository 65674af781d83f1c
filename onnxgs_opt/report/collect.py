"""From what was found, chosen and checked to the records of the report."""

from __future__ import annotations

import os
from collections.abc import Iterable

from onnxgs_opt.ir import Constant, Node
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.ir.operators import READS
from onnxgs_opt.job import Job
from onnxgs_opt.recognition import KINDS
from onnxgs_opt.recognition.findings import Survey
from onnxgs_opt.report.hazards import advice, hazards
from onnxgs_opt.report.model import (
    Count,
    Latency,
    NearMiss,
    Report,
    SiteError,
    SitePolicy,
    SiteReport,
    TargetCheck,
    Validation,
)
from onnxgs_opt.report.provenance import provenance
from onnxgs_opt.report.verdict import Verdict
from onnxgs_opt.samplers.op import OWN
from onnxgs_opt.samplers.site import AnySite
from onnxgs_opt.tuning.plan import Choice, Plan
from onnxgs_opt.validation.compare import BROKEN, Comparison
from onnxgs_opt.validation.elsewhere import Elsewhere
from onnxgs_opt.validation.proofs import SiteProofs

READ_OPS = READS | {"GridSample"}


def collect(job: Job, found: Survey, plan: Plan, proofs: SiteProofs, result: Graph, verdict: Verdict) -> Report:
    """The report of a run whose result is `result`; `proofs` are those of the sites."""
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
        sites=tuple(site_record(site, plan.choices[site.id], proofs.comparisons.get(site.id)) for site in found.sites),
        near_misses=tuple(NearMiss(m.code, m.node, m.condition, advice(m)) for m in found.near_misses),
        hazards=hazards(job, found, plan.lowerings, result, None) if verdict.hazards is None else verdict.hazards,
        validation=validation_record(verdict.whole, job.source, verdict.elsewhere),
        latency=None if verdict.race is None else Latency.of(verdict.race),
        failures=verdict.failures,
        provenance=provenance(job),
        timings=dict(job.clock.seconds),
    )


def image_reads(graph: Graph, sites: Iterable[AnySite]) -> int:
    """Gathers and samplers that read one of the sites' images, through layout or not."""
    reads = {name for site in sites for name in site.reads}
    return sum(
        node.name in reads
        or (node.op in READ_OPS and node.name.startswith(OWN) and not (node.op == "Gather" and _is_of_sizes(node)))
        for part in (graph, *graph.bodies())
        for node in part.nodes
    )


def _is_of_sizes(gather: Node) -> bool:
    """Whether what is gathered from was made of shapes, and beside them of constants alone."""
    above, seen, has_shapes = [gather.inputs[0]], set[int](), False
    while above:
        tensor = above.pop()
        if isinstance(tensor, Constant) or not tensor.name or id(tensor) in seen:
            continue
        seen.add(id(tensor))
        if not tensor.inputs:
            return False
        is_shape = tensor.inputs[0].op == "Shape"
        above += () if is_shape else tensor.inputs[0].inputs
        has_shapes |= is_shape
    return has_shapes


def site_record(site: AnySite, choice: Choice, comparison: Comparison | None) -> SiteReport:
    """One site of the report."""
    image, grid = KINDS[site.kind].operands(site)
    return SiteReport(
        id=site.id,
        rule=site.rule,
        policy=SitePolicy(site.what, site.border, site.coordinates, site.align_corners, site.layout, site.dtype),
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


def validation_record(comparison: Comparison | None, graph: Graph, elsewhere: Elsewhere | None = None) -> Validation:
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
    there = None if elsewhere is None else _of_target(elsewhere)
    values = (found.status, shapes, found.max_abs, found.max_rel, found.seed)
    return Validation(*values, from_double=found.from_double, target=there)


def _of_target(found: Elsewhere) -> TargetCheck:
    if found.off is not None:
        return TargetCheck(found.runtime, *found.off)
    if found.check.status == "not-run":
        return TargetCheck(found.runtime, reason=found.check.worst)
    return TargetCheck(found.runtime, found.check.max_abs)
