"""Every model of a folder, as it is and as `auto` leaves it: none may be slower.

`python -m bench.exports FOLDER` writes a table and the geometric mean of the ratios into bench/results.
"""

from __future__ import annotations

import argparse
import json
import sys
from math import exp, log
from pathlib import Path
from typing import Any

from bench.measure import header
from onnxgs_opt.api import optimize
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.recognition.findings import survey
from onnxgs_opt.runtime import RUNTIMES
from onnxgs_opt.tuning.race import race_models
from onnxgs_opt.validation.inputs import ModelInputs

FLOOR = 0.98


def measure(path: Path, target: str) -> dict[str, Any]:
    """One model: what became of its sites, and original / result in a race of its own after tuning."""
    result = optimize(str(path), target=target)
    sites = [site.lowering for site in result.report.sites]
    record: dict[str, Any] = {"status": result.report.status, "sites": sites, "ratio": 1.0}
    if result.report.status != "optimised" or result.graph is None:
        return record  # the original itself is what is written
    source = Graph.load(path)
    shapes = survey(source).fitting
    ratios = []
    for seed in range(3):
        times = race_models(source, result.graph, RUNTIMES[target], ModelInputs(fitting=shapes, seed=seed))
        ratios.append(times.ratio("before", "after"))
    return {**record, "ratio": sorted(ratios)[1], "before_ms": times.median_ms("before"), "runs": ratios}


def main() -> int:
    """Run the command line; exit 1 when a model is slower than it came."""
    parser = argparse.ArgumentParser(prog="python -m bench.exports", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--target", choices=("ort-cpu", "ort-cuda"), default="ort-cpu")
    parser.add_argument("--machine", default="this machine")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    models: dict[str, dict[str, Any]] = {}
    for path in sorted(options.folder.glob("*.onnx")):
        models[path.stem] = measure(path, options.target)
        sys.stderr.write(f"{path.stem}: {models[path.stem]}\n")
    command = ["python -m bench.exports", "FOLDER", *sys.argv[2:]]
    result = {"run": header(options.target, options.machine, command), "models": models}
    stem = options.out / f"exports-{options.target}-{result['run']['date']}"
    stem.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    stem.with_suffix(".md").write_text(to_markdown(result), encoding="utf-8")
    return int(min(m["ratio"] for m in models.values()) < FLOOR)


def to_markdown(result: dict[str, Any]) -> str:
    """The table, slowest first, and the means."""
    run, models = result["run"], result["models"]
    ratios = [m["ratio"] for m in models.values()]
    changed = [m["ratio"] for m in models.values() if m["status"] == "optimised"]
    lines = [
        f"# auto on {len(models)} exported samplers: {run['target']}, {run['machine']}, {run['date']}",
        "",
        f"Slowest {min(ratios):.2f}; geometric mean {_mean(ratios):.2f} of all, {_mean(changed):.2f} of the"
        f" {len(changed)} that were rewritten. The others are written as they came.",
        "",
        "| model | lowerings | ratio |",
        "|---|---|---|",
    ]
    by_ratio = sorted(models.items(), key=lambda item: item[1]["ratio"])
    lines += [f"| {name} | {', '.join(m['sites'])} | {m['ratio']:.2f} |" for name, m in by_ratio]
    return "\n".join(lines) + "\n"


def _mean(ratios: list[float]) -> float:
    return exp(sum(log(r) for r in ratios) / max(1, len(ratios)))


if __name__ == "__main__":
    sys.exit(main())
