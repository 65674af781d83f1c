"""Models that are large: 2.25 GiB of weights in other files, made as holes that take no disk, and many nodes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import onnx
from onnx import ModelProto, TensorProto, helper

from tests.campaigns.reliability.corpus import seeds

WEIGHTS = 9 << 28
"""2.25 GiB."""
ROWS = 1 << 16


def with_weights(path: Path, size: int = WEIGHTS, files: int = 1) -> Path:
    """Write a model of one sampler, and of matrices of `size` bytes in all, in as many other files as told.

    The files hold zeros: the system stores none of them.
    """
    model = ModelProto.FromString(seeds()["sampler-interior"])
    part = size // files // ROWS // 4 * ROWS * 4
    for k in range(files):
        location = f"{path.stem}.{k}.weights"
        with (path.parent / location).open("wb") as file:
            file.truncate(part)
        _add_layer(model, k, location, part)
    onnx.save(model, path)
    return path


def _add_layer(model: ModelProto, k: int, location: str, size: int) -> None:
    """A matrix of `size` bytes in a file, and what multiplies by it."""
    columns = size // ROWS // 4
    weight = TensorProto(name=f"big{k}", data_type=TensorProto.FLOAT, dims=[ROWS, columns])
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(size))):
        weight.external_data.add(key=key, value=value)
    graph = model.graph
    graph.initializer.append(weight)
    graph.input.append(helper.make_tensor_value_info(f"tokens{k}", TensorProto.FLOAT, ["n", ROWS]))
    graph.node.append(helper.make_node("MatMul", [f"tokens{k}", weight.name], [f"features{k}"], f"matmul{k}"))
    graph.output.append(helper.make_tensor_value_info(f"features{k}", TensorProto.FLOAT, ["n", columns]))


@dataclass(frozen=True)
class Cost:
    """What one run of the command took: its exit code, wall time, processor time and peak resident memory."""

    code: int
    seconds: float
    cpu_seconds: float
    peak_mb: float


MEASURE = """
import json, os, subprocess, sys, time
start = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
seconds = time.perf_counter() - start
cpu = usage.ru_utime + usage.ru_stime
print(json.dumps([os.waitstatus_to_exitcode(status), seconds, cpu, usage.ru_maxrss / 1024]))
"""
"""Runs a command from a small process: the peak of a child is never below that of the process it was forked from."""


def cost(*arguments: str | Path) -> Cost:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "onnxgs_opt", *map(str, arguments)]
    done = subprocess.run([sys.executable, "-c", MEASURE, *command], capture_output=True, text=True, check=True)
    return Cost(*json.loads(done.stdout))


def main(folder: Path, runs: int = 5) -> list[dict[str, object]]:
    """Optimise models with 2.25 GiB of weights, beside the model and into another folder, several times."""
    rows: list[dict[str, object]] = []
    for files in (1, 24):
        model = with_weights(folder / f"model{files}.onnx", files=files)
        for where in ("the same folder", "another folder"):
            out = folder / ("" if where == "the same folder" else f"other{files}") / f"out{files}.onnx"
            out.parent.mkdir(exist_ok=True)
            found = []
            for _ in range(runs):
                found.append(cost(model, out, "--no-validate"))
                for path in out.parent.iterdir() if out.parent != folder else [out]:
                    path.unlink()
            found.sort(key=lambda c: c.seconds)
            rows.append({"files": files, "where": where, "runs": [asdict(c) for c in found]})
    return rows


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        for row in main(Path(name)):
            sys.stdout.write(json.dumps(row) + "\n")
