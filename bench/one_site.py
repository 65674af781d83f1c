"""What the benchmarks of a single kind of site share: their arguments, forms in turn, and how a result is written."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.runtime import RUNTIMES
from onnxgs_opt.runtime.timing import Feeds, Race, race
from onnxgs_opt.tuning.trial import Trial


def arguments(name: str, description: str | None) -> argparse.ArgumentParser:
    """The command line of `python -m bench.NAME`."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{name}", description=description)
    parser.add_argument("--target", choices=("ort-cpu", "ort-cuda"), default="ort-cpu")
    parser.add_argument("--machine", default="this machine", help="how the tables name it")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    return parser


def in_turn(trial: Trial, graph: Graph, forms: Iterable[str], target: str, budget_s: float) -> tuple[Feeds, Race]:
    """A site as exported and its forms, all on the same inputs, and those."""
    cone = trial.cone(graph)
    feeds = trial.feeds(cone, 0)
    models = {"keep": cone, **{form: trial.lowered(graph, cone, form) for form in forms}}
    calls = {form: RUNTIMES[target].prepare(model, feeds) for form, model in models.items()}
    for call in calls.values():
        call(), call()
    return feeds, race(calls, budget_s)


def write(result: dict[str, Any], folder: Path, name: str, table: str) -> None:
    """A result and its table, named after what was measured, where and when."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"{name}-{result['run']['target']}-{result['run']['date']}"
    stem.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    stem.with_suffix(".md").write_text(table, encoding="utf-8")
