"""What a result may do that its reader has to know: what the model holds already, and what lowering brings with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

from onnxgs_opt.diagnostics import CODES, Remark
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.ir.operators import PRODUCTS, operator
from onnxgs_opt.job import Job
from onnxgs_opt.passes.lower_bilinear import RAISED
from onnxgs_opt.recognition.findings import Survey
from onnxgs_opt.recognition.grid_sample import OP, unknown_of
from onnxgs_opt.report.model import Hazard
from onnxgs_opt.runtime import Quirk
from onnxgs_opt.samplers.op import has_kernel
from onnxgs_opt.samplers.site import AnySite
from onnxgs_opt.validation.compare import Comparison
from onnxgs_opt.validation.proofs import SiteProofs

NEEDS_LIBRARY = "GSO206"
NOT_FINITE = "GSO207"
SMALL = "GSO208"
SHORT_FLOATS = "GSO209"
KEEP = "Nothing where no axis is that small at run time; else keep it by --lowering keep."
"""What to do about it where there is no other lowering."""
STEPS = "GSO212"
AVOIDED = "GSO210"
SOME_SIZES = "GSO211"


def hazards(
    job: Job, found: Survey, lowerings: Mapping[str, str], result: Graph, proofs: SiteProofs | None
) -> tuple[Hazard, ...]:
    """All of a run whose sites become `lowerings` in `result`; `proofs` are None where nothing is written."""
    own = tuple(Hazard(remark.code, remark.node, advice(remark)) for remark in found.hazards)
    made = [*_short_floats(job, found), *_needs(job, lowerings, result), *_avoided(job, result)]
    if proofs is not None:
        made += (*_not_finite(found, lowerings), *_beyond(found, lowerings, proofs.comparisons))
        made += (*_at_some_sizes(found, lowerings), *_steps(found, lowerings, proofs))
    return (*own, *(each for each in made if not job.options.hides(each.code)))


def advice(remark: Remark) -> str:
    """What to do about it: its own hint, or that of its code."""
    return remark.hint or CODES[remark.code].action


def _short_floats(job: Job, found: Survey) -> Iterator[Hazard]:
    """One at the first sampler, where the target would compute in shorter floats what a product of matrices reads."""
    if Quirk.SHORT_FLOATS_BY_DEFAULT not in job.target.quirks or not found.every_sampler:
        return
    if any(operator(node) in PRODUCTS for part in (job.start, *job.start.bodies()) for node in part.nodes):
        yield Hazard(SHORT_FLOATS, found.every_sampler[0].reads[0], CODES[SHORT_FLOATS].action)


def _needs(job: Job, lowerings: Mapping[str, str], result: Graph) -> Iterator[Hazard]:
    """What programs have to load for the result to be fast, where nodes were chosen because onnxgs-ops has them."""
    if not job.target.ops or RAISED not in lowerings.values():
        return
    nodes = (node for part in (result, *result.bodies()) for node in part.nodes if has_kernel(node.domain, node.op))
    for node in islice(nodes, 1):
        yield Hazard(NEEDS_LIBRARY, node.name, CODES[NEEDS_LIBRARY].action)


def _avoided(job: Job, result: Graph) -> Iterator[Hazard]:
    """One at the first node of each operator that was to be avoided and is in the result all the same."""
    nodes = [node for part in (result, *result.bodies()) for node in part.nodes if node.op in job.target.avoid]
    for name in sorted({node.op for node in nodes}):
        own = [node for node in nodes if node.op == name]
        others = f" {len(own) - 1} more stay as well." if len(own) > 1 else ""
        why = next((f" It is no site: {unknown}." for node in own if name == OP and (unknown := unknown_of(node))), "")
        yield Hazard(AVOIDED, own[0].name, f"{name} stays here.{others}{why} {CODES[AVOIDED].action}")


def _not_finite(found: Survey, lowerings: Mapping[str, str]) -> Iterator[Hazard]:
    """One at the first site that was lowered and has weights: no lowering promises what comes of infinities and NaN."""
    for site in [site for site in (*found.every_sampler, *_weighed(found)) if site.id in lowerings][:1]:
        yield Hazard(NOT_FINITE, site.reads[0], CODES[NOT_FINITE].action)


def _weighed(found: Survey) -> tuple[AnySite, ...]:
    """The sites beside samplers that weigh pixels."""
    resizes = (site for site in found.resizes if site.resampling.mode != "nearest")
    return (*found.roi_aligns, *found.attentions, *resizes)


def _steps(found: Survey, lowerings: Mapping[str, str], proofs: SiteProofs) -> Iterator[Hazard]:
    """One at the first node that rounds, compares or ranks what a lowered site sums otherwise than the model did."""
    samplers = (site for site in found.samplers if site.taps > 1)
    halves = (site for site in found.sums if site.dtype == "float16")
    every = (*samplers, *halves, *found.deforms, *_weighed(found))
    rounded = [site for site in every if site.id in lowerings]
    nodes = proofs.steps(rounded) if rounded else []
    for node in nodes[:1]:
        others = f", and at {len(nodes) - 1} more nodes" if len(nodes) > 1 else ""
        checks = [proofs.comparisons[site.id] for site in rounded if site.id in proofs.comparisons]
        most = max((check.max_abs for check in checks), default=0)
        seen = f"the samples differ by {most:.2g} at most where" if most else "the samples are equal where"
        said = f"{seen} they were checked" if checks else "nothing was checked"
        hint = f"At this {node.op}{others}; {said}. {CODES[STEPS].action}"
        yield Hazard(STEPS, node.name, hint)


def _at_some_sizes(found: Survey, lowerings: Mapping[str, str]) -> Iterator[Hazard]:
    """One at the first site for each set of sizes that a proof is limited to."""
    first = {site.domain.words: site for site in reversed(found.sites) if site.domain and site.id in lowerings}
    for words, site in reversed(first.items()):
        if site.domain is not None and site.domain.is_limited:
            yield Hazard(SOME_SIZES, site.reads[0], f"Proven for {words}. {CODES[SOME_SIZES].action}")


def _beyond(found: Survey, lowerings: Mapping[str, str], checks: Mapping[str, Comparison]) -> Iterator[Hazard]:
    """One at each site seen to do something else at a size of 0 or 1, one at the first that was not tried there."""
    lowered = [site for site in found.sites if site.id in checks and site.id in lowerings]
    for site in lowered:
        where = checks[site.id].beyond
        if where:
            others = f" and at {len(where) - 1} more of the sizes that were tried" if len(where) > 1 else ""
            hint = f"Seen at {where[0]}{others}: {lowerings[site.id]} does not give what the model gives there. "
            yield Hazard(SMALL, site.reads[0], hint + (CODES[SMALL].action if site in found.samplers else KEEP))
    untried = [site for site in lowered if checks[site.id].untried]
    for site in untried[:1]:
        others = f" So do those of {len(untried) - 1} more." if len(untried) > 1 else ""
        hint = f"Not tried: sizes of its image and its points follow from others, none of which is 0 or 1.{others} "
        yield Hazard(SMALL, site.reads[0], hint + CODES[SMALL].action)
