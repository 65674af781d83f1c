"""Which cases of a recorded table speak for a site: the one beside it, all around it, or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import log2
from typing import Any

RecordedCase = Mapping[str, Any]
SizesOf = Callable[[RecordedCase], tuple[int, ...]]

NEAR = 4.0
"""Within so many doublings of its sizes a case speaks for a site by itself: cases are as far from each other.

From 8x8 to 32x32 points it is four doublings, from 3 to 32 channels three and a half: in those four the gain of
merged-gather goes from 1.8 to 4.6, and in the three and a half from 4.6 to 1.0. What is farther from every case than
they are from each other may gain anything.
"""


def distance(sizes: Sequence[int], others: Sequence[int]) -> float:
    """How many doublings sizes are apart."""
    return sum(abs(log2(max(one, 1) / max(other, 1))) for one, other in zip(sizes, others, strict=True))


def speaking(
    sizes: Sequence[int | None],
    least: Sequence[int],
    cases: Sequence[RecordedCase],
    sizes_of: SizesOf,
    *,
    is_kind: bool = True,
) -> tuple[list[RecordedCase], str]:
    """The cases that have to agree on a form of a site of some sizes, or why there are none, in words.

    A dynamic size may be any from `least` on: the smallest site has to be near a case, and the cases of all its sizes
    count whose other sizes are about those of the site. Where the cases are of another kind of models than the site's
    (`is_kind`) no single one speaks, but all that are near.
    """
    start = [low if size is None else size for size, low in zip(sizes, least, strict=True)]
    near = sorted(cases, key=lambda case: distance(start, sizes_of(case)))
    far = [distance(start, sizes_of(case)) for case in near]
    if None in sizes:
        if far[0] > NEAR:
            return [], "its sizes are open, and nothing small is recorded"
        return [case for case in near if case is near[0] or _apart(sizes, sizes_of(case)) <= NEAR / 2], ""
    if far[0] <= NEAR and is_kind:
        return near[:1], ""
    around = [case for case, away in zip(near, far, strict=True) if away <= (2 * NEAR if is_kind else NEAR)]
    if not around or (is_kind and len(around) == 1):  # one that is far is no bound
        return [], "nothing of about its size is recorded"
    return around, ""


def _apart(sizes: Sequence[int | None], others: Sequence[int]) -> float:
    """How many doublings the sizes that are known are apart."""
    known = [(size, other) for size, other in zip(sizes, others, strict=True) if size is not None]
    return distance([size for size, _ in known], [other for _, other in known])
