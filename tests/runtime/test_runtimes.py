"""Targets: what each says of itself, and that an engine of what the tuner times is built where a builder is.

`python -m pytest tests/runtime/test_runtimes.py -k on_a_gpu` is for a machine with a GPU and TensorRT.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from onnx import ModelProto

from onnxgs_opt import optimize
from onnxgs_opt.api import look
from onnxgs_opt.errors import OptError
from onnxgs_opt.job import load
from onnxgs_opt.runtime import RUNTIMES
from onnxgs_opt.runtime.tensorrt.cuda_driver import has_gpu
from onnxgs_opt.runtime.tensorrt.runtime import TensorRt
from onnxgs_opt.runtime.timing import Feeds, race, timed
from onnxgs_opt.tuning.trial import trial_of, with_shapes

MODELS = Path(__file__).parents[1] / "fixtures" / "models"
ENGINES = [runtime for runtime in RUNTIMES.values() if isinstance(runtime, TensorRt)]
HERE = [runtime for runtime in ENGINES if runtime.unavailable() is None]
RTX = pytest.mark.skipif(find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx-cu13 is not installed")
GPU = pytest.mark.skipif(not HERE, reason="no TensorRT runs here")


def trial(name: str) -> tuple[ModelProto, ModelProto, Feeds]:
    """A fixture's sampler as the tuner times it: as exported, and as row-gather."""
    graph, found = look(load(MODELS / name))
    (site,) = found.samplers
    shapes = {"img": (1, 3, 64, 64)} if ".dyn." in name else {}
    each = trial_of(graph, with_shapes(graph, shapes), site)
    cone = each.cone(graph)
    return cone, each.lowered(graph, cone, "row-gather"), each.feeds(cone, 0)


def test_a_runtime_is_found_by_its_name() -> None:
    assert [runtime.name for runtime in RUNTIMES.values()] == list(RUNTIMES)


@pytest.mark.parametrize("runtime", ENGINES, ids=lambda r: r.name)
def test_what_is_missing_is_said(runtime: TensorRt) -> None:
    if not has_gpu():
        assert str(runtime.unavailable()).endswith(("is none here", "pip install tensorrt"))
        cone, _, feeds = trial("masked_interior.ts17.st.onnx")
        with pytest.raises(OptError, match=r"GPU|not installed|driver"):
            runtime.prepare(cone, feeds)


def test_a_target_that_cannot_run_here_goes_by_the_record() -> None:
    if HERE:
        pytest.skip("TensorRT runs here")
    model = MODELS.parents[2] / "bench/models/1x64x135x240.onnx"
    (site,) = optimize(model, target="tensorrt", validate=False).report.sites
    assert "TensorRT 8.6.0 on NVIDIA H200" in site.reason
    assert site.measurements == ()


@RTX
@pytest.mark.parametrize("name", ["masked_interior.ts17.st.onnx", "masked_interior.ts17.dyn.onnx"])
def test_an_engine_of_the_trial_is_built(name: str) -> None:
    cone, lowered, feeds = trial(name)
    for model in (cone, lowered):
        assert len(TensorRt("tensorrt-rtx", frozenset()).plan(model, feeds, capabilities=("8.9",))) > 1000


def test_a_call_that_knows_its_time_is_believed() -> None:
    class Engine:
        def __init__(self, seconds: float) -> None:
            self.each = seconds

        def __call__(self) -> None:
            pass

        def seconds(self, calls: int) -> float:
            return self.each

    assert timed(Engine(3.0), 5) == 3.0
    assert race({"a": Engine(2.0), "b": Engine(1.0)}, 0.0).ratio("a", "b") == 2.0


@GPU
@pytest.mark.parametrize("runtime", HERE, ids=lambda r: r.name)
def test_the_tuner_times_engines_on_a_gpu(runtime: TensorRt, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = replace(runtime, external_tactics=False)  # they need libraries that TensorRT comes without
    monkeypatch.setitem(RUNTIMES, runtime.name, runtime)
    cone, lowered, feeds = trial("masked_interior.ts17.dyn.onnx")
    calls = {"keep": runtime.prepare(cone, feeds), "row-gather": runtime.prepare(lowered, feeds)}
    seconds = race(calls, 0.5).seconds
    assert all(1e-7 < each < 1e-2 for values in seconds.values() for each in values)
    shapes = {"img": (1, 64, 270, 480), "grid": (1, 270, 480, 2)}
    (site,) = optimize(MODELS / "masked_interior.ts17.dyn.onnx", target=runtime.name, shapes=shapes).report.sites
    assert {row.status for row in site.measurements} >= {"ok"}
    assert f"on {runtime.name}" in site.reason
