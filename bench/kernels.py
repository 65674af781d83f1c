"""Samplers of other kernels than the bilinear one, spelt by hand, against their forms.

`python -m bench.kernels` writes a table into bench/results; `python -m bench.record` puts it into the recorded table.
Where onnxgs-ops is installed its operators are a form, too.
"""

from __future__ import annotations

import importlib.util
import sys
from itertools import product
from typing import Any

import numpy as np
from onnx import ModelProto

from bench.measure import KINDS as POINTS
from bench.measure import result_of
from bench.one_site import arguments, recorded
from onnxgs_opt.api import look
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import LOWERINGS, Target
from onnxgs_opt.recognition import KINDS
from onnxgs_opt.runtime import RUNTIMES
from onnxgs_opt.runtime.native import installed_library
from onnxgs_opt.runtime.timing import race
from onnxgs_opt.tuning.trial import trial_of, with_shapes
from tests.fixtures.kernels import Spelling, build

SIZES: dict[int, tuple[tuple[int, tuple[int, ...], tuple[int, int]], ...]] = {
    1: ((3, (64,), (1, 64)), (1, (65536,), (256, 256)), (64, (2048,), (8, 2048))),
    2: (
        (3, (32, 32), (32, 32)),
        (3, (540, 960), (540, 960)),
        (8, (480, 640), (480, 640)),
        (64, (135, 240), (135, 240)),
    ),
    3: ((2, (8, 8, 8), (16, 32)), (3, (33, 33, 33), (540, 960)), (16, (32, 64, 64), (256, 512))),
}
"""By the number of axes: channels, image and points."""

CASES = (("nearest-even", 1), ("nearest-even", 2), ("nearest-even", 3), ("linear", 1), ("linear", 3), ("cubic", 1))
CASES += (("cubic", 2),)
"""A kernel of each family, and the number of axes."""

ROUNDED = {"nearest": "half", "nearest-even": "round", "nearest-away": "away", "nearest-down": "ceil", "floor": "floor"}
OTHERS = tuple((name, 2) for name in (*ROUNDED, "cubic(-1/2)") if name != "nearest-even")
"""The operators' other kernels, which cost what those of their family do."""

SPELT = ("elements zeros", "elements zeros dynamic", "elements border dynamic", "nd border", "gather border")
"""What reads (GatherElements, GatherND or Gather) and the border, of images whose sizes the file says, or does not."""

OPSET = 20
"""The first that has GridSample along three axes."""

BUDGET_S = 0.4
LOOSE = 1e-2
"""Tolerance under which a form is timed that auto would refuse for its precision; the error is in the result."""


def model_of(kernel: str, size: tuple[int, tuple[int, ...], tuple[int, int]], spelt: str) -> ModelProto:
    """A sampler of one item at points in pixels, each coordinate a tensor of its own."""
    channels, image, points = size
    read, border, *dynamic = spelt.split()
    given: dict[str, Any] = {"channels": channels, "image": image, "points": points, "opset": OPSET}
    given["dynamic"] = bool(dynamic)
    return build(Spelling(kernel, len(image), border, ROUNDED.get(kernel, "half"), read, **given))


def feeds(size: tuple[int, tuple[int, ...], tuple[int, int]], smooth: bool) -> dict[str, Any]:
    """A unit-normal image, and points anywhere in it and a little beyond, or those beside each other close together."""
    channels, image, points = size
    rng = np.random.default_rng(0)
    rows, columns = (k / n for k, n in zip(np.indices(points), points, strict=True))
    places = [0.5 + 0.3 * np.sin(7 * rows + 5 * columns), rows, columns][-len(image) :]
    out = {"image": rng.standard_normal((channels, *image), dtype=np.float32)}
    for name, length, place in zip("zyx"[-len(image) :], image, places, strict=True):
        moved = place * length + 1.5 * np.sin(9 * rows + 11 * columns)
        out[name] = (moved if smooth else rng.random(points) * (length + 3) - 2).astype(np.float32)
    return out


