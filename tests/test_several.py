"""Many models in one call: which are meant, where their results go, and one exit code for every mixture."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from onnxgs_opt import cli
from onnxgs_opt.cli.named import pairs
from onnxgs_opt.errors import UsageError

FOUND = Path(__file__).parent / "fixtures/models/masked_interior.ts17.st.onnx"
FAST = ["--lowering", "merged-gather"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models to find something in, clean and broken ones."""
    monkeypatch.chdir(tmp_path)
    Path("m/deep").mkdir(parents=True)
    shutil.copy(FOUND, "m/found.onnx")
    shutil.copy(FOUND, "m/deep/found.onnx")
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "clean", [value], [result])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "clean.onnx")
    Path("broken.onnx").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")


@pytest.mark.parametrize(
    ("models", "code", "last"),
    [
        ("m/found.onnx clean.onnx", 1, "FAILED 2 models: 1 could be optimised, 1 with nothing to do"),
        ("clean.onnx broken.onnx", 2, "FAILED 2 models: 1 with nothing to do, 1 failed"),
        (
            "broken.onnx m/found.onnx clean.onnx",
            2,
            "FAILED 3 models: 1 failed, 1 could be optimised, 1 with nothing to do",
        ),
        ("clean.onnx clean.onnx ./*clean.onnx", 0, "PASSED 2 models: 2 with nothing to do"),
        ("m", 1, "FAILED 2 models: 2 could be optimised"),
        ("m/**/*.onnx clean.onnx", 1, "FAILED 3 models: 2 could be optimised, 1 with nothing to do"),
    ],
)
def test_every_mixture_has_its_exit_code(capsys: pytest.CaptureFixture[str], models: str, code: int, last: str) -> None:
    before = set(Path().rglob("*"))
    assert cli.main([*models.split(), "--check"]) == code
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == f"onnxgs-opt: {last}"
    assert len(out) == int(last.split()[1]) + 1
    assert set(Path().rglob("*")) == before


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_results_go_to_a_folder_as_they_lie(capsys: pytest.CaptureFixture[str], jobs: str) -> None:
    assert cli.main(["m", "broken.onnx", "clean.onnx", "--output-dir", "out/new", "--jobs", jobs, *FAST]) == 2
    assert sorted(map(str, Path("out").rglob("*.onnx"))) == [
        "out/new/clean.onnx",
        "out/new/deep/found.onnx",
        "out/new/found.onnx",
    ]
    out, err = capsys.readouterr()
    assert [line.split()[:2] for line in out.splitlines()] == [
        ["m/deep/found.onnx", "PASSED"],
        ["m/found.onnx", "PASSED"],
        ["broken.onnx", "FAILED"],
        ["clean.onnx", "PASSED"],
        ["onnxgs-opt:", "FAILED"],
    ]
    assert err.splitlines() == [
        "error: broken.onnx is a Git LFS pointer, not the model itself",
        "hint: git lfs pull fetches the model",
    ]
    assert cli.main(["out", "--check", "-q"]) == 0


def test_the_folder_of_results_is_not_looked_at_again() -> None:
    for _ in range(2):
        assert cli.main(["m", "--output-dir", "m/out", "-q", *FAST]) == 0
    assert sorted(path.name for path in Path("m/out").rglob("*")) == ["deep", "found.onnx", "found.onnx"]


def test_models_are_replaced_in_place() -> None:
    size = Path("m/found.onnx").stat().st_size
    assert cli.main(["m", "--in-place", "-q", *FAST]) == 0
    assert [Path(f"m/{name}found.onnx").stat().st_size < size for name in ("", "deep/")] == [True, True]


def test_a_format_holds_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["m", "broken.onnx", "--check", "--format", "json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert [report["input"] for report in document["reports"]] == ["m/deep/found.onnx", "m/found.onnx"]
    assert [error["input"] for error in document["errors"]] == ["broken.onnx"]
    assert cli.main(["m", "--check", "--format", "sarif"]) == 1
    assert [len(run["results"]) > 0 for run in json.loads(capsys.readouterr().out)["runs"]] == [True, True]
    assert cli.main(["m", "--check", "--format", "github"]) == 1
    assert capsys.readouterr().out.count("title=GSO001") == 2


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("github", "::error file=broken.onnx,title=onnxgs-opt::broken.onnx is a Git LFS pointer"),
        ("markdown", "## onnxgs-opt: FAILED `broken.onnx`"),
        ("sarif", '"executionSuccessful": false'),
    ],
)
def test_a_format_tells_of_what_could_not_be_looked_at(
    capsys: pytest.CaptureFixture[str], name: str, said: str, jobs: str
) -> None:
    assert cli.main(["clean.onnx", "broken.onnx", "--check", "--jobs", jobs, "--format", name]) == 2
    out = capsys.readouterr().out
    assert out.count(said) == 1
    if name == "github":
        assert out.endswith("onnxgs-opt: FAILED 2 models: 1 with nothing to do, 1 failed\n")
        assert cli.main(["broken.onnx", "--check", "--format", name]) == 2
        assert capsys.readouterr().out.startswith(said)
    if name == "sarif":
        assert [run["artifacts"][0]["location"]["uri"] for run in json.loads(out)["runs"]] == [
            "clean.onnx",
            "broken.onnx",
        ]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_warnings_are_told_alike(capfd: pytest.CaptureFixture[str], jobs: str) -> None:
    """Those of processes of their own came as they were, with whatever characters a model's names have."""
    Path("plan.json").write_text('{"schema_version": "1", "sites": {}}', encoding="utf-8")
    assert cli.main(["m", "--dry-run", "--plan", "plan.json", "--jobs", jobs]) == 0
    lines = capfd.readouterr().err.splitlines()
    assert sorted(line.partition(" the plan")[0] for line in lines) == [
        "warning: m/deep/found.onnx:",
        "warning: m/found.onnx:",
    ]


