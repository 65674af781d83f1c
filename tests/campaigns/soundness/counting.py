"""What the campaigns of one kind of sampler print: what became of every case, and which must not have."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeVar

Case = TypeVar("Case")


def failures_of(what: str, cases: Iterable[tuple[str, Case]], judge: Callable[[Case], str]) -> int:
    """Judge cases by name, print those that are "wrong..." or spellings that are not "found", and the counts."""
    failures = 0
    counts: Counter[str] = Counter()
    for name, case in cases:
        became = judge(case)
        counts["wrong" if became.startswith("wrong") else became] += 1
        if became.startswith("wrong") or (what == "spellings" and became != "found"):
            failures += 1
            sys.stderr.write(f"{name}: {became}\n")
    told = ", ".join(f"{number} {name}" for name, number in counts.items())
    sys.stdout.write(f"{what}: {sum(counts.values())} judged, {told}\n")
    return failures
