"""One generated model against the recogniser and its lowerings."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import onnx

from onnxgs_opt.api import find, optimize
from onnxgs_opt.validation.double_precision import in_double
from tests.fixtures.mutants import Mutant
from tests.fixtures.point_mutants import point_mutant, visible
from tests.fixtures.spellings import Spelling, build, expected, feeds
from tests.fixtures.spellings.check import allowed, run, trusted
from tests.fixtures.spellings.spelling import FILL
from tests.fixtures.truth import site_gap

LOWERINGS = ("merged-gather", "grid-sample", "plugin")
FLOOR = 1e-4
"""Smallest tolerance of a claim: what float32 coordinates far from the image lose in pixels."""
LOWERED = 1e-3
"""Tolerance of a lowered model on unit-normal images, GridSample's coordinate round trip included."""
EXACT = 1e-9
"""Tolerance of a claim in double precision."""
ATTEMPTS = 30
"""Random edits tried before a model is given up as one without visible mutants."""


@dataclass(frozen=True)
class Judgement:
    """What came out, whether it must not have, and the reason."""

    outcome: str
    wrong: bool = False
    detail: str = ""


def judge_spelling(spelling: Spelling, seed: int) -> Judgement:
    """A spelling is found with its policy, the claim is true, and a lowering of it computes the same."""
    model = build(spelling)
    sites, wanted, inputs = _sites(model), expected(spelling), feeds(model, spelling, seed)
    if len(sites) != wanted.sites:
        return Judgement("missed", wrong=True, detail=f"{len(sites)} sites, not {wanted.sites}")
    for site in sites:
        border = "reflection" if site.policy.mirrored else site.policy.border
        if (border, site.policy.window) not in wanted.policies:
            return Judgement("misnamed", wrong=True, detail=str(site.policy))
        if float(site.policy.fill) != (FILL if spelling.policy == "fill" else 0):
            return Judgement("misnamed", wrong=True, detail=str(site.policy))
        if untrue := _untrue(model, site, spelling, inputs):
            return Judgement("false", wrong=True, detail=untrue)
    lowering = LOWERINGS[seed % len(LOWERINGS)]
    if gap := _lowered_gap(model, lowering, spelling, inputs):
        return Judgement("unequal", wrong=True, detail=f"{gap} after {lowering}")
    return Judgement("matched and equal")


def judge_mutant(mutant: Mutant, spelling: Spelling, seed: int) -> Judgement:
    """A mutant is refused, or what is claimed of it is true of it."""
    model = mutant.build(spelling)
    inputs = feeds(model, mutant.becomes(spelling) if mutant.becomes else spelling, seed)
    return _judge_broken(model, spelling, inputs, mutant.leaves_sampler(spelling))


def judge_point_mutant(spelling: Spelling, seed: int) -> Judgement:
    """A random edit that changes the result is refused, or what is claimed of it is true of it."""
    rng, origin = random.Random(seed), build(spelling)
    inputs = feeds(origin, spelling, seed)
    sound = run(origin, inputs)[0]
    for _ in range(ATTEMPTS):
        broken, edit = point_mutant(origin, rng)
        try:
            result = run(broken, inputs)[0]
        except Exception:  # onnxruntime's own: most edits make no model
            continue
        if visible(sound, result, 5 * allowed(spelling)) and np.isfinite(result).all():
            judged = _judge_broken(broken, spelling, inputs, may_be_found=True)
            return Judgement(judged.outcome, judged.wrong, f"{edit}; {judged.detail}")
    return Judgement("no visible edit")


def _judge_broken(
    model: onnx.ModelProto, spelling: Spelling, inputs: dict[str, np.ndarray], may_be_found: bool
) -> Judgement:
    sites = _sites(model)
    if not sites:
        return Judgement("refused")
    if untrue := next((u for s in sites if (u := _untrue(model, s, spelling, inputs))), ""):
        return Judgement("taken for a sampler", wrong=True, detail=untrue)
    if not may_be_found:
        return Judgement("found", wrong=True, detail=f"{sites[0].policy} of {sites[0].output}")
    return Judgement("another sampler, truly")


def _sites(model: onnx.ModelProto) -> list[Any]:
    return [s for s in find(model) if s.rule == "GSO001"]


def _untrue(model: onnx.ModelProto, site: Any, spelling: Spelling, inputs: dict[str, np.ndarray]) -> str:
    """What is wrong with a claim, empty when it is true."""
    try:
        gap = site_gap(model, site, inputs, partial(trusted, spelling))
    except ValueError as error:
        return str(error)
    true = gap <= max(allowed(spelling), FLOOR) or _exact_gap(model, site, spelling, inputs) <= EXACT
    return "" if true else f"{site.policy} is off by {gap:.3g}"


def _exact_gap(model: onnx.ModelProto, site: Any, spelling: Spelling, inputs: dict[str, np.ndarray]) -> float:
    """The gap in double precision: an edit may make weights that grow outside and cancel, which costs fp32 digits."""
    wide = {name: a.astype(np.float64) if a.dtype == np.float32 else a for name, a in inputs.items()}
    try:
        return site_gap(in_double(model), site, wide, partial(trusted, spelling))
    except Exception:  # onnxruntime's own: it has not every operator in double precision
        return np.inf


def _lowered_gap(model: onnx.ModelProto, lowering: str, spelling: Spelling, inputs: dict[str, np.ndarray]) -> str:
    if spelling.corners == "shift":
        return ""  # floor(x+1) reads another pixel an ulp below an integer, and the lowered model does not
    lowered = optimize(model, lowering=lowering, validate=False).model
    before, after = run(model, inputs)[0], run(lowered, inputs)[0]
    return f"{np.abs(before - after).max():.3g}" if visible(before, after, max(allowed(spelling), LOWERED)) else ""
