"""MNN as a target: what it loads, computes and refuses, and that it says nothing on standard output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import parser
from onnx.reference import ReferenceEvaluator

from onnxgs_opt import optimize
from onnxgs_opt.errors import RunError
from onnxgs_opt.runtime import RUNTIMES, Quirk
from onnxgs_opt.runtime.mnn import Mnn

EXPORT = Path(__file__).parents[1] / "fixtures/models/masked_interior.ts17.dyn.onnx"
NORMALISED = EXPORT.with_name("masked_interior_normalized.ts17.dyn.onnx")
HEAD = '<ir_version: 8, opset_import: ["": 17, "x": 1]> '
F32 = np.float32
pytestmark = pytest.mark.skipif(find_spec("MNN") is None, reason="MNN is not installed")


def run(text: str, **feeds: np.ndarray) -> list[np.ndarray]:
    return Mnn().load(parser.parse_model(HEAD + text)).run(None, feeds)


def test_it_computes_as_onnx_says_in_the_types_of_the_model() -> None:
    head = "g (float[2] a, int64[n] k) => (float[2] b, bool[2] c, int64[n] l) "
    found = run(head + "{b = Add (a, a) c = Greater (b, a) l = Mul (k, k)}", a=np.array([1, -2], F32), k=np.arange(3))
    for value, expected in zip(found, ([2, -4], [True, False], [0, 1, 4]), strict=True):
        assert value.tolist() == expected
    assert [value.dtype for value in found] == [np.dtype(t) for t in ("float32", "bool", "int64")]
    (scaled,) = run("g (float k, float[2] a) => (float[2] l) { l = Mul (k, a) }", k=np.array(3, F32), a=np.ones(2, F32))
    assert scaled.tolist() == [3, 3]


def test_zeros_are_two_numbers_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The words of docs/runtimes.md; where that is mended, masked pixel coordinates have every lowering again."""
    head = "g (float[3] a, float[3] z) => (bool[3] e, bool[3] l, bool[3] g) "
    body = "{e = Equal (a, z) l = Less (a, z) g = GreaterOrEqual (a, z)}"
    equal, less, not_less = run(head + body, a=np.array([0.0, -0.0, 1.0], F32), z=np.zeros(3, F32))
    assert (equal.tolist(), less.tolist()) == ([True, False, False], [False, True, False])
    assert not_less.all()
    site = optimize(EXPORT, target="mnn", lowering="row-gather", measure=False).report.sites[0]
    assert (site.lowering, "mnn takes -0.0 for less" in site.reason) == ("keep", True)
    monkeypatch.setitem(RUNTIMES, "mnn", Mnn(quirks=Mnn().quirks - {Quirk.NEGATIVE_ZERO_IS_LESS}))
    site = optimize(EXPORT, target="mnn", lowering="row-gather", measure=False).report.sites[0]
    assert (site.lowering, "its check failed on mnn: 0 instead of" in site.reason) == ("keep", True)


def test_what_it_does_not_take_is_said() -> None:
    with pytest.raises(RunError, match=r"does not convert it: .* ONNX::F"):
        run("g (float[2] a) => (float[2] b) { b = x.F (a) }", a=np.zeros(2, F32))
    with pytest.raises(RunError, match="does not run it"):
        run("g (float[2, 0] a) => (float[2, 0] b) { b = Neg (a) }", a=np.zeros((2, 0), F32))


def test_what_it_prints_of_shapes_that_it_does_not_take_is_not_seen(capfd: pytest.CaptureFixture[str]) -> None:
    text = "g (float[n] a, int64[2] s) => (float[p, q] b) { b = Reshape (a, s) }"
    with pytest.raises(RunError, match="does not run it"):
        run(text, a=np.zeros(5, F32), s=np.array([2, 3]))
    assert capfd.readouterr().out == ""


def test_lowerings_are_right_in_it_and_nothing_but_the_report_and_the_model_is_left(tmp_path: Path) -> None:
    options = ["--target", "mnn", "--lowering", "row-gather", "--format", "json"]
    command = [sys.executable, "-m", "onnxgs_opt", str(NORMALISED), "out.onnx", *options]
    where = {**os.environ, "PYTHONPATH": os.pathsep.join([str(EXPORT.parents[3]), *sys.path])}
    said = subprocess.run(command, capture_output=True, check=True, cwd=tmp_path, env=where)
    assert [path.name for path in tmp_path.iterdir()] == ["out.onnx"]
    target = json.loads(said.stdout)["validation"]["target"]
    assert target["runtime"] == "mnn"
    assert target["max_abs"] < 1e-5


def test_an_old_roi_align_is_half_a_pixel_off_there(monkeypatch: pytest.MonkeyPatch) -> None:
    model = EXPORT.with_name("masked_interior.ts13.st.onnx")
    (site,) = optimize(model, lowering="roi-align", target="mnn", dry_run=True).report.sites
    assert site.reason == "roi-align refused: the target moves the regions of a RoiAlign of opset < 16 by half a pixel"
    monkeypatch.setitem(RUNTIMES, "mnn", Mnn(quirks=Mnn().quirks - {Quirk.OLD_ROI_ALIGN_IS_HALF_PIXEL}))
    (site,) = optimize(model, lowering="roi-align", target="mnn").report.sites
    assert site.reason.startswith("its check failed on mnn: ")


