"""Load the installed library and sample one image: what a built wheel is tried with."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import parser

import onnxgs_ops

MODEL = """
<ir_version: 8, opset_import: ["": 17, "onnxgs": 2]>
g (float[N, C, H, W] image, float[N, P, Q, 2] grid) => (float[N, C, P, Q] samples, float[N, P, Q] mask)
{ samples, mask = onnxgs.BilinearSample <window: int = 1, mask: int = 1> (image, grid) }
"""


def main() -> None:
    """Fail where a sample between two pixels is not their mean."""
    options = onnxruntime.SessionOptions()
    options.register_custom_ops_library(onnxgs_ops.get_library_path())
    model = onnx.shape_inference.infer_shapes(parser.parse_model(MODEL)).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    image = np.arange(12, dtype=np.float32).reshape(1, 1, 3, 4)
    grid = np.array([[[[0.5, 0.0], [1.0, 0.5], [3.5, 0.0]]]], np.float32)
    samples, mask = session.run(None, {"image": image, "grid": grid})
    np.testing.assert_array_equal(samples.ravel(), [0.5, 3.0, 0.0])
    np.testing.assert_array_equal(mask.ravel(), [1.0, 1.0, 0.0])
    nearest = MODEL.replace("BilinearSample <", "NearestSample <kernel: int = 2, ")
    model = onnx.shape_inference.infer_shapes(parser.parse_model(nearest)).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(["samples"], {"image": image, "grid": grid})[0].ravel(), [0.0, 1.0, 0.0])


if __name__ == "__main__":
    main()
