"""The table of --compare-targets: what it says of runs that are known, and what it is made of."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from onnxgs_opt import cli, compare_targets
from onnxgs_opt.errors import UsageError
from onnxgs_opt.report.model import Report
from onnxgs_opt.report.targets import TargetRun, fastest, to_json, to_text
from onnxgs_opt.tuning.measurement import Measurement

MODELS = Path(__file__).parents[1] / "fixtures" / "models"
STATIC, DYNAMIC = (MODELS / f"masked_interior.ts17.{kind}.onnx" for kind in ("st", "dyn"))


@pytest.fixture(scope="module")
def report() -> Report:
    """Of the static export, not measured."""
    (run,) = compare_targets(STATIC, ["tensorrt"])
    return run.report


def with_rows(report: Report, target: str, lowering: str, *rows: Measurement) -> TargetRun:
    refusals = {"roi-align": "it is for few"}
    sites = tuple(
        replace(site, measurements=rows, lowering=lowering, refusals=refusals)
        for site in (*report.sites, *report.sites)
    )
    return TargetRun(target, f"{target} 1", "", replace(report, sites=sites))


@pytest.fixture
def runs(report: Report) -> tuple[TargetRun, ...]:
    keep, rows = Measurement("keep", "ok", 10, 1), Measurement("row-gather", "ok", 4.5678, 2.2, max_abs=4.77e-7)
    one = with_rows(report, "a", "row-gather", keep, rows, Measurement("roi-align", "refused"))
    two = with_rows(
        report, "b", "keep", replace(keep, median_ms=8.0), Measurement("roi-align", "ok", 9, 0.9, max_abs=0)
    )
    wrong = with_rows(report, "longer", "keep", keep, Measurement("row-gather", "wrong", max_abs=6.2))
    missing = TargetRun("c", "", "c is not installed: pip install c", replace(report, sites=report.sites * 2))
    return one, two, wrong, missing


def test_a_table_has_lowerings_down_and_targets_across(runs: tuple[TargetRun, ...]) -> None:
    reason = runs[-1].sites[0].reason
    assert to_text(runs).splitlines() == [
        "site0       a                  b         longer   c",
        "keep         10 ms             *8 ms     *10 ms   -",
        "row-gather  *4.57 ms, 4.8e-07  -         wrong    -",
        "roi-align   refused             9 ms, 0  refused  refused",
        "c: c is not installed: pip install c",
        f"c: site0 {reason}",
        f"c: site0 {reason}",
        "onnxgs-opt: fastest on a: 9.14 ms for all sites, as row-gather",
    ]


def test_json_says_the_same(runs: tuple[TargetRun, ...]) -> None:
    document = json.loads(to_json(runs))
    assert [each["target"] for each in document["targets"]] == ["a", "b", "longer", "c"]
    assert document["fastest"] == {"target": "a", "sites_ms": pytest.approx(9.1356)}
    first, second = document["targets"][0]["sites"][0], document["targets"][3]
    assert first["forms"][1] == {
        "lowering": "row-gather", "status": "ok", "median_ms": 4.5678, "ratio": 2.2, "max_abs": 4.77e-7, "refusal": None
    }  # fmt: skip
    assert first["forms"][2]["refusal"] == "it is for few"
    assert (second["runtime"], second["unavailable"]) == (None, "c is not installed: pip install c")
    assert second["sites_ms"] is None


def test_without_a_time_there_is_no_fastest(runs: tuple[TargetRun, ...]) -> None:
    assert fastest(runs[3:]) is None
    assert to_text(runs[3:]).endswith("onnxgs-opt: nothing was measured\n")
    assert json.loads(to_json(runs[3:]))["fastest"] is None


def test_every_lowering_is_measured_and_checked_however_short(capsys: pytest.CaptureFixture[str]) -> None:
    shapes = ["--shape", "img=1x3x24x40", "--shape", "grid=1x5x7x2"]
    assert (
        cli.main([str(DYNAMIC), "--compare-targets", "ort-cpu,tensorrt", "--format", "json", "--no-cache", *shapes])
        == 0
    )
    measured, missing = json.loads(capsys.readouterr().out)["targets"]
    forms = {form["lowering"]: form for form in measured["sites"][0]["forms"]}
    assert forms["keep"]["median_ms"] > 0
    assert 0 <= forms["row-gather"]["max_abs"] < 1e-5
    assert missing["unavailable"].endswith("pip install tensorrt")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--compare-targets", "ort-cpu,foo"], "no target 'foo'"),
        (["--compare-targets", "ort-cpu", "--target", "ort-cpu"], "measures every lowering on each target"),
        (["--compare-targets", "ort-cpu", "--dry-run"], "measures every lowering on each target"),
        (["--compare-targets", "ort-cpu", "--format", "sarif"], "prints the table of one model"),
        ([str(DYNAMIC), "--compare-targets", "ort-cpu"], "prints the table of one model"),
    ],
)
def test_what_it_does_not_go_with(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([str(STATIC), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_programs_name_targets_in_a_list() -> None:
    with pytest.raises(UsageError, match="no target 'x'"):
        compare_targets(STATIC, ["ort-cpu", "x"])
