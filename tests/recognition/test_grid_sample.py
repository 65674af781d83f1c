"""GridSample nodes as sites: what is one, that every lowering serves it, and that none takes it over unasked."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import parser
from onnx.backend.test.case import node as node_tests
from onnx.backend.test.case.node import gridsample
from onnx.backend.test.case.test_case import TestCase

from onnxgs_opt import find, optimize
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import LOWERINGS, Target
from onnxgs_opt.runtime.ort import open_session
from onnxgs_opt.tuning.avoid import operators_of
from onnxgs_opt.validation.check import SiteCheck

WRITING = sorted(set(LOWERINGS) - {"keep", "grid-sample"})


def model(
    opset: int = 16,
    padding: str = "zeros",
    align: int = 0,
    image: str = "2,3,24,40",
    grid: str = "2,9,11,2",
    mode: str | None = None,
    dtype: str = "float",
) -> onnx.ModelProto:
    mode = mode or ("linear" if opset >= 20 else "bilinear")
    attributes = f'align_corners = {align}, padding_mode = "{padding}", mode = "{mode}"'
    return parser.parse_model(f"""
        <ir_version: 8, opset_import: ["": {opset}]>
        g ({dtype}[{image}] image, {dtype}[{grid}] grid) => ({dtype}[N, C, Ho, Wo] out)
        {{ out = GridSample <{attributes}> (image, grid) }}
    """)


@pytest.mark.parametrize("opset", [16, 19, 20, 21])
def test_a_node_is_a_site(opset: int) -> None:
    [site] = find(model(opset, padding="border", align=1))
    assert (site.id, site.rule, site.read_op, site.output) == ("site0", "GSO002", "GridSample", "out")
    assert (site.policy.name, site.coordinates, site.align_corners) == ("border", "normalised", True)
    assert (site.batch, site.channels, site.image_size, site.sample_size) == (2, 3, (24, 40), (9, 11))
    assert (site.x, site.y, site.image.tensor) == (None, None, "image")
    assert [view.tensor for view in site.coordinate_views] == ["grid"]


assert gridsample  # importing it collects its tests
NODE_TESTS = [case for case in node_tests._NodeTestCases if case.name.startswith("test_gridsample")]
VOLUME = {"image": "2,3,4,5,6", "grid": "2,7,8,9,3"}


@pytest.mark.parametrize(
    ("other", "kernels"),
    [
        (model(mode="nearest"), ("nearest-even", "nearest-even")),
        (model(mode="bicubic"), ("cubic", "cubic")),
        (model(20, mode="cubic"), ("cubic", "cubic")),
        (model(20, **VOLUME), ("linear", "linear", "linear")),
        (model(20, mode="nearest", **VOLUME), ("nearest-even",) * 3),
    ],
    ids=["nearest", "bicubic", "cubic", "volume", "nearest of a volume"],
)
def test_every_mode_is_a_site(other: onnx.ModelProto, kernels: tuple[str, ...]) -> None:
    [site] = find(other)
    assert (site.kernels, site.rule) == (kernels, "GSO002")


@pytest.mark.parametrize(
    "other",
    [model(image="2,3,1,40"), model(20, mode="cubic", **VOLUME), model(mode="lanczos")],
    ids=["one row", "cubic of a volume", "unknown"],
)
def test_single_rows_and_what_onnxruntime_lacks_are_no_sites(other: onnx.ModelProto) -> None:
    assert find(other) == []


@pytest.mark.parametrize("align", [0, 1])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["nearest", "cubic", "volume", "nearest volume"])
def test_every_mode_becomes_gathers(mode: str, padding: str, align: int) -> None:
    sizes = VOLUME if "volume" in mode else {}
    graph = Graph.from_proto(model(20, padding, align, mode=mode.replace("volume", "").strip() or "linear", **sizes))
    [site] = find(graph.to_proto())
    comparison = SiteCheck.of(graph, site).compare(LOWERINGS["merged-gather"])
    assert comparison.status == "ok", comparison.worst
    assert comparison.max_abs <= (0 if "nearest" in mode else 1e-5)


@pytest.mark.parametrize("case", NODE_TESTS, ids=lambda case: case.name.removeprefix("test_gridsample"))
def test_the_node_tests_of_onnx_hold_without_the_node(case: TestCase) -> None:
    result = optimize(case.model, avoid=("GridSample",), measure=False, validate=False)
    assert "GridSample" not in operators_of(result.model)
    for given, expected in case.data_sets:
        names = [value.name for value in case.model.graph.input]
        [found] = open_session(result.model, threads=1).run(None, dict(zip(names, given, strict=True)))
        np.testing.assert_allclose(found, expected[0], rtol=case.rtol, atol=1e-5)


@pytest.mark.parametrize("align", [0, 1])
@pytest.mark.parametrize("padding", ["zeros", "border"])
@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
def test_gathers_become_the_node_again(mode: str, padding: str, align: int) -> None:
    there = optimize(model(20, padding, align, mode=mode), avoid=("GridSample",), measure=False, validate=False)
    back = optimize(there.model, lowering="grid-sample", measure=False)
    assert (back.report.status, back.report.validation.status) == ("optimised", "ok")
    assert [n.op_type for n in back.model.graph.node if n.op_type.startswith("Gather")] == []
    [node] = [node for node in back.model.graph.node if node.op_type == "GridSample"]
    made = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    assert (made["mode"].decode(), made["padding_mode"].decode()) == (mode, padding)


@pytest.mark.parametrize("align", [0, 1])
@pytest.mark.parametrize(("mode", "told"), [("nearest", "border"), ("cubic", "reflection")])
def test_gathers_of_a_mirrored_image_become_a_node(mode: str, told: str, align: int) -> None:
    """Single pixels have the index of the mirrored one, and then no border."""
    node = model(20, "reflection", align, mode=mode)
    there = optimize(node, avoid=("GridSample",), measure=False, validate=False)
    back = optimize(there.model, lowering="grid-sample", measure=False)
    assert (back.report.status, back.report.validation.status) == ("optimised", "ok")
    [made] = [node for node in back.model.graph.node if node.op_type == "GridSample"]
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in made.attribute}
    assert (attributes["mode"].decode(), attributes["padding_mode"].decode()) == (mode, told)
    assert attributes["align_corners"] == (align if mode == "cubic" else 0)


@pytest.mark.parametrize("opset", [16, 20])
def test_a_cubic_node_repeats_the_edge_of_indices(opset: int) -> None:
    """Beside the first pixel it still mixes two of them; onnx's reference, which clamps the coordinate, does not."""
    node = model(opset, "border", 1, "1,1,2,6", "1,1,1,2", mode="bicubic" if opset < 20 else "cubic")
    image = np.tile(np.array([5, 1, 0, 2, 7, 3], np.float32), (2, 1))[None, None]
    point = np.array([[[[2 * -0.6 / 5 - 1, 0]]]], np.float32)
    [found] = open_session(node, threads=1).run(None, {"image": image, "grid": point})
    assert abs(found.item() - 5.288) < 1e-4


