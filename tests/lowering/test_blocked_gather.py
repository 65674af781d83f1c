"""`blocked-gather` in blocks small enough for small cases: against the definition, and what its loop holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from onnxgs_opt import optimize
from onnxgs_opt.api import look
from onnxgs_opt.errors import RunError
from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import Target
from onnxgs_opt.lowering.blocked_gather import BlockedGather
from onnxgs_opt.lowering.emit import point_blocks
from onnxgs_opt.runtime.ort import open_session
from onnxgs_opt.samplers.policy import Policy
from onnxgs_opt.samplers.view import View
from tests.fixtures.oracle import inside
from tests.lowering.samplers import POLICIES, Case, expected, feeds, gap, graph_and_site, holding, lower

SMALL = BlockedGather(elements=16 * 40)
CASES = [
    Case(channels=16),
    Case(channels=9, batch=1, image=(2, 2)),
    Case(channels=10, batch=3, one_grid=True),
    Case(channels=12, rows_and_columns=True),
    Case(channels=16, coordinates="normalised", align_corners=True),
]

FEW = [
    Case(),
    Case(channels=1, batch=1, samples=(18, 37)),
    Case(channels=8, batch=3, one_grid=True),
    Case(channels=2, rows_and_columns=True, one_grid=True),
    Case(channels=4, coordinates="normalised", align_corners=True),
    Case(told=True, policy=Policy("border", "all")),
]
FEW += [replace(case, channels_last=True) for case in FEW[:-1]]
DYNAMIC = [replace(case, dynamic=True, counted=True) for case in FEW if case.coordinates == "pixel" and not case.told]
DYNAMIC += [replace(case, index_type="int32") for case in DYNAMIC]


def small_gap(case: Case) -> float:
    """The largest difference from the definition; no case may be refused."""
    assert SMALL.refusal(graph_and_site(case)[1], Target(case.opset)) is None
    return gap(case, SMALL)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: f"{p.border}-{p.window}")
def test_policies(policy) -> None:
    assert max(small_gap(replace(case, policy=policy)) for case in CASES[:4] + FEW[::2] + DYNAMIC[::4]) <= 1e-6


@pytest.mark.parametrize("opset", [11, 12, 13, 16, 18, 20, 21])
def test_opsets(opset) -> None:
    assert max(small_gap(replace(case, opset=opset)) for case in CASES + FEW[1::2] + DYNAMIC[1::3]) <= 2e-6


def test_half_precision_images() -> None:
    assert max(small_gap(Case(channels=channels, dtype="float16")) for channels in (16, 3)) <= 1e-2


@pytest.mark.parametrize("case", CASES)
def test_what_a_turn_reads_fits_the_block(case) -> None:
    (scan,) = (node for node in lower(case, SMALL).nodes if node.op == "Scan")
    index, points = scan.inputs[0].shape, case.batch * case.samples[0] * case.samples[1]
    assert index[0] * index[1] == points
    assert index[0] > 2
    assert SMALL.elements / 4 <= index[1] * case.channels <= 4 * SMALL.elements
    assert [node.op for node in scan.attrs["body"].nodes] == ["Gather", "MatMul"]


@pytest.mark.parametrize("case", FEW)
def test_turns_of_few_channels_are_no_more_than_fit(case) -> None:
    (scan,) = (node for node in lower(case, SMALL).nodes if node.op == "Scan")
    turns, halves, *_, each = scan.inputs[0].shape
    points, most = case.batch * case.samples[0] * case.samples[1], SMALL.elements // case.channels
    assert turns == -(-points // most)
    assert points <= turns * halves * each < points + turns * halves
    assert [node.op for node in scan.attrs["body"].nodes].count("GatherElements") == 1


def index_types(case: Case) -> set[str]:
    (scan,) = (node for node in lower(case, SMALL).nodes if node.op == "Scan")
    return {str(scan.inputs[0].dtype), *(str(n.inputs[1].dtype) for n in scan.attrs["body"].nodes if "Gather" in n.op)}


def test_indices_are_short_where_they_surely_fit_or_the_model_has_them_so() -> None:
    few, unknown = Case(channels_last=True), Case(channels_last=True, dynamic=True, counted=True)
    assert index_types(few) == {"int32"}
    assert index_types(replace(few, channels=1, image=(2**14, 2**15), batch=3)) == {"int32"}
    assert index_types(replace(few, channels=4, image=(2**14, 2**15), batch=1)) == {"int64"}
    assert index_types(unknown) == {"int64"}
    assert index_types(replace(unknown, index_type="int32")) == {"int32"}


def test_an_image_too_large_for_short_indices_ends_the_run(monkeypatch) -> None:
    """Tried at a limit that a small image reaches."""
    monkeypatch.setattr(point_blocks, "INT32_LIMIT", 2 * 3 * 7 * 12)
    case = Case(dynamic=True, counted=True, channels_last=True, index_type="int32")
    with pytest.raises(RunError, match="Reshape"):
        small_gap(case)
    assert small_gap(replace(case, image=(7, 11))) <= 1e-6


@pytest.mark.parametrize("case", [Case(), Case(channels=2, batch=1, samples=(11, 31))])
def test_the_mask_of_the_model_is_written_for_every_point(case) -> None:
    """It costs as much as the reads where it compares [N, Ho, Wo, 1] with numbers."""
    graph, site = graph_and_site(case)
    mask = Builder(graph, "model").op("Sigmoid", graph.tensor("x"), dtype=np.float32)
    graph.outputs.append(mask)
    masked = replace(site, mask=View(mask.name, ((0,), (1,), (2,)), units=1))
    emitted = SMALL.emit(Builder(graph, site.id), masked)
    assert emitted.mask is not None
    graph.replace_all_uses(mask, emitted.mask)
    graph.remove_dead()
    inputs, x, y = feeds(case)
    actual = open_session(graph.to_proto(), threads=1).run([graph.outputs[1].name], inputs)[0]
    wanted = inside("interior", x, case.image[1]) & inside("interior", y, case.image[0])
    assert np.array_equal(actual[..., 0], wanted)
    assert 0 < wanted.sum() < wanted.size


def test_points_that_the_file_holds() -> None:
    case = Case(batch=1, rows_and_columns=True, channels_last=True)
    np.testing.assert_allclose(holding(case, "x y", SMALL), expected(case), atol=1e-6)


def test_a_real_export_of_three_channels_and_sizes_that_no_file_knows() -> None:
    path = Path(__file__).parents[1] / "fixtures" / "field" / "auto_shape_other_inputs.dyn.onnx"
    result = optimize(path, lowering="blocked-gather", shapes={"image": (1, 181, 271, 3), "flow": (1, 181, 271, 2)})
    assert (result.report.status, result.report.validation.status) == ("optimised", "ok")
    assert (result.report.reads.before, result.report.reads.after) == (4, 1)
    made = {output: node for node in result.model.graph.node for output in node.output}
    (scan,) = (node for node in result.model.graph.node if node.op_type == "Scan")
    assert len(scan.input) == 5
    assert made["strided_slice_2:0"] is made["strided_slice_3:0"]  # one Split makes both coordinates
    sites = look(Graph.load(path))[1].samplers
    assert [site.index_type for site in sites] == ["int32"]


def test_a_real_export_of_many_channels() -> None:
    path = Path(__file__).parents[2] / "bench" / "models" / "1x64x135x240.onnx"
    result = optimize(path, lowering="blocked-gather")
    assert (result.report.status, result.report.validation.status) == ("optimised", "ok")
    assert (result.report.reads.before, result.report.reads.after) == (4, 1)
    again = optimize(result.model, lowering="blocked-gather", dry_run=True).report
    assert (again.sites, again.near_misses) == ((), ())
