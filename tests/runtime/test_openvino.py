"""OpenVINO as a target: what it loads, computes and refuses; and models as files, as it reads them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper, parser

from onnxgs_opt import cli, optimize
from onnxgs_opt.errors import RunError
from onnxgs_opt.runtime import runtime_of
from onnxgs_opt.runtime.as_file import as_file
from onnxgs_opt.runtime.openvino import OpenVino

MODELS = Path(__file__).parents[1] / "fixtures" / "models"
EXPORT = MODELS / "masked_interior.ts17.st.onnx"
HERE = pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")
HEAD = '<ir_version: 8, opset_import: ["": 17]> '
F32 = np.float32


@HERE
@pytest.mark.parametrize(
    ("text", "feeds", "results"),
    [
        ("g (float[2] a) => (float[2] b, bool[2] c) { b = Add (a, a) c = Less (b, a) }",
         {"a": np.array([1, -2], F32), "not an input": np.zeros(1, F32)},
         [np.array([2, -4], F32), np.array([False, True])]),
        ("g (double[n] a, int64[n] k) => (double[n] b, int64[n] l) { b = Add (a, a) l = Mul (k, k) }",
         {"a": np.array([1 + 2**-40]), "k": np.array([2**40])}, [np.array([2 + 2**-39]), np.array([2**80 % 2**64])]),
        ("g (float[2, 0] a, float unused) => (float[2, 0] b) { b = Neg (a) }",
         {"a": np.zeros((2, 0), F32), "unused": np.array(0, F32)}, [np.zeros((2, 0), F32)]),
    ],
)  # fmt: skip
def test_it_computes_as_onnx_says(text: str, feeds: dict[str, np.ndarray], results: list[np.ndarray]) -> None:
    loaded = OpenVino().load(parser.parse_model(HEAD + text))
    for found, expected in zip(loaded.run(None, feeds), results, strict=True):
        assert found.dtype == expected.dtype
        if found.dtype != np.float64:  # its CPU has no doubles: they are computed as floats
            np.testing.assert_array_equal(found, expected)
    last = list(loaded.outputs.types)[-1]
    np.testing.assert_array_equal(loaded.run([last], feeds)[0], results[-1])
    OpenVino().prepare(parser.parse_model(HEAD + text), feeds)()


@HERE
def test_inputs_stay_where_they_are_whatever_is_allocated_since() -> None:
    ones = np.ones((1 << 11, 1 << 11), F32)
    call = OpenVino().prepare(
        parser.parse_model(HEAD + "g (float[n, m] a) => (float[n, m] b) { b = Neg (a) }"), {"a": ones.T}
    )
    others = [np.full_like(ones, 7.0) for _ in range(4)]
    (found,) = call()
    assert (found.data.min(), found.data.max()) == (-1, -1)
    assert len(others) == 4


@HERE
def test_what_it_refuses_is_one_line_without_its_source() -> None:
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17, "x": 1]> g (float[2] a) => (float[2] b) {b=x.F(a)}'
    )
    with pytest.raises(RunError) as refused:
        OpenVino().load(model)
    assert str(refused.value).startswith(
        "Model wasn't fully converted. -- No conversion rule found for operations: x.F"
    )
    assert ".cpp" not in str(refused.value)
    loaded = OpenVino().load(parser.parse_model(HEAD + "g (float[2] a) => (float[2] b) { b = Neg (a) }"))
    with pytest.raises(RunError, match="shape"):
        loaded.run(None, {"a": np.zeros(3, F32)})
    with pytest.raises(RunError, match="nothing is given for its input 'a'"):
        loaded.run(None, {"b": np.zeros(2, F32)})


@HERE
def test_devices() -> None:
    assert OpenVino().unavailable() is None
    assert runtime_of("openvino:CPU").unavailable() is None
    assert runtime_of("openvino:CPU").device() == runtime_of("openvino").device()
    assert str(runtime_of("openvino:TPU").unavailable()).startswith("OpenVINO finds no device TPU here, only CPU")
    assert OpenVino().version().startswith("openvino 20")


def test_a_device_is_named_where_there_may_be_several(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([str(EXPORT), str(tmp_path / "out.onnx"), "--target", "openvino:TPU"]) == 0
    assert "nothing is recorded for openvino:TPU" in capsys.readouterr().out
    assert cli.main([str(EXPORT), str(tmp_path / "out.onnx"), "--target", "ort-cpu:1"]) == 2
    assert "'ort-cpu:1' is not one of" in capsys.readouterr().err


@pytest.mark.parametrize("lowering", ["blocked-gather", "merged-gather", "plugin"])
def test_forms_that_it_computes_otherwise_or_does_not_load_are_refused(lowering: str) -> None:
    model = onnx.load(Path(__file__).parents[2] / "bench/models/4x256x64x64.onnx")
    (site,) = optimize(model, dry_run=True, target="openvino", lowering=lowering).report.sites
    assert site.reason.startswith(f"{lowering} refused: ")
    assert optimize(model, dry_run=True, lowering=lowering).report.sites[0].lowering == lowering


def test_weights_in_other_files_are_found(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    weight = numpy_helper.from_array(np.array([3, 4], F32), "w")
    (tmp_path / "deep" / "w.bin").write_bytes(weight.raw_data)
    model = parser.parse_model(HEAD + "g (float[2] a) => (float[2] b) { b = Mul (a, w) }")
    other = model.graph.initializer.add(name="w", data_type=TensorProto.FLOAT, dims=[2])
    other.data_location = TensorProto.EXTERNAL
    other.external_data.add(key="location", value="deep/w.bin")
    with as_file(model, tmp_path) as path:
        assert onnx.load(path, load_external_data=False) == model
        assert (path.parent / "deep" / "w.bin").read_bytes() == weight.raw_data
    assert not path.parent.exists()
    assert (tmp_path / "deep" / "w.bin").exists()
    if find_spec("openvino") is not None:
        (found,) = OpenVino().load(model, tmp_path).run(None, {"a": np.array([1, 2], F32)})
        assert found.tolist() == [3, 8]
