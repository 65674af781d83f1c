"""The reason that is told is the condition that failed, whatever else a model does that no sampler has."""

from __future__ import annotations

import pytest

from onnxgs_opt.api import look
from onnxgs_opt.job import load
from tests.fixtures.mutants import MUTANTS
from tests.fixtures.spellings.curated import curated

UNCLIPPED = [s for s in curated().values() if s.policy == "interior" and s.read == "rows"]
"""Indices leave the image, where a mask makes the result zero: a fault in one is the fault that is told."""


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("swapped-taps", "GSO101"),
        ("width-off-by-one", "GSO102"),
        ("mask-bound-high", "GSO103"),
        ("two-images", "GSO104"),
        ("escape", "GSO105"),
        ("same-corner-twice", "GSO112"),
    ],
)
def test_indices_that_nothing_bounds_hide_no_other_reason(fault: str, code: str) -> None:
    (mutant,) = (mutant for mutant in MUTANTS if mutant.name == fault)
    model = next(mutant.build(spelling) for spelling in UNCLIPPED if mutant.fits(spelling))
    _, found = look(load(model))
    assert not found.samplers
    assert [miss.code for miss in found.near_misses] == [code]
