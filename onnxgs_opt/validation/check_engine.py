"""The engine of one run: built from its result and, where a GPU is, checked and timed; all of it in the report.

There the model as it came is built as well, and both engines are timed in turn on the same inputs; where the lowerings
were this tool's choice, the faster engine is the one that is written.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
from onnx import ModelProto

from onnxgs_opt.errors import EngineError, OptError
from onnxgs_opt.files.atomic import write_whole
from onnxgs_opt.runtime.ort import open_session
from onnxgs_opt.runtime.tensorrt.build import MODULES, Built, EngineOptions, build_engine, load_library
from onnxgs_opt.runtime.tensorrt.cuda_driver import has_gpu
from onnxgs_opt.runtime.tensorrt.engine import Engine, EngineBefore
from onnxgs_opt.runtime.tensorrt.session import EngineRun, error_logger
from onnxgs_opt.runtime.timing import CLEAR, Feeds
from onnxgs_opt.samplers.site import Site
from onnxgs_opt.samplers.view import Array
from onnxgs_opt.validation.boundary_values import aims_of
from onnxgs_opt.validation.inputs import ModelInputs

LOOSE = 0.05
"""What a value may be off by, as a share of the output's largest: TF32 and fp16 are the builder's to use."""

STRAYS = 0.01
"""The share of values that may be further off."""

NUDGE = 2.0**-22
"""How far coordinates are moved to see which values hang on their last bits: four roundings."""

ROUNDS = 5


@dataclass(frozen=True)
class Task:
    """What to build: the result of a run, the model that it came from where that is another, the user's inputs.

    `origin` is a path in the folder of the external weights; `sites` are those of `before`, for aiming. `takes_faster`:
    the engine of `before` is written where the new one is not clearly faster.
    """

    model: ModelProto
    before: ModelProto | None
    origin: Path
    inputs: Feeds | None = None
    sites: Sequence[Site] = ()
    takes_faster: bool = False


def checked_engine(task: Task, output: Path, options: EngineOptions) -> tuple[Engine, str]:
    """Build the engine of `task.model`; with a GPU, also run it against onnxruntime and time it beside the one before.

    Args:
        task: What to build.
        output: Where the engine goes: the faster one of both where `task.takes_faster`.
        options: How to build; its profiles say the shapes of the check.

    Returns:
        What was written, and why that is the engine of the model as it came; empty where it is not.

    Raises:
        UsageError: No builder is installed, or it knows nothing of an option.
        EngineError: It could not build, or the engine computes something else than the model.
    """
    options = replace(options, profiling=True)
    with tempfile.TemporaryDirectory(prefix="onnxgs-") as folder:
        built, slower = build_engine(task.model, task.origin, Path(folder) / "engine", options), ""
        record = _described(built, output)
        if has_gpu() and not options.capabilities:
            old = Path(folder) / "before"
            both = _measured({"after": built}, task, output, options, old)
            record = both["after"]
            slower = why_slower(record) if task.takes_faster else ""
            if slower:
                built, record = replace(built, path=old), both["before"]
        write_whole(output, built.path.read_bytes())
    return record, slower


def why_slower(engine: Engine) -> str:
    """What the times of an engine and of the one before say against the new one; empty where they say nothing."""
    before = None if engine.before is None else engine.before.microseconds
    if before is None or engine.microseconds is None or before / engine.microseconds >= CLEAR:
        return ""
    gain = before / engine.microseconds
    return f"the whole engine ran at {gain:.2f} of its speed: {engine.microseconds:.2f} us a run, {before:.2f} before"


def _described(built: Built, output: Path) -> Engine:
    return Engine(
        path=str(output),
        backend=built.backend,
        version=built.version,
        build_s=built.build_s,
        layers=len(built.layers),
        flags=built.flags,
        network=built.layers,
    )


def _measured(
    engines: dict[str, Built], task: Task, output: Path, options: EngineOptions, old: Path
) -> dict[str, Engine]:
    """What running both engines showed, by "before" and "after"; that of the model as it came is built at `old`."""
    trt = importlib.import_module(MODULES[engines["after"].backend])
    logger = error_logger(trt)
    trt.init_libnvinfer_plugins(logger, "")
    if options.library is not None:
        load_library(trt, options.library)
    checks = tuple(_checks(task, options))
    with ExitStack() as stack:

        def checked(built: Built) -> tuple[EngineRun, float]:
            """The engine on the last of the inputs, and its largest difference on any."""
            worst = 0.0
            for feeds, references in checks:
                run = stack.enter_context(closing(EngineRun(trt, logger, built.path.read_bytes(), feeds)))
                worst = max(worst, largest_gap(run.outputs(), references))
            return run, worst

        runs, problem = {"after": checked(engines["after"])}, None
        if task.before is not None:
            try:
                engines["before"] = build_engine(task.before, task.origin, old, options)
                runs["before"] = checked(engines["before"])
            except OptError as error:
                problem = f"the model as it came: {error}"
        found = _timed(runs)
    before = EngineBefore(problem) if problem else found.get("before")
    return {
        name: replace(
            _described(engines[name], output),
            max_abs=runs[name][1],
            microseconds=each.microseconds,
            layer_times=each.layer_times,
            before=before if name == "after" else None,
        )
        for name, each in found.items()
    }


def _timed(runs: Mapping[str, tuple[EngineRun, float]]) -> dict[str, EngineBefore]:
    """The times of engines that ran in turn."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, (each, _) in runs.items():
            times[name] += each.microseconds(7)
    return {
        name: EngineBefore(None, round(median(times[name]), 2), each.layer_times()) for name, (each, _) in runs.items()
    }


