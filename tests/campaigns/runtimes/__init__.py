"""Every lowering of a model in another runtime: run there, and equal to onnxruntime, or refused with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from onnxgs_opt.api import look
from onnxgs_opt.job import Job
from onnxgs_opt.lowering import LOWERINGS, tolerance_of
from onnxgs_opt.options import Options
from onnxgs_opt.passes.lower_sites import lower
from onnxgs_opt.tuning.plan import choose
from onnxgs_opt.tuning.trial import image_sizes
from onnxgs_opt.validation.check import DEFAULT
from onnxgs_opt.validation.elsewhere import check_elsewhere
from onnxgs_opt.validation.inputs import ModelInputs
from onnxgs_opt.validation.proofs import SiteProofs

NO_SAMPLERS = ("keep", "resize", "polyphase-conv", "axis-matmul", "deform-conv", "tensorrt-attention")
NAMES = tuple(name for name in LOWERINGS if name not in NO_SAMPLERS)


@dataclass(frozen=True)
class Outcome:
    """What came of one lowering of a model: `refusal`, or the largest differences of its site and of the whole model.

    `failure` is what the runtime makes of it otherwise, which a user is told and which keeps the site as exported.
    """

    lowering: str
    refusal: str = ""
    failure: str = ""
    max_abs: float = 0.0


def outcomes(path: Path, target: str, names: Sequence[str] = NAMES) -> Iterator[Outcome]:
    """One for each lowering; the model is looked at once."""
    job = Job.of(Options(path, target=target))
    assert job.runtime is not None, "the target does not run here"
    graph, found = look(job.start)
    sizes = image_sizes(graph, found.samplers, job.largest)
    proofs = SiteProofs(graph, found, job)
    for name in names:
        choices = choose(found.sites, job.target, name, sizes)
        chosen = {key: name for key, choice in choices.items() if choice.lowering == name}
        if not chosen:
            yield Outcome(name, refusal=next(iter(choices.values())).reason)
            continue
        if failed := proofs.failed(chosen):
            yield Outcome(name, failure=next(iter(failed.values())))
            continue
        sites = max(proofs.comparisons[key].max_abs for key in chosen)
        loosest = max(
            [DEFAULT, *(tolerance_of(LOWERINGS[name], site) for site in found.samplers)], key=lambda t: t.atol
        )
        inputs = ModelInputs(sites=found.samplers, fitting=found.fitting)
        whole = check_elsewhere(job.runtime, (job.source, lower(graph, found.sites, chosen)), inputs, loosest)
        if whole.is_right and whole.check.status == "ok":
            yield Outcome(name, max_abs=max(sites, whole.check.max_abs))
        else:
            yield Outcome(name, failure=whole.words or whole.check.worst)
