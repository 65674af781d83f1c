"""Every spelling computes its policy, and recognition finds it whatever the spelling is."""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np
import onnx
import pytest

from tests.fixtures.recogniser import needs_recogniser, semantic_sites
from tests.fixtures.spellings import AXES, Spelling, build, expected, feeds, parse, valid, why_invalid
from tests.fixtures.spellings.check import allowed, difference, trusted
from tests.fixtures.spellings.curated import curated
from tests.fixtures.spellings.generate import spellings
from tests.fixtures.truth import site_gap

CURATED = curated()
each_spelling = pytest.mark.parametrize("spelling", CURATED.values(), ids=CURATED.keys())


@each_spelling
def test_spelling_computes_what_the_reference_does(spelling):
    assert difference(build(spelling), spelling).ok


@each_spelling
def test_spelling_is_valid_onnx(spelling):
    onnx.checker.check_model(build(spelling), full_check=True)


def test_random_spellings_compute_what_the_reference_does():
    for seed, spelling in enumerate(itertools.islice(spellings(seed=11), 200)):
        assert difference(build(spelling), spelling, seed).ok, str(spelling)


def test_curated_spellings_have_every_value_of_every_axis():
    seen = {(axis, getattr(s, axis)) for s in CURATED.values() for axis in AXES}
    assert {(a, v) for a, values in AXES.items() for v in values} <= seen | {("order", k) for k in range(24)}


@each_spelling
def test_text_of_a_spelling_reads_back(spelling):
    assert valid(spelling)
    assert parse(str(spelling)) == spelling


def test_invalid_spelling_says_why():
    broken = Spelling(layout="HW")
    assert why_invalid(broken) == "an image without a batch axis is a single item"
    with pytest.raises(ValueError, match="without a batch axis"):
        build(broken)


def test_unknown_axis_is_refused():
    with pytest.raises(ValueError, match="no spelling axis 'colour=red'"):
        parse("colour=red")


@needs_recogniser
def test_public_find_is_a_function():
    """The package offers find and optimize whatever was imported before."""
    import onnxgs_opt

    assert onnxgs_opt.optimize(build(Spelling()), dry_run=True).report.sites
    assert len(onnxgs_opt.find(build(Spelling()))) == 1


@needs_recogniser
@each_spelling
def test_spelling_is_recognised(spelling):
    model = build(spelling)
    sites, wanted = semantic_sites(model), expected(spelling)
    assert len(sites) == wanted.sites
    inputs = feeds(model, spelling)
    for site in sites:
        border = "reflection" if site.policy.mirrored else site.policy.border
        assert (border, site.policy.window) in wanted.policies
        assert site_gap(model, site, inputs, partial(trusted, spelling)) <= site_tolerance(spelling)
        if wanted.coordinates == "normalised":
            assert (site.coordinates, site.align_corners) == ("normalised", wanted.align_corners)
        if wanted.coordinates == "pixel":
            assert site.coordinates == "pixel"


def site_tolerance(spelling: Spelling) -> float:
    """Grids far from the image lose pixels' last digits on top of what the spelling itself loses."""
    return max(allowed(spelling), float(np.float32(1e-4)))
