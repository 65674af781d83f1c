"""Real engines, built without a GPU by TensorRT-RTX, and what is said where they cannot be."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper

from onnxgs_opt import cli
from onnxgs_opt.api import optimize
from onnxgs_opt.errors import EngineError, UsageError
from onnxgs_opt.runtime.tensorrt import build as engine
from onnxgs_opt.runtime.tensorrt.build import EngineOptions, Profile, build_engine
from onnxgs_opt.runtime.tensorrt.nvrtc import compile_source
from onnxgs_opt.runtime.tensorrt.plugin_build import PluginBuild, build_plugin, find_headers, find_nvcc, sources
from onnxgs_opt.runtime.tensorrt.prepare import for_engine
from onnxgs_opt.runtime.tensorrt.python_plugin import compile_kernel
from onnxgs_opt.runtime.tensorrt.session import error_logger
from tests.fixtures.kernels import Spelling, build

MODELS = Path(__file__).parents[2] / "fixtures" / "models"
RTX = pytest.mark.skipif(find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx-cu13 is not installed")


def has_nvrtc() -> bool:
    try:
        compile_source("", ("--gpu-architecture=sm_75",))
    except UsageError:
        return False
    return True


NVRTC = pytest.mark.skipif(not has_nvrtc(), reason="nvidia-cuda-nvrtc is not installed")
GPUS = ("8.9",)
STATIC = sorted(MODELS.glob("*.st.onnx"))
DYNAMIC = sorted(MODELS.glob("*.dyn.onnx"))


def profiles(model: ModelProto) -> dict[str, Profile]:
    """Shapes for the fixtures' inputs, for those that are dynamic."""
    sizes = {
        "img": ((1, 3, 8, 8), (2, 3, 24, 40), (4, 3, 64, 64)),
        "grid": ((1, 2, 2, 2), (2, 9, 11, 2), (4, 64, 64, 2)),
    }
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.input}
    return {
        name: Profile(*(tuple(own or size for own, size in zip(shapes[name], wanted, strict=True)) for wanted in three))
        for name, three in sizes.items()
        if 0 in shapes.get(name, [1])
    }


def lowered(path: Path, name: str) -> ModelProto:
    result = optimize(path, lowering=name, validate=False, atol=1e-3, rtol=1e-3)
    return onnx.load(path) if result.graph is None else result.model


@RTX
def test_a_dynamic_engine_takes_a_range_of_shapes(tmp_path: Path) -> None:
    model = lowered(DYNAMIC[0], "plugin")
    options = EngineOptions(profiles=profiles(model), capabilities=GPUS, python_plugin=True)
    built = build_engine(model, DYNAMIC[0], tmp_path / "out.engine", options)
    assert built.path.stat().st_size > 1000
    assert [layer.type for layer in built.layers].count("PLUGIN_V3") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["out.engine"]


@RTX
def test_the_command_builds_an_engine_and_reports_it(tmp_path: Path) -> None:
    source, out, report = STATIC[0], tmp_path / "out.onnx", tmp_path / "report.json"
    flags = ["--engine", str(tmp_path / "out.engine"), "--compute-capability", "8.9", "--report", str(report), "-q"]
    assert cli.main([str(source), str(out), "--lowering", "merged-gather", *flags]) == 0
    record = json.loads(report.read_text())["engine"]
    assert record["backend"] == "tensorrt-rtx"
    assert record["layers"] == len(record["network"]) > 5
    assert record["flags"] == ["compute capability 8.9", "strongly typed"]


@RTX
def test_a_plugin_model_needs_its_library(tmp_path: Path) -> None:
    model = lowered(STATIC[0], "plugin")
    with pytest.raises(UsageError, match="no plugin library was named") as caught:
        build_engine(model, STATIC[0], tmp_path / "out.engine", EngineOptions(capabilities=GPUS))
    assert "onnxgs-plugin build" in caught.value.hint
    assert not list(tmp_path.iterdir())


