"""BilinearSample as a TensorRT plugin written in Python, for TensorRT >= 10 and TensorRT-RTX.

The kernel is one of the library's header, compiled by NVRTC when it first runs. An engine with it needs Python and
this creator wherever it is loaded, and is slower than with the library: for tests and trials, not to deploy.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onnxgs_opt.errors import UsageError
from onnxgs_opt.runtime.tensorrt.cuda_driver import Driver
from onnxgs_opt.runtime.tensorrt.nvrtc import compile_source
from onnxgs_opt.runtime.tensorrt.plugin_build import sources
from onnxgs_opt.samplers.op import DOMAIN, MASK_CODES, NAME

FIELDS = ("border", "window", "coordinates", "layout", "mask")
MASK = FIELDS.index("mask")
KERNEL = "onnxgs::sample_plainly<{}>"
VERSION = "1"
THREADS = 256
NHWC = 1


class _Call(ctypes.Structure):
    """The kernel's argument: `Call` of bilinear_sample.cuh."""

    _fields_ = (("codes", ctypes.c_int * 5), ("sizes", ctypes.c_longlong * 6))


def register(trt: Any) -> None:
    """Register the creator with TensorRT's or TensorRT-RTX's module, once; UsageError before 10: no IPluginV3."""
    if not hasattr(trt, "IPluginV3"):
        raise UsageError(f"TensorRT {trt.__version__} takes no plugin written in Python", "build the library")
    registry = trt.get_plugin_registry()
    if registry.get_creator(NAME, VERSION, DOMAIN) is None:
        registry.register_creator(_creator(trt), DOMAIN)


def compile_kernel(capability: tuple[int, int], element: str) -> tuple[bytes, str]:
    """Machine code for the capability, and the symbol of the kernel for "float" or "onnxgs::half_t"."""
    name = KERNEL.format(element)
    source = (sources() / "bilinear_sample.cuh").read_text(encoding="utf-8")
    options = (f"--gpu-architecture=sm_{capability[0]}{capability[1]}", "--std=c++17")
    code, symbols = compile_source(source, options, (name,))
    return code, symbols[name]


def output_shape(layout: int, image: Sequence[Any], grid: Sequence[Any]) -> tuple[Any, Any, Any, Any]:
    """[N, C, Ho, Wo] or [N, Ho, Wo, C]; sizes may be numbers or TensorRT's expressions."""
    if layout == NHWC:
        return image[0], grid[1], grid[2], image[3]
    return image[0], image[1], grid[1], grid[2]


def _call(codes: Sequence[int], image: Sequence[int], grid: Sequence[int]) -> _Call:
    n, c, h, w = (image[k] for k in ((0, 3, 1, 2) if codes[3] == NHWC else (0, 1, 2, 3)))
    return _Call((ctypes.c_int * 5)(*codes[:4]), (ctypes.c_longlong * 6)(n, c, h, w, grid[1], grid[2]))


