"""The few calls of NVIDIA's driver that running an engine takes, through ctypes: no CUDA package is needed.

It uses the primary context of device 0, as TensorRT does.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from onnxgs_opt.errors import EngineError

Array = np.ndarray[Any, Any]
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
_RELAXED = 2  # CU_STREAM_CAPTURE_MODE_RELAXED


def has_gpu() -> bool:
    """Whether a driver and a GPU are here."""
    with suppress(OSError, EngineError):
        count = ctypes.c_int()
        library = ctypes.CDLL("libcuda.so.1")
        return not library.cuInit(0) and not library.cuDeviceGetCount(ctypes.byref(count)) and count.value > 0
    return False


class Driver:
    """Device 0 and its primary context, made current in this thread."""

    def __init__(self) -> None:
        """Raise EngineError where there is no driver or no GPU."""
        try:
            self._library = ctypes.CDLL("libcuda.so.1")
        except OSError:
            raise EngineError("there is no NVIDIA driver here (libcuda.so.1)", "run it where a GPU is") from None
        self._call("cuInit", 0)
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self._call("cuDeviceGet", ctypes.byref(device), 0)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._device, self._context = device, context
        self.make_current()

    def make_current(self) -> None:
        """Make the context this thread's."""
        self._call("cuCtxSetCurrent", self._context)

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            text = ctypes.c_char_p()
            self._library.cuGetErrorString(status, ctypes.byref(text))
            raise EngineError(f"{name}: {(text.value or b'unknown error').decode()}", "")

    def _handle(self, name: str, *arguments: Any) -> ctypes.c_void_p:
        handle = ctypes.c_void_p()
        self._call(name, ctypes.byref(handle), *arguments)
        return handle

    @property
    def capability(self) -> tuple[int, int]:
        """The GPU's compute capability."""
        numbers = []
        for attribute in (_MAJOR, _MINOR):
            value = ctypes.c_int()
            self._call("cuDeviceGetAttribute", ctypes.byref(value), attribute, self._device)
            numbers.append(value.value)
        return numbers[0], numbers[1]

    # -- memory -----------------------------------------------------------------------------------------

    def buffer(self, size: int) -> int:
        """The address of `size` bytes, at least 1, that live as long as the process."""
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(max(size, 1)))
        return int(address.value)

    def free(self, address: int) -> None:
        """Give a buffer back."""
        self._call("cuMemFree_v2", ctypes.c_uint64(address))

    def upload(self, array: Array, address: int) -> None:
        """Copy an array, contiguous, to the device."""
        if array.nbytes:
            source = ctypes.c_void_p(array.ctypes.data)
            self._call("cuMemcpyHtoD_v2", ctypes.c_uint64(address), source, ctypes.c_size_t(array.nbytes))

    def download(self, address: int, array: Array) -> None:
        """Copy from the device into an array."""
        if array.nbytes:
            target = ctypes.c_void_p(array.ctypes.data)
            self._call("cuMemcpyDtoH_v2", target, ctypes.c_uint64(address), ctypes.c_size_t(array.nbytes))

    def poison(self, address: int, size: int) -> None:
        """Fill with NaN: what is not written shows."""
        if size:
            self._call("cuMemsetD8_v2", ctypes.c_uint64(address), ctypes.c_ubyte(0xFF), ctypes.c_size_t(size))

    # -- streams and time ---------------------------------------------------------------------------------

    def stream(self) -> int:
        """A stream of its own."""
        return int(self._handle("cuStreamCreate", 1).value or 0)

    def synchronize(self) -> None:
        """Wait for all work of the device."""
        self._call("cuCtxSynchronize")

    def graph(self, stream: int, work: Callable[[], None]) -> ctypes.c_void_p:
        """Capture what `work` enqueues on the stream, ready to launch."""
        self._call("cuStreamBeginCapture_v2", ctypes.c_void_p(stream), _RELAXED)
        work()
        captured = ctypes.c_void_p()
        self._call("cuStreamEndCapture", ctypes.c_void_p(stream), ctypes.byref(captured))
        return self._handle("cuGraphInstantiateWithFlags", captured, ctypes.c_uint64(0))

    def launch_graph(self, graph: ctypes.c_void_p, stream: int) -> None:
        """Enqueue a captured graph."""
        self._call("cuGraphLaunch", graph, ctypes.c_void_p(stream))

    def milliseconds(self, stream: int, work: Callable[[], None]) -> float:
        """Time on the device between two events around `work`."""
        start, end = self._handle("cuEventCreate", 0), self._handle("cuEventCreate", 0)
        self._call("cuEventRecord", start, ctypes.c_void_p(stream))
        work()
        self._call("cuEventRecord", end, ctypes.c_void_p(stream))
        self._call("cuEventSynchronize", end)
        elapsed = ctypes.c_float()
        self._call("cuEventElapsedTime", ctypes.byref(elapsed), start, end)
        for event in (start, end):
            self._call("cuEventDestroy_v2", event)
        return float(elapsed.value)

    # -- kernels ------------------------------------------------------------------------------------------

    def kernel(self, image: bytes, name: str) -> ctypes.c_void_p:
        """A function of a compiled module."""
        module = self._handle("cuModuleLoadData", ctypes.c_char_p(image))
        return self._handle("cuModuleGetFunction", module, name.encode())

    def launch(
        self, kernel: ctypes.c_void_p, blocks: int, threads: int, stream: int, arguments: Sequence[ctypes._CData]
    ) -> None:
        """Enqueue a kernel over a row of blocks."""
        pointers = (ctypes.c_void_p * len(arguments))(*(ctypes.addressof(value) for value in arguments))
        shape = (blocks, 1, 1, threads, 1, 1)
        self._call("cuLaunchKernel", kernel, *shape, 0, ctypes.c_void_p(stream), pointers, None)
