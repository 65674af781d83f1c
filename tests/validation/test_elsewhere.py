"""Checks in the target's own runtime: what it computes otherwise is refused for it, and the difference is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper, numpy_helper, parser

from onnxgs_opt import optimize
from onnxgs_opt.errors import RunError
from onnxgs_opt.lowering import Tolerance
from onnxgs_opt.report.rendering.words import verdict
from onnxgs_opt.runtime import RUNTIMES, Runtime
from onnxgs_opt.runtime.ort import OnnxRuntime, Session
from onnxgs_opt.runtime.timing import Feeds
from onnxgs_opt.samplers.view import Array
from onnxgs_opt.validation.elsewhere import check_elsewhere
from onnxgs_opt.validation.inputs import ModelInputs
from tests.fixtures.spellings import build, parse

MODELS = Path(__file__).parents[1] / "fixtures" / "models"
EXPORT = MODELS / "masked_interior.ts17.st.onnx"
DYNAMIC = MODELS / "masked_interior.ts17.dyn.onnx"
F32 = np.float32
SMALL = Tolerance(0, 1e-4, "")
HEAD = '<ir_version: 8, opset_import: ["": 17]> g (float[4] a) => (float[4] b) '


@dataclass(frozen=True)
class Halves(OnnxRuntime):
    """onnxruntime for inputs that are rounded to half precision where the model has an operator of this name."""

    name: str = "halves"
    where: str = ""

    def load(self, model: ModelProto, folder: Path | None = None, custom_ops: Sequence[str] = ()) -> Session:
        session = replace(OnnxRuntime("ort-cpu")).load(model, folder)
        short = any(node.op_type == self.where for node in model.graph.node)
        return _Short(session.raw) if short else session

    def unavailable(self) -> str | None:
        return None


class _Short(Session):
    def run(self, names: Sequence[str] | None, feeds: Feeds) -> list[Array]:
        return super().run(names, {name: value.astype(np.float16).astype(F32) for name, value in feeds.items()})


@pytest.fixture
def halves(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A target whose checks are made in it: `ort-cuda` stands for it, since a name has to be known."""
    monkeypatch.setitem(RUNTIMES, "ort-cuda", Halves("ort-cuda", where=request.param))
    return "ort-cuda"


@pytest.mark.parametrize("halves", ["Sum"], indirect=True)
def test_a_form_that_the_target_computes_otherwise_is_refused(halves: str) -> None:
    refused = optimize(EXPORT, lowering="row-gather", target=halves).report
    (site,) = refused.sites
    assert (site.lowering, refused.status) == ("keep", "checks-failed")
    assert site.reason.startswith("its check failed on ort-cuda: ")
    assert " instead of " in site.reason
    assert site.error.max_abs is not None
    assert site.error.max_abs > 1e-3
    other = optimize(EXPORT, lowering="grid-sample", target=halves).report
    assert other.status == "optimised"
    assert other.validation.target is not None
    assert verdict(other).endswith(f"on ort-cuda max |error| {other.validation.target.max_abs:.3g}")


@pytest.mark.parametrize("halves", ["Gather"], indirect=True)
def test_a_runtime_that_moves_the_exported_model_as_far_is_no_reason(halves: str) -> None:
    report = optimize(DYNAMIC, lowering="row-gather", target=halves, validate=True).report
    assert report.status == "optimised"


def model(text: str) -> ModelProto:
    return parser.parse_model(HEAD + text)


def run(runtime: Runtime, before: str, after: str) -> tuple[bool, tuple[float, float] | None, str]:
    given = ModelInputs({"a": np.array([1, 2.0004, -3, 0.1], F32)})
    found = check_elsewhere(runtime, (model(before), model(after)), given, SMALL)
    return found.is_right, found.off, found.words