def test_it_is_measured_in() -> None:
    shapes = {"img": (1, 3, 64, 64), "grid": (1, 100, 100, 2)}
    (site,) = optimize(NORMALISED, target="mnn", shapes=shapes).report.sites
    assert {"keep", "row-gather"} <= {row.lowering for row in site.measurements if row.status == "ok"}


def test_outputs_outlive_what_made_them() -> None:
    ones = np.ones((1 << 10, 1 << 10), F32)
    found = [run("g (float[n, m] a) => (float[n, m] b) { b = Neg (a) }", a=k * ones)[0] for k in range(1, 5)]
    assert [(value.min(), value.max()) for value in found] == [(-k, -k) for k in range(1, 5)]


RESIZE = 'y = Resize <mode = "linear"> (x, e, s)'


def volume(head: str, body: str, scales: str = "1,1,2,2,2") -> str:
    return f"g ({head}) <float[0] e = {{}}, float[{scales.count(',') + 1}] s = {{{scales}}}> {{{body}}}"


@pytest.mark.parametrize(
    "text",
    [
        volume("float[1, 2, 3, 4, 5] x) => (float[1, 2, 6, 8, 10] y", RESIZE),
        volume("float[a, b, c, d, e] x) => (float[f, g, h, i, j] y", f"{RESIZE}".replace("y", "z") + " y = Relu (z)"),
        volume("float[3, 4] x) => (float[3, 8] y", RESIZE, "1,2"),
        volume(
            "float[1, 2, 3, 4, 5] x, bool c) => (float[a, b, d, f, g] y",
            "v = Relu (x) y = If (c) <then_branch = t () => (float[h, i, j, k, l] u)"
            ' {u = Resize <mode = "linear"> (v, e, s)}, else_branch = o () => (float[m, n, p, q, r] w) {w = Neg (v)}>',
        ),
    ],
)
def test_a_linear_resize_that_overwrites_memory_is_not_loaded(text: str) -> None:
    with pytest.raises(RunError, match=r"MNN writes over other memory in .*, a linear Resize of [25] axes"):
        run(text)


def test_a_linear_resize_of_images_is_loaded() -> None:
    x = np.arange(6, dtype=F32).reshape(1, 1, 2, 3)
    (found,) = run(volume("float[1, 1, 2, 3] x) => (float[1, 1, 2, 6] y", RESIZE, "1,1,1,2"), x=x)
    assert found[0, 0, 0].tolist() == pytest.approx([0, 0.25, 0.75, 1.25, 1.75, 2])


@pytest.mark.parametrize(
    ("mode", "is_right"),
    [
        ('"cubic", coordinate_transformation_mode = "align_corners"', True),
        ('"cubic", coordinate_transformation_mode = "half_pixel"', False),
        ('"cubic", coordinate_transformation_mode = "asymmetric", cubic_coeff_a = -0.5', False),
        ('"nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"', True),
        ('"nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "round_prefer_ceil"', False),
    ],
)
def test_which_resizes_are_right_there(mode: str, is_right: bool) -> None:
    """The words of docs/runtimes.md and two quirks; where one is mended, `resize` may write it."""
    x = np.random.default_rng(0).standard_normal((1, 2, 7, 9)).astype(F32)
    text = volume("float[1, 2, 7, 9] x) => (float[1, 2, 14, 18] y", f"y = Resize <mode = {mode}> (x, e, s)", "1,1,2,2")
    expected = ReferenceEvaluator(parser.parse_model(HEAD + text)).run(None, {"x": x})[0]
    assert np.allclose(run(text, x=x)[0], expected, atol=1e-4) == is_right


def test_a_volume_beside_a_sampler_ends_no_process(tmp_path: Path) -> None:
    """In a process of its own: what MNN wrote over is used later."""
    model = onnx.load(NORMALISED)
    beside = parser.parse_model(HEAD + volume("float[1, 2, 3, 4, 5] x) => (float[1, 2, 6, 8, 10] y", RESIZE)).graph
    for field in ("node", "input", "output", "initializer"):
        getattr(model.graph, field).extend(getattr(beside, field))
    onnx.save(model, tmp_path / "in.onnx")
    command = [sys.executable, "-m", "onnxgs_opt", "in.onnx", "out.onnx", "--target", "mnn", "--lowering", "row-gather"]
    where = {**os.environ, "PYTHONPATH": os.pathsep.join([str(EXPORT.parents[3]), *sys.path])}
    said = subprocess.run([*command, "--format", "json"], capture_output=True, check=True, cwd=tmp_path, env=where)
    (site,) = json.loads(said.stdout)["sites"]
    assert site["lowering"] == "keep"
    assert "does not load on mnn: MNN writes over other memory" in site["reason"]