def test_each_has_its_own_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["m", "--dry-run", "--report", "r.json"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: --report r.json would be written once for each of 2 models",
        "hint: put {name} into it: --report r-{name}.json",
    ]
    assert cli.main(["m", "--dry-run", "--report", "r-{name}.json", "-q"]) == 0
    assert sorted(map(str, Path().glob("r-*"))) == ["r-m-deep-found.json", "r-m-found.json"]


def test_each_has_its_own_plan_which_is_replayed(capsys: pytest.CaptureFixture[str]) -> None:
    for name, lowering in (("m/found", "row-gather"), ("m/deep/found", "merged-gather")):
        forced = ["--lowering", lowering, "--save-plan", f"p-{name.replace('/', '-')}.plan"]
        assert cli.main([f"{name}.onnx", "--dry-run", *forced, "-q"]) == 0
    replayed = ["m", "--output-dir", "o", "--plan", "p-{name}.plan", "--no-validate"]
    capsys.readouterr()
    assert cli.main([*replayed, "--format", "json"]) == 0
    reports = json.loads(capsys.readouterr().out)["reports"]
    assert [report["sites"][0]["lowering"] for report in reports] == ["merged-gather", "row-gather"]
    Path("p-m-found.plan").unlink()
    assert cli.main([*replayed, "-q"]) == 2
    assert "error: m/found.onnx: cannot read the plan p-m-found.plan" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        ("m/found.onnx clean.onnx broken.onnx", "3 files were named", "--output-dir DIR or --in-place"),
        ("m out.onnx", "m is a folder", "--output-dir DIR or --in-place"),
        ("optimize clean.onnx out.onnx", "there is no command 'optimize'", "onnxgs-opt clean.onnx out.onnx"),
        ("m/found.onnx m/deep/found.onnx --output-dir out", "would both be written to out/found.onnx", "the folder"),
        ("m --output-dir out --in-place", "both say where results go", "leave one of them out"),
        ("n*.onnx --check", "no file matches n*.onnx", "check the pattern"),
        ("empty --check", "there is no .onnx file in empty", "check the path"),
        ("- --in-place", "standard input has no place", "onnxgs-opt - OUT.onnx"),
    ],
)
def test_what_is_not_clear_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: str, error: str, hint: str
) -> None:
    Path("empty").mkdir()
    before = set(Path().rglob("*"))
    assert cli.main(arguments.split()) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert error in first
    assert hint in second
    assert set(Path().rglob("*")) == before


def test_in_and_out_stay_what_they_are() -> None:
    assert pairs(["a.onnx", "b.onnx"], None, in_place=False, writes=True) == [("a.onnx", "b.onnx")]
    assert pairs(["clean.onnx", "out.onnx"], None, in_place=False, writes=False) == [("clean.onnx", None)]
    assert pairs(["-", "-"], None, in_place=False, writes=True) == [("/dev/stdin", "/dev/stdout")]
    with pytest.raises(UsageError, match="no output was named"):
        pairs(["a.onnx"], None, in_place=False, writes=True)


def test_reports_of_two_models_are_two_files(capsys: pytest.CaptureFixture[str]) -> None:
    """{name} of m/clean.onnx and of m-clean.onnx is one."""
    for name in ("m/clean.onnx", "m-clean.onnx"):
        shutil.copy("clean.onnx", name)
    assert cli.main(["m/clean.onnx", "m-clean.onnx", "--check", "--report", "{name}.json"]) == 2
    told = "error: --report m-clean.json would be written for m-clean.onnx, and is written for m/clean.onnx"
    assert told in capsys.readouterr().err
    assert not Path("m-clean.json").exists()
    for twice in ("clean.onnx", "./clean.onnx"):  # another name of the same model
        assert cli.main(["clean.onnx", "m/clean.onnx", twice, "--check", "--report", "{name}.json"]) == 0


def test_what_options_come_from_is_not_written_over(capsys: pytest.CaptureFixture[str]) -> None:
    text = '[tool.onnxgs-opt]\ntarget = "ort-cpu"\n'
    Path("pyproject.toml").write_text(text)
    assert cli.main(["clean.onnx", "out.onnx", "--save-plan", "pyproject.toml"]) == 2
    assert "and is read for the options" in capsys.readouterr().err
    assert (Path("pyproject.toml").read_text(), Path("out.onnx").exists()) == (text, False)


def test_a_model_is_not_written_over_before_it_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    """m/found.onnx goes to m/deep/found.onnx, which is a model too."""
    before = Path("m/deep/found.onnx").read_bytes()
    assert cli.main(["m/found.onnx", "./m/deep/found.onnx", "--output-dir", "m/deep", *FAST]) == 2
    assert "m/deep/found.onnx" in capsys.readouterr().err
    assert Path("m/deep/found.onnx").read_bytes() == before
