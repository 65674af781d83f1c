"""TensorRT as a target: an engine for the GPU that is here, timed by the GPU."""

from __future__ import annotations

import importlib
import platform
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import NoReturn

from onnx import ModelProto

from onnxgs_opt.errors import EngineError
from onnxgs_opt.runtime.base import Quirk
from onnxgs_opt.runtime.tensorrt import build
from onnxgs_opt.runtime.tensorrt.cuda_driver import Driver, has_gpu
from onnxgs_opt.runtime.tensorrt.session import REPLAYS, EngineRun, error_logger
from onnxgs_opt.runtime.timing import Feeds


@dataclass(frozen=True)
class TensorRt:
    """TensorRT or TensorRT-RTX. Engines are built in a process of their own and run in this one.

    `external_tactics`: the builder may try cuDNN's and cuBLAS's kernels.
    """

    name: build.Backend
    quirks: frozenset[Quirk]
    least_call_s: float = 2e-5
    checks: bool = False
    external_tactics: bool = True

    def unavailable(self) -> str | None:
        """Say what is missing: the package, a GPU, or one that its engines run on."""
        if self.name not in build.installed():
            return f"{self.name} is not installed: pip install {build.PACKAGES[self.name]}"
        if not has_gpu():
            return f"{self.name} runs on an NVIDIA GPU, and there is none here"
        known = getattr(importlib.import_module(build.MODULES[self.name]), "ComputeCapability", None)
        major, minor = Driver().capability
        if known is not None and not hasattr(known, f"SM{major}{minor}"):
            return f"{self.name} makes no engines for GPUs of compute capability {major}.{minor}"
        return None

    def version(self) -> str:
        """As the module says."""
        return f"{self.name} {importlib.import_module(build.MODULES[self.name]).__version__}"

    def device(self) -> str:
        """The machine and its GPU's compute capability."""
        return f"{platform.machine()} {'.'.join(map(str, Driver().capability))} {platform.node()}"

    def load(self, model: ModelProto, folder: Path | None = None, custom_ops: Sequence[str] = ()) -> NoReturn:
        """Refuse: an engine takes one set of sizes.

        Raises:
            EngineError: Always.
        """
        raise EngineError("an engine takes one set of sizes", "--engine checks the one that is built")

    def prepare(
        self, model: ModelProto, feeds: Feeds, folder: Path | None = None, custom_ops: Sequence[str] = ()
    ) -> EngineCall:
        """Build an engine for these inputs and load it; see `Runtime.prepare`.

        Raises:
            OptError: It does not build or load, or has nodes that only a plugin computes.
        """
        given = {value.name: feeds[value.name] for value in model.graph.input if value.name in feeds}
        return EngineCall(self._run(self.plan(model, given, folder), given))

    def plan(
        self, model: ModelProto, feeds: Feeds, folder: Path | None = None, capabilities: Sequence[str] = ()
    ) -> bytes:
        """The engine for inputs of these shapes, for the GPU that is here unless `capabilities` name others."""
        profiles = {name: build.Profile(value.shape, value.shape, value.shape) for name, value in feeds.items()}
        options = build.EngineOptions(
            self.name, profiles=profiles, capabilities=tuple(capabilities), external_tactics=self.external_tactics
        )
        with tempfile.TemporaryDirectory(prefix="onnxgs-") as place:
            origin = (folder or Path(place)) / "model.onnx"
            return build.build_engine(model, origin, Path(place) / "engine", options).path.read_bytes()

    def _run(self, plan: bytes, feeds: Feeds) -> EngineRun:
        trt = importlib.import_module(build.MODULES[self.name])
        logger = error_logger(trt)
        trt.init_libnvinfer_plugins(logger, "")
        return EngineRun(trt, logger, plan, feeds)


class EngineCall:
    """A call of an engine that takes its own time, by CUDA events; its buffers go with it."""

    def __init__(self, run: EngineRun) -> None:
        """Take over the engine that is ready to run."""
        self._run = run

    def __call__(self) -> None:
        """Run once, to the end; from any thread."""
        self._run.complete()

    def seconds(self, calls: int) -> float:
        """The mean time of one run, of at least `calls`."""
        return mean(self._run.microseconds(-(-calls // REPLAYS))) * 1e-6

    def __del__(self) -> None:
        """Give the buffers back."""
        self._run.close()
