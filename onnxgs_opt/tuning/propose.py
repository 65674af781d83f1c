"""The two ways to a plan: what is forced, replayed or recorded, and what is measured."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.job import Job
from onnxgs_opt.options import AUTO
from onnxgs_opt.recognition.findings import Survey
from onnxgs_opt.samplers.op import is_ours
from onnxgs_opt.samplers.site import AnySite, StructuralSite
from onnxgs_opt.tuning.avoid import avoided_forms
from onnxgs_opt.tuning.decide import Tuner
from onnxgs_opt.tuning.plan import NOT_IN_PLAN, Plan, choose, load_plan, replay
from onnxgs_opt.tuning.trial import image_sizes, sized_sites
from onnxgs_opt.validation.proofs import SiteProofs

LOG = logging.getLogger(__name__)


def propose(graph: Graph, found: Survey, job: Job) -> Plan:
    """The forced lowering of every site, the one of a saved plan, or the one that was fastest in recorded runs.

    Raises:
        UsageError: The saved plan cannot be read.
    """
    sizes = image_sizes(graph, found.every_sampler, job.largest)
    avoided = avoided_forms(graph, found.sites, job.target)
    is_timed = job.times_result
    sized = {} if is_timed else sized_sites(graph, found.sites, _given_shapes(job))
    choices = choose(found.sites, job.target, job.options.lowering, sizes, avoided, is_timed=is_timed, sized=sized)
    if job.options.plan is not None:
        choices = replay(graph, found.sites, choices, load_plan(Path(job.options.plan)))
        if left := sum(choice.reason == NOT_IN_PLAN for choice in choices.values()):
            told = "%s: the plan does not know %d of %d sites, which stay as exported: --save-plan makes it anew"
            LOG.warning(told, job.name, left, len(choices))
    return Plan(choices).changed() if job.options.lowering == AUTO else Plan(choices)


def measure(
    graph: Graph, sites: Sequence[AnySite], plan: Plan, job: Job, proofs: SiteProofs, *, short: bool = False
) -> Plan:
    """The plan with what measurements choose for every site that is not this tool's own, be its calls `short`."""
    options = job.options
    others = [site for site in sites if not is_ours(site)]
    if not others:
        return plan
    cache = None if options.cache is None else Path(options.cache)
    how = graph, job.target, proofs.checker, _given_shapes(job), cache, options.progress, options.seed
    with job.clock.stage("tune"):
        least = 0.0 if options.compare_targets or short else None
        budget = options.time_budget
        left = None if budget is None else budget - job.clock.seconds.get("tune", 0.0)
        tuner = Tuner(*how, least, job.libraries, left)
        choices, _ = tuner.tune(others, plan.choices)
    chosen = Plan(choices).changed()
    return (
        chosen if chosen.lowerings else chosen.trying([site.id for site in others if site.kind == StructuralSite.kind])
    )


def _given_shapes(job: Job) -> Mapping[str, Sequence[int]]:
    """The shapes of inputs that the user tells, or gives inputs of."""
    return {**{name: value.shape for name, value in (job.inputs or {}).items()}, **job.shapes}


def timed_after_all(graph: Graph, sites: Sequence[AnySite], plan: Plan, job: Job, proofs: SiteProofs) -> Plan:
    """The plan with what is measured of sites whose form by the record made the whole model slower, and was taken back.

    They were too short for it to be worth it; where the record is wrong it is. What cannot be measured is left.
    """
    again = [site for site in sites if not plan.choices[site.id].measurements]
    timed = measure(graph, again, plan, job, proofs, short=True)
    found = {site.id: timed.choices[site.id] for site in again if timed.choices[site.id].measurements}
    return checked(again, Plan({**plan.choices, **found}), job, proofs)


def checked(sites: Sequence[AnySite], plan: Plan, job: Job, proofs: SiteProofs) -> Plan:
    """The plan without forms that fail their checks: the next fastest one of the record, or the site as exported."""
    own = {site.id: site for site in sites}
    by_record = job.options.lowering == AUTO and job.options.plan is None
    while failed := proofs.failed(plan.lowerings):  # ends: each turn a form is refused for good
        recorded = [name for name in failed if by_record and not plan.choices[name].is_measured]
        plan = plan.keeping(failed)
        is_timed = job.times_result
        others = {name: plan.choices[name].by_record(own[name], job.target, is_timed=is_timed) for name in recorded}
        plan = Plan({**plan.choices, **others})
    return plan
