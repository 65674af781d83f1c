"""Interpolation spelt as reads, against one Resize: torch's decompositions and two written by hand.

`python -m bench.resizes` writes a table into bench/results; `python -m bench.record` puts it into the recorded table.
"""

from __future__ import annotations

import sys
from math import prod
from pathlib import Path
from typing import Any

from bench.measure import header
from bench.one_site import NOTHING, arguments, in_turn, over_nothing, write
from onnxgs_opt.api import look
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import Target
from onnxgs_opt.lowering.polyphase_conv import RESIZING
from onnxgs_opt.recognition import KINDS
from onnxgs_opt.tuning.trial import trial_of, with_shapes

MODELS = Path(__file__).parents[1] / "tests/fixtures/resizes"
NAMES = ("nearest", "rows", "bilinear", "bilinear_corners", "lerps", "bicubic")
SIZES = (None, (1, 3, 16, 16), (1, 3, 32, 32), (1, 3, 64, 64), (2, 3, 256, 256))
"""Of images of dynamic sizes; None for the model of fixed sizes, whose indices and weights are tables in the file."""

BUDGET_S = 1.0


def measure(name: str, shape: tuple[int, ...] | None, target: str) -> dict[str, Any]:
    """The reads and weights of a model, and every form of a Resize that does not refuse, in turn."""
    graph, found = look(Graph.load(MODELS / f"{name}.{'st' if shape is None else 'dyn'}.onnx"))
    (site,) = found.resizes
    trial = trial_of(graph, with_shapes(graph, {} if shape is None else {"x": shape}), site)
    refused = KINDS[site.kind].refusals(site, Target(graph.opset, target))
    forms = [form for form in RESIZING if form not in refused]
    feeds, times = in_turn(trial, graph, forms, target, BUDGET_S)
    image = feeds[site.image].shape
    return {
        "model": name,
        "read_op": KINDS[site.kind].record(site).read_op,
        "image": list(image),
        "elements": prod(image) * int(prod(axis.factor or 1 for axis in site.axes)),
        "keep_ms": times.median_ms("keep"),
        "nothing_ms": times.median_ms(NOTHING),
        "ratios": {form: round(times.ratio("keep", form), 2) for form in forms},
        "over_nothing": {form: round(over_nothing(times, form), 1) for form in forms},
        "spread": {form: round(times.spread(form), 2) for form in forms},
    }


def main() -> int:
    """Run the command line."""
    parser = arguments("resizes", __doc__)
    parser.add_argument("--names", nargs="+", choices=NAMES, default=NAMES)
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
        f"| | mode | form | {' | '.join(sizes)} |",
        "|---|---|---|" + "---|" * len(sizes),
    ]
    for name in dict.fromkeys(row["model"] for row in rows):
        own = [row for row in rows if row["model"] == name]
        for form in own[0]["ratios"]:
            cells = [f"{row['ratios'][form]} / {row['over_nothing'][form]}" for row in own]
            lines.append(f"| {name} | {own[0]['read_op']} | {form} | {' | '.join(cells)} |")
    own = [row for row in rows if row["model"] == rows[0]["model"]]
    lines += [f"| nothing, us | | | {' | '.join(format(1e3 * row['nothing_ms'], '.1f') for row in own)} |"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
