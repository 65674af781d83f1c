"""The names and the arguments that programs may rely on."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

import onnxgs_opt
from onnxgs_opt.errors import UsageError
from onnxgs_opt.options import Options, parameters

MODEL = Path(__file__).parent / "fixtures" / "models" / "masked_interior.ts17.st.onnx"


def test_the_public_names() -> None:
    assert set(onnxgs_opt.__all__) == {"OptError", "Report", "Result", "Site", "__version__", "find", "optimize"}
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


def test_what_is_no_model_is_said() -> None:
    with pytest.raises(onnxgs_opt.OptError, match="a dict is no model") as refused:
        onnxgs_opt.optimize({})  # type: ignore[arg-type]
    assert "onnx_ir.to_proto" in refused.value.hint
    with pytest.raises(onnxgs_opt.OptError, match="<model> is a zip archive"):
        onnxgs_opt.find(b"PK\x03\x04rest")
