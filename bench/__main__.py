"""`python -m bench`: measure, and write Markdown, JSON and a chart into bench/results."""

from __future__ import annotations

import argparse
import json
import sys
from itertools import product
from pathlib import Path

from bench.alone import alone, header, measure
from bench.cases import KERNELS, MODELS, NORMALISED, OF_KERNELS, OF_NORMALISED, SIZES
from bench.record import RUNTIMES

CASES = (*SIZES, *(f"{NORMALISED}{size}" for size in OF_NORMALISED))
"""What can be measured: samplers at pixel coordinates, and at normalised ones."""


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--target", choices=RUNTIMES, default="ort-cpu")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(SIZES)[:3])
    parser.add_argument("--machine", default="this machine", help="how the tables name it")
    parser.add_argument("--rows", nargs="+", default=[], help="only these rows, beside exported")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: time of all threads together")
    parser.add_argument("--budget", type=float, default=20.0, help="seconds for the rounds of a case")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--export", action="store_true", help="only make the models anew, with torch")
    parser.add_argument("--render", type=Path, metavar="FILE.json", help="only draw an earlier result")
    options = parser.parse_args()
    if options.export:
        return _export()
    if options.render is not None:
        return _write(json.loads(options.render.read_text(encoding="utf-8")), options.render.with_suffix(""))
    command = ["python -m bench", *sys.argv[1:]]
    result = {"run": alone(header, options.target, options.machine, command), "cases": {}}
    options.out.mkdir(parents=True, exist_ok=True)
    stem = options.out / f"{options.target}-{result['run']['date']}"
    for case in options.cases:
        result["cases"][case] = alone(measure, case, options.target, options.budget, options.rows, options.clock)
        _write(result, stem)
    return 0


def _write(result: dict[str, object], stem: Path) -> int:
    from bench.render import draw, to_markdown

    stem.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    stem.with_suffix(".md").write_text(to_markdown(result), encoding="utf-8")
    try:
        draw(result, stem.with_suffix(".svg"))
    except ImportError:
        sys.stderr.write("no chart: matplotlib is not installed\n")
    return 0


def _export() -> int:
    from bench.sampler import export

    for name, shape in SIZES.items():
        export(str(MODELS / f"{name}.onnx"), shape)
    of_kernels = product((f"{kernel}-" for kernel in KERNELS), OF_KERNELS)
    for prefix, name in (*of_kernels, *product((NORMALISED,), OF_NORMALISED)):
        export(str(MODELS / f"{prefix}{name}.onnx"), SIZES[name], prefix)
    return 0


if __name__ == "__main__":
    sys.exit(main())
