"""Hazards: each is named at its node with what to do, and models without it are not."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, parser

from onnxgs_opt import optimize
from onnxgs_opt.diagnostics import CODES
from onnxgs_opt.errors import RunError
from onnxgs_opt.report.model import Hazard
from onnxgs_opt.runtime.ort import open_session

NAMED = re.compile(r"\[(\w+)\] (\w+) =")


def hazards(text: str) -> list[Hazard]:
    """Of a model in onnx's text form; `[name] ` before a node, which the parser knows from onnx 1.18 on, names it."""
    model = parser.parse_model(NAMED.sub(r"\2 =", text))
    names = {output: name for name, output in NAMED.findall(text)}
    bodies = [model.graph]
    for graph in bodies:
        for node in graph.node:
            node.name = names.get(node.output[0], "")
            bodies += [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    return of_model(model)


def of_model(model: ModelProto) -> list[Hazard]:
    found = optimize(model, dry_run=True).report.hazards
    assert all(h.hint == CODES[h.code].action for h in found)
    return list(found)


def sampler(opset: int, mode: str, dtype: str = "float", rank: str = "2,3,4,5") -> str:
    grid = "2,6,7,2" if rank.count(",") == 3 else "2,6,7,8,3"
    return (
        f'<ir_version: 8, opset_import: ["": {opset}]>'
        f"g ({dtype}[{rank}] image, {dtype}[{grid}] grid) => ({dtype}[N, C, Ho, Wo] out)"
        f'{{ [sample] out = GridSample <mode = "{mode}"> (image, grid) }}'
    )


@pytest.mark.parametrize("rank", ["2,3,4,5", "2,3,4,5,6"])
def test_linear_mode_at_opset_20(rank: str) -> None:
    text = sampler(20, "linear", rank=rank)
    if rank.count(",") == 4:
        text = text.replace("[N, C, Ho, Wo]", "[N, C, Do, Ho, Wo]")
    [found] = hazards(text)
    assert (found.code, found.node) == ("GSO201", "sample")


@pytest.mark.parametrize(("opset", "mode"), [(16, "bilinear"), (19, "bilinear"), (20, "nearest"), (20, "cubic")])
def test_other_modes_and_opsets_are_no_hazard(opset: int, mode: str) -> None:
    assert hazards(sampler(opset, mode)) == []


def test_a_half_precision_grid() -> None:
    [found] = hazards(sampler(16, "bilinear", "float16"))
    assert (found.code, found.node) == ("GSO202", "sample")


INDEX = """
    floor = Floor(p)
    row = Cast <to = 7> (floor)
    one = Constant <value = int64 {1}> ()
    next = Add(row, one)
"""
TAPS = """
    [first] a = Gather <axis = 0> (image, i)
    [second] b = Gather <axis = 0> (image, j)
    out = Add(a, b)
"""


def reads(between: str, dtype: str = "float") -> str:
    return (
        '<ir_version: 8, opset_import: ["": 17]>'
        f"g (float[9, 3] image, {dtype}[n] p) => (float[n, 3] out) {{ {INDEX} {between} {TAPS} }}"
    )


CLAMPED = """
    zero = Constant <value = int64 {0}> ()
    last = Constant <value = int64 {8}> ()
    i = Clip(row, zero, last)
    j = Clip(next, zero, last)
"""
LOOSE = "i = Identity(row) j = Identity(next)"


def test_indices_that_nothing_bounds() -> None:
    [found] = hazards(reads(LOOSE))
    assert (found.code, found.node) == ("GSO203", "first")


def test_only_one_of_the_indices_is_bounded() -> None:
    [found] = hazards(reads(CLAMPED.replace("i = Clip(row, zero, last)", "i = Identity(row)")))
    assert (found.code, found.node) == ("GSO203", "first")


def test_clamped_indices_are_no_hazard() -> None:
    assert hazards(reads(CLAMPED)) == []


def test_a_coordinate_clamped_before_its_floor_is_no_hazard() -> None:
    clamp = "low = Constant <value = float {0.0}> () high = Constant <value = float {7.0}> () q = Clip(p, low, high)"
    assert hazards(reads(LOOSE).replace("floor = Floor(p)", f"{clamp} floor = Floor(q)")) == []


def test_indices_that_come_as_integers_are_the_callers() -> None:
    text = (
        '<ir_version: 8, opset_import: ["": 17]>'
        f"g (float[9, 3] image, int64[n] i, int64[n] j) => (float[n, 3] out) {{ {TAPS} }}"
    )
    assert hazards(text) == []


def test_indices_of_half_precision() -> None:
    [found] = hazards(reads(CLAMPED, "float16"))
    assert (found.code, found.node) == ("GSO202", "first")


def test_a_mask_added_to_a_clamped_index_is_no_hazard() -> None:
    mask = "inside = GreaterOrEqual(p, floor) step = Cast <to = 7> (inside) k = Add(i, step)"
    assert (
        hazards(reads(f"{CLAMPED} {mask}").replace("Gather <axis = 0> (image, i)", "Gather <axis = 0> (image, k)"))
        == []
    )


def test_indices_of_half_precision_that_are_mirrored() -> None:
    mirrored = CLAMPED.replace("row,", "up,").replace("next,", "down,")
    [found] = hazards(reads(f"up = Abs(row) down = Abs(next) {mirrored}", "float16"))
    assert (found.code, found.node) == ("GSO202", "first")


def clip(opset: int, typed: bool = True, dtype: int = TensorProto.INT64) -> ModelProto:
    """Clip of a cast; without `typed` the file does not say the type in between."""
    nodes = [
        helper.make_node("Cast", ["x"], ["whole"], "cast", to=dtype),
        helper.make_node("Clip", ["whole", "low", "high"], ["kept"], "clamp"),
        helper.make_node("Cast", ["kept"], ["out"], "back", to=TensorProto.FLOAT),
    ]
    bounds = [helper.make_tensor_value_info(name, dtype, []) for name in ("low", "high")]
    info = [helper.make_tensor_value_info("whole", dtype, ["n"])] if typed else []
    graph = helper.make_graph(
        nodes,
        "clip",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"]), *bounds],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n"])],
        value_info=info,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.mark.parametrize("typed", [True, False])