def test_the_whole_model_may_be_as_far_off_as_the_exported_one_twice() -> None:
    once, thrice = "{ b = Neg (a) }", "{ c = Mul (a, a) d = Div (c, a) b = Neg (d) }"
    assert run(Halves(where="Mul"), thrice, once)[:2] == (True, None)
    right, off, words = run(Halves(where="Mul"), once, thrice)
    assert not right
    assert off is not None
    assert off[0] > 1e-4 > off[1]
    assert words == f"on halves the whole model is off by {off[0]:.3g} so, and by 0 as exported"
    assert run(Halves(where="Neg"), once, "{ b = Neg (a) }")[0]


def test_a_result_that_does_not_load_there_is_wrong() -> None:
    class Picky(Halves):
        def load(self, model: ModelProto, folder: Path | None = None, custom_ops: Sequence[str] = ()) -> Session:
            if model.graph.node[0].op_type == "Abs":
                raise RunError("there is no Abs")
            return super().load(model, folder)

    assert run(Picky(), "{ b = Neg (a) }", "{ c = Abs (a) b = Neg (a) }") == (
        False, None, "the result does not load on halves: there is no Abs"
    )  # fmt: skip


# -- in OpenVINO ------------------------------------------------------------------------------------

HERE = pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")


def is_short() -> bool:
    """Whether OpenVINO computes in bfloat16 here unless told otherwise."""
    if find_spec("openvino") is None:
        return False
    import openvino

    return str(openvino.Core().get_property("CPU", "INFERENCE_PRECISION_HINT")) != "<Type: 'float32'>"


SHORT = pytest.mark.skipif(not is_short(), reason="no processor on which OpenVINO computes in bfloat16")


def behind(last: str = "") -> ModelProto:
    """A sampler of any number of channels, before a convolution of their largest where that has a name."""
    found = build(parse("dims=dynamic"))
    if last:
        found.graph.initializer.append(numpy_helper.from_array(np.full((1, 1, 1, 1), 0.7, F32), "weight"))
        found.graph.node.append(helper.make_node("ReduceMax", ["sampled"], ["best"], axes=[1], keepdims=1))
        found.graph.node.append(helper.make_node("Conv", ["best", "weight"], [last]))
        found.graph.output[0].CopyFrom(helper.make_tensor_value_info(last, onnx.TensorProto.FLOAT, [None] * 4))
    return found


@HERE
@pytest.mark.parametrize("path", [EXPORT, DYNAMIC], ids=["static", "dynamic"])
def test_lowerings_are_run_in_it_at_every_size(path: Path) -> None:
    report = optimize(path, lowering="packed-gather" if path == EXPORT else "merged-gather", target="openvino").report
    assert report.status == "optimised"
    target = report.validation.target
    assert target is not None
    assert (target.runtime, target.reason, target.exported_max_abs) == ("openvino", None, None)
    assert target.max_abs is not None
    assert target.max_abs < 1e-5


@HERE
@SHORT
def test_a_matmul_in_short_floats_is_found_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RUNTIMES, "openvino", replace(RUNTIMES["openvino"], quirks=frozenset()))  # type: ignore[type-var]
    model = onnx.load(Path(__file__).parents[2] / "bench/models/1x64x135x240.onnx")
    (site,) = optimize(model, lowering="merged-gather", target="openvino").report.sites
    assert site.reason.startswith("its check failed on openvino: ")


@HERE
def test_a_model_that_computes_coordinates_in_short_floats_has_a_hazard() -> None:
    report = optimize(behind("convolved"), lowering="row-gather", target="openvino").report
    assert "GSO209" in {hazard.code for hazard in report.hazards}
    assert "GSO209" not in {hazard.code for hazard in optimize(behind("convolved"), dry_run=True).report.hazards}
    alone = optimize(behind(), dry_run=True, target="openvino").report
    assert "GSO209" not in {hazard.code for hazard in alone.hazards}
    if is_short():
        target = report.validation.target
        assert target is not None
        assert target.exported_max_abs is not None
        assert target.exported_max_abs > 0.1
