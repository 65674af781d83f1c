"""Interpolation spelt as reads, against one Resize: torch's decompositions and two written by hand.

`python -m bench.resizes` writes a table into bench/results; `python -m bench.record` puts it into the recorded table.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Any

from bench.measure import header
from onnxgs_opt.api import look
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.recognition import KINDS
from onnxgs_opt.runtime import RUNTIMES
from onnxgs_opt.runtime.timing import Feeds, Race, race
from onnxgs_opt.tuning.trial import Trial, trial_of, with_shapes

MODELS = Path(__file__).parents[1] / "tests/fixtures/resizes"
NAMES = ("nearest", "rows", "bilinear", "bilinear_corners", "lerps", "bicubic")
SIZES = (None, (1, 3, 16, 16), (1, 3, 64, 64), (2, 3, 256, 256))
"""Of images of dynamic sizes; None for the model of fixed sizes, whose indices and weights are tables in the file."""

BUDGET_S = 1.0


def measure(name: str, shape: tuple[int, ...] | None, target: str) -> dict[str, Any]:
    """The reads and weights of a model, and one Resize, in turn."""
    graph, found = look(Graph.load(MODELS / f"{name}.{'st' if shape is None else 'dyn'}.onnx"))
    (site,) = found.resizes
    trial = trial_of(graph, with_shapes(graph, {} if shape is None else {"x": shape}), site)
    feeds, times = in_turn(trial, graph, ("resize",), target)
    image = feeds[site.image].shape
    return {
        "model": name,
        "read_op": KINDS[site.kind].record(site).read_op,
        "image": list(image),
        "elements": prod(image) * int(prod(axis.factor or 1 for axis in site.axes)),
        "keep_ms": times.median_ms("keep"),
        "ratios": {"resize": round(times.ratio("keep", "resize"), 2)},
        "spread": round(times.spread("resize"), 2),
    }


def in_turn(trial: Trial, graph: Graph, forms: Iterable[str], target: str) -> tuple[Feeds, Race]:
    """A site as exported and its forms, all on the same inputs, and those."""
    cone = trial.cone(graph)
    feeds = trial.feeds(cone, 0)
    models = {"keep": cone, **{form: trial.lowered(graph, cone, form) for form in forms}}
    calls = {form: RUNTIMES[target].prepare(model, feeds) for form, model in models.items()}
    for call in calls.values():
        call(), call()
    return feeds, race(calls, BUDGET_S)


def write(result: dict[str, Any], folder: Path, name: str, table: str) -> None:
    """A result and its table, named after what was measured, where and when."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"{name}-{result['run']['target']}-{result['run']['date']}"
    stem.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    stem.with_suffix(".md").write_text(table, encoding="utf-8")


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.resizes", description=__doc__)
    parser.add_argument("--target", choices=("ort-cpu", "ort-cuda"), default="ort-cpu")
    parser.add_argument("--machine", default="this machine", help="how the tables name it")
    parser.add_argument("--names", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    command = ["python -m bench.resizes", *sys.argv[1:]]
    result: dict[str, Any] = {"run": header(options.target, options.machine, command), "resizes": []}
    for name in options.names:
        for shape in SIZES:
            row = measure(name, shape, options.target)
            result["resizes"].append(row)
            sys.stderr.write(f"{row}\n")
    write(result, options.out, "resizes", to_markdown(result))
    return 0


def to_markdown(result: dict[str, Any]) -> str:
    """One row a model, one column a size."""
    run, rows = result["run"], result["resizes"]
    sizes = list(dict.fromkeys("x".join(map(str, row["image"])) for row in rows))
    lines = [
        f"# Interpolation spelt as reads: {run['target']}, {run['machine']}, {run['date']}",
        "",
        f"`{run['command']}`; onnxruntime {run['versions']['onnxruntime']}. As exported / one Resize, medians of",
        "rounds in turn; above 1 the Resize is faster. Sizes are those of the image.",
        "",
        f"| | mode | {' | '.join(sizes)} |",
        "|---|---|" + "---|" * len(sizes),
    ]
    for name in dict.fromkeys(row["model"] for row in rows):
        own = [row for row in rows if row["model"] == name]
        lines.append(f"| {name} | {own[0]['read_op']} | {' | '.join(str(row['ratios']['resize']) for row in own)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
