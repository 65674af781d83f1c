"""The engine of one run: built from its result and, where a GPU is, checked and timed; all of it in the report."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from onnxgs_opt.cuda_driver import has_gpu
from onnxgs_opt.engine import MODULES, Built, EngineOptions, build_engine, load_library
from onnxgs_opt.engine_run import EngineRun
from onnxgs_opt.errors import EngineError
from onnxgs_opt.report import Engine, EngineLayer, EngineTime, Report
from onnxgs_opt.runs import model_runs
from onnxgs_opt.sessions import open_session

Array = np.ndarray[Any, Any]
LOOSE = 0.05
"""What a value may be off by, as a share of the output's largest: TF32 and fp16 are the builder's to use."""
STRAYS = 0.01
"""The share of values that may be further off: a point on a window's edge is in or out by an ulp."""


def add_engine(report: Report, model: ModelProto, origin: Path, output: Path, options: EngineOptions) -> Report:
    """The report with the engine that was built from `model`; with a GPU, also run against onnxruntime and timed.

    Args:
        report: What the run found and did.
        model: The model to build.
        origin: A path in the folder of its external weights.
        output: Where the engine goes.
        options: How to build; its profiles say the shapes of the check.

    Raises:
        UsageError: No builder is installed, or it knows nothing of an option.
        EngineError: It could not build, or the engine computes something else than the model.
    """
    built = build_engine(model, origin, output, replace(options, profiling=True))
    record = Engine(
        path=str(built.path),
        backend=built.backend,
        version=built.version,
        build_s=built.build_s,
        layers=len(built.layers),
        flags=built.flags,
        network=tuple(EngineLayer(layer.name, layer.type) for layer in built.layers),
    )
    if has_gpu() and not options.capabilities:
        record = _measured(record, built, model, origin, options)
    return replace(report, engine=record, timings={**report.timings, "engine": built.build_s})


def _measured(record: Engine, built: Built, model: ModelProto, origin: Path, options: EngineOptions) -> Engine:
    shapes = {name: profile.best for name, profile in options.profiles.items()}
    feeds = next(iter(model_runs(model, {}, shapes, 0))).feeds
    trt = importlib.import_module(MODULES[built.backend])
    logger = trt.Logger(trt.Logger.ERROR)
    trt.init_libnvinfer_plugins(logger, "")
    if options.library is not None:
        load_library(trt, options.library)
    run = EngineRun(trt, logger, built.path.read_bytes(), feeds)
    try:
        worst = _compare(run.outputs(), model, origin, feeds)
        layers, times = run.layer_times(), run.microseconds()
    finally:
        run.close()
    total = sum(layer.microseconds for layer in layers) or 1.0
    rows = tuple(EngineTime(each.name, each.microseconds, round(each.microseconds / total, 4)) for each in layers)
    return replace(record, max_abs=worst, microseconds=round(float(np.median(times)), 2), layer_times=rows)


def _compare(found: Mapping[str, Array], model: ModelProto, origin: Path, feeds: Mapping[str, Array]) -> float:
    """The largest difference from onnxruntime.

    Raises:
        EngineError: More values than strays are off.
    """
    session = open_session(model, origin.absolute().parent)
    names = [output.name for output in session.get_outputs()]
    worst = 0.0
    for name, wanted in zip(names, session.run(names, dict(feeds)), strict=True):
        if found[name].shape != wanted.shape:
            raise EngineError(f"the engine's '{name}' is {found[name].shape}, the model's {wanted.shape}", "report it")
        gap = np.abs(found[name].astype(np.float64) - wanted.astype(np.float64))
        allowed = LOOSE * max(1.0, float(np.abs(wanted).max(initial=0.0)))
        if gap.size and not (gap > allowed).mean() + np.isnan(gap).mean() <= STRAYS:
            raise EngineError(
                f"the engine's '{name}' differs from onnxruntime's by up to {np.nanmax(gap):.3g}",
                "build without --fp16 and --bf16, or choose another --lowering, and compare",
            )
        worst = max(worst, float(gap.max(initial=0.0)))
    return worst
