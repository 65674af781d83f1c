"""Which of the sums that were no sampler are told, and by which reason."""

from __future__ import annotations

from collections.abc import Iterator, Set

from onnxgs_opt.diagnostics import Remark
from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.recognition.candidates import TAPS, Join, is_rounded
from onnxgs_opt.recognition.match import Miss

LATE = frozenset(("GSO101", "GSO103", "GSO107", "GSO114"))
"""Codes of sums that do read the pixels around two floors; these are reported of a single read of all corners too."""


def remarks(scope: Scope, misses: dict[str, tuple[Join, Miss]], claimed: Set[str]) -> Iterator[Remark]:
    """One near-miss for the widest sum of each group of reads that no site took.

    A sum none of whose reads rounds a number to its index is none: it looks classes, words or items up.
    """
    kept: list[tuple[Join, Miss]] = []
    for join, miss in sorted(misses.values(), key=lambda entry: -len(entry[0].reads)):
        inside = any(join.reads <= other.reads for other, _ in kept)
        told = len(join.reads) > 1 or (miss.code in LATE and miss.taps >= TAPS)
        if not inside and told and not join.reads & claimed:
            kept.append((join, miss))
    for join, miss in kept:
        if any(is_rounded(scope, scope.producer[read][0].inputs[1].name) for read in join.reads):
            yield Remark(miss.code, join.node.name, miss.condition)
