"""Every row of a case in turn, so that all ratios are of one run."""

from __future__ import annotations

import datetime
import importlib.util
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import ModelProto

from bench.cases import Row, feeds, normalised, rows
from onnxgs_opt.runtime import runtime_of
from onnxgs_opt.runtime.timing import race

KINDS = {False: "random", True: "smooth"}
PACKAGES = ("onnxgs-opt", "onnxruntime", "onnxruntime-gpu", "openvino", "MNN", "torch", "onnxsim", "onnxslim")


def measure(
    case: str, target: str, budget_s: float, say: Callable[[str], None], only: Sequence[str] = (), clock: str = "wall"
) -> dict[str, Any]:
    """One case as a record: for every row its times, ratios to the exported model and largest difference from it.

    `clock` is "wall", or "cpu" for what all threads of the process take, which others on the machine change less.
    """
    with_torch = importlib.util.find_spec("torch") is not None
    found = list(rows(case, target, with_torch, only))
    record: dict[str, Any] = {row.name: {"note": row.note} for row in found}
    for smooth, kind in KINDS.items():
        inputs = feeds(case, smooth)
        calls: dict[str, Callable[[], object]] = {}
        for row in found:
            try:
                call = _call(row, normalised(inputs) if row.normalised else inputs, target)
                call = call if clock == "wall" else CpuTime(call)
                call(), call()
            except Exception as reason:  # a row that does not run is a row that says so
                record[row.name]["note"] = f"does not run: {str(reason).splitlines()[0][:200]}"
                continue
            calls[row.name] = call
        _add_errors(record, found, inputs, kind, target)
        result = race(calls, budget_s)
        for name in calls:
            record[name][kind] = {
                "median_ms": result.median_ms(name),
                "spread": result.spread(name),
                "ratio": result.ratio("exported", name),
                "rounds": len(result.seconds[name]),
            }
            say(f"  {case} {kind} {name}: {result.median_ms(name):.3f} ms, {result.ratio('exported', name):.2f}x")
    return record


@dataclass(frozen=True)
class CpuTime:
    """A call that is timed by what the process takes of its processors."""

    call: Callable[[], object]

    def __call__(self) -> object:
        """Run once."""
        return self.call()

    def seconds(self, calls: int) -> float:
        """The mean of some."""
        start = time.process_time()
        for _ in range(calls):
            self.call()
        return (time.process_time() - start) / calls


def header(target: str, machine: str, command: Sequence[str]) -> dict[str, Any]:
    """What a reader has to know of a run."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "machine": machine,
        "target": target,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {**versions, "onnxruntime": ort.__version__},
        "command": " ".join(command),
    }


def _call(row: Row, inputs: dict[str, Any], target: str) -> Callable[[], object]:
    if row.model is not None:
        return runtime_of(target).prepare(row.model, inputs, custom_ops=row.libraries)
    if row.sampler:
        return _torch_call(row.sampler, inputs, "cuda" if target == "ort-cuda" else "cpu")
    raise ValueError(row.note or "there is no model")


def _torch_call(name: str, inputs: dict[str, Any], device: str) -> Callable[[], object]:
    import torch

    from bench import sampler

    model = sampler.Sampler().eval().to(device)
    function = {"eager": model, "compile": torch.compile(model), "grid_sample": sampler.grid_sample}[name]
    image, grid = (torch.from_numpy(inputs[key]).to(device) for key in ("image", "grid"))

    def call() -> object:
        with torch.inference_mode():
            result = function(image, grid)
        if device == "cuda":
            torch.cuda.synchronize()
        return result

    return call


def _add_errors(record: dict[str, Any], found: Sequence[Row], inputs: dict[str, Any], kind: str, target: str) -> None:
    """The largest difference on the target from the exported model on the CPU, for all that is ONNX."""
    reference = None
    for row in found:
        if row.model is None or row.normalised or "does not run" in record[row.name]["note"]:
            continue
        result = result_of(row.model, inputs, target, row.libraries)
        if reference is None:  # the first row is the exported model
            reference = result if target == "ort-cpu" else result_of(row.model, inputs, "ort-cpu")
        record[row.name][f"error_{kind}"] = float(np.abs(result - reference).max())


def result_of(model: ModelProto, inputs: dict[str, Any], target: str, libraries: Sequence[str] = ()) -> Any:
    """The first output of a model in a target."""
    loaded = runtime_of(target).load(model, custom_ops=libraries)
    return loaded.run([model.graph.output[0].name], inputs)[0]