@RTX
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (EngineOptions(capabilities=("3.5",)), UsageError, "does not know compute capability 3.5"),
        (EngineOptions(capabilities=GPUS, precisions=("fp16",)), UsageError, "has no --fp16"),
        (EngineOptions(capabilities=GPUS, library=Path("no.so")), UsageError, "no plugin library at no.so"),
        (EngineOptions(capabilities=GPUS, library=Path(__file__)), EngineError, "cannot load the plugin library"),
    ],
    ids=["capability", "fp16", "no library", "not a library"],
)
def test_what_cannot_be_built_says_why(
    options: EngineOptions, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        build_engine(lowered(STATIC[0], "merged-gather"), STATIC[0], tmp_path / "out.engine", options)
    assert not list(tmp_path.iterdir())


@RTX
def test_a_dynamic_input_needs_a_shape(tmp_path: Path) -> None:
    model = lowered(DYNAMIC[0], "merged-gather")
    with pytest.raises(UsageError, match="input 'img' has dynamic dims") as caught:
        build_engine(model, DYNAMIC[0], tmp_path / "out.engine", EngineOptions(capabilities=GPUS))
    assert "--shape img=" in caught.value.hint


@RTX
def test_the_plugin_in_python_computes_one_operator_alone(tmp_path: Path) -> None:
    model = optimize(build(Spelling("nearest")), lowering="plugin", validate=False).model
    options = EngineOptions(capabilities=GPUS, python_plugin=True)
    with pytest.raises(UsageError, match="computes BilinearSample alone, and the model has NearestSample") as caught:
        build_engine(model, tmp_path / "x.onnx", tmp_path / "out.engine", options)
    assert "onnxgs-plugin build" in caught.value.hint


@RTX
def test_a_node_that_the_parser_refuses_is_named(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3])
    node = helper.make_node("NoSuchOp", ["x"], ["y"], name="culprit", domain="elsewhere")
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("elsewhere", 1)]
    model = helper.make_model(helper.make_graph([node], "g", [value], [out]), opset_imports=opsets, ir_version=8)
    with pytest.raises(EngineError, match=r"node 'culprit' \(NoSuchOp\)"):
        build_engine(model, tmp_path / "x.onnx", tmp_path / "out.engine", EngineOptions(capabilities=GPUS))


def test_no_builder_is_a_usage_error_that_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "installed", tuple)
    with pytest.raises(UsageError) as caught:
        engine.choose_backend(None)
    assert "pip install tensorrt" in caught.value.hint
    with pytest.raises(UsageError, match="tensorrt-rtx is not installed") as caught:
        engine.choose_backend("tensorrt-rtx")
    assert caught.value.hint == "pip install tensorrt-rtx-cu13"


def test_engine_options_alone_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main([str(STATIC[0]), str(tmp_path / "out.onnx"), "--fp16"]) == 2
    assert "--fp16 needs --engine FILE" in capsys.readouterr().err


