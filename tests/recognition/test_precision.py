"""Samplers in types other than float32, and exports whose own roundings are larger than a tolerance."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from onnxgs_opt import optimize
from tests.fixtures.named import named
from tests.fixtures.text import FIRST_THREE, INDICES, READS, TERMS, four
from tests.recognition.test_forms import FORMS

DYNAMIC = (
    """
<ir_version: 8, opset_import: ["" : OPSET]>
g (TYPE[h,w] image, TYPE[p,2] points) => (TYPE[p] out)
<int64 first = {0}, int64 second = {1}, TYPE zero = {0}, TYPE one = {1}, int64[1] k0 = {0}, int64[1] k1 = {1},
 int64[1] k2 = {2}, int64[1] k9 = {-1}>
{
  x = Gather<axis=1>(points, first)
  y = Gather<axis=1>(points, second)
  sizes = Shape(image)
  whole = Cast<to=ELEM>(sizes)
  less = Sub(whole, one)
  yl1 = Gather<axis=0>(less, k0)
  xl1 = Gather<axis=0>(less, k1)
  yl = Squeeze(yl1)
  xl = Squeeze(xl1)
  xf = Floor(x)
  yf = Floor(y)
  xg = Add(xf, one)
  yg = Add(yf, one)
  x0 = Clip(xf, zero, xl)
  x1 = Clip(xg, zero, xl)
  y0 = Clip(yf, zero, yl)
  y1 = Clip(yg, zero, yl)
  WEIGHTS
"""
    + four("w{k} = Mul({column}, {row})", ("nv", "v"), ("nu", "u"))
    + """  xa = Cast<to=7>(x0)
  xb = Cast<to=7>(x1)
  ya = Cast<to=7>(y0)
  yb = Cast<to=7>(y1)
  row = Slice(sizes, k1, k2)
  line = Reshape(image, k9)
  r0 = Mul(ya, row)
  r1 = Mul(yb, row)
"""
    + INDICES
    + READS
    + TERMS
    + FIRST_THREE
    + """  out = Add(abc, td)
}
"""
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
