"""The native operator on a CUDA device beside the exported model and GridSample, in turn.

python -m bench.native_cuda MODELS LIBRARY OUT.json: MODELS holds CASE.plugin.onnx and CASE.grid-sample.onnx, made of
bench/models; LIBRARY is what onnxgs_ops.get_library_path() names where CUDA's compiler was found. Inputs and outputs
are on the device.
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from bench.cases import MODELS, SIZES, feeds
from onnxgs_opt.runtime import RUNTIMES
from onnxgs_opt.runtime.timing import race

BUDGET_S = 2.0
CUDA = RUNTIMES["ort-cuda"]


def main(models: Path, library: Path, out: Path) -> int:
    """Measure every case; print a line each and write the record."""
    record: dict[str, Any] = {"machine": gpu(), "onnxruntime": ort.__version__, "python": platform.python_version()}
    for case in SIZES:
        for kind in ("random", "smooth"):
            record[f"{case} {kind}"] = row = measure(case, kind, models, str(library))
            sys.stdout.write(f"{case} {kind}: {json.dumps(row)}\n")
            sys.stdout.flush()
    out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0


def measure(case: str, kind: str, models: Path, library: str) -> dict[str, float]:
    """Microseconds of each form, the exported form's ratio to it, and the operator's largest difference from that."""
    inputs = feeds(case, kind == "smooth")
    exported, plugin = onnx.load(MODELS / f"{case}.onnx"), onnx.load(models / f"{case}.plugin.onnx")
    calls = {
        "exported": CUDA.prepare(exported, inputs),
        "grid-sample": CUDA.prepare(onnx.load(models / f"{case}.grid-sample.onnx"), inputs),
        "body": CUDA.prepare(plugin, inputs),
        "operator": CUDA.prepare(plugin, inputs, custom_ops=(library,)),
    }
    for call in calls.values():
        call(), call()
    result = race(calls, BUDGET_S)
    row = {f"{name} us": round(1e3 * result.median_ms(name), 1) for name in calls}
    row |= {f"{name} ratio": round(result.ratio("exported", name), 2) for name in calls if name != "exported"}
    return row | {"max_abs": worst(exported, plugin, inputs, library)}


def worst(exported: onnx.ModelProto, plugin: onnx.ModelProto, inputs: dict[str, Any], library: str) -> float:
    """The largest difference between the operator on the device and the exported model there."""
    options = ort.SessionOptions()
    options.register_custom_ops_library(library)
    providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    wanted = ort.InferenceSession(exported.SerializeToString(), providers=providers).run(None, inputs)
    found = ort.InferenceSession(plugin.SerializeToString(), options, providers=providers).run(None, inputs)
    return max(float(np.abs(a.astype(np.float64) - b).max()) for a, b in zip(wanted, found, strict=True))


def gpu() -> str:
    """Name and driver of the device; "" on a machine without one."""
    if shutil.which("nvidia-smi") is None:
        return ""
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:4])))
