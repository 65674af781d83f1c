"""`optimize` and `find`: what the command line does, for programs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs
from onnx import ModelProto

from onnxgs_opt._version import __version__
from onnxgs_opt.codes import CODES
from onnxgs_opt.errors import UsageError
from onnxgs_opt.graph import Graph
from onnxgs_opt.joins import has_reads
from onnxgs_opt.lowering import LOWERINGS, Target, Tolerance
from onnxgs_opt.passes import CANONICALISE, EliminateDead, LowerBilinear, Pipeline, RaiseBilinear
from onnxgs_opt.plan import KEEP, Choice, choose
from onnxgs_opt.remark import Remark
from onnxgs_opt.report import (
    Count,
    NearMiss,
    Report,
    SiteError,
    SitePolicy,
    SiteReport,
    Status,
    Validation,
)
from onnxgs_opt.search import Found, find_sites
from onnxgs_opt.site import Site
from onnxgs_opt.validate import DEFAULT, Comparison, check_model, check_site

ModelLike = str | os.PathLike[str] | ModelProto
METADATA = "onnxgs_opt"
READ_OPS = ("Gather", "GatherElements", "GatherND", "GridSample")


@dataclass(frozen=True)
class Result:
    """What a run found and did; `graph` is what it made, None after a dry run or a mismatch."""

    report: Report
    graph: Graph | None = None

    @property
    def model(self) -> ModelProto:
        """The resulting model in memory; weights stored outside the file stay references to them.

        Raises:
            UsageError: There is none, after a dry run or a mismatch.
        """
        if self.graph is None:
            raise UsageError(f"there is no model after '{self.report.status}'", "report says what was found")
        return self.graph.to_proto()


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
    """The bilinear samplers of a model; nothing is changed.

    Raises:
        ModelError: The model cannot be read or is not valid.
    """
    return list(_Run(_load(model), Target(0), _Clock(None)).find().sites)


def optimize(
    model: ModelLike,
    output: str | os.PathLike[str] | None = None,
    *,
    lowering: str = "auto",
    target: str | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    inputs: str | os.PathLike[str] | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    seed: int = 0,
    validate: bool = True,
    dry_run: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Result:
    """Find the bilinear samplers of a model, replace them, prove that nothing changed, and write the result.

    Args:
        model: A path, or a model in memory (which must not be changed afterwards).
        output: Where to write; None writes nothing. It may be the path that was read.
        lowering: "auto" or the name of the lowering to force.
        target: The runtime to be fast on: "ort-cpu" (the default), "ort-cuda", "tensorrt" or "tensorrt-rtx".
        shapes: By input name, the sizes that validation uses for dynamic dims.
        inputs: An .npz file with real inputs for the whole-model check.
        rtol: Relative tolerance of validation; None is each lowering's own.
        atol: Absolute tolerance of validation; None is each lowering's own.
        seed: Seed of the generated inputs.
        validate: False skips every check.
        dry_run: True only reports.
        progress: Called with the name of each stage.

    Raises:
        OptError: Bad input or options; `exit_code` and `hint` say more. A whole-model mismatch is not raised: the
            report's status says so, and nothing is written.
    """
    clock = _Clock(progress)
    with clock.stage("load"):
        graph = _load(model)
    checks = _Checks(_known(graph, shapes or {}), _read_inputs(graph, inputs), rtol, atol, seed)
    run = _Run(graph, Target(graph.opset, target or "ort-cpu", atol, rtol), clock)
    found = run.find()
    choices = choose(found.sites, run.target, lowering)
    if dry_run or not found.sites:
        status: Status = "dry-run" if dry_run else "nothing-to-do"
        return run.untouched(model, found, choices, status, None if dry_run else output)
    if validate:
        choices, comparisons = run.check_sites(found, choices, checks)
    else:
        comparisons = {}
    return run.rewrite(model, found, choices, comparisons, checks if validate else None, output)


@dataclass(frozen=True)
class _Checks:
    """What the user said of validation."""

    shapes: Mapping[str, Sequence[int]]
    inputs: Mapping[str, np.ndarray[Any, Any]] | None
    rtol: float | None
    atol: float | None
    seed: int

    def tolerance(self, own: Tolerance) -> Tolerance | None:
        """`own` with what the user gave instead; None when that is nothing."""
        if self.rtol is None and self.atol is None:
            return None
        rtol = own.rtol if self.rtol is None else self.rtol
        atol = own.atol if self.atol is None else self.atol
        return Tolerance(rtol, atol, "given by the user")


def _load(model: ModelLike) -> Graph:
    return Graph.from_proto(model) if isinstance(model, ModelProto) else Graph.load(os.fspath(model))


class _Run:
    """One run over one model: `source` is what came in, `graph` its canonical form."""

    def __init__(self, source: Graph, target: Target, clock: _Clock) -> None:
        self.source = source
        self.target = target
        self.clock = clock
        self.graph = source.copy()

    def find(self) -> Found:
        """The sites of the canonical graph."""
        with self.clock.stage("canonicalise"):
            if has_reads(self.graph.gs):
                CANONICALISE.run(self.graph)
        with self.clock.stage("find"):
            return find_sites(self.graph.gs)

    def check_sites(
        self, found: Found, choices: Mapping[str, Choice], checks: _Checks
    ) -> tuple[dict[str, Choice], dict[str, Comparison]]:
        """Prove every lowered site at its cut points; one that fails is kept as exported."""
        kept, comparisons = dict(choices), {}
        with self.clock.stage("validate sites"):
            for site in found.sites:
                choice = choices[site.id]
                if choice.lowering == KEEP:
                    continue
                lowering = LOWERINGS[choice.lowering]
                result = check_site(
                    self.graph,
                    site,
                    lowering,
                    tolerance=checks.tolerance(lowering.tolerance),
                    seed=checks.seed,
                )
                comparisons[site.id] = result
                if result.status == "mismatch":
                    kept[site.id] = choice.kept(f"its check failed: {result.worst}")
        return kept, comparisons

    def rewrite(
        self,
        model: ModelLike,
        found: Found,
        choices: Mapping[str, Choice],
        comparisons: Mapping[str, Comparison],
        checks: _Checks | None,
        output: str | os.PathLike[str] | None,
    ) -> Result:
        """Raise, lower, prove the whole model and write it."""
        sites = tuple(s for s in found.sites if choices[s.id].lowering != KEEP)
        if not sites:
            return self.untouched(model, found, choices, "nothing-to-do", output, comparisons)
        with self.clock.stage("lower"):
            lowered = self.lower(sites, choices)
        whole = None
        loosest = _loosest(choices[s.id].lowering for s in sites)
        if checks is not None:
            with self.clock.stage("validate model"):
                whole = check_model(
                    self.source,
                    lowered,
                    tolerance=checks.tolerance(loosest) or loosest,
                    sites=found.sites,
                    inputs=checks.inputs,
                    shapes=checks.shapes,
                    seed=checks.seed,
                )
        failed = whole is not None and whole.status == "mismatch"
        written = None if failed or output is None else os.fspath(output)
        if written is not None:
            with self.clock.stage("save"):
                lowered.save(written)
        status: Status = "mismatch" if failed else "optimised"
        report = self._report(model, found, choices, comparisons, lowered, written, status)
        return Result(replace(report, validation=_validation(whole, self.source)), None if failed else lowered)

    def lower(self, sites: Sequence[Site], choices: Mapping[str, Choice]) -> Graph:
        """The canonical graph with `sites` lowered as chosen, stamped with the plan."""
        graph = self.graph.copy()
        plan = {site.id: choices[site.id].lowering for site in sites}
        raised = tuple(sites)
        Pipeline("lower", (RaiseBilinear(raised), LowerBilinear(raised, plan), EliminateDead())).run(graph)
        if not graph.gs.functions:  # raising needed a newer IR for its function
            graph.envelope.ir_version = self.graph.envelope.ir_version
        graph.set_metadata(METADATA, json.dumps({"version": __version__, "plan": plan}, sort_keys=True))
        return graph

    def untouched(
        self,
        model: ModelLike,
        found: Found,
        choices: Mapping[str, Choice],
        status: Status,
        output: str | os.PathLike[str] | None,
        comparisons: Mapping[str, Comparison] | None = None,
    ) -> Result:
        """Report, and write the model as it came where an output is wanted."""
        written = None if output is None else os.fspath(output)
        if written is not None:
            with self.clock.stage("save"):
                self.source.save(written)
        lowered = self.source
        if status == "dry-run":
            raised = tuple(s for s in found.sites if choices[s.id].lowering != KEEP)
            lowered = self.lower(raised, choices) if raised else self.source
        report = self._report(model, found, choices, comparisons or {}, lowered, written, status)
        return Result(report, None if status == "dry-run" else self.source)

    def _report(
        self,
        model: ModelLike,
        found: Found,
        choices: Mapping[str, Choice],
        comparisons: Mapping[str, Comparison],
        result: Graph,
        output: str | None,
        status: Status,
    ) -> Report:
        return Report(
            input="<model>" if isinstance(model, ModelProto) else os.fspath(model),
            output=output,
            target=self.target.runtime,
            status=status,
            nodes=Count(len(self.source.nodes), len(result.nodes)),
            reads=Count(_image_reads(self.source, found), _image_reads(result, found)),
            sites=tuple(_site_report(s, choices[s.id], comparisons.get(s.id)) for s in found.sites),
            near_misses=tuple(_near_miss(r) for r in found.near_misses),
            timings=dict(self.clock.seconds),
        )


def _loosest(lowerings: Iterable[str]) -> Tolerance:
    """The whole model may differ by what its worst site may."""
    own = [LOWERINGS[name].tolerance for name in lowerings]
    return max([DEFAULT, *own], key=lambda t: t.atol)


def _wanted_inputs(graph: Graph) -> dict[str, gs.Tensor]:
    return {t.name: t for t in graph.inputs if not isinstance(t, gs.Constant)}


def _known(graph: Graph, shapes: Mapping[str, Sequence[int]]) -> Mapping[str, Sequence[int]]:
    """The shapes that the user gave, each for an input of the model and of its rank."""
    wanted = _wanted_inputs(graph)
    for name, shape in shapes.items():
        if name not in wanted:
            raise UsageError(f"--shape: the model has no input '{name}'", f"its inputs are {', '.join(wanted)}")
        _check_shape("--shape", wanted[name], shape)
    return shapes


def _check_shape(what: str, tensor: gs.Tensor, shape: Sequence[int]) -> None:
    dims = tensor.shape
    fits = dims is None or (
        len(dims) == len(shape) and all(not isinstance(d, int) or d == s for d, s in zip(dims, shape, strict=True))
    )
    if not fits:
        given, declared = "x".join(map(str, shape)), "x".join(map(str, dims))
        hint = "give every dim, in the model's order"
        raise UsageError(f"{what}: input '{tensor.name}' is {declared}, not {given}", hint)


def _read_inputs(graph: Graph, path: str | os.PathLike[str] | None) -> dict[str, np.ndarray[Any, Any]] | None:
    """The arrays of an .npz file, one for every input of the model."""
    if path is None:
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, AttributeError) as error:
        message = f"cannot read inputs from '{os.fspath(path)}': {error}"
        raise UsageError(message, "save them with numpy.savez") from None
    wanted = _wanted_inputs(graph)
    for name, tensor in wanted.items():
        if name not in arrays:
            raise UsageError(f"--inputs: no array '{name}' in '{os.fspath(path)}'", f"it needs {', '.join(wanted)}")
        _check_shape("--inputs", tensor, arrays[name].shape)
    return {name: arrays[name] for name in wanted}


def _image_reads(graph: Graph, found: Found) -> int:
    """Gathers and samplers that read one of the sites' images, through layout or not."""
    reads = {name for site in found.sites for name in site.reads}
    return sum(
        node.name in reads or (node.op in READ_OPS and node.name.startswith("onnxgs/") and _is_image_read(node))
        for node in graph.nodes
    )


