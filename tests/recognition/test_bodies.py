"""Samplers in branches, loops, scans and functions are found, proven and rewritten where they are."""

from __future__ import annotations

import random
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto

from onnxgs_opt import find, optimize
from onnxgs_opt.ir.graph import Graph
from tests.fixtures.enclosures import BODIES, COPIES, FUNCTIONS
from tests.fixtures.mutants import MUTANTS
from tests.fixtures.spellings import build, expected, feeds
from tests.fixtures.spellings.check import allowed, run
from tests.fixtures.spellings.generate import spellings

EXPORTS = sorted((Path(__file__).parents[1] / "fixtures" / "bodies").glob("*.onnx"))
ENCLOSURES = {**BODIES, **FUNCTIONS}
PLAIN = """<ir_version: 8, opset_import: ["": 17]>
g (float[n, 3] x, float[3, 3] w) => (float[n, 3] y) { y = MatMul(x, w) }"""
each_enclosure = pytest.mark.parametrize("name", ENCLOSURES)


def random_spellings(seed: int, count: int = 3) -> list[Any]:
    """Spellings that are one sampler by themselves, and not of the kind that rounds an ulp differently."""
    usable = (s for s in spellings(seed) if expected(s).sites == 1 and s.corners != "shift")
    return list(islice(usable, count))


@cache
def policies(spelling: Any) -> set[Any]:
    """Of the samplers that a spelling is by itself."""
    return {site.policy for site in find(build(spelling))}


def outside(model: ModelProto, seed: int) -> int:
    """How many of the first nodes stay outside: none, or some of the index arithmetic before the first read."""
    first = next(k for k, node in enumerate(model.graph.node) if node.op_type.startswith("Gather"))
    return random.Random(seed).choice((0, first // 2, first))


def inputs_of(model: ModelProto, enclosed: ModelProto, spelling: Any) -> list[dict[str, np.ndarray]]:
    values = feeds(model, spelling)
    if any(v.name == "taken" for v in enclosed.graph.input):
        return [{**values, "taken": np.array(taken)} for taken in (True, False)]
    return [values]


@each_enclosure
def test_a_sampler_is_found_and_lowered_where_it_is(name: str) -> None:
    for seed, spelling in enumerate(random_spellings(seed=51)):
        model = build(spelling)
        enclosed = ENCLOSURES[name](model, outside(model, seed))
        onnx.checker.check_model(enclosed, full_check=True)
        sites = [s for s in find(enclosed) if s.rule == "GSO001"]
        assert len(sites) == COPIES.get(name, 1), str(spelling)
        assert {s.policy for s in sites} == policies(spelling), str(spelling)
        assert all(bool(s.body) == (name in BODIES) for s in sites)
        result = optimize(enclosed, lowering="merged-gather")
        assert {s.lowering for s in result.report.sites} == {"merged-gather"}
        assert result.report.validation.status == "ok"
        onnx.checker.check_model(result.model, full_check=True)
        for values in inputs_of(model, enclosed, spelling):
            before, after = run(enclosed, values)[0], run(result.model, values)[0]
            np.testing.assert_allclose(after, before, rtol=0, atol=max(allowed(spelling), 1e-4), err_msg=str(spelling))


@each_enclosure
def test_what_is_broken_there_is_refused(name: str) -> None:
    for seed, spelling in enumerate(random_spellings(seed=52)):
        fitting = [m for m in MUTANTS if m.fits(spelling) and not m.equal and not m.leaves_sampler(spelling)]
        model = random.Random(seed).choice(fitting).build(spelling)
        enclosed = ENCLOSURES[name](model, outside(model, seed))
        assert not [s for s in find(enclosed) if s.rule == "GSO001"], str(spelling)


@pytest.mark.parametrize("path", EXPORTS, ids=lambda p: p.stem)
@pytest.mark.parametrize("lowering", ["merged-gather", "row-gather", "plugin"])
def test_exported_loops_branches_and_scans(path: Path, lowering: str) -> None:
    result = optimize(path, lowering=lowering)
    assert {(s.policy.border, s.lowering) for s in result.report.sites} == {("border", lowering)}
    assert {len(s.reads) for s in result.report.sites} == {4}
    assert all(s.error.max_abs is not None and s.error.max_abs <= 1e-5 for s in result.report.sites)
    assert result.report.validation.status == "ok"
    assert result.report.nodes.after < result.report.nodes.before
    onnx.checker.check_model(result.model, full_check=True)


def test_the_report_says_in_which_body() -> None:
    [loop] = [p for p in EXPORTS if p.stem == "iterative.dyn"]
    [site] = optimize(loop, dry_run=True).report.sites
    assert Graph.load(loop).at(site.body).outer is not None
    assert site.body.endswith(".body")


def test_a_functions_calls_stay_where_nothing_is_found() -> None:
    model = ENCLOSURES["function"](onnx.parser.parse_model(PLAIN), 0)
    result = optimize(model)
    assert result.report.status == "nothing-to-do"
    assert result.model.SerializeToString() == model.SerializeToString()


def test_a_function_that_a_runtime_has_a_kernel_for_stays() -> None:
    [spelling] = random_spellings(seed=53, count=1)
    model = ENCLOSURES["function"](build(spelling), 0)
    for part in (*model.functions, model.graph.node[-1]):
        part.domain = "com.microsoft"
    model.opset_import[-1].domain = "com.microsoft"
    assert not find(model)
