"""The mistakes that new users made, and the sentence that each gets: what is wrong, and what was probably meant."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxgs_opt import cli
from onnxgs_opt.files.foreign import what_else

MODELS = Path(__file__).parent / "fixtures/models"
STATIC, DYNAMIC = (MODELS / f"masked_interior.ts17.{kind}.onnx" for kind in ("st", "dyn"))
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1234\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    """The error and the hint, of a run that wrote nothing."""
    before = set(Path().iterdir())
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert (out, set(Path().iterdir())) == ("", before)
    error, hint = err.splitlines()
    return error.removeprefix("error: "), hint.removeprefix("hint: ")


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        ("--shape img=1,3,240,240", "sizes are written with an x between", "--shape img=1x3x240x240"),
        ("--shape img=1x3x8x9,grid=1x4x5x2", "names several inputs", "--shape img=1x3x8x9 --shape grid=1x4x5x2"),
        ("--shape img=1x3x24", "input 'img' has 4 dims, not 3", "a size for each dim of "),
        ("--shape img=2x4x24x40", "dim 1 of input 'img' is fixed at 3, not 4", "cannot be changed"),
        ("--shape image=1x3x24x40", "no input 'image'", "its inputs are img, grid"),
        ("--opset 99", "there is no opset 99 here", "the latest that onnx "),
        ("--target cuda", "'cuda' is not one of", "--target ort-cuda"),
        ("--format html", "'html' is not one of", "--report FILE.html writes it"),
        ("--format md", "'md' is not one of", "--format markdown"),
        ("--format xml", "'xml' is not one of", "one of text, json, markdown, sarif, github"),
        ("-o x.onnx", "No such option", "onnxgs-opt IN.onnx OUT.onnx"),
        ("--output x.onnx", "No such option", "onnxgs-opt IN.onnx OUT.onnx"),
    ],
)
def test_an_option_that_is_meant_otherwise(
    capsys: pytest.CaptureFixture[str], arguments: str, error: str, hint: str
) -> None:
    said = refusal(capsys, str(STATIC), "out.onnx", *arguments.split())
    assert error in said[0]
    assert hint in said[1]


def test_a_size_that_the_model_does_not_tell_is_a_question_mark(capsys: pytest.CaptureFixture[str]) -> None:
    model = onnx.load(DYNAMIC)
    model.graph.input[0].type.tensor_type.shape.dim[2].Clear()
    onnx.save(model, "in.onnx")
    _, hint = refusal(capsys, "in.onnx", "out.onnx", "--shape", "img=1x3x24")
    assert hint == "give a size for each dim of nx3x?xw"


@pytest.mark.parametrize("name", ["out.engine", "out.trt", "out.plan"])
def test_an_engine_is_an_option_of_its_own(capsys: pytest.CaptureFixture[str], name: str) -> None:
    error, hint = refusal(capsys, str(STATIC), name)
    assert error == f"OUT {name} would be an ONNX model, not an engine"
    assert f"did you mean --engine {name}" in hint


def write_zip(name: str, member: str) -> None:
    with zipfile.ZipFile(name, "w") as archive:
        archive.writestr(member, STATIC.read_bytes())


@pytest.mark.parametrize(
    ("raw", "error", "hint"),
    [
        (LFS, "in.onnx is a Git LFS pointer, not the model itself", "git lfs pull"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "in.onnx is a pickled PyTorch file", "torch.onnx.export"),
        (b"<!DOCTYPE html><html>", "in.onnx is a web page or XML, not a model", "download the model itself"),
        (b"\x1f\x8b\x08\0\0\0", "in.onnx is compressed with gzip", "gunzip"),
        (b"\x89HDF\r\n\x1a\n\0\0", "in.onnx is a Keras or HDF5 file", "tf2onnx"),
        (b"\x1c\0\0\0TFL3\x14\0", "in.onnx is a TensorFlow Lite model", "tf2onnx"),
        (b"\x1c\0\0\0ORTM\0\0", "in.onnx is a model in onnxruntime's own format", "name the .onnx file"),
        (b"ptrt\0\0", "in.onnx is a TensorRT engine", "name the .onnx file"),
    ],
)
def test_a_file_that_is_no_model(capsys: pytest.CaptureFixture[str], raw: bytes, error: str, hint: str) -> None:
    Path("in.onnx").write_bytes(raw)
    said = refusal(capsys, "in.onnx", "out.onnx")
    assert said[0] == error
    assert hint in said[1]


@pytest.mark.parametrize(
    ("name", "member", "error"),
    [("in.onnx.zip", "in.onnx", "is a zip archive"), ("in.pt", "in/data.pkl", "is a PyTorch file")],
)
def test_an_archive(capsys: pytest.CaptureFixture[str], name: str, member: str, error: str) -> None:
    write_zip(name, member)
    said = refusal(capsys, name, "out.onnx")
    assert said[0] == f"{name} {error}"
    assert "name the .onnx file" in said[1]


def test_a_model_is_nothing_else() -> None:
    assert what_else(STATIC.read_bytes()) is None


def write_inputs(kind: str) -> None:
    match kind:
        case "text":
            Path("in.npz").write_text("1 2 3\n")
        case "one array":
            with Path("in.npz").open("wb") as file:
                np.save(file, np.zeros(3))
        case "pickle":
            np.savez("in.npz", img=np.array([{}], object))
        case "half a file":
            np.savez("in.npz", img=np.zeros(99))
            Path("in.npz").write_bytes(Path("in.npz").read_bytes()[:200])


@pytest.mark.parametrize("kind", ["text", "one array", "pickle", "half a file"])
def test_inputs_that_are_no_arrays(capsys: pytest.CaptureFixture[str], kind: str) -> None:
    write_inputs(kind)
    error, hint = refusal(capsys, str(STATIC), "out.onnx", "--inputs", "in.npz")
    assert error == "cannot read inputs from 'in.npz': no .npz file of plain arrays"
    assert hint == "write one with numpy.savez('inputs.npz', img=..., grid=...)"


@pytest.mark.parametrize(
    ("shapes", "warned"),
    [
        (["img=2x3x24x40"], True),
        (["img=2x3x24x40", "grid=2x24x40x2"], False),
        ([], False),
    ],
)
def test_sizes_of_one_input_only(capsys: pytest.CaptureFixture[str], shapes: list[str], warned: bool) -> None:
    given = [word for shape in shapes for word in ("--shape", shape)]
    assert cli.main([str(DYNAMIC), "--dry-run", *given]) == 0
    expected = (
        "warning: --shape says nothing of grid: its sizes are chosen here, and the times are those of that choice\n"
    )
    assert capsys.readouterr().err == expected * warned


def test_a_name_ends_no_line_of_a_warning(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model = onnx.load(DYNAMIC)
    for node in model.graph.node:
        node.input[:] = ["grid\n::error::no" if name == "grid" else name for name in node.input]
    model.graph.input[1].name = "grid\n::error::no"
    onnx.save(model, tmp_path / "odd.onnx")
    assert cli.main([str(tmp_path / "odd.onnx"), "--dry-run", "--shape", "img=2x3x24x40"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: --shape says nothing of grid\\n::error::no: its sizes are chosen here")
