"""The engine of one run: built from its result and, where a GPU is, checked and timed; all of it in the report.

There the model as it came is built as well, and both engines are timed in turn on the same inputs.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from onnx import ModelProto

from onnxgs_opt.errors import EngineError, OptError
from onnxgs_opt.files.atomic import write_whole
from onnxgs_opt.runtime.ort import open_session
from onnxgs_opt.runtime.tensorrt.build import MODULES, Built, EngineOptions, build_engine, load_library
from onnxgs_opt.runtime.tensorrt.cuda_driver import has_gpu
from onnxgs_opt.runtime.tensorrt.engine import Engine, EngineBefore
from onnxgs_opt.runtime.tensorrt.session import EngineRun
from onnxgs_opt.samplers.site import Site
from onnxgs_opt.validation.boundary_values import coordinates_of
from onnxgs_opt.validation.inputs import ModelInputs

Array = np.ndarray[Any, Any]
Feeds = Mapping[str, Array]
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

    `origin` is a path in the folder of the external weights; `sites` are those of `before`, for aiming.
    """

    model: ModelProto
    before: ModelProto | None
    origin: Path
    inputs: Feeds | None = None
    sites: Sequence[Site] = ()


def checked_engine(task: Task, output: Path, options: EngineOptions) -> tuple[Engine, float]:
    """The engine of `task.model` and the seconds of its build; with a GPU, also run against onnxruntime and timed.

    Args:
        task: What to build.
        output: Where the engine goes.
        options: How to build; its profiles say the shapes of the check.

    Raises:
        UsageError: No builder is installed, or it knows nothing of an option.
        EngineError: It could not build, or the engine computes something else than the model.
    """
    with tempfile.TemporaryDirectory(prefix="onnxgs-") as folder:
        built = build_engine(task.model, task.origin, Path(folder) / "engine", replace(options, profiling=True))
        record = _record(built, output, task, options)
        write_whole(output, built.path.read_bytes())
    return record, built.build_s


def _record(built: Built, output: Path, task: Task, options: EngineOptions) -> Engine:
    record = Engine(
        path=str(output),
        backend=built.backend,
        version=built.version,
        build_s=built.build_s,
        layers=len(built.layers),
        flags=built.flags,
        network=built.layers,
    )
    if has_gpu() and not options.capabilities:
        return _measured(record, built, task, options)
    return record


def _measured(record: Engine, built: Built, task: Task, options: EngineOptions) -> Engine:
    """The record with what running the engine showed, and the engine of the model as it came beside it."""
    trt = importlib.import_module(MODULES[built.backend])
    logger = trt.Logger(trt.Logger.ERROR)
    trt.init_libnvinfer_plugins(logger, "")
    if options.library is not None:
        load_library(trt, options.library)
    checks = tuple(_checks(task, options))
    with ExitStack() as stack:
        worst = 0.0
        for feeds, references in checks:
            engine = stack.enter_context(closing(EngineRun(trt, logger, built.path.read_bytes(), feeds)))
            worst = max(worst, compare(engine.outputs(), references))
        engines = {"after": engine}
        problem = None
        if task.before is not None:
            try:
                engines["before"] = stack.enter_context(closing(_before(trt, logger, task, options, checks[-1][0])))
            except OptError as error:
                problem = f"the model as it came: {error}"
        times: dict[str, list[float]] = {name: [] for name in engines}
        for _ in range(ROUNDS):
            for name, each in engines.items():
                times[name] += each.microseconds(7)
        timed = {
            name: EngineBefore(None, round(median(times[name]), 2), each.layer_times())
            for name, each in engines.items()
        }
    before = EngineBefore(problem) if problem else timed.get("before")
    after = timed["after"]
    return replace(record, max_abs=worst, microseconds=after.microseconds, layer_times=after.layer_times, before=before)


def _before(trt: Any, logger: Any, task: Task, options: EngineOptions, feeds: Feeds) -> EngineRun:
    """The engine of the model as it came, with the same options; it is not kept."""
    assert task.before is not None
    with tempfile.TemporaryDirectory(prefix="onnxgs-") as folder:
        wanted = replace(options, profiling=True)
        built = build_engine(task.before, task.origin, Path(folder) / "before.engine", wanted)
        return EngineRun(trt, logger, built.path.read_bytes(), feeds)


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
    aims = coordinates_of(sites)
    return {
        name: (value + by * np.maximum(np.abs(value), 1)).astype(value.dtype) if name in aims else value
        for name, value in feeds.items()
    }


def compare(found: Mapping[str, Array], references: References) -> float:
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
