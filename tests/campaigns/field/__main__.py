"""Every export in a folder, as it is and simplified: recognised as the table says, and equal under every lowering.

python -m tests.campaigns.field FOLDER [--after onnxsim onnxslim] [--only TEXT] [--own 8] [--jobs 2]; exit code 1 on any
failure. A file is named after its sampler: NAME.anything.onnx. The simplifiers have to be installed. With `--own` each
lowering is run at so many sizes of this campaign's own choosing, too.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import ModelProto

from onnxgs_opt import optimize
from onnxgs_opt.lowering import LOWERINGS
from onnxgs_opt.report.model import Report
from tests.campaigns.field.own_inputs import Runs, differs, runs_of
from tests.campaigns.field.table import TABLE, Found
from tests.fixtures.recognised import workers

NAMES = tuple(name for name in LOWERINGS if name != "keep")
Case = tuple[Path, str, int]
"""(a file, what simplifies it first: "" for nothing, inputs of our own)"""


@dataclass(frozen=True)
class Verdict:
    """What came of one file: the rule of its sites, how each lowering came out, and what is wrong."""

    rule: str
    lowerings: dict[str, str]
    wrong: tuple[str, ...]


def main() -> int:
    """Judge them all, print a table and every failure."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.field", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--after", nargs="*", default=[], choices=("onnxsim", "onnxslim"))
    parser.add_argument("--only", default="", help="files whose names have this")
    parser.add_argument("--own", type=int, default=0, help="inputs at sizes that the tool does not choose")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    paths = [path for path in sorted(options.folder.glob("*.onnx")) if options.only in path.name]
    cases = [(path, after, options.own) for after in ("", *options.after) for path in paths]
    counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    failures = 0
    with workers(options.jobs) as pool:
        for (path, after, _), verdict in zip(cases, pool.map(judge, cases), strict=True):
            row = counts[_sampler(path), verdict.rule]
            row.update(["files", *(f"{name} {outcome}" for name, outcome in verdict.lowerings.items())])
            failures += bool(verdict.wrong)
            for line in verdict.wrong:
                sys.stdout.write(f"FAILED {path.stem} {after}: {line}\n")
                sys.stdout.flush()
    sys.stdout.write("".join(f"{line}\n" for line in _table(counts)))
    validated = sum(n for row in counts.values() for key, n in row.items() if key.endswith(" validated"))
    sys.stdout.write(f"{len(cases)} files, {validated} lowered models validated, {failures} files failed\n")
    return 1 if failures else 0


def judge(case: Case) -> Verdict:
    """Look at one file and lower it every way."""
    path, after, own = case
    model = _simplified(path, after)
    report = optimize(model, dry_run=True).report
    found = Found.of(report)
    wrong = [] if found in TABLE[_sampler(path)] else [f"recognised as {found}"]
    outcomes = {}
    runs = runs_of(model, own) if report.sites and own else ()
    wrong += ["it runs at no size of our own"] if own and report.sites and not runs else []
    for name in NAMES:
        outcomes[name] = outcome = _lowered(model, name, runs)
        wrong += [f"{name}: {outcome}"] if outcome not in ("validated", "refused") else []
    return Verdict("+".join(sorted({site.rule for site in report.sites})), outcomes, tuple(wrong))


def _sampler(path: Path) -> str:
    return path.name.split(".")[0]


def _simplified(path: Path, after: str) -> ModelProto:
    model = onnx.load(path)
    if after == "onnxsim":
        import onnxsim

        return onnxsim.simplify(model)[0]
    if after == "onnxslim":
        import onnxslim

        return onnxslim.slim(model)
    return model


def _lowered(model: ModelProto, name: str, runs: Runs) -> str:
    """ "validated", "refused", or what is wrong."""
    result = optimize(model, lowering=name, measure=False)
    report = result.report
    lowered = [site for site in report.sites if site.lowering == name]
    if not lowered:
        return next((site.reason for site in report.sites if "check failed" in site.reason), "refused")
    status = None if report.validation is None else report.validation.status
    fine = report.status == "optimised" and (status == "ok" or _runs_inside_only(report))
    apart = differs(result.model, runs) if fine else ""
    return apart or ("validated" if fine else f"{report.status}, {report.validation}")


def _runs_inside_only(report: Report) -> bool:
    """Whether the exported model itself does not take points outside its image, and each site was checked alone."""
    unchecked = report.validation is not None and report.validation.status == "not-run"
    refuses = unchecked and str(report.validation.reason).startswith("the original does not run")
    return refuses and all(site.error.max_abs is not None for site in report.sites)


def _table(counts: dict[tuple[str, str], Counter[str]]) -> Iterator[str]:
    yield f"| sampler | rule | files | {' | '.join(NAMES)} |"
    yield f"|---|---|---|{'---|' * len(NAMES)}"
    for (sampler, rule), row in sorted(counts.items()):
        cells = (row[f"{name} validated"] or "-" for name in NAMES)
        yield f"| {sampler} | {rule} | {row['files']} | {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    sys.exit(main())
