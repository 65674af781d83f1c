"""What is no graph is refused when it is read, in one line; what only looks odd passes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, TensorProto, helper, parser

from onnxgs_opt import optimize
from onnxgs_opt.errors import ModelError
from onnxgs_opt.ir.graph import Graph

SEEDS = Path(__file__).parents[1] / "campaigns" / "reliability" / "corpus"
HEAD = '<ir_version: 8, opset_import: ["" : 17, "acme" : 1]> g (float[4] x) => (float[4] y)'


def parsed(body: str) -> onnx.ModelProto:
    return parser.parse_model(f"{HEAD} {body}")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{ y = Abs(x, x) }", "has 2 inputs, Abs takes 1"),
        ("{ y = Add(x) }", "has 1 inputs, Add takes 2"),
        ("{ y = Concat <axis = 0> () }", "has 0 inputs, Concat takes 1 or more"),
        ("{ y, z = Abs(x) }", "has 2 outputs, Abs takes 1"),
        ("{ y = ReduceSum <keepdims = 5> (x) }", "keepdims of node 'ReduceSum' is 5"),
        ("{ y = ImageDecoder(x, x) }", "has 2 inputs, ImageDecoder takes 1"),  # of a later opset
        ("{ y = Cast(x) }", "lacks the attribute to"),
        ('{ y = Cast <to = "float"> (x) }', "attribute 'to' of node 'Cast' is of another type"),
        ("{ y = Cast <to : int = @k> (x) }", "refers to an attribute of a function"),
    ],
)
def test_operators_are_as_onnx_has_them(body: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Graph.from_proto(parsed(body))


@pytest.mark.parametrize(
    "body",
    [
        "{ y = Plugin <to = 1.5> (x, x, x) }",  # unknown operators of the default domain are plugins
        '{ y = acme.Abs <to = "x"> (x, x) }',
        "{ y = Clip(x, , , , ) }",  # some exporters write all the inputs that they leave out
        "{ y = Abs <extra = 1> (x) }",
        "{ y = ImageDecoder(x) }",
    ],
)
def test_what_onnx_does_not_define_passes(body: str) -> None:
    model = parsed(body)
    assert Graph.from_proto(model).to_proto() == model


@pytest.mark.parametrize(
    ("body", "has_way_out"),
    [("{ y = Clip(x, low) }", True), ("{ y = Clip(low, x) }", False), ("{ y = Add(x, low) }", False)],
)
def test_a_bound_that_nothing_makes_has_a_way_out(body: str, has_way_out: bool) -> None:
    """As torch.onnx.export(dynamo=True) writes it where one tensor is clamped twice; it does not unoptimised."""
    with pytest.raises(ModelError, match="reads 'low', which nothing makes") as caught:
        Graph.from_proto(parsed(body))
    assert ("optimize=False" in str(caught.value.hint)) == has_way_out


def test_an_attribute_is_there_once() -> None:
    model = parsed("{ y = Cast <to = 1> (x) }")
    model.graph.node[0].attribute.append(helper.make_attribute("to", 7))
    with pytest.raises(ModelError, match="has the attribute 'to' twice"):
        Graph.from_proto(model)


def test_an_opset_that_the_package_does_not_know() -> None:
    model = parsed("{ y = Abs(x) }")
    model.opset_import[0].version = 10**6
    with pytest.raises(ModelError, match="imports ONNX opset 1000000") as caught:
        Graph.from_proto(model)
    assert "upgrade" in caught.value.hint
    del model.opset_import[0]
    with pytest.raises(ModelError, match="imports no ONNX opset"):
        Graph.from_proto(model)


def test_names_are_text() -> None:
    raw = parsed("{ mid = Abs(x) y = Abs(mid) }").SerializeToString().replace(b"mid", b"\xff\xfe\xfd")
    with pytest.raises(ModelError, match="UTF-8"):
        Graph.from_proto(onnx.ModelProto.FromString(raw))


@pytest.mark.parametrize("dims", [[2**40], [2**31, 2**31], [10**6], [-1]])
def test_a_shape_that_the_data_cannot_fill(dims: list[int]) -> None:
    model = parsed("<float[2] w = {1, 2}> { y = Add(x, w) }")
    model.graph.initializer[0].dims[:] = dims
    with pytest.raises(ModelError, match=r"less data than its shape|has the size -1"):
        Graph.from_proto(model)


def test_small_types_may_be_packed() -> None:
    model = parsed("{ y = Abs(x) }")
    for kind in (TensorProto.INT4, TensorProto.UINT8, TensorProto.BOOL, TensorProto.FLOAT16, TensorProto.DOUBLE):
        size = {TensorProto.INT4: 0.5, TensorProto.FLOAT16: 2, TensorProto.DOUBLE: 8}.get(kind, 1)
        raw = bytes(int(10_000 * size))
        model.graph.initializer.append(TensorProto(name=f"t{kind}", data_type=kind, dims=[10_000], raw_data=raw))
    numbers = helper.make_tensor("numbers", TensorProto.INT64, [10_000], [0] * 10_000)
    model.graph.initializer.append(numbers)
    assert Graph.from_proto(model).to_proto() == model


def test_another_domain_s_operator_is_not_onnx_s() -> None:
    """acme::Floor may be anything, so nothing is known of a sampler that uses it, and it comes out as it was."""
    model = onnx.ModelProto.FromString((SEEDS / "sampler-border.onnx").read_bytes())
    assert optimize(model, validate=False).report.sites
    model.opset_import.append(helper.make_opsetid("acme", 1))
    for node in model.graph.node:
        if node.op_type in ("Floor", "Gather", "GatherND"):
            node.domain = "acme"
    before = model.SerializeToString()
    result = optimize(model, validate=False)
    assert not result.report.sites
    assert result.model.SerializeToString() == before
    assert Graph.from_proto(model).copy().to_proto().SerializeToString() == before


def test_a_large_row_does_not_take_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """onnx's inference would take 150 bytes for each of these 2**40 elements."""
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[2,3] i, float[9] t) => (y)'
        "<int64[1] s = {1099511627776}> { r = Reshape(i, s) f = Floor(r) c = Cast <to = 7> (f) a = Gather(t, c)"
        " b = Gather(t, c) m = Mul(a, r) n = Mul(b, r) y = Add(m, n) }"
    )
    assert optimize(model, validate=False, lowering="merged-gather").report.exit_code == 0


