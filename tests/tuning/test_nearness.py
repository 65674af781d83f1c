"""Where nothing is timed: which recorded cases speak for a site, and when it is left as exported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from onnxgs_opt import optimize
from onnxgs_opt.lowering.keep import KEEP
from onnxgs_opt.samplers.site import Site
from onnxgs_opt.tuning import database as table
from onnxgs_opt.tuning.database import recorded
from tests.lowering.samplers import Case, site_of
from tests.tuning.test_plan import MODEL

Ratios = dict[str, float]


def case(channels: int, points: int, ratios: Ratios, **more: Any) -> dict[str, Any]:
    return {"image": [1, channels, points, 1], "points": [points, 1], "ratios": ratios, **more}


def keep_on_record(monkeypatch: pytest.MonkeyPatch, *cases: dict[str, Any], name: str = "cases") -> None:
    record = {"target": "ort-cpu", "machine": "m", "runtime": "r", "date": "d", name: list(cases)}
    monkeypatch.setattr(table, "_records", lambda: [record])


def at(channels: int, points: int) -> Site:
    return site_of(Case(channels=channels, batch=1, image=(8, 8), samples=(points, 1)))


def test_a_case_as_near_as_cases_are_to_each_other_speaks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_on_record(monkeypatch, case(3, 64, {"row-gather": 2.0}), case(3, 4096, {"row-gather": 0.5}))
    for points in (4, 64, 512):
        name, reason = recorded(at(3, points), "ort-cpu", {})
        assert (name, "2.0 times as fast by our benchmark at 1x3x64x1 (" in reason) == ("row-gather", True)
    assert recorded(at(3, 4096), "ort-cpu", {})[0] == KEEP


def test_farther_off_every_case_around_has_to_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the gain of the worst of them that counts, and a form that one of them lacks is not known there."""
    near, far = {"row-gather": 2.0, "merged-gather": 4.0, "lerp-gather": 9.0}, {"row-gather": 1.5, "merged-gather": 0.9}
    keep_on_record(monkeypatch, case(3, 4096, near), case(3, 16384, far))
    name, reason = recorded(at(3, 128), "ort-cpu", {})
    assert (name, "at least 1.5 times as fast" in reason) == ("row-gather", True)
    assert "at 1x3x4096x1 and 1x3x16384x1 (" in reason
    name, reason = recorded(at(3, 128), "ort-cpu", {"row-gather": "no"})
    assert (name, "nothing is faster in each case around it" in reason) == (KEEP, True)
    keep_on_record(monkeypatch, case(3, 4096, near))
    assert recorded(at(3, 128), "ort-cpu", {})[0] == KEEP  # one case is no bound


def test_what_no_case_is_near_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_on_record(monkeypatch, case(3, 1_000_000, {"row-gather": 9.0}))
    name, reason = recorded(at(3, 10), "ort-cpu", {})
    assert name == KEEP
    assert "left as exported: nothing of about its size is recorded for ort-cpu" in reason
    assert recorded(at(3, 10), "ort-cpu", {}, is_timed=True)[0] == "row-gather"
    assert recorded(at(3, 10), "ort-cpu", {KEEP: "it may not stay"})[0] == "row-gather"


def dynamic(channels: int = 3) -> Site:
    return replace(at(channels, 64), batch=None, sample_size=(None, None))


def test_a_dynamic_size_may_be_any_of_those_on_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """A static model gains more than a dynamic one does: twice the least gain has to be on record for it."""
    small, large = {"row-gather": 2.2, "merged-gather": 4.0}, {"row-gather": 3.0, "merged-gather": 2.0}
    other = case(64, 64, {"row-gather": 0.1})
    keep_on_record(monkeypatch, case(3, 64, small), case(3, 1_000_000, large), other)
    name, reason = recorded(dynamic(), "ort-cpu", {})
    assert (name, "at least 1.1 times as fast" in reason) == ("row-gather", True)
    name, reason = recorded(dynamic(), "ort-cpu", {"row-gather": "no"})
    assert (name, "a dynamic model gains less than the static ones on record" in reason) == (KEEP, True)
    assert recorded(dynamic(64), "ort-cpu", {})[0] == KEEP


