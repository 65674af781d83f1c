"""The command line: what it passes on, what it prints where, and its exit codes."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest

from onnxgs_opt import cli
from onnxgs_opt.cli.given import GROUPS
from onnxgs_opt.diagnostics import CODES
from onnxgs_opt.errors import EngineError, ModelError
from onnxgs_opt.job import Job
from onnxgs_opt.options import OPTIONS, Options
from onnxgs_opt.report.model import Count, NearMiss, Report, SitePolicy, SiteReport, Validation, schema
from onnxgs_opt.tuning.plan import load_plan

MODEL = Path(__file__).parent / "fixtures/models/masked_interior.ts17.st.onnx"

SITE = SiteReport(
    id="site0",
    rule="GSO001",
    policy=SitePolicy("bilinear", "interior", "pixel", None, "NCHW", "float32"),
    image="img",
    grid="grid",
    output="out",
    reads=("g0", "g1", "g2", "g3"),
    read_op="Gather",
    lowering="merged-gather",
    reason="one read instead of four",
)
REPORT = Report(
    input="in.onnx",
    output="out.onnx",
    target="ort-cpu",
    status="optimised",
    nodes=Count(175, 30),
    reads=Count(4, 1),
    sites=(SITE,),
    near_misses=(NearMiss("GSO101", "/Add", "one weight is scaled", "compare the products"),),
    validation=Validation("ok", ({"img": (2, 3, 24, 40)},), 0.0, 0.0, 0),
)


class Api:
    """A stand-in for `onnxgs_opt.api`: records what is asked for, answers with `answer`, or raises it."""

    def __init__(self) -> None:
        self.answer: Report | BaseException = REPORT
        self.calls: list[Options] = []

    def run(self, options: Options) -> SimpleNamespace:
        self.calls.append(options)
        if options.progress is not None:
            options.progress("validate")
        if isinstance(self.answer, BaseException):
            raise self.answer
        return SimpleNamespace(report=self.answer, model=None, graph=None, evidence=(), race=None)

    @property
    def options(self) -> dict[str, Any]:
        [options] = self.calls
        return vars(options)

    @property
    def paths(self) -> tuple[Any, ...]:
        [options] = self.calls
        return options.model, options.output


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    stand_in = Api()
    monkeypatch.setitem(sys.modules, "onnxgs_opt.api", stand_in)
    return stand_in


def error_lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


def test_run_passes_the_options_on(api: Api, tmp_path: Path) -> None:
    inputs, plan = tmp_path / "in.npz", tmp_path / "plan.json"
    inputs.touch()
    plan.touch()
    arguments = "in.onnx out.onnx --target ort-cpu --shape img=1x3x8x9 --shape a=b=4,5,6 --require-match 2"
    tolerances = "--rtol 1e-5 --atol 1e-6 --seed 7 --no-validate"
    libraries = ["--custom-ops-library", str(inputs), "--custom-ops-library", str(plan)]
    plans = ["--plan", str(plan), "--save-plan", str(tmp_path / "new.json"), "--no-cache"]
    written = [*arguments.split(), "--inputs", str(inputs), *tolerances.split(), *plans, *libraries]
    assert cli.main(written) == 0
    assert api.paths == ("in.onnx", "out.onnx")
    defaults = {option.name: option.default for option in OPTIONS}
    assert api.options == defaults | {
        "model": "in.onnx",
        "output": "out.onnx",
        "require_match": 2,
        "target": "ort-cpu",
        "smallest": {"img": (1, 3, 8, 9), "a=b": (4,)},
        "shapes": {"img": (1, 3, 8, 9), "a=b": (5,)},
        "largest": {"img": (1, 3, 8, 9), "a=b": (6,)},
        "inputs": str(inputs),
        "rtol": 1e-5,
        "atol": 1e-6,
        "seed": 7,
        "validate": False,
        "plan": str(plan),
        "save_plan": str(tmp_path / "new.json"),
        "cache": None,
        "custom_ops": (str(inputs), str(plan)),
        "command": shlex.join(["onnxgs-opt", *written]),
    }


def test_the_cache_is_the_users(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cli.main(["in.onnx", "out.onnx"]) == 0
    assert api.options["cache"] == tmp_path / "onnxgs-opt"


def test_bench_is_passed_on(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["in.onnx", "out.onnx", "--bench"]) == 0
    assert api.options["bench"]
    assert capsys.readouterr().err == "the model was not timed: it was not rewritten, or does not run here\n"


@pytest.mark.parametrize(
    "option",
    [
        ["--fp16"],
        ["--bf16"],
        ["--timing-cache", "t.cache"],
        ["--workspace", "2G"],
        ["--compute-capability", "8.9"],
        ["--tactic-sources", "-CUBLAS,+CUDNN"],
        ["--plugin-library", "p.so"],
    ],
)
def test_the_options_of_an_engine_need_one(api: Api, capsys: pytest.CaptureFixture[str], option: list[str]) -> None:
    assert cli.main(["in.onnx", "out.onnx", *option]) == 2
    first, second = error_lines(capsys)
    assert first == f"error: {option[0]} needs --engine FILE"
    assert second.startswith("hint: ")
    assert api.calls == []


@pytest.mark.parametrize("target", ["ort-cpu", "ort-cuda", "tensorrt", "tensorrt-rtx"])
def test_every_target_is_taken(api: Api, target: str) -> None:
    assert cli.main(["in.onnx", "out.onnx", "--target", target]) == 0
    assert api.options["target"] == target


def test_an_engine_is_what_the_choice_is_for(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxgs_opt.runtime.tensorrt.build.installed", lambda: ("tensorrt", "tensorrt-rtx"))
    flags = ["in.onnx", "out.onnx", "--engine", "out.engine"]
    asked = ([], ["--target", "tensorrt-rtx", "--plugin-library", "p.so"])
    for more in asked:
        assert cli.main([*flags, *more]) == 0
    targets = [Job.of(replace(options, model=MODEL)).target for options in api.calls]
    assert [(target.runtime, target.plugin) for target in targets] == [("tensorrt", False), ("tensorrt-rtx", True)]


def test_an_engine_for_another_builder_than_the_installed_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxgs_opt.runtime.tensorrt.build.installed", lambda: ("tensorrt-rtx",))
    assert cli.main(["absent.onnx", "out.onnx", "--engine", "out.engine", "--target", "tensorrt"]) == 2
    assert error_lines(capsys)[0] == "error: tensorrt is not installed"  # said before the model is read


def test_defaults(api: Api) -> None:
    assert cli.main(["in.onnx", "out.onnx"]) == 0
    expected: dict[str, Any] = {
        "lowering": "auto",
        "target": None,
        "opset": None,
        "shapes": {},
        "rtol": None,
        "seed": 0,
        "validate": True,
    }
    assert api.options.items() >= expected.items()


@pytest.mark.parametrize("option", ["--dry-run", "--check"])
def test_looking_only_never_names_an_output(api: Api, option: str) -> None:
    for arguments in (["in.onnx", option], ["in.onnx", "out.onnx", option]):
        api.calls.clear()
        cli.main(arguments)
        assert api.paths == ("in.onnx", None)
        assert api.options[option.strip("-").replace("-", "_")]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--check"], 1),
        (["--dry-run"], 0),
        (["out.onnx"], 0),
        (["out.onnx", "--require-match", "1"], 0),
        (["out.onnx", "--require-match", "2"], 1),
        (["--dry-run", "--require-match", "2"], 1),
        (["--check", "--require-match", "2"], 1),
        (["--check", "--lowering", "keep"], 0),
    ],
)
def test_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main([str(MODEL), "--no-validate", *arguments]) == code
    written = code == 0 and "out.onnx" in arguments
    assert [path.name for path in tmp_path.iterdir()] == ["out.onnx"] * written


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--check"], "findings"),
        (["--require-match", "2", "--save-plan", "p.json"], "too-few"),
        (["--require-match", "2", "--check"], "too-few"),
        (["--require-match", "1", "--check"], "findings"),
    ],
)
def test_what_is_asked_of_the_sites_is_a_status(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main([str(MODEL), "out.onnx", "--format", "json", *arguments]) == 1
    assert json.loads(capsys.readouterr().out)["status"] == status
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--dry-run", "--check"])
def test_a_dry_run_saves_its_plan(tmp_path: Path, option: str) -> None:
    plan = tmp_path / "plan.json"
    cli.main([str(MODEL), option, "--lowering", "row-gather", "--save-plan", str(plan)])
    assert list(load_plan(plan).values()) == ["row-gather"]


def test_a_plan_of_another_model_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What it does not know stays as exported, and a pipeline would not notice."""
    plan, other = str(tmp_path / "plan.json"), str(MODEL.parents[1] / "chains/chain2.onnx")
    cli.main([str(MODEL), "--dry-run", "--save-plan", plan])
    for model, told in (
        (str(MODEL), ""),
        (other, f"warning: {other}: the plan does not know 2 of 2 sites, which stay"),
    ):
        capsys.readouterr()
        assert cli.main([model, "--dry-run", "--plan", plan]) == 0
        assert capsys.readouterr().err.startswith(told)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dry-run", "--bench"], "--bench needs the new model, which --dry-run does not make"),
        (["--check", "--engine", "e.engine"], "--engine needs the new model, which --check does not make"),
        (["out.onnx", "--plan", "{}", "--lowering", "keep"], "--plan and --lowering both say what to write"),
        (["out.onnx", "--save-plan", "out.onnx"], "--save-plan out.onnx is the model's own path"),
        (["out.onnx", "--engine", "./in.onnx"], "--engine in.onnx is the model's own path"),
        (["out.onnx", "--save-plan", "a.json", "--report", "a.json"], "--report a.json is --save-plan's path too"),
        (["absent/out.onnx"], "cannot write into absent"),
        (["out.onnx", "--engine", "e.engine", "--workspace", "2Q"], "--workspace 2Q is no size"),
    ],
)
def test_contradictions_are_refused_at_once(
    api: Api, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    plan = tmp_path / "plan.json"
    plan.touch()
    assert cli.main(["in.onnx", *(str(plan) if word == "{}" else word for word in arguments)]) == 2
    first, second = error_lines(capsys)
    assert first == f"error: {message}"
    assert second.startswith("hint: ")
    assert api.calls == []


def test_text_goes_to_stdout_and_nothing_to_stderr(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["in.onnx", "out.onnx"])
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines()[-1].startswith("onnxgs-opt: PASSED 1 site lowered")
    assert "looks like one  one weight is scaled: node /Add  [GSO101]" in out


def test_json_goes_to_stdout(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.answer = replace(REPORT, status="findings")
    cli.main(["in.onnx", "--check", "--format", "json"])
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, schema(), jsonschema.Draft202012Validator)
    assert (document["status"], document["exit_code"]) == ("findings", 1)


def test_report_file(api: Api, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "r.json"
    assert cli.main(["in.onnx", "out.onnx", "--report", str(path)]) == 0
    assert json.loads(path.read_text(encoding="utf-8"))["sites"][0]["id"] == "site0"
    assert "PASSED" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("format_", "start"),
    [
        ("markdown", "## onnxgs-opt: PASSED"),
        ("sarif", '{\n  "$schema"'),
        ("github", "::notice file=in.onnx,title=GSO001"),
    ],
)
def test_formats_go_to_stdout(api: Api, capsys: pytest.CaptureFixture[str], format_: str, start: str) -> None:
    assert cli.main(["in.onnx", "out.onnx", "--format", format_, "--color"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(start)
    assert "\x1b" not in out
    assert err == ""


def test_reports_by_ending(api: Api, tmp_path: Path) -> None:
    starts = {".json": "{", ".md": "## onnxgs-opt", ".sarif": "{", ".html": "<!doctype html>"}
    paths = [tmp_path / f"r{ending}" for ending in starts]
    assert cli.main(["in.onnx", "out.onnx", *(word for path in paths for word in ("--report", str(path)))]) == 0
    assert [path.read_text(encoding="utf-8").startswith(starts[path.suffix]) for path in paths] == [True] * 4


def test_report_of_a_mismatch_is_written(api: Api, tmp_path: Path) -> None:
    api.answer = replace(REPORT, status="mismatch", output=None)
    path = tmp_path / "r.json"
    assert cli.main(["in.onnx", "out.onnx", "--report", str(path)]) == 3
    assert json.loads(path.read_text(encoding="utf-8"))["exit_code"] == 3


def test_quiet_says_the_verdict_only(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["in.onnx", "out.onnx", "-q"])
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith("onnxgs-opt: PASSED")


def test_verbose_reports_progress_on_stderr(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["in.onnx", "out.onnx", "-v"])
    out, err = capsys.readouterr()
    assert err == "validate ...\n"
    assert "; reads: g0, g1, g2, g3" in out


def test_a_terminal_gets_a_bar(api: Api, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    cli.main(["in.onnx", "out.onnx"])
    assert api.options["progress"] is not None
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "no_color", "terminal", "coloured"),
    [
        ([], None, False, False),
        ([], None, True, True),
        ([], "1", True, False),
        ([], "", True, True),
        (["--no-color"], None, True, False),
        (["--color"], "1", False, True),
    ],
)
def test_colour(
    api: Api,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    no_color: str | None,
    terminal: bool,
    coloured: bool,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    cli.main(["in.onnx", "out.onnx", *flags])
    assert ("\x1b[" in capsys.readouterr().out) is coloured


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ModelError("in.onnx is no ONNX model", "export it again"), 2),
        (EngineError("the engine was not built", "see the log"), 4),
    ],
)
def test_an_error_is_one_line_and_a_hint(
    api: Api, capsys: pytest.CaptureFixture[str], error: Exception, code: int
) -> None:
    api.answer = error
    assert cli.main(["in.onnx", "out.onnx"]) == code
    first, second = error_lines(capsys)
    assert first == f"error: {error}"
    assert second.startswith("hint: ")


