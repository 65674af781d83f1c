"""Each lowering against the definition: every policy, opset and layout, on and around the borders."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.lowering import LOWERINGS, Target, refusal_of
from onnxgs_opt.lowering.grid_sample import displacement
from onnxgs_opt.passes.lower_bilinear import LowerBilinear
from onnxgs_opt.passes.raise_bilinear import RaiseBilinear
from onnxgs_opt.samplers.policy import WINDOWS, Policy
from onnxgs_opt.samplers.view import View
from tests.fixtures.soak import ALL
from tests.lowering.samplers import (
    POLICIES,
    SHAPES,
    Case,
    expected,
    gap,
    graph_and_site,
    holding,
    lower,
    site_of,
    variants,
)

OPSETS = (11, 12, 13, 16, 18, 20, 21)
WRITING = ("merged-gather", "lerp-gather", "row-gather", "packed-gather", "grid-sample", "roi-align", "plugin")


def run(case: Case, name: str) -> float:
    """The largest difference from the definition, 0 where it is refused; the model has to be valid."""
    if refusal_of(LOWERINGS[name], site_of(case), Target(case.opset, image_size=(64, 64))) is not None:
        return 0.0
    return gap(case, LOWERINGS[name])


def operators(case: Case, name: str) -> list[str]:
    return [node.op for node in lower(case, LOWERINGS[name]).nodes]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: f"{p.border}-{p.window}")
@pytest.mark.parametrize("name", WRITING)
def test_policies(name: str, policy: Policy) -> None:
    """Every shape with every window, with one border and the other in turn."""
    turn = [*WINDOWS].index(policy.window) + (policy.border == "zeros")
    worst = max(run(case, name) for case in variants(policy, 17)[0 if ALL else turn % 2 :: 1 if ALL else 2])
    assert worst <= (5e-5 if name == "grid-sample" else 1e-6)


UNIFORM = (Policy("reflection"), Policy("symmetric"), Policy("wrap"))
MIXED = ("cylinder", "wrap x border", "zeros x border", "border x zeros", "symmetric x zeros", "zeros x wrap")
MOVED = (*UNIFORM, *(Policy(name) for name in (*MIXED, "reflection x wrap")))
OTHERS = (*MOVED, Policy(fill=2), Policy("zeros", "interior", fill=-1))
LIKE = (
    Case(opset=11),
    Case(channels=4, image=(2, 2)),
    Case(dynamic=True, channels=9),
    Case(rows_and_columns=True, one_grid=True),
)


@pytest.mark.parametrize("policy", OTHERS, ids=lambda p: f"{p.border}-{p.window}-{p.fill}")
@pytest.mark.parametrize("name", WRITING)
def test_what_lowerings_know_by_their_operands_alone(name: str, policy: Policy) -> None:
    """Mirrored, repeated and filled images; points far outside are moved by whole periods."""
    assert max(run(replace(case, policy=policy), name) for case in LIKE) <= 5e-5


@pytest.mark.parametrize("policy", [*UNIFORM, Policy(fill=2)], ids=lambda p: f"{p.border}-{p.fill}")
@pytest.mark.parametrize("name", WRITING)
def test_points_and_images_that_the_file_holds(name: str, policy: Policy) -> None:
    """What is made of small ones is a number in the file, and no node reads it yet when the next looks for it."""
    case = Case(batch=1, image=(2, 3), samples=(3, 4), rows_and_columns=True, policy=policy)
    if refusal_of(LOWERINGS[name], site_of(case), Target(17)) is None:
        for held in ("x y", "image"):
            np.testing.assert_allclose(holding(case, held, LOWERINGS[name]), expected(case), atol=5e-5, err_msg=held)


def test_they_are_refused_by_none_for_their_border() -> None:
    for policy in MOVED:
        case = Case(policy=policy)
        refused = {n for n in WRITING if refusal_of(LOWERINGS[n], site_of(case), Target(17, image_size=(64, 64)))}
        assert refused == ({"roi-align"} if "zeros" in policy.border else set())


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("name", WRITING)
def test_opsets(name: str, opset: int) -> None:
    """Every shape and every policy at each opset, each shape with another policy from one opset to the next."""
    if name == "grid-sample" and opset < 16:
        pytest.skip("refused")
    policies = (Policy("zeros", "interior"), Policy("zeros", "reach-closed"), Policy("border"))
    for place, case in enumerate(SHAPES, OPSETS.index(opset)):
        assert run(replace(case, policy=policies[place % 3], opset=opset), name) <= (
            5e-5 if name == "grid-sample" else 1e-6
        )


@pytest.mark.parametrize("policy", [Policy("zeros", "interior"), Policy("border"), Policy("zeros")])
@pytest.mark.parametrize("name", WRITING)
def test_normalised_coordinates(name: str, policy: Policy) -> None:
    case = Case(policy=policy, coordinates="normalised", align_corners=True)
    assert run(case, name) <= 2e-6  # far points lose pixels' precision in the unit itself


@pytest.mark.parametrize("channels", [1, 3, 16])
def test_merged_gather_reads_the_image_once(channels: int) -> None:
    found = operators(Case(channels=channels), "merged-gather")
    assert sum(op.startswith("Gather") for op in found) == 1


def test_node_counts() -> None:
    counts = {
        (name, dynamic): len(operators(Case(dynamic=dynamic), name))
        for name in ("merged-gather", "grid-sample", "plugin")
        for dynamic in (False, True)
    }
    assert counts["merged-gather", False] <= 35
    assert counts["merged-gather", True] <= 60
    assert counts["grid-sample", False] <= 20
    assert counts["plugin", True] == counts["plugin", False] == 1


def test_fp16_image_with_fp32_coordinates() -> None:
    for channels in (3, 16):
        assert run(Case(dtype="float16", channels=channels), "merged-gather") <= 1e-2


@pytest.mark.parametrize("policy", [Policy("border"), Policy("zeros", "interior"), Policy("zeros")], ids=str)
@pytest.mark.parametrize("name", WRITING)
def test_sizes_that_are_known_of_the_site_alone(name: str, policy: Policy) -> None:
    """They decide the type of the index, which an open size in int64 must not meet, and how points are normalised."""
    told = Case(policy=policy, told=True)
    for case in (told, replace(told, channels=1, batch=1), replace(told, channels=4)):
        assert run(case, name) <= (5e-5 if name == "grid-sample" else 1e-6)


def test_plane_and_row_indices_are_int64_unless_sizes_are_known() -> None:
    def index_types(case: Case) -> set[int]:
        casts = [node for node in lower(case, LOWERINGS["merged-gather"]).nodes if node.op == "Cast"]
        return {int(node.attrs["to"]) for node in casts} - {int(onnx.TensorProto.FLOAT)}

    assert index_types(Case()) == {int(onnx.TensorProto.INT32)}
    assert index_types(Case(dynamic=True)) == {int(onnx.TensorProto.INT64)}


def test_plugin_node_carries_the_policy() -> None:
    model = lower(Case(policy=Policy("border", "cells"), opset=11), LOWERINGS["plugin"]).to_proto()
    (node,) = model.graph.node
    values = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    assert (node.domain, node.op_type) == ("onnxgs", "BilinearSample")
    assert values["plugin_namespace"] == b"onnxgs"
    assert values["plugin_version"] == b"1"
    assert (values["border"], values["window"], values["coordinates"], values["layout"]) == (1, 7, 0, 0)
    assert model.ir_version >= 8
    assert [f.name for f in model.functions] == ["BilinearSample"]


def test_one_function_serves_sites_of_different_policies() -> None:
    first = lower(Case(policy=Policy("border")), LOWERINGS["plugin"]).to_proto().functions[0]
    second = lower(Case(policy=Policy("zeros", "cells")), LOWERINGS["plugin"]).to_proto().functions[0]
    assert first == second


@pytest.mark.parametrize(
    ("name", "case", "target", "part"),
    [
        ("grid-sample", Case(), Target(13), "needs opset >= 16, the model has 13"),
        ("grid-sample", Case(), Target(20, "tensorrt"), "GSO201"),
        ("grid-sample", Case(image=(1080, 1920)), Target(17), "7.3e-04"),
        ("grid-sample", Case(), Target(17, atol=1e-7), "1e-07 is allowed"),
        ("grid-sample", Case(dynamic=True), Target(17), "dynamic"),
        ("roi-align", Case(), Target(10), "opset >= 11"),
        ("roi-align", Case(), Target(17, "tensorrt"), "a plugin"),
        ("roi-align", Case(policy=Policy("zeros")), Target(17), "fades to zero"),
        ("roi-align", Case(policy=Policy("zeros", "cells")), Target(17), "fades to zero"),
        ("roi-align", Case(dtype="float16"), Target(17), "float16"),
        ("lerp-gather", Case(dynamic=True), Target(17, "tensorrt"), "NaN"),
        ("merged-gather", Case(), Target(10), "opset >= 11"),
        ("blocked-gather", Case(), Target(17, "ort-cuda"), "CPU's caches"),
        ("blocked-gather", Case(), Target(17), "fit in a block: "),
        ("blocked-gather", Case(channels=16), Target(17), "a block or two"),
        ("blocked-gather", Case(channels=16, samples=(104729, 1)), Target(17), "do not divide"),
        ("blocked-gather", Case(dynamic=True), Target(17), "number of channels, and it is dynamic"),
        ("blocked-gather", Case(dynamic=True, counted=True, channels=9), Target(17), "how many points"),
        ("blocked-gather", Case(), Target(10), "opset >= 11"),
        ("plugin", Case(), Target(10), "opset >= 11"),
        ("plugin", Case(dtype="float64"), Target(17, "tensorrt"), "double"),
        ("plugin", Case(dtype="unknown"), Target(17), "unknown"),
    ],
)
def test_refusals(name: str, case: Case, target: Target, part: str) -> None:
    assert part in (LOWERINGS[name].refusal(site_of(case), target) or "")


@pytest.mark.parametrize("size", [2, 3, 24, 33, 66, 129, 135, 240, 270, 513, 1080, 1920])
def test_the_displacement_is_what_single_precision_makes_of_a_coordinate(size: int) -> None:
    half, one = np.float32((size - 1) / 2), np.float32(1)
    rng = np.random.default_rng(size)
    for low, high, outside in ((0, size - 1, False), (-1, size, True)):
        p = (rng.random(200_000) * (high - low) + low).astype(np.float32)
        again = (p / half - one + one) / np.float32(2) * np.float32(size - 1)  # GridSample's own formula
        worst = np.abs(again.astype(np.float64) - p).max()
        assert displacement(size, outside) / 4 <= worst <= displacement(size, outside)


@pytest.mark.parametrize("size", [1, 2, 3, 24, 41, 65, 80, 128, 129, 240, 513, 1080])
def test_the_displacement_from_edge_to_edge_is_bounded_as_far(size: int) -> None:
    half, one = np.float32(size / 2), np.float32(1)
    p = (np.random.default_rng(size).random(200_000) * (size + 1) - 1).astype(np.float32)
    again = (((p + np.float32(0.5)) / half - one + one) * np.float32(size) - one) / np.float32(2)
    worst = np.abs(again.astype(np.float64) - p).max()
    assert displacement(size + 1, True) / 4 <= worst <= displacement(size + 1, True)


def corners_of(case: Case) -> int:
    (node,) = (node for node in lower(case, LOWERINGS["grid-sample"]).nodes if node.op == "GridSample")
    assert gap(case, LOWERINGS["grid-sample"]) <= 1e-4
    return int(node.attrs["align_corners"])


def test_many_channels_are_sampled_from_edge_to_edge_where_that_is_exact_enough() -> None:
    for policy in (Policy(), Policy(window="interior"), Policy(window="interior-closed")):
        assert corners_of(Case(channels=4, policy=policy)) == 0
        assert corners_of(Case(channels=3, policy=policy)) == 1
    assert corners_of(Case(channels=4, policy=Policy(border="border"))) == 1
    assert corners_of(Case(channels=4, image=(140, 240), policy=Policy(window="interior"))) == 1
    assert corners_of(Case(channels=4, dynamic=True)) == 1


def test_what_is_not_refused() -> None:
    _, site = graph_and_site(Case())
    refused = {name for name, lowering in LOWERINGS.items() if lowering.refusal(site, Target(17)) is not None}
    # Too few points; one sampler alone; points of data.
    resizing = {"resize", "polyphase-conv", "axis-matmul"}
    assert refused == {"blocked-gather", "deform-conv", "tensorrt-attention", *resizing}
    _, site = graph_and_site(Case(dynamic=True))
    assert LOWERINGS["grid-sample"].refusal(site, Target(17, image_size=(64, 64))) is None
    _, site = graph_and_site(Case(dynamic=True, coordinates="normalised", align_corners=True))
    assert LOWERINGS["grid-sample"].refusal(site, Target(17)) is None


def test_keep_writes_nothing() -> None:
    with pytest.raises(AssertionError):
        lower(Case(), LOWERINGS["keep"])


def test_the_mask_of_the_model_is_replaced() -> None:
    graph, site = graph_and_site(Case())
    mask = Builder(graph, "model").op("Sigmoid", graph.tensor("x"), dtype=np.float32)
    graph.outputs.append(mask)
    name = mask.name
    masked = replace(site, mask=View(name, site.x.groups, units=1))
    RaiseBilinear((masked,)).run(graph)
    LowerBilinear((masked,), {masked.id: "merged-gather"}).run(graph)
    graph.remove_dead()
    found = [node.op for node in graph.nodes]
    assert "Sigmoid" not in found
    assert [t.name for t in graph.outputs] == ["out", name]
    assert graph.tensor(name).shape == [2, 18, 31, 1]


def test_a_mask_of_another_shape_stays() -> None:
    graph, site = graph_and_site(Case())
    builder = Builder(graph, "model")
    mask = builder.op("Expand", builder.op("Sigmoid", graph.tensor("x"), dtype=np.float32), np.array([2, 18, 31, 4]))
    graph.outputs.append(mask)
    masked = replace(site, mask=View(mask.name, site.x.groups, units=1))
    assert LOWERINGS["merged-gather"].emit(Builder(graph, "site0"), masked).mask is None
    assert graph.outputs[-1] is mask


@pytest.mark.parametrize("name", ["lerp-gather", "merged-gather"])
def test_one_plane_is_read_by_two_threads(name: str) -> None:
    graph = lower(Case(batch=1, channels=1), LOWERINGS[name])
    shapes = [node.inputs[1].shape for node in graph.nodes if node.op == "GatherElements"]
    assert shapes == ([[2, 279]] * 4 if name == "lerp-gather" else [[1, 1, 2232]])
