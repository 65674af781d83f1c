"""A sampler with one thing broken is not taken for the sampler that it was."""

from __future__ import annotations

import itertools
from collections import Counter
from functools import partial

import numpy as np
import pytest

from tests.fixtures.mutants import MUTANTS, Mutant
from tests.fixtures.recogniser import needs_recogniser, optimize, semantic_sites, verdict
from tests.fixtures.soak import ALL
from tests.fixtures.spellings import Spelling, build, feeds, parse
from tests.fixtures.spellings.check import allowed, run, trusted
from tests.fixtures.spellings.curated import curated
from tests.fixtures.spellings.generate import spellings
from tests.fixtures.truth import site_gap

ORIGINS = 6
"""Spellings that each mutant is made of in the suite."""
LOOKED_FOR = ORIGINS if ALL else 3
"""Of those, the ones in which sites are looked for."""
VISIBLE = 5
"""A mutant differs by this many tolerances or more."""


def _pairs() -> list[tuple[Mutant, Spelling]]:
    """Each mutant with the first curated spellings that it fits, spread over the list."""
    pairs = []
    for number, mutant in enumerate(MUTANTS):
        # floor(p + 1) rounds up an ulp below an integer, which what stands for it does not
        fitting = [s for s in curated().values() if mutant.fits(s) and not (mutant.equal and s.corners == "shift")]
        step = max(1, len(fitting) // ORIGINS)
        pairs += [(mutant, s) for s in fitting[number % step :: step][:ORIGINS]]
    return pairs


PAIRS = _pairs()
BROKEN = [(m, s) for m, s in PAIRS if not m.equal]
EQUAL = [(m, s) for m, s in PAIRS if m.equal]


def _first(pairs: list[tuple[Mutant, Spelling]], most: int) -> list[tuple[Mutant, Spelling]]:
    """The first origins of each mutant: to look for sites costs a hundred times as much as to see a difference."""
    return [p for _, group in itertools.groupby(pairs, key=lambda p: p[0].name) for p in list(group)[:most]]


def _parametrize(pairs):
    return pytest.mark.parametrize(("mutant", "spelling"), pairs, ids=[f"{m.name}: {s}" for m, s in pairs])


def gap(mutant: Mutant, spelling: Spelling, seed: int = 0) -> float:
    """The largest difference between the mutant and its origin on the aimed coordinates."""
    origin, broken = build(spelling), mutant.build(spelling)
    inputs = feeds(broken, spelling, seed)
    known = {i.name for i in origin.graph.input}
    sound = run(origin, {k: v for k, v in inputs.items() if k in known})[0]
    return float(np.abs(run(broken, inputs)[0] - sound).max())


def test_every_mutant_has_origins():
    assert all(Counter(m.name for m, _ in PAIRS)[m.name] for m in MUTANTS)


@_parametrize(BROKEN)
def test_mutant_is_visible(mutant, spelling):
    assert gap(mutant, spelling) > VISIBLE * allowed(spelling)


@_parametrize(EQUAL)
def test_equal_mutant_computes_the_same(mutant, spelling):
    assert gap(mutant, spelling) == 0


def test_mutants_of_random_spellings_are_visible():
    for spelling in itertools.islice(spellings(seed=23), 12):
        for mutant in (m for m in MUTANTS if m.fits(spelling) and not m.equal):
            assert gap(mutant, spelling) > VISIBLE * allowed(spelling), f"{mutant.name}: {spelling}"


@needs_recogniser
@_parametrize(_first(BROKEN, LOOKED_FOR))
def test_mutant_is_not_taken_for_its_origin(mutant, spelling):
    """No site claims what the model does not compute; where no sampler is left, a reason is given."""
    model = mutant.build(spelling)
    count, reasons = verdict(model)
    if not mutant.leaves_sampler(spelling):
        assert not count
    if not count:
        assert reasons
        assert all(r.code.startswith("GSO1") and r.condition and r.node for r in reasons)
        return
    inputs = feeds(model, mutant.becomes(spelling) if mutant.becomes else spelling)
    for site in semantic_sites(model):
        assert site_gap(model, site, inputs, partial(trusted, spelling)) <= max(allowed(spelling), 1e-4)


@needs_recogniser
@_parametrize(EQUAL)
def test_equal_mutant_keeps_its_tensors(mutant, spelling):
    """An interior tensor that somebody else reads survives, whether the sampler was replaced or not."""
    model = mutant.build(spelling)
    inputs = feeds(model, spelling)
    result = optimize(model, validate=False).model
    assert [o.name for o in result.graph.output] == [o.name for o in model.graph.output]
    for before, after in zip(run(model, inputs), run(result, inputs), strict=True):
        np.testing.assert_allclose(after, before, rtol=0, atol=max(allowed(spelling), 1e-4))


@needs_recogniser
def test_rows_that_do_not_make_whole_images_are_no_image():
    """A batch stride that does not divide the rows: found by generation, taken for images of 4 x 7 once."""
    spelling = parse(
        "policy=ranged grid=xy-gather points=flat layout=NHW read=columns weights=fraction corners=ceil "
        "index_dtype=float32 round_trip=True sum=pairs order=15 output=reshaped image_dtype=float16-values opset=18"
    )
    [mutant] = [m for m in MUTANTS if m.name == "batch-offset-wrong"]
    assert not semantic_sites(mutant.build(spelling))