def test_a_target_without_volumes_gets_gathers() -> None:
    result = optimize(model(20, **VOLUME), target="tensorrt", measure=False, validate=False)
    assert "GridSample" not in operators_of(result.model)
    assert "no GridSample of volumes" in result.report.sites[0].refusals["keep"]
    assert "GridSample" in operators_of(optimize(model(16), target="tensorrt", measure=False, validate=False).model)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"image": "2,3,1,5"}, "an axis of its image has less than 2 pixels"),
        ({"image": "2,3,4,5,6", "grid": "2,3,9,11,3", "mode": "cubic"}, "cubic weights of volumes"),
    ],
)
def test_what_stays_all_the_same_has_a_reason(given: dict[str, str], why: str) -> None:
    whole = model(20, **given)  # type: ignore[arg-type]
    if "mode" in given:
        whole.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, None))
    report = optimize(whole, avoid=("GridSample",), measure=False, validate=False).report
    [hint] = [hazard.hint for hazard in report.hazards if hazard.code == "GSO210"]
    assert why in hint


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_gathers_are_equal_at_the_smallest_sizes(mode: str, padding: str) -> None:
    """Of dynamic images, which may have axes of a single pixel."""
    rng = np.random.default_rng(1)
    for align in (0, 1):
        node = model(20, padding, align, "n,c,h,w", "n,ho,wo,2", mode=mode)
        made = optimize(node, avoid=("GridSample",), measure=False, validate=False).model
        assert "GridSample" not in operators_of(made)
        before, after = (open_session(each, threads=1) for each in (node, made))
        for sizes in ((1, 1), (1, 4), (2, 1), (2, 3), (5, 2)):
            image = rng.standard_normal((2, 3, *sizes)).astype(np.float32)
            points = rng.integers(-9, 14, (2, 6, 7, 2)) + rng.choice([0, 0.25, 0.8], (2, 6, 7, 2))
            grid = ((2 * points + 1) / np.array(sizes[::-1]) - 1).astype(np.float32)
            feeds = {"image": image, "grid": grid}
            np.testing.assert_allclose(after.run(None, feeds)[0], before.run(None, feeds)[0], rtol=0, atol=2e-4)


