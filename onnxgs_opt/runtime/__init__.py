"""Where models run, by the names that `--target` takes. The dict is written by hand.

A new runtime is one file with a `Runtime`, its line here, and its name in `TargetName` of options; a test compares the
two. docs/writing-a-runtime.md shows one.
"""

from __future__ import annotations

from collections.abc import Callable

from onnxgs_opt.runtime.base import Loaded, Quirk, Runtime
from onnxgs_opt.runtime.mnn import Mnn
from onnxgs_opt.runtime.openvino import OpenVino
from onnxgs_opt.runtime.ort import OnnxRuntime
from onnxgs_opt.runtime.tensorrt.runtime import TensorRt

OF_ENGINES = frozenset(
    {
        Quirk.SCAN_IS_A_LOOP,
        Quirk.ROI_ALIGN_IS_FOR_FEW_REGIONS,
        Quirk.NO_DOUBLES,
        Quirk.NO_GRID_SAMPLE_OF_VOLUMES,
        Quirk.MIRRORED_TAPS_ARE_UNMEASURED,
    }
)

RUNTIMES: dict[str, Runtime] = {
    "ort-cpu": OnnxRuntime("ort-cpu"),
    "ort-cuda": OnnxRuntime("ort-cuda", frozenset({Quirk.SCAN_IS_A_LOOP, Quirk.MIRRORED_TAPS_ARE_UNMEASURED})),
    "tensorrt": TensorRt(
        "tensorrt",
        OF_ENGINES
        | {
            Quirk.LINEAR_GRID_SAMPLE_IS_NEAREST,
            Quirk.DYNAMIC_GATHER_ELEMENTS_IS_NAN,
            Quirk.HAS_DEFORMABLE_ATTENTION,
        },
    ),
    "tensorrt-rtx": TensorRt("tensorrt-rtx", OF_ENGINES | {Quirk.NO_DEFORM_CONV}),
    "openvino": OpenVino(),
    "mnn": Mnn(),
}
ON_DEVICES: dict[str, Callable[[str], Runtime]] = {"openvino": OpenVino}
"""Runtimes that run on more than one device: `NAME:DEVICE` makes the one for a device."""


def runtime_of(target: str) -> Runtime:
    """The runtime that `--target` names, with the device where it names one."""
    name, _, device = target.partition(":")
    return ON_DEVICES[name](target) if device else RUNTIMES[name]


__all__ = ["ON_DEVICES", "RUNTIMES", "Loaded", "Quirk", "Runtime", "runtime_of"]