def test_what_was_not_rewritten_comes_out_as_it_came(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Unsorted, with a domain that is used and not imported and an output without a type: not ours to mend."""
    model = parsed("{ y = Neg(z) z = other.Abs(x) }")
    model.graph.output[0].ClearField("type")
    raw = model.SerializeToString() + b"\xfa\x3f\x04more"
    (tmp_path / "in.onnx").write_bytes(raw)
    result = optimize(tmp_path / "in.onnx", tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx").read_bytes() == raw == result.model.SerializeToString()


def test_external_values_are_never_read(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Nor is a file of that name in the folder that the process happens to be in."""
    model = onnx.ModelProto.FromString((SEEDS / "sampler-border.onnx").read_bytes())
    wanted = optimize(model, validate=False).report.sites
    assert wanted
    monkeypatch.chdir(tmp_path)
    for tensor in model.graph.initializer:
        (tmp_path / tensor.name).write_bytes(np.zeros(64, np.int64).tobytes())
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=tensor.name)
        for field in ("raw_data", "int64_data", "float_data"):
            tensor.ClearField(field)
    assert not optimize(model, validate=False).report.sites


def test_an_attribute_s_type_is_known() -> None:
    model = parsed("{ y = Cast <to = 1> (x) }")
    model.graph.node[0].attribute[0].type = AttributeProto.UNDEFINED
    with pytest.raises(ModelError, match="another type"):
        Graph.from_proto(model)