@pytest.mark.parametrize(
    ("mode", "padding", "lack"),
    [
        ("nearest", "reflection", "no GridSample that mirrors"),
        ("cubic", "zeros", "no cubic GridSample"),
        ("linear", "zeros", ""),
    ],
)
def test_what_mnn_runs_otherwise_becomes_gathers(mode: str, padding: str, lack: str) -> None:
    result = optimize(model(16, padding, mode=mode.replace("cubic", "bicubic")), target="mnn", dry_run=True)
    assert lack in result.report.sites[0].refusals.get("keep", "")


@pytest.mark.parametrize("size", [("2,3,24,40", "2,9,11,2"), ("2,3,270,480", "2,9,11,2"), ("n,3,h,w", "n,p,q,2")])
@pytest.mark.parametrize(
    ("opset", "padding", "align"), [(16, "zeros", 0), (20, "zeros", 1), (20, "border", 0), (16, "border", 1)]
)
def test_every_lowering_serves_it(opset: int, padding: str, align: int, size: tuple[str, str]) -> None:
    graph = Graph.from_proto(model(opset, padding, align, *size))
    [site] = find(graph.to_proto())
    check = SiteCheck.of(graph, site)
    for name in WRITING:
        lowering = LOWERINGS[name]
        if lowering.refusal(site, Target(opset)) is None:
            comparison = check.compare(lowering)
            assert comparison.status == "ok", f"{name}: {comparison.worst}"
            assert comparison.max_abs <= 1e-6
    assert all(LOWERINGS[name].refusal(site, Target(opset)) is None for name in ("merged-gather", "plugin"))


@pytest.mark.parametrize("items", [("2", "n"), ("n", "2")])
def test_a_batch_that_one_of_its_inputs_tells(items: tuple[str, str]) -> None:
    text = f"""<ir_version: 8, opset_import: ["": 16]>
    g (float[{items[0]}, 3, 8, 9] image, float[{items[1]}, 5, 6, 2] grid) => (float[m, 3, 5, 6] out) {{
       out = GridSample (image, grid)
    }}"""
    [site] = optimize(onnx.parser.parse_model(text), lowering="merged-gather", measure=False).report.sites
    assert (site.lowering, site.error.max_abs) == ("merged-gather", 0)


def test_it_is_not_lowered_to_itself() -> None:
    [site] = find(model())
    assert LOWERINGS["grid-sample"].refusal(site, Target(16)) == "it is a GridSample node already"


def test_reflection_is_refused_by_every_lowering_that_cannot_mirror() -> None:
    graph = Graph.from_proto(model(padding="reflection"))
    [site] = find(graph.to_proto())
    assert site.policy.name == "reflection"
    for name in WRITING:
        refused = LOWERINGS[name].refusal(site, Target(16))
        assert refused is not None or SiteCheck.of(graph, site).compare(LOWERINGS[name]).status == "ok"


def test_auto_keeps_it() -> None:
    report = optimize(model()).report
    assert (report.status, report.exit_code) == ("nothing-to-do", 0)
    [site] = report.sites
    assert (site.lowering, site.policy.kind, site.grid) == ("keep", "grid-sample", "grid")


@pytest.mark.parametrize("lowering", ["merged-gather", "plugin"])
def test_it_is_lowered_when_asked_for(lowering: str) -> None:
    result = optimize(model(20, padding="border"), lowering=lowering)
    assert result.report.validation.status == "ok"
    assert [site.lowering for site in result.report.sites] == [lowering]
    operators = [node.op_type for node in result.model.graph.node]
    assert "GridSample" not in operators
    onnx.checker.check_model(result.model, full_check=True)


def test_a_grid_that_the_model_computes() -> None:
    text = """
        <ir_version: 8, opset_import: ["": 17]>
        g (float[n, 2, 9, 7] image, float[n, 2, h, w] flow) => (float[n, 2, h, w] out)
        {
            last = Transpose <perm = [0, 2, 3, 1]> (flow)
            grid = Tanh (last)
            warped = GridSample <align_corners = 1> (image, grid)
            out = Relu (warped)
        }
    """
    result = optimize(parser.parse_model(text), lowering="merged-gather")
    [site] = result.report.sites
    assert (site.rule, site.grid, site.lowering) == ("GSO002", "grid", "merged-gather")
    assert result.report.validation.max_abs is not None
    assert result.report.validation.max_abs <= 1e-6


def test_half_precision_coordinates_are_widened_before_they_are_pixels() -> None:
    result = optimize(model(dtype="float16", image="1,3,8,2000"), lowering="merged-gather", validate=False)
    types = {
        v.name: v.type.tensor_type.elem_type for v in onnx.shape_inference.infer_shapes(result.model).graph.value_info
    }
    rounded = [node.input[0] for node in result.model.graph.node if node.op_type == "Floor"]
    assert {types[name] for name in rounded} == {onnx.TensorProto.FLOAT}
