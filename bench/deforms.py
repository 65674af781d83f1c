"""Deformable convolutions spelt as samplers, as deform_conv2d_onnx_exporter writes them, against one DeformConv.

`python -m bench.deforms` writes a table into bench/results; `python -m bench.record` puts it into the recorded table.
Where onnxgs-ops is installed the operator is a form, too.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

from bench.measure import header
from bench.one_site import arguments, in_turn, write
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

BUDGET_S = 3.0


def measure(read: str, size: tuple[int, int, int], opset: int, target: str) -> dict[str, Any]:
    """The exported form, and every form that does not refuse, in turn."""
    channels, *image = size
    spelling = Spelling(
        channels=channels, made=channels, size=(image[0], image[1]), read=READS[read], bias="added", opset=opset
    )
    graph, found = look(Graph.from_proto(build(spelling)))
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


def main() -> int:
    """Run the command line."""
    options = arguments("deforms", __doc__).parse_args()
    command = ["python -m bench.deforms", *sys.argv[1:]]
    result: dict[str, Any] = {"run": header(options.target, options.machine, command), "deforms": []}
    for read in READS:
        for size in SIZES:
            row = measure(read, size, 19, options.target)
            result["deforms"].append(row)
            sys.stderr.write(f"{row}\n")
    write(result, options.out, "deforms", to_markdown(result))
    return 0


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
