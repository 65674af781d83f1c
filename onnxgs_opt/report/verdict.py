"""What a run has come to: whether its result may be written, and what has to stay as exported first.

A site whose own check fails has been left as exported before (`SiteProofs.failed`, in `api.run`). A whole model whose
check fails is not written.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.job import Job
from onnxgs_opt.lowering import LOWERINGS, Tolerance, tolerance_of
from onnxgs_opt.lowering.resize import HALF_ROUNDINGS
from onnxgs_opt.lowering.resizing import resizing_tolerance
from onnxgs_opt.lowering.roi_align import region_tolerance
from onnxgs_opt.passes.lower_sites import ROI_ALIGN, still_read
from onnxgs_opt.recognition.findings import Survey
from onnxgs_opt.report.gates import Gates
from onnxgs_opt.report.hazards import hazards
from onnxgs_opt.report.model import Failure, Hazard, Latency, Status
from onnxgs_opt.report.rendering.words import count
from onnxgs_opt.runtime import runtime_of
from onnxgs_opt.runtime.timing import CLEAR, Race
from onnxgs_opt.samplers.site import AnySite, Site
from onnxgs_opt.tuning.plan import Plan
from onnxgs_opt.tuning.race import race_models
from onnxgs_opt.validation.check import DEFAULT, check_model
from onnxgs_opt.validation.check_attention import tolerance_of_attention
from onnxgs_opt.validation.check_deform_conv import tolerance_of_deform
from onnxgs_opt.validation.check_resize import longest
from onnxgs_opt.validation.compare import Comparison
from onnxgs_opt.validation.elsewhere import Elsewhere, check_elsewhere
from onnxgs_opt.validation.extract import NotRunnableError
from onnxgs_opt.validation.inputs import ModelInputs
from onnxgs_opt.validation.moved import Moved
from onnxgs_opt.validation.proofs import SiteProofs

Allowed = tuple[AnySite, Tolerance]
LARGEST = 64
"""Sizes of generated inputs are smaller."""


@dataclass(frozen=True)
class Verdict:
    """The status of a run.

    Attributes:
        status: What the report says; it is final where `keep` is empty.
        keep: By id, sites that have to stay as exported, and why.
        whole: The whole-model check, where it was made.
        elsewhere: That check in the target's own runtime, where it was made.
        race: How long the model takes before and after, where that was measured.
        failures: What options for CI asked about and is not so.
        hazards: Those of the result, where it came so far that it was looked at for them.
    """

    status: Status = "nothing-to-do"
    keep: Mapping[str, str] = field(default_factory=dict)
    whole: Comparison | None = None
    elsewhere: Elsewhere | None = None
    race: Race | None = None
    failures: tuple[Failure, ...] = ()
    hazards: tuple[Hazard, ...] | None = None

    @property
    def lets_write(self) -> bool:
        """Whether there is a model to be written."""
        return self.status in ("optimised", "nothing-to-do", "checks-failed")

    @property
    def is_no_failure(self) -> bool:
        """Whether the run did what was asked for; findings of a check are that."""
        by_check = all(failure.gate == "check" for failure in self.failures)
        return by_check and self.status != "mismatch"


def judge(job: Job, lowered: Graph, found: Survey, plan: Plan, proofs: SiteProofs, gates: Gates) -> Verdict:
    """Compare the model as it came with the result, in what it computes and, where lowerings were measured, in time."""
    lowerings = plan.lowerings
    if len(found.sites) < job.options.require_match:
        message = f"{count(len(found.sites), 'site')} found, {job.options.require_match} asked for"
        return Verdict("too-few", failures=(Failure("require-match", message),))
    if lowerings and (left := still_read(lowered, found.sites, lowerings)):
        return Verdict(keep=left)
    failures = gates.failures(job.name, found, lowerings)
    if failures or not job.options.writes:
        return Verdict("findings" if failures else "dry-run", failures=failures)
    if not lowerings:
        failed = any(check.status == "mismatch" for check in proofs.comparisons.values())
        remarked = tuple(gates.remarked(job.name, hazards(job, found, {}, lowered, None)))
        return gated(Verdict("checks-failed" if failed else "nothing-to-do"), gates, remarked)
    tolerance = _of_whole(job, found, lowerings, proofs)
    whole = _whole_check(job, lowered, found, lowerings, tolerance) if job.options.validate else None
    if whole is not None and whole.status == "mismatch":
        return Verdict("mismatch", whole=whole)
    if whole is not None and whole.status == "not-run" and (left := proofs.unproven(lowerings)):
        return Verdict(keep=left)
    there = _elsewhere(job, lowered, found, tolerance) if whole is not None and whole.status == "ok" else None
    if there is not None and not there.is_right:
        return Verdict(keep=dict.fromkeys(lowerings, there.words))
    race = _race(job, lowered, found) if job.may_measure or job.options.is_timed else None
    if slower := _no_faster(job, plan, race):
        return Verdict(keep=slower, race=race)
    made = hazards(job, found, lowerings, lowered, proofs)
    verdict = Verdict("optimised", whole=whole, elsewhere=there, race=race, hazards=made)
    return gated(verdict, gates, tuple(gates.remarked(job.name, made)))


def _no_faster(job: Job, plan: Plan, race: Race | None) -> dict[str, str]:
    """By id the sites that stay as exported because the whole model is no faster, or may not be, and why."""
    free = {key: name for key, name in plan.lowerings.items() if key not in plan.required}
    if race is None:
        unclear = [key for key in free if plan.choices[key].is_unclear]
        return dict.fromkeys(unclear, "its reads alone are no faster, and the whole model was not timed")
    speed = race.ratio("before", "after")
    if not job.may_measure or speed >= CLEAR:
        return {}
    return {key: f"the whole model ran at {speed:.2f} of its speed with {name}" for key, name in free.items()}


def gated(verdict: Verdict, gates: Gates, remarked: tuple[Failure, ...]) -> Verdict:
    """The verdict, or that the result has what must not be, or is not as fast as it has to be."""
    if remarked:
        return replace(verdict, status="findings", failures=remarked)
    latency = None if verdict.race is None else Latency.of(verdict.race)
    slow = gates.of_speed(latency, is_new=verdict.status == "optimised")
    return replace(verdict, status="too-slow", failures=slow) if slow else verdict


def _of_whole(job: Job, found: Survey, lowerings: Mapping[str, str], proofs: SiteProofs) -> Tolerance:
    """The whole model may differ by what its worst site may, and a chain by what it makes of that."""
    samplers, others = _tolerances(job, found, lowerings)
    loosest = max([DEFAULT, *(own for _, own in (*samplers, *others))], key=lambda t: t.atol)
    if proofs.chained(lowerings):
        loosest = replace(loosest, carried=max(own.atol for _, own in samplers))
    return loosest


def _tolerances(job: Job, found: Survey, lowerings: Mapping[str, str]) -> tuple[list[Allowed], list[Allowed]]:
    """What the result of each lowered site may differ by: of samplers and what weighs them, and of all others."""
    own = [(site, tolerance_of(LOWERINGS[lowerings[site.id]], site)) for site in _samplers(found, lowerings)]
    deforms = [(site, tolerance_of_deform(site, lowerings[site.id])) for site in found.deforms if site.id in lowerings]
    weighted = [
        (site, tolerance_of_attention(site, lowerings[site.id])) for site in found.attentions if site.id in lowerings
    ]
    resizes = [
        (site, resizing_tolerance(lowerings[site.id], site, longest(site, _largest(job))))
        for site in found.resizes
        if site.id in lowerings
    ]
    regions = [(site, region_tolerance(site, _largest(job))) for site in found.roi_aligns if site.id in lowerings]
    return [*own, *deforms, *weighted], [*resizes, *regions]


def _samplers(found: Survey, lowerings: Mapping[str, str]) -> list[Site]:
    """The samplers that are lowered as such, those in a RoIAlign by hand among them."""
    plain = [site.plain for site in found.roi_aligns if lowerings.get(site.id) != ROI_ALIGN and site.is_sampler]
    return [site for site in (*found.samplers, *plain) if site.id in lowerings]


def _whole_check(
    job: Job, lowered: Graph, found: Survey, lowerings: Mapping[str, str], tolerance: Tolerance
) -> Comparison:
    """The whole model in onnxruntime; before short numbers, whole ones and words a site's own error counts for more."""
    samplers, others = _tolerances(job, found, lowerings)
    moved = {
        site.output: Moved.like(lowered.at(site.body).tensor(site.output), job.tolerance(own))
        for site, own in (*samplers, *others, *_sums_of_halves(found, lowerings))
    }
    with job.clock.stage("validate model"):
        return check_model(job.source, lowered, _inputs(job, found), job.tolerance(tolerance), job.libraries, moved)


