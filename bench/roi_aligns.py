"""RoIAlign by hand, against one node and the lowerings of its sampler: two spellings at several sizes.

`python -m bench.roi_aligns` writes a table into bench/results; `python -m bench.record` puts it into what is recorded.
With --gates it times what `auto` makes of each at the smallest and the largest size, and exits 1 where that gains too
little.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import onnx

from bench.gates import Gate, gate, judge
from bench.one_site import arguments, in_turn, recorded
from onnxgs_opt.api import look
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import Target
from onnxgs_opt.recognition import KINDS
from onnxgs_opt.tuning.trial import Trial, trial_of, with_shapes

MODELS = Path(__file__).parents[1] / "tests/fixtures/rois"
NAMES = ("kernel", "rows")
SIZES = ((16, 16, 4), (64, 64, 64), (200, 304, 256))
"""Height and width of the map, and boxes; it has 3 channels, a box 3 x 2 bins of 2 x 2 samples."""
LEAST = 3.0
"""How many times as fast as RoIAlign by hand `auto` has to be."""

BUDGET_S = 1.0
FORMS = ("roi-align", "merged-gather", "lerp-gather", "row-gather", "grid-sample")


def trial_at(name: str, size: tuple[int, int, int]) -> tuple[Graph, Trial]:
    """A spelling at a size."""
    graph, found = look(Graph.load(MODELS / f"{name}.dy.dyn.onnx"))
    (site,) = found.roi_aligns
    height, width, boxes = size
    image = (1, 3, height, width) if name == "kernel" else (3, height, width)
    shapes = {"features": image, "boxes": (boxes, 5 if name == "kernel" else 4)}
    return graph, trial_of(graph, with_shapes(graph, shapes), site)


def measure(name: str, size: tuple[int, int, int], target: str) -> dict[str, Any]:
    """A spelling, one RoiAlign, and every lowering that its sampler has, in turn."""
    graph, trial = trial_at(name, size)
    site, (height, width, boxes) = trial.site, size
    refused = KINDS[site.kind].refusals(site, Target(graph.opset, target, image_size=(height, width)))
    possible = [form for form in FORMS if form not in refused]
    _, times = in_turn(trial, graph, possible, target, BUDGET_S)
    return {
        "model": name,
        "image": [1, 3, height, width],
        "boxes": boxes,
        "samples": [site.rows.samples, site.columns.samples],
        "keep_ms": times.median_ms("keep"),
        "ratios": {form: round(times.ratio("keep", form), 2) for form in possible},
        "spread": round(times.spread("roi-align"), 2),
    }


def gates(target: str) -> Iterator[Gate]:
    """What `auto` gains on each spelling, small and large."""
    for name, size in product(NAMES, (SIZES[0], SIZES[-1])):
        graph, trial = trial_at(name, size)
        what = f"{name}, {size[0]}x{size[1]}, {size[2]} boxes"
        yield gate(what, LEAST, onnx.load(MODELS / f"{name}.dy.dyn.onnx"), trial.feeds(trial.cone(graph), 0), target)


def main() -> int:
    """Run the command line."""
    options = arguments("roi_aligns", __doc__).parse_args()
    if options.gates:
        return judge(gates(options.target), options.machine)
    rows = (measure(name, size, options.target) for name, size in product(NAMES, SIZES))
    return recorded(options, "boxes", rows, to_markdown)


def to_markdown(result: dict[str, Any]) -> str:
    """One row a model and size, one column a form."""
    run, rows = result["run"], result["boxes"]
    forms = list(dict.fromkeys(form for row in rows for form in row["ratios"]))
    lines = [
        f"# RoIAlign by hand: {run['target']}, {run['machine']}, {run['date']}",
        "",
        f"`{run['command']}`; onnxruntime {run['versions']['onnxruntime']}. As exported / the form, medians of",
        "rounds in turn; above 1 the form is faster.",
        "",
        f"| | image | boxes | exported, ms | {' | '.join(forms)} |",
        "|---|---|---|---|" + "---|" * len(forms),
    ]
    for row in rows:
        cells = " | ".join(str(row["ratios"].get(form, "")) for form in forms)
        image = "x".join(map(str, row["image"]))
        lines.append(f"| {row['model']} | {image} | {row['boxes']} | {row['keep_ms']:.3g} | {cells} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
