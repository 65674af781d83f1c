"""What a pipeline may ask for: codes that must not occur, a baseline, a speed; and the file that says so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from onnxgs_opt import cli, optimize
from onnxgs_opt.errors import UsageError
from onnxgs_opt.report.gates import Gates
from onnxgs_opt.report.model import Latency

FIXTURES = Path(__file__).parent / "fixtures"
FOUND = FIXTURES / "models/masked_interior.ts17.st.onnx"
CHAINED = FIXTURES / "chains/chain2.onnx"
FAST = ["--lowering", "merged-gather"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(FOUND, "found.onnx")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code = cli.main([*arguments, "--format", "json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "code", "failed"),
    [
        (["--dry-run", "--fail-on", "GSO1,GSO2"], 0, []),
        (["--dry-run", "--fail-on", "gso0"], 1, ["GSO001"]),
        (["out.onnx", *FAST, "--fail-on", "GSO001"], 1, ["GSO001"]),
        (["out.onnx", *FAST, "--fail-on", "GSO103,GSO207"], 1, ["GSO207"]),
        (["out.onnx", *FAST, "--fail-on", "GSO103", "--fail-on", "GSO101"], 0, []),
        (["out.onnx", *FAST, "--fail-on", "GSO2", "--ignore", "GSO207"], 0, []),
        (["--check", "--ignore", "GSO001"], 0, []),
        (["--check", "--fail-on", "GSO0"], 1, ["GSO001"]),
    ],
)
def test_a_code_fails_the_run_or_is_left_out(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, failed: list[str]
) -> None:
    found, report = run(capsys, "found.onnx", *arguments, "--save-plan", "plan.json")
    assert found == code == report["exit_code"]
    assert Path("plan.json").exists() == all(failure["gate"] == "check" for failure in report["failures"])
    assert [failure["code"] for failure in report["failures"]] == failed
    assert Path("out.onnx").exists() == (arguments[0] == "out.onnx" and not code)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--fail-on", ""], "--fail-on names nothing"),
        (["--ignore", ","], "--ignore names nothing"),
        (["--avoid", " "], "--avoid names nothing"),
        (["--min-speedup", "nan"], "--min-speedup nan is no number of 0 or more"),
        (["--atol", "nan"], "--atol nan is no number of 0 or more"),
    ],
)
def test_what_asks_nothing_is_no_gate(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    """A variable of a pipeline that is empty let everything pass."""
    assert cli.main(["found.onnx", "out.onnx", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"error: {said}\n")
    assert not Path("out.onnx").exists()


def test_values_of_programs_are_looked_at_too() -> None:
    with pytest.raises(UsageError, match="--rtol -1 is no number of 0 or more"):
        optimize(FOUND, rtol=-1)
    assert optimize(FOUND, dry_run=True, fail_on=[]).report.status == "dry-run"


def test_every_format_has_the_hazard_that_failed_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    """One that lowering brings was in the last line alone: JUnit said that all tests passed."""
    arguments = ["found.onnx", "out.onnx", *FAST, "--fail-on", "GSO207"]
    _, report = run(capsys, *arguments)
    assert [hazard["code"] for hazard in report["hazards"]] == ["GSO207"]
    told = {}
    for name in ("junit", "sarif", "github"):
        assert cli.main([*arguments, "--format", name]) == 1
        told[name] = capsys.readouterr().out
    assert ET.fromstring(told["junit"]).get("failures") == "1"
    rules = [each["ruleId"] for each in json.loads(told["sarif"])["runs"][0]["results"]]
    assert "GSO207" in rules
    assert "title=GSO207" in told["github"]


def test_what_is_ignored_stays_as_it_is() -> None:
    result = optimize(FOUND, lowering="merged-gather", ignore=["GSO001"])
    assert (result.report.status, result.report.sites) == ("nothing-to-do", ())
    assert optimize(FOUND, lowering="merged-gather", ignore=["GSO207"]).report.hazards == ()


def test_a_baseline_knows_what_was_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["found.onnx", "--check", "--report", "known.json"]) == 1
    assert cli.main(["found.onnx", "--check", "--baseline", "known.json"]) == 0
    shutil.copy(CHAINED, "found.onnx")
    capsys.readouterr()
    code, report = run(capsys, "found.onnx", "--check", "--baseline", "known.json")
    assert code == 1
    assert {failure["place"] for failure in report["failures"]} == {site["id"] for site in report["sites"]}


@pytest.mark.parametrize("asked", [[], ["--fail-on", "GSO207"]], ids=["passed", "failed"])
def test_a_baseline_knows_what_lowering_brings(capsys: pytest.CaptureFixture[str], asked: list[str]) -> None:
    """Whether the run that wrote it passed, or failed for the very hazard."""
    assert cli.main(["found.onnx", "out.onnx", *FAST, *asked, "--report", "known.json"]) == bool(asked)
    capsys.readouterr()
    code, report = run(capsys, "found.onnx", "new.onnx", *FAST, "--fail-on", "GSO207", "--baseline", "known.json")
    assert (code, report["failures"]) == (0, [])


def test_a_baseline_of_many_models(capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(FOUND, "other.onnx")
    _, document = run(capsys, "found.onnx", "other.onnx", "--check")
    document["reports"].pop()
    Path("known.json").write_text(json.dumps(document), encoding="utf-8")
    code, document = run(capsys, "found.onnx", "other.onnx", "--check", "--baseline", "known.json")
    assert [report["exit_code"] for report in document["reports"]] == [0, 1]
    assert code == 1


def speed(ratio: float) -> Latency:
    return Latency(10.0, 10.0 / ratio, ratio, ratio, ratio, 5)


@pytest.mark.parametrize(
    ("least", "ratio", "is_new", "said"),
    [
        (None, None, True, []),
        (1.5, 1.6, True, []),
        (1.5, 1.5, True, []),
        (1.5, 1.4, True, ["the model is 1.40 times as fast, 1.5 times as fast was asked for"]),
        (1.5, None, False, ["nothing was rewritten, 1.5 times as fast was asked for"]),
        (1.0, None, False, []),
        (0.1, None, True, ["the model could not be timed, 0.1 times as fast was asked for"]),
    ],
)
def test_a_speed_that_is_asked_for(least: float | None, ratio: float | None, is_new: bool, said: list[str]) -> None:
    from onnxgs_opt.options import Options

    gates = Gates.of(Options("in.onnx", min_speedup=least))
    found = gates.of_speed(None if ratio is None else speed(ratio), is_new)
    assert [failure.message for failure in found] == said


@pytest.mark.parametrize(("least", "code"), [("0.0001", 0), ("10000", 1)])
def test_a_model_that_is_too_slow_is_not_written(capsys: pytest.CaptureFixture[str], least: str, code: int) -> None:
    found, report = run(capsys, "found.onnx", "out.onnx", *FAST, "--min-speedup", least)
    assert (found, report["status"]) == (code, ("optimised", "too-slow")[code])
    assert report["latency"]["ratio_low"] <= report["latency"]["ratio"] <= report["latency"]["ratio_high"]
    assert Path("out.onnx").exists() == (not code)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--check", "--fail-on", "GSO9"], "--fail-on: there is no code GSO9"),
        (["--check", "--ignore", "W503"], "--ignore: there is no code W503"),
        (["--check", "--baseline", "absent.json"], "cannot read the baseline absent.json"),
        (["--check", "--baseline", "found.onnx"], "cannot read the baseline found.onnx"),
        (["--check", "--baseline", "other.json"], "other.json is no JSON report of onnxgs-opt"),
        (["--check", "--min-speedup", "2"], "--min-speedup needs the new model, which --check does not make"),
        (["out.onnx", "--min-speedup", "2", "--jobs", "2"], "--min-speedup measures"),
        (["out.onnx", "--min-speedup", "-2"], "Invalid value for '--min-speedup'"),
    ],
)
def test_what_cannot_be_asked_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], error: str) -> None:
    Path("other.json").write_text('{"reports": [3]}', encoding="utf-8")
    assert cli.main(["found.onnx", *arguments]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"error: {error}")
    assert second.startswith("hint: ")


def test_junit_of_many_models_says_what_could_not_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    Path("broken.onnx").write_bytes(b"no model")
    assert cli.main(["found.onnx", "broken.onnx", "--check", "--format", "junit"]) == 2
    root = ET.fromstring(capsys.readouterr().out)
    assert [(suite.get("name"), suite.get("failures"), suite.get("errors")) for suite in root] == [
        ("found.onnx", "1", "0"),
        ("broken.onnx", "0", "1"),
    ]
    assert cli.main(["found.onnx", "--check", "--report", "r.xml"]) == 1
    assert ET.parse("r.xml").getroot().get("failures") == "1"


# -- pyproject.toml --------------------------------------------------------------------------------

TABLE = """
[tool.onnxgs-opt]
lowering = "row-gather"
format = "json"
rtol = 1e-3
fail-on = ["GSO1"]

