"""RoIAlign by hand: what people spell is found and one RoiAlign node computes the same, what is none is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from onnxgs_opt.api import look
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import Target
from onnxgs_opt.lowering.roi_align import region_refusal, region_tolerance
from onnxgs_opt.passes.lower_sites import lower
from onnxgs_opt.recognition.findings import Survey
from onnxgs_opt.runtime.ort import open_session

MODELS = Path(__file__).parents[1] / "fixtures" / "rois"
SAMPLES = {
    "crop": 1,
    "flat": 2,
    "kernel": 2,
    "kernel_clipped": 2,
    "kernel_old": 3,
    "kernel_one": 1,
    "rows": 2,
    "rows_clipped": 4,
    "rows_max": 1,  # the node's own maximum is one of weighted pixels
    "rows_mean": 2,
    "rows_old": 2,
    "rows_steps": 1,
    "rows_weights": 2,
    "unrolled": 1,
}
"""Of those that are one node, or one a sample of a bin: the samples that it averages along each axis."""
SIZES = ((2, 2, 2, 1), (2, 9, 11, 5), (3, 40, 33, 17))
"""Images, height, width and boxes where they are dynamic; the second are those of the files."""


def looked_at(model: onnx.ModelProto) -> tuple[Graph, Survey]:
    return look(Graph.from_proto(model))


def inputs(model: onnx.ModelProto, sizes: tuple[int, int, int, int], rng: np.random.Generator) -> dict[str, Any]:
    """An image, and boxes in four times its pixels, some of them outside, turned over or of no extent."""
    count, height, width, boxes = sizes
    features, rois = model.graph.input
    lead = (count,) if len(features.type.tensor_type.shape.dim) == 4 else ()
    corners = (rng.random((boxes, 4)) * 1.6 - 0.3) * np.array([width, height, width, height]) * 4
    corners[::4, 2:] = corners[::4, :2]
    if rois.type.tensor_type.shape.dim[-1].dim_value == 5:
        corners = np.concatenate([rng.integers(-count, count, (boxes, 1)), corners], 1)
    if "crop" in model.graph.doc_string:
        corners = rng.standard_normal((boxes, 4))
    image = rng.standard_normal((*lead, 3, height, width))
    return {features.name: image.astype(np.float32), rois.name: corners.astype(np.float32)}


def both(before: onnx.ModelProto, after: onnx.ModelProto, feeds: dict[str, Any]) -> tuple[Any, Any]:
    first, second = (open_session(model, threads=1).run(None, feeds)[0] for model in (before, after))
    return first, second


@pytest.mark.parametrize(
    "path", [p for p in sorted(MODELS.glob("*.onnx")) if p.name.split(".")[0] in SAMPLES], ids=lambda path: path.stem
)
def test_a_spelling_becomes_a_roi_align_that_computes_the_same(path: Path) -> None:
    model = onnx.load(path)
    model.graph.doc_string = path.stem
    graph, found = looked_at(model)
    assert found.sites == found.roi_aligns
    assert {site.ratio for site in found.roi_aligns} == {SAMPLES[path.name.split(".")[0]]}
    assert [region_refusal(site, Target(graph.opset)) for site in found.roi_aligns] == [None] * len(found.sites)
    after = lower(graph, found.sites, {site.id: "roi-align" for site in found.sites}).to_proto()
    ops = [node.op_type for node in after.graph.node]
    assert ops.count("RoiAlign") == len(found.sites)
    assert not {node.input[0] for node in after.graph.node if node.op_type.startswith("Gather")} & {"features"}
    rng = np.random.default_rng(0)
    for sizes in SIZES if ".dyn" in path.stem else SIZES[1:2]:
        expected, actual = both(model, after, inputs(model, sizes, rng))
        assert np.any(expected)
        allowed = region_tolerance(found.roi_aligns[0], max(sizes))
        np.testing.assert_allclose(actual, expected, rtol=allowed.rtol, atol=allowed.atol)
