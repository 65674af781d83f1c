"""`blocked-gather` in blocks small enough for small cases: against the definition, and what its loop holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from onnxgs_opt import optimize
from onnxgs_opt.lowering import Target
from onnxgs_opt.lowering.blocked_gather import BlockedGather
from tests.lowering.samplers import POLICIES, Case, gap, graph_and_site, lower

SMALL = BlockedGather(elements=16 * 40)
CASES = [
    Case(channels=16),
    Case(channels=9, batch=1, image=(2, 2)),
    Case(channels=10, batch=3, one_grid=True),
    Case(channels=12, rows_and_columns=True),
    Case(channels=16, coordinates="normalised", align_corners=True),
]


def small_gap(case: Case) -> float:
    """The largest difference from the definition; no case may be refused."""
    assert SMALL.refusal(graph_and_site(case)[1], Target(case.opset)) is None
    return gap(case, SMALL)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: f"{p.border}-{p.window}")
def test_policies(policy) -> None:
    assert max(small_gap(replace(case, policy=policy)) for case in CASES[:4]) <= 1e-6


@pytest.mark.parametrize("opset", [11, 12, 13, 16, 18, 20, 21])
def test_opsets(opset) -> None:
    assert max(small_gap(replace(case, opset=opset)) for case in CASES) <= 2e-6


def test_half_precision_images() -> None:
    assert small_gap(Case(channels=16, dtype="float16")) <= 1e-2


@pytest.mark.parametrize("case", CASES)
def test_what_a_turn_reads_fits_the_block(case) -> None:
    (scan,) = (node for node in lower(case, SMALL).nodes if node.op == "Scan")
    index, points = scan.inputs[0].shape, case.batch * case.samples[0] * case.samples[1]
    assert index[0] * index[1] == points
    assert index[0] > 2
    assert SMALL.elements / 4 <= index[1] * case.channels <= 4 * SMALL.elements
    assert [node.op for node in scan.attrs["body"].nodes] == ["Gather", "MatMul"]


def test_a_real_export_of_many_channels() -> None:
    path = Path(__file__).parents[2] / "bench" / "models" / "1x64x135x240.onnx"
    result = optimize(path, lowering="blocked-gather")
    assert (result.report.status, result.report.validation.status) == ("optimised", "ok")
    assert (result.report.reads.before, result.report.reads.after) == (4, 1)
    again = optimize(result.model, lowering="blocked-gather", dry_run=True).report
    assert (again.sites, again.near_misses) == ((), ())
