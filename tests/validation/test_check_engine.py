"""What is said of an engine that was run: here its outputs are arrays, on a GPU they are the engine's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxgs_opt import api, optimize
from onnxgs_opt.errors import EngineError
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.runtime.tensorrt.build import EngineOptions, Profile
from onnxgs_opt.runtime.tensorrt.engine import Engine, EngineBefore
from onnxgs_opt.tuning.plan import Plan
from onnxgs_opt.tuning.propose import propose
from onnxgs_opt.validation.check_engine import Task, _checks, checked_engine, largest_gap, why_slower
from tests.runtime.tensorrt.test_build import DYNAMIC, RTX, STATIC, lowered

Array = np.ndarray[Any, Any]


def references(value: Array, *moved: Array) -> dict[str, list[Array]]:
    return {"out": [value, *(moved or (value, value))]}


def test_equal_outputs_have_no_difference() -> None:
    value = np.array([[1.0, np.inf, -2.0, np.nan]], np.float32)
    assert largest_gap({"out": value.copy()}, references(value)) == 0.0


def test_the_largest_difference_is_told() -> None:
    value = np.linspace(-1, 1, 1000, dtype=np.float32)
    assert largest_gap({"out": value + np.float32(2e-3)}, references(value)) == pytest.approx(2e-3, rel=1e-3)


@pytest.mark.parametrize("wrong", [0.5, np.nan, np.inf], ids=str)
def test_more_than_a_few_wrong_values_are_refused(wrong: float) -> None:
    value = np.zeros(1000, np.float32)
    found = value.copy()
    found[:5] = wrong  # half a percent may stray
    largest_gap({"out": found}, references(value))
    found[:200] = wrong
    with pytest.raises(EngineError, match=r"'out' differs from onnxruntime's: 20\.0% of it"):
        largest_gap({"out": found}, references(value))


def test_what_hangs_on_an_ulp_of_a_coordinate_may_be_either() -> None:
    inside, outside = np.ones(100, np.float32), np.zeros(100, np.float32)
    with pytest.raises(EngineError, match=r"100\.0% of it"):
        largest_gap({"out": inside}, references(outside))
    assert largest_gap({"out": inside}, references(outside, inside, outside)) == 0.0


def test_another_shape_is_refused() -> None:
    with pytest.raises(EngineError, match=r"'out' is \(3,\), the model's \(2,\)"):
        largest_gap({"out": np.zeros(3)}, references(np.zeros(2)))


def test_the_inputs_are_those_of_validation_at_the_best_shape() -> None:
    best = {"img": (2, 3, 24, 40), "grid": (2, 9, 11, 2)}
    profiles = {name: Profile(shape, shape, shape) for name, shape in best.items()}
    model = lowered(DYNAMIC[0], "merged-gather")
    task = Task(model, Graph.load(DYNAMIC[0]).to_proto(), DYNAMIC[0])
    checks = list(_checks(task, EngineOptions(profiles=profiles)))
    assert len(checks) == 2
    for feeds, wanted in checks:
        assert {name: value.shape for name, value in feeds.items()} == best
        x = feeds["grid"][..., 0]
        assert (x.min() < -1, x.max() > 40) == (True, True), "points outside the image"
        assert all(len(values) == 3 for values in wanted.values())


def test_the_users_inputs_are_taken_instead() -> None:
    model = Graph.load(STATIC[0]).to_proto()
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.input}
    given = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    [(feeds, wanted)] = _checks(Task(lowered(STATIC[0], "merged-gather"), model, STATIC[0], given), EngineOptions())
    assert feeds is given
    assert largest_gap({name: values[0] for name, values in wanted.items()}, wanted) == 0.0


@pytest.mark.parametrize(
    ("after", "before", "said"),
    [
        (14.3, 12.7, "the whole engine ran at 0.89 of its speed: 14.30 us a run, 12.70 before"),
        (12.6, 12.7, "the whole engine ran at 1.01 of its speed: 12.60 us a run, 12.70 before"),
        (6.4, 16.0, ""),
        (6.4, None, ""),
        (None, None, ""),
    ],
)
def test_an_engine_has_to_be_clearly_faster(after: float | None, before: float | None, said: str) -> None:
    engine = Engine("out.engine", "tensorrt", "8.6.0", 1.0, 3, microseconds=after, before=EngineBefore(None, before))
    assert why_slower(engine) == said
    assert why_slower(replace(engine, before=None)) == ""


@RTX
@pytest.mark.parametrize(("lowering", "takes_faster"), [("auto", True), ("merged-gather", False)])
def test_where_the_engine_is_not_faster_the_model_stays_as_it_came(
    lowering: str, takes_faster: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No GPU is here: the engine is built, and its times are given."""
    asked: list[Task] = []

    def timed(task: Task, output: Path, options: EngineOptions) -> tuple[Engine, str]:
        asked.append(task)
        engine, _ = checked_engine(task, output, options)
        slow = replace(engine, microseconds=14.3, before=EngineBefore(None, 12.7))
        return slow, why_slower(slow) if task.takes_faster else ""

    monkeypatch.setattr(api, "checked_engine", timed)
    monkeypatch.setattr(api, "propose", lambda graph, found, job: choose_merged(propose(graph, found, job)))
    out, plan = tmp_path / "out.onnx", tmp_path / "plan.json"
    options = {"engine": tmp_path / "out.engine", "compute_capability": ["8.9"], "save_plan": plan, "validate": False}
    result = optimize(STATIC[0], out, lowering=lowering, target="tensorrt-rtx", **options)  # type: ignore[arg-type]
    assert [task.takes_faster for task in asked] == [takes_faster]
    [site] = result.report.sites
    wanted = ("nothing-to-do", "keep") if takes_faster else ("optimised", "merged-gather")
    assert (result.report.status, site.lowering) == wanted
    assert ("0.89 of its speed" in site.reason) == takes_faster
    assert (out.read_bytes() == STATIC[0].read_bytes()) == takes_faster
    assert f'"{site.lowering}"' in plan.read_text(encoding="utf-8")


def choose_merged(plan: Plan) -> Plan:
    """The plan, as where merged-gather was measured the fastest."""
    return Plan({name: replace(choice, lowering="merged-gather") for name, choice in plan.choices.items()})
