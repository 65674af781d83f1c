"""Exports of other frameworks: each is found as its line of the field's table says, and lowered."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from onnxgs_opt import optimize
from onnxgs_opt.api import look
from onnxgs_opt.job import load
from tests.campaigns.field.table import TABLE, Found

FOLDER = Path(__file__).parents[1] / "fixtures" / "field"
FILES = sorted(FOLDER.glob("*.onnx"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_is_what_the_table_says(path):
    wanted = TABLE[path.name.split(".")[0]]
    report = optimize(onnx.load(path), lowering="merged-gather", measure=False).report
    assert Found.of(report) in wanted
    sampled = any(site.rule == "GSO001" for site in report.sites)
    assert not sampled or [site.lowering for site in report.sites] == ["merged-gather"]
    assert not sampled or all(site.error.max_abs is not None for site in report.sites)


def test_what_roi_align_would_do_otherwise_is_said():
    """RoIAlign in plain torch: which image is read is told by data, and nothing is zero outside."""
    path = FOLDER / "torchvision_roi_align_py.ts17.st.onnx"
    [site] = optimize(onnx.load(path), dry_run=True).report.sites
    assert site.grid == ("rois",)
    assert "its boxes are not proven to stay inside" in site.refusals["roi-align"]
    assert "which image is read is told by data" in site.refusals["lerp-gather"]
    assert "merged-gather" not in site.refusals


def test_boxes_whose_numbers_are_not_counted_in_the_file_are_checked():
    """Inputs that are made for the whole model may have fewer numbers a box than the model reads."""
    model = onnx.load(FOLDER / "torchvision_roi_align_py.ts17.st.onnx")
    model.graph.input[1].type.tensor_type.shape.dim[1].dim_param = "numbers"
    result = optimize(model, lowering="merged-gather", measure=False)
    assert [site.lowering for site in result.report.sites] == ["merged-gather"]


def test_points_that_the_export_cannot_read_are_left_out_of_its_check():
    """The export's reads fail outside the image, where it chooses the fill value: its site is checked beside it."""
    path = FOLDER / "index_modes_jax.constant.onnx"
    report = optimize(onnx.load(path), lowering="merged-gather", measure=False).report
    assert report.validation.status == "not-run"
    assert 0 < report.sites[0].error.max_abs < 1e-5


def test_eight_corners_in_one_read_that_are_no_sampler_are_told():
    """One of their weights is another one. The first look, for two coordinates, had seen three, and that was all."""
    model = onnx.load(FOLDER / "volume_at_points.tf13.st.onnx")
    [weights] = [tensor for tensor in model.graph.initializer if tensor.name == "sub_1:0"]
    halved = onnx.numpy_helper.to_array(weights).copy()
    halved.reshape(-1)[0] /= 2
    weights.CopyFrom(onnx.numpy_helper.from_array(halved, weights.name))
    report = optimize(model, dry_run=True).report
    assert [(miss.code, miss.node) for miss in report.near_misses] == [("GSO101", "Sum")]


def test_a_panorama_is_one_where_its_points_are_kept():
    """Behind the last column is the first, by a condition: no remainder shows a period, and beyond it is none."""
    model = onnx.load(FOLDER / "panorama_seam.ts14.st.onnx")
    _, found = look(load(model))
    assert [site.bounds for site in found.samplers] == [((0, 0), (0, -1))]
    [seam] = [node for node in model.graph.node if node.op_type == "Where"]
    seam.input[1] = seam.input[2]  # the column that would be behind the last one, which no read has
    _, found = look(load(model))
    assert not found.samplers
