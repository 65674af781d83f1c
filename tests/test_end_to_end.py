"""The command line on real exports and on broken files: what is written, and that failures write nothing."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from onnxgs_opt import cli, options
from onnxgs_opt.report.model import schema

MODELS = Path(__file__).parent / "fixtures" / "models"
STATIC = "masked_interior.ts17.st.onnx"
DYNAMIC = "masked_interior.ts17.dyn.onnx"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A real export in a folder of its own."""
    return Path(shutil.copy(MODELS / DYNAMIC, tmp_path / "in.onnx"))


def run(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def report_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    """The JSON report of a run, checked against the schema and the exit code."""
    code = run(*arguments, "--format", "json")
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, schema(), jsonschema.Draft202012Validator)
    assert document["exit_code"] == code
    return document


def test_optimise_a_real_export(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = source.read_bytes()
    out = source.with_name("out.onnx")
    document = report_of(capsys, source, out, "--lowering", "merged-gather")
    assert (document["status"], document["exit_code"]) == ("optimised", 0)
    assert (document["input"], document["output"]) == (str(source), str(out))
    [site] = document["sites"]
    assert (site["rule"], site["image"], site["read_op"], len(site["reads"])) == (
        "GSO001",
        "img",
        "Gather",
        4,
    )
    assert (site["policy"]["border"], site["policy"]["coordinates"]) == ("interior", "pixel")
    assert document["validation"]["status"] == "ok"
    assert len(document["validation"]["shapes"]) > 1
    assert source.read_bytes() == before
    assert contents(source.parent).keys() == {"in.onnx", "out.onnx"}
    onnx.checker.check_model(onnx.load(out), full_check=True)


def test_text_ends_with_passed(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(source, source.with_name("out.onnx")) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines()[-1].startswith("onnxgs-opt: PASSED 1 site lowered; validated over ")


@pytest.mark.parametrize("lowering", ["merged-gather", "plugin"])
def test_a_second_run_finds_nothing_to_do(source: Path, capsys: pytest.CaptureFixture[str], lowering: str) -> None:
    once, twice = source.with_name("once.onnx"), source.with_name("twice.onnx")
    assert run(source, "--check", "--lowering", lowering) == 1
    assert run(source, once, "--lowering", lowering) == 0
    capsys.readouterr()
    assert run(once, "--check") == 0
    capsys.readouterr()
    assert report_of(capsys, once, twice)["status"] == "nothing-to-do"


def test_input_may_be_the_output(source: Path) -> None:
    before = source.read_bytes()
    assert run(source, source) == 0
    assert source.read_bytes() != before
    assert run(source, "--check") == 0


@pytest.mark.parametrize("option", ["--dry-run", "--check"])
def test_looking_writes_nothing(source: Path, capsys: pytest.CaptureFixture[str], option: str) -> None:
    before = contents(source.parent)
    document = report_of(capsys, source, source.with_name("out.onnx"), option)
    assert document["output"] is None
    assert len(document["sites"]) == 1
    assert contents(source.parent) == before


def test_too_few_matches_write_nothing(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(source.parent)
    document = report_of(capsys, source, source.with_name("out.onnx"), "--require-match", 2)
    assert (document["status"], document["exit_code"]) == ("too-few", 1)
    assert contents(source.parent) == before


def test_keep_leaves_the_reads(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = report_of(capsys, source, source.with_name("out.onnx"), "--lowering", "keep")
    assert [site["lowering"] for site in document["sites"]] == ["keep"]
    assert document["reads"] == {"before": 4, "after": 4}


def test_a_refused_lowering_is_reported_and_the_site_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = report_of(
        capsys, MODELS / "masked_interior.ts13.st.onnx", tmp_path / "out.onnx", "--lowering", "grid-sample"
    )
    [site] = document["sites"]
    assert site["lowering"] == "keep"
    assert "opset" in site["refusals"]["grid-sample"]


def test_a_model_is_converted_up_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = Path(shutil.copy(MODELS / "masked_interior.ts11.st.onnx", tmp_path / "in.onnx"))
    out = tmp_path / "out.onnx"
    document = report_of(capsys, source, out, "--lowering", "grid-sample", "--opset", 16)
    assert (document["status"], document["validation"]["status"]) == ("optimised", "ok")
    assert sum(node.op_type == "GridSample" for node in onnx.load(out).graph.node) == 1


def test_shape_and_inputs_reach_the_validation(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = source.with_name("out.onnx")
    shapes = ("--shape", "img=1x3x33x17", "--shape", "grid=1x5x4x2")
    document = report_of(capsys, source, out, "--lowering", "merged-gather", *shapes)
    assert {"img": [1, 3, 33, 17], "grid": [1, 5, 4, 2]} in document["validation"]["shapes"]
    inputs = source.with_name("real.npz")
    rng = np.random.default_rng(0)
    grid = rng.uniform(-2, 20, (1, 6, 7, 2)).astype(np.float32)
    np.savez(inputs, img=rng.standard_normal((1, 3, 12, 18), np.float32), grid=grid)
    document = report_of(capsys, source, out, "--lowering", "merged-gather", "--inputs", inputs)
    assert {"img": [1, 3, 12, 18], "grid": [1, 6, 7, 2]} in document["validation"]["shapes"]


def test_no_validate_says_so(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(source, source.with_name("out.onnx"), "--no-validate", "--lowering", "merged-gather") == 0
    assert "not validated" in capsys.readouterr().out.splitlines()[-1]


def truncated(path: Path) -> None:
    path.write_bytes((MODELS / STATIC).read_bytes()[:5000])


def no_onnx(path: Path) -> None:
    path.write_text("this is a text about models\n", encoding="utf-8")


def empty(path: Path) -> None:
    path.touch()


def folder(path: Path) -> None:
    path.mkdir()


def absent(path: Path) -> None:
    assert not path.exists()


def save(path: Path, *nodes: onnx.NodeProto) -> None:
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "y")]
    graph = helper.make_graph(list(nodes), "g", value[:1], value[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def dangling_input(path: Path) -> None:
    save(path, helper.make_node("Add", ["x", "nowhere"], ["y"], name="add"))


def circle(path: Path) -> None:
    save(
        path,
        helper.make_node("Add", ["x", "b"], ["a"], name="first"),
        helper.make_node("Neg", ["a"], ["b"], name="second"),
        helper.make_node("Neg", ["b"], ["y"], name="third"),
    )


BROKEN = [truncated, no_onnx, empty, folder, absent, dangling_input, circle]


@pytest.mark.parametrize("make", BROKEN, ids=[make.__name__ for make in BROKEN])
def test_a_broken_model_is_one_line_and_a_hint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Callable[[Path], None]
) -> None:
    source, out = tmp_path / "in.onnx", tmp_path / "out.onnx"
    make(source)
    out.write_bytes(b"what was there before")
    before = contents(tmp_path)
    assert run(source, out) == 2
    stdout, stderr = capsys.readouterr()
    first, second = stderr.splitlines()
    assert stdout == ""
    assert first.startswith("error: ")
    assert second.startswith("hint: ")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("place", ["absent/out.onnx", "in.onnx/out.onnx", "taken"])
def test_an_unwritable_output_is_one_line_and_a_hint(
    source: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    source.with_name("taken").mkdir()
    before = contents(source.parent)
    assert run(source, source.parent / place) == 2
    stdout, stderr = capsys.readouterr()
    first, second = stderr.splitlines()
    assert (stdout, first[:7], second[:6]) == ("", "error: ", "hint: ")
    assert contents(source.parent) == before


@pytest.mark.parametrize("arrays", [{"img": (1, 3, 12, 18)}, {"img": (1, 3, 12, 18), "grid": (5,)}])
def test_inputs_that_do_not_fit_are_refused(
    source: Path, capsys: pytest.CaptureFixture[str], arrays: dict[str, tuple[int, ...]]
) -> None:
    inputs = source.with_name("real.npz")
    filled: dict[str, Any] = {name: np.zeros(shape, np.float32) for name, shape in arrays.items()}
    np.savez(inputs, **filled)
    before = contents(source.parent)
    assert run(source, source.with_name("out.onnx"), "--inputs", inputs) == 2
    assert capsys.readouterr().err.splitlines()[0].startswith("error: ")
    assert contents(source.parent) == before


@pytest.mark.parametrize(
    ("kind", "code", "said"),
    [
        (np.float64, 2, "error: --inputs: input 'img' is of float32, not float64"),
        (np.int64, 2, "error: --inputs: input 'img' is of float32, not int64"),
        (">f4", 0, ""),
    ],
)
def test_inputs_of_another_type_are_refused(
    source: Path, capsys: pytest.CaptureFixture[str], kind: Any, code: int, said: str
) -> None:
    """onnxruntime does not run on doubles for floats: the whole model would be left unchecked, and the exit code 0."""
    inputs = source.with_name("real.npz")
    np.savez(inputs, img=np.ones((1, 3, 12, 18), kind), grid=np.ones((1, 6, 7, 2), kind))
    assert run(source, source.with_name("out.onnx"), "--lowering", "merged-gather", "--inputs", inputs) == code
    captured = capsys.readouterr()
    assert captured.err.startswith(said)
    assert code or "validated over 1 shape" in captured.out


def test_inputs_that_are_no_npz_are_refused(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(source, source.with_name("out.onnx"), "--inputs", source) == 2
    assert capsys.readouterr().err.splitlines()[0].startswith("error: ")
    assert contents(source.parent).keys() == {"in.onnx"}


def test_an_input_that_the_model_lacks_is_refused(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(source, source.with_name("out.onnx"), "--shape", "image=1x3x4x4") == 2
    assert "image" in capsys.readouterr().err.splitlines()[0]
    assert contents(source.parent).keys() == {"in.onnx"}


def test_the_transcript_of_the_readme_is_true(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = Path(__file__).parent.parent
    readme = (repository / "README.md").read_text(encoding="utf-8")
    prompt, *expected = readme.split("```console\n")[1].split("```")[0].splitlines()
    program, model, out, *flags = prompt.removeprefix("$ ").split()
    shutil.copytree(MODELS, tmp_path / Path(model).parent)
    (tmp_path / out).parent.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    # What is timed differs from machine to machine and must not decide a test.
    monkeypatch.setattr("onnxgs_opt.tuning.decide.Tuner.tune", lambda self, sites, choices: (dict(choices), {}))
    monkeypatch.setattr("onnxgs_opt.report.verdict._race", lambda *rest: None)
    assert program == "onnxgs-opt"
    assert run(model, out, *flags) == 0
    printed = capsys.readouterr().out.splitlines()
    assert timeless(printed) == timeless(expected)


def timeless(lines: list[str]) -> list[str]:
    """What does not depend on the machine: it chooses the lowering, and with it how many nodes and reads are left."""
    kept = [line for line in lines if line.startswith(("site", "  ", "nodes", "onnxgs-opt:")) and "ms, " not in line]
    chosen = re.compile(r"(?<= 4 Gather -> ).*|(?<=max \|error\| )[0-9.e-]+|(?<=^nodes      234).*")
    return [chosen.sub("", line) for line in kept]


def test_choices_are_the_registry() -> None:
    from onnxgs_opt.lowering import LOWERINGS
    from onnxgs_opt.report.rendering import FORMATS
    from onnxgs_opt.runtime import RUNTIMES

    assert tuple(LOWERINGS) == options.LOWERINGS
    assert tuple(RUNTIMES) == options.TARGETS
    assert ("text", *FORMATS) == options.FORMATS
