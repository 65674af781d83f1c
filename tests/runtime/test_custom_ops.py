"""Operators of other domains: they pass through, their libraries are loaded when asked for, and what could not be run
without one is said."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime.capi.onnxruntime_pybind11_state as binary
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper

from onnxgs_opt import cli, find, optimize
from onnxgs_opt.errors import UsageError
from onnxgs_opt.report import verdict as verdicts
from onnxgs_opt.report.rendering import ENDINGS, render
from onnxgs_opt.report.rendering.text import to_text
from onnxgs_opt.report.rendering.words import verdict
from tests.fixtures.spellings import build, parse

MODELS = Path(__file__).parents[1] / "fixtures" / "models"
EXPORT = MODELS / "masked_interior.ts17.st.onnx"
DOMAIN = "ai.onnx.contrib"


@pytest.fixture(scope="module")
def library() -> str:
    """Microsoft's own library of custom operators; its NegPos gives min(x, 0) and max(x, 0)."""
    import onnxruntime_extensions

    return str(onnxruntime_extensions.get_library_path())


def before_the_image() -> ModelProto:
    """The export behind a custom operator."""
    model = onnx.load(EXPORT)
    for node in model.graph.node:
        node.input[:] = ["positive" if name == "img" else name for name in node.input]
    model.graph.node.insert(0, helper.make_node("NegPos", ["img"], ["negative", "positive"], domain=DOMAIN))
    declared = model.graph.value_info.add()
    declared.CopyFrom(model.graph.input[0])
    declared.name = "positive"
    model.opset_import.add(domain=DOMAIN, version=1)
    return model


def behind_the_sampler() -> ModelProto:
    """The export with a custom operator after it."""
    model = onnx.load(EXPORT)
    node = helper.make_node("NegPos", [model.graph.output[0].name], ["negative", "positive"], domain=DOMAIN)
    model.graph.node.append(node)
    model.graph.output[0].name = "positive"
    model.opset_import.add(domain=DOMAIN, version=1)
    return model


@pytest.fixture(params=[before_the_image, behind_the_sampler])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "in.onnx"
    onnx.save(request.param(), path)
    return path


def run(source: Path, *options: str) -> int:
    return cli.main([str(source), str(source.with_name("out.onnx")), "--lowering", "merged-gather", *options])


# -- with and without the library -------------------------------------------------------------------


