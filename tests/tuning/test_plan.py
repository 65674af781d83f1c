"""Choosing: recorded runs, plans on disk, and what the command line does with them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from onnxgs_opt import cli
from onnxgs_opt.api import optimize
from onnxgs_opt.errors import UsageError
from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import LOWERINGS, Target
from onnxgs_opt.lowering.base import Emitted
from onnxgs_opt.lowering.keep import KEEP
from onnxgs_opt.lowering.row_gather import RowGather
from onnxgs_opt.recognition import KINDS
from onnxgs_opt.samplers.site import Site, StructuralSite
from onnxgs_opt.tuning import database as table
from onnxgs_opt.tuning.database import hopeless, recorded
from onnxgs_opt.tuning.plan import Choice, choose, load_plan, replay, write_plan
from tests.lowering.samplers import Case, graph_and_site

MODEL = Path(__file__).parents[1] / "fixtures/models/masked_interior.ts17.dyn.onnx"
STATIC = MODEL.with_name("masked_interior.ts17.st.onnx")


def test_what_is_recorded_decides_where_nothing_is_measured() -> None:
    graph, site = graph_and_site(Case(channels=1, image=(1080, 1920), samples=(1080, 1920), batch=1))
    (choice,) = choose([replace(site, reads=("Gather_1",))], Target(graph.opset), "auto").values()
    assert choice.lowering == "blocked-gather"
    assert "not timed here" in choice.reason
    assert "20" in choice.reason  # the date


def test_the_nearest_case_counts() -> None:
    _, wide = graph_and_site(Case(channels=256, batch=4, image=(64, 64), samples=(64, 64)))
    assert recorded(wide, "ort-cpu", {})[0] == "blocked-gather"
    assert recorded(wide, "ort-cpu", {"blocked-gather": "no"})[0] == "merged-gather"
    _, narrow = graph_and_site(Case(channels=1, batch=1, image=(1080, 1920), samples=(1080, 1920)))
    assert recorded(narrow, "ort-cpu", {})[0] == "blocked-gather"
    assert recorded(narrow, "ort-cpu", {"blocked-gather": "no"})[0] == "lerp-gather"


def test_small_samplers_have_records_of_their_own_and_a_dynamic_size_is_not_taken_for_small() -> None:
    small = Case(channels=3, batch=1, image=(12, 10), samples=(8, 9))
    _, site = graph_and_site(small)
    name, reason = recorded(site, "ort-cpu", {"grid-sample": "no"})
    assert (name, "1x3x8x8" in reason) == ("roi-align", True)
    dynamic = replace(site, sample_size=(None, None))
    name, reason = recorded(dynamic, "ort-cpu", {"grid-sample": "no"}, is_timed=True)
    assert (name, "1x3x1080x1920" in reason) == ("blocked-gather", True)


def test_normalised_coordinates_have_records_of_their_own_where_there_are_any() -> None:
    _, site = graph_and_site(Case(channels=64, batch=1, image=(135, 240), samples=(135, 240)))
    assert recorded(site, "ort-cpu", {})[0] == "blocked-gather"
    normalised = replace(site, coordinates="normalised", align_corners=False)
    assert recorded(normalised, "ort-cpu", {})[0] == "grid-sample"
    assert recorded(normalised, "openvino", {}) == recorded(site, "openvino", {})


@pytest.mark.parametrize(
    ("target", "kernels", "refused", "name"),
    [
        ("ort-cpu", ("cubic", "cubic"), "grid-sample", "blocked-gather"),
        ("ort-cpu", ("cubic(-1/2)", "cubic(-1/2)"), "grid-sample", "blocked-gather"),
        ("ort-cpu", ("linear",) * 3, "", "blocked-gather"),
        ("ort-cuda", ("linear",) * 3, "", "grid-sample"),
        ("ort-cuda", ("cubic", "cubic"), "", "grid-sample"),
        *((target, ("nearest-even",) * axes, "", KEEP) for target in ("ort-cpu", "ort-cuda") for axes in (2, 3)),
        *((target, ("linear",), "", KEEP) for target in ("ort-cpu", "ort-cuda")),
        ("ort-cpu", ("linear", "nearest"), "", KEEP),
    ],
)
def test_other_kernels_have_records_of_their_own(
    target: str, kernels: tuple[str, ...], refused: str, name: str
) -> None:
    """Of a single pixel, and of two along one axis, no form is faster whatever the spelling."""
    _, site = graph_and_site(Case(channels=3, batch=1, image=(540, 960), samples=(540, 960)))
    found, reason = recorded(replace(site, kernels=kernels), target, {refused: "no", "plugin": "no library"})
    assert found == name
    unknown = "nothing is recorded for linear x nearest 2-D samplers", "nothing of about its size is recorded"
    assert "2026-11-30" in reason or any(part in reason for part in unknown)


def test_no_record_is_no_change() -> None:
    _, site = graph_and_site(Case())
    name, reason = recorded(site, "some-runtime", {})
    assert name == KEEP
    assert "nothing is recorded" in reason


def test_a_record_of_both_kinds_of_coordinates_counts_as_their_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    random, smooth = {"plugin": 0.9, "grid-sample": 0.8, "row-gather": 1.1}, {"plugin": 2.5, "grid-sample": 9.0}
    case = {"image": [1, 3, 9, 9], "points": [9, 9], "ratios": random, "smooth": smooth}
    record = {"target": "tensorrt", "machine": "m", "runtime": "r", "date": "d", "cases": [case]}
    monkeypatch.setattr(table, "_records", lambda: [record])
    _, site = graph_and_site(Case())
    name, reason = recorded(site, "tensorrt", {})
    assert (name, "about 1.5 times as fast by our benchmark at 1x3x9x9 (" in reason) == ("plugin", True)
    assert recorded(site, "tensorrt", {"plugin": "no library"})[0] == "row-gather"  # the other loses a fifth


@pytest.mark.parametrize(("refusals", "name"), [({}, "plugin"), ({"plugin": "no library was named"}, KEEP)])
def test_tensorrt_has_records(refusals: dict[str, str], name: str) -> None:
    sizes = {1: (1080, 1920), 64: (135, 240)}
    for case in (Case(channels=channels, image=size, samples=size) for channels, size in sizes.items()):
        chosen, reason = recorded(graph_and_site(case)[1], "tensorrt", refusals)
        assert (chosen, "TensorRT 8.6.0 on NVIDIA H200, 2026-" in reason) == (name, True)


def signature(graph: Graph, site: Site) -> str:
    return KINDS[site.kind].workload(graph, site)


def sum_of_reads(count: int, index: tuple[int, ...], read_op: str = "Gather") -> StructuralSite:
    names = tuple(f"index{k}" for k in range(count))
    return StructuralSite(
        id="site0",
        rule="GSO003",
        data="data",
        dtype="float32",
        output="out",
        reads=names,
        read_op=read_op,
        attributes=(("axis", 0),),
        indices=names,
        results=names,
        cone=names,
        stack=0,
        part=0,
        shapes=(((100, 3), index),),
    )


def test_sums_of_reads_have_records_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = (
        {"read_op": "Gather", "count": 4, "data": [9, 3], "index": [size], "ratios": {"merged-gather": ratio}}
        for size, ratio in ((100, 1.5), (1_000_000, 0.7))
    )
    record = {"target": "ort-cpu", "machine": "m", "runtime": "r", "date": "2020-01-02", "cases": []}
    monkeypatch.setattr(table, "_records", lambda: [{**record, "reads": [few, {**many, "date": "2021-03-04"}]}])
    name, reason = recorded(sum_of_reads(4, (200,)), "ort-cpu", {})
    assert (name, "1.5 times as fast by our benchmark at 9x3 (r on m, 2020-01-02)" in reason) == ("merged-gather", True)
    assert recorded(sum_of_reads(4, (200,)), "ort-cpu", {"merged-gather": "no"})[0] == KEEP
    name, reason = recorded(sum_of_reads(16, (500_000,)), "ort-cpu", {})
    assert (name, "2021-03-04" in reason) == (KEEP, True)
    name, reason = recorded(sum_of_reads(4, (200, 1), "GatherND"), "ort-cpu", {})
    assert (name, "nothing is recorded for GatherND" in reason) == (KEEP, True)


def test_what_lost_everywhere_is_hopeless(monkeypatch: pytest.MonkeyPatch) -> None:
    _, site = graph_and_site(Case())
    cases = [{"ratios": {"a": 0.5, "b": 0.5}}, {"ratios": {"a": 0.8, "b": 1.2}}, {"ratios": {"b": 0.1}}]
    monkeypatch.setattr(table, "_records", lambda: [{"target": "ort-cpu", "cases": cases}])
    assert hopeless(site, "ort-cpu") == ("a",)
    assert hopeless(site, "ort-cuda") == hopeless(sum_of_reads(2, (5,)), "ort-cpu") == ()


def test_the_plugin_is_chosen_only_where_its_library_is(monkeypatch: pytest.MonkeyPatch) -> None:
    case = {"image": [2, 3, 24, 40], "points": [9, 11], "ratios": {"plugin": 2.7, "row-gather": 1.2}}
    record = {"target": "tensorrt", "machine": "GPU", "runtime": "TensorRT", "date": "2026-11-22", "cases": [case]}
    monkeypatch.setattr("onnxgs_opt.tuning.database._records", lambda: [record])
    for with_library, name in ((True, "plugin"), (False, "row-gather")):
        [site] = optimize(STATIC, target="tensorrt", plugin=with_library, validate=False).report.sites
        assert (site.lowering, "by our benchmark at" in site.reason) == (name, True)
    [site] = optimize(STATIC, target="tensorrt", lowering="plugin", validate=False).report.sites
    assert site.lowering == "plugin"


@pytest.mark.parametrize(
    ("shapes", "largest", "lowering", "part"),
    [
        ({}, {}, KEEP, "--shape tells it"),
        ({"img": (1, 3, 48, 80)}, {}, "grid-sample", "asked for"),
        ({"img": (1, 3, 48, 80)}, {"img": (1, 3, 1080, 1920)}, KEEP, "is allowed"),
        ({"grid": (1, 48, 80, 2)}, {}, KEEP, "--shape tells it"),
    ],
    ids=["nothing is told", "a small image", "small, but it may be large", "the grid says nothing"],
)
def test_the_shapes_of_inputs_bound_the_image(
    shapes: dict[str, tuple[int, ...]], largest: dict[str, tuple[int, ...]], lowering: str, part: str
) -> None:
    result = optimize(MODEL, lowering="grid-sample", shapes=shapes, largest=largest, validate=False)
    [site] = result.report.sites
    assert site.lowering == lowering
    assert part in site.reason


@dataclass(frozen=True)
class Doubled(RowGather):
    """A wrong lowering."""

    def emit(self, builder: Builder, site: Site) -> Emitted:
        """Samples that are twice as large."""
        right = super().emit(builder, site)
        return replace(right, samples=builder.op("Add", right.samples, right.samples))


def test_the_next_of_the_record_stands_for_a_form_that_fails_its_check(monkeypatch: pytest.MonkeyPatch) -> None:
    ratios = {"row-gather": 5.0, "merged-gather": 3.0, "lerp-gather": 2.0}
    case = {"image": [1, 3, 9, 9], "points": [9, 9], "ratios": ratios}
    record = {"target": "ort-cpu", "machine": "m", "runtime": "r", "date": "d", "cases": [case]}
    monkeypatch.setattr(table, "_records", lambda: [record])
    monkeypatch.setitem(LOWERINGS, "row-gather", Doubled())
    (site,) = optimize(MODEL).report.sites
    assert site.lowering == "merged-gather"
    assert site.refusals["row-gather"].startswith("its check failed: ")
    (forced,) = optimize(MODEL, lowering="row-gather").report.sites
    assert forced.lowering == KEEP


def test_every_recorded_lowering_exists() -> None:
    text = (Path(cli.__file__).parents[1] / "data/recorded.json").read_text(encoding="utf-8")
    for record in json.loads(text)["records"]:
        assert {"target", "machine", "runtime", "date", "source", "cases"} <= set(record)
        assert {name for case in record["cases"] for name in case["ratios"]} <= set(LOWERINGS)


def test_a_signature_says_what_counts_and_no_name() -> None:
    graph, site = graph_and_site(Case())
    own = signature(graph, site)
    assert signature(graph, replace(site, id="other", output="elsewhere")) == own
    assert signature(graph, replace(site, channels=4)) != own
    assert signature(graph, replace(site, dtype="float16")) != own
    assert signature(graph, replace(site, mask=site.x)) != own


def test_a_plan_survives_the_disk(tmp_path: Path) -> None:
    graph, site = graph_and_site(Case())
    path = tmp_path / "plan.json"
    write_plan(path, graph, [site], {site.id: Choice("row-gather", "measured")}, Target(graph.opset))
    choices = choose([site], Target(graph.opset), "auto")
    again = replay(graph, [site], choices, load_plan(path))[site.id]
    assert (again.lowering, again.reason) == ("row-gather", "the plan says so")


def test_what_a_plan_does_not_know_is_kept() -> None:
    graph, site = graph_and_site(Case())
    choices = choose([site], Target(graph.opset), "auto")
    assert replay(graph, [site], choices, {})[site.id].lowering == KEEP


def test_what_a_plan_says_may_be_refused() -> None:
    graph, site = graph_and_site(Case(dynamic=True))
    choices = choose([site], Target(graph.opset), "auto")
    choice = replay(graph, [site], choices, {signature(graph, site): "packed-gather"})[site.id]
    assert choice.lowering == KEEP
    assert "refused" in choice.reason


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{", "cannot read"),
        ("[]", "is no plan"),
        ('{"schema_version": "0"}', "is no plan"),
        ('{"schema_version": "1", "sites": {"a": {"lowering": "magic"}}}', "magic"),
    ],
)
def test_a_bad_plan_is_named(tmp_path: Path, text: str, part: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=part):
        load_plan(path)


def test_the_command_line_saves_and_replays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    plan, out = tmp_path / "plan.json", tmp_path / "out.onnx"
    arguments = [str(MODEL), str(out), "--lowering", "row-gather", "--save-plan", str(plan), "--bench", "--no-cache"]
    assert cli.main(arguments) == 0
    assert "\nthe whole model: " in capsys.readouterr().out
    assert cli.main([str(MODEL), str(out), "--plan", str(plan), "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [site["lowering"] for site in report["sites"]] == ["row-gather"]
    assert "tune" not in report["timings"]
    assert not (tmp_path / "cache/onnxgs-opt").exists()


def test_a_replayed_plan_measures_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = tmp_path / "plan.json"
    optimize(MODEL, lowering="lerp-gather", save_plan=plan)
    monkeypatch.setattr("onnxgs_opt.runtime.timing.race", lambda *_: pytest.fail("it was timed"))
    monkeypatch.setattr("onnxgs_opt.runtime.timing.race", lambda *_: pytest.fail("it was timed"))
    assert optimize(MODEL, plan=plan).report.sites[0].lowering == "lerp-gather"


def test_a_grid_sample_node_is_compared_with_what_grid_sample_took(monkeypatch: pytest.MonkeyPatch) -> None:
    ratios, smooth = {"grid-sample": 4.0, "roi-align": 3.6, "row-gather": 1.5}, {"grid-sample": 0.5, "row-gather": 1.5}
    case = {"image": [1, 3, 9, 9], "points": [9, 9]}
    said = {"machine": "m", "runtime": "r", "date": "d"}
    records = [
        {"target": "ort-cuda", **said, "cases": [{**case, "ratios": ratios}]},
        {"target": "ort-cpu", **said, "cases": [{**case, "ratios": smooth}]},
        {"target": "tensorrt", **said, "cases": [{**case, "ratios": {"row-gather": 1.5}}]},
    ]
    monkeypatch.setattr(table, "_records", lambda: records)
    _, written = graph_and_site(Case())
    node = replace(written, kind="grid-sample", rule="GSO002", read_op="GridSample")
    refusals = {"grid-sample": "it is one"}
    assert recorded(written, "ort-cuda", refusals)[0] == "roi-align"
    assert recorded(node, "ort-cuda", refusals)[0] == KEEP
    assert recorded(node, "tensorrt", refusals)[0] == KEEP  # nobody measured what GridSample takes there
    name, reason = recorded(node, "ort-cpu", refusals)
    assert (name, "3.0 times as fast" in reason) == ("row-gather", True)
    assert hopeless(node, "ort-cuda") == ("row-gather",)
