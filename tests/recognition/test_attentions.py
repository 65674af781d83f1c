"""Deformable attention spelt as samplers: what is one is found and equal; what is none is not, with a reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxgs_opt import optimize
from onnxgs_opt.api import look
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import Target
from onnxgs_opt.lowering.attention import WHOLE, attention_refusals
from onnxgs_opt.recognition.findings import Survey
from onnxgs_opt.report.rendering.text import to_text
from onnxgs_opt.runtime.ort import open_session
from onnxgs_opt.runtime.tensorrt.prepare import for_engine
from onnxgs_opt.samplers.attention import AttentionSite
from onnxgs_opt.tuning.database import recorded
from onnxgs_opt.validation.check_attention import attention_check
from onnxgs_opt.validation.cone_check import lowered_alone
from onnxgs_opt.validation.terms import Terms
from tests.fixtures.attention.discrete import SPELLINGS as DISCRETE
from tests.fixtures.attention.discrete import discrete
from tests.fixtures.attention.discrete import truth as discrete_truth
from tests.fixtures.attention.text import (
    HALVES,
    LEVELS,
    UNEVEN,
    UNEVEN_SPELLINGS,
    feeds_for,
    feeds_of,
    halves,
    model,
    truth,
    uneven,
)

EXPORTS = Path(__file__).parents[1] / "fixtures" / "attention"
THREE = "7 x 9, 4 x 5, 2 x 3; 2 heads, 4 points"


def looked_at(proto: onnx.ModelProto) -> tuple[Graph, Survey]:
    return look(Graph.from_proto(proto))


def run(proto: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> np.ndarray:
    return open_session(proto, threads=1).run(None, feeds)[0]


def inputs_of(proto: onnx.ModelProto, sizes: dict[str, int]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    feeds = {}
    for value in proto.graph.input:
        shape = [dim.dim_value or sizes[dim.dim_param] for dim in value.type.tensor_type.shape.dim]
        kind = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        feeds[value.name] = rng.uniform(-0.2, 1.2, shape).astype(kind)
    return feeds


SPELLINGS = {
    "as it is": {},
    "a product of matrices": {
        "factors": "factors = Reshape (turned, column)",
        "product": "lines = Transpose <perm = [0, 2, 1, 3]> (flat)",
        "sum": "sums = MatMul (lines, factors)\n  near = Transpose <perm = [0, 2, 1, 3]> (sums)\n"
        "  sum = Squeeze (near, last)",
    },
    "an Einsum": {
        "factors": "factors = Reshape (turned, cut)",
        "product": "",
        "sum": 'sum = Einsum <equation = "bqs,bcqs->bcq"> (factors, flat)',
    },
    "a half of the place before it is doubled": {
        "double": "centred = Sub (places, half)",
        "grids": "grids = Mul (centred, two)",
    },
    "weights with points before levels": {"turned": "turned = Transpose <perm = [0, 2, 1, 4, 3]> (weights)"},
    "weights that are laid out as others before": {"turned": "turned = Identity (weights)"},
    "points before levels in the stack": {
        "stack": "stack = Concat <axis = 4> (w0, w1)",
        "u0": "w0 = Unsqueeze (r0, last)",
        "u1": "w1 = Unsqueeze (r1, last)",
        "turned": "turned = Transpose <perm = [0, 2, 1, 4, 3]> (weights)",
    },
}
"""By name the lines that are written otherwise; all are deformable attention."""


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_spelling_is_found_and_equal_as_a_whole_and_as_samplers(name: str) -> None:
    proto = model(SPELLINGS[name])
    graph, found = looked_at(proto)
    (site,) = found.sites
    assert isinstance(site, AttentionSite)
    assert (site.rule, site.levels, site.points, site.sizes) == ("GSO008", LEVELS, (2, 2), (2, 5, 2, 3))
    check = attention_check(graph, site, Terms(lambda own: own))
    for lowering in (*WHOLE, "merged-gather"):
        seen = check.compare(lowering)
        assert seen.status == "ok", (lowering, seen.worst)
    feeds = feeds_of()
    expected = run(proto, feeds)
    for lowering in ("plugin", "row-gather"):
        result = optimize(proto, lowering=lowering, require_match=1).model
        assert "GridSample" not in {node.op_type for node in result.graph.node}
        np.testing.assert_allclose(run(result, feeds), expected, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("name", HALVES)
def test_halves_are_found_and_no_less_exact_than_exported(name: str) -> None:
    proto, feeds = halves(name), feeds_for(halves(name))
    (site,) = looked_at(proto)[1].attentions
    assert "float16" in site.types
    wide = {own: value.astype(np.float32) for own, value in feeds.items()}
    exact = truth(wide["value"], LEVELS, wide["places"], wide["weights"])
    before = run(proto, feeds)
    for lowering in ("plugin", "row-gather"):
        result = optimize(proto, lowering=lowering, require_match=1)
        assert [own.lowering for own in result.report.sites] == [lowering]
        found = run(result.model, feeds)
        assert found.dtype == before.dtype
        np.testing.assert_allclose(found, exact.reshape(found.shape), rtol=2e-3, atol=2e-3)
    for lowering in (*WHOLE, "merged-gather"):
        check = attention_check(*_graph_and_site(proto), Terms(lambda own: own))
        assert check.compare(lowering).status == "ok"


def _graph_and_site(proto: onnx.ModelProto) -> tuple[Graph, AttentionSite]:
    graph, found = looked_at(proto)
    (site,) = found.attentions
    return graph, site


@pytest.mark.parametrize("edits", UNEVEN_SPELLINGS, ids=range(len(UNEVEN_SPELLINGS)))
def test_levels_may_have_other_numbers_of_points(edits: dict[str, str]) -> None:
    proto, feeds = uneven(edits), feeds_for(uneven(edits))
    graph, site = _graph_and_site(proto)
    assert (site.levels, site.points, site.sizes) == (LEVELS, UNEVEN, (2, 5, 2, 3))
    check = attention_check(graph, site, Terms(lambda own: own))
    assert {check.compare(lowering).status for lowering in (*WHOLE, "merged-gather")} == {"ok"}
    expected = truth(feeds["value"], LEVELS, feeds["places"], feeds["weights"], UNEVEN)
    for lowering in ("plugin", "row-gather"):
        result = run(optimize(proto, lowering=lowering, require_match=1).model, feeds)
        np.testing.assert_allclose(result, expected.reshape(result.shape), rtol=1e-4, atol=2e-5)


UNEVEN_MUTANTS: dict[str, dict[str, str]] = {
    "places of the other level": {"g0": "g1, g0 = Split <axis = 3> (grids, swapped)"},
    "samples before those of the level before": {"stack": "stack = Concat <axis = 3> (r1, r0)"},
    "other queries and heads": {"h1": "h1 = Transpose <perm = [2, 0, 1, 3, 4]> (g1)"},
}


@pytest.mark.parametrize("name", UNEVEN_MUTANTS)
def test_mutants_of_uneven_levels_are_none(name: str) -> None:
    _, found = looked_at(uneven(UNEVEN_MUTANTS[name]))
    assert not found.attentions
    assert [miss.code for miss in found.near_misses] == ["GSO118"]


@pytest.mark.parametrize("edits", DISCRETE, ids=range(len(DISCRETE)))
def test_discrete_attention_is_a_sampler_of_nearest_pixels_for_each_level(edits: dict[str, str]) -> None:
    proto, feeds = discrete(edits), feeds_for(discrete(edits))
    _, found = looked_at(proto)
    assert [(site.rule, site.policy.border, site.taps) for site in found.samplers] == [("GSO005", "border", 1)] * 2
    assert not found.attentions
    assert not found.near_misses
    for lowering in ("keep", "plugin", "merged-gather", "row-gather"):
        result = run(optimize(proto, lowering=lowering, require_match=2).model, feeds)
        expected = discrete_truth(feeds).reshape(result.shape)
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


def test_discrete_attention_clamped_before_its_last_pixel_is_none() -> None:
    """As RT-DETRv2 clamps the places along both axes by the rows: a wider level has columns that nothing reads."""
    _, found = looked_at(discrete({"c0": "c0 = Clip (q0, zero, end1)"}))
    assert not found.samplers
    assert [miss.code for miss in found.near_misses] == ["GSO112"]


def test_doubles_stay_samplers() -> None:
    text = {"flat": "near = Reshape (stack, samples)\n  wide = Cast <to = 11> (near)\n  flat = Cast <to = 1> (wide)"}
    _, found = looked_at(model(text))
    assert not found.attentions
    assert [miss.condition for miss in found.near_misses] == ["it computes in float64, not in float16 or float32 alone"]


def test_the_definition_is_that_of_an_independent_truth() -> None:
    proto, feeds = model(), feeds_of()
    expected = truth(feeds["value"], LEVELS, feeds["places"], feeds["weights"])
    for lowering in ("keep", "plugin", "row-gather"):
        result = run(optimize(proto, lowering=lowering).model, feeds)
        np.testing.assert_allclose(result, expected.reshape(result.shape), rtol=1e-4, atol=2e-5)


MUTANTS: dict[str, tuple[dict[str, str], str]] = {
    "levels stacked in another order": ({"stack": "stack = Concat <axis = 3> (u1, u0)"}, "in another order, or others"),
    "levels have each other's places": (
        {"g0": "g0 = Gather <axis = 3> (grids, second)", "g1": "g1 = Gather <axis = 3> (grids, first)"},
        "in another order, or others",
    ),
    "both levels have the places of the first": (
        {"g1": "g1 = Gather <axis = 3> (grids, first)"},
        "in another order, or others",
    ),
    "no step from 0 to -1": ({"grids": "grids = Identity (double)"}, "from 0 to 1"),
    "three times the place": ({"double": "double = Mul (places, three)"}, "from 0 to 1"),
    "corners": (
        {"r0": "r0 = GridSample <align_corners = 1> (i0, k0)", "r1": "r1 = GridSample <align_corners = 1> (i1, k1)"},
        "from the centre of the first pixel",
    ),
    "not all terms": (
        {"sum": "some = Slice (product, begin, end, right)\n  sum = ReduceSum <keepdims = 0> (some, last)"},
        "in another order, or others",
    ),
    "every term twice": (
        {"product": "once = Mul (flat, factors)\n  product = Concat <axis = 3> (once, once)"},
        "in another order, or others",
    ),
    "weights are made of the samples": (
        {
            "turned": "all = ReduceSum <keepdims = 0> (r0)\n  more = Add (weights, all)\n"
            "  turned = Transpose <perm = [0, 2, 1, 3, 4]> (more)",
        },
        "made of its own samples",
    ),
    "one level twice": ({"i1": "i1 = Reshape (t0, image1)"}, "one level after the other"),
    "samples are scaled": ({"u1": "s1 = Mul (r1, three)\n  u1 = Unsqueeze (s1, behind)"}, ""),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_none_and_stays_equal(name: str) -> None:
    edits, reason = MUTANTS[name]
    proto = model(edits)
    _, found = looked_at(proto)
    assert not found.attentions
    if reason:
        (miss,) = (miss for miss in found.near_misses if miss.code == "GSO118")
        assert reason in miss.condition
    feeds = feeds_of()
    result = optimize(proto, lowering="plugin").model
    np.testing.assert_allclose(run(result, feeds), run(proto, feeds), rtol=1e-4, atol=1e-4)


def test_of_levels_that_are_added_the_whole_sum_has_the_one_reason() -> None:
    """Its parts lack levels, and with items for heads it would lack the same."""
    proto = onnx.load(EXPORTS / "added.dy18.dyn.onnx")
    for node in proto.graph.node:
        for own in node.attribute:
            own.i = 1 if own.name == "align_corners" else own.i
    (miss,) = looked_at(proto)[1].near_misses
    assert "from the centre of the first pixel" in miss.condition


FOUND = {
    "added.dy18.dyn": THREE,
    "added.ts17.st": THREE,
    "boxes.dy18.dyn": THREE,
    "gathered.dy18.st": "7 x 9, 4 x 5; 2 heads, 3 points",
    "gathered.ts13.dyn": "7 x 9, 4 x 5; 2 heads, 3 points",
    "gathered.ts17.st": "7 x 9, 4 x 5; 2 heads, 3 points",
    "d_fine.dy18.dyn": "7 x 9, 4 x 5, 2 x 3; 2 heads, 3+6+3 points",
    "d_fine.ts17.st": "7 x 9, 4 x 5, 2 x 3; 2 heads, 3+6+3 points",
    "folded.ts17.st": "7 x 9, 4 x 5; 2 heads, 3 points",
    "halves.dy18.dyn": THREE,
    "listed.dy18.dyn": THREE,
    "listed.ts17.st": THREE,
    "listed_uneven.dy18.dyn": "7 x 9, 4 x 5, 2 x 3; 2 heads, 3+4+2 points",
    "listed_uneven.ts17.st": "7 x 9, 4 x 5, 2 x 3; 2 heads, 3+4+2 points",
    "one_level.ts17.st": "7 x 9; 2 heads, 4 points",
    "padded.ts17.st": "7 x 9, 4 x 5; 2 heads, 3 points",
    "points.ts17.st": THREE,
    "stacked.dy18.dyn": THREE,
    "stacked.dy18.st": THREE,
    "stacked.ts17.dyn": THREE,
    "stacked.ts17.st": THREE,
}
"""Exports of torch, as mmcv, Deformable DETR, RT-DETRv2 and D-FINE write it, and by hand; and what is found in each."""


@pytest.mark.parametrize("name", FOUND)
def test_an_export_becomes_one_node(name: str) -> None:
    proto = onnx.load(EXPORTS / f"{name}.onnx")
    _, found = looked_at(proto)
    (site,) = found.attentions
    assert found.sites == (site,)
    assert site.words == FOUND[name]
    if name.endswith(".dyn"):
        assert site.domain is not None
        halves = "2 <= batch <= 2048, 2 <= queries <= 2048"  # places in float16, whatever they are made of
        assert site.domain.words == (halves if "float16" in site.types else "every batch, queries >= 2")
    made = optimize(proto, lowering="plugin", require_match=1)
    assert (
        made.report.sites[0].error.max_abs is not None
    )  # checked alone, at sizes of the check's own where they are free
    result = made.model
    assert [node.op_type for node in result.graph.node].count("DeformableAttention") == 1
    feeds = inputs_of(proto, {"batch": 3, "queries": 7})
    allowed = 5e-3 if "float16" in site.types else 1e-4
    np.testing.assert_allclose(run(result, feeds), run(proto, feeds), rtol=allowed, atol=allowed)
    assert not {"GridSample", "GatherElements", "Floor"} & {node.op_type for node in result.graph.node}


@pytest.mark.parametrize("free", [1, 3])
def test_a_level_whose_size_is_not_known_is_none(free: int) -> None:
    """How many pixels or channels there are the file leaves open, which its Reshapes and Slices do not."""
    proto = onnx.load(EXPORTS / "added.dy18.dyn.onnx")
    for value in proto.graph.input:
        for dim in value.type.tensor_type.shape.dim:
            dim.dim_value = {"batch": 6, "queries": 7}.get(dim.dim_param, dim.dim_value)
    proto.graph.input[0].type.tensor_type.shape.dim[free].Clear()
    _, found = looked_at(proto)
    assert not found.attentions


def test_maps_of_other_sizes_are_told_apart_where_each_input_names_its_own() -> None:
    """That one batch serves all four inputs is found out; it was taken for all their sizes, rows and columns too."""
    proto = onnx.load(EXPORTS / "maps.ts17.dyn.onnx")
    sizes = {"batch": 2, "queries": 7, "rows0": 9, "columns0": 2, "rows1": 4, "columns1": 6}
    feeds = inputs_of(proto, sizes)
    for value in proto.graph.input:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.dim_param:
                dim.dim_param = f"{value.name}_{axis}"
    result = optimize(proto, lowering="row-gather", measure=False, require_match=1)
    assert [site.lowering for site in result.report.sites] == ["row-gather"]
    np.testing.assert_allclose(run(result.model, feeds), run(proto, feeds), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["maps.ts17.dyn", "maps.dy18.dyn", "maps_gathered.ts17.dyn"])
def test_levels_may_be_as_large_as_maps_are(name: str) -> None:
    proto = onnx.load(EXPORTS / f"{name}.onnx")
    _, found = looked_at(proto)
    (site,) = found.attentions
    assert site.levels == ((None, None), (None, None))
    assert site.sources == tuple(((own, 2), (own, 3)) for own in ("fine", "coarse"))
    assert "are dynamic here" in attention_refusals(site, Target(17, "tensorrt"))["tensorrt-attention"]
    for lowering in ("plugin", "row-gather"):
        result = optimize(proto, lowering=lowering, require_match=1)
        assert [own.lowering for own in result.report.sites] == [lowering]
        assert result.report.sites[0].error.max_abs is not None
        for k, (rows, columns) in enumerate(((2, 3), (7, 9), (5, 2))):
            sizes = {
                "batch": 2 + k,
                "queries": 7 - k,
                "rows0": rows,
                "columns0": columns,
                "rows1": 4,
                "columns1": 5 + k,
            }
            feeds = inputs_of(proto, sizes)
            np.testing.assert_allclose(run(result.model, feeds), run(proto, feeds), rtol=1e-4, atol=1e-4)


def test_blended_frames_are_two_samplers_and_no_near_miss() -> None:
    text = """<ir_version: 8, opset_import: ["": 17]>
