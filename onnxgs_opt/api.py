"""`optimize` and `find`: what the command line does, for programs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from onnxgs_opt._version import __version__
from onnxgs_opt.errors import UsageError
from onnxgs_opt.ir.convert import converted, inlined
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import LOWERINGS, Target, Tolerance, tolerance_of
from onnxgs_opt.options import known_shapes, read_inputs
from onnxgs_opt.passes import CANONICALISE, PASSES, EliminateDead, Pipeline
from onnxgs_opt.passes.lower_sites import lowering_passes
from onnxgs_opt.recognition.candidates import may_hold_sums
from onnxgs_opt.recognition.find import surveyed
from onnxgs_opt.recognition.findings import Survey
from onnxgs_opt.recognition.grid_sample import has_grid_samples
from onnxgs_opt.report.collect import hazard, image_reads, near_miss, site_record, validation_record
from onnxgs_opt.report.evidence import Evidence, evidence_of
from onnxgs_opt.report.model import Count, Report, Status
from onnxgs_opt.runtime.ort import load_custom_ops
from onnxgs_opt.runtime.timing import CLEAR, Race
from onnxgs_opt.samplers.site import AnySite, Site
from onnxgs_opt.tuning.decide import Tuner
from onnxgs_opt.tuning.plan import AUTO, KEEP, OWN, Choice, choose, load_plan, replay, write_plan
from onnxgs_opt.tuning.race import race_models
from onnxgs_opt.tuning.trial import image_sizes
from onnxgs_opt.validation.check import DEFAULT, check_model
from onnxgs_opt.validation.compare import Comparison
from onnxgs_opt.validation.extract import NotRunnableError
from onnxgs_opt.validation.site_checks import Terms, checker

ModelLike = str | os.PathLike[str] | ModelProto
METADATA = "onnxgs_opt"
SHARE = PASSES["eliminate-common-subexpressions"]
"""Sites on one image or at the same points share what they have in common."""


@dataclass(frozen=True)
class Result:
    """What a run found and did; `graph` is what it made, None after a dry run or a mismatch.

    `evidence` is what an HTML report draws of each site: its cone before and after, and where it was checked.
    `race` is how long the model takes before and after, where that was measured.
    """

    report: Report
    graph: Graph | None = None
    evidence: tuple[Evidence, ...] = ()
    race: Race | None = None

    @property
    def model(self) -> ModelProto:
        """The resulting model in memory; weights stored outside the file stay references to them.

        Raises:
            UsageError: There is none, after a dry run or a mismatch.
        """
        if self.graph is None:
            raise UsageError(f"there is no model after '{self.report.status}'", "report says what was found")
        if self.graph.original is None:
            return self.graph.to_proto()
        same = ModelProto()  # nothing was rewritten
        same.CopyFrom(self.graph.original)
        return same


@dataclass
class _Clock:
    """Wall time by stage, in seconds."""

    progress: Callable[[str], None] | None
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        if self.progress is not None:
            self.progress(name)
        start = time.perf_counter()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - start, 6)


def find(model: ModelLike) -> list[Site]:
    """The bilinear samplers of a model, GridSample nodes among them; nothing is changed.

    Raises:
        ModelError: The model cannot be read or is not valid.
    """
    graph = _load(model)
    return list(_Run(graph, Target(0), _Clock(None), inlined(graph)).find().samplers)


def optimize(
    model: ModelLike,
    output: str | os.PathLike[str] | None = None,
    *,
    lowering: str = "auto",
    target: str | None = None,
    plugin: bool = False,
    opset: int | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    largest: Mapping[str, Sequence[int]] | None = None,
    inputs: str | os.PathLike[str] | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    seed: int = 0,
    validate: bool = True,
    dry_run: bool = False,
    measure: bool = True,
    plan: str | os.PathLike[str] | None = None,
    save_plan: str | os.PathLike[str] | None = None,
    bench: bool = False,
    cache: str | os.PathLike[str] | None = None,
    custom_ops: Sequence[str | os.PathLike[str]] = (),
    progress: Callable[[str], None] | None = None,
) -> Result:
    """Find the bilinear samplers of a model, replace them, prove that nothing changed, and write the result.

    Args:
        model: A path, or a model in memory (which must not be changed afterwards).
        output: Where to write; None writes nothing. It may be the path that was read.
        lowering: "auto" or the name of the lowering to force.
        target: The runtime to be fast on: "ort-cpu" (the default), "ort-cuda", "tensorrt" or "tensorrt-rtx".
        plugin: Whether the target will have the plugin for BilinearSample: "auto" may choose it then.
        opset: Convert the model up to this opset first, for lowerings that need it; None leaves it.
        shapes: By input name, the sizes that validation uses for dynamic dims.
        largest: By input name, the largest sizes that dynamic dims will have; `shapes` where it says nothing.
        inputs: An .npz file with real inputs for the whole-model check.
        rtol: Relative tolerance of validation; None is each lowering's own.
        atol: Absolute tolerance of validation; None is each lowering's own.
        seed: Seed of the generated inputs.
        validate: False skips every check.
        dry_run: True only reports.
        measure: False lets "auto" go by the recorded table, as where the target cannot run here, and in a dry run.
        plan: A file that an earlier run saved: its choices are taken and nothing is measured.
        save_plan: Where to write this run's choices.
        bench: True times the model before and after; `Result.race` holds the times.
        cache: A folder to keep measurements in; None keeps none.
        custom_ops: Shared libraries of operators that onnxruntime lacks; they are loaded, which runs their code.
        progress: Called with the name of each stage.

    Raises:
        OptError: Bad input or options; `exit_code` and `hint` say more. A whole-model mismatch is not raised: the
            report's status says so, and nothing is written.
    """
    clock = _Clock(progress)
    libraries = load_custom_ops(custom_ops)
    with clock.stage("load"):
        graph = _load(model)
    known, arrays = known_shapes(graph, shapes or {}), read_inputs(graph, inputs)
    checks = _Checks(known, arrays, rtol, atol, seed, validate, libraries)
    start = inlined(graph) if opset is None else converted(inlined(graph), opset)
    run = _Run(graph, Target(start.opset, target or "ort-cpu", atol, rtol, plugin=plugin), clock, start)
    found = run.find()
    sizes = image_sizes(run.graph, found.samplers, known_shapes(graph, {**known, **(largest or {})}))
    choices = choose(found.sites, run.target, lowering, sizes)
    if plan is not None:
        choices = replay(run.graph, found.sites, choices, load_plan(Path(plan)))
    if dry_run or not found.sites:
        status: Status = "dry-run" if dry_run else "nothing-to-do"
        return run.untouched(model, found, choices, status, None if dry_run else output)
    comparisons: dict[str, Comparison] = {}
    run.confirms = validate and measure and lowering == AUTO and plan is None and run.target.is_here
    run.times = bench
    if run.confirms:
        choices, comparisons = run.tune(found, choices, checks, None if cache is None else Path(cache))
    if validate:
        choices, comparisons = run.check_sites(found, choices, checks, comparisons)
    result = run.rewrite(model, found, choices, comparisons, checks, output)
    if save_plan is not None:
        final = {s.id: Choice(s.lowering, s.reason) for s in result.report.sites}
        write_plan(Path(save_plan), run.graph, found.sites, final, run.target)
    return result


@dataclass(frozen=True)
class _Checks:
    """What the user said of validation."""

    shapes: Mapping[str, Sequence[int]]
    inputs: Mapping[str, np.ndarray[Any, Any]] | None
    rtol: float | None
    atol: float | None
    seed: int
    validate: bool
    custom_ops: tuple[str, ...]

    def tolerance(self, own: Tolerance) -> Tolerance | None:
        """`own` with what the user gave instead; None when that is nothing."""
        if self.rtol is None and self.atol is None:
            return None
        given = (own.rtol if self.rtol is None else self.rtol, own.atol if self.atol is None else self.atol)
        return Tolerance(*given, "given by the user")


def _load(model: ModelLike) -> Graph:
    return Graph.from_proto(model) if isinstance(model, ModelProto) else Graph.load(os.fspath(model))


class _Run:
    """One run over one model.

    `source` came in, `start` is without functions and at the opset asked for, `graph` its canonical form.
    """

    def __init__(self, source: Graph, target: Target, clock: _Clock, start: Graph | None = None) -> None:
        self.source = source
        self.start = start or source
        self.target = target
        self.clock = clock
        self.graph = self.start
        self.confirms = self.times = False

    def find(self) -> Survey:
        """What the canonical graph holds; a graph that can hold nothing is not copied."""
        with self.clock.stage("canonicalise"):
            has_sums = may_hold_sums(self.start)
            if has_sums or any(has_grid_samples(part.nodes) for part in (self.start, *self.start.bodies())):
                self.graph = self.start.copy()
                CANONICALISE.run(self.graph)
        with self.clock.stage("find"):
            self.graph, found = surveyed(self.graph, has_sums)
        return found

    def tune(
        self, found: Survey, choices: Mapping[str, Choice], checks: _Checks, cache: Path | None
    ) -> tuple[dict[str, Choice], dict[str, Comparison]]:
        """Let measurements choose for every site that is not this tool's own."""
        sites = [s for s in found.sites if not all(name.startswith(OWN) for name in s.reads)]

        def check(site: AnySite) -> Callable[[str], Comparison]:
            return self._checker(found, site, checks)

        with self.clock.stage("tune"):
            how = self.graph, self.target, check, checks.shapes, cache, self.clock.progress, checks.seed
            tuner = Tuner(*how, custom_ops=checks.custom_ops)
            return tuner.tune(sites, choices)

    def check_sites(
        self, found: Survey, choices: Mapping[str, Choice], checks: _Checks, known: Mapping[str, Comparison]
    ) -> tuple[dict[str, Choice], dict[str, Comparison]]:
        """Prove every lowered site at its cut points; one that fails is kept as exported."""
        kept, comparisons = dict(choices), dict(known)
        with self.clock.stage("validate sites"):
            for site in found.sites:
                choice = choices[site.id]
                if choice.lowering == KEEP or site.id in comparisons:
                    continue
                comparisons[site.id] = result = self._checker(found, site, checks)(choice.lowering)
                if result.status == "mismatch":
                    kept[site.id] = choice.kept(f"its check failed: {result.worst}")
        return kept, comparisons

    def _checker(self, found: Survey, site: AnySite, checks: _Checks) -> Callable[[str], Comparison]:
        terms = Terms(checks.tolerance, checks.seed, found.shapes.get(site.body, ()), checks.custom_ops)
        return checker(self.graph, site, terms)

    def rewrite(
        self,
        model: ModelLike,
        found: Survey,
        choices: Mapping[str, Choice],
        comparisons: Mapping[str, Comparison],
        checks: _Checks,
        output: str | os.PathLike[str] | None,
    ) -> Result:
        """Raise, lower, prove the whole model and write it."""
        sites = tuple(s for s in found.sites if choices[s.id].lowering != KEEP)
        if not sites:
            return self.untouched(model, found, choices, "nothing-to-do", output, comparisons)
        with self.clock.stage("lower"):
            lowered = self.lower(sites, choices)
        whole = None
        lowerings = {s.id: LOWERINGS[choices[s.id].lowering] for s in sites}
        loosest = _loosest(tolerance_of(lowerings[s.id], s) for s in found.samplers if s.id in lowerings)
        if checks.validate:
            with self.clock.stage("validate model"):
                whole = check_model(
                    self.source,
                    lowered,
                    tolerance=checks.tolerance(loosest) or loosest,
                    sites=found.samplers,
                    inputs=checks.inputs,
                    shapes=checks.shapes,
                    fitting=found.fitting,
                    seed=checks.seed,
                    custom_ops=checks.custom_ops,
                )
        if whole is not None and whole.status == "not-run":
            unproven = [s.id for s in sites if comparisons[s.id].status == "not-run"]
            why = "nothing could be checked: {}; --no-validate goes by the proof of the expressions alone"
            left = {key: choices[key].kept(why.format(comparisons[key].worst)) for key in unproven}
            if left:
                return self.rewrite(model, found, {**choices, **left}, comparisons, checks, output)
        failed = whole is not None and whole.status == "mismatch"
        times = None if failed or not (self.confirms or self.times) else self.race(lowered, found, checks)
        if times is not None and self.confirms and times.ratio("before", "after") < CLEAR:
            reason = f"the whole model ran at {times.ratio('before', 'after'):.2f} of its speed with "
            slower = {s.id: choices[s.id].kept(reason + choices[s.id].lowering) for s in sites}
            kept = self.untouched(model, found, {**choices, **slower}, "nothing-to-do", output, comparisons)
            return replace(kept, race=times)
        written = None if failed or output is None else os.fspath(output)
        if written is not None:
            with self.clock.stage("save"):
                lowered.save(written)
        status: Status = "mismatch" if failed else "optimised"
        made = self._report(model, found, choices, comparisons, lowered, written, status)
        report = replace(made, validation=validation_record(whole, self.source))
        evidence = evidence_of(self.graph, lowered, found.sites, comparisons)
        return Result(report, None if failed else lowered, evidence, times)

    def race(self, lowered: Graph, found: Survey, checks: _Checks) -> Race | None:
        """The original and the result, timed in turn; None where one of them does not run alone."""
        with self.clock.stage("compare speed"), suppress(NotRunnableError):
            models = self.source, lowered, self.target, found.samplers, checks.shapes, checks.inputs, checks.seed
            return race_models(*models, found.fitting, checks.custom_ops)
        return None

    def lower(self, sites: Sequence[AnySite], choices: Mapping[str, Choice]) -> Graph:
        """The canonical graph with `sites` lowered as chosen, stamped with the plan."""
        graph = self.graph.copy()
        plan = {site.id: choices[site.id].lowering for site in sites}
        Pipeline("lower", (*lowering_passes(sites, plan), SHARE, EliminateDead())).run(graph)
        if not graph.gs.functions:  # raising needed a newer IR for its function
            graph.envelope.ir_version = self.graph.envelope.ir_version
        graph.set_metadata(METADATA, json.dumps({"version": __version__, "plan": plan}, sort_keys=True))
        return graph

    def untouched(
        self,
        model: ModelLike,
        found: Survey,
        choices: Mapping[str, Choice],
        status: Status,
        output: str | os.PathLike[str] | None,
        comparisons: Mapping[str, Comparison] | None = None,
    ) -> Result:
        """Report, and write the model as it came where an output is wanted."""
        written = None if output is None else os.fspath(output)
        if written is not None:
            with self.clock.stage("save"):
                self.source.save_original(written)
        lowered = self.source
        if status == "dry-run":
            raised = tuple(s for s in found.sites if choices[s.id].lowering != KEEP)
            lowered = self.lower(raised, choices) if raised else self.source
        report = self._report(model, found, choices, comparisons or {}, lowered, written, status)
        evidence = evidence_of(self.graph, lowered, found.sites, comparisons or {})
        return Result(report, None if status == "dry-run" else self.source, evidence)

    def _report(
        self,
        model: ModelLike,
        found: Survey,
        choices: Mapping[str, Choice],
        comparisons: Mapping[str, Comparison],
        result: Graph,
        output: str | None,
        status: Status,
    ) -> Report:
        before = self.source if result is self.source else self.start
        return Report(
            input="<model>" if isinstance(model, ModelProto) else os.fspath(model),
            output=output,
            target=self.target.runtime,
            status=status,
            nodes=Count(before.size, result.size),
            reads=Count(image_reads(before, found.sites), image_reads(result, found.sites)),
            sites=tuple(site_record(s, choices[s.id], comparisons.get(s.id)) for s in found.sites),
            near_misses=tuple(near_miss(r) for r in found.near_misses),
            hazards=tuple(hazard(r) for r in found.hazards),
            timings=dict(self.clock.seconds),
        )


def _loosest(own: Iterable[Tolerance]) -> Tolerance:
    """The whole model may differ by what its worst site may."""
    return max([DEFAULT, *own], key=lambda t: t.atol)
