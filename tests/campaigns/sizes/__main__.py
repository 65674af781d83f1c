"""Counts over generated models that compute with their sizes, and over every lowering of the models in folders.

Those whose result changes at a size are also looked at between sizes that are stated.

python -m tests.campaigns.sizes [FOLDER ...] [--models 10000] [--jobs 2]; exit code 1 where a result is wrong, or where
less than nine in ten of those that are plain samplers at every size are lowered.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.campaigns.sizes.files import files, judged_file
from tests.campaigns.sizes.judge import counted, judged, judged_between
from tests.campaigns.sizes.models import generated

SHARE = 0.9
"""Of what is a plain sampler at every size, at least so much is lowered."""


def main() -> int:
    """Judge everything, print what is wrong or lost, and the counts."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.sizes", description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--models", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    with ProcessPoolExecutor(options.jobs) as pool:
        numbers = range(options.first, options.first + options.models)
        found = [
            (generated(k), outcome) for k, outcome in zip(numbers, pool.map(_of, numbers, chunksize=20), strict=True)
        ]
        changing = [k for k, (case, _) in zip(numbers, found, strict=True) if not case.is_harmless]
        between = list(pool.map(_between, changing, chunksize=20))
        cases = list(files(options.folders))
        of_files = list(pool.map(_of_file, cases, chunksize=4))
    for case, (outcome, why) in found:
        if outcome == "wrong" or (case.is_harmless and outcome == "refused"):
            _print(f"{outcome} {case.name}: {why}")
    for (path, name), (outcome, why) in zip(cases, of_files, strict=True):
        if outcome == "wrong":
            _print(f"wrong {path.name} by {name}: {why}")
    for number, (outcome, why) in zip(changing, between, strict=True):
        if outcome == "wrong":
            _print(f"wrong between stated sizes {generated(number).name}: {why}")
    counts = counted(found)
    _print(", ".join(f"{number} {name}" for name, number in counts.items()))
    kinds = Counter(outcome for outcome, _ in between)
    _print(f"{len(between)} between stated sizes: " + ", ".join(f"{n} {name}" for name, n in sorted(kinds.items())))
    if cases:
        kinds = Counter(outcome for outcome, _ in of_files)
        _print(f"{len(cases)} lowerings of files: " + ", ".join(f"{n} {name}" for name, n in sorted(kinds.items())))
    wrong = counts["wrong"] + sum(outcome == "wrong" for outcome, _ in (*between, *of_files))
    return 1 if wrong or counts["plain lowered"] < SHARE * counts["plain"] else 0


def _of(number: int) -> tuple[str, str]:
    return judged(generated(number))


def _between(number: int) -> tuple[str, str]:
    return judged_between(generated(number))


def _of_file(case: tuple[Path, str]) -> tuple[str, str]:
    return judged_file(*case)


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
