"""Types that numpy has no arrays of, and short ones: models are checked all the same, and no rounding is a fault."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from onnxgs_opt import optimize
from onnxgs_opt.validation.check import check_model
from onnxgs_opt.validation.readable import readable
from tests.fixtures.attention.text import in_halves

FIXTURES = Path(__file__).parents[1] / "fixtures"
KINDS = {
    "models/masked_interior.ts17.dyn": "merged-gather",
    "resizes/bilinear.dyn": "resize",
    "rois/kernel.dy.dyn": "roi-align",
}
SAMPLER, RESIZE, BOXES = KINDS
SHORT = [(SAMPLER, kind) for kind in ("FLOAT16", "BFLOAT16", "FLOAT8E4M3FN", "INT4", "STRING")]
SHORT += [(RESIZE, "FLOAT16"), (RESIZE, "UINT8"), (BOXES, "BFLOAT16"), (BOXES, "STRING")]


def ending_in(model: onnx.ModelProto, code: int, factor: float) -> onnx.ModelProto:
    """The model with its first output times a factor, in another type."""
    graph = model.graph
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", 21))
    model.ir_version = 10
    graph.initializer.append(onnx.numpy_helper.from_array(np.float32(factor), "factor"))
    graph.node.append(helper.make_node("Mul", [graph.output[0].name, "factor"], ["scaled"], "scale"))
    graph.node.append(helper.make_node("Cast", ["scaled"], ["short"], "end", to=code))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("short", code, None))
    return model


@pytest.mark.parametrize(("name", "kind"), SHORT)
def test_what_is_rounded_in_the_end_is_no_mismatch(name: str, kind: str) -> None:
    """A sample is off by some roundings, and is cut off to another short number now and then."""
    model = ending_in(onnx.load(FIXTURES / f"{name}.onnx"), TensorProto.DataType.Value(kind), 3.7)
    report = optimize(model, lowering=KINDS[name], measure=False).report
    assert [site.lowering for site in report.sites] == [KINDS[name]]
    assert (report.status, report.validation.status) == ("optimised", "ok"), report.validation.worst


def test_sums_of_halves_that_onnxruntime_rounds_otherwise_are_no_mismatch() -> None:
    """It computes them in floats and leaves out a rounding here and there: where, depends on the nodes around them."""
    model = in_halves(onnx.load(FIXTURES / "resizes/lerps.dyn.onnx"))
    for node in model.graph.node:
        for attribute in node.attribute:
            if (node.op_type, attribute.name, attribute.i) == ("Cast", "to", TensorProto.FLOAT):
                attribute.i = TensorProto.FLOAT16
            elif attribute.HasField("t") and attribute.t.data_type == TensorProto.FLOAT:
                attribute.t.CopyFrom(onnx.numpy_helper.from_array(np.float16(onnx.numpy_helper.to_array(attribute.t))))
    del model.graph.value_info[:]
    report = optimize(model, lowering="merged-gather", measure=False).report
    assert [(site.rule, site.lowering) for site in report.sites] == [("GSO003", "merged-gather")] * 2
    assert (report.status, report.validation.status) == ("optimised", "ok"), report.validation.worst


TEXT = """
<ir_version: 10, opset_import: ["" : 21]>
g (bfloat16[40] x, bool c) => (bfloat16[40] y, int4[40] z) <float many = {{{factor}}}>
{{
  t = If (c) <then_branch = a () => (bfloat16[40] p) {{ p = Identity (x) }},
              else_branch = b () => (bfloat16[40] q) {{ q = Identity (x) }}>
  f = Cast<to=1>(t)
  m = Mul(f, many)
  y = Cast<to=16>(m)
  z = Cast<to=22>(m)
}}
"""


def test_inputs_and_outputs_are_cast_in_bodies_too() -> None:
    one, other = (onnx.parser.parse_model(TEXT.format(factor=n)) for n in (2.0, 2.1))
    assert check_model(one, one).status == "ok"
    found = check_model(one, other)
    assert (found.status, found.worst.split("[")[0]) == ("mismatch", "'z as int8'")


def test_a_model_that_numpy_can_read_stays_itself() -> None:
    model = onnx.load(FIXTURES / "models" / "masked_interior.ts17.dyn.onnx")
    assert readable(model) is model
