"""A small sample of what `python -m tests.campaigns.soundness` counts."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from tests.fixtures.mutants import MUTANTS
from tests.fixtures.point_mutants import point_mutant, visible
from tests.fixtures.recogniser import needs_recogniser
from tests.fixtures.spellings import Spelling, build, parse
from tests.fixtures.spellings.generate import spellings

SAMPLE = [str(s) for s in itertools.islice(spellings(seed=5), 16)]
COUNTED = (
    "policy=clamp-weights coordinates=unit-half grid=list points=flat read=nd-byx batch=linspace corners=shift "
    "clamp=minmax clamp_on=int index_dtype=int32 round_trip=True sum=pool order=15 flip=True values=channels-first "
    "dims=dynamic"
)
"""A product instead of a sum of it has an image that is chosen by a number whose place is one of the points."""

BROKEN = [str(s) for s in itertools.islice(spellings(seed=6), 24)]


def _seeded(texts):
    return pytest.mark.parametrize(("seed", "text"), list(enumerate(texts)), ids=texts)


@needs_recogniser
@_seeded(SAMPLE)
def test_generated_spelling_is_matched_and_stays_equal(seed, text):
    from tests.campaigns.soundness.judge import judge_spelling

    judgement = judge_spelling(parse(text), seed)
    assert not judgement.wrong, f"{judgement.outcome}: {judgement.detail}"


@needs_recogniser
@_seeded(BROKEN)
def test_generated_mutant_is_refused(seed, text):
    from tests.campaigns.soundness.judge import judge_mutant

    spelling = parse(text)
    mutant = random.Random(seed).choice([m for m in MUTANTS if m.fits(spelling) and not m.equal])
    judgement = judge_mutant(mutant, spelling, seed)
    assert not judgement.wrong, f"{mutant.name}: {judgement.outcome}: {judgement.detail}"


@needs_recogniser
@_seeded(BROKEN)
def test_random_edit_is_refused_or_claimed_truly(seed, text):
    from tests.campaigns.soundness.judge import judge_point_mutant

    judgement = judge_point_mutant(parse(text), seed)
    assert not judgement.wrong, f"{judgement.outcome}: {judgement.detail}"


@needs_recogniser
def test_a_random_edit_of_a_batch_that_is_counted_is_judged():
    from tests.campaigns.soundness.judge import judge_point_mutant

    assert judge_point_mutant(parse(COUNTED), 113).outcome == "refused"


def test_point_mutant_leaves_its_origin_alone():
    origin = build(Spelling())
    before = origin.SerializeToString(deterministic=True)
    edits = [point_mutant(origin, random.Random(seed)) for seed in range(20)]
    assert origin.SerializeToString(deterministic=True) == before
    assert all(m.SerializeToString(deterministic=True) != before and edit for m, edit in edits)


def test_visible_sees_a_difference():
    assert visible(np.zeros(3), np.full(3, 0.5), 0.1)
    assert visible(np.zeros(3), np.full(3, np.nan), 0.1)
    assert not visible(np.zeros(3), np.full(3, 0.05), 0.1)


@needs_recogniser
def test_an_edit_that_only_costs_digits_is_claimed_truly():
    """Unclamped weights on clamped corners cancel: border, by more roundings than the spelling had."""
    from tests.campaigns.soundness.judge import judge_point_mutant

    text = (
        "policy=border-coord grid=list points=flat layout=NHW read=columns batch=range linear=horner weights=fraction "
        "corners=ceil clamp=maxmin output=reshaped dims=dynamic constants=node repeat=True"
    )
    judgement = judge_point_mutant(parse(text), seed=105)
    assert judgement.outcome == "another sampler, truly"
