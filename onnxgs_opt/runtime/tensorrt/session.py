"""Engines on the GPU that is here: their outputs, their time in a CUDA graph, and the time of each layer."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxgs_opt.errors import EngineError
from onnxgs_opt.runtime.tensorrt.cuda_driver import Driver
from onnxgs_opt.runtime.tensorrt.engine import EngineTime
from onnxgs_opt.samplers.view import Array

REPLAYS = 10  # runs in one graph: its launch is shared among them


def error_logger(trt: Any) -> Any:
    """A logger of TensorRT's errors on stderr: its own writes them to stdout, which carries the report."""

    class Errors(trt.ILogger):  # type: ignore[misc]
        """Says what is an error or worse."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                sys.stderr.write(f"TensorRT: {message}\n")

    return Errors()


@dataclass(frozen=True)
class _Bound:
    """One tensor of the engine and its buffer."""

    address: int
    shape: tuple[int, ...]
    dtype: Any

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * int(np.dtype(self.dtype).itemsize)


class EngineRun:
    """The engine `plan` with its inputs on the device; `feeds`, by name, settle dynamic shapes.

    `trt` is the module that built it, TensorRT or TensorRT-RTX, its plugins registered; `logger` is one of its own.
    """

    def __init__(self, trt: Any, logger: Any, plan: bytes, feeds: Mapping[str, Array]) -> None:
        """Raise EngineError where the engine does not load or an input does not fit it."""
        self._driver = Driver()
        self._trt = trt
        self._runtime = trt.Runtime(logger)
        if hasattr(self._runtime, "engine_host_code_allowed"):
            self._runtime.engine_host_code_allowed = True  # for a plugin library that the engine carries
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise EngineError("the engine does not load here", "was it built for this GPU and this TensorRT?")
        self._context = self._engine.create_execution_context()
        self._stream = self._driver.stream()
        self._addresses: list[int] = []
        self._outputs: dict[str, _Bound] = {}
        for name, array in feeds.items():
            self._bind_input(name, array)
        for i in range(self._engine.num_io_tensors):
            name = self._engine.get_tensor_name(i)
            if name not in feeds:
                self._outputs[name] = self._bind(name, tuple(self._context.get_tensor_shape(name)))

    def _bind_input(self, name: str, array: Array) -> None:
        if not self._context.set_input_shape(name, array.shape):
            raise EngineError(f"the engine does not take {array.shape} for '{name}'", "give it another --shape")
        bound = self._bind(name, array.shape)
        self._driver.upload(np.ascontiguousarray(array, bound.dtype), bound.address)

    def _bind(self, name: str, shape: tuple[int, ...]) -> _Bound:
        dtype = self._trt.nptype(self._engine.get_tensor_dtype(name))
        bound = _Bound(0, shape, dtype)
        bound = _Bound(self._driver.buffer(bound.size), shape, dtype)
        self._addresses.append(bound.address)
        self._context.set_tensor_address(name, bound.address)
        return bound

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(self._stream):
            raise EngineError("the engine does not run", "see the log of TensorRT")

    @property
    def layers(self) -> int:
        """Layers of the engine, after fusion."""
        return int(self._engine.num_layers)

    def outputs(self) -> dict[str, Array]:
        """Run once; every output buffer was filled with NaN before."""
        for bound in self._outputs.values():
            self._driver.poison(bound.address, bound.size)
        self._enqueue()
        self._driver.synchronize()
        arrays = {name: np.empty(bound.shape, bound.dtype) for name, bound in self._outputs.items()}
        for name, array in arrays.items():
            self._driver.download(self._outputs[name].address, array)
        return arrays

    def complete(self) -> None:
        """Run once and wait for the end; from any thread."""
        self._driver.make_current()
        self._enqueue()
        self._driver.synchronize()

    def microseconds(self, repeats: int = 20) -> list[float]:
        """The time of one run, `repeats` times: a CUDA graph of ten runs, timed on the device."""
        self.complete()

        def several() -> None:
            for _ in range(REPLAYS):
                self._enqueue()

        def replay() -> None:
            self._driver.launch_graph(graph, self._stream)

        graph = self._driver.graph(self._stream, several)
        self._driver.milliseconds(self._stream, replay)
        return [self._driver.milliseconds(self._stream, replay) * 1000 / REPLAYS for _ in range(repeats)]

    def layer_times(self, repeats: int = 20) -> tuple[EngineTime, ...]:
        """The median time of each layer, longest first, and its share: without a graph, as trtexec's profile."""
        times: dict[str, list[float]] = {}

        class Profiler(self._trt.IProfiler):  # type: ignore[misc,name-defined]
            """Collects what TensorRT reports after each run."""

            def __init__(self, trt: Any) -> None:
                trt.IProfiler.__init__(self)

            def report_layer_time(self, name: str, milliseconds: float) -> None:
                times.setdefault(name, []).append(milliseconds * 1000)

        self._enqueue()
        self._driver.synchronize()
        self._context.profiler = profiler = Profiler(self._trt)
        for _ in range(repeats):
            self._enqueue()
            self._driver.synchronize()
        del profiler
        medians = {name: round(statistics.median(each), 2) for name, each in times.items()}
        total = sum(medians.values()) or 1.0
        layers = (EngineTime(name, time, round(time / total, 4)) for name, time in medians.items())
        return tuple(sorted(layers, key=lambda layer: -layer.microseconds))

    def close(self) -> None:
        """Give the buffers back."""
        while self._addresses:
            self._driver.free(self._addresses.pop())
