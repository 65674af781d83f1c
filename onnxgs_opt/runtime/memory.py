"""How much memory a check may take: what is free now, and what two models in onnxruntime need.

A check that does not fit is not made, and the report says so; the system would end the whole process otherwise.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto

from onnxgs_opt.ir.external_data import tensors_of
from onnxgs_opt.samplers.view import by

INSIDE, OUTSIDE = 5, 2
"""Bytes that two sessions take at most for a byte of weights in the model and in another file: measured, 2026-11-22."""

ARRAYS = 8
"""Bytes that one element of an input takes at most: it is drawn in double precision."""

_GIB = 1 << 30
_CGROUPS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)


class TooLargeError(MemoryError):
    """Something needs more memory than is free; the message says how much of each."""


def free_bytes() -> int:
    """Bytes that this process can still get: of the machine and of its container, 2**63 where neither says."""
    return min([_of_machine(), *(_of_cgroup(most, used) for most, used in _CGROUPS)])


def _of_machine() -> int:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, OSError, ValueError):
        return 1 << 63


def _of_cgroup(most: Path, used: Path) -> int:
    try:
        return max(0, int(most.read_text(encoding="ascii")) - int(used.read_text(encoding="ascii")))
    except (OSError, ValueError):  # there is none, or it is unlimited: "max"
        return 1 << 63


def require(count: int, what: str) -> None:
    """Raise TooLargeError where a number of bytes is not free."""
    free = free_bytes()
    if count > free:
        raise TooLargeError(f"{what} needs about {_gib(count)} of memory, and {_gib(free)} is free")


def require_array(shape: Sequence[int]) -> None:
    """Raise TooLargeError where an input of this shape cannot be drawn."""
    count = ARRAYS * math.prod(int(size) for size in shape)
    if count > _GIB:  # asking the system costs more than drawing a few numbers
        require(count, f"an input of {by(shape)}")


def require_sessions(models: Iterable[ModelProto]) -> None:
    """Raise TooLargeError where the original and the result cannot be in memory at once."""
    count = max(map(_session_bytes, models))
    if count > _GIB:
        require(count, "running the model before and after")


def _session_bytes(model: ModelProto) -> int:
    outside = sum(_stored_bytes(t) for t in tensors_of(model) if t.data_location == TensorProto.EXTERNAL)
    return int(INSIDE * model.ByteSize() + OUTSIDE * outside)


def _stored_bytes(tensor: TensorProto) -> int:
    try:
        kind: np.dtype[Any] = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    except (KeyError, ValueError):
        return 0
    return int(math.prod(tensor.dims) * kind.itemsize)


def _gib(count: int) -> str:
    return f"{count / _GIB:.1f} GiB"