def measure(kernel: str, size: tuple[int, tuple[int, ...], tuple[int, int]], spelt: str, target: str) -> Any:
    """The exported form and every one that does not refuse, in turn; how far each is from the exported one on a CPU."""
    graph, found = look(Graph.from_proto(model_of(kernel, size, spelt)))
    (site,) = found.every_sampler
    channels, image, points = size
    trial = trial_of(graph, with_shapes(graph, {"image": (channels, *image)}), site)
    libraries = installed_library()[:1] if importlib.util.find_spec("onnxgs_ops") is not None else ()
    out = ("keep",) if libraries else ("keep", "plugin")
    refused = KINDS[site.kind].refusals(site, Target(OPSET, target, atol=LOOSE, image_size=image))
    names = [name for name in LOWERINGS if name not in (*refused, *out)]
    cone = trial.cone(graph)
    models = {"keep": cone, **{name: trial.lowered(graph, cone, name) for name in names}}
    row: dict[str, Any] = {
        "read_op": KINDS[site.kind].record(site).read_op,
        "kernel": kernel,
        "spelt": spelt,
        "image": [1, channels, *image],
        "points": list(points),
    }
    for smooth, key in POINTS.items():
        inputs = feeds(size, smooth)
        calls = {name: RUNTIMES[target].prepare(m, inputs, custom_ops=libraries) for name, m in models.items()}
        for call in calls.values():
            call(), call()
        times = race(calls, BUDGET_S)
        wanted = result_of(cone, inputs, "ort-cpu")
        row[f"{key} keep_ms"] = round(times.median_ms("keep"), 4)
        row["ratios" if key == "random" else key] = {n: round(times.ratio("keep", n), 2) for n in names}
        row[f"{key} errors"] = {
            n: float(f"{np.abs(result_of(m, inputs, target, libraries) - wanted).max():.1e}") for n, m in models.items()
        }
    return row


def main() -> int:
    """Run the command line."""
    parser = arguments("kernels", __doc__)
    parser.add_argument("--others", action="store_true", help="the operators' other kernels along two axes, too")
    parser.add_argument("--spelt", nargs="+", choices=SPELT, default=SPELT, help="only these")
    parser.add_argument("--channels", nargs="+", type=int, default=[], help="only images of so many")
    options = parser.parse_args()
    cases = (*CASES, *(OTHERS if options.others else ()))
    rows = (
        measure(kernel, size, spelt, options.target)
        for kernel, axes in cases
        for size, spelt in product(SIZES[axes], options.spelt)
        if not options.channels or size[0] in options.channels
    )
    return recorded(options, "kernels", rows, to_markdown)


def to_markdown(result: dict[str, Any]) -> str:
    """One row a model, one column a form."""
    run, rows = result["run"], result["kernels"]
    forms = list(dict.fromkeys(form for row in rows for form in row["ratios"]))
    lines = [
        f"# Samplers of other kernels: {run['target']}, {run['machine']}, {run['date']}",
        "",
        f"`{run['command']}`; onnxruntime {run['versions']['onnxruntime']}. As exported / the form, for random /",
        "for smooth points, medians of rounds in turn; above 1 the form is faster.",
        "",
        f"| | kernel | spelt | image | points | exported, ms | {' | '.join(forms)} |",
        "|---|---|---|---|---|---|" + "---|" * len(forms),
    ]
    for row in rows:
        shown = [f"{row['ratios'][f]} / {row['smooth'][f]}" if f in row["ratios"] else "-" for f in forms]
        sizes = ["x".join(map(str, row[key])) for key in ("image", "points")]
        took = f"{row['random keep_ms']:.3g} / {row['smooth keep_ms']:.3g}"
        lines.append(f"| {' | '.join([row['read_op'], row['kernel'], row['spelt'], *sizes, took, *shown])} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
