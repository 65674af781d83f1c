"""The names and the arguments that programs may rely on."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import onnx
import pytest

import onnxgs_opt
from onnxgs_opt.errors import UsageError
from onnxgs_opt.options import AUTO, LOWERINGS, ON_DEVICES, TARGETS, Options, parameters
from onnxgs_opt.options.spec import LoweringName, TargetName
from onnxgs_opt.validation.compare import Comparison

MODEL = Path(__file__).parent / "fixtures" / "models" / "masked_interior.ts17.st.onnx"


def test_the_public_names() -> None:
    assert set(onnxgs_opt.__all__) == {
        "MismatchError",
        "OptError",
        "Report",
        "Result",
        "Site",
        "__version__",
        "compare_targets",
        "find",
        "optimize",
    }
    for name in onnxgs_opt.__all__:
        assert getattr(onnxgs_opt, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Manager'"):
        _ = onnxgs_opt.Manager  # type: ignore[attr-defined]


def test_completion_shows_the_public_names() -> None:
    script = "import onnxgs_opt; assert set(onnxgs_opt.__all__) <= set(dir(onnxgs_opt)), dir(onnxgs_opt)"
    subprocess.run([sys.executable, "-c", script], check=True)  # where none of them was used yet


def test_a_result_is_shown_in_one_line() -> None:
    result = onnxgs_opt.optimize(MODEL, dry_run=True)
    assert repr(result) == f"<Result dry-run: 1 of 1 sites lowered in {MODEL}>"


def test_the_public_names_are_documented() -> None:
    page = (Path(__file__).parent.parent / "docs" / "python.md").read_text(encoding="utf-8")
    assert all(f".{name}\n" in page for name in onnxgs_opt.__all__ if name != "__version__")
    assert all(getattr(onnxgs_opt, name).__doc__ for name in onnxgs_opt.__all__ if name != "__version__")


def test_the_arguments_of_optimize() -> None:
    parameters = inspect.signature(onnxgs_opt.optimize).parameters
    first, second, *rest = parameters.values()
    assert (first.name, second.name, second.default) == ("model", "output", None)
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in rest)
    promised = "lowering target shapes inputs rtol atol seed validate dry_run plan save_plan bench progress"
    assert set(promised.split()) <= set(parameters)
    assert onnxgs_opt.optimize.__doc__ is not None
    assert [name for name in parameters if f"{name}: " not in onnxgs_opt.optimize.__doc__] == []


def test_the_arguments_are_the_list_of_options() -> None:
    given = inspect.signature(onnxgs_opt.optimize).parameters.values()
    fields = Options.__dataclass_fields__
    listed = [fields["model"], fields["output"], *parameters()]
    assert [p.name for p in given] == [option.name for option in listed]
    assert [p.annotation for p in given] == [option.type for option in listed]
    assert [p.default for p in list(given)[1:]] == [option.default for option in listed[1:]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lowering": "magic"}, "no lowering 'magic'"),
        ({"target": "cuda"}, "no target 'cuda'"),
        ({"dry_run": True, "bench": True}, "--bench needs the new model"),
        ({"fp16": True}, "--fp16 needs --engine"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        onnxgs_opt.optimize("absent.onnx", **options)
    assert refused.value.hint


def test_a_check_is_of_one_model(tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    other.touch()
    with pytest.raises(UsageError, match="--check looks at one model"):
        onnxgs_opt.optimize(MODEL, other, check=True)


def test_the_fields_of_a_result() -> None:
    assert {"report", "graph"} <= {field.name for field in fields(onnxgs_opt.Result)}
    promised = {"input", "output", "target", "status", "sites", "near_misses", "hazards", "validation", "exit_code"}
    assert promised <= set(dir(onnxgs_opt.Report)) | {field.name for field in fields(onnxgs_opt.Report)}


def test_find_and_optimize_agree() -> None:
    [site] = onnxgs_opt.find(MODEL)
    result = onnxgs_opt.optimize(str(MODEL), lowering="merged-gather")
    assert isinstance(site, onnxgs_opt.Site)
    assert [s.id for s in result.report.sites] == [site.id]
    assert result.report.sites[0].reads == site.reads
    assert len(result.model.graph.node) == result.report.nodes.after


def test_models_in_memory_and_arrays() -> None:
    proto = onnx.load(MODEL)
    for model in (MODEL.read_bytes(), proto, SimpleNamespace(model_proto=proto)):
        assert len(onnxgs_opt.find(model)) == 1
    sizes = {t.name: [d.dim_value for d in t.type.tensor_type.shape.dim] for t in proto.graph.input}
    given = {name: np.zeros(shape, np.float32) for name, shape in sizes.items()}
    result = onnxgs_opt.optimize(MODEL.read_bytes(), inputs=given, lowering="merged-gather")
    assert (result.report.input, result.report.status) == ("<model>", "optimised")
    with pytest.raises(UsageError, match="no array 'grid' in what was given"):
        onnxgs_opt.optimize(MODEL, inputs={"img": given["img"]})


@pytest.mark.parametrize(
    "given", [str(MODEL), MODEL, MODEL.read_bytes(), onnx.load(MODEL)], ids=lambda g: type(g).__name__
)
def test_what_comes_back_is_of_the_kind_that_came(tmp_path: Path, given: Any) -> None:
    result = onnxgs_opt.optimize(given, tmp_path / "out.onnx", lowering="merged-gather")
    again = result.as_given
    assert isinstance(again, type(given) if isinstance(given, str | bytes) else (Path, onnx.ModelProto))
    assert isinstance(again, Path) == isinstance(given, Path)
    assert [len(site.reads) for site in onnxgs_opt.find(again)] == [1]


def test_a_path_comes_back_only_where_one_was_written() -> None:
    with pytest.raises(UsageError, match="no file was written"):
        _ = onnxgs_opt.optimize(MODEL, lowering="merged-gather").as_given
    with pytest.raises(UsageError, match="there is no model after 'dry-run'"):
        _ = onnxgs_opt.optimize(MODEL.read_bytes(), dry_run=True).as_given


def test_a_model_of_onnx_ir_comes_back_as_one() -> None:
    onnx_ir = pytest.importorskip("onnx_ir", reason="onnx-ir is not installed")
    result = onnxgs_opt.optimize(onnx_ir.load(MODEL), lowering="merged-gather")
    assert isinstance(result.as_given, onnx_ir.Model)
    assert len(list(result.as_given.graph)) == result.report.nodes.after


def test_the_literals_are_the_names() -> None:
    assert get_args(LoweringName) == (AUTO, *LOWERINGS)
    devices = {name.partition(":")[0] for name in get_args(TargetName) if ":" in name}
    assert [name for name in get_args(TargetName) if ":" not in name] == list(TARGETS)
    assert devices == set(ON_DEVICES)


def differing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every whole-model check find a difference."""
    from onnxgs_opt.report import verdict

    def differs(*_: Any) -> Comparison:
        return Comparison("mismatch", shapes=(), max_abs=0.5)

    monkeypatch.setattr(verdict, "check_model", differs)


