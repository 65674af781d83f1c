"""Deformable convolutions spelt as samplers: what is one is found and equal; what is none is not, with a reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from onnxgs_opt import optimize
from onnxgs_opt.api import look
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import LOWERINGS, Target
from onnxgs_opt.lowering.deform_conv import deform_refusal
from onnxgs_opt.lowering.deform_samples import MOST_PLACES, is_small
from onnxgs_opt.passes.lower_sites import lower
from onnxgs_opt.recognition import KINDS
from onnxgs_opt.recognition.findings import Survey
from onnxgs_opt.report.rendering.text import to_text
from onnxgs_opt.runtime.ort import has_deform_conv, open_session
from onnxgs_opt.samplers.deform import DeformSite
from onnxgs_opt.validation.check_deform_conv import deform_check
from onnxgs_opt.validation.cone_check import lowered_alone
from onnxgs_opt.validation.terms import Terms
from tests.fixtures.deform import Spelling, build, feeds_of, truth
from tests.fixtures.text import put_behind

MODELS = Path(__file__).parents[1] / "fixtures" / "deform_exports"
needs_node = pytest.mark.skipif(not has_deform_conv(), reason="this onnxruntime has no DeformConv")

SPELLINGS = {
    "pairs": Spelling(),
    "gather": Spelling(read="gather", batch=2),
    "gather_nd": Spelling(read="gather_nd", offset_groups=2),
    "halves": Spelling(offsets="halves", masked=False, bias="own"),
    "apart": Spelling(offsets="apart", fold="conv3d", bias="own"),
    "last": Spelling(offsets="last", fold="one-by-one", batch=2, bias="added"),
    "strips": Spelling(read="gather", offsets="halves", fold="strips", masked=False),
    "strides": Spelling(kernel=(3, 2), stride=(2, 1), dilation=(2, 1), pad=(2, 1), size=(9, 8), fold="conv"),
    "no pad": Spelling(pad=(0, 0), read="gather", masked=False),
    "groups": Spelling(groups=2, fold="conv"),
    "offset groups": Spelling(offset_groups=2, batch=2),
    "both groups": Spelling(channels=8, groups=2, offset_groups=4, read="gather"),
    "every channel": Spelling(offset_groups=4, groups=2, fold="one-by-one"),
    "points first": Spelling(fold="points-first", order="columns"),
    "matmul": Spelling(fold="matmul", batch=2, bias=""),
    "rows": Spelling(fold="rows", masked=False, order="columns", kernel=(2, 3)),
    "planes": Spelling(fold="planes", offsets="halves"),
    "einsum": Spelling(fold="einsum", batch=2, masked=False),
    "gemm": Spelling(fold="gemm", bias="own"),
    "gemm of items": Spelling(fold="gemm", bias="own", batch=3, stride=(2, 1), offset_groups=2),
    "item": Spelling(fold="item", stride=(1, 2), offsets="halves"),
    "masked weights": Spelling(read="gather", mask_at="weights", offset_groups=2, fold="conv3d"),
    "one row": Spelling(kernel=(1, 3), pad=(0, 1), size=(5, 6)),
    "one position": Spelling(size=(3, 3), pad=(0, 0), fold="conv3d"),
}


def looked_at(model: onnx.ModelProto) -> tuple[Graph, Survey]:
    return look(Graph.from_proto(model))


def run(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> np.ndarray:
    return open_session(model, threads=1).run(None, feeds)[0]


def node_of(graph: Graph, site: DeformSite) -> onnx.NodeProto:
    """The one node that stands for a site, whose check passes."""
    check = deform_check(graph, site, Terms(lambda own: own))
    seen = check.compare("deform-conv")
    assert seen.status == "ok", seen.worst
    (node,) = (n for n in lowered_alone(check.cone.model, site, "deform-conv").graph.node if n.op_type == "DeformConv")
    return node


@needs_node
@pytest.mark.parametrize("name", SPELLINGS)
def test_a_spelling_is_found_and_becomes_one_node_that_computes_the_truth(name: str) -> None:
    own = SPELLINGS[name]
    model = build(own)
    graph, found = looked_at(model)
    (site,) = found.deforms
    assert found.sites == (site,)
    assert site.rule == "GSO006"
    geometry = site.geometry
    assert (geometry.kernel, geometry.dilations) == (own.kernel, own.dilation)
    assert (geometry.groups, geometry.offset_groups) == (own.groups, own.offset_groups)
    assert geometry.pads[:2] == own.pad
    assert all(s == t or p == 1 for s, t, p in zip(geometry.strides, own.stride, own.positions, strict=True))
    node_of(graph, site)
    result = optimize(model, lowering="deform-conv", require_match=1).model
    assert [n.op_type for n in result.graph.node].count("DeformConv") == 1
    assert not {"GridSample", "GatherElements", "Floor"} & {n.op_type for n in result.graph.node}
    feeds = feeds_of(model)
    expected = truth(own, feeds)
    if own.fold in ("rows", "planes"):
        expected = expected.transpose(0, 2, 3, 1)
    np.testing.assert_allclose(run(result, feeds).reshape(expected.shape), expected, rtol=1e-4, atol=2e-4)


READ = {
    "plain": Spelling(masked=False),
    "masked": Spelling(read="gather", batch=2, made=9),
    "apart": Spelling(offsets="apart", fold="conv3d", bias="own", kernel=(2, 3), dilation=(2, 1), stride=(1, 2)),
    "columns": Spelling(fold="rows", order="columns", kernel=(2, 3), offsets="last"),
    "offset groups": Spelling(offset_groups=2, batch=2, read="gather_nd", mask_at="weights"),
    "groups": Spelling(groups=2, made=32, fold="conv", pad=(0, 2)),
    "both groups": Spelling(channels=8, groups=2, offset_groups=4, made=32, batch=2, bias="added"),
    "one position": Spelling(size=(3, 3), pad=(0, 0), fold="conv3d"),
    "halves of a square": Spelling(size=(8, 8), pad=(2, 2), offsets="halves", batch=3),
}
"""What is written whole as reads of weighted pixels."""


def samplers_kept(model: onnx.ModelProto) -> set[str]:
    """What only a spelling that weighs samples has."""
    return {"Conv", "Gemm", "Einsum", "GridSample", "GatherElements", "GatherND"} & {
        node.op_type for node in model.graph.node
    }


@pytest.mark.parametrize("most", [MOST_PLACES, 0])
@pytest.mark.parametrize("name", READ)
def test_without_the_node_weighted_pixels_are_read(name: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a small table of places by the same nodes for rows and columns, where all channels are read at one place."""
    monkeypatch.setattr("onnxgs_opt.lowering.deform_samples.MOST_PLACES", most)
    own = READ[name]
    model = build(own)
    graph, found = looked_at(model)
    (site,) = found.deforms
    feeds = feeds_of(model)
    check = deform_check(graph, site, Terms(lambda own: own))
    monkeypatch.setattr("onnxgs_opt.lowering.deform_gather.BLOCK", 12 * own.points * own.made // own.groups)
    refused = KINDS[site.kind].refusals(site, Target(11))
    assert "merged-gather" not in refused
    forms = [name for name in ("merged-gather", "blocked-gather") if name not in refused]
    assert len(forms) == 1 + (own.positions[0] > 1)
    for form in forms:
        seen = check.compare(form)
        assert seen.status == "ok", seen.worst
        lowered = lower(graph, [site], {site.id: form}).to_proto()
        assert not samplers_kept(lowered)
        is_few = most > 0 and own.groups == own.offset_groups == 1
        assert [n.op_type for n in lowered.graph.node].count("Floor") == (1 if is_few else 2)
        assert any(n.op_type == "Scan" for n in lowered.graph.node) == (form == "blocked-gather")
        expected = truth(own, feeds)
        expected = expected.transpose(0, 2, 3, 1) if own.fold == "rows" else expected
        np.testing.assert_allclose(run(lowered, feeds).reshape(expected.shape), expected, rtol=1e-4, atol=2e-4)


WEIGHED = {
    "masked": Spelling(read="gather", batch=2, mask_at="weights"),
    "four offset groups": Spelling(offset_groups=4, groups=2, bias="own"),
    "groups that make little": Spelling(groups=2, made=30, offsets="apart", masked=False),
    "columns": Spelling(fold="rows", order="columns", kernel=(2, 3), offsets="last", stride=(1, 2)),
}
"""Of which forms sample at the points of the kernel and weigh the samples by one MatMul."""


@pytest.mark.parametrize("name", WEIGHED)
def test_every_other_form_weighs_its_samples_by_one_product(name: str) -> None:
    own = WEIGHED[name]
    model = build(own)
    graph, found = looked_at(model)
    (site,) = found.deforms
    check, feeds = deform_check(graph, site, Terms(lambda own: own)), feeds_of(model)
    refused = KINDS[site.kind].refusals(site, Target(own.opset))
    forms = [form for form in LOWERINGS if form not in (*refused, "keep", "deform-conv")]
    assert {"merged-gather", "lerp-gather", "row-gather", "packed-gather", "grid-sample", "plugin"} <= set(forms)
    for form in forms:
        seen = check.compare(form)
        assert seen.status == "ok", (form, seen.worst)
        lowered = lower(graph, [site], {site.id: form}).to_proto()
        kinds = [node.op_type for node in lowered.graph.node]
        assert not {"Conv", "Gemm"} & set(kinds)
        expected = truth(own, feeds)
        expected = expected.transpose(0, 2, 3, 1) if own.fold == "rows" else expected
        np.testing.assert_allclose(run(lowered, feeds).reshape(expected.shape), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("most", [MOST_PLACES, 0])
@pytest.mark.parametrize("offsets", ["pairs", "halves", "apart"])
def test_of_a_small_table_of_places_rows_and_columns_are_made_by_the_same_nodes(
    offsets: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxgs_opt.lowering.deform_samples.MOST_PLACES", most)
    own = Spelling(batch=2, channels=8, offset_groups=2, kernel=(3, 2), stride=(2, 1), dilation=(1, 2), offsets=offsets)
    model = build(own)
    graph, found = looked_at(model)
    (site,) = found.deforms
    assert is_small(site) == (most > 0)
    seen = deform_check(graph, site, Terms(lambda own: own)).compare("grid-sample")
    assert seen.status == "ok", seen.worst
    lowered, feeds = lower(graph, [site], {site.id: "grid-sample"}).to_proto(), feeds_of(model)
    assert [node.op_type for node in lowered.graph.node].count("Div") == (1 if most else 2)
    np.testing.assert_allclose(run(lowered, feeds), truth(own, feeds), rtol=1e-4, atol=1e-3)


def test_of_an_image_of_one_row_the_sampler_alone_is_written() -> None:
    model = build(Spelling(kernel=(1, 3), pad=(0, 1), size=(1, 6), read="gather"))
    graph, found = looked_at(model)
    (site,) = found.deforms
    seen = deform_check(graph, site, Terms(lambda own: own)).compare("merged-gather")
    assert seen.status == "ok", seen.worst
    assert "Conv" in samplers_kept(lower(graph, [site], {site.id: "merged-gather"}).to_proto())


STILL = {
    "swapped": Spelling(),
    "rolled": Spelling(offset_groups=2),
    "doubled": Spelling(),
    "reversed": Spelling(masked=False),
    "mask-rolled": Spelling(),
    "mask-squared": Spelling(batch=2),
    "mask-turned": Spelling(size=(8, 8)),
    "items": Spelling(batch=2),
    "turned": Spelling(size=(8, 8), offsets="apart"),
    "channels": Spelling(),
}
"""Faults that make another deformable convolution, which is what has to come out."""


@needs_node
@pytest.mark.parametrize("fault", STILL)
def test_another_deformable_convolution_becomes_that_one(fault: str) -> None:
    model = build(replace(STILL[fault], fault=fault))
    graph, found = looked_at(model)
    (site,) = found.deforms
    node_of(graph, site)
    feeds = feeds_of(model)
    expected, right = run(model, feeds), run(build(STILL[fault]), feeds)
    result = run(optimize(model, lowering="deform-conv").model, feeds)
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=2e-4)
    assert not np.allclose(result, right, atol=1e-2)


REFUSED = {
    "point": (Spelling(masked=False), "not those of one kernel"),
    "position": (Spelling(), "another distance from the next"),
    "half": (Spelling(), "some are between two"),
    "border": (Spelling(), "does not read zeros (border)"),
    "corners": (Spelling(), "times other numbers than 1"),
    "channels": (Spelling(groups=2), "not those of one kernel"),
    "twice": (Spelling(), "each weighted once"),
    "missing": (Spelling(masked=False), "each weighted once"),
    "plane": (Spelling(size=(8, 8), masked=False), "another distance from the next"),
    "weighted": (Spelling(masked=False), "its own for every sample"),
    "nearest": (Spelling(), ""),
    "ones": (Spelling(read="gather", masked=False), ""),
    "added": (Spelling(), ""),
    "relu": (Spelling(), ""),
    "own": (Spelling(masked=False), ""),
    "used": (Spelling(masked=False), ""),
    "mask-twice": (Spelling(), ""),
}
"""Faults that make none, and a part of the reason; it is empty where nothing looks like one."""


@pytest.mark.parametrize("fault", REFUSED)
def test_what_is_none_is_refused_with_the_reason_and_stays_a_sampler(fault: str) -> None:
    own, reason = REFUSED[fault]
    _, found = looked_at(build(replace(own, fault=fault)))
    assert not found.deforms
    assert len(found.samplers) == 1
    told = [miss for miss in found.near_misses if miss.code == "GSO117"]
    assert len(told) == bool(reason)
    assert not told or reason in told[0].condition


def test_of_an_image_whose_channels_are_cut_each_part_is_one() -> None:
    """Groups that a model computes by themselves, and puts together."""
    own = Spelling(batch=2, fold="einsum", masked=False)
    model = build(own)
    image = model.graph.input[0]
    image.type.tensor_type.shape.dim[1].dim_value = 2 * own.channels
    for node in model.graph.node:
        node.input[:] = ["part" if name == image.name else name for name in node.input]
    bounds = [numpy_helper.from_array(np.array([v]), n) for n, v in (("from", own.channels), ("to", 99), ("along", 1))]
    model.graph.initializer.extend(bounds)
    model.graph.node.insert(0, helper.make_node("Slice", [image.name, "from", "to", "along"], ["part"], "cut"))
    _, found = looked_at(model)
    (site,) = found.deforms
    assert site.image.tensor == "part"
    result = optimize(model, lowering="deform-conv", require_match=1).model
    feeds = feeds_of(model)
    np.testing.assert_allclose(run(result, feeds), run(model, feeds), rtol=1e-4, atol=2e-4)


def test_an_operand_that_is_only_what_another_one_is_made_of_is_none() -> None:
    """With x = y + what x stands at, y is made of the offsets that x is made of, too."""
    model = build(Spelling(kernel=(5, 1), offsets="apart", masked=False))
    y, x = [node for node in model.graph.node if node.op_type == "Add"][:2]
    x.input[0] = y.output[0]
    _, found = looked_at(model)
    assert not found.deforms
    assert len(found.samplers) == 1


def test_an_image_with_zeros_on_three_sides_only_is_none() -> None:
    _, found = looked_at(build(Spelling(read="gather", masked=False, fault="ring")))
    assert not found.deforms
    assert [miss.code for miss in found.near_misses] == ["GSO103"]


def test_the_faults_change_what_is_computed() -> None:
    """Else a mutant would prove nothing."""
    for fault, (own, _) in REFUSED.items():
        if fault != "used":  # it is about what else is needed
            model = build(replace(own, fault=fault))
            feeds = feeds_of(model)
            assert not np.allclose(run(model, feeds), run(build(own), feeds), atol=1e-2), fault


# ---- what exporters write --------------------------------------------------------------------------------------------

EXPORTS = {
    "hand.dy18.st": "3 x 3, pad 1",
    "hand.ts17.dyn": "3 x 3, pad 1",
    "package_v2.nd12": "3 x 3, pad 1",
    "package_groups.el17": "3 x 3, pad 1, 2 groups, 4 offset groups",
    "package_strides.nd17": "3 x 2, stride 2 x 1, dilation 2 x 1, pad 1 x 2",
}
"""Exports of a module by hand, and what deform_conv2d_onnx_exporter writes for torchvision's operator."""


@needs_node
@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_becomes_one_node_that_computes_the_same(name: str) -> None:
    model = onnx.load(MODELS / f"{name}.onnx")
    result = optimize(model, lowering="deform-conv", opset=19, require_match=1)
    (site,) = result.report.sites
    assert (site.rule, site.lowering) == ("GSO006", "deform-conv")
    assert site.policy.kind == f"deformable convolution ({EXPORTS[name]})"
    assert site.policy.border == "zeros"
    assert site.domain is not None
    assert site.domain.words == ("every n, h, w >= 2" if name.endswith("dyn") else "the sizes in the file")
    kinds = [node.op_type for node in result.model.graph.node]
    assert kinds.count("DeformConv") == 1
    assert len(kinds) < 8
    sizes = ((1, 2, 2), (2, 9, 5), (1, 33, 40)) if name.endswith("dyn") else (None,)
    for size in sizes:
        feeds = feeds_of(model, shape=None if size is None else (size[0], 3, *size[1:]))
        np.testing.assert_allclose(run(result.model, feeds), run(model, feeds), rtol=1e-4, atol=2e-4)


def test_where_the_opset_is_too_low_the_report_says_so_and_weighted_pixels_are_read() -> None:
    model = onnx.load(MODELS / "package_v2.nd12.onnx")
    result = optimize(model, lowering="merged-gather")
    (site,) = result.report.sites
    assert (site.rule, site.lowering) == ("GSO006", "merged-gather")
    assert "--opset 19" in site.refusals["deform-conv"]
    text = to_text(result.report)
    assert "= deformable convolution (3 x 3, pad 1) of x at offset (zeros outside the image; pixel coordinates)" in text
    assert "deform-conv refused: DeformConv needs opset >= 19" in text
    assert not samplers_kept(result.model)
    assert result.report.reads.after == 1
    feeds = feeds_of(model)
    np.testing.assert_allclose(run(result.model, feeds), run(model, feeds), rtol=1e-4, atol=1e-4)


def test_runtimes_without_the_node_refuse_it(monkeypatch: pytest.MonkeyPatch) -> None:
    _, found = looked_at(build(SPELLINGS["pairs"]))
    (site,) = found.deforms
    assert deform_refusal(site, Target(19, "openvino")) == "openvino has no DeformConv"
    monkeypatch.setattr("onnxgs_opt.lowering.deform_conv.has_deform_conv", lambda: False)
    assert "1.25 is the first that has" in str(deform_refusal(site, Target(19)))
    assert "--opset 19" in str(deform_refusal(site, Target(18)))


# ---- the check ------------------------------------------------------------------------------------------------------


def _moved(site: DeformSite) -> DeformSite:
    top, left, bottom, right = site.geometry.pads
    return replace(site, geometry=replace(site.geometry, pads=(top - 1, left, bottom + 1, right)))


def _rolled(site: DeformSite) -> DeformSite:
    (offsets,) = site.offsets
    return replace(site, offsets=(replace(offsets, table=(*offsets.table[2:], *offsets.table[:2])),))


def _turned(site: DeformSite) -> DeformSite:
    (offsets,) = site.offsets
    pairs = zip(offsets.table[1::2], offsets.table[::2], strict=True)
    return replace(site, offsets=(replace(offsets, table=tuple(c for pair in pairs for c in pair)),))


def _unmasked(site: DeformSite) -> DeformSite:
    return replace(site, mask=None)


def _masked_otherwise(site: DeformSite) -> DeformSite:
    assert site.mask is not None
    return replace(site, mask=replace(site.mask, table=site.mask.table[::-1]))


def _weighted_otherwise(site: DeformSite) -> DeformSite:
    return replace(site, weights=replace(site.weights, columns=(1, 0, *range(2, 36))))


FORMS = [pytest.param("deform-conv", marks=needs_node), "merged-gather", "grid-sample"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fault", [_moved, _rolled, _turned, _unmasked, _masked_otherwise, _weighted_otherwise])
def test_the_check_sees_a_wrong_site(fault: Callable[[DeformSite], DeformSite], form: str) -> None:
    graph, found = looked_at(build(Spelling()))
    (site,) = found.deforms
    terms = Terms(lambda own: own)
    check = deform_check(graph, site, terms)
    assert check.compare(form).status == "ok"
    assert replace(check, site=fault(site)).compare(form).status == "mismatch"


def test_positions_that_are_others_at_larger_sizes_make_no_deformable_convolution() -> None:
    """Rounded from 0.9996 times themselves they are themselves up to 1250 rows, and the sampler is one all the same."""
    model = onnx.load(MODELS / "hand.ts17.dyn.onnx")
    steps = "f = Cast<to=1>(v) k = Constant<value_float=0.9996>() h = Constant<value_float=0.5>() m = Mul(f, k)"
    put_behind(model, "/Reshape_1_output_0", steps + " p = Add(m, h) o = Cast<to=7>(p)")
    _, found = look(Graph.from_proto(model))
    assert (len(found.deforms), len(found.samplers)) == (0, 1)
    assert [(miss.code, "larger sizes only" in miss.condition) for miss in found.near_misses] == [("GSO117", True)]


def test_where_channels_are_not_counted_in_the_file_it_is_a_sampler() -> None:
    """The kernel has as many as it has: at other sizes than that the file is looked at too."""
    proto = onnx.load(Path(__file__).parents[1] / "fixtures" / "deform_exports" / "hand.ts17.dyn.onnx")
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "channels"
    report = optimize(proto, dry_run=True).report
    assert [site.rule for site in report.sites] == ["GSO001"]
    assert "channels are convolved" in {miss.code: miss.condition for miss in report.near_misses}["GSO117"]
