"""`optimize` and `find`: what the command line does, for programs."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from onnx import ModelProto

from onnxgs_opt.errors import MismatchError, OptError, UsageError
from onnxgs_opt.ir.convert import inlined
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.ir.in_memory import same_kind
from onnxgs_opt.job import Clock, Job, load
from onnxgs_opt.options import AUTO, Options, documented
from onnxgs_opt.options.spec import Arrays, LoweringName, Model, PathLike, Shapes, TargetName
from onnxgs_opt.passes.lower_sites import lower
from onnxgs_opt.recognition.find import canonical, surveyed
from onnxgs_opt.recognition.findings import Survey
from onnxgs_opt.recognition.lifting.dynamic_dims import Box
from onnxgs_opt.report.collect import collect
from onnxgs_opt.report.evidence import Evidence, evidence_of
from onnxgs_opt.report.files import report_path, write_report
from onnxgs_opt.report.gates import Gates
from onnxgs_opt.report.model import Report
from onnxgs_opt.report.rendering.notebook import to_notebook
from onnxgs_opt.report.rendering.words import verdict as said_of
from onnxgs_opt.report.targets import TargetRun
from onnxgs_opt.report.verdict import Verdict, gated, judge
from onnxgs_opt.runtime import runtime_of
from onnxgs_opt.runtime.tensorrt.engine import Engine
from onnxgs_opt.runtime.timing import Race
from onnxgs_opt.samplers.site import Site
from onnxgs_opt.tuning.plan import Plan, write_plan
from onnxgs_opt.tuning.propose import checked, propose, timed_after_all
from onnxgs_opt.tuning.propose import measure as measured
from onnxgs_opt.validation.check_engine import Task, checked_engine
from onnxgs_opt.validation.proofs import SiteProofs

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """What a run found and did; `graph` is what it made, None after a dry run or a mismatch.

    `evidence` is what an HTML report draws of each site: its cone before and after, and where it was checked.
    `race` is how long the model takes before and after, where that was measured; `given` is the model that came in.
    """

    report: Report
    graph: Graph | None = None
    evidence: tuple[Evidence, ...] = ()
    race: Race | None = None
    given: Model | None = None

    def __repr__(self) -> str:
        """One line: the whole report is thousands of characters."""
        report = self.report
        return f"<Result {report.status}: {len(report.lowered)} of {len(report.sites)} sites lowered in {report.input}>"

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        return to_notebook(self.report)

    def save_report(self, path: PathLike) -> None:
        """Write the report in the format of the path's ending: .json, .md, .sarif, .xml (JUnit) or .html.

        Raises:
            UsageError: The ending is none of these, or the file cannot be written.
        """
        write_report(self.report, self.evidence, report_path(path))

    @property
    def as_given(self) -> Any:
        """The result as the kind that was given: a path, bytes, a ModelProto, an ONNXProgram or an onnx_ir.Model.

        A path is that of what was written.

        Raises:
            UsageError: There is none, after a dry run or a mismatch, or nothing was written.
        """
        if not isinstance(self.given, str | os.PathLike):
            return same_kind(self.given, self.model)
        if self.report.output is None:
            raise UsageError("no file was written", "name an output, or take `model`")
        return self.report.output if isinstance(self.given, str) else Path(self.report.output)

    @property
    def model(self) -> ModelProto:
        """The resulting model in memory; weights stored outside the file stay references to them.

        Raises:
            UsageError: There is none, after a dry run or a mismatch.
        """
        if self.graph is None:
            raise UsageError(f"there is no model after '{self.report.status}'", "report says what was found")
        original = self.graph.original  # where nothing was rewritten
        return self.graph.to_proto() if original is None else deepcopy(original)


def find(model: Model) -> list[Site]:
    """The samplers of a model, GridSample nodes and those inside other sites among them; nothing is changed.

    Raises:
        ModelError: The model cannot be read or is not valid.
    """
    return list(look(inlined(load(model)))[1].every_sampler)


@documented
def optimize(
    model: Model,
    output: PathLike | None = None,
    *,
    dry_run: bool = False,
    check: bool = False,
    require_match: int = 0,
    min_speedup: float | None = None,
    fail_on: Sequence[str] = (),
    ignore: Sequence[str] = (),
    baseline: PathLike | None = None,
    lowering: LoweringName = "auto",
    target: TargetName | None = None,
    plugin: bool = False,
    ops: bool = False,
    avoid: Sequence[str] = (),
    opset: int | None = None,
    measure: bool = True,
    time_budget: float | None = None,
    plan: PathLike | None = None,
    save_plan: PathLike | None = None,
    bench: bool = False,
    cache: PathLike | None = None,
    shapes: Shapes | None = None,
    largest: Shapes | None = None,
    smallest: Shapes | None = None,
    inputs: PathLike | Arrays | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    seed: int = 0,
    custom_ops: Sequence[PathLike] = (),
    validate: bool = True,
    engine: PathLike | None = None,
    plugin_library: PathLike | None = None,
    fp16: bool = False,
    bf16: bool = False,
    timing_cache: PathLike | None = None,
    workspace: str | None = None,
    tactic_sources: str | None = None,
    compute_capability: Sequence[str] = (),
    accept: Callable[[ModelProto], None] | None = None,
    raise_on_mismatch: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Result:
    """Find the samplers of a model, replace them, prove that nothing changed, and write the result.

    Raises:
        OptError: Bad input or options; `exit_code` and `hint` say more. A whole-model mismatch is only raised with
            `raise_on_mismatch`: else the report's status says so, and nothing is written.
    """
    return run(Options(**locals()))


def compare_targets(model: Model, targets: Sequence[str], **given: Any) -> tuple[TargetRun, ...]:
    """Optimise a model for each of some targets, with every lowering measured and checked there; nothing is written.

    `given` are options of `optimize`: shapes, tolerances, inputs and the like.

    Raises:
        OptError: As `optimize` does, and for a target that is none.
    """
    return run_on_each(Options(model, compare_targets=tuple(targets), **given))


def run_on_each(options: Options) -> tuple[TargetRun, ...]:
    """A run for each of `compare_targets`."""
    if options.target or options.lowering != AUTO or options.plan or options.engine or not options.writes:
        hint = "leave out --target, --lowering, --plan, --engine, --dry-run and --check"
        raise UsageError("--compare-targets measures every lowering on each target, and writes nothing", hint)
    names = [name for named in options.compare_targets for name in named.split(",")]
    each = {name: replace(options, target=cast(TargetName, name), output=None) for name in names}
    return tuple(_run_on(name, options) for name, options in each.items())


def _run_on(name: str, options: Options) -> TargetRun:
    runtime = runtime_of(name)
    missing = runtime.unavailable() or ""
    return TargetRun(name, "" if missing else runtime.version(), missing, run(options).report)


def run(options: Options) -> Result:
    """Do what the options ask for; `optimize` and the command line are this."""
    gates = Gates.of(options)
    job = Job.of(options)
    graph, found = look(job.start, job.clock, job.ranges, job.stated)
    found = gates.visible(found)
    plan = propose(graph, found, job)
    proofs = SiteProofs(graph, found, job)
    if options.writes and len(found.sites) >= options.require_match:
        plan = measured(graph, found.sites, plan, job, proofs) if job.may_measure else plan
        plan = checked(found.sites, plan, job, proofs)
    race = None
    while True:  # ends: each turn refuses a form of a site for good
        lowered = _lowered(job, graph, found, plan.lowerings)
        verdict = judge(job, lowered, found, plan, proofs, gates)
        race = verdict.race or race
        if not verdict.keep:
            break
        plan = plan.keeping(verdict.keep)
        if verdict.race is not None:
            refuted = [site for site in found.sites if site.id in verdict.keep]
            plan = timed_after_all(graph, refuted, plan, job, proofs)
    if options.accept is not None and verdict.lets_write:
        options.accept(lowered.to_proto())
    try:
        engine, slower = _engine(job, lowered, found, verdict)
    except OptError:  # the model is no worse for it
        _write(job, graph, found, plan, lowered, verdict)
        raise
    if slower:
        plan, lowered = plan.keeping(dict.fromkeys(plan.lowerings, slower)), job.source
        verdict = gated(Verdict(), gates, ())
    _write(job, graph, found, plan, lowered, verdict)
    report = replace(collect(job, found, plan, proofs, lowered, verdict), engine=engine)
    if options.raise_on_mismatch and verdict.status == "mismatch":
        raise MismatchError(said_of(report), "the report of a run without raise_on_mismatch has the details")
    evidence = evidence_of(graph, lowered, found.sites, proofs.comparisons)
    LOG.info("%s: %s", report.input, said_of(report))
    return Result(report, lowered if verdict.lets_write else None, evidence, race, options.model)


def look(
    start: Graph, clock: Clock | None = None, ranges: Box | None = None, stated: Box | None = None
) -> tuple[Graph, Survey]:
    """The canonical form of a model, and what it holds, where not at every size, between those in `ranges`.

    What holds at no size that is `stated` is left out; those in `ranges` are, where nothing else is.
    """
    clock = clock or Clock()
    with clock.stage("canonicalise"):
        graph, has_sums = canonical(start)
    with clock.stage("find"):
        return surveyed(graph, has_sums, ranges, stated)


def _lowered(job: Job, graph: Graph, found: Survey, lowerings: Mapping[str, str]) -> Graph:
    """The lowered graph; the model as it came where no site is."""
    if not lowerings:
        return job.source
    with job.clock.stage("lower"):
        return lower(graph, found.sites, lowerings)


def _write(job: Job, graph: Graph, found: Survey, plan: Plan, lowered: Graph, verdict: Verdict) -> None:
    """Write the result, or the model as it came where nothing was rewritten, and the plan."""
    output, save_plan = job.options.output, job.options.save_plan
    if output is not None and verdict.lets_write:
        with job.clock.stage("save"):
            save = job.source.save_original if lowered is job.source else lowered.save
            save(Path(output))
    if save_plan is not None and verdict.is_no_failure:
        write_plan(Path(save_plan), graph, found.sites, plan.choices, job.target)


def _engine(job: Job, lowered: Graph, found: Survey, verdict: Verdict) -> tuple[Engine | None, str]:
    """The engine that was asked for, and why it is that of the model as it came where lowerings were not worth it."""
    path = job.options.engine
    if path is None or not verdict.lets_write:
        return None, ""
    is_new = lowered is not job.source
    task = Task(
        model=lowered.to_proto(),
        before=job.source.to_proto() if is_new else None,
        origin=(job.source.folder or Path()) / "model.onnx",
        inputs=job.inputs,
        sites=found.every_sampler if is_new else (),
        takes_faster=job.options.lowering == AUTO and job.options.plan is None,
    )
    engine, slower = checked_engine(task, Path(path), job.engine_options())
    job.clock.seconds["engine"] = engine.build_s
    return engine, slower
