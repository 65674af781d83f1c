"""What rounds, compares or ranks behind a tensor, through layers, bodies and other samplers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import onnx.parser
import pytest

from onnxgs_opt import optimize
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.passes.infer_shapes import InferShapes
from onnxgs_opt.recognition.find import canonical, surveyed
from onnxgs_opt.recognition.steps import steps_behind
from onnxgs_opt.samplers.policy import Policy
from tests.diagnostics.test_every_code import BYTES, SAMPLER
from tests.fixtures.named import named
from tests.fixtures.text import replaced

MODEL = """<ir_version: 9, opset_import: ["" : {opset}, "own" : 1]>
g (float[4,4] s, float[4,4] other, bool c) => ({kind} out) <float few = {{1}}, int8 zero = {{0}}> {{ {body} }}"""


def steps(body: str, kind: str = "float[4,4]", opset: int = 19) -> list[str]:
    graph = Graph.from_proto(onnx.parser.parse_model(MODEL.format(body=body, kind=kind, opset=opset)))
    InferShapes().run(graph)
    return [node.op for node in steps_behind(graph, [("", "s")], ())]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("out = Cast<to=2>(s)", "uint8[4,4]"),
        ("out = Cast<to=9>(s)", "bool[4,4]"),
        ("out = Cast<to=17>(s)", "float8e4m3fn[4,4]"),
        ("out = CastLike(s, zero)", "int8[4,4]"),
        ("out = Floor(s)", "float[4,4]"),
        ("out = Sign(s)", "float[4,4]"),
        ("out = GreaterOrEqual(few, s)", "bool[4,4]"),
        ("out = ArgMax(s)", "int64[1,4]"),
        ("out = QuantizeLinear(s, few, zero)", "int8[4,4]"),
        ("out = NonZero(s)", "int64[2,n]"),
        ("out = Mod<fmod=1>(s, few)", "float[4,4]"),
    ],
)
def test_what_steps_is_found(body: str, kind: str) -> None:
    assert steps(body, kind) == [body.removeprefix("out = ").split("(")[0].split("<")[0]]


@pytest.mark.parametrize(
    "body",
    [
        "h = Cast<to=10>(s) out = Cast<to=1>(h)",
        "out = CastLike(s, few)",
        "h = Shape(s) f = Cast<to=1>(h) t = ReduceSum(f) l = Less(t, few) n = Cast<to=1>(l) out = Mul(other, n)",
        "f = Floor(other) out = Add(f, s)",
        "out = Softmax(s)",
    ],
)
def test_what_moves_with_its_operand_does_not_step(body: str) -> None:
    assert steps(body) == []


def test_layers_and_operators_of_other_domains_pass_numbers_on() -> None:
    assert steps("a = MatMul(s, other) b = own.Thing(a) d = Transpose(b) out = Round(d)") == ["Round"]


def test_each_is_named_once_and_none_behind_another() -> None:
    assert steps("a = Floor(s) b = Neg(s) d = Ceil(b) e = Add(a, d) f = Round(e) g = Floor(s) out = Sub(f, g)") == [
        "Floor",
        "Ceil",
        "Floor",
    ]


def test_of_two_results_of_a_pool_the_places_step() -> None:
    pool = "a = Unsqueeze(s, k) b, i = MaxPool<kernel_shape=[2]>(a) k = Constant<value_ints=[0]>() "
    assert steps(pool + "out = Cast<to=1>(i)", "float[1,4,3]") == ["MaxPool"]
    assert steps(pool.replace("b, i", "out"), "float[1,4,3]") == []


@pytest.mark.parametrize("inside", [True, False])
def test_bodies_are_looked_into_and_out_of(inside: bool) -> None:
    first, last = ("Floor", "Neg") if inside else ("Neg", "Floor")
    branch = "{name} = {name}_g () => (float[4,4] {name}_out) {{ {name}_out = {op}(s) }}"
    both = ", ".join(branch.format(name=name, op=first) for name in ("then_branch", "else_branch"))
    found = steps(f"a = If (c) <{both}> out = {last}(a)")
    assert found == (["Floor", "Floor"] if inside else ["Floor"])


LOOP = """<ir_version: 8, opset_import: ["" : 17]>
g (int64 n, bool c, float[4] s) => (float[4] out) {
 out = Loop (n, c, s) <body = b (int64 i, bool ci, float[4] carried) => (bool co, float[4] next) {
   co = Identity(ci) f = Floor(carried) next = Neg(f) }> }"""


def test_what_a_loop_carries_is_followed() -> None:
    graph = Graph.from_proto(onnx.parser.parse_model(LOOP))
    assert [node.op for node in steps_behind(graph, [("", "s")], ())] == ["Floor"]


@pytest.mark.parametrize(
    ("change", "steps_there"),
    [({}, False), ({"kernels": ("nearest-even", "nearest-even")}, True), ({"policy": Policy(window="interior")}, True)],
)
def test_coordinates_step_in_samplers_that_jump(change: dict[str, Any], steps_there: bool) -> None:
    """The floor of one whose samples move with its coordinates is no step."""
    graph, found = surveyed(*canonical(Graph.from_proto(named(SAMPLER))))
    [site] = found.samplers
    points = [("", tensor) for tensor in site.coordinate_tensors]
    assert bool(steps_behind(graph, points, [replace(site, **change)])) is steps_there


def test_a_byte_that_may_be_one_off_is_told_and_can_fail_a_run() -> None:
    """On flat areas the export itself makes 6 of 7 at some points, and another order of the sum at others."""
    bytes_out = named(replaced(SAMPLER, *BYTES))
    told = optimize(bytes_out, lowering="lerp-gather").report
    [hazard] = [each for each in told.hazards if each.code == "GSO212"]
    assert told.status == "optimised"
    assert hazard.hint.startswith("At this Cast; the samples differ by ")
    assert optimize(bytes_out, lowering="lerp-gather", fail_on=["GSO212"]).report.status == "findings"
    kept = optimize(bytes_out, lowering="keep").report
    assert "GSO212" not in {each.code for each in kept.hazards}
