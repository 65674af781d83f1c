"""`--ops`: the native operator of onnxgs-ops, built from its sources, as one candidate among the others."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from onnxgs_opt import cli, optimize
from onnxgs_opt.errors import UsageError
from onnxgs_opt.report.model import SiteReport
from onnxgs_opt.report.rendering.text import to_text
from onnxgs_opt.runtime.ort import open_session
from tests.native.ops import built_once

REPOSITORY = Path(__file__).parents[2]
MODEL = REPOSITORY / "bench" / "models" / "1x64x135x240.onnx"
NEAREST = MODEL.with_name("nearest-1x64x135x240.onnx")
FIXTURES = REPOSITORY / "tests" / "fixtures"
SMALL = FIXTURES / "models" / "masked_interior.ts17.st.onnx"
DYNAMIC = SMALL.with_name("masked_interior.ts17.dyn.onnx")
LARGE = {"img": (1, 3, 64, 64), "grid": (1, 200, 200, 2)}
"""Enough points to be timed."""
ATTENTION = FIXTURES / "attention" / "listed.ts17.st.onnx"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory, objects: Path) -> Path:
    """A folder with the package, as pip would install it."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(REPOSITORY / "ops" / "onnxgs_ops", folder / "onnxgs_ops")
    shutil.copy(built_once(objects, avx2=False), folder / "onnxgs_ops")
    return folder


@pytest.fixture
def installed(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package can be imported."""
    monkeypatch.delitem(sys.modules, "onnxgs_ops", raising=False)
    monkeypatch.syspath_prepend(str(package))


def measured(site: SiteReport) -> list[str]:
    """The lowerings that were right and timed."""
    return [row.lowering for row in site.measurements if row.status == "ok"]


@pytest.mark.parametrize(("model", "shapes"), [(DYNAMIC, LARGE), (NEAREST, {})], ids=["bilinear", "nearest"])
def test_the_native_operator_is_measured_among_the_others(
    installed: None, model: Path, shapes: dict[str, tuple[int, ...]]
) -> None:
    [site] = optimize(model, ops=True, shapes=shapes).report.sites
    assert {"keep", "plugin", site.lowering} <= set(measured(site))


@pytest.mark.parametrize(
    ("model", "operator"), [(MODEL, "BilinearSample"), (ATTENTION, "DeformableAttention")], ids=["sampler", "attention"]
)
def test_the_native_operator_is_written_and_said(installed: None, model: Path, operator: str) -> None:
    """Asked for by name: whether it is the fastest here is the machine's affair."""
    result = optimize(model, ops=True, lowering="plugin")
    assert [node.op_type for node in result.model.graph.node if node.domain] == [operator]
    [hazard] = [hazard for hazard in result.report.hazards if hazard.code == "GSO206"]
    for call in ("register_custom_ops_library", "RegisterCustomOpsLibrary", "RegisterCustomOpLibraryV2"):
        assert call in hazard.hint
    assert "GSO206" in to_text(result.report)
    open_session(result.model)  # without the library


def test_without_the_option_nothing_is_loaded_or_said(installed: None) -> None:
    result = optimize(SMALL, lowering="plugin")
    assert result.report.status == "optimised"
    assert "GSO206" not in {hazard.code for hazard in result.report.hazards}


def test_the_function_is_checked_as_well_as_the_library(installed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file whose function is wrong is not written, however right the library is."""
    from onnxgs_opt.lowering import function

    wrong = function._AXIS.replace("Sub (f1, {a}_d)", "Sub (f2, {a}_d)")
    assert wrong != function._AXIS
    monkeypatch.setattr(function, "_AXIS", wrong)
    function.sample_function.cache_clear()
    try:
        [site] = optimize(SMALL, ops=True, lowering="plugin").report.sites
    finally:
        function.sample_function.cache_clear()
    assert site.lowering == "keep", site.reason


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "onnxgs_ops", None)
    assert cli.main([str(SMALL), "--dry-run", "--ops"]) == 2
    assert "pip install ./ops" in capsys.readouterr().err


def test_an_engine_has_another_library(installed: None) -> None:
    with pytest.raises(UsageError, match="--ops is for onnxruntime"):
        optimize(SMALL, ops=True, target="tensorrt")
