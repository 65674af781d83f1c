"""What a file says of the shapes of its inner tensors may be left over from other sizes: no claim is made by it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from onnxgs_opt import optimize
from onnxgs_opt.runtime.ort import open_session
from tests.fixtures.size_limits import Limits

BODIES = Path(__file__).parents[1] / "fixtures" / "bodies"
SIZES = ({"N": 2, "C": 3, "H": 6, "W": 5, "P": 3, "Q": 4}, {"N": 1, "C": 2, "H": 9, "W": 14, "P": 5, "Q": 2})
Lie = Callable[[onnx.ModelProto], None]


def said(name: str, *dims: int | str) -> Lie:
    """The file says this of a tensor."""

    def add(model: onnx.ModelProto) -> None:
        model.graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, dims))

    return add


def before(name: str, *ops: onnx.NodeProto) -> Lie:
    """What reads an input reads what these nodes make of it, `name`_new."""

    def put(model: onnx.ModelProto) -> None:
        for node in model.graph.node:
            node.input[:] = [f"{name}_new" if i == name else i for i in node.input]
        for op in ops[::-1]:
            model.graph.node.insert(0, op)

    return put


def reshaped(name: str, rank: int) -> Lie:
    """An input is reshaped to what another input says."""

    def put(model: onnx.ModelProto) -> None:
        before(name, helper.make_node("Reshape", [name, "shp"], [f"{name}_new"]))(model)
        model.graph.input.append(helper.make_tensor_value_info("shp", TensorProto.INT64, [rank]))

    return put


def as_output(name: str, *dims: int | str) -> Lie:
    def add(model: onnx.ModelProto) -> None:
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, dims))

    return add


def of_result(*dims: int | str) -> Lie:
    def change(model: onnx.ModelProto) -> None:
        del model.graph.output[0].type.tensor_type.shape.dim[:]
        for dim in dims:
            model.graph.output[0].type.tensor_type.shape.dim.add(
                **({"dim_value": dim} if isinstance(dim, int) else {"dim_param": dim})
            )

    return change


def branches(*dims: int | str) -> Lie:
    """The image is what one of two branches makes of it; both say that it is of these sizes."""

    def put(model: onnx.ModelProto) -> None:
        out = [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name in ("left", "right")]
        made = [helper.make_node(op, ["img"], [info.name]) for op, info in zip(("Relu", "Abs"), out, strict=True)]
        graphs = [helper.make_graph([node], f"b_{info.name}", [], [info]) for node, info in zip(made, out, strict=True)]
        choose = helper.make_node("If", ["which"], ["img_new"], then_branch=graphs[0], else_branch=graphs[1])
        before("img", choose)(model)
        model.graph.input.append(helper.make_tensor_value_info("which", TensorProto.BOOL, []))

    return put


RELU = before("img", helper.make_node("Relu", ["img"], ["img_new"]))
UNKNOWN: dict[str, tuple[Lie, ...]] = {
    "static image": (reshaped("img", 4), said("img_new", 1, 2, 9, 14)),
    "named image": (reshaped("img", 4), said("img_new", "N", "C", "H", "W")),
    "partly static image": (reshaped("img", 4), said("img_new", "N", 2, 9, "W")),
    "static coordinates": (reshaped("x", 3), said("x_new", 1, 5, 2)),
    "image of another rank": (reshaped("img", 4), said("img_new", 1, 2, 126)),
    "branches": (branches(1, 2, 9, 14),),
}
"""Shapes that follow from nothing but what the file says."""

KNOWN: dict[str, tuple[Lie, ...]] = {
    "nothing": (),
    "static image": (RELU, said("img_new", 1, 2, 9, 14)),
    "swapped names": (RELU, said("img_new", "N", "C", "W", "H")),
    "image of another rank": (RELU, said("img_new", 1, 2, 126)),
    "static floor": (said("fx", 1, 5, 2),),
    "static weight": (said("aw", 1, 5, 2),),
    "result": (of_result(1, 5, 2, 2),),
    "names of the result": (of_result("H", "W", "N", "P"),),
    "image that is an output of other names": (RELU, as_output("img_new", "N", "C", "W", "H")),
}
"""Shapes that follow from the inputs, whatever the file says."""


def lying(lies: tuple[Lie, ...]) -> onnx.ModelProto:
    model = Limits().model()
    for lie in lies:
        lie(model)
    return model


def run(model: onnx.ModelProto, sizes: dict[str, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    feeds = {}
    for info in model.graph.input:
        shape = [sizes[d.dim_param] if d.dim_param else d.dim_value for d in info.type.tensor_type.shape.dim]
        feeds[info.name] = rng.uniform(-2, 8, shape).astype(np.float32)
    if "shp" in feeds:
        feeds["shp"] = np.asarray([sizes[name] for name in ("NCHW" if len(feeds["shp"]) == 4 else "NPQ")])
    if "which" in feeds:
        feeds["which"] = np.asarray(True)
    return list(open_session(model, optimise=False, threads=1).run(None, feeds))


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_only_the_file_says_proves_nothing(name: str) -> None:
    report = optimize(lying(UNKNOWN[name]), lowering="merged-gather").report
    assert report.status == "nothing-to-do"
    assert {miss.code for miss in report.near_misses} == {"GSO113"}


@pytest.mark.parametrize("name", KNOWN)
def test_shapes_follow_from_the_inputs_whatever_the_file_says(name: str) -> None:
    model = lying(KNOWN[name])
    for lowering in ("lerp-gather", "plugin"):
        result = optimize(model, lowering=lowering, validate=False)
        assert [site.lowering for site in result.report.sites] == [lowering], result.report
        assert list(result.model.graph.output) == list(model.graph.output)
        for sizes in SIZES:
            for expected, got in zip(run(model, sizes), run(result.model, sizes), strict=True):
                np.testing.assert_allclose(got, expected, atol=1e-4)


def test_a_loop_carries_what_it_is_given() -> None:
    model = onnx.load(BODIES / "iterative.dyn.onnx")
    (body,) = (a.g for node in model.graph.node if node.op_type == "Loop" for a in node.attribute)
    for carried in body.input[2:]:
        (dim,) = carried.type.tensor_type.shape.dim
        dim.dim_value = 7
    result = optimize(model, lowering="lerp-gather")
    assert [site.lowering for site in result.report.sites] == ["lerp-gather"]
    rng = np.random.default_rng(0)
    points = {name: rng.uniform(0, 7, 12).astype(np.float32) for name in "xy"}
    feeds = {"image": rng.random((3, 6, 8), np.float32), **points, "turns": np.asarray(3)}
    expected, got = (open_session(m, optimise=False, threads=1).run(None, feeds) for m in (model, result.model))
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_a_result_that_onnxruntime_spoils_by_the_files_word_is_not_written() -> None:
    """It takes the sizes of a model's outputs for true when it optimises, of the exported model too."""
    report = optimize(lying((RELU, as_output("img_new", 1, 2, 9, 14))), lowering="merged-gather").report
    assert report.status == "mismatch"


def test_points_whose_one_item_has_a_name_are_lowered() -> None:
    """The image has one item, so that the points have no more; the file leaves open how many."""
    text = """<ir_version: 8, opset_import: ["": 17]>
    g (float[1, 2, 6, 7] image, float[n, 9] x, float[n, 9] y) => (float[m, 2, 9] out)
    <int64[3] flat = {1, 2, 42}, int64[3] like = {1, 2, 9}, int64[1] one = {1}, float zero = {0}, float right = {6},
     float low = {5}, float width = {7}> {
      rows = Reshape(image, flat)
      xr = Round(x)
      yr = Round(y)
      xi = Clip(xr, zero, right)
      yi = Clip(yr, zero, low)
      line = Mul(yi, width)
      place = Add(line, xi)
      whole = Cast<to = 7>(place)
      apart = Unsqueeze(whole, one)
      index = Expand(apart, like)
      out = GatherElements<axis = 2>(rows, index)
    }"""
    [site] = optimize(onnx.parser.parse_model(text), lowering="merged-gather", measure=False).report.sites
    assert (site.rule, site.lowering, site.error.max_abs) == ("GSO005", "merged-gather", 0)
