"""Interpolation spelt as reads, against one Resize: torch's decompositions and two written by hand.

`python -m bench.resizes` writes a table into bench/results; `python -m bench.record` puts it into the recorded table.
With --gates it times what `auto` makes of each at a small and a large size, and exits 1 where that gains too little.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto

from bench.gates import Gate, gate, judge
from bench.one_site import NOTHING, arguments, in_turn, over_nothing, recorded
from onnxgs_opt.api import look
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import Target
from onnxgs_opt.lowering.resizing import RESIZING
from onnxgs_opt.recognition import KINDS
from onnxgs_opt.tuning.trial import trial_of, with_shapes

MODELS = Path(__file__).parents[1] / "tests/fixtures/resizes"
NAMES = ("nearest", "rows", "bilinear", "bilinear_corners", "lerps", "bicubic", "bicubic_corners")
SIZES = ((2, 3, 7, 9), (1, 3, 16, 16), (1, 3, 32, 32), (1, 3, 64, 64), (2, 3, 256, 256))
KINDS_OF_SIZES = ("static", "dynamic")
"""Whether the file says the sizes, and has indices and weights as tables then; or the inputs do."""

LEAST = {"nearest": 5.0, "bilinear": 3.0, "bilinear_corners": 3.0, "bicubic": 10.0, "bicubic_corners": 10.0}
"""How many times as fast as PyTorch's decompositions `auto` has to be."""

AT = ((1, 3, 16, 16), (2, 3, 256, 256))
"""The sizes at which it has to."""

BUDGET_S = 0.5


def model_of(name: str, shape: tuple[int, ...], kind: str) -> ModelProto:
    """A model of dynamic sizes, or the same of these."""
    model = onnx.load(MODELS / f"{name}.dyn.onnx")
    return model if kind == "dynamic" else with_shapes(Graph.from_proto(model), {"x": shape}).to_proto()


def measure(name: str, shape: tuple[int, ...], kind: str, target: str) -> dict[str, Any]:
    """The reads and weights of a model, and every form of a Resize that does not refuse, in turn."""
    graph, found = look(Graph.from_proto(model_of(name, shape, kind)))
    (site,) = found.resizes
    trial = trial_of(graph, with_shapes(graph, {"x": shape}), site)
    refused = KINDS[site.kind].refusals(site, Target(graph.opset, target))
    forms = [form for form in RESIZING if form not in refused]
    feeds, times = in_turn(trial, graph, forms, target, BUDGET_S)
    image = feeds[site.image].shape
    return {
        "model": name,
        "sizes": kind,
        "read_op": KINDS[site.kind].record(site).read_op,
        "image": list(image),
        "elements": prod(image) * int(prod(axis.factor or 1 for axis in site.axes)),
        "keep_ms": times.median_ms("keep"),
        "nothing_ms": times.median_ms(NOTHING),
        "ratios": {form: round(times.ratio("keep", form), 2) for form in forms},
        "over_nothing": {form: round(over_nothing(times, form), 1) for form in forms},
        "spread": {form: round(times.spread(form), 2) for form in forms},
    }


def gates(names: Sequence[str], target: str) -> Iterator[Gate]:
    """What `auto` gains on each model at `AT`."""
    for name, kind, shape in product(names, KINDS_OF_SIZES, AT):
        model = model_of(name, shape, kind)
        image = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        what = f"{name}, {kind}, {'x'.join(map(str, shape))}"
        yield gate(what, LEAST.get(name, 0.0), model, {"x": image}, target)


def main() -> int:
    """Run the command line."""
    parser = arguments("resizes", __doc__)
    parser.add_argument("--names", nargs="+", choices=NAMES, default=NAMES)
    options = parser.parse_args()
    if options.gates:
        return judge(gates(options.names, options.target), options.machine)
    cases = product(options.names, KINDS_OF_SIZES, SIZES)
    rows = (measure(name, shape, kind, options.target) for name, kind, shape in cases)
    return recorded(options, "resizes", rows, to_markdown)


def to_markdown(result: dict[str, Any]) -> str:
    """One row a form of a model, one column a size."""
    run, rows = result["run"], result["resizes"]
    sizes = list(dict.fromkeys("x".join(map(str, row["image"])) for row in rows))
    lines = [
        f"# Interpolation spelt as reads: {run['target']}, {run['machine']}, {run['date']}",
        "",
        f"`{run['command']}`; onnxruntime {run['versions']['onnxruntime']}. As exported / the form, medians of",
        "rounds in turn; above 1 the form is faster. Sizes are those of the image. Behind the stroke is the ratio of",
        "what each takes longer than a model of one Identity, a call of which nothing can be faster than.",
        "",
        f"| | sizes | mode | form | {' | '.join(sizes)} |",
        "|---|---|---|---|" + "---|" * len(sizes),
    ]
    for name, kind in dict.fromkeys((row["model"], row["sizes"]) for row in rows):
        own = [row for row in rows if (row["model"], row["sizes"]) == (name, kind)]
        for form in own[0]["ratios"]:
            cells = [f"{row['ratios'][form]} / {row['over_nothing'][form]}" for row in own]
            lines.append(f"| {name} | {kind} | {own[0]['read_op']} | {form} | {' | '.join(cells)} |")
    nothing = [format(1e3 * row["nothing_ms"], ".1f") for row in rows[: len(sizes)]]
    lines += [f"| nothing, us | | | | {' | '.join(nothing)} |"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
