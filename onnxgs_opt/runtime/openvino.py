"""OpenVINO: its processors and graphics devices, at the precision that each computes in by default."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from onnxgs_opt.errors import RunError
from onnxgs_opt.runtime.as_file import as_file
from onnxgs_opt.runtime.base import Quirk
from onnxgs_opt.runtime.outputs import Outputs
from onnxgs_opt.runtime.timing import Call, Feeds
from onnxgs_opt.samplers.view import Array

_PLACE = re.compile(r"Check '.*?' failed at \S+|Exception from \S+")
_SAID_TWICE = re.compile("FrontEnd API failed|Summary:|To facilitate|-- Conversion is failed")
"""Lines of an error that say nothing, or again what the line before them does."""


@dataclass(frozen=True)
class OpenVino:
    """OpenVINO on a device, `openvino:GPU` and the like; on the CPU where the name says none."""

    name: str = "openvino"
    quirks: frozenset[Quirk] = frozenset(
        {
            Quirk.SHORT_FLOATS_BY_DEFAULT,
            Quirk.SCAN_SEES_NO_OUTER_TENSORS,
            Quirk.NO_FUNCTIONS,
            Quirk.NO_DEFORM_CONV,
            Quirk.NO_GRID_SAMPLE_OF_VOLUMES,
        }
    )
    least_call_s: float = 5e-4
    checks: bool = True

    @property
    def place(self) -> str:
        """What OpenVINO calls the device."""
        return self.name.partition(":")[2] or "CPU"

    def unavailable(self) -> str | None:
        """Say that the package is not installed, or that it finds no such device."""
        if util.find_spec("openvino") is None:
            return "openvino is not installed: pip install openvino"
        try:
            found = _core().available_devices
        except (ImportError, RuntimeError) as reason:
            return f"openvino is installed and does not load: {reason}"
        if any(name.partition(".")[0] == self.place or name == self.place for name in found):
            return None
        return f"OpenVINO finds no device {self.place} here, only {', '.join(found)}"

    def version(self) -> str:
        """As the package says."""
        return f"openvino {metadata.version('openvino')}"

    def device(self) -> str:
        """The machine, and what OpenVINO says of the device."""
        return f"{platform.machine()} {_core().get_property(self.place, 'FULL_DEVICE_NAME')} {platform.node()}"

    def load(self, model: ModelProto, folder: Path | None = None, custom_ops: Sequence[str] = ()) -> Compiled:
        """Compile it for the device; see `Runtime.load`. Libraries of custom operators are onnxruntime's."""
        with as_file(model, folder) as path, _errors_as_ours():
            return Compiled(_core().compile_model(str(path), self.place), Outputs.of(model))

    def prepare(
        self, model: ModelProto, feeds: Feeds, folder: Path | None = None, custom_ops: Sequence[str] = ()
    ) -> Call:
        """Compile it; see `Runtime.prepare`."""
        return self.load(model, folder, custom_ops).call(feeds)


@dataclass(frozen=True)
class Compiled:
    """A model that OpenVINO has compiled, `raw`, and its outputs."""

    raw: Any
    outputs: Outputs

    def run(self, names: Sequence[str] | None, feeds: Feeds) -> list[Array]:
        """The outputs of these names, or all; RunError where the model does not run on these inputs."""
        return self.outputs.named(names, [np.array(tensor.data) for tensor in self.call(feeds)()])

    def call(self, feeds: Feeds) -> Callable[[], Any]:
        """A call whose inputs and outputs stay where they are; it returns the outputs' tensors."""
        from openvino import Tensor

        request, given = self.raw.create_infer_request(), []
        for port in self.raw.inputs:
            name = next((name for name in port.get_names() if name in feeds), None)
            if name is None:
                raise RunError(f"nothing is given for its input '{port.any_name}'")
            with _errors_as_ours():
                given.append(np.asarray(feeds[name], order="C"))
                request.set_tensor(port, Tensor(given[-1], shared_memory=True))
        return Inference(request, given)


@dataclass(frozen=True)
class Inference:
    """A run that is ready. Tensors of its `request` do not hold the memory of the arrays `given`, which they share."""

    request: Any
    given: Sequence[Array]

    def __call__(self) -> Any:
        """Run once, and return the outputs' tensors; RunError where it fails, or was stopped."""
        with _errors_as_ours():
            self.request.start_async()
            self.request.wait()
        return self.request.output_tensors

    def stop(self) -> None:
        """Cancel it."""
        self.request.cancel()


@contextmanager
def _errors_as_ours() -> Iterator[None]:
    """Raise `RunError` for whatever OpenVINO raises, in one line without the places in its source."""
    try:
        yield
    except RuntimeError as reason:
        lines = _PLACE.sub("", str(reason)).splitlines()
        raise RunError(" ".join(line for line in lines if line and not _SAID_TWICE.match(line))[:300]) from reason


@lru_cache(maxsize=1)
def _core() -> Any:
    import openvino

    return openvino.Core()
