"""What looking for samplers costs a model that has none: `python -m bench.recognition_cost [NODES]`.

Models of NODES nodes (20,000 by default) are read, looked through and written by the package, and read and written by
onnx-graphsurgeon alone, in turn; printed are the medians in seconds and what the package adds.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx import TensorProto, helper

from onnxgs_opt import optimize

ROUNDS = 5
WIDTH = 64


def network(count: int, kind: str) -> onnx.ModelProto:
    """Layers of ten nodes with the shape arithmetic that exporters write.

    "plain" has no read; "embedding" starts with a table that is read at the input's numbers, and one for positions;
    "rotary" also reads two tables at one index in every layer and sums them weighted, as language models do.
    """
    rng = np.random.default_rng(0)
    tables = {
        "weight": rng.standard_normal((WIDTH, WIDTH)).astype(np.float32) / WIDTH,
        "bias": np.zeros(WIDTH, np.float32),
        "first": np.array(0, np.int64),
        "axes": np.array([0], np.int64),
        "rest": np.array([-1, WIDTH], np.int64),
        "words": rng.standard_normal((100, WIDTH)).astype(np.float32),
        "places": rng.standard_normal((100, WIDTH)).astype(np.float32),
        "cosines": rng.standard_normal((100, WIDTH)).astype(np.float32),
        "sines": rng.standard_normal((100, WIDTH)).astype(np.float32),
    }
    nodes: list[onnx.NodeProto] = []

    def op(op_type: str, *inputs: str, **attributes: object) -> str:
        name = f"{op_type}_{len(nodes)}"
        nodes.append(helper.make_node(op_type, list(inputs), [name], name, **attributes))
        return name

    x = "x" if kind == "plain" else op("Add", op("Gather", "words", "ids"), op("Gather", "places", "ids"))
    while len(nodes) < count:
        if kind == "rotary":
            cosine, sine = op("Gather", "cosines", "ids"), op("Gather", "sines", "ids")
            x = op("Add", op("Mul", x, cosine), op("Mul", op("Neg", x), sine))
        y = op("Relu", op("Add", op("MatMul", x, "weight"), "bias"))
        size = op("Unsqueeze", op("Gather", op("Shape", y), "first"), "axes")
        y = op("Reshape", y, op("Concat", size, "rest", axis=0))
        x = op("Mul", y, "bias")
    ids = kind != "plain"
    start = helper.make_tensor_value_info(*(("ids", TensorProto.INT64, ["n", "s"]) if ids else _floats()))
    graph = helper.make_graph(
        nodes,
        kind,
        [start],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(array, name) for name, array in tables.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _floats() -> tuple[str, int, list[str | int]]:
    return "x", TensorProto.FLOAT, ["n", "s", WIDTH]


def _graphsurgeon(path: Path, out: Path) -> None:
    onnx.save(gs.export_onnx(gs.import_onnx(onnx.load(path))), out)


def _package(path: Path, out: Path) -> None:
    found = optimize(path, out).report
    assert not found.sites


def _seconds(run: Callable[[Path, Path], None], path: Path, out: Path) -> float:
    start = time.perf_counter()
    run(path, out)
    return time.perf_counter() - start


def main(count: int) -> None:
    """Print a line a model."""
    print(f"{'model':12}{'nodes':>8}{'graphsurgeon':>15}{'onnxgs-opt':>13}{'added':>9}")  # noqa: T201
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder, "in.onnx"), Path(folder, "out.onnx")
        for kind in ("plain", "embedding", "rotary"):
            model = network(count, kind)
            onnx.save(model, path)
            pairs = [[_seconds(run, path, out) for run in (_graphsurgeon, _package)] for _ in range(ROUNDS)]
            alone, whole = (statistics.median(column) for column in zip(*pairs, strict=True))
            size = len(model.graph.node)
            print(f"{kind:12}{size:>8}{alone:>13.2f} s{whole:>11.2f} s{whole - alone:>+7.2f} s")  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
