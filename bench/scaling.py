"""What a site costs where a model has many, and what large or twisted models cost: `python -m bench.scaling`.

Each figure is a process of its own: CPU seconds and the largest memory of reading a model, looking through it, writing
the result and, with "validate", checking it. A site's cost is what it adds to a model that has one: (N - 1) of them.
With `--beside CHECKOUT` every figure is taken of that checkout's package too, in turn. Raw results go to bench/results.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from bench.recognition_cost import network

ROOT = Path(__file__).parents[1]
CHILD = """
import gc, json, resource, sys
gc.set_threshold(100_000, 50, 50)  # as the command does
from onnxgs_opt import optimize
path, out, validate = sys.argv[1:]
report = optimize(path, out, measure=False, validate=validate == "yes").report
used = resource.getrusage(resource.RUSAGE_SELF)
most = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))  # of this program alone
sites = sum(site.lowering != "keep" for site in report.sites)
print(json.dumps({"cpu": used.ru_utime + used.ru_stime, "mb": int(most.split()[1]) / 1024, "sites": sites}))
"""


class Writer:
    """Nodes and constants of a model that is being written, each with a name of its own."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.nodes: list[onnx.NodeProto] = []
        self.stored: dict[str, onnx.TensorProto] = {}

    def op(self, op_type: str, *inputs: str | Any, **attributes: object) -> str:
        """Write a node; numbers and arrays among its inputs become constants."""
        name = f"{op_type}_{len(self.nodes)}"
        names = [i if isinstance(i, str) else self._constant(np.asarray(i)) for i in inputs]
        self.nodes.append(helper.make_node(op_type, names, [name], name, **attributes))
        return name

    def _constant(self, value: np.ndarray[Any, Any]) -> str:
        value = value.astype(np.float32) if value.dtype == np.float64 else value
        name = f"c_{value.dtype}_{'x'.join(map(str, value.shape))}_{value.tolist()}"
        self.stored.setdefault(name, onnx.numpy_helper.from_array(value, name))
        return name

    def model(self, inputs: dict[str, Sequence[str | int]], outputs: Sequence[str]) -> onnx.ModelProto:
        """The model of these float inputs."""
        graph = helper.make_graph(
            self.nodes,
            "scaling",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            list(self.stored.values()),
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def read(self, image: str, x: str, y: str, weight: str) -> str:
        """A pixel with its weight, of an image as [N, C, H*W]; an index beside the image is the nearest inside."""
        height, width = (self.op("Gather", self.op("Shape", image), np.int64(axis), axis=0) for axis in (2, 3))
        places = []
        for at, size in ((x, width), (y, height)):
            last = self.op("Sub", self.op("Cast", size, to=TensorProto.FLOAT), 1.0)
            places.append(self.op("Cast", self.op("Min", self.op("Max", at, 0.0), last), to=TensorProto.INT64))
        line = self.op("Reshape", image, np.array([0, 0, -1]))
        index = self.op("Reshape", self.op("Add", self.op("Mul", places[1], width), places[0]), np.array([0, 1, -1]))
        channels = self.op("Slice", self.op("Shape", image), np.array([1]), np.array([2]))
        index = self.op("Expand", index, self.op("Concat", np.array([1]), channels, np.array([1]), axis=0))
        pixel = self.op("GatherElements", line, index, axis=2)
        return self.op("Mul", pixel, self.op("Reshape", weight, np.array([0, 1, -1])))

    def sampler(self, image: str, x: str, y: str) -> str:
        """A bilinear sampler as exporters write it, four reads of a border that goes on."""
        ends = []
        for p in (x, y):
            low = self.op("Floor", p)
            part = self.op("Sub", p, low)
            ends.append(((low, self.op("Sub", 1.0, part)), (self.op("Add", low, 1.0), part)))
        terms = [self.read(image, i, j, self.op("Mul", v, u)) for j, v in ends[1] for i, u in ends[0]]
        total = self.op("Add", self.op("Add", terms[0], terms[1]), self.op("Add", terms[2], terms[3]))
        size = self.op("Slice", self.op("Shape", x), np.array([1]), np.array([3]))
        return self.op("Reshape", total, self.op("Concat", np.array([0, 0]), size, axis=0))


def side_by_side(count: int, dynamic: bool = True) -> onnx.ModelProto:
    """Samplers of one image, each at its own points."""
    writer = Writer()
    image, points = (["N", "C", "H", "W"], ["N", "P", "Q"]) if dynamic else ([1, 3, 24, 32], [1, 10, 12])
    inputs: dict[str, Any] = {"image": image}
    outputs = []
    for k in range(count):
        x, y = f"x{k}", f"y{k}"
        inputs |= {x: points, y: points}
        outputs.append(writer.sampler("image", x, y))
    return writer.model(inputs, outputs)


def nested_where(depth: int) -> onnx.ModelProto:
    """A sampler whose x goes through `depth` conditions, each on what the one before left."""
    writer = Writer()
    x = "x"
    for k in range(depth):
        above = writer.op("Greater", x, k + 0.5)
        x = writer.op("Where", above, writer.op("Min", x, 40.0 + k), writer.op("Max", x, -40.0 - k))
    return writer.model({"image": [1, 1, 32, 32], "x": [1, 4, 4], "y": [1, 4, 4]}, [writer.sampler("image", x, "y")])


def equalised(tiles: int = 8, bins: int = 256, height: int = 32, width: int = 40) -> onnx.ModelProto:
    """Contrast-limited equalisation: each pixel is looked up in the tables of the four tiles around it, for each tile.

    The weights hang on the pixel's place alone; the reads hang on its value, which is one coordinate and not two.
    """
    writer = Writer()
    value = writer.op("Cast", writer.op("Clip", writer.op("Mul", "image", bins - 1.0), 0.0, bins - 1.0), to=7)
    line = writer.op("Reshape", value, np.array([-1]))
    total = ""
    for j in range(tiles):
        for i in range(tiles):
            terms = [_looked_up(writer, line, j + b, i + a, tiles) for b in (0, 1) for a in (0, 1)]
            tile = writer.op("Add", writer.op("Add", *terms[:2]), writer.op("Add", *terms[2:]))
            total = writer.op("Add", total, tile) if total else tile
    out = writer.op("Reshape", total, np.array([1, 1, height, width]))
    return writer.model({"image": [1, 1, height, width], "tables": [tiles + 1, tiles + 1, bins]}, [out])


def _looked_up(writer: Writer, line: str, row: int, column: int, tiles: int) -> str:
    table = writer.op("Gather", writer.op("Gather", "tables", np.int64(row), axis=0), np.int64(column), axis=0)
    weight = (row + 1) * (column + 1) / (tiles + 1) ** 2
    return writer.op("Mul", writer.op("Gather", table, line, axis=0), weight)


def measured(model: onnx.ModelProto, validate: bool, checkout: Path) -> dict[str, float]:
    """CPU seconds, MB and lowered sites of one run in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "in.onnx")
        onnx.save(model, path)
        words = [sys.executable, "-c", CHILD, str(path), str(Path(folder, "out.onnx")), "yes" if validate else "no"]
        environment = {**os.environ, "PYTHONPATH": str(checkout)}
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def cases(counts: Sequence[int], nodes: int) -> Iterator[tuple[str, Callable[[], onnx.ModelProto], bool]]:
    """A name, what makes the model, and whether the run is checked."""
    for validate in (False, True):
        for count in counts:
            name = f"{count} samplers{', validate' * validate}"
            yield name, lambda count=count: side_by_side(count), validate  # type: ignore[misc]
    if nodes:
        for kind in ("plain", "rotary"):
            yield f"{nodes} nodes, {kind}", lambda kind=kind: network(nodes, kind), False  # type: ignore[misc]
        yield "nested Where of depth 64", lambda: nested_where(64), True
        yield "contrast-limited equalisation", equalised, True


def per_site(results: dict[str, dict[str, float]], counts: Sequence[int]) -> Iterator[tuple[str, float, float]]:
    """What a site adds, as (case, CPU milliseconds, kB), to a model of the fewest."""
    for ending in ("", ", validate"):
        least = counts[0]
        first = results[f"{least} samplers{ending}"]
        for count in counts[1:]:
            found, more = results[f"{count} samplers{ending}"], count - least
            cpu, memory = (found["cpu"] - first["cpu"]) / more, (found["mb"] - first["mb"]) / more
            yield f"a site of {count}{ending}", 1e3 * cpu, 1024 * memory


def main() -> None:
    """Print a line a case, then what a site costs; write the raw figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 10, 100, 300])
    parser.add_argument("--nodes", type=int, default=100_000, help="0: the samplers alone")
    parser.add_argument("--rounds", type=int, default=1, help="what is kept is the least CPU time of each case")
    parser.add_argument("--beside", type=Path, help="a checkout of another commit")
    parser.add_argument("--out", type=Path, help="where the raw figures go, a JSON file")
    options = parser.parse_args()
    checkouts = {"here": ROOT} | ({} if options.beside is None else {"beside": options.beside.resolve()})
    results: dict[str, dict[str, dict[str, float]]] = {name: {} for name in checkouts}
    todo = [(case, make(), validate) for case, make, validate in cases(options.counts, options.nodes)]
    for _ in range(options.rounds):
        for (case, model, validate), name in product(todo, checkouts):
            found = measured(model, validate, checkouts[name])
            results[name][case] = min(found, results[name].get(case, found), key=lambda each: each["cpu"])
            line = f"{name:8}{case:40}{found['cpu']:8.2f} s{found['mb']:8.0f} MB{found['sites']:6.0f} sites"
            print(line, flush=True)  # noqa: T201
    for name, found_of in results.items():
        for case, milliseconds, kilobytes in per_site(found_of, options.counts):
            print(f"{name:8}{case:40}{milliseconds:8.1f} ms{kilobytes:8.0f} kB")  # noqa: T201
    if options.out is not None:
        date = datetime.now(timezone.utc).date().isoformat()
        options.out.write_text(json.dumps({"date": date, "runs": results}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