def test_a_library_lets_the_whole_model_be_checked(
    source: Path, library: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(source, "--custom-ops-library", library, "--format", "json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["validation"]["status"] == "ok"
    assert report["validation"]["reason"] is None
    assert report["validation"]["shapes"] != []


def test_a_library_lets_the_model_be_timed(source: Path, library: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(source, "--custom-ops-library", library, "--bench") == 0
    assert "\nthe whole model: " in capsys.readouterr().out
    assert run(source, "--bench") == 0
    assert capsys.readouterr().err == "the model was not timed: it was not rewritten, or does not run here\n"


def test_auto_runs_with_the_library(source: Path, library: str) -> None:
    result = optimize(source, lowering="auto", custom_ops=[library])
    assert result.race is not None
    assert result.report.validation.reason is None


def test_without_its_library_the_sites_are_checked_and_the_rest_is_said(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(source, "--format", "json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["validation"]["status"] == "not-run"
    assert f"{DOMAIN}:NegPos" in report["validation"]["reason"]
    assert "--custom-ops-library" in report["validation"]["reason"]
    assert "[ONNXRuntimeError]" not in report["validation"]["reason"]
    assert report["validation"]["max_abs"] is None
    [site] = report["sites"]
    assert (site["lowering"], report["status"]) == ("merged-gather", "optimised")
    assert 0 <= site["error"]["max_abs"] < 1e-5
    assert source.with_name("out.onnx").exists()


@pytest.mark.parametrize("format_", sorted({"text", "github", *ENDINGS.values()}))
def test_every_format_says_that_the_whole_model_was_not_checked(format_: str) -> None:
    result = optimize(behind_the_sampler(), lowering="merged-gather")
    report = result.report
    said = to_text(report) if format_ == "text" else render(format_, report, result.evidence).replace("\\", "")
    assert f"{DOMAIN}:NegPos" in said
    if format_ != "json":
        assert "1 site checked alone; the whole model was not checked" in said


def test_what_was_not_checked_at_all_is_kept() -> None:
    model = onnx.load(MODELS / "masked_interior.dy20.st.onnx")
    model.opset_import.add(domain="ai.onnx.ml", version=4000)  # onnxruntime loads no part of it
    checked = optimize(model, lowering="merged-gather").report
    assert [(s.lowering, s.error.max_abs) for s in checked.sites] == [("keep", None)]
    assert checked.sites[0].reason.startswith("nothing could be checked: onnxruntime does not load")
    trusted = optimize(model, lowering="merged-gather", validate=False).report
    assert [s.lowering for s in trusted.sites] == ["merged-gather"]
    assert verdict(trusted) == "1 site lowered; not validated"


def test_timing_without_validation_has_the_users_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    raced: list[Any] = []
    monkeypatch.setattr(verdicts, "race_models", lambda *given: raced.append(given))
    shapes = {"img": (1, 3, 30, 20), "grid": (1, 7, 9, 2)}
    model = onnx.load(MODELS / "masked_interior.ts17.dyn.onnx")
    optimize(model, lowering="merged-gather", bench=True, validate=False, shapes=shapes)
    assert raced[0][3].shapes == shapes


# -- what is no library -----------------------------------------------------------------------------


def test_a_missing_library_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([str(EXPORT), str(tmp_path / "out.onnx"), "--custom-ops-library", str(tmp_path / "no.so")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("error: ")
    assert "no.so" in lines[0]
    assert len(lines) == 2
    with pytest.raises(UsageError, match=r"no library .* at .*no\.so"):
        optimize(EXPORT, custom_ops=[tmp_path / "no.so"])


@pytest.mark.parametrize("content", [b"", b"\x7fELF nonsense", None])
def test_a_file_that_is_no_library_is_refused(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """None: a shared library that has no RegisterCustomOps, onnxruntime's own."""
    wrong = Path(str(binary.__file__))
    if content is not None:
        wrong = tmp_path / "wrong.so"
        wrong.write_bytes(content)
    assert cli.main([str(EXPORT), str(tmp_path / "out.onnx"), "--custom-ops-library", str(wrong)]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"error: onnxruntime cannot load custom operators from {wrong}: ")
    assert second.startswith("hint: ")
    assert not (tmp_path / "out.onnx").exists()


# -- unknown operators pass through -----------------------------------------------------------------


def strange_nodes() -> list[NodeProto]:
    """Operators that nobody knows, with an attribute of every kind, and some with the names of known ones."""
    tensor = helper.make_tensor("t", TensorProto.FLOAT16, [2], [1.0, 2.0])
    sparse = helper.make_sparse_tensor(
        helper.make_tensor("values", TensorProto.FLOAT, [1], [1.0]),
        helper.make_tensor("indices", TensorProto.INT64, [1], [2]),
        [4],
    )
    inner = helper.make_node("Unheard", ["img"], ["inner"], domain="b.example")
    body = helper.make_graph([inner], "body", [], [helper.make_empty_tensor_value_info("inner")])
    kind = helper.make_tensor_type_proto(TensorProto.FLOAT, ["N", 3])
    node = helper.make_node(
        *("Unheard", ["img", "", "grid"], ["strange0", "", "strange1"]),
        name="strange",
        domain="a.example",
        doc_string="of\nits own",
        overload="x",
        f=1.5,
        i=-3,
        s=b"\xff\x00bytes",
        t=tensor,
        g=body,
        sp=sparse,
        tp=kind,
        floats=[1.0, 2.0],
        ints=[1, 2],
        strings=["a", "b"],
        tensors=[tensor, tensor],
        graphs=[body],
        tps=[kind],
    )
    node.attribute.add(name="empty", type=onnx.AttributeProto.INTS)
    return [
        node,
        helper.make_node("Identity", ["strange0"], ["same"], domain="a.example"),
        helper.make_node("Add", ["img", "img"], ["twice0"], domain="b.example"),
        helper.make_node("Add", ["img", "img"], ["twice1"], domain="b.example"),
        helper.make_node("Constant", [], ["constant"], domain="b.example", value=tensor),
        helper.make_node("GridSample", ["img", "grid"], ["sampled_otherwise"], domain="b.example"),
        helper.make_node("If", ["img"], ["branched"], domain="b.example", then_branch=body),
    ]


def test_unknown_operators_pass_through() -> None:
    model = onnx.load(EXPORT)
    nodes = strange_nodes()
    model.graph.node.extend(nodes)
    model.opset_import.extend([helper.make_opsetid("a.example", 7), helper.make_opsetid("b.example", 2)])
    read = {name for node in nodes for name in node.input}
    for name in (name for node in nodes for name in node.output if name and name not in read):
        model.graph.output.append(helper.make_empty_tensor_value_info(name))
    before = [node.SerializeToString(deterministic=True) for node in nodes]
    result = optimize(model, lowering="merged-gather", validate=False)
    assert [s.lowering for s in result.report.sites] == ["merged-gather"]
    after = [n.SerializeToString(deterministic=True) for n in result.model.graph.node if n.domain]
    assert after == before
    assert {"": 17, "a.example": 7, "b.example": 2}.items() <= {
        entry.domain: entry.version for entry in result.model.opset_import
    }.items()


def one_of_each() -> list[str]:
    """A node of every operator in the export."""
    return list({node.op_type: node.name for node in onnx.load(EXPORT).graph.node}.values())


@pytest.mark.parametrize("name", one_of_each())
def test_an_operator_of_another_domain_is_never_taken_for_its_namesake(name: str) -> None:
    """Whatever part of a sampler it stands in: it may mean anything, so it has to stay."""
    model = onnx.load(EXPORT)
    [node] = [node for node in model.graph.node if node.name == name]
    node.domain = "a.example"
    model.opset_import.add(domain="a.example", version=1)
    del model.graph.value_info[:]
    result = optimize(model, lowering="merged-gather", validate=False)
    [kept] = [node for node in result.model.graph.node if node.domain == "a.example"]
    assert (kept.op_type, kept.name, kept.attribute, len(kept.input)) == (
        *(node.op_type, name, node.attribute, len(node.input)),
    )


@pytest.mark.parametrize("op_type", ["Sigmoid", "Constant"])
def test_nothing_is_known_of_what_a_namesake_gives(op_type: str) -> None:
    """A standard Sigmoid keeps the coordinate inside, a standard Constant is a number: these may give anything."""
    model = onnx.shape_inference.infer_shapes(build(parse("policy=ranged constants=node")))
    assert [site.inside for site in find(model)] == [True]
    for node in (node for node in model.graph.node if node.op_type == op_type):
        node.domain = "a.example"
    model.opset_import.add(domain="a.example", version=1)
    assert find(model) == []


def test_the_checked_models_share_their_operators(library: str) -> None:
    """The result runs with the library as the original does, and gives the same."""
    model = before_the_image()
    result = optimize(model, lowering="merged-gather", custom_ops=[library])
    rng = np.random.default_rng(0)
    feeds = {"img": rng.standard_normal((2, 3, 24, 40), np.float32), "grid": rng.random((2, 9, 11, 2), np.float32)}
    from onnxgs_opt.runtime.ort import open_session

    old, new = (open_session(m, custom_ops=[library]).run(None, feeds) for m in (model, result.model))
    for a, b in zip(old, new, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_the_name_of_a_standard_operator_means_nothing_in_another_domain() -> None:
    """Operators named as every standard one, with one input and no attribute: no crash, no remark, all stay."""
    model = onnx.load(EXPORT)
    names = sorted({schema.name for schema in onnx.defs.get_all_schemas()})
    nodes = [helper.make_node(name, ["img"], [f"like_{name}"], f"like {name}", domain="a.example") for name in names]
    sums = [helper.make_node("Add", [f"like_{a}", f"like_{b}"], [f"sum_{a}"]) for a, b in pairwise(names)]
    model.graph.node.extend([*nodes, *sums])
    model.graph.output.extend(helper.make_empty_tensor_value_info(node.output[0]) for node in sums)
    model.opset_import.add(domain="a.example", version=1)
    result = optimize(model, lowering="merged-gather", validate=False)
    kept = {node.name: node for node in result.model.graph.node if node.domain}
    assert [kept[node.name] for node in nodes] == nodes
    assert [hazard.code for hazard in result.report.hazards] == ["GSO207"], "it is about the sampler that was lowered"
    assert [site.lowering for site in result.report.sites] == ["merged-gather"]
