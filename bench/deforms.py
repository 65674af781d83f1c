"""Deformable convolutions spelt as samplers, as deform_conv2d_onnx_exporter writes them, against one DeformConv.

`python -m bench.deforms` writes a table into bench/results; `python -m bench.record` puts it into the recorded table.
Where onnxgs-ops is installed the operator is a form, too. With --gates it times what `auto` makes of each, small and
large, in the package's opset, in one that has GridSample and in one that has DeformConv, and exits 1 where that gains
too little.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from itertools import product
from typing import Any

from onnx import ModelProto

from bench.gates import Gate, gate, judge
from bench.one_site import arguments, in_turn, recorded
from onnxgs_opt.api import look
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import LOWERINGS, Target
from onnxgs_opt.recognition import KINDS
from onnxgs_opt.runtime.native import installed_library
from onnxgs_opt.tuning.trial import trial_of
from tests.fixtures.deform import Spelling, build

SIZES = ((16, 16, 16), (32, 32, 32), (64, 64, 64), (64, 128, 128))
"""Channels, height and width: of the image, and of the result of a 3 x 3 kernel."""

READS = {"GatherND": "gather_nd", "GatherElements": "gather"}
"""What the package writes by default, and what it writes where it is asked to."""

OPSETS = (12, 17, 19)
LEAST = 3.0
"""How many times as fast as the package's form `auto` has to be."""

AT = ((16, 16, 16), (64, 64, 64))
"""The sizes at which it has to."""

BUDGET_S = 1.5


def model_of(read: str, size: tuple[int, int, int], opset: int) -> ModelProto:
    """What the package writes, with as many channels made as read."""
    channels, *image = size
    made: dict[str, Any] = {"channels": channels, "made": channels, "size": (image[0], image[1])}
    return build(Spelling(**made, read=READS[read], bias="added", opset=opset))


def measure(read: str, size: tuple[int, int, int], opset: int, target: str) -> dict[str, Any]:
    """The exported form, and every form that does not refuse, in turn."""
    graph, found = look(Graph.from_proto(model_of(read, size, opset)))
    (site,) = found.deforms
    trial = trial_of(graph, graph, site)
    refused = KINDS[site.kind].refusals(site, Target(opset, target))
    libraries = installed_library()[:1] if importlib.util.find_spec("onnxgs_ops") is not None else ()
    out = ("keep",) if libraries else ("keep", "plugin")
    possible = [name for name in LOWERINGS if name not in (*refused, *out)]
    _, times = in_turn(trial, graph, possible, target, BUDGET_S, libraries)
    return {
        "read_op": read,
        "opset": opset,
        "image": [1, *size],
        "products": KINDS[site.kind].record(site).sizes[0],
        "keep_ms": times.median_ms("keep"),
        "ratios": {name: round(times.ratio("keep", name), 2) for name in possible},
        "spread": {name: round(times.spread(name), 2) for name in possible},
    }


def gates(target: str) -> Iterator[Gate]:
    """What `auto` gains on each form of the package at `AT`."""
    for read, opset, size in product(READS, OPSETS, AT):
        model = model_of(read, size, opset)
        graph, found = look(Graph.from_proto(model))
        trial = trial_of(graph, graph, found.deforms[0])
        what = f"{read}, opset {opset}, 1x{'x'.join(map(str, size))}"
        yield gate(what, LEAST, model, trial.feeds(trial.cone(graph), 0), target)


def main() -> int:
    """Run the command line."""
    options = arguments("deforms", __doc__).parse_args()
    if options.gates:
        return judge(gates(options.target), options.machine)
    rows = (measure(read, size, 19, options.target) for read, size in product(READS, SIZES))
    return recorded(options, "deforms", rows, to_markdown)


def to_markdown(result: dict[str, Any]) -> str:
    """One row a form of a spelling, one column a size."""
    run, rows = result["run"], result["deforms"]
    sizes = list(dict.fromkeys("x".join(map(str, row["image"])) for row in rows))
    lines = [
        f"# Deformable convolutions: {run['target']}, {run['machine']}, {run['date']}",
        "",
        f"`{run['command']}`; onnxruntime {run['versions']['onnxruntime']}. As exported / this form, medians of rounds",
        "in turn; above 1 the form is faster. 3 x 3, masked, as many channels made as read; sizes are the image's.",
        "",
        f"| reads | form | {' | '.join(sizes)} |",
        "|---|---|" + "---|" * len(sizes),
    ]
    for read in dict.fromkeys(row["read_op"] for row in rows):
        own = [row for row in rows if row["read_op"] == read]
        for name in dict.fromkeys(name for row in own for name in row["ratios"]):
            lines.append(f"| {read} | {name} | {' | '.join(str(row['ratios'].get(name, '-')) for row in own)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
