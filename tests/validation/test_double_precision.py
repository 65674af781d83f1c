"""A model in double precision is one that onnxruntime runs, at every opset that exporters write."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import parser

from onnxgs_opt.runtime.ort import open_session
from onnxgs_opt.validation.double_precision import in_double

CLAMPED = """<ir_version: 7, opset_import: ["": {opset}]>
g (float[5] x) => (float[5] y) <float low = {{0}}, float high = {{7}}> {{
   f = Floor (x)
   i = Cast <to = 7> (f)
   g = Cast <to = 1> (i)
   c = Clip (g, low, high)
   y = Sub (x, c)
}}"""


@pytest.mark.parametrize("opset", [11, 12, 13, 17])
def test_a_clamped_floor_runs_in_double(opset: int) -> None:
    model = in_double(parser.parse_model(CLAMPED.format(opset=opset)))
    session = open_session(model, threads=1)
    x = np.array([-0.5, 0.25, 1 / 3, 7.5, 1e4 + 1 / 3])
    (found,) = session.run(None, {"x": x})
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, x - np.clip(np.floor(x), 0, 7))