def _is_image_read(node: gs.Node) -> bool:
    return node.op != "Gather" or not node.inputs[0].inputs or node.inputs[0].inputs[0].op != "Shape"


def _site_report(site: Site, choice: Choice, comparison: Comparison | None) -> SiteReport:
    grid: str | tuple[str, str] = (site.x.tensor, site.y.tensor) if site.grid is None else site.grid.tensor
    error = SiteError() if comparison is None else SiteError(comparison.max_abs, comparison.max_rel)
    return SiteReport(
        id=site.id,
        rule=site.rule,
        policy=SitePolicy("bilinear", site.policy.name, site.coordinates, site.align_corners, site.layout, site.dtype),
        image=site.image.tensor,
        grid=grid,
        output=site.output,
        reads=site.reads,
        read_op=site.read_op,
        lowering=choice.lowering,
        reason=choice.reason,
        refusals=dict(choice.refusals),
        error=error,
    )


def _near_miss(remark: Remark) -> NearMiss:
    return NearMiss(remark.code, remark.node, remark.condition, remark.hint or CODES[remark.code].action)


def _validation(comparison: Comparison | None, graph: Graph) -> Validation:
    if comparison is None:
        return Validation()
    names = [t.name for t in graph.inputs if not isinstance(t, gs.Constant)]
    shapes = tuple(dict(zip(names, run, strict=False)) for run in comparison.shapes)
    return Validation(comparison.status, shapes, comparison.max_abs, comparison.max_rel, comparison.seed)
