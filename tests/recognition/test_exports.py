"""Real exports of the original report's sampler, as exported and after onnxsim and onnxslim."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxgs_opt import Result, find, optimize
from onnxgs_opt.validation.check import check_model

MODELS = sorted((Path(__file__).parents[1] / "fixtures" / "models").glob("masked_interior*.onnx"))
IDS = [path.stem for path in MODELS]
EXACT = 1e-6
MOST_NODES = {True: 80, False: 40}  # dynamic, ten of them for images of a single row or column; static
MORE_BEFORE_14 = 12  # of sizes: a Reshape that makes several axes empty has no allowzero there

each_model = pytest.mark.parametrize("path", MODELS, ids=IDS)


@cache
def optimised(path: Path, lowering: str) -> Result:
    """One run of an export and a lowering serves all tests, which only look at it."""
    return optimize(onnx.load(path) if lowering == "plugin" else path, lowering=lowering)


def is_dynamic(path):
    return ".dyn" in path.name


def opset_of(path):
    return next(own.version for own in onnx.load(path).opset_import if own.domain == "")


def nodes_of(model, op):
    return [node for node in model.graph.node if node.op_type == op]


def test_every_export_is_there():
    assert len(MODELS) == 60  # two samplers, ten exports each, three ways


@each_model
def test_the_site_is_named_in_the_report(path):
    [site] = optimised(path, "merged-gather").report.sites
    normalised = "normalized" in path.name
    assert (site.rule, site.policy.kind, site.policy.border) == ("GSO001", "bilinear", "interior")
    assert (site.policy.coordinates, site.policy.align_corners) == (
        ("normalised", True) if normalised else ("pixel", None)
    )
    assert (site.image, site.grid, len(site.reads)) == ("img", "grid", 4)
    assert site.read_op == ("GatherND" if ".dy" in path.name.replace(".dyn", "") else "Gather")


@each_model
def test_merged_gather_is_exact_and_small(path):
    result = optimised(path, "merged-gather")
    report = result.report
    assert (report.status, report.validation.status, report.reads.after) == ("optimised", "ok", 1)
    more = MORE_BEFORE_14 if is_dynamic(path) and opset_of(path) < 14 else 0
    assert report.nodes.after <= MOST_NODES[is_dynamic(path)] + more
    assert report.sites[0].error.max_abs <= EXACT
    assert report.validation.max_abs <= EXACT


@each_model
def test_the_plugin_node_runs_as_written(path):
    result = optimised(path, "plugin")
    assert (result.report.status, result.report.validation.status) == ("optimised", "ok")
    assert len(nodes_of(result.model, "BilinearSample")) == 1


@each_model
def test_grid_sample_is_one_node_or_says_why_not(path):
    result = optimised(path, "grid-sample")
    [site] = result.report.sites
    if site.lowering == "keep":
        assert site.reason.startswith("grid-sample refused: ")
        return
    assert (result.report.status, result.report.validation.status) == ("optimised", "ok")
    assert len(nodes_of(result.model, "GridSample")) == 1
    assert is_dynamic(path) or result.report.nodes.after <= 25


@each_model
def test_the_mask_survives_and_is_not_made_twice(path):
    if "normalized" in path.name:
        pytest.skip("this sampler has no mask among its outputs")
    before, after = onnx.load(path), optimised(path, "plugin").model
    assert [o.name for o in after.graph.output] == [o.name for o in before.graph.output]
    by_node = all(len(node.output) == 2 and node.output[1] for node in nodes_of(after, "BilinearSample"))
    assert len(nodes_of(after, "And")) == (0 if by_node else len(nodes_of(before, "And")))
    merged = optimised(path, "merged-gather").model
    assert len(nodes_of(merged, "And")) <= len(nodes_of(before, "And"))


WRONG = """<ir_version: 8, opset_import: ["": 17]>
g (float[2,3,24,40] img, float[2,9,11,2] grid) => (float[2,3,9,11] sampled, float[2,9,11,1] mask)
<float[2] last = {39, 23}, float two = {2}, float one = {1}, float[2] zero = {0, 0}> {
  scaled = Div (grid, last)
  doubled = Mul (scaled, two)
  normalised = Sub (doubled, one)
  sampled = GridSample <align_corners = 1, padding_mode = "border", mode = "bilinear"> (img, normalised)
  low = GreaterOrEqual (grid, zero)
  high = Less (grid, last)
  inside = And (low, high)
  numbers = Cast <to = 1> (inside)
  mask = ReduceMin <axes = [-1]> (numbers)
}"""
"""GridSample with border padding and no mask, which no other tool's default check sees."""


def test_the_defaults_see_the_wrong_rewrite():
    original = onnx.load(next(p for p in MODELS if p.stem == "masked_interior.ts17.st"))
    names = [o.name for o in original.graph.output]
    wrong = onnx.parser.parse_model(WRONG)
    for output, name in zip(wrong.graph.output, names, strict=True):
        for node in wrong.graph.node:
            node.output[:] = [name if o == output.name else o for o in node.output]
        output.name = name
    assert check_model(original, original).status == "ok"
    found = check_model(original, wrong)
    assert found.status == "mismatch"
    assert found.max_abs > 0.1
    assert np.isfinite(found.max_abs)


@each_model
def test_find_needs_no_options(path):
    assert [site.output for site in find(path)] == [optimised(path, "plugin").report.sites[0].output]
