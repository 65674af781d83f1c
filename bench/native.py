"""`python -m bench.native LIBRARY`: the native operators beside all that samples, one row a process, run in turn.

Rows: the exported model; the fastest of the ONNX spellings that auto knows; the model that `--ops` writes; one node
without its mask, beside OpenVINO's GridSample node and torch's grid_sample, on the same normalised points; and the
memory floor, a copy of as many bytes as the model must read and write. Each process keeps its own threads, so that one
runtime's threads, which wait busily, do not slow another's; the parent asks each in turn for one run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.cases import KERNELS, MODELS, OF_KERNELS, SIZES, feeds

CASES = ("1x1x1080x1920", "1x3x1080x1920", "1x64x135x240", "4x256x64x64")
OF_OTHERS = tuple(f"{kernel}-{case}" for kernel, case in product(KERNELS, OF_KERNELS))
NODES = {
    "": "BilinearSample <",
    "nearest": "NearestSample <kernel: int = 2, ",
    "cubic": "CubicSample <kernel: int = 6, ",
}
MODES = {"": "bilinear", "nearest": "nearest", "cubic": "bicubic"}
"""By the kernel in a case's name: the node of that kernel, and the mode of GridSample."""

ROWS = ("exported", "spelling", "ops", "node", "openvino", "torch", "floor")
PAUSE_S = 0.004
Inputs = dict[str, Any]


def main() -> int:
    """Run the command line; without --row it starts a process for every row."""
    parser = argparse.ArgumentParser(prog="python -m bench.native", description=__doc__)
    parser.add_argument("library", type=Path, help="the library of onnxgs-ops")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--cases", nargs="+", choices=(*SIZES, *OF_OTHERS), default=[*CASES, *OF_OTHERS])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--python", nargs="+", default=[], metavar="ROW=FILE", help="a row's own interpreter")
    parser.add_argument("--machine", default="this machine")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--row", nargs=3, metavar=("ROW", "CASE", "KIND"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        return _serve(*options.row, options.library, options.threads)
    result: dict[str, Any] = {"command": sys.argv[1:], "machine": options.machine, "threads": options.threads}
    for case in options.cases:
        for kind in ("random", "smooth"):
            result[f"{case} {kind}"] = _raced(case, kind, options)
            sys.stdout.write(f"{case} {kind}: {json.dumps(result[f'{case} {kind}'])}\n")
            sys.stdout.flush()
            if options.out:
                options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