def test_a_mismatch_is_raised_where_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    differing(monkeypatch)
    out = tmp_path / "out.onnx"
    assert onnxgs_opt.optimize(MODEL, out, lowering="merged-gather").report.status == "mismatch"
    with pytest.raises(onnxgs_opt.MismatchError, match="differs from the original") as refused:
        onnxgs_opt.optimize(MODEL, out, lowering="merged-gather", raise_on_mismatch=True)
    assert isinstance(refused.value, onnxgs_opt.OptError)
    assert refused.value.exit_code == 3
    assert not out.exists()


def test_who_is_asked_may_refuse_the_result(tmp_path: Path) -> None:
    seen: list[onnx.ModelProto] = []

    def accept(model: onnx.ModelProto) -> None:
        seen.append(model)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        onnxgs_opt.optimize(MODEL, tmp_path / "out.onnx", lowering="merged-gather", accept=accept)
    assert [len(site.reads) for model in seen for site in onnxgs_opt.find(model)] == [1]
    assert list(tmp_path.iterdir()) == []


def test_what_is_done_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", logger="onnxgs_opt"):
        onnxgs_opt.optimize(MODEL, dry_run=True)
    said = [
        (record.levelname, record.getMessage()) for record in caplog.records if record.name.startswith("onnxgs_opt")
    ]
    assert ("INFO", f"{MODEL}: 1 sampler found, 1 would be lowered") in said
    assert any(level == "DEBUG" and text.startswith("find took ") for level, text in said)


def test_a_notebook_shows_a_table() -> None:
    report = onnxgs_opt.optimize(MODEL, dry_run=True).report
    site = replace(report.sites[0], output="<script>x</script>")
    html = onnxgs_opt.Result(replace(report, sites=(site,)))._repr_html_()
    assert "<b>onnxgs-opt: PASSED</b> 1 sampler found" in html
    assert "&lt;script&gt;x&lt;/script&gt; = bilinear sample of img at grid" in html
    assert "<script" not in html


def test_a_result_saves_its_report(tmp_path: Path) -> None:
    result = onnxgs_opt.optimize(MODEL, dry_run=True)
    for ending in (".json", ".md", ".sarif", ".xml"):
        result.save_report(tmp_path / f"r{ending}")
        assert (tmp_path / f"r{ending}").stat().st_size > 100
    with pytest.raises(UsageError, match="has no known ending"):
        result.save_report(tmp_path / "r.txt")


def test_what_is_no_model_is_said() -> None:
    with pytest.raises(onnxgs_opt.OptError, match="a dict is no model") as refused:
        onnxgs_opt.optimize({})  # type: ignore[arg-type]
    assert "onnx_ir.Model" in refused.value.hint
    with pytest.raises(onnxgs_opt.OptError, match="<model> is a zip archive"):
        onnxgs_opt.find(b"PK\x03\x04rest")
