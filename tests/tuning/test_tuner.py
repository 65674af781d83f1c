"""Tuning: who wins, what is said of the rest, what is remembered; with made-up times where the outcome counts."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import onnxgs_opt.runtime.timing
from onnxgs_opt.api import look, optimize
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.job import load
from onnxgs_opt.lowering import LOWERINGS, Target, tolerance_of
from onnxgs_opt.lowering.keep import KEEP
from onnxgs_opt.report import verdict
from onnxgs_opt.report.model import Latency
from onnxgs_opt.runtime.ort import OnnxRuntime, open_session
from onnxgs_opt.runtime.timing import Race, SlowError, race, run_within
from onnxgs_opt.samplers.site import Site
from onnxgs_opt.tuning import decide
from onnxgs_opt.tuning import race as tune
from onnxgs_opt.tuning import trial as trials
from onnxgs_opt.tuning.database import Cache
from onnxgs_opt.tuning.decide import Tuner
from onnxgs_opt.tuning.plan import Choice, choose
from onnxgs_opt.validation.check import SiteCheck
from onnxgs_opt.validation.check_gather_sum import check_reads
from onnxgs_opt.validation.compare import Comparison
from onnxgs_opt.validation.extract import NotRunnableError
from tests.fixtures.text import ADDED, WEIGHTS, four

MODELS = Path(__file__).parents[1] / "fixtures/models"
DYNAMIC = MODELS / "masked_interior.ts17.dyn.onnx"

Pace = Mapping[str, float]


def steady(pace: Pace) -> Callable[..., Race]:
    """A race in which every lowering always takes the same time."""

    def run(calls: Mapping[str, Any], budget_s: float, once: Pace | None = None) -> Race:
        return Race({name: (pace.get(name, 1.0),) * 8 for name in calls})

    return run


@pytest.fixture(scope="module")
def canonical() -> tuple[Graph, Site]:
    """Looked at once: tuning changes neither."""
    graph, found = look(load(DYNAMIC))
    (site,) = found.samplers
    return graph, site


@cache
def checked(graph: Graph, site: Site, name: str) -> Comparison:
    """The check that a site's tuning asks for, made once."""
    return SiteCheck.of(graph, site).compare(LOWERINGS[name])


def tuner(graph: Graph, **options: Any) -> Tuner:
    def check(site: Site) -> Callable[[str], Comparison]:
        return lambda name: checked(graph, site, name)

    options = {"shapes": {"img": (2, 3, 24, 40)}, "least_call_s": 0.0, **options}
    return Tuner(graph, Target(graph.opset), options.pop("check", check), options.pop("shapes"), **options)


def tuned(graph: Graph, site: Site, **options: Any) -> Any:
    choices, _ = tuner(graph, **options).tune([site], choose([site], Target(graph.opset), "auto"))
    return choices[site.id]


def test_the_fastest_wins(canonical: tuple[Graph, Site], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune, "race", steady({"row-gather": 0.5, "merged-gather": 0.8}))
    monkeypatch.setattr(tune, "RIVAL", 1e9)
    choice = tuned(*canonical)
    assert choice.lowering == "row-gather"
    assert "measured 2.00 times as fast" in choice.reason
    rows = {row.lowering: row for row in choice.measurements}
    assert rows["row-gather"].ratio == 2
    assert rows[KEEP].ratio == 1
    assert rows["packed-gather"].status == "refused"