def _raced(case: str, kind: str, options: argparse.Namespace) -> dict[str, Any]:
    """By row: milliseconds, and medians over the rounds of the ratios to other rows."""
    pythons = dict(each.split("=", 1) for each in options.python)
    command = ["-m", "bench.native", str(options.library), "--threads", str(options.threads), "--row"]
    processes = {
        row: subprocess.Popen(
            [pythons.get(row, sys.executable), *command, row, case, kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for row in options.rows
    }
    for process in processes.values():
        _ask(process)  # ready, and warm
    rounds: dict[str, list[list[float]]] = {row: [] for row in processes}
    for _ in range(options.rounds):
        for row, process in processes.items():
            rounds[row].append([float(value) for value in _ask(process).split()])
            time.sleep(PAUSE_S)
    for process in processes.values():
        process.communicate()
    ran = {row: np.array(values) for row, values in rounds.items() if all(len(each) == 2 for each in values)}
    return {row: _summary(values, ran) for row, values in ran.items()}


def _summary(values: Any, ran: dict[str, Any]) -> dict[str, float]:
    """`values`: wall and processor milliseconds of every round."""
    found = {"median_ms": median(values[:, 0]), "least_ms": min(values[:, 0]), "cpu_ms": median(values[:, 1])}
    for k, clock in enumerate(("", " cpu")):
        for row in ("exported", "spelling"):
            if row in ran:
                found[f"{row} / it{clock}"] = median(ran[row][:, k] / values[:, k])
        if "floor" in ran:
            found[f"it / floor{clock}"] = median(values[:, k] / ran["floor"][:, k])
    return {name: round(float(value), 2) for name, value in found.items()}


def _ask(process: subprocess.Popen[str]) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return process.stdout.readline()


def _serve(row: str, case: str, kind: str, library: Path, threads: int) -> int:
    """A row's process: for every line of input, one run, and its milliseconds of wall and processor time."""
    inputs = feeds(case, kind == "smooth")
    call = _MAKERS[row](case, inputs, library, threads)
    call(), call()
    for _ in sys.stdin:
        start, used = time.perf_counter(), time.process_time()
        call()
        sys.stdout.write(f"{1e3 * (time.perf_counter() - start)} {1e3 * (time.process_time() - used)}\n")
        sys.stdout.flush()
    return 0


def _exported(case: str, inputs: Inputs, library: Path, threads: int) -> Callable[[], object]:
    return _session((MODELS / f"{case}.onnx").read_bytes(), inputs, None, threads)


def _spelling(case: str, inputs: Inputs, library: Path, threads: int) -> Callable[[], object]:
    """Of other kernels nothing is recorded: what is fastest is checked and measured first."""
    return _session(_optimised(case, validate=bool(_kernel(case))), inputs, None, threads)


def _ops(case: str, inputs: Inputs, library: Path, threads: int) -> Callable[[], object]:
    return _session(_optimised(case, lowering="plugin"), inputs, library, threads)


def _optimised(case: str, **options: Any) -> bytes:
    import onnx

    from onnxgs_opt import optimize

    result = optimize(onnx.load(MODELS / f"{case}.onnx"), **{"validate": False, **options})
    made: bytes = result.model.SerializeToString()
    return made


def _node(case: str, inputs: Inputs, library: Path, threads: int) -> Callable[[], object]:
    from onnx import parser

    text = f"""<ir_version: 8, opset_import: ["": 17, "onnxgs": 2]>
    g (float[N, C, H, W] image, float[N, P, Q, 2] grid) => (float[N, C, P, Q] samples)
    {{ samples = onnxgs.{NODES[_kernel(case)]}coordinates: int = 2> (image, grid) }}"""
    return _session(parser.parse_model(text).SerializeToString(), _normalised(inputs), library, threads)


def _session(model: bytes, inputs: Inputs, library: Path | None, threads: int) -> Callable[[], object]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if library is not None:
        options.register_custom_ops_library(str(library))
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, inputs)


def _openvino(case: str, inputs: Inputs, library: Path, threads: int) -> Callable[[], object]:
    import openvino
    from openvino import opset9

    image, grid = (opset9.parameter(inputs[name].shape, np.float32) for name in ("image", "grid"))
    node = opset9.grid_sample(
        image, grid, {"align_corners": True, "mode": MODES[_kernel(case)], "padding_mode": "zeros"}
    )
    # The node is timed, not a conversion of its results: precision as in the other rows.
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}
    compiled = openvino.Core().compile_model(openvino.Model([node], [image, grid]), "CPU", settings)
    request, tensors = compiled.create_infer_request(), list(_normalised(inputs).values())
    return lambda: request.infer(tensors, share_inputs=True, share_outputs=True)


def _torch(case: str, inputs: Inputs, library: Path, threads: int) -> Callable[[], object]:
    import torch

    torch.set_num_threads(threads)
    image, grid = (torch.from_numpy(value) for value in _normalised(inputs).values())

    def call() -> object:
        with torch.inference_mode():
            return torch.nn.functional.grid_sample(image, grid, MODES[_kernel(case)], _border(case), True)

    return call


def _floor(case: str, inputs: Inputs, library: Path, threads: int) -> Callable[[], object]:
    """Half of what image, grid, samples and mask have together is read, half written, by as many threads."""
    image, grid = (value.nbytes for value in inputs.values())
    half = (2 * image + grid + grid // 2) // 2 // threads
    parts = [(np.zeros(half, np.uint8), np.ones(half, np.uint8)) for _ in range(threads)]

    def call() -> object:
        others = [threading.Thread(target=np.copyto, args=part) for part in parts[1:]]
        for other in others:
            other.start()
        np.copyto(*parts[0])
        return [other.join() for other in others]

    return call


def _kernel(case: str) -> str:
    return case.rpartition("-")[0]


def _border(case: str) -> str:
    return "border" if _kernel(case) == "cubic" else "zeros"


def _normalised(inputs: Inputs) -> Inputs:
    height, width = inputs["image"].shape[2:]
    half = np.array([width - 1, height - 1], np.float32) / 2
    return {"image": inputs["image"], "grid": np.ascontiguousarray(inputs["grid"] / half - 1, np.float32)}


_MAKERS: dict[str, Callable[[str, Inputs, Path, int], Callable[[], object]]] = {
    "exported": _exported,
    "spelling": _spelling,
    "ops": _ops,
    "node": _node,
    "openvino": _openvino,
    "torch": _torch,
    "floor": _floor,
}

if __name__ == "__main__":
    sys.exit(main())
