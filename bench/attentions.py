"""Deformable attention at real sizes, as GridSample nodes and as gathers, against its forms, in turn.

`python -m bench.attentions LIBRARY`, the library of onnxgs-ops, writes a table into bench/results. The models are
exports of tests/fixtures/attention/make.py (`Stacked` and `Gathered`): the decoder of RT-DETR, 300 queries, and the
encoder of Deformable DETR, a query for each of 17,821 pixels; 8 heads of 32 channels, 4 points a level.
With --small it is those of tests/fixtures/attention as they are, a few queries, and the library is not asked for.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import onnx

from bench.cases import MODELS
from bench.one_site import arguments, in_turn, recorded
from onnxgs_opt.api import look
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import LOWERINGS, Target
from onnxgs_opt.recognition import KINDS
from onnxgs_opt.runtime.ort import open_session
from onnxgs_opt.runtime.timing import Feeds
from onnxgs_opt.tuning.trial import Trial, trial_of

CASES = ("rt-detr", "deformable-detr")
SPELT = ("nodes", "reads")
ROUNDS = {"rt-detr": 25, "deformable-detr": 7}
SMALL_ROUNDS = 1000
FIXTURES = Path(__file__).parents[1] / "tests/fixtures/attention"
SMALL = ("gathered.ts17.st", "gathered.dy18.st", "stacked.ts17.st", "listed.ts17.st", "one_level.ts17.st")
"""Gathers written in two ways, and GridSample nodes."""

OPSET = 17
BUDGET_S = 2.0


def measure(model: Path, case: str, library: Path | None, target: str) -> dict[str, Any]:
    """Milliseconds a run of the exported form and of every form that does not refuse; on a processor of its time."""
    graph, found = look(Graph.from_proto(onnx.load(model)))
    (site,) = found.attentions
    trial = trial_of(graph, graph, site)
    refused = KINDS[site.kind].refusals(site, Target(OPSET, target))
    names = [name for name in LOWERINGS if name not in (*refused, "keep", "plugin")]
    names += ["plugin"] if library is not None else []
    feeds, ms, ratios = (on_device if target == "ort-cuda" else on_processor)(trial, graph, names, library, case)
    return {
        "read_op": site.read_op,
        "case": case,
        "value": list(feeds[site.value.tensor].shape),
        "samples": KINDS[site.kind].record(site).sizes[-1],
        "ms": {name: round(value, 4) for name, value in ms.items()},
        "ratios": {name: round(ratio, 2) for name, ratio in ratios.items()},
    }


Times = tuple[Feeds, dict[str, float], dict[str, float]]
"""The inputs; by form, the exported one included, milliseconds a run; and the exported form's ratio to each other."""


def on_device(trial: Trial, graph: Graph, names: list[str], library: Path | None, case: str) -> Times:
    """By the clock of the wall, inputs and outputs on the device."""
    feeds, times = in_turn(trial, graph, names, "ort-cuda", BUDGET_S, () if library is None else (str(library),))
    ms = {"exported": times.median_ms("keep"), **{name: times.median_ms(name) for name in names}}
    return feeds, ms, {name: times.ratio("keep", name) for name in names}


def on_processor(trial: Trial, graph: Graph, names: list[str], library: Path | None, case: str) -> Times:
    """By the time of one processor, so that other work on the machine counts less."""
    cone = trial.cone(graph)
    feeds = trial.feeds(cone, 0)
    models = {"exported": cone, **{name: trial.lowered(graph, cone, name) for name in names}}
    own = {} if library is None else {"plugin": (str(library),)}
    sessions = {n: open_session(model, custom_ops=own.get(n, ()), threads=1) for n, model in models.items()}
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for turn in range(ROUNDS.get(case, SMALL_ROUNDS) + 1):
        for name, session in sessions.items():
            start = time.process_time()
            session.run(None, feeds)
            times[name] += [1e3 * (time.process_time() - start)] if turn else []
    ratios = {n: median(a / b for a, b in zip(times["exported"], times[n], strict=True)) for n in names}
    return feeds, {name: median(own) for name, own in times.items()}, ratios


def main() -> int:
    """Run the command line."""
    parser = arguments("attentions", __doc__)
    parser.add_argument("library", type=Path, nargs="?", help="the library of onnxgs-ops")
    parser.add_argument("--small", action="store_true", help="the models of a few queries instead")
    options = parser.parse_args()
    if options.small:
        rows = (measure(FIXTURES / f"{name}.onnx", name, options.library, options.target) for name in SMALL)
    elif options.library is None:
        parser.error("the library of onnxgs-ops is needed but with --small")
    else:
        models = ((MODELS / f"attention-{case}.{spelt}.onnx", case) for case in CASES for spelt in SPELT)
        rows = (measure(model, case, options.library, options.target) for model, case in models)
    given = " ".join([*(["LIBRARY"] if options.library else []), *(["--small"] if options.small else [])])
    return recorded(
        options,
        "attentions",
        rows,
        to_markdown,
        f"{given} --target {options.target}",
        "attentions-small" if options.small else "",
    )


def to_markdown(result: dict[str, Any]) -> str:
    """One row a form, one column a case and spelling."""
    run, rows = result["run"], result["attentions"]
    cases = [f"{row['case']}, {row['read_op']}" for row in rows]
    clock = "Time on the device" if run["target"] == "ort-cuda" else "One thread; processor time"
    lines = [
        f"# Deformable attention: {run['target']}, {run['machine']}, {run['date']}",
        "",
        f"`{run['command']}`; onnxruntime {run['versions']['onnxruntime']}. {clock} as exported over",
        "that of this form, medians of rounds in turn; above 1 the form is faster. `plugin` is with the library.",
        "",
        f"| form | {' | '.join(cases)} |",
        "|---|" + "---|" * len(cases),
        f"| exported, ms | {' | '.join(str(row['ms']['exported']) for row in rows)} |",
    ]
    for name in dict.fromkeys(name for row in rows for name in row["ratios"] if name != "exported"):
        lines.append(f"| {name} | {' | '.join(str(row['ratios'].get(name, '-')) for row in rows)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
