"""Whether a change of the code changed what the tool writes and says.

python -m tests.campaigns.same_outputs [--write] [--only TEXT] [--jobs 2]: every model of tests/fixtures, examples and
bench/models through every lowering, every curated spelling through merged-gather, and one model of every mutant looked
at. What comes out is compared with same_outputs.txt, three digests a run: the model that is written; the report without
times, versions, paths and errors; the errors that validation measured, which another processor may round otherwise.
Exit code 1 where a model or a report is another. --write makes the file anew.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import onnx

from onnxgs_opt import optimize
from onnxgs_opt.errors import OptError
from onnxgs_opt.lowering import LOWERINGS
from onnxgs_opt.report.model import to_dict
from tests.fixtures.mutants import MUTANTS
from tests.fixtures.recognised import workers
from tests.fixtures.spellings import build
from tests.fixtures.spellings.curated import curated

REPOSITORY = Path(__file__).parents[2]
BASELINE = Path(__file__).with_suffix(".txt")
FOLDERS = ("tests/fixtures", "examples", "bench/models")
LOOK = "dry-run"
"""Stands for a lowering where nothing is written."""
UNCHECKED = "8x64x270x480"
"""A model whose validation takes minutes; what is written does not depend on it."""
WITHOUT = ("schema_version", "tool", "input", "output", "timings", "measurements", "latency", "failures", "provenance")
"""Keys of the report that differ from run to run, or from version to version."""
ERRORS = ("max_abs", "max_rel")
Case = tuple[str, str]
"""(a file, "spelling:" and its name, or "mutant:" and its name; the lowering)"""
Digests = tuple[str, str, str]


def main() -> int:
    """Compare everything with the baseline, or write it."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.same_outputs", description=__doc__)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--only", default="", help="runs whose name holds this text")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    cases = [case for case in all_cases() if options.only in " ".join(case)]
    with workers(options.jobs) as pool:
        made = dict(zip(cases, pool.map(digests, cases, chunksize=4), strict=True))
    if options.write:
        lines = ("\t".join((*case, *found)) + "\n" for case, found in sorted(made.items()))
        BASELINE.write_text("".join(lines), encoding="utf-8")
        return 0
    return compare({case: row for case, row in baseline().items() if options.only in " ".join(case)}, made)


def all_cases() -> Iterator[Case]:
    """Every run, by name."""
    for folder in FOLDERS:
        for path in sorted((REPOSITORY / folder).rglob("*.onnx")):
            yield from ((str(path.relative_to(REPOSITORY)), name) for name in ("auto", *LOWERINGS, LOOK))
    yield from ((f"spelling:{name}", "merged-gather") for name in curated())
    yield from ((f"mutant:{mutant.name}", LOOK) for mutant in MUTANTS)


def digests(case: Case) -> Digests:
    """The three digests of one run."""
    name, lowering = case
    model = model_of(name)
    with tempfile.TemporaryDirectory() as folder:
        output = None if lowering == LOOK else Path(folder) / "out.onnx"
        try:
            result = optimize(
                model,
                output,
                lowering="auto" if lowering == LOOK else lowering,
                dry_run=lowering == LOOK,
                measure=False,
                plugin=lowering == "plugin",
                validate=UNCHECKED not in name,
            )
        except OptError as error:
            return digest("refused"), digest(str(error)), digest("")
        written = b"" if output is None or not output.exists() else without_version(output.read_bytes())
    errors: list[Any] = []
    report = told(to_dict(result.report), errors)
    return digest(written), digest(json.dumps(report, sort_keys=True)), digest(repr(errors))


def model_of(name: str) -> str | onnx.ModelProto:
    """The path of a file, or the model that a spelling or mutant is."""
    kind, _, what = name.partition(":")
    match kind:
        case "spelling":
            return build(curated()[what])
        case "mutant":
            mutant = next(m for m in MUTANTS if m.name == what)
            return mutant.build(next(s for s in curated().values() if mutant.fits(s)))
    return os.fspath(REPOSITORY / name)


def without_version(model: bytes) -> bytes:
    """A model without the version of the tool in its metadata."""
    proto = onnx.load_from_string(model)
    for entry in proto.metadata_props:
        if entry.key == "onnxgs_opt":
            entry.value = json.dumps({**json.loads(entry.value), "version": ""}, sort_keys=True)
    return proto.SerializeToString(deterministic=True)


def told(value: Any, errors: list[Any]) -> Any:
    """What a report says, without what differs from run to run; errors go to a list of their own."""
    match value:
        case dict():
            errors += [(key, value[key]) for key in ERRORS if key in value]
            return {k: told(v, errors) for k, v in value.items() if k not in (*WITHOUT, *ERRORS)}
        case list():
            return [told(item, errors) for item in value]
    return value


def digest(what: bytes | str) -> str:
    """The sha256 of bytes, or of a text; "-" for nothing."""
    data = what.encode() if isinstance(what, str) else what
    return sha256(data).hexdigest() if data else "-"


def baseline() -> dict[Case, Digests]:
    """What was recorded."""
    rows = (line.split("\t") for line in BASELINE.read_text(encoding="utf-8").splitlines())
    return {(name, lowering): (model, report, errors) for name, lowering, model, report, errors in rows}


def compare(old: dict[Case, Digests], new: dict[Case, Digests]) -> int:
    """Print what differs and how much is the same; 1 where a model or a report differs."""
    for case in sorted(old.keys() | new.keys()):
        if case not in old or case not in new:
            sys.stdout.write(f"{'new' if case in new else 'gone'}: {' '.join(case)}\n")
            continue
        parts = [part for part, a, b in zip(PARTS, old[case], new[case], strict=True) if a != b]
        if parts:
            sys.stdout.write(f"another {' and '.join(parts)}: {' '.join(case)}\n")
    both = [case for case in old if case in new]
    same = [sum(old[case][k] == new[case][k] for case in both) for k in range(len(PARTS))]
    counts = ", ".join(f"{n} of {len(both)} {part}s the same" for n, part in zip(same, PARTS, strict=True))
    sys.stdout.write(f"{counts}; {len(new.keys() - old.keys())} new, {len(old.keys() - new.keys())} gone\n")
    return 0 if same[0] == same[1] == len(old) == len(new) else 1


PARTS = ("model", "report", "error")


if __name__ == "__main__":
    sys.exit(main())