g (float[1, 3, 8, 9] a, float[1, 3, 8, 9] b, float[1, 8, 9, 2] to, float[1, 8, 9, 2] back, float[1, 1, 8, 9] mask,
   float[1, 1, 8, 9] rest) => (float[1, 3, 8, 9] out)
{
   left = GridSample (a, to)
   right = GridSample (b, back)
   first = Mul (left, mask)
   second = Mul (right, rest)
   out = Add (first, second)
}"""
    _, found = looked_at(onnx.parser.parse_model(text))
    assert [site.rule for site in found.sites] == ["GSO002", "GSO002"]
    assert not found.near_misses


def test_the_report_says_what_it_is() -> None:
    report = optimize(model(), lowering="plugin").report
    text = to_text(report)
    assert "deformable attention (2 x 3, 3 x 2; 2 heads, 2 points)" in text


def test_refusals_have_reasons() -> None:
    (site,) = looked_at(model())[1].attentions
    assert attention_refusals(site, Target(17)).keys() == {"tensorrt-attention"}
    assert attention_refusals(site, Target(17, "tensorrt")).keys() == {"plugin"}
    assert "loads no function" in attention_refusals(site, Target(17, "openvino"))["plugin"]
    assert set(attention_refusals(site, Target(10))) == set(WHOLE)


def test_records_of_nodes_and_of_gathers_are_apart() -> None:
    (nodes,) = looked_at(model())[1].attentions
    (gathers,) = looked_at(onnx.load(EXPORTS / "gathered.ts17.st.onnx"))[1].attentions
    assert recorded(nodes, "ort-cpu", {"plugin": "no library"})[0] == "keep"
    assert recorded(gathers, "ort-cpu", {"plugin": "no library"})[0] == "grid-sample"  # few queries
    nodes, gathers = (replace(site, sizes=(1, 300, 8, 32)) for site in (nodes, gathers))
    for site in (nodes, gathers):
        assert recorded(site, "tensorrt", {})[0] == "tensorrt-attention"
    assert recorded(nodes, "ort-cpu", {"plugin": "no library"})[0] == "keep"
    name, reason = recorded(gathers, "ort-cpu", {"plugin": "no library"})
    assert (name, "about 2.1 times" in reason) == ("row-gather", True)


def test_the_plugin_of_tensorrt_gets_what_its_contract_says() -> None:
    graph, found = looked_at(model())
    (site,) = found.attentions
    cone = attention_check(graph, site, Terms(lambda own: own)).cone.model
    proto = lowered_alone(cone, site, "tensorrt-attention")
    (node,) = (node for node in proto.graph.node if node.op_type == "MultiscaleDeformableAttnPlugin_TRT")
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    assert node.input[0] == "value"
    shapes, starts = (values[name] for name in node.input[1:3])
    assert (shapes.dtype, starts.dtype) == (np.int32, np.int32)
    assert shapes.tolist() == [[2, 3], [3, 2]]
    assert starts.tolist() == [0, 6]
    attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    assert attributes == {"plugin_namespace": b"", "plugin_version": b"1"}
    prepared, needing_a_library = for_engine(proto)
    assert not prepared.functions, "TensorRT 10.0 to 10.6 prefer a function to a plugin"
    assert needing_a_library == 0


def _levels(site: AttentionSite) -> AttentionSite:
    return replace(site, levels=site.levels[::-1])


def _weights(site: AttentionSite) -> AttentionSite:
    b, q, h, term = site.weights.groups
    return replace(site, weights=replace(site.weights, groups=(b, q, h, term[::-1])))


def _places(site: AttentionSite) -> AttentionSite:
    b, q, h, term, axis = site.locations.groups
    return replace(site, locations=replace(site.locations, groups=(b, q, h, term[::-1], axis)))


def _heads(site: AttentionSite) -> AttentionSite:
    b, s, h, d = site.value.groups
    return replace(site, value=replace(site.value, groups=(h, s, b, d)))


@pytest.mark.parametrize(
    "proto", [model(), halves("all"), halves("places in float32")], ids=["single", "half", "mixed"]
)
@pytest.mark.parametrize("fault", [_levels, _weights, _places, _heads])
def test_the_check_sees_a_wrong_site(fault: Callable[[AttentionSite], AttentionSite], proto: onnx.ModelProto) -> None:
    graph, site = _graph_and_site(proto)
    check = attention_check(graph, site, Terms(lambda own: own))
    assert replace(check, site=fault(site)).compare("row-gather").status == "mismatch"
