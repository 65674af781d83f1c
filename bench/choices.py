"""Whether the form that `auto` chose for a site, timed alone, is the fastest in the whole model, too.

`python -m bench.choices MODELS --sizes n=1 h=480 w=640 ho=480 wo=640` gives dims of these names sizes, and writes a
table into bench/results: the whole model as exported against each form, in turn, and how much of the best is lost.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto

from bench.one_site import arguments, recorded
from onnxgs_opt.api import look, optimize
from onnxgs_opt.errors import OptError
from onnxgs_opt.job import load
from onnxgs_opt.lowering import LOWERINGS
from onnxgs_opt.lowering.keep import KEEP
from onnxgs_opt.runtime import RUNTIMES
from onnxgs_opt.runtime.timing import race
from onnxgs_opt.validation.inputs import ModelInputs


def shapes_at(model: ModelProto, sizes: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """The shapes of a model's inputs where dims of some names have these sizes."""
    dims = {value.name: value.type.tensor_type.shape.dim for value in model.graph.input}
    return {name: tuple(sizes.get(d.dim_param, d.dim_value) for d in own) for name, own in dims.items()}


def measure(path: Path, sizes: Mapping[str, int], forms: Sequence[str], target: str, budget_s: float) -> dict[str, Any]:
    """How many times as fast each form is in the whole model, and which of them `auto` took; how far that is off."""
    model = onnx.load(path)
    shapes = shapes_at(model, sizes)
    auto = optimize(model, target=target, shapes=shapes)
    changed = auto.report.status == "optimised"
    models = {"exported": model, **({"auto": auto.model} if changed else {})}
    for name in forms:
        try:
            found = optimize(model, target=target, shapes=shapes, lowering=name, validate=False)
        except OptError:
            continue  # an operator that the target has not
        if found.report.status == "optimised" and all(site.lowering == name for site in found.report.sites):
            models[name] = found.model
    _, found_there = look(load(model))
    inputs = ModelInputs(shapes=shapes, sites=found_there.every_sampler)
    feeds = next(iter(inputs.runs(model))).feeds
    calls = {name: RUNTIMES[target].prepare(own, feeds) for name, own in models.items()}
    for call in calls.values():
        call(), call()
    times = race(calls, budget_s)
    ratios = {name: round(times.ratio("exported", name), 2) for name in models}
    chosen = "+".join(dict.fromkeys(site.lowering for site in auto.report.sites)) if changed else KEEP
    lost = round(1 - ratios.get("auto", 1.0) / max(ratios.values()), 3)
    row = {"model": path.name, "shapes": list(shapes.values()), "ratios": ratios, "auto": chosen, "lost": lost}
    wanted = RUNTIMES["ort-cpu"].load(model).run(None, feeds)
    errors = {
        name: apart(wanted, RUNTIMES[target].load(models[name]).run(None, feeds))
        for name in ("exported", "auto")
        if name in models
    }
    reasons = [site.reason for site in auto.report.sites]
    return {**row, "keep_ms": round(times.median_ms("exported"), 4), "errors": errors, "reasons": reasons}


def apart(wanted: Sequence[Any], found: Sequence[Any]) -> float:
    """The largest difference between outputs, of numbers above 1 as a part of them."""
    worst = 0.0
    for a, b in zip(wanted, found, strict=True):
        a, b = np.asarray(a, float), np.asarray(b, float)
        gap = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, np.abs(a - b) / np.maximum(np.abs(a), 1))
        worst = max(worst, float(gap.max(initial=0)))
    return float(f"{worst:.1e}")


def main() -> int:
    """Run the command line."""
    parser = arguments("choices", __doc__)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--sizes", nargs="+", default=[], metavar="DIM=SIZE")
    parser.add_argument("--forms", nargs="*", choices=LOWERINGS, default=list(LOWERINGS), help="beside auto; all")
    parser.add_argument("--budget", type=float, default=3.0, help="seconds for the rounds of a model")
    options = parser.parse_args()
    sizes = {name: int(size) for name, _, size in (pair.partition("=") for pair in options.sizes)}
    rows = (measure(path, sizes, options.forms, options.target, options.budget) for path in options.models)
    given = " ".join(["MODELS", "--sizes", *options.sizes])
    if options.forms != list(LOWERINGS):
        given += " --forms " + " ".join(options.forms)
    return recorded(options, "choices", rows, to_markdown, given)


def to_markdown(result: dict[str, Any]) -> str:
    """One row a model."""
    run = result["run"]
    lines = [
        f"# What auto chose in the whole model: {run['target']}, {run['machine']}, {run['date']}",
        "",
        f"`{run['command']}`; onnxruntime {run['versions']['onnxruntime']}. The whole model as exported / so.",
        "",
        "| model | auto | its ratio | of the best | error | all |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["choices"]:
        shown = ", ".join(
            f"{name} {ratio}" for name, ratio in row["ratios"].items() if name not in ("exported", "auto")
        )
        own = row["ratios"].get("auto", 1.0)
        cells = [
            row["model"],
            row["auto"],
            str(own),
            f"{100 * (1 - row['lost']):.0f} %",
            f"{max(row['errors'].values()):.0e}",
            shown,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
