"""Counts over generated models that compute with their sizes, and over every lowering of the models in folders.

python -m tests.campaigns.sizes [FOLDER ...] [--models 10000] [--jobs 2] [--write PAGE]; exit code 1 where a result is
wrong, or where less than nine in ten of those that are plain samplers at every size are lowered. Those whose result
changes at a size are also looked at between sizes that are stated.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.campaigns.sizes.files import files, judged_file
from tests.campaigns.sizes.judge import judged, judged_between
from tests.campaigns.sizes.models import Generated, generated
from tests.fixtures.recognised import workers

SHARE = 0.9
"""Of what is a plain sampler at every size, at least so much is lowered."""

BEGIN, END = "<!-- made by make sizes -->", "<!-- to here, of make sizes -->"
OUTCOMES = ("lowered", "refused", "wrong")
Outcome = tuple[str, str]


def main() -> int:
    """Judge everything, print what is wrong or lost, and the counts."""
    options = _options()
    cases = [generated(k) for k in range(options.first, options.first + options.models)]
    groups = {
        "nothing changes at any size": [case for case in cases if case.is_harmless],
        "something changes at a size": [case for case in cases if not case.is_harmless],
    }
    with workers(options.jobs) as pool:
        found = {name: list(pool.map(judged, group, chunksize=20)) for name, group in groups.items()}
        changing = groups["something changes at a size"]
        found["the same, between stated sizes"] = list(pool.map(judged_between, changing, chunksize=20))
        lowerings = list(files(options.folders))
        of_files = list(pool.map(_of_file, lowerings, chunksize=4))
    plain = found["nothing changes at any size"]
    _tell(groups["nothing changes at any size"], plain, "refused")
    for group, outcomes in zip((*groups.values(), changing), found.values(), strict=True):
        _tell(group, outcomes, "wrong")
    _tell([f"{path.name} by {name}" for path, name in lowerings], of_files, "wrong")
    table = _table(found, of_files)
    sys.stdout.write(table + "\n")
    if options.write is not None:
        page = options.write.read_text(encoding="utf-8")
        before, rest = page.split(BEGIN)
        options.write.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")
    wrong = sum(outcome == "wrong" for outcomes in (*found.values(), of_files) for outcome, _ in outcomes)
    lost = sum(outcome == "refused" for outcome, _ in plain)
    return 1 if wrong or lost > (1 - SHARE) * len(plain) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.sizes", description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--models", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--write", type=Path, help="the page whose table is made anew")
    return parser.parse_args()


def _of_file(case: tuple[Path, str]) -> Outcome:
    return judged_file(*case)


def _tell(cases: Sequence[Generated] | Sequence[str], outcomes: Sequence[Outcome], wanted: str) -> None:
    for case, (outcome, why) in zip(cases, outcomes, strict=True):
        if outcome == wanted:
            sys.stdout.write(f"{outcome} {case if isinstance(case, str) else case.name}: {why}\n")


def _table(found: Mapping[str, Sequence[Outcome]], of_files: Sequence[Outcome]) -> str:
    rows = ["| models | tried | lowered, and equal | left as exported | wrong |", "|---|---|---|---|---|"]
    for name, outcomes in found.items():
        counts = Counter(outcome for outcome, _ in outcomes)
        rows.append(f"| {name} | {len(outcomes)} | " + " | ".join(str(counts[o]) for o in OUTCOMES) + " |")
    if of_files:
        counts = Counter(outcome for outcome, _ in of_files)
        numbers = " | ".join(str(counts[name]) for name in ("written", "kept", "wrong"))
        rows.append(f"| models in files, each with every lowering | {len(of_files)} | {numbers} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
