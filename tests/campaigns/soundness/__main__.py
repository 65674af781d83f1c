"""Counts over generated samplers: every spelling must be found and stay equal, no mutant may be taken for one.

python -m tests.campaigns.soundness --spellings 10000 --mutants 10000 [--seed 0] [--jobs 2]; exit code 1 on any failure.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.campaigns.soundness.judge import Judgement, judge_mutant, judge_point_mutant, judge_spelling
from tests.fixtures.mutants import MUTANTS
from tests.fixtures.recognised import workers
from tests.fixtures.spellings import parse
from tests.fixtures.spellings.generate import spellings

SHOWN = 20
"""Failures that are printed in full."""
Case = tuple[str, str, str, int]
"""(what to judge, the spelling's text, the mutant's name, seed)"""


def main() -> int:
    """Judge everything and print the counts."""
    options = _options()
    failures = _count("spellings", options, _spelling_cases(options))
    failures += _count("mutants", options, _mutant_cases(options))
    return 1 if failures else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--spellings", type=int, default=10_000)
    parser.add_argument("--mutants", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    return parser.parse_args()


def _spelling_cases(options: argparse.Namespace) -> Iterator[Case]:
    stream = itertools.islice(spellings(options.seed), options.spellings)
    return (("spelling", str(s), "", k) for k, s in enumerate(stream))


def _mutant_cases(options: argparse.Namespace) -> Iterator[Case]:
    """Named mutants and random point mutants in turn."""
    rng = random.Random(options.seed + 1)
    for k, spelling in enumerate(itertools.islice(spellings(options.seed + 1), options.mutants)):
        if k % 2:
            yield "point", str(spelling), "", k
            continue
        fitting = [m.name for m in MUTANTS if m.fits(spelling) and not m.equal]
        yield "mutant", str(spelling), rng.choice(fitting), k


def _judge(case: Case) -> tuple[Case, Judgement]:
    try:
        return case, _judged(*case)
    except Exception as error:  # whatever it is, the tool must not end so: it is counted and shown
        where = traceback.extract_tb(error.__traceback__)[-1]
        name = Path(where.filename).name
        return case, Judgement("crash", wrong=True, detail=f"{type(error).__name__} {error} at {name}:{where.lineno}")


def _judged(kind: str, text: str, name: str, seed: int) -> Judgement:
    spelling = parse(text)
    match kind:
        case "spelling":
            return judge_spelling(spelling, seed)
        case "mutant":
            return judge_mutant(next(m for m in MUTANTS if m.name == name), spelling, seed)
    return judge_point_mutant(spelling, seed)


def _count(title: str, options: argparse.Namespace, cases: Iterator[Case]) -> int:
    counts: Counter[str] = Counter()
    shown = 0
    write: Callable[[str], int] = sys.stdout.write
    with workers(options.jobs) as pool:
        for case, judgement in pool.map(_judge, cases, chunksize=16):
            counts[judgement.outcome] += 1
            if judgement.wrong and shown < SHOWN:
                shown += 1
                write(f"  {judgement.outcome}: {judgement.detail} | {case[2]} | {case[1]} | seed {case[3]}\n")
            counts["wrong"] += judgement.wrong
    listed = ", ".join(f"{n} {outcome}" for outcome, n in counts.most_common() if outcome != "wrong")
    write(f"{title}: {sum(counts.values()) - counts['wrong']} judged: {listed}; {counts['wrong']} wrong\n")
    return counts["wrong"]


if __name__ == "__main__":
    sys.exit(main())
