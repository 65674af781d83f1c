"""What the benchmarks of a single kind of site share: their arguments, forms in turn, and how a result is written."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from onnx import ModelProto
from onnx.helper import make_node, make_tensor_value_info

from bench.alone import find_cuda
from bench.measure import header
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.runtime import RUNTIMES
from onnxgs_opt.runtime.timing import Feeds, Race, race
from onnxgs_opt.tuning.trial import Trial

NOTHING = "nothing"
"""The row of a call that does nothing."""

SHORTEST_MS = 1e-4
"""What is shorter than a tenth of a microsecond was not measured."""


def arguments(name: str, description: str | None) -> argparse.ArgumentParser:
    """The command line of `python -m bench.NAME`."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{name}", description=description)
    parser.add_argument("--target", choices=("ort-cpu", "ort-cuda"), default="ort-cpu")
    parser.add_argument("--machine", default="this machine", help="how the tables name it")
    parser.add_argument("--gates", action="store_true", help="time auto alone, and exit 1 where it gains too little")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.set_defaults(bench=name)
    return parser


def in_turn(
    trial: Trial, graph: Graph, forms: Iterable[str], target: str, budget_s: float, libraries: Sequence[str] = ()
) -> tuple[Feeds, Race]:
    """A site as exported, its forms and a call that does nothing, all on the same inputs, and those.

    `libraries` are those of custom operators that all run with.
    """
    cone = trial.cone(graph)
    feeds = trial.feeds(cone, 0)
    models = {"keep": cone, **{form: trial.lowered(graph, cone, form) for form in forms}, NOTHING: nothing_of(cone)}
    calls = {form: RUNTIMES[target].prepare(model, feeds, custom_ops=libraries) for form, model in models.items()}
    for call in calls.values():
        call(), call()
    return feeds, race(calls, budget_s)


def nothing_of(model: ModelProto) -> ModelProto:
    """A model of the same inputs that hands one of them on: what no form of a site can be faster than."""
    copy = ModelProto()
    copy.CopyFrom(model)
    first = copy.graph.input[0]
    del copy.graph.node[:], copy.graph.initializer[:], copy.graph.output[:], copy.graph.value_info[:]
    copy.graph.node.append(make_node("Identity", [first.name], ["same"]))
    copy.graph.output.append(make_tensor_value_info("same", first.type.tensor_type.elem_type, None))
    return copy


def over_nothing(times: Race, form: str) -> float:
    """The ratio of the exported form to another one, of what each takes longer than a call that does nothing."""
    floor = times.median_ms(NOTHING)
    return (times.median_ms("keep") - floor) / max(times.median_ms(form) - floor, SHORTEST_MS)


def recorded(
    options: argparse.Namespace,
    key: str,
    rows: Iterable[dict[str, Any]],
    to_markdown: Callable[[dict[str, Any]], str],
    given: str | None = None,
    name: str = "",
) -> int:
    """Tell each row once it is measured and write them all with their table; 0, the exit code.

    `given` is what the command was given, where that is not for others to read as it stands; `name` that of the files,
    where it is not the benchmark's.
    """
    if options.target == "ort-cuda":
        find_cuda()
    command = [f"python -m bench.{options.bench}", *([given] if given else sys.argv[1:])]
    result: dict[str, Any] = {"run": header(options.target, options.machine, command), key: []}
    for row in rows:
        result[key].append(row)
        sys.stderr.write(f"{row}\n")
    write(result, options.out, name or options.bench.replace("_", "-"), to_markdown(result))
    return 0


def write(result: dict[str, Any], folder: Path, name: str, table: str) -> None:
    """A result and its table, named after what was measured, where and when."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"{name}-{result['run']['target']}-{result['run']['date']}"
    stem.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    stem.with_suffix(".md").write_text(table, encoding="utf-8")
