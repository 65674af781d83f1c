"""Files that are no models, and hostile names, through the command line: one line, exit 2, nothing written."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto

from onnxgs_opt import cli, optimize
from onnxgs_opt.errors import ModelError, UsageError
from onnxgs_opt.ir.files import check_data
from onnxgs_opt.options import FORMATS
from onnxgs_opt.runtime import memory
from tests.campaigns.reliability.corpus import seeds
from tests.campaigns.reliability.graphs import HOSTILE

WHOLE = seeds()["two-reads"]


def refused(tmp_path: Path, raw: bytes, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that the command says of a file that it refuses."""
    (tmp_path / "in.onnx").write_bytes(raw)
    assert cli.main([str(tmp_path / "in.onnx"), str(tmp_path / "out.onnx"), "--no-validate"]) == 2
    out, err = capsys.readouterr()
    first, second = err.splitlines()
    assert out == ""
    assert first.startswith("error: ")
    assert second.startswith("hint: ")
    assert [path.name for path in tmp_path.iterdir()] == ["in.onnx"]
    return first


@pytest.mark.parametrize("length", [0, 1, 2, 3, 8, 16, len(WHOLE) // 2, len(WHOLE) - 5, len(WHOLE) - 1])
def test_a_truncated_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], length: int) -> None:
    refused(tmp_path, WHOLE[:length], capsys)


def test_every_truncation(tmp_path: Path) -> None:
    """Each is refused, or is a model by itself: protobuf cannot tell when a whole last field is gone."""
    path = tmp_path / "in.onnx"
    accepted = 0
    for length in range(len(WHOLE)):
        path.write_bytes(WHOLE[:length])
        with contextlib.suppress(ModelError):
            optimize(path, validate=False, dry_run=True)
            accepted += 1
    assert accepted <= 2


@pytest.mark.parametrize("raw", [b"\x00" * 100, b"PK\x03\x04zip", b"\xff" * 50, b"not a model\n"])
def test_other_files(tmp_path: Path, capsys: pytest.CaptureFixture[str], raw: bytes) -> None:
    refused(tmp_path, raw, capsys)


@pytest.mark.parametrize("version", [0, -1, 99, 2**62])
def test_wrong_versions(tmp_path: Path, capsys: pytest.CaptureFixture[str], version: int) -> None:
    model = onnx.ModelProto.FromString(WHOLE)
    model.ir_version = version
    assert "IR version" in refused(tmp_path, model.SerializeToString(), capsys)
    model = onnx.ModelProto.FromString(WHOLE)
    model.opset_import[0].version = version
    assert "imports ONNX opset" in refused(tmp_path, model.SerializeToString(), capsys)


@pytest.mark.parametrize("location", ["../w.bin", "/etc/passwd", "a/../../b", "C:\\w.bin", "w\x00.bin", "missing.bin"])
def test_data_out_of_reach(tmp_path: Path, capsys: pytest.CaptureFixture[str], location: str) -> None:
    model = onnx.ModelProto.FromString(seeds()["initialisers"])
    weight = model.graph.initializer[0]
    weight.ClearField("float_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    line = refused(tmp_path, model.SerializeToString(), capsys)
    assert "outside the model's folder" in line or "does not exist" in line


@pytest.mark.parametrize("name", [name for name in HOSTILE if name != "onnxgs_site0"])
def test_names_steer_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Every node and tensor of a sampler has the hostile name, numbered; every format is written."""
    model = onnx.ModelProto.FromString(WHOLE)
    named: dict[str, str] = {}

    def renamed(old: str) -> str:
        return named.setdefault(old, f"{name}{len(named)}") if old else old

    graph = model.graph
    for node in graph.node:
        node.name = f"{name}node{node.output[0]}"
        node.input[:] = [renamed(n) for n in node.input]
        node.output[:] = [renamed(n) for n in node.output]
    for item in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        item.name = renamed(item.name)
    (tmp_path / "in.onnx").write_bytes(model.SerializeToString())
    reports = [tmp_path / f"r{ending}" for ending in (".json", ".md", ".sarif")]
    options = [word for path in reports for word in ("--report", str(path))]
    for format_ in FORMATS:
        arguments = [str(tmp_path / "in.onnx"), str(tmp_path / "out.onnx"), "--lowering", "merged-gather"]
        assert cli.main([*arguments, "--no-validate", "--format", format_, *options]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        texts = [out, *(path.read_text(encoding="utf-8") for path in reports)]
        assert all(c.isprintable() or c == "\n" for text in texts for c in text)
        if format_ == "github":
            assert not re.search("^::(?!notice file=|warning file=)", out, re.MULTILINE)


def test_a_check_that_does_not_fit_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The sites are checked all the same, and the model is written."""
    monkeypatch.setattr(memory, "free_bytes", lambda: 1 << 30)
    model = onnx.ModelProto.FromString(WHOLE)
    weight = TensorProto(name="big", data_type=TensorProto.FLOAT, dims=[1 << 16, 1 << 14])
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="big.bin")
    model.graph.initializer.append(weight)
    model.graph.node.append(onnx.helper.make_node("Identity", ["big"], ["also"]))
    model.graph.output.append(onnx.helper.make_tensor_value_info("also", TensorProto.FLOAT, None))
    with (tmp_path / "big.bin").open("wb") as file:
        file.truncate(4 << 30)
    (tmp_path / "in.onnx").write_bytes(model.SerializeToString())
    report = optimize(tmp_path / "in.onnx", tmp_path / "out.onnx", lowering="merged-gather").report
    assert report.status == "optimised"
    assert report.sites[0].error.max_abs == 0
    assert report.validation.status == "not-run"
    assert report.validation.reason is not None
    assert "needs about 8.0 GiB of memory, and 1.0 GiB is free" in report.validation.reason
    assert (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize(
    ("place", "differs"), [(None, False), (0, True), (5 << 20, True), (9 << 20, True), ((12 << 20) - 1, True)]
)
def test_data_is_the_same_when_its_bytes_are(tmp_path: Path, place: int | None, differs: bool) -> None:
    """Files of one size and time, with a hole before and after what they hold, and one byte apart or none."""
    for name in ("here", "there"):
        with (tmp_path / name).open("wb") as file:
            file.seek(9 << 20)
            file.write(b"weights")
            file.truncate(12 << 20)
    if place is not None:
        with (tmp_path / "there").open("r+b") as file:
            file.seek(place)
            file.write(b"X")
    for name in ("here", "there"):
        os.utime(tmp_path / name, (0, 0))
    with pytest.raises(UsageError, match="not the data file") if differs else contextlib.nullcontext():
        check_data(tmp_path / "here", tmp_path / "there")
