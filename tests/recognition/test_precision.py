"""Samplers in types other than float32, and exports whose own roundings are larger than a tolerance."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from onnxgs_opt import optimize
from tests.fixtures.named import named
from tests.fixtures.text import ADDED, INDICES, LAST, PRODUCTS, READS, TERMS, WEIGHTS, four
from tests.recognition.test_forms import FORMS

CLIPPED = """
  xf = Floor(x)
  yf = Floor(y)
  xg = Add(xf, one)
  yg = Add(yf, one)
  x0 = Clip(xf, zero, xl)
  x1 = Clip(xg, zero, xl)
  y0 = Clip(yf, zero, yl)
  y1 = Clip(yg, zero, yl)
"""
WHOLE = """
  xa = Cast<to=7>(x0)
  xb = Cast<to=7>(x1)
  ya = Cast<to=7>(y0)
  yb = Cast<to=7>(y1)
"""
DYNAMIC = (
    """
<ir_version: 8, opset_import: ["" : OPSET]>
g (TYPE[h,w] image, TYPE[p,2] points) => (TYPE[p] out)
<int64 first = {0}, int64 second = {1}, TYPE zero = {0}, TYPE one = {1}, int64[1] k0 = {0}, int64[1] k1 = {1},
 int64[1] k2 = {2}, int64[1] k9 = {-1}>
{
  x = Gather<axis=1>(points, first)
  y = Gather<axis=1>(points, second)
"""
    + LAST.replace("to=1>", "to=ELEM>")
    + CLIPPED
    + "  WEIGHTS\n"
    + PRODUCTS
    + WHOLE
    + """  row = Slice(sizes, k1, k2)
  line = Reshape(image, k9)
  r0 = Mul(ya, row)
  r1 = Mul(yb, row)
"""
    + INDICES
    + READS
    + TERMS
    + ADDED
    + "}"
)
BORDER = "u = Sub(x, xf)\n  v = Sub(y, yf)\n  nu = Sub(one, u)\n  nv = Sub(one, v)"
CANCEL = "u = Sub(x, x0)\n  v = Sub(y, y0)\n  nu = Sub(x1, x)\n  nv = Sub(y1, y)"


def dynamic(kind: str, opset: int, weights: str) -> onnx.ModelProto:
    """A sampler of one channel at any size; `kind` is the element type of everything."""
    text = DYNAMIC.replace("TYPE", kind).replace("ELEM", {"float": "1", "double": "11"}[kind])
    return named(text.replace("OPSET", str(opset)).replace("WEIGHTS", weights))


@pytest.mark.parametrize("lowering", ["merged-gather", "lerp-gather", "row-gather"])
def test_doubles_of_dynamic_sizes_stay_doubles(lowering: str) -> None:
    """The bounds that a lowering computes from sizes are of the coordinates' type, which no description tells."""
    result = optimize(dynamic("double", 17, BORDER), lowering=lowering, measure=False)
    assert (result.report.status, result.report.validation.status) == ("optimised", "ok")
    assert [site.policy.border for site in result.report.sites] == ["border"]


@pytest.mark.parametrize("opset", [11, 17])
def test_weights_that_cancel_far_outside_leave_roundings(opset: int) -> None:
    """The exported form leaves up to 1e-3 where the sample is 0; that is its own error, at every opset."""
    for seed in range(4):
        result = optimize(dynamic("float", opset, CANCEL), lowering="merged-gather", measure=False, seed=seed)
        assert (result.report.status, result.report.validation.status) == ("optimised", "ok")
        assert [site.policy.border for site in result.report.sites] == ["interior"]


def in_halves(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model with every float a half."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            halves = onnx.numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(onnx.numpy_helper.from_array(halves, tensor.name))
    return model


@pytest.mark.parametrize("name", ["einsum of one read", "mean of one read", "one read, split"])
def test_halves_are_compared_as_halves(name: str) -> None:
    """The whole model too may differ by roundings of the type that its sites compute in."""
    model = in_halves(FORMS[name].model())
    result = optimize(model, lowering="merged-gather", measure=False)
    assert (result.report.status, result.report.validation.status) == ("optimised", "ok")


MIXED = (
    """
<ir_version: 8, opset_import: ["" : 17]>
g (IMAGE[6,7] image, POINT[40,2] points, RESULT[40] gain) => (RESULT[40] out)
<int64 first = {0}, int64 second = {1}, int64 five = {5}, int64 six = {6}, int64 seven = {7}, int64 many = {1000},
 int64[1] k9 = {-1}>
{
  zero = Cast<to=POINTS>(first)
  one = Cast<to=POINTS>(second)
  yl = Cast<to=POINTS>(five)
  xl = Cast<to=POINTS>(six)
  thousand = Cast<to=RESULTS>(many)
  x = Gather<axis=1>(points, first)
  y = Gather<axis=1>(points, second)
"""
    + CLIPPED
    + "u = Sub(x, xf)\n v = Sub(y, yf)\n"
    + WEIGHTS
    + WHOLE
    + """  line = Reshape(image, k9)
  r0 = Mul(ya, seven)
  r1 = Mul(yb, seven)
"""
    + INDICES
    + READS
    + four("c{k} = Cast<to=WEIGHTS>(p{k})\n  d{k} = Cast<to=WEIGHTS>(w{k})\n  t{k} = Mul(c{k}, d{k})")
    + ADDED.replace("out", "all")
    + """  sum = Cast<to=RESULTS>(all)
  lit = Mul(sum, gain)
  out = Mul(lit, thousand)
}
"""
)
CODES = {"float16": TensorProto.FLOAT16, "float": TensorProto.FLOAT, "double": TensorProto.DOUBLE}
MIXES = (
    ("float", "double", "double", "double"),
    ("float", "double", "float", "float"),
    ("double", "float", "double", "double"),
    ("double", "float", "float", "float"),
    ("float16", "float", "float16", "float"),
    ("float16", "double", "float", "double"),
    ("float", "float", "float16", "float"),
    ("float", "float16", "float", "float"),
    ("uint8", "float", "float", "float16"),
    ("float16", "float16", "float16", "float16"),
)


@pytest.mark.parametrize("mix", MIXES, ids=lambda mix: ", ".join(mix))
def test_a_result_keeps_the_exports_type(mix: tuple[str, str, str, str]) -> None:
    """Image, coordinates, weights and result may each have a type of their own; what follows scales by about 1000."""
    image, points, weights, result = mix
    text = MIXED.replace("RESULTS", str(CODES[result])).replace("WEIGHTS", str(CODES[weights]))
    text = text.replace("POINTS", str(CODES[points]))
    model = named(text.replace("IMAGE", image).replace("POINT", points).replace("RESULT", result))
    written = 0
    for lowering in ("merged-gather", "lerp-gather", "grid-sample", "roi-align", "plugin"):
        done = optimize(model, lowering=lowering, measure=False)
        [site] = done.report.sites
        assert "check failed" not in site.reason
        assert (done.report.status == "optimised") == (site.lowering == lowering)
        written += site.lowering == lowering
    assert written >= 2