def test_an_integer_clip_before_opset_12(typed: bool) -> None:
    [found] = of_model(clip(11, typed))
    assert (found.code, found.node) == ("GSO204", "clamp")


@pytest.mark.parametrize(("opset", "dtype"), [(12, TensorProto.INT64), (11, TensorProto.FLOAT)])
def test_other_clips_are_no_hazard(opset: int, dtype: int) -> None:
    assert of_model(clip(opset, dtype=dtype)) == []


def shape_of(bounds: str, rank: str = "[a, b, c, d]") -> str:
    return (
        f'<ir_version: 8, opset_import: ["": 17]> g (float{rank} x) => (int64[n] out)'
        f"{{ [part] out = Shape {bounds} (x) }}"
    )


@pytest.mark.parametrize("bounds", ["<start = 1>", "<end = 2>", "<start = -1>", "<start: int = 1, end: int = 3>"])
def test_a_part_of_a_shape(bounds: str) -> None:
    [found] = hazards(shape_of(bounds))
    assert (found.code, found.node) == ("GSO205", "part")


@pytest.mark.parametrize("bounds", ["", "<start = 0>", "<start = 0, end = 4>", "<end = 9>", "<start = -4>"])
def test_a_whole_shape_is_no_hazard(bounds: str) -> None:
    assert hazards(shape_of(bounds)) == []


def test_parts_of_shapes_are_one_hazard() -> None:
    text = shape_of("<start = 1>").replace("(x) }", "(x) [more] b = Shape <end = 2> (x) }")
    [found] = hazards(text.replace("out)", "out, int64[m] b)"))
    assert (found.code, found.node) == ("GSO205", "part")


def test_a_hazard_inside_a_branch_is_named_too() -> None:
    text = """
        <ir_version: 8, opset_import: ["": 20]>
        g (bool cond, float[2, 3, 4, 5] image, float[2, 6, 7, 2] grid) => (float[2, 3, 6, 7] out) {
            out = If (cond) <
                then_branch = then () => (float[2, 3, 6, 7] a) { [inner] a = GridSample(image, grid) },
                else_branch = other () => (float[2, 3, 6, 7] b) { b = GridSample <mode = "nearest"> (image, grid) }>
        }
    """
    [found] = hazards(text)
    assert (found.code, found.node) == ("GSO201", "inner")


@pytest.mark.parametrize(("given", "count"), [({}, 1), ({"dry_run": True}, 0), ({"lowering": "keep"}, 0)])
def test_infinities_are_said_once_where_samplers_were_lowered(given: dict[str, Any], count: int) -> None:
    model = onnx.load("tests/fixtures/models/masked_interior.ts17.dyn.onnx")
    found = optimize(model, **{"lowering": "merged-gather", **given})
    assert [hazard.code for hazard in found.report.hazards] == ["GSO207"] * count
    if count:
        feeds = {"img": np.ones((1, 3, 4, 5), np.float32), "grid": np.float32([[[[np.inf, 1.5]] * 2] * 2])}
        with pytest.raises(RunError):  # what is said of it is so: the export fails, the result gives something
            open_session(model, optimise=False, threads=1).run(None, feeds)
        assert open_session(found.model, threads=1).run(None, feeds)[0].shape == (1, 3, 2, 2)