def test_forms_that_lost_to_what_is_exported_are_measured_where_that_has_to_go(
    canonical: tuple[Graph, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune, "race", steady({**dict.fromkeys(LOWERINGS, 3.0), KEEP: 1.0, "merged-gather": 1.5}))
    monkeypatch.setattr(tune, "RIVAL", 1e9)
    monkeypatch.setattr(decide, "hopeless", lambda *_: ("merged-gather", "lerp-gather"))
    graph, site = canonical
    refusals = choose([site], Target(graph.opset), "auto")[site.id].refusals
    for more, timed in (({}, False), ({KEEP: "it has to go"}, True)):
        choices, _ = tuner(graph).tune([site], {site.id: Choice(KEEP, "", {**refusals, **more})})
        rows = {row.lowering for row in choices[site.id].measurements if row.status == "ok"}
        assert ("merged-gather" in rows) is timed
    assert choices[site.id].changed().lowering == "merged-gather"


def test_precision_is_worth_five_percent() -> None:
    def winner(seconds: float) -> str:
        pace = {KEEP: 1.0, "merged-gather": 0.5, "grid-sample": seconds}
        return tune.winner_of(Race({name: (value,) * 8 for name, value in pace.items()}))[0]

    assert winner(0.49) == "merged-gather"
    assert winner(0.4) == "grid-sample"


def test_keep_wins_a_draw(canonical: tuple[Graph, Site], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune, "race", steady({"row-gather": 0.99}))
    assert tuned(*canonical).lowering == KEEP


def test_a_gain_within_the_noise_is_none() -> None:
    times = Race({KEEP: (1.0, 1.0, 1.0, 1.0), "a": (0.5, 0.9, 1.1, 1.2)})
    assert not times.is_faster(KEEP, "a")
    assert Race({KEEP: (1.0,) * 4, "a": (0.5, 0.9, 0.9, 1.2)}).is_faster(KEEP, "a")


def test_what_a_new_thread_sets_up_does_not_count(
    canonical: tuple[Graph, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU's libraries are set up anew in every thread: one candidate was dropped for it, and another not."""
    now = [0.0]
    seen: set[tuple[str, int]] = set()

    def pretend(_: OnnxRuntime, model: onnx.ModelProto, *args: Any, **__: Any) -> Callable[[], None]:
        name = "row-gather" if any(n.op_type == "Sum" for n in model.graph.node) else "other"

        def call() -> None:
            here = name, threading.get_ident()
            now[0] += (1e-3 if name == "row-gather" else 2e-3) + (name == "row-gather" and here not in seen)
            seen.add(here)

        return call

    monkeypatch.setattr(OnnxRuntime, "prepare", pretend)
    monkeypatch.setattr(onnxgs_opt.runtime.timing.time, "perf_counter", lambda: now[0])
    choice = tuned(*canonical)
    assert choice.lowering == "row-gather"
    assert "measured 2.00 times" in choice.reason


def test_a_wrong_lowering_is_not_timed(canonical: tuple[Graph, Site], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune, "race", steady({"row-gather": 0.1, "lerp-gather": 0.5}))
    wrong = Comparison("mismatch", worst="by intent")
    choice = tuned(*canonical, check=lambda site: lambda name: wrong if name == "row-gather" else Comparison("ok"))
    assert {row.lowering: row.status for row in choice.measurements}["row-gather"] == "wrong"
    assert choice.lowering != "row-gather"


def test_what_does_not_build_is_said(canonical: tuple[Graph, Site], monkeypatch: pytest.MonkeyPatch) -> None:
    def no_model(cone: onnx.ModelProto, site: Site, lowering: Any) -> onnx.ModelProto:
        return onnx.ModelProto()

    monkeypatch.setattr(trials, "lowered_cone", no_model)
    statuses = {row.lowering: row.status for row in tuned(*canonical).measurements}
    assert statuses["merged-gather"] == statuses["row-gather"] == "build_failed"


def test_what_takes_too_long_is_stopped(canonical: tuple[Graph, Site], monkeypatch: pytest.MonkeyPatch) -> None:
    def impatient(call: Callable[[], object], seconds: float) -> float:
        return run_within(call, seconds if seconds == 600 else -1.0)

    monkeypatch.setattr(tune, "run_within", impatient)
    monkeypatch.setattr(onnxgs_opt.runtime.timing, "timed", lambda call, calls=1: time.sleep(0.05) or 0.05)
    choice = tuned(*canonical)
    assert {row.status for row in choice.measurements} <= {"ok", "refused", "timeout"}
    assert choice.lowering == KEEP
    monkeypatch.undo()
    ends = threading.Event()  # after the limit, however busy the machine is
    with pytest.raises(SlowError):
        run_within(ends.wait, 0.01)
    ends.set()


def test_after_the_time_budget_no_form_is_begun(canonical: tuple[Graph, Site], tmp_path: Path) -> None:
    none = tuned(*canonical, time_budget=0.0, cache=tmp_path)
    assert none.measurements == ()
    assert none.reason.endswith("; --time-budget was spent")
    graph, _ = canonical

    def slow(site: Site) -> Callable[[str], Comparison]:
        time.sleep(5.0)
        return lambda name: SiteCheck.of(graph, site).compare(LOWERINGS[name])

    assert "; --time-budget was spent" in tuned(*canonical, check=slow, time_budget=4.0, cache=tmp_path).reason
    assert not list(tmp_path.rglob("*.json"))


def test_sites_of_one_signature_are_measured_once(canonical: tuple[Graph, Site], tmp_path: Path) -> None:
    graph, site = canonical
    seen: list[str] = []
    twin = replace(site, id="site1")
    choices = choose([site, twin], Target(graph.opset), "auto")
    chosen, _ = tuner(graph, progress=seen.append).tune([site, twin], choices)
    forms = sum(row.status != "refused" for row in chosen["site0"].measurements) - 1
    assert [words.partition(",")[0] for words in seen] == [f"tune form {k + 1} of {forms}" for k in range(forms)]
    assert all(words.endswith(" s left") for words in seen[1:])
    assert chosen["site0"].lowering == chosen["site1"].lowering


def sum_of_reads(size: int | str = 50) -> onnx.ModelProto:
    """Two reads at indices of which nothing is known, added."""
    text = f"""<ir_version: 8, opset_import: ["": 17]>
g (float[100, 3] data, int64[{size}] i, int64[{size}] j) => (float[{size}, 3] out) {{
   a = Gather <axis = 0> (data, i)
   b = Gather <axis = 0> (data, j)
   out = Add (a, b)
}}"""
    return onnx.parser.parse_model(text)


def tuned_sum(model: onnx.ModelProto, **options: Any) -> Any:
    graph, found = look(load(model))
    (site,) = found.sums
    options = {"shapes": {}, "check": lambda site: lambda _: check_reads(graph, site), **options}
    choices, comparisons = tuner(graph, **options).tune([site], choose([site], Target(17), "auto"))
    return choices[site.id], comparisons


@pytest.mark.parametrize(("seconds", "winner"), [(0.5, "merged-gather"), (0.99, KEEP), (2.0, KEEP)])
def test_sums_of_reads_are_measured_too(monkeypatch: pytest.MonkeyPatch, seconds: float, winner: str) -> None:
    monkeypatch.setattr(tune, "race", steady({"merged-gather": seconds}))
    monkeypatch.setattr(tune, "RIVAL", 1e9)
    choice, comparisons = tuned_sum(sum_of_reads())
    assert choice.lowering == winner
    rows = {row.lowering: row.status for row in choice.measurements}
    assert (rows[KEEP], rows["merged-gather"], rows["row-gather"]) == ("ok", "ok", "refused")
    assert {c.status for c in comparisons.values()} == ({"ok"} if winner != KEEP else set())


def test_a_sum_of_reads_goes_by_the_record_where_it_is_not_measured() -> None:
    assert "too short to be timed" in tuned_sum(sum_of_reads(), least_call_s=1e9)[0].reason
    choice, _ = tuned_sum(sum_of_reads("n"))
    assert "--shape" in choice.reason
    assert choice.measurements == ()


def test_where_every_form_is_refused_sizes_to_time_it_at_are_not_asked_for() -> None:
    graph, found = look(load(sum_of_reads("n")))
    (site,) = found.sums
    refused = Choice(KEEP, "", {name: "it has Gather, to be avoided" for name in LOWERINGS if name != KEEP})
    choices, _ = tuner(graph, shapes={}, check=lambda _: lambda _: check_reads(graph, site)).tune(
        [site], {site.id: refused}
    )
    assert choices[site.id].lowering == KEEP
    assert choices[site.id].reason == "every other form is refused, as -v says"


def test_a_dynamic_sum_of_reads_is_measured_at_the_given_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune, "race", steady({"merged-gather": 0.5}))
    monkeypatch.setattr(tune, "RIVAL", 1e9)
    choice, _ = tuned_sum(sum_of_reads("n"), shapes={"i": (70,), "j": (70,)})
    assert choice.lowering == "merged-gather"
    assert "sizes taken as 100x3 at indices 70" in choice.reason


def test_a_merged_sum_of_reads_goes_through_the_whole_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune, "race", steady({"merged-gather": 0.5, "after": 0.5}))
    monkeypatch.setattr(tune, "RIVAL", 1e9)
    result = optimize(sum_of_reads(300_000))  # not too short to be measured
    assert [s.lowering for s in result.report.sites] == ["merged-gather"]
    assert [node.op_type for node in result.model.graph.node].count("Gather") == 1


@pytest.mark.parametrize(
    "name", ["attention/listed.ts17.st", "deform_exports/hand.dy18.st", "resizes/bicubic.st", "rois/grid.ts.st"]
)
def test_sites_that_are_no_samplers_are_measured_whole(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Every form runs, on inputs that the kind has made for it."""
    ran: list[str] = []

    def run(calls: Mapping[str, Callable[[], object]], budget_s: float, once: Pace | None = None) -> Race:
        for form, call in calls.items():
            call()
            ran.append(form)
        return steady({})(calls, budget_s, once)

    monkeypatch.setattr(tune, "race", run)
    monkeypatch.setattr(tune, "RIVAL", 1e9)
    graph, found = look(load(MODELS.parent / f"{name}.onnx"))
    sites, right = found.sites, Comparison("ok")
    measured = tuner(graph, shapes={}, check=lambda _: lambda _: right)
    choices, _ = measured.tune(sites, choose(sites, Target(graph.opset), "auto"))
    for site in sites:
        forms = [row.lowering for row in choices[site.id].measurements if row.status == "ok"]
        assert KEEP in forms
        assert len(forms) > 1
        assert set(forms) <= set(ran)


def test_one_call_that_was_held_up_puts_no_form_out_of_the_race() -> None:
    """Of three forms, two of which took long in their first call, and one of those in its second, too."""

    class Call:
        def __init__(self, *seconds: float) -> None:
            self.left = list(seconds)

        def __call__(self) -> None: ...

        def seconds(self, calls: int) -> float:
            return self.left.pop(0)

    calls = {"best": Call(1.0), "held up": Call(9.0, 1.1), "slow": Call(8.0, 9.0)}
    assert tune.first_calls(calls) == {"best": 1.0, "held up": 1.1, "slow": 8.0}
    assert not any(call.left for call in calls.values())


def test_measurements_are_remembered(
    canonical: tuple[Graph, Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune, "race", steady({"row-gather": 0.5}))
    monkeypatch.setattr(tune, "RIVAL", 1e9)
    tuned(*canonical, cache=tmp_path / "deep/cache")
    monkeypatch.setattr(tune, "race", lambda *_: pytest.fail("it was timed again"))
    choice = tuned(*canonical, cache=tmp_path / "deep/cache")
    assert choice.lowering == "row-gather"
    assert "measured earlier" in choice.reason
    (file,) = (tmp_path / "deep/cache").iterdir()
    assert json.loads(file.read_text())["lowering"] == "row-gather"


def test_what_was_measured_for_a_table_alone_decides_nothing(
    canonical: tuple[Graph, Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--compare-targets times calls that are too short for a choice, and keeps them for another table."""
    monkeypatch.setattr(tune, "race", steady({"row-gather": 0.5}))
    monkeypatch.setattr(tune, "RIVAL", 1e9)
    tuned(*canonical, cache=tmp_path)
    choice = tuned(*canonical, cache=tmp_path, least_call_s=1e9)
    assert "too short to be timed" in choice.reason
    assert not choice.measurements
    assert "measured earlier" in tuned(*canonical, cache=tmp_path).reason


def test_a_spoilt_cache_is_as_none(
    canonical: tuple[Graph, Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune, "race", steady({"row-gather": 0.5}))
    tuned(*canonical, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    signature, kept = json.loads(file.read_text())["signature"], Cache(tmp_path, Target(canonical[0].opset))
    assert kept.recall(signature) is not None
    for text in ("", "{", "[]", "null", '{"signature": "x"}', '{"measurements": [1]}'):
        file.write_text(text)
        assert kept.recall(signature) is None, text
    assert "earlier" not in tuned(*canonical, cache=tmp_path).reason
    assert "earlier" in tuned(*canonical, cache=tmp_path).reason
    monkeypatch.setattr(OnnxRuntime, "version", lambda _: "another")
    assert "earlier" not in tuned(*canonical, cache=tmp_path).reason, "another version of the runtime"
    assert len(list(tmp_path.iterdir())) == 2


def test_dynamic_sizes_follow_from_the_inputs(canonical: tuple[Graph, Site]) -> None:
    graph, site = canonical
    sized = trials.with_shapes(graph, {"img": (2, 3, 30, 40), "grid": (2, 11, 12, 2)})
    layout = trials.layout_of(sized, site)
    assert (layout.of_image(), layout.samples) == ((2, 3, 30, 40), (11, 12))
    assert trials.layout_of(graph, site).image == trials.DEFAULT.image


WARP = """<ir_version: 8, opset_import: ["" : 17]>
g (float[H,W,C] img, float[K] x, float[K] y, float[L] other) => (float[K,C] out)
<float one = {1}, float zero = {0}, int64[1] first = {0}, int64[1] second = {1}, int64[1] third = {2},
 int64[1] behind = {-1}>
{
 shape = Shape(img)
 h = Gather<axis=0>(shape, first)
 w = Gather<axis=0>(shape, second)
 c = Gather<axis=0>(shape, third)
 plane = Concat<axis=0>(behind, c)
 line = Reshape(img, plane)
 lh = Sub(h, second)
 lw = Sub(w, second)
 hf = Cast<to=1>(lh)
 wf = Cast<to=1>(lw)
 fx = Floor(x)
 fy = Floor(y)
 gx = Add(fx, one)
 gy = Add(fy, one)
 u = Sub(x, fx)
 v = Sub(y, fy)
 points = Shape(other)
 like = Concat<axis=0>(points, c)
"""


def warp() -> onnx.ModelProto:
    """A sampler of K points whose reads are laid out by the size of another input, which is K as well."""
    text = WARP + WEIGHTS
    text += four(
        "x{k} = Max({column}, zero)\n z{k} = Min(x{k}, wf)\n y{k} = Max({row}, zero)\n q{k} = Min(y{k}, hf)\n"
        "e{k} = Cast<to=7>(z{k})\n f{k} = Cast<to=7>(q{k})\n r{k} = Mul(f{k}, w)\n i{k} = Add(r{k}, e{k})\n"
        "g{k} = Gather<axis=0>(line, i{k})\n p{k} = Reshape(g{k}, like)\n d{k} = Unsqueeze(w{k}, behind)\n"
        "t{k} = Mul(p{k}, d{k})",
        ("fy", "gy"),
        ("fx", "gx"),
    )
    model = onnx.parser.parse_model(text + ADDED + "}")
    onnx.checker.check_model(model)
    return model


def test_every_input_has_the_users_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cone takes the size of an input that is neither the image nor the coordinates: it was a size of nobody's."""
    monkeypatch.setattr(tune, "race", steady({"merged-gather": 0.5}))
    monkeypatch.setattr(tune, "RIVAL", 1e9)
    graph, found = look(load(warp()))
    shapes = {"img": (16, 16, 3), "x": (50,), "y": (50,), "other": (50,)}
    choice = tuned(graph, *found.samplers, shapes=shapes)
    assert "measured 2.00 times" in choice.reason
    unsaid = tuned(graph, *found.samplers, shapes={"img": (16, 16, 3), "x": (50,)})  # y has the size of x by its name
    assert "it could not be measured with sizes chosen for 'other', of which --shape says nothing: " in unsaid.reason
    inputs = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    (site,) = optimize(warp(), inputs=inputs).report.sites
    assert not {"--shape", "measured:"} & set(site.reason.split())  # it ran, at the sizes of the arrays


@pytest.mark.parametrize(("seconds", "speed"), [(1.1, 0.91), (1.0, 1.0), (0.99, 1.01)])
def test_a_model_that_is_no_faster_is_left_alone(monkeypatch: pytest.MonkeyPatch, seconds: float, speed: float) -> None:
    monkeypatch.setattr(tune, "race", steady({"blocked-gather": 0.5, "before": 1.0, "after": seconds}))
    report = optimize(DYNAMIC).report
    assert report.status == "nothing-to-do"
    (site,) = report.sites
    assert site.lowering == KEEP
    assert f"{speed:.2f} of its speed with blocked-gather" in site.reason


def test_what_the_record_is_wrong_about_is_timed_however_short_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recorded form made the whole model slower: the others are measured, and what wins is taken."""
    speeds = iter((1.1, 0.5))

    def run(calls: Mapping[str, Any], *given: Any) -> Race:
        return steady({"row-gather": 0.5, "after": next(speeds) if "after" in calls else 1.0})(calls, *given)

    monkeypatch.setattr(tune, "race", run)
    monkeypatch.setattr(tune, "RIVAL", 1e9)
    monkeypatch.setattr(tune.Contest, "kept_s", 0.0)
    report = optimize(DYNAMIC, shapes={"img": (2, 3, 24, 40)}).report
    (site,) = report.sites
    assert (report.status, site.lowering) == ("optimised", "row-gather")
    assert "measured 2.00 times" in site.reason
    assert [why for why in site.refusals.values() if "0.91 of its speed" in why]


@pytest.mark.parametrize(("seconds", "lowering"), [(0.5, "merged-gather"), (1.0, KEEP)])
def test_of_a_sum_whose_reads_alone_are_no_faster_the_whole_model_tells(
    monkeypatch: pytest.MonkeyPatch, seconds: float, lowering: str
) -> None:
    monkeypatch.setattr(tune, "race", steady({"merged-gather": 2.0, "after": seconds}))
    monkeypatch.setattr(tune, "RIVAL", 1e9)
    (site,) = optimize(sum_of_reads(300_000)).report.sites
    assert site.lowering == lowering
    assert ("the whole model is" if lowering != KEEP else "1.00 of its speed with merged-gather") in site.reason


def test_a_sum_whose_reads_alone_are_no_faster_stays_where_the_whole_model_is_not_timed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any) -> Race:
        raise NotRunnableError("it does not run alone")

    monkeypatch.setattr(tune, "race", steady({"merged-gather": 2.0}))
    monkeypatch.setattr(tune, "RIVAL", 1e9)
    monkeypatch.setattr(verdict, "race_models", fail)
    (site,) = optimize(sum_of_reads(300_000)).report.sites
    assert (site.lowering, "was not timed" in site.reason) == (KEEP, True)


def test_a_forced_lowering_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune, "race", lambda *_: pytest.fail("it was timed"))
    assert optimize(DYNAMIC, lowering="merged-gather").report.status == "optimised"
    assert optimize(MODELS / "masked_interior.ts17.st.onnx", measure=False).report.status == "optimised"
    assert optimize(DYNAMIC, dry_run=True).report.sites[0].measurements == ()


def test_a_race_runs_in_turn() -> None:
    order: list[str] = []
    calls = {name: lambda name=name: (order.append(name), time.sleep(1e-3)) for name in "ab"}
    result = race(calls, 0.0)
    assert len(result.seconds["a"]) == onnxgs_opt.runtime.timing.MIN_ROUNDS
    pairs = ["".join(order[k : k + 2]) for k in range(4, len(order), 2)]  # four calls say how long one takes
    assert set(pairs) == {"aa", "bb"}  # each sample after a call that is not timed
    rounds = ["".join(pairs[k : k + 2]) for k in range(0, len(pairs), 2)]
    assert set(rounds) == {"aabb", "bbaa"}  # each in every round, and neither always first


def test_the_times_of_forms_are_in_the_order_of_their_ratios() -> None:
    """The machine was slow when the faster and the exported form ran: their median apart says what the pairs do not."""
    seconds = {
        "keep": (1.0, 2.0, 8.0, 8.0, 8.0),
        "lerp-gather": (0.5, 0.9, 3.9, 3.9, 3.9),
        "row-gather": (0.6, 1.2, 3.8, 4.8, 4.8),
    }
    paired = Race(seconds)
    rows = [tune._row(paired, name) for name in paired.seconds]
    by_time = sorted(rows, key=lambda row: row.median_ms or 0.0)
    assert [row.lowering for row in by_time] == [r.lowering for r in sorted(rows, key=lambda r: -(r.ratio or 0.0))]
    assert all((r.ratio_low or 0.0) <= (r.ratio or 0.0) <= (r.ratio_high or 0.0) for r in rows)
    assert tune.winner_of(paired)[0] == by_time[0].lowering == "lerp-gather"


def test_the_noise_of_a_whole_model_is_known() -> None:
    assert not Latency.of(Race({"before": (1.0, 1.0, 1.0, 1.0), "after": (0.5, 0.8, 1.2, 1.3)})).is_clear
    assert Latency.of(Race({"before": (1.0,) * 4, "after": (0.5,) * 4})).is_clear


@pytest.mark.parametrize(("has_library", "lowering"), [(False, "row-gather"), (True, "plugin")])
def test_the_plugin_is_taken_by_the_record_only_where_its_library_is(
    canonical: tuple[Graph, Site], monkeypatch: pytest.MonkeyPatch, has_library: bool, lowering: str
) -> None:
    case = {"image": [1, 3, 9, 9], "points": [9, 9], "ratios": {"plugin": 2.7, "row-gather": 1.2}}
    record = {"target": "tensorrt", "machine": "GPU", "runtime": "TensorRT", "date": "2026-11-22", "cases": [case]}
    monkeypatch.setattr("onnxgs_opt.tuning.database._records", lambda: [record])
    graph, site = canonical
    target = Target(17, "tensorrt", plugin=has_library)
    choices, _ = replace(tuner(graph, shapes={}), target=target).tune([site], choose([site], target, "auto"))
    assert choices["site0"].lowering == lowering


def comparisons(model: onnx.ModelProto) -> set[str]:
    """The names of the nodes by which exported masks are made."""
    return {node.name for node in model.graph.node if node.op_type in ("Less", "GreaterOrEqual")}


FORMS_WITH_MASK = (
    "merged-gather",
    "blocked-gather",
    "lerp-gather",
    "row-gather",
    "roi-align",
    "grid-sample",
    "plugin",
)


@pytest.mark.parametrize("form", FORMS_WITH_MASK)
def test_the_mask_that_the_model_uses_is_timed(canonical, form) -> None:
    """By hand it costs as much as the reads: a form that leaves it by hand may be the fastest without it alone."""
    graph, site = canonical
    assert site.mask is not None
    sized = trials.with_shapes(graph, {"img": (1, 3, 200, 300), "grid": (1, 210, 310, 2)})
    trial = trials.trial_of(graph, sized, site)
    cone = trial.cone(graph)
    lowered = trial.lowered(graph, cone, form)
    feeds = trial.feeds(cone, 0)
    before, after = (open_session(model, threads=1).run(None, feeds) for model in (cone, lowered))
    assert len(comparisons(cone)) == 4
    assert not comparisons(cone) & comparisons(lowered)
    assert len(before) == len(after) == 2
    allowed = tolerance_of(LOWERINGS[form], replace(site, image_size=(200, 300)))
    np.testing.assert_allclose(after[0], before[0], atol=allowed.atol, rtol=allowed.rtol)
    np.testing.assert_array_equal(after[1], before[1])
    assert 0 < before[1].mean() < 1
