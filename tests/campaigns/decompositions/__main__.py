"""Every file that `make.py` wrote: what it is found as, and whether each lowering computes the same at five sizes.

python -m tests.campaigns.decompositions FOLDER [--only TEXT] [--table FILE]; exit code 1 where a lowering differs, or
where a case is not found.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto

from onnxgs_opt import optimize
from onnxgs_opt.errors import RunError
from onnxgs_opt.lowering import LOWERINGS
from onnxgs_opt.report.model import Report
from onnxgs_opt.runtime.ort import open_session
from tests.campaigns.decompositions.make import SIZES

NAMES = tuple(name for name in LOWERINGS if name != "keep")
SUMS = "GSO003"
"""The rule of sums of reads of which no more is known."""

Array = NDArray[Any]
EQUAL, REFUSED = "equal", "-"


@dataclass(frozen=True)
class Row:
    """What a case is found as, in words; how each lowering came out."""

    case: str
    found: frozenset[str]
    outcomes: Mapping[str, str]

    @property
    def is_found(self) -> bool:
        """Whether every file of the case is one sampler."""
        return all(not words.startswith(("nothing", "a sum")) for words in self.found)

    @property
    def differs(self) -> bool:
        """Whether a lowering computes something else."""
        return any(outcome not in (EQUAL, REFUSED) for outcome in self.outcomes.values())


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.decompositions", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="cases whose names have this")
    parser.add_argument("--table", type=Path, help="write the table there, too")
    options = parser.parse_args()
    cases: defaultdict[str, list[Path]] = defaultdict(list)
    for path in sorted(options.folder.glob("*.onnx")):
        case = path.stem.rstrip("0123456789") if ".st" in path.stem else path.stem
        if options.only in case:
            cases[case].append(path)
    rows = []
    lines = [f"| case | files | found as | {' | '.join(NAMES)} |", f"|---|---|---|{'---|' * len(NAMES)}"]
    for line in lines:
        _say(line)
    for case, paths in cases.items():
        rows.append(judge(case, paths))
        lines.append(_line(rows[-1], len(paths)))
        _say(lines[-1])
    missed = [row.case for row in rows if not row.is_found]
    wrong = [row.case for row in rows if row.differs]
    _say(f"{len(rows)} cases, {sum(row.is_found for row in rows)} found, {len(wrong)} differ: {', '.join(wrong)}")
    _say(f"missed: {', '.join(missed) or 'none'}")
    if options.table:
        options.table.write_text("".join(f"{line}\n" for line in lines))
    return 1 if missed or wrong else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _line(row: Row, files: int) -> str:
    cells = (row.outcomes.get(name, REFUSED) for name in NAMES)
    return f"| {row.case} | {files} | {'; '.join(sorted(row.found))} | {' | '.join(cells)} |"


def judge(case: str, paths: Sequence[Path]) -> Row:
    """Look at the files of one case, and run each with every lowering that does not refuse."""
    found = set()
    worst: dict[str, str] = {}
    for path in paths:
        model = onnx.load(path)
        report = optimize(model, dry_run=True).report
        found.add(_words(report))
        runs = _runs(model)
        refused = set().union(*(site.refusals for site in report.sites)) if report.sites else set(NAMES)
        for name in (name for name in NAMES if name not in refused):
            outcome = _lowered(model, name, runs)
            worst[name] = outcome if worst.get(name, EQUAL) == EQUAL else worst[name]
    return Row(case, frozenset(found), worst)


def _words(report: Report) -> str:
    """What a report says of a model: each sampler's kernel, border and coordinates, or why there is none."""
    sites = [site for site in report.sites if site.rule != SUMS]
    if sites:
        kinds = {(site.policy.kind, site.policy.border, site.policy.coordinates) for site in sites}
        return "; ".join(", ".join(kind) for kind in sorted(kinds))
    codes = " ".join(sorted({miss.code for miss in report.near_misses}))
    return f"{'a sum of reads' if report.sites else 'nothing'} {codes}".strip()


def _runs(model: ModelProto) -> list[tuple[dict[str, Array], Array]]:
    """Inputs and results; at points inside the image where the file itself does not run at others."""
    try:
        return [(feeds, _run(model, feeds)) for feeds in _feeds(model, beyond=1.5)]
    except RunError:
        return [(feeds, _run(model, feeds)) for feeds in _feeds(model, beyond=0.0)]


def _lowered(model: ModelProto, name: str, runs: Sequence[tuple[dict[str, Array], Array]]) -> str:
    result = optimize(model, lowering=name, validate=False)
    if not result.report.lowered:
        return REFUSED
    tolerance = LOWERINGS[name].tolerance
    for feeds, expected in runs:
        try:
            actual = _run(result.model, feeds)
        except RunError as error:
            return f"fails: {str(error).partition(':')[2][:60]}"
        worst = float(np.max(np.abs(actual - expected), initial=0.0))
        if not np.allclose(actual, expected, rtol=tolerance.rtol, atol=max(tolerance.atol, 1e-5)):
            return f"differs by {worst:.3g}"
    return EQUAL


def _run(model: ModelProto, feeds: dict[str, Array]) -> Array:
    result: Array = open_session(model, optimise=False, threads=1).run(None, feeds)[0]
    return result


def _feeds(model: ModelProto, beyond: float) -> Iterator[dict[str, Array]]:
    """Inputs at the model's own sizes, or at each of `SIZES` where it has none; points `beyond` images outside, too."""
    shapes = [[d.dim_value or d.dim_param for d in v.type.tensor_type.shape.dim] for v in model.graph.input]
    names = [value.name for value in model.graph.input]
    dynamic = any(isinstance(size, str) for shape in shapes for size in shape)
    rng = np.random.default_rng(7)
    for n, c, h, w, p, q in SIZES if dynamic else SIZES[:1]:
        own = [[n, c, h, w], [n, p, q, 2]] if dynamic else shapes
        feeds = {names[0]: rng.standard_normal(own[0]).astype(np.float32)}
        if len(names) > 1 and own[1][-1] == 2:
            feeds[names[1]] = _grid(rng, own[1], own[0][2:], 1 + beyond)
        elif len(names) > 1:
            feeds[names[1]] = _pixels(rng, own[1], own[0], beyond)
        yield feeds


def _grid(rng: np.random.Generator, shape: Sequence[int], image: Sequence[int], most: float) -> Array:
    """Normalised coordinates in and around the image, some on its borders."""
    grid = rng.uniform(-most, most, shape)
    marks = np.array([-1.0, 1.0, 0.0, *(1 / size - 1 for size in image)])
    return np.where(rng.random(shape) < 0.3, rng.choice(marks, shape), grid).astype(np.float32)


def _pixels(rng: np.random.Generator, shape: Sequence[int], image: Sequence[int], beyond: float) -> Array:
    """Pixel coordinates [2, P, Q], some of them whole or half."""
    sizes = np.asarray(image).reshape(-1, *([1] * (len(shape) - 1))) - 1
    points = rng.uniform(-beyond, 1 + beyond, shape) * sizes
    return np.where(rng.random(shape) < 0.4, np.floor(2 * points) / 2, points).astype(np.float32)


if __name__ == "__main__":
    sys.exit(main())