[tool.onnxgs-opt.models."nets/*.onnx"]
lowering = "merged-gather"
shape = {img = "1x3x8x9"}
ignore = "GSO001"
"""


def test_a_file_says_what_the_command_line_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    Path("pyproject.toml").write_text(TABLE, encoding="utf-8")
    assert cli.main(["found.onnx", "out.onnx"]) == 0
    assert [site["lowering"] for site in json.loads(capsys.readouterr().out)["sites"]] == ["row-gather"]
    assert cli.main(["found.onnx", "out.onnx", "--lowering", "keep", "--format", "text"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("onnxgs-opt: PASSED")


def test_a_model_has_its_own(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("pyproject.toml").write_text(TABLE, encoding="utf-8")
    Path("nets").mkdir()
    shutil.copy(FIXTURES / "models/masked_interior.ts17.dyn.onnx", "nets/net.onnx")
    assert cli.main(["nets/net.onnx", "found.onnx", "--dry-run"]) == 0
    sites = [report["sites"] for report in json.loads(capsys.readouterr().out)["reports"]]
    assert [[site["lowering"] for site in each] for each in sites] == [[], ["row-gather"]]
    monkeypatch.chdir("nets")  # the file above counts, and paths are those from where it lies
    assert cli.main(["net.onnx", "--dry-run", "--ignore", "GSO003", "--shape", "img=1x3x8x8"]) == 0
    assert [site["lowering"] for site in json.loads(capsys.readouterr().out)["sites"]] == ["merged-gather"]


@pytest.mark.parametrize(
    ("text", "error", "hint"),
    [
        ("lowerin = 'keep'", "[tool.onnxgs-opt] has no option 'lowerin'", "did you mean lowering"),
        ("report = 'r.json'", "has no option 'report'", "say --report on the command line"),
        ("custom-ops-library = 'x.so'", "has no option 'custom-ops-library'", "on the command line"),
        ("lowering = 'magic'", "lowering: 'magic' is not one of", "as the option --lowering takes it"),
        ("rtol = 'much'", "rtol: 'much' is not a valid", "as the option --rtol takes it"),
        ("seed = [1, 2]", "seed: ", "as the option --seed takes it"),
        ("models = 3", "models is no table of models", '[tool.onnxgs-opt.models."net.onnx"]'),
        ("models.'a.onnx'.jobs = 2", "has no option 'jobs'", "on the command line"),
        ("lowering = ", "cannot read", "mend it"),
    ],
)
def test_a_file_that_is_wrong_is_one_line(capsys: pytest.CaptureFixture[str], text: str, error: str, hint: str) -> None:
    Path("pyproject.toml").write_text(f"[tool.onnxgs-opt]\n{text}\n", encoding="utf-8")
    assert cli.main(["found.onnx", "--check"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert error in first
    assert hint in second


def test_files_of_others_are_left_alone() -> None:
    Path("pyproject.toml").write_text("[tool.ruff]\nline-length = 120\n", encoding="utf-8")
    assert cli.main(["found.onnx", "--dry-run", "-q"]) == 0
    with pytest.raises(UsageError):
        optimize("absent.onnx", fail_on=["GSO5"])
