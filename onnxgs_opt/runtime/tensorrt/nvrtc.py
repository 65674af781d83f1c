"""NVIDIA's run-time compiler through ctypes: CUDA C++ to machine code, without a GPU or a driver."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from onnxgs_opt.errors import EngineError, UsageError

_NAMES = ("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2", "libnvrtc.so")


def compile_source(source: str, options: Sequence[str], names: Sequence[str] = ()) -> tuple[bytes, dict[str, str]]:
    """Machine code, and for each template in `names` the symbol it got.

    Raises:
        UsageError: NVRTC is not installed.
        EngineError: The source does not compile; the message has the first error.
    """
    library = _library()
    program = ctypes.c_void_p()
    _check(library, library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"onnxgs.cu", 0, None, None))
    try:
        for name in names:
            _check(library, library.nvrtcAddNameExpression(program, name.encode()))
        words = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        if library.nvrtcCompileProgram(program, len(options), words):
            raise EngineError(f"the kernel does not compile: {_first_error(_log(library, program))}", "")
        return _code(library, program), {name: _symbol(library, program, name) for name in names}
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _library() -> Any:
    """NVRTC of the nvidia-cuda-nvrtc package, else of the system."""
    spec = find_spec("nvidia")
    places = [Path(place) for place in (spec.submodule_search_locations or [])] if spec is not None else []
    found = [path for place in places for path in place.glob("*/lib/libnvrtc.so.*") if "builtins" not in path.name]
    for name in [*map(str, sorted(found, reverse=True)), *_NAMES]:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise UsageError("NVRTC is not installed", "pip install nvidia-cuda-nvrtc")


def _check(library: Any, status: int) -> None:
    if status:
        library.nvrtcGetErrorString.restype = ctypes.c_char_p
        raise EngineError(f"NVRTC: {library.nvrtcGetErrorString(status).decode()}", "")


def _code(library: Any, program: ctypes.c_void_p) -> bytes:
    size = ctypes.c_size_t()
    _check(library, library.nvrtcGetCUBINSize(program, ctypes.byref(size)))
    code = ctypes.create_string_buffer(size.value)
    _check(library, library.nvrtcGetCUBIN(program, code))
    return code.raw


def _symbol(library: Any, program: ctypes.c_void_p, name: str) -> str:
    symbol = ctypes.c_char_p()
    _check(library, library.nvrtcGetLoweredName(program, name.encode(), ctypes.byref(symbol)))
    return (symbol.value or b"").decode()


def _log(library: Any, program: ctypes.c_void_p) -> str:
    size = ctypes.c_size_t()
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    return log.value.decode(errors="replace")


def _first_error(log: str) -> str:
    return next((line for line in log.splitlines() if "error" in line), log)