def test_shape_bounds_are_spelt_out_for_old_parsers() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["middle"], start=1, end=3),
        helper.make_node("Shape", ["x"], ["tail"], start=-1),
        helper.make_node("Shape", ["x"], ["whole"]),
    ]
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["a", "b", "c", "d"])
    outputs = [helper.make_tensor_value_info(n, TensorProto.INT64, [None]) for n in ("middle", "tail", "whole")]
    graph = helper.make_graph(nodes, "g", [value], outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    changed, plugins = for_engine(model)
    assert plugins == 0
    assert not [a for node in changed.graph.node for a in node.attribute]
    session = onnxruntime.InferenceSession(changed.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {"x": np.zeros((2, 3, 4, 5), np.float32)})
    assert [v.tolist() for v in found] == [[3, 4], [5], [2, 3, 4, 5]]


# -- the plugin -----------------------------------------------------------------------------------------


@NVRTC
@pytest.mark.parametrize(
    ("capability", "element"),
    [
        *zip(
            [(7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0)], cycle(("float", "onnxgs::half_t")), strict=False
        )
    ],
    ids=str,
)
def test_the_kernels_compile_for_every_generation(capability: tuple[int, int], element: str) -> None:
    """The plugin's own for one type of elements in turn, those of the native operator for both."""
    code, symbol = compile_kernel(capability, element)
    assert code[:4] == b"\x7fELF"
    assert "sample_plainly" in symbol
    names = [
        f"onnxgs::{kernel.format(each)}"
        for each in ("float", "onnxgs::half_t")
        for kernel in ("sample_plane<{}, 0, 2>", "sample_planes<{}, 0, 1, 4>", "sample_rows<{}, 2, true>",
                       "copy_to_rows<{}>", "sample_copied_rows<{}, 1>")
    ]  # fmt: skip
    source = (sources() / "bilinear_sample.cuh").read_text()
    options = (f"--gpu-architecture=sm_{capability[0]}{capability[1]}", "--std=c++17")
    assert len(compile_source(source, options, names)[1]) == len(names)


def test_what_a_library_needs_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"NvInfer\.h was not found") as caught:
        find_headers(tmp_path)
    assert "--tensorrt-root" in caught.value.hint
    with pytest.raises(UsageError, match="there is no nvcc at"):
        find_nvcc(tmp_path / "nvcc")


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
def test_what_nvcc_says_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "NvInfer.h").write_text("#error not the header of any TensorRT\n")
    (tmp_path / "NvInferVersion.h").write_text("#define NV_TENSORRT_MAJOR 10\n")
    with pytest.raises(EngineError, match=r"nvcc: .*error"):
        build_plugin(PluginBuild(tmp_path / "plugin.so", tmp_path, capabilities=("90",)))
    assert not list(tmp_path.glob("*.so"))


def test_the_plugin_command_says_where_its_sources_are() -> None:
    command = [sys.executable, "-m", "onnxgs_opt.plugin_cli", "sources"]
    folder = Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
    assert {"plugin.cu", "bilinear_sample.cuh", "taps.cuh", "CMakeLists.txt"} <= {p.name for p in folder.iterdir()}


class Registry:
    """What TensorRT's registry is asked for: a library that it does not have yet."""

    def __init__(self) -> None:
        self.loaded: list[str] = []

    def get_plugin_registry(self) -> Registry:
        return self

    def get_creator(self, name: str, version: str, domain: str) -> None:
        return None

    def load_library(self, path: str) -> str:
        self.loaded.append(path)
        return path


def test_a_library_is_loaded_from_the_folder_that_it_is_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    registry = Registry()
    engine.load_library(registry, Path("lib.so"))
    assert registry.loaded == [str(tmp_path / "lib.so")]


@RTX
def test_tactic_sources_are_those_of_the_builder(tmp_path: Path) -> None:
    model, options = onnx.load(STATIC[0]), EngineOptions(capabilities=GPUS, tactics=("-JIT_CONVOLUTIONS",))
    built = build_engine(model, STATIC[0], tmp_path / "out.engine", options)
    assert "tactics -JIT_CONVOLUTIONS" in built.flags
    with pytest.raises(UsageError, match="no source of tactics -CUDNN") as caught:
        build_engine(model, STATIC[0], tmp_path / "out.engine", replace(options, tactics=("-CUDNN",)))
    assert "JIT_CONVOLUTIONS" in caught.value.hint


@RTX
def test_stdout_carries_no_word_of_tensorrt(capfd: pytest.CaptureFixture[str]) -> None:
    import tensorrt_rtx as trt

    assert trt.Runtime(error_logger(trt)).deserialize_cuda_engine(b"no engine") is None
    out, err = capfd.readouterr()
    assert out == ""
    assert "TensorRT: " in err
