"""Deformable attention at real sizes, as GridSample nodes and as gathers, against its forms, one thread, in turn.

`python -m bench.attentions LIBRARY`, the library of onnxgs-ops, writes a table into bench/results. The models are
exports of tests/fixtures/attention/make.py (`Stacked` and `Gathered`): the decoder of RT-DETR, 300 queries, and the
encoder of Deformable DETR, a query for each of 17,821 pixels; 8 heads of 32 channels, 4 points a level.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import onnx

from bench.cases import MODELS
from bench.one_site import arguments, recorded
from onnxgs_opt.api import look
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import LOWERINGS, Target
from onnxgs_opt.recognition import KINDS
from onnxgs_opt.runtime.ort import open_session
from onnxgs_opt.tuning.trial import trial_of

CASES = ("rt-detr", "deformable-detr")
SPELT = ("nodes", "reads")
ROUNDS = {"rt-detr": 25, "deformable-detr": 7}
OPSET = 17


def measure(case: str, spelt: str, library: Path) -> dict[str, Any]:
    """Milliseconds of processor time a run of the exported form and of every form that does not refuse."""
    graph, found = look(Graph.from_proto(onnx.load(MODELS / f"attention-{case}.{spelt}.onnx")))
    (site,) = found.attentions
    trial = trial_of(graph, graph, site)
    refused = KINDS[site.kind].refusals(site, Target(OPSET))
    names = [name for name in LOWERINGS if name not in (*refused, "keep", "plugin")]
    cone = trial.cone(graph)
    feeds = trial.feeds(cone, 0)
    models = {"exported": cone, **{name: trial.lowered(graph, cone, name) for name in (*names, "plugin")}}
    own = {"plugin": (str(library),)}
    sessions = {n: open_session(model, custom_ops=own.get(n, ()), threads=1) for n, model in models.items()}
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for turn in range(ROUNDS[case] + 1):
        for name, session in sessions.items():
            start = time.process_time()
            session.run(None, feeds)
            times[name] += [1e3 * (time.process_time() - start)] if turn else []
    return {
        "read_op": site.read_op,
        "case": case,
        "value": list(feeds[site.value.tensor].shape),
        "samples": KINDS[site.kind].record(site).sizes[0],
        "cpu_ms": {name: round(median(own), 2) for name, own in times.items()},
        "ratios": {
            n: round(median(a / b for a, b in zip(times["exported"], own, strict=True)), 2)
            for n, own in times.items()
            if n != "exported"
        },
    }


def main() -> int:
    """Run the command line."""
    parser = arguments("attentions", __doc__)
    parser.add_argument("library", type=Path, help="the library of onnxgs-ops")
    options = parser.parse_args()
    rows = (measure(case, spelt, options.library) for case in CASES for spelt in SPELT)
    return recorded(options, "attentions", rows, to_markdown, given="LIBRARY")


def to_markdown(result: dict[str, Any]) -> str:
    """One row a form, one column a case and spelling."""
    run, rows = result["run"], result["attentions"]
    cases = [f"{row['case']}, {row['read_op']}" for row in rows]
    lines = [
        f"# Deformable attention: {run['target']}, {run['machine']}, {run['date']}",
        "",
        f"`{run['command']}`; onnxruntime {run['versions']['onnxruntime']}, one thread. Processor time as exported",
        "over that of this form, medians of rounds in turn; above 1 the form is faster. `plugin` is with the library.",
        "",
        f"| form | {' | '.join(cases)} |",
        "|---|" + "---|" * len(cases),
        f"| exported, ms | {' | '.join(str(row['cpu_ms']['exported']) for row in rows)} |",
    ]
    for name in dict.fromkeys(name for row in rows for name in row["ratios"] if name != "exported"):
        lines.append(f"| {name} | {' | '.join(str(row['ratios'].get(name, '-')) for row in rows)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