class _Launcher:
    """The kernels of this process, compiled when they are first wanted."""

    def __init__(self) -> None:
        self._driver: Driver | None = None
        self._kernels: dict[str, ctypes.c_void_p] = {}

    def __call__(self, element: str, call: _Call, pointers: Sequence[int], stream: int) -> None:
        points = call.sizes[0] * call.sizes[4] * call.sizes[5]
        if points == 0:
            return
        self._driver = self._driver or Driver()
        if element not in self._kernels:
            code, symbol = compile_kernel(self._driver.capability, element)
            self._kernels[element] = self._driver.kernel(code, symbol)
        arguments = [*(ctypes.c_void_p(pointer) for pointer in pointers), call]
        self._driver.launch(self._kernels[element], -(-points // THREADS), THREADS, stream, arguments)


class _Plugin:
    """The plugin of one node; `_creator` adds the bases, which are TensorRT's own."""

    trt: Any
    bases: tuple[Any, ...]
    launcher: _Launcher

    def __init__(self, codes: Sequence[int]) -> None:
        for base in self.bases:
            base.__init__(self)
        self.codes = tuple(codes)
        self.plugin_name, self.plugin_version, self.plugin_namespace = NAME, VERSION, DOMAIN
        self.num_outputs = 2 if self.codes[MASK] else 1

    def get_capability_interface(self, kind: Any) -> Any:
        return self

    def clone(self) -> Any:
        return type(self)(self.codes)

    def attach_to_context(self, context: Any) -> Any:
        return self.clone()

    def configure_plugin(self, inputs: Any, outputs: Any) -> None:
        pass

    def on_shape_change(self, inputs: Any, outputs: Any) -> None:
        pass

    def get_output_data_types(self, types: Sequence[Any]) -> list[Any]:
        return [types[0]] * self.num_outputs

    def get_output_shapes(self, inputs: Any, shape_inputs: Any, builder: Any) -> list[Any]:
        output = self.trt.DimsExprs(4)
        for i, size in enumerate(output_shape(self.codes[3], inputs[0], inputs[1])):
            output[i] = size
        return [output, self._mask_shape(inputs[1], builder)] if self.num_outputs == 2 else [output]

    def _mask_shape(self, grid: Any, builder: Any) -> Any:
        form = next(form for form, code in MASK_CODES.items() if code == self.codes[MASK])
        mask = self.trt.DimsExprs(len(form))
        for i, axis in enumerate(form):
            mask[i] = builder.constant(1) if axis == "1" else grid["NHW".index(axis)]
        return mask

    def supports_format_combination(self, pos: int, in_out: Any, num_inputs: int) -> bool:
        image, desc = in_out[0].desc, in_out[pos].desc
        if desc.format != self.trt.TensorFormat.LINEAR:
            return False
        if pos == 0:
            return desc.type in (self.trt.float32, self.trt.float16)
        return bool(desc.type == (self.trt.float32 if pos == 1 else image.type))

    def get_fields_to_serialize(self) -> Any:
        return _fields(self.trt, {name: [code] for name, code in zip(FIELDS, self.codes, strict=True)})

    def enqueue(self, in_desc: Any, out_desc: Any, inputs: Any, outputs: Any, workspace: Any, stream: int) -> None:
        element = "onnxgs::half_t" if in_desc[0].type == self.trt.float16 else "float"
        call = _call(self.codes, tuple(in_desc[0].dims), tuple(in_desc[1].dims))
        self.launcher(element, call, (*inputs, *outputs, *[0] * (2 - self.num_outputs)), stream)


def _fields(trt: Any, values: Mapping[str, Sequence[int]]) -> Any:
    kind = trt.PluginFieldType.INT32
    return trt.PluginFieldCollection([trt.PluginField(n, np.array(v, np.int32), kind) for n, v in values.items()])


def _creator(trt: Any) -> Any:
    """The creator; its classes derive from the module's own, which is known only now."""
    bases = (trt.IPluginV3, trt.IPluginV3OneCore, trt.IPluginV3OneBuild, trt.IPluginV3OneRuntime)
    plugin = type("Plugin", (_Plugin, *bases), {"trt": trt, "bases": bases, "launcher": _Launcher()})

    class Creator(trt.IPluginCreatorV3One):  # type: ignore[misc]
        """Makes plugins from a node's attributes or from an engine."""

        def __init__(self) -> None:
            trt.IPluginCreatorV3One.__init__(self)
            self.name, self.plugin_version, self.plugin_namespace = NAME, VERSION, DOMAIN
            self.field_names = _fields(trt, dict.fromkeys(FIELDS, ()))

        def create_plugin(self, name: str, fields: Any, phase: Any) -> Any:
            given = {field.name: int(np.asarray(field.data).ravel()[0]) for field in fields if field.name in FIELDS}
            return plugin([given.get(field, 0) for field in FIELDS])

    return Creator()
