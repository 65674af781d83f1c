"""What a check says: results that do not load, and functions that have the name of this tool's operator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import parser

from onnxgs_opt import optimize
from onnxgs_opt.ir.convert import inlined
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.passes.lower_sites import still_read
from onnxgs_opt.recognition.find import canonical, surveyed
from onnxgs_opt.report.collect import site_record, validation_record
from onnxgs_opt.report.rendering.words import verdict
from onnxgs_opt.tuning.plan import Choice
from onnxgs_opt.validation.check import check_model
from tests.fixtures.spellings.check import run

FIXTURES = Path(__file__).parents[1] / "fixtures"
MODEL = FIXTURES / "bodies" / "batch.sta.onnx"
ONE = '<ir_version: 8, opset_import: ["" : 17]> g (float[2] x) => (float[2] y) { y = Neg(x) }'
OWN = """
<ir_version: 8, opset_import: ["" : 17, "onnxgs" : 1]>
g (float[2] x) => (float[2] y) { y = onnxgs.BilinearSample(x) }
<opset_import: ["" : 17], domain: "onnxgs">
BilinearSample (a) => (b) { two = Constant<value_float = 2.0>() b = Mul(a, two) }
"""


def test_a_result_that_does_not_load_is_an_internal_failure_without_an_error() -> None:
    before = parser.parse_model(ONE)
    broken = parser.parse_model(ONE.replace("Neg", "Unheard"))
    comparison = check_model(before, broken)
    record = validation_record(comparison, Graph.from_proto(before))
    assert (record.status, record.max_abs) == ("mismatch", None)
    assert record.reason is not None
    assert record.reason.startswith("the result does not load")
    _, found = surveyed(*canonical(Graph.load(MODEL)))
    site = found.sites[0]
    assert site_record(site, Choice("keep", "broken"), comparison).error.max_abs is None


@pytest.mark.parametrize(
    ("file", "name", "axis", "lowering", "at"),
    [
        ("attention/listed.ts17.st", "places", 1, "row-gather", "places 2x1x2x12x2"),
        ("attention/one_level.ts17.st", "places", 4, "plugin", "places 2x11x2x1x1x2"),
        ("field/volume_at_points.tf13.st", "in1", 2, "merged-gather", "in1 2x9x1"),
    ],
)
def test_a_size_of_1_that_only_the_model_spreads_along_others_is_said(
    file: str, name: str, axis: int, lowering: str, at: str
) -> None:
    """The file leaves a size open that nodes fix, or 1: nothing is proven there, and it is no internal failure."""
    model = onnx.load(FIXTURES / f"{file}.onnx")
    (value,) = (value for value in model.graph.input if value.name == name)
    value.type.tensor_type.shape.dim[axis].dim_param = "free"
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    (site,) = optimize(model, lowering=lowering, measure=False).report.sites
    assert site.lowering == "keep"
    assert site.reason.startswith(
        "its check failed at a size of 1, of which nothing is proven: the result does not run"
    )
    assert at in site.reason


def test_a_function_of_the_users_keeps_what_it_computes() -> None:
    model = parser.parse_model(OWN)
    flat = inlined(Graph.from_proto(model)).to_proto()
    assert not flat.functions
    x = {"x": np.array([1, 2], np.float32)}
    assert np.array_equal(run(flat, x)[0], run(model, x)[0])


def test_the_functions_that_this_tool_writes_stay() -> None:
    result = optimize(MODEL, lowering="plugin", measure=False).model
    assert [f.name for f in inlined(Graph.from_proto(result)).to_proto().functions] == ["BilinearSample"]


def test_a_site_is_lowered_only_where_its_reads_are_gone() -> None:
    graph, found = surveyed(*canonical(Graph.load(MODEL)))
    (site, *_) = found.sites
    kept = still_read(graph, found.sites, {site.id: "merged-gather"})
    assert list(kept) == [site.id]
    assert site.reads[0] in kept[site.id]


def test_where_both_differ_the_report_says_which_is_nearer_to_double_precision() -> None:
    model = FIXTURES / "words" / "far_outside.dyn.onnx"
    report = optimize(model, lowering="lerp-gather", measure=False).report
    assert report.validation.from_double is not None
    before, after = report.validation.from_double
    assert after < 1e-4 < 1 < before
    assert "the result is nearer to a run in double precision" in verdict(report)