def _sums_of_halves(found: Survey, lowerings: Mapping[str, str]) -> list[Allowed]:
    """Sums of halves whose reads merge: these are equal, but onnxruntime rounds the terms of the sum elsewhere then."""
    rounded = Tolerance(rtol=HALF_ROUNDINGS, atol=0.0, reason="terms that are rounded to half precision, or are not")
    return [(site, rounded) for site in found.sums if site.id in lowerings and site.dtype == "float16"]


def _elsewhere(job: Job, lowered: Graph, found: Survey, tolerance: Tolerance) -> Elsewhere | None:
    """The whole model in the target's own runtime; None where it cannot be run, or is what was run already."""
    if job.runtime is None:
        return None
    with job.clock.stage(f"validate model on {job.runtime.name}"):
        return check_elsewhere(job.runtime, (job.source, lowered), _inputs(job, found), job.tolerance(tolerance))


def _largest(job: Job) -> int:
    """The longest axis of an input in the whole-model check."""
    given = (*job.shapes.values(), *(value.shape for value in (job.inputs or {}).values()))
    return max((size for shape in given for size in shape), default=LARGEST)


def _race(job: Job, lowered: Graph, found: Survey) -> Race | None:
    """The original and the result, timed in turn; None where one of them does not run alone."""
    with job.clock.stage("compare speed"), suppress(NotRunnableError):
        return race_models(job.source, lowered, runtime_of(job.target.runtime), _inputs(job, found), job.libraries)
    return None


def _inputs(job: Job, found: Survey) -> ModelInputs:
    return ModelInputs(job.inputs, found.every_sampler, job.shapes, found.fitting, job.options.seed, found.roi_aligns)
