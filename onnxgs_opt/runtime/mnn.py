"""MNN, the runtime of many phone applications: models are converted, and run here on the CPU."""

from __future__ import annotations

import ctypes
import importlib
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from onnxgs_opt.errors import RunError
from onnxgs_opt.runtime.as_file import as_file
from onnxgs_opt.runtime.base import Quirk
from onnxgs_opt.runtime.mnn_resize import require_images
from onnxgs_opt.runtime.outputs import Outputs
from onnxgs_opt.runtime.timing import Call, Feeds
from onnxgs_opt.samplers.view import Array

CONVERT = """
import sys, _tools
_tools.mnnconvert(["", *"-f ONNX --bizCode x --modelFile".split(), sys.argv[1], "--MNNModel", sys.argv[2]])
"""
"""A program of its own: it prints, and a model that it does not take may end it."""


@dataclass(frozen=True)
class Mnn:
    """MNN on the CPU, in one thread a core."""

    name: str = "mnn"
    quirks: frozenset[Quirk] = frozenset(
        {
            Quirk.SCAN_SEES_NO_OUTER_TENSORS,
            Quirk.NO_FUNCTIONS,
            Quirk.NO_DEFORM_CONV,
            Quirk.NO_LINEAR_RESIZE_OF_VOLUMES,
            Quirk.CUBIC_RESIZE_IS_OF_WHOLE_PIXELS,
            Quirk.NEAREST_RESIZE_ROUNDS_DOWN,
            Quirk.OLD_ROI_ALIGN_IS_HALF_PIXEL,
            Quirk.GRID_SAMPLE_DOES_NOT_MIRROR,
            Quirk.CUBIC_GRID_SAMPLE_IS_LINEAR,
            Quirk.NEGATIVE_ZERO_IS_LESS,
        }
    )
    least_call_s: float = 5e-4
    checks: bool = True

    def unavailable(self) -> str | None:
        """Say that the package is not installed."""
        return None if util.find_spec("MNN") else "MNN is not installed: pip install MNN"

    def version(self) -> str:
        """As the package says."""
        return f"MNN {metadata.version('MNN')}"

    def device(self) -> str:
        """The machine and its processor."""
        return f"{platform.machine()} {platform.processor()} {platform.node()}"

    def load(self, model: ModelProto, folder: Path | None = None, custom_ops: Sequence[str] = ()) -> Module:
        """Convert it and load that; see `Runtime.load`. Libraries of custom operators are onnxruntime's."""
        require_images(model)
        with as_file(model, folder) as path:
            made = path.with_suffix(".mnn")
            command = [sys.executable, "-c", CONVERT, str(path), str(made)]
            # It leaves a file of weights in the folder that it runs in.
            said = subprocess.run(command, capture_output=True, text=True, check=False, cwd=path.parent).stdout
            if not made.exists():
                raise RunError(f"MNN does not convert it: {' '.join(said.split())[-100:]}")
            inputs, outputs = [value.name for value in model.graph.input], Outputs.of(model)
            threads = os.cpu_count() or 1
            raw = _mnn().nn.load_module_from_file(str(made), inputs, list(outputs.types), thread_num=threads)
        return Module(raw, inputs, outputs)

    def prepare(
        self, model: ModelProto, feeds: Feeds, folder: Path | None = None, custom_ops: Sequence[str] = ()
    ) -> Call:
        """Convert and load it; see `Runtime.prepare`."""
        return self.load(model, folder).call(feeds)


@dataclass(frozen=True)
class Module:
    """A model that MNN has loaded, `raw`, the names of its inputs in order, and its outputs."""

    raw: Any
    inputs: Sequence[str]
    outputs: Outputs

    def run(self, names: Sequence[str] | None, feeds: Feeds) -> list[Array]:
        """The outputs of these names, or all; RunError where the model does not run on these inputs."""
        values = self.call(feeds)()
        return self.outputs.named(names, [np.array(value.read()) for value in values])  # theirs goes with the variables

    def call(self, feeds: Feeds) -> Callable[[], list[Any]]:
        """A call whose inputs stay where they are; it returns the variables of the outputs, which are computed."""
        return partial(self._computed, [_variable(feeds[name]) for name in self.inputs])

    def _computed(self, given: list[Any]) -> list[Any]:
        with _silence():
            try:
                made = self.raw.onForward(given)
                for value in made:
                    value.read()
            except Exception as reason:  # its errors have no common base
                raise RunError(f"MNN does not run it: {reason}") from reason
        if len(made) != len(self.outputs.types):
            raise RunError("MNN does not run it: it gives no outputs")
        return list(made)


def _variable(value: Array) -> Any:
    """The value as MNN takes it: in 32 bits."""
    expr, is_float = _mnn().expr, value.dtype.kind == "f"
    value = np.asarray(value, np.float32 if is_float else np.int32, order="C")
    return expr.const(value, list(value.shape), expr.NCHW, expr.float if is_float else expr.int)


@lru_cache(maxsize=1)
def _mnn() -> Any:
    with _silence():
        return importlib.import_module("MNN")


@contextmanager
def _silence() -> Iterator[None]:
    """Let nothing that MNN prints, when it is imported and of shapes that it does not take, reach standard output."""
    sys.stdout.flush()
    own = os.dup(1)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    try:
        yield
    finally:
        ctypes.CDLL(None).fflush(None)  # what C's own buffers hold would come later
        os.dup2(own, 1)
        os.close(own)
