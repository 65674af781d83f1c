"""Where models run, by the names that `--target` takes. The dict is written by hand.

A new runtime is one file with a `Runtime`, its line here, and its name in `TARGETS` of options.py; a test compares the
two. docs/writing-a-runtime.md shows one.
"""

from __future__ import annotations

from onnxgs_opt.runtime.base import Quirk, Runtime
from onnxgs_opt.runtime.ort import OnnxRuntime
from onnxgs_opt.runtime.tensorrt.runtime import TensorRt

RUNTIMES: dict[str, Runtime] = {
    "ort-cpu": OnnxRuntime("ort-cpu"),
    "ort-cuda": OnnxRuntime("ort-cuda", frozenset({Quirk.SCAN_IS_A_LOOP})),
    "tensorrt": TensorRt("tensorrt", frozenset(Quirk)),
    "tensorrt-rtx": TensorRt(
        "tensorrt-rtx", frozenset({Quirk.SCAN_IS_A_LOOP, Quirk.ROI_ALIGN_IS_FOR_FEW_REGIONS, Quirk.NO_DOUBLES})
    ),
}

__all__ = ["RUNTIMES", "Quirk", "Runtime"]