def test_a_dynamic_image_is_that_of_a_dynamic_model(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_on_record(monkeypatch, case(3, 64, {"row-gather": 1.9}))
    assert recorded(at(3, 64), "ort-cpu", {})[0] == "row-gather"
    site = replace(at(3, 64), image_size=(None, 8))
    assert recorded(site, "ort-cpu", {})[0] == KEEP
    keep_on_record(monkeypatch, case(3, 64, {"row-gather": 9.0}), case(3, 4096, {"row-gather": 0.5}))
    assert recorded(site, "ort-cpu", {})[0] == "row-gather"
    keep_on_record(monkeypatch, case(3, 64, {"row-gather": 9.0}), case(3, 1024, {"row-gather": 2.0}))
    assert recorded(site, "ort-cpu", {})[0] == KEEP  # the nearest alone is of another kind, and both are near


def test_a_dynamic_size_may_be_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large cases alone say nothing of it; where the whole model is timed afterwards they are tried."""
    keep_on_record(monkeypatch, case(3, 1_000_000, {"row-gather": 9.0}))
    name, reason = recorded(dynamic(), "ort-cpu", {})
    assert (name, "left as exported: its sizes are open, and nothing small is recorded" in reason) == (KEEP, True)
    assert recorded(dynamic(), "ort-cpu", {}, is_timed=True)[0] == "row-gather"


def test_cases_of_dynamic_models_are_for_those_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    own = case(3, 64, {"row-gather": 0.8, "merged-gather": 1.3}, sizes="dynamic")
    keep_on_record(monkeypatch, case(3, 64, {"row-gather": 9.0}), own)
    assert recorded(at(3, 64), "ort-cpu", {})[0] == "row-gather"
    name, reason = recorded(dynamic(), "ort-cpu", {})
    assert (name, "1.3 times as fast" in reason) == ("merged-gather", True)


def test_cases_of_both_kinds_of_models_need_no_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_on_record(monkeypatch, case(3, 64, {"row-gather": 1.4}, read_op="cubic 2-D"), name="kernels")
    assert recorded(replace(dynamic(), kernels=("cubic", "cubic")), "ort-cpu", {})[0] == "row-gather"


ATTENTION = MODEL.parents[1] / "attention/gathered.ts13.dyn.onnx"


@pytest.mark.parametrize(
    ("model", "shapes", "row", "kind"),
    [
        (MODEL, {"img": (1, 3, 24, 40), "grid": (1, 64, 64, 2)}, case(3, 4096, {"row-gather": 3.0}), "cases"),
        (
            ATTENTION,
            {"value": (1, 83, 2, 5), "places": (1, 300, 2, 2, 3, 2), "weights": (1, 300, 2, 2, 3)},
            {"value": [1, 83, 2, 5], "samples": 18000, "ratios": {"row-gather": 3.0}},
            "attentions",
        ),
    ],
    ids=["sampler", "attention"],
)
def test_sizes_that_the_user_tells_are_those_to_be_fast_at(
    monkeypatch: pytest.MonkeyPatch, model: Path, shapes: dict[str, tuple[int, ...]], row: dict[str, Any], kind: str
) -> None:
    """Still the model computes with them: it is a dynamic one."""
    keep_on_record(monkeypatch, row, name=kind)
    [site] = optimize(model, measure=False, shapes=shapes).report.sites
    assert (site.lowering, "at least 1.5 times as fast" in site.reason) == ("row-gather", True)
    assert optimize(model, measure=False).report.sites[0].lowering == KEEP
    small = {name: tuple(1 if size in (64, 300) else size for size in shape) for name, shape in shapes.items()}
    assert optimize(model, measure=False, shapes=small).report.sites[0].lowering == KEEP


def test_nothing_is_tried_that_nothing_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same dynamic model, measured and not: its sizes are not told, so that its site is not timed by itself."""
    keep_on_record(monkeypatch, case(3, 1_000_000, {"row-gather": 9.0}))
    [site] = optimize(MODEL, measure=False).report.sites
    assert (site.lowering, "nothing small is recorded" in site.reason) == (KEEP, True)
    [site] = optimize(MODEL).report.sites
    assert "nothing small is recorded" not in site.reason
