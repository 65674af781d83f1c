"""Engines of the exported model and of each lowering, timed in one run on the GPU that is here.

    python -m bench.tensorrt.engines MODELS OUT.json --library libonnxgs_plugin.so [--case a]... [--no-external]

MODELS has CASE.onnx (inputs img and grid, static, one output) and CASE.LOWERING.onnx for each case and lowering.
Every engine gets the same smooth and random grids; rounds are interleaved, the median is kept.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from onnxgs_opt.runtime.tensorrt.build import MODULES, Built, EngineOptions, build_engine, choose_backend
from onnxgs_opt.runtime.tensorrt.session import EngineRun

ROUNDS = 5
EXPORTED = "exported"


def grids(shape: Sequence[int]) -> dict[str, Any]:
    """Pixel coordinates: a gently waved identity, and points anywhere within a pixel of the image."""
    n, h, w, _ = shape
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    wave = np.stack([x + 3.3 * np.sin(y * 0.02) + 0.37, y + 2.7 * np.cos(x * 0.015) + 0.21], axis=-1)
    rng = np.random.default_rng(0)
    scattered = rng.uniform(-1, 1, (n, h, w, 2)) * (np.array([w, h]) / 2) + np.array([w - 1, h - 1]) / 2
    smooth = np.ascontiguousarray(np.broadcast_to(wave, (n, h, w, 2)), np.float32)
    return {"smooth": smooth, "random": scattered.astype(np.float32)}


def main() -> int:
    """Measure what the command line names and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--library", type=Path)
    parser.add_argument("--case", action="append", dest="cases")
    parser.add_argument("--no-external", action="store_true", help="do not let the builder try cuDNN and cuBLAS")
    parser.add_argument("--jobs", type=int, default=1, help="engines of lowerings to build at a time")
    parser.add_argument("--onnxruntime", action="store_true", help="compare with onnxruntime too")
    args = parser.parse_args()
    backend = choose_backend(None)
    trt = importlib.import_module(MODULES[backend])
    options = EngineOptions(backend, library=args.library, profiling=True, external_tactics=not args.no_external)
    logger = trt.Logger(trt.Logger.ERROR)
    trt.init_libnvinfer_plugins(logger, "")
    if args.library is not None:
        trt.get_plugin_registry().load_library(str(args.library.absolute()))
    cases = args.cases or sorted(p.stem for p in args.models.glob("*.onnx") if "." not in p.stem)
    built = {case: build(args.models, case, options, args.jobs) for case in cases}
    rows = [row for case in cases for row in measure(trt, logger, args.models, case, built[case], args.onnxruntime)]
    record = {"date": time.strftime("%Y-%m-%d"), "tensorrt": trt.__version__, "python": platform.python_version()}
    args.output.write_text(json.dumps(record | {"rows": rows}, indent=1) + "\n", encoding="utf-8")
    return 0


def build(models: Path, case: str, options: EngineOptions, jobs: int) -> dict[str, Built]:
    """The engine of the exported model, built alone, then those of its lowerings; what does not build is named."""
    variants = {EXPORTED: models / f"{case}.onnx"}
    variants |= {p.name.split(".")[1]: p for p in sorted(models.glob(f"{case}.*.onnx"))}

    def engine(name: str) -> Built | None:
        path = variants[name]
        try:
            return build_engine(onnx.load(path), path, models / f"{case}.{name}.engine", options)
        except Exception as error:
            sys.stdout.write(f"{case} {name}: {error}\n")
            return None

    engines = {EXPORTED: engine(EXPORTED)}
    with ThreadPoolExecutor(jobs) as pool:
        others = [name for name in variants if name != EXPORTED]
        engines |= dict(zip(others, pool.map(engine, others), strict=True))
    return {name: built for name, built in engines.items() if built is not None}


def measure(
    trt: Any, logger: Any, models: Path, case: str, engines: dict[str, Built], with_ort: bool
) -> list[dict[str, Any]]:
    """Check every engine of a case against the exported model's, and time them in turn."""
    exported = models / f"{case}.onnx"
    inputs = onnx.load(exported).graph.input
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in inputs}
    image = np.random.default_rng(1).standard_normal(shapes["img"], np.float32)
    rows = []
    for kind, grid in grids(shapes["grid"]).items():
        feeds = {"img": image, "grid": grid}
        wanted = _onnxruntime(exported, feeds) if with_ort else None
        runs = {name: EngineRun(trt, logger, built.path.read_bytes(), feeds) for name, built in engines.items()}
        found = {name: next(iter(run.outputs().values())) for name, run in runs.items()}
        wanted = found[EXPORTED] if wanted is None else wanted
        times: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(ROUNDS):
            for name, run in runs.items():
                times[name] += run.microseconds(7)
        for name, run in runs.items():
            row = {
                "case": case,
                "grid": kind,
                "lowering": name,
                "us": round(statistics.median(times[name]), 2),
                "spread_us": round(float(np.subtract(*np.percentile(times[name], [75, 25]))), 2),
                "max_abs": float(np.nanmax(np.abs(found[name] - wanted))) if not np.isnan(found[name]).any() else "nan",
                "against": "onnxruntime" if with_ort else EXPORTED,
                "engine_layers": run.layers,
                "build_s": engines[name].build_s,
                "layers": [[layer.name, layer.microseconds] for layer in run.layer_times()[:6]],
            }
            row["ratio"] = round(statistics.median(times[EXPORTED]) / row["us"], 2) if EXPORTED in times else None
            rows.append(row)
            sys.stdout.write(
                f"{case:4}{kind:8}{name:14}{row['us']:10.2f} us  x{row['ratio']}  error {row['max_abs']:.2e}"
                f"  layers {run.layers}\n"
            )
            sys.stdout.flush()
            run.close()
    return rows


def _onnxruntime(path: Path, feeds: dict[str, Any]) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0]


if __name__ == "__main__":
    sys.exit(main())
