"""No points, no batch, one row, one column: every lowering gives what the model gives, or says that it does not."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from onnxgs_opt import optimize
from onnxgs_opt.api import look
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import LOWERINGS, Target
from onnxgs_opt.passes.lower_sites import lower
from onnxgs_opt.recognition import KINDS
from onnxgs_opt.runtime.ort import open_session
from onnxgs_opt.samplers.policy import Policy
from onnxgs_opt.validation.check import SiteCheck
from tests.fixtures.oracle import bilinear
from tests.fixtures.size_limits import Limits
from tests.lowering.samplers import Case, feeds, graph_and_site, site_of
from tests.lowering.samplers import lower as lowered_case

MODELS = Path(__file__).parents[1] / "fixtures" / "models"
USUAL = {"N": 2, "C": 3, "H": 4, "W": 5, "P": 6, "Q": 7}
SIZES = [USUAL | {name: size} for name in "NCPQ" for size in (0, 1)]
SIZES += [USUAL | small for small in ({"P": 1, "Q": 1}, {"H": 1}, {"W": 1}, {"H": 1, "W": 1}, {"N": 1, "H": 1, "W": 1})]

EDGES = [{"image": (1, 5)}, {"image": (4, 1)}, {"image": (1, 1)}, {"image": (1, 1), "batch": 1}, {"batch": 0}]
EDGES += [{"channels": 0}, {"samples": (0, 3)}, {"samples": (4, 0)}]
POLICIES = [Policy("zeros", "all"), Policy("border", "all"), Policy("zeros", "interior"), Policy("zeros", "reach")]
EXACT = [name for name in LOWERINGS if name not in ("keep", "grid-sample", "packed-gather")]
"""Lowerings of dynamic sizes that do at every one what the sampler does."""


def results(model: bytes, sizes: dict[str, int]) -> np.ndarray:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = ort.InferenceSession(model, options)
    rng = np.random.default_rng(0)
    feed = {i.name: rng.uniform(-2, 6, [sizes[d] for d in i.shape]).astype(np.float32) for i in session.get_inputs()}
    return session.run(None, feed)[0]


@pytest.mark.parametrize("name", [name for name in LOWERINGS if name != "keep"])
def test_empty_and_single_axes_give_what_the_model_gives(name: str) -> None:
    model = Limits().model()
    graph, found = look(Graph.from_proto(model))
    (site,) = found.samplers
    if name in KINDS[site.kind].refusals(site, Target(graph.opset, "ort-cpu")):
        pytest.skip("the sampler cannot be written so")
    lowered = lower(graph, found.sites, {site.id: name}).to_proto().SerializeToString()
    for sizes in SIZES:
        expected, got = (results(m, sizes) for m in (model.SerializeToString(), lowered))
        assert got.shape == expected.shape, sizes
        np.testing.assert_allclose(got, expected, atol=1e-4, err_msg=str(sizes))


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize("name", EXACT)
def test_dynamic_samplers_are_right_at_sizes_of_0_and_1(name: str, opset: int) -> None:
    lowering = LOWERINGS[name]
    counted = name == "blocked-gather"
    for policy in POLICIES:
        case = Case(dynamic=True, policy=policy, opset=opset, counted=counted)
        if lowering.refusal(site_of(case), Target(opset, "ort-cpu")):
            continue
        session = open_session(lowered_case(case, lowering).to_proto(), threads=1)
        for edge in EDGES[:-3] + EDGES[-2:] if counted else EDGES:
            at = replace(case, **edge)
            inputs, x, y = feeds(at)
            expected = bilinear(inputs["image"], x, y, policy.border, policy.window)
            (got,) = session.run(None, inputs)
            assert got.shape == expected.shape, (policy, edge)
            np.testing.assert_allclose(got, expected, atol=1e-4, err_msg=f"{policy} {edge}")


@pytest.mark.parametrize("one_grid", [False, True], ids=["own points", "shared points"])
@pytest.mark.parametrize("name", EXACT)
def test_several_empty_axes_are_so_before_opset_14_too(name: str, one_grid: bool) -> None:
    """A Reshape that has to make them knows no dim that is 0 there, and only one that follows from the others."""
    case = Case(dynamic=True, opset=13, policy=Policy("border", "all"), rows_and_columns=True, one_grid=one_grid)
    if LOWERINGS[name].refusal(site_of(case), Target(13, "ort-cpu")):
        pytest.skip("no sampler is written so")
    session = open_session(lowered_case(case, LOWERINGS[name]).to_proto(), threads=1)
    for batch, channels, height, width in product((0, 2), (0, 3), (0, 4), (0, 5)):
        at = replace(case, batch=batch, channels=channels, samples=(height, width))
        inputs, x, y = feeds(at)
        (got,) = session.run(None, inputs)
        assert got.shape == (batch, channels, height, width)
        np.testing.assert_allclose(got, bilinear(inputs["image"], x, y, "border", "all"), atol=1e-4)


@pytest.mark.parametrize("name", ["lerp-gather", "roi-align"])
def test_empty_axes_are_tried_where_a_lowering_is_checked(name: str) -> None:
    case = Case(dynamic=True, opset=13, policy=Policy("border", "all"), rows_and_columns=True)
    _, site = graph_and_site(case)
    sizes = [case, replace(case, batch=3, channels=5, image=(6, 13), samples=(9, 40))]
    shapes = [{"image": (at.batch, at.channels, *at.image), "x": at.x_shape, "y": at.y_shape} for at in sizes]
    checked = SiteCheck.of(lowered_case(case, LOWERINGS["plugin"]), site, shapes=shapes).compare(LOWERINGS[name])
    assert (checked.status, checked.beyond) == ("ok", ()), checked.worst


def test_what_differs_at_one_row_is_said(tmp_path: Path) -> None:
    model = onnx.load(MODELS / "masked_interior.ts17.dyn.onnx")
    told = {"shapes": {"img": (1, 3, 48, 64), "grid": (1, 48, 64, 2)}}
    found = {name: optimize(model, lowering=name, **told).report for name in ("grid-sample", "row-gather")}
    assert {name: [site.lowering for site in report.sites] for name, report in found.items()} == {
        name: [name] for name in found
    }
    said = {name: [h.hint for h in report.hazards if h.code == "GSO208"] for name, report in found.items()}
    assert said["row-gather"] == []
    assert [text.split(" and ")[0] for text in said["grid-sample"]] == ["Seen at an image of 2x3x1x5"]


def test_what_could_not_be_tried_at_one_row_is_said() -> None:
    """The points' sizes follow from those of another input, so that none of the sampler's own can be chosen."""
    for lowering in ("merged-gather", "row-gather"):
        report = optimize(MODELS.parent / "field" / "auto_shape_other_inputs.dyn.onnx", lowering=lowering).report
        assert [site.lowering for site in report.sites] == [lowering]
        [hazard] = [hazard for hazard in report.hazards if hazard.code == "GSO208"]
        assert hazard.hint.startswith("Not tried")


def test_a_resize_to_no_pixels_is_said_to_fail() -> None:
    """It is made as large as another input, which may have no row: the reads then give nothing, and a Resize fails."""
    report = optimize(MODELS.parent / "resizes" / "like.two.onnx", lowering="resize").report
    (said,) = (hazard.hint for hazard in report.hazards if hazard.code == "GSO208")
    assert said.startswith("Seen at x 7x3x9x11, skip 13x5x0x17 and at ")
    assert said.endswith("Nothing where no axis is that small at run time; else keep it by --lowering keep.")


@pytest.mark.parametrize("name", ["resizes/bilinear.dyn", "rois/kernel.dy.dyn"])
def test_what_gives_nothing_as_the_model_does_has_no_hazard(name: str) -> None:
    """No images, and of boxes in them none either: their number divides what says which image each is in."""
    report = optimize(MODELS.parent / f"{name}.onnx", lowering="roi-align" if "rois" in name else "resize").report
    assert report.status == "optimised"
    assert [hazard.code for hazard in report.hazards if hazard.code == "GSO208"] == []
