"""Every lowering of a model in another runtime: run there, and equal to onnxruntime, or refused with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from onnxgs_opt.api import look
from onnxgs_opt.job import Job
from onnxgs_opt.lowering import LOWERINGS
from onnxgs_opt.options import Options
from onnxgs_opt.passes.lower_sites import lower
from onnxgs_opt.report.gates import Gates
from onnxgs_opt.report.verdict import judge
from onnxgs_opt.tuning.plan import Plan, choose
from onnxgs_opt.tuning.trial import image_sizes
from onnxgs_opt.validation.proofs import SiteProofs

NAMES = tuple(name for name in LOWERINGS if name != "keep")


@dataclass(frozen=True)
class Outcome:
    """What came of one lowering of a model: `refusal`, or the largest differences of its site and of the whole model.

    `failure` is what is found otherwise, there or in onnxruntime, which a user is told and keeps the site as exported.
    """

    lowering: str
    refusal: str = ""
    failure: str = ""
    max_abs: float = 0.0


def outcomes(path: Path, target: str, names: Sequence[str] = NAMES) -> Iterator[Outcome]:
    """One for each lowering; the model is looked at once."""
    job = Job.of(Options(path, target=target, measure=False))
    assert job.runtime is not None, "the target does not run here"
    graph, found = look(job.start)
    sizes = image_sizes(graph, found.samplers, job.largest)
    proofs = SiteProofs(graph, found, job)
    for name in names:
        plan = Plan(choose(found.sites, job.target, name, sizes))
        taking = {key: choice for key, choice in plan.choices.items() if choice.lowering == name}
        if not taking:
            yield Outcome(name, refusal=next(iter(plan.choices.values())).reason)
            continue
        plan = plan.keeping(dict.fromkeys(plan.choices.keys() - taking, "another form is asked for"))
        if failed := proofs.failed(plan.lowerings):
            yield Outcome(name, failure=next(iter(failed.values())))
            continue
        lowered = lower(graph, found.sites, plan.lowerings)
        verdict = judge(job, lowered, found, plan, proofs, Gates(job.options))
        if verdict.status == "optimised":  # of a model that does not run at sizes chosen for it, its sites did
            checks = [proofs.comparisons[key] for key in taking]
            checks += [verdict.elsewhere.check] if verdict.elsewhere else []
            yield Outcome(name, max_abs=max(check.max_abs for check in checks))
        else:
            left = next(iter(verdict.keep.values()), "")
            yield Outcome(name, failure=left or (verdict.whole.worst if verdict.whole else verdict.status))