def test_an_error_cannot_steer_the_terminal(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.answer = ModelError("a\x1b[31mb\u202e", "c\x07")
    cli.main(["in.onnx", "out.onnx"])
    assert error_lines(capsys) == ["error: a\\x1b[31mb\\u202e", "hint: c\\x07"]


def test_the_traceback_of_an_error_is_for_vv(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.answer = ModelError("broken", "mend it")
    for flag, shown in (("-v", False), ("-vv", True)):
        assert cli.main(["in.onnx", "out.onnx", flag]) == 2
        assert ("Traceback" in capsys.readouterr().err) is shown


def test_a_bug_shows_its_traceback_and_is_no_finding(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.answer = ZeroDivisionError("oh")
    assert cli.main(["in.onnx", "out.onnx"]) == 2
    err = error_lines(capsys)
    assert err[0].startswith("Traceback")
    assert err[-2:] == [
        "error: internal error: ZeroDivisionError",
        "hint: please report the lines above, with the model",
    ]


def test_interrupt(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.answer = KeyboardInterrupt()
    assert cli.main(["in.onnx", "out.onnx"]) == 130
    assert error_lines(capsys)[-1] == "error: interrupted"


@pytest.mark.parametrize("models", [["in.onnx", "out.onnx"], ["in.onnx", "other.onnx", "--check"]])
@pytest.mark.parametrize("made", [ImportError("initialization failed"), ModelError("openvino does not load")])
def test_interrupt_of_which_a_library_makes_an_error(
    api: Api, capsys: pytest.CaptureFixture[str], made: Exception, models: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As pybind11 and numpy do where Ctrl-C is pressed while they are being loaded."""

    def load(options: Options) -> None:
        api.calls.append(options)
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise made

    monkeypatch.setattr(api, "run", load)
    assert cli.main(models) == 130
    assert error_lines(capsys)[-1] == "error: interrupted"
    assert len(api.calls) == 1  # no other model is begun
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    api.answer = made
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "onnxgs_opt.api", api)
    assert cli.main(models) == 2  # that it was pressed once is forgotten


def test_what_is_being_loaded_is_loaded_first(
    api: Api, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """onnx ended the process where Ctrl-C was pressed while it was being loaded."""
    press = "import signal; signal.raise_signal(signal.SIGINT); loaded = True"
    (tmp_path / "slowly_loaded.py").write_text(press, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    done: list[bool] = []

    def load(options: Options) -> None:
        done.append(importlib.import_module("slowly_loaded").loaded)
        time.sleep(60)

    monkeypatch.setattr(api, "run", load)
    assert cli.main(["in.onnx", "out.onnx"]) == 130
    assert done == [True]
    assert error_lines(capsys)[-1] == "error: interrupted"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no model was named"),
        (["in.onnx"], "no output was named"),
        (["in.onnx", "out.onnx", "third"], "3 files were named"),
        (["in.onnx", "out.onnx", "--lowering", "magic"], "Invalid value for '--lowering'"),
        (["in.onnx", "out.onnx", "--target", "cuda"], "Invalid value for '--target'"),
        (["in.onnx", "out.onnx", "--shape", "img"], "--shape img is no shape"),
        (["in.onnx", "out.onnx", "--shape", "=1x2"], "--shape =1x2 is no shape"),
        (["in.onnx", "out.onnx", "--shape", "img=1x0"], "--shape img=1x0 is no shape"),
        (["in.onnx", "out.onnx", "--shape", "img=1x²"], "--shape img=1x² is no shape"),
        (["in.onnx", "out.onnx", "--inputs", "absent.npz"], "Invalid value for '--inputs'"),
        (["in.onnx", "out.onnx", "--rtol", "-1"], "Invalid value for '--rtol'"),
        (["in.onnx", "out.onnx", "--report", "r.txt"], "--report r.txt has no known ending"),
        (["in.json", "out.onnx", "--report", "./in.json"], "--report in.json is the model's own path"),
        (["in.onnx", "out.onnx", "--report", "absent/r.json"], "cannot write into absent"),
        (["in.onnx", "out.onnx", "--bogus"], "No such option"),
        (["--explain", "GSO999"], "there is no code GSO999"),
    ],
)
def test_usage_errors_run_nothing(
    api: Api, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert cli.main(arguments) == 2
    first, second = error_lines(capsys)
    assert message in first
    assert first.startswith("error: ")
    assert second.startswith("hint: ")
    assert api.calls == []


def test_explain(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--explain", "gso001"]) == 0
    assert capsys.readouterr().out.startswith("GSO001  four-read bilinear sampler\n")
    assert cli.main(["--explain"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(CODES)


def test_help_lists_every_option_in_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    for param in cli.command.params:
        assert param.param_type_name == "argument" or param.opts[0] in out
    assert len(out.splitlines()) <= 70
    assert all(len(line) <= 80 for line in out.splitlines())


def test_help_groups_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["--help"])
    out = capsys.readouterr().out
    assert [heading for heading in GROUPS if f"\n{heading}:\n" in out] == list(GROUPS)
    options = {param.name for param in cli.command.params if param.param_type_name == "option"}
    assert {option.name for option in OPTIONS if option.metadata["spec"].flags} == options - {"version"}


def test_every_option_has_a_test() -> None:
    tests = "\n".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.rglob("test_*.py"))
    options = [param.opts + param.secondary_opts for param in cli.command.params if param.param_type_name == "option"]
    used = [[name for name in names if f'"{name}' in tests or f" {name}" in tests] for names in options]
    assert [names for names, found in zip(options, used, strict=True) if not found] == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("onnxgs-opt ", "file,"),
        ("onnxgs-opt in.onnx ", "file,"),
        ("onnxgs-opt in.onnx --dry", "plain,--dry-run"),
        ("onnxgs-opt --lowering mer", "plain,merged-gather"),
        ("onnxgs-opt --report ", "file,"),
        ("onnxgs-opt --output-dir ", "dir,"),
    ],
)
def test_completion(words: str, expected: str) -> None:
    """What the shell's script is told: files and folders it completes itself."""
    asked = {"_ONNXGS_OPT_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    script = "from onnxgs_opt.cli import main; main([])"
    run = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **asked}, capture_output=True, text=True, check=False
    )
    assert run.stdout.splitlines() == [expected]


def test_quiet_and_color_are_silent_on_stderr(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    for flags in (["-q"], ["--quiet"], ["--color"], ["--no-color"]):
        cli.main(["in.onnx", "out.onnx", *flags])
        assert capsys.readouterr().err == ""


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("onnxgs-opt ")


def test_broken_pipe_keeps_the_exit_code(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    run = subprocess.run(
        [sys.executable, "-m", "onnxgs_opt", "--explain"],
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert (run.returncode, run.stderr) == (0, b"")


@pytest.mark.parametrize("option", ["--help", "--version", "--explain"])
def test_answers_without_a_model_import_no_onnx(option: str) -> None:
    script = (
        "import sys; from onnxgs_opt.cli import main; main(sys.argv[1:]); "
        "sys.exit(' '.join({'onnx', 'onnxruntime', 'onnx_graphsurgeon', 'numpy'} & sys.modules.keys()) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", script, option], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