# -- against onnxruntime --------------------------------------------------------------------------------

References = Mapping[str, Sequence[Array]]
"""By output: what onnxruntime computes, then the same with the coordinates moved up and down by a few roundings."""


def _checks(task: Task, options: EngineOptions) -> Iterator[tuple[Feeds, References]]:
    """The inputs of validation at the profiles' best shapes, or the user's, and what the model makes of them."""
    model = task.before or task.model
    sites = [] if task.before is None else task.sites
    shapes = {name: profile.best for name, profile in options.profiles.items()}
    session = open_session(model, task.origin.absolute().parent)
    names = session.outputs
    for run in ModelInputs(task.inputs, sites, shapes).runs(model):
        feeds = run.feeds
        moved = [feeds, *(_nudged(feeds, sites, by) for by in (NUDGE, -NUDGE))]
        found = [session.run(names, each) for each in moved]
        yield feeds, {name: [values[i] for values in found] for i, name in enumerate(names)}


def _nudged(feeds: Feeds, sites: Sequence[Site], by: float) -> Feeds:
    """The inputs with every coordinate moved by `by` times its size, or 1 where that is less."""
    aims = aims_of(sites)
    return {
        name: (value + by * np.maximum(np.abs(value), 1)).astype(value.dtype) if name in aims else value
        for name, value in feeds.items()
    }


def largest_gap(found: Mapping[str, Array], references: References) -> float:
    """The largest difference of an engine's outputs from onnxruntime's.

    A value is between the references or as near to one as `LOOSE` allows: on the edge of a window, or between two
    pixels for a nearest read, an ulp decides, and an engine may round coordinates otherwise.

    Raises:
        EngineError: An output has another shape, or more values than `STRAYS` are off.
    """
    worst = 0.0
    for name, wanted in references.items():
        value = found[name].astype(np.float64)
        if value.shape != wanted[0].shape:
            raise EngineError(f"the engine's '{name}' is {value.shape}, the model's {wanted[0].shape}", "report it")
        low, high = (pick.reduce([each.astype(np.float64) for each in wanted]) for pick in (np.fmin, np.fmax))
        same = (value == low) | (np.isnan(value) & np.isnan(low))
        with np.errstate(invalid="ignore"):  # inf - inf
            gap = np.where(same, 0.0, np.maximum(np.maximum(low - value, value - high), 0.0))
        allowed = LOOSE * max(1.0, float(np.nanmax(np.abs(low), initial=0.0)))
        off = ~(gap <= allowed)
        if off.size and off.mean() > STRAYS:
            raise EngineError(
                f"the engine's '{name}' differs from onnxruntime's: {off.mean():.1%} of it by more than {allowed:.3g}, "
                f"{np.isnan(gap).mean():.1%} is NaN in one of them",
                "build without --fp16 and --bf16, or choose another --lowering, and compare",
            )
        worst = max(worst, float(np.nanmax(gap, initial=0.0)))
    return worst
