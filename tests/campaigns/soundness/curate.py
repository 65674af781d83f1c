"""Writes tests/fixtures/spellings/curated.txt: one smallest spelling an axis value, then a pairwise cover.

Run from the repository root: python -m tests.campaigns.soundness.curate
"""

from __future__ import annotations

import random
from itertools import combinations
from pathlib import Path

from tests.fixtures.spellings import AXES, Spelling
from tests.fixtures.spellings.generate import random_spelling, spellings
from tests.fixtures.spellings.shrink import shrink

TARGET = Path(__file__).parents[2] / "fixtures" / "spellings" / "curated.txt"
PAIRWISE = 70
CANDIDATES = 60
ORDERS = (0, 1, 7, 18)
"""The orders of the sum that get a line of their own; the random part has the others."""


def main() -> None:
    """Write the file."""
    singles = {str(s): s for s in smallest()}
    covered = {p for s in singles.values() for p in pairs(s)}
    chosen = dict(singles)
    rng = random.Random(7)
    for _ in range(PAIRWISE):
        best = max((random_spelling(rng) for _ in range(CANDIDATES)), key=lambda s: len(pairs(s) - covered))
        covered |= pairs(best)
        chosen[str(best)] = best
    TARGET.write_text("".join(f"{line}\n" for line in chosen))


def smallest() -> list[Spelling]:
    """For each axis value the spelling nearest to the default that has it."""
    found = []
    for axis, values in AXES.items():
        for value in values if axis != "order" else ORDERS:
            start = next(s for s in spellings(3) if getattr(s, axis) == value)
            found.append(shrink(start, lambda s, a=axis, v=value: getattr(s, a) == v))
    return found


def pairs(spelling: Spelling) -> set[tuple[str, object, str, object]]:
    """Every pair of axis values of a spelling, the order of the sum left out."""
    axes = [a for a in AXES if a != "order"]
    return {(a, getattr(spelling, a), b, getattr(spelling, b)) for a, b in combinations(axes, 2)}


if __name__ == "__main__":
    main()
