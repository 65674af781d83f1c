"""A warp by optical flow with dynamic sizes, as tf2onnx wrote it, against what `auto` makes of it, in turn.

`python -m bench.warps` writes a table into bench/results: the whole model at three sizes, with one and two threads, for
a smooth flow and for points all over the image. With --gates it exits 1 where `auto` is less than 2.5 times as fast for
the smooth one.
"""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import ModelProto

from bench.gates import bound
from bench.measure import header
from bench.one_site import arguments, write
from onnxgs_opt.api import optimize
from onnxgs_opt.runtime.ort import CPU, FATAL_ONLY, NO_SPINNING_BETWEEN_RUNS
from onnxgs_opt.runtime.timing import Feeds, race

MODEL = Path(__file__).parents[1] / "tests" / "fixtures" / "field" / "auto_shape_other_inputs.dyn.onnx"
SIZES = ((240, 320), (480, 640), (720, 1280))
THREADS = (1, 2)
FLOWS = ("smooth", "random")
FORMS = ("merged-gather", "lerp-gather", "row-gather")
LEAST = 2.5
BUDGET_S = 1.0


def feeds(height: int, width: int, flow: str) -> Feeds:
    """A unit-normal image, and a flow of up to 11 pixels, or to anywhere in the image."""
    rng, (y, x) = np.random.default_rng(0), np.indices((height, width))
    if flow == "smooth":
        moved = 5 * np.sin(x / 50) + 3 * np.cos(y / 30), 6 * np.cos(x / 40) - 4 * np.sin(y / 60)
    else:
        moved = y - rng.uniform(0, height - 1, y.shape), x - rng.uniform(0, width - 1, x.shape)
    image = rng.standard_normal((1, height, width, 3), np.float32)
    return {"image": image, "flow": np.stack(moved, -1)[None].astype(np.float32)}


def measure(models: dict[str, ModelProto], inputs: Feeds, threads: int) -> dict[str, Any]:
    """Milliseconds of the exported form, and how many times as fast the others are."""
    calls = {name: bound(_session(model, threads), inputs) for name, model in models.items()}
    result = race(calls, BUDGET_S)
    ratios = {name: round(result.ratio("exported", name), 2) for name in models if name != "exported"}
    return {"exported_ms": round(result.median_ms("exported"), 2), "ratios": ratios}


def _session(model: ModelProto, threads: int) -> ort.InferenceSession:
    """As users run it, but that no thread waits actively between runs, which would take the processor from the next."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, FATAL_ONLY
    options.add_session_config_entry(*NO_SPINNING_BETWEEN_RUNS)
    return ort.InferenceSession(model.SerializeToString(), options, providers=[CPU])


def main() -> int:
    """Run the command line; with --gates exit 1 where `auto` gains too little."""
    options = arguments("warps", __doc__).parse_args()
    command = ["python -m bench.warps", *sys.argv[1:]]
    result: dict[str, Any] = {"run": header(options.target, options.machine, command), "warps": []}
    model = onnx.load(MODEL)
    forms = () if options.gates else FORMS
    others = {name: optimize(model, lowering=name, validate=False).model for name in forms}
    for size in SIZES:
        shapes = {"image": (1, *size, 3), "flow": (1, *size, 2)}
        found = optimize(model, shapes=shapes)
        models = {"exported": model, "auto": found.model, **others}
        for threads, flow in product(THREADS, FLOWS):
            row = {"size": size, "threads": threads, "flow": flow, "auto": found.report.sites[0].lowering}
            row |= measure(models, feeds(*size, flow), threads)
            result["warps"].append(row)
            sys.stderr.write(f"{row}\n")
    missed = any(row["ratios"]["auto"] < LEAST for row in result["warps"] if row["flow"] == "smooth")
    if not options.gates:
        write(result, options.out, "warps", to_markdown(result))
    return int(options.gates and missed)


def to_markdown(result: dict[str, Any]) -> str:
    """One row a size, number of threads and flow."""
    run, rows = result["run"], result["warps"]
    names = list(rows[0]["ratios"])
    lines = [
        f"# A warp by flow: {run['target']}, {run['machine']}, {run['date']}",
        "",
        f"`{run['command']}`; onnxruntime {run['versions']['onnxruntime']}. The whole model as exported / this form,",
        "medians of rounds in turn; above 1 the form is faster. 3 channels, a point for every pixel.",
        "",
        f"| size | threads | flow | exported, ms | {' | '.join(names)} | auto chose |",
        "|---|" + "---|" * (len(names) + 4),
    ]
    for row in rows:
        cells = [f"{row['size'][0]}x{row['size'][1]}", row["threads"], row["flow"], row["exported_ms"]]
        cells += [*(row["ratios"][name] for name in names), row["auto"]]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
