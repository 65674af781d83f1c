"""onnxruntime: sessions, all opened alike, and calls that are ready to be timed."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from onnxgs_opt.errors import RunError, UsageError
from onnxgs_opt.runtime.base import Quirk
from onnxgs_opt.runtime.timing import Call, Feeds
from onnxgs_opt.samplers.view import Array

CPU = "CPUExecutionProvider"
FATAL_ONLY = 4
NO_SPINNING_BETWEEN_RUNS = ("session.force_spinning_stop", "1")
"""A session's threads wait actively for its next run. Where several sessions take turns, as here, each then took up to
twice as long as by itself, and not all alike."""
NO_SPINNING = ("session.intra_op.allow_spinning", "0")
"""Within a run they do so too: worth it where a run is timed, else up to five times the processor time of the run."""

_CODE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
_SOURCE_LINE = re.compile(r"^/\S+:\d+ .*?\) (?=[A-Z])")
_UNKNOWN_OP = "is not a registered function/op"


DEFORM_CONV_SINCE = (1, 25)
"""The first version that has the operator, which is of opset 19."""


@dataclass(frozen=True)
class Session:
    """A session of onnxruntime, `raw`, that fails with our error."""

    raw: Any

    @property
    def outputs(self) -> list[str]:
        """The names of the model's outputs."""
        return [output.name for output in self.raw.get_outputs()]

    def run(self, names: Sequence[str] | None, feeds: Feeds) -> list[Array]:
        """The outputs of these names, or all; RunError where the model does not run on these inputs."""
        with _errors_as_ours():
            return [_as_array(value) for value in self.raw.run(names, dict(feeds))]


def _as_array(value: Any) -> Array:
    """An output as one array: a sequence of tensors of several shapes as the shape of each before its elements."""
    if not isinstance(value, list) or len({np.shape(each) for each in value}) < 2:
        return np.asarray(value)
    parts = (part for each in value for part in ((np.ndim(each), *np.shape(each)), np.ravel(each)))
    return np.concatenate([*parts])


@contextmanager
def _errors_as_ours() -> Iterator[None]:
    """Raise `RunError` for whatever onnxruntime raises: its errors have no base but Exception."""
    try:
        yield
    except Exception as reason:
        raise RunError(_in_words(reason)) from reason


def open_session(
    model: ModelProto,
    folder: Path | None = None,
    custom_ops: Sequence[str] = (),
    *,
    providers: Sequence[str] = (CPU,),
    optimise: bool = True,
    threads: int | None = None,
) -> Session:
    """A session of onnxruntime for a model in memory.

    Args:
        folder: Where its external weights lie; None for a model without any.
        custom_ops: Libraries that `load_custom_ops` has tried.
        providers: What runs it, in order of preference.
        optimise: False runs the graph as it is written.
        threads: How many threads one operator may use, which sleep where they wait; None leaves both to onnxruntime,
            for what is timed as users run it.

    Raises:
        RunError: The model does not load.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = FATAL_ONLY
    options.add_session_config_entry(*NO_SPINNING_BETWEEN_RUNS)
    if threads is not None:
        options.intra_op_num_threads = threads
        options.add_session_config_entry(*NO_SPINNING)
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if folder is not None:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    with _errors_as_ours():
        for library in custom_ops:
            options.register_custom_ops_library(library)
        return Session(ort.InferenceSession(model.SerializeToString(), options, providers=list(providers)))


def has_deform_conv() -> bool:
    """Whether the onnxruntime that is installed has DeformConv."""
    import onnxruntime as ort

    return tuple(map(int, ort.__version__.split(".")[:2])) >= DEFORM_CONV_SINCE


def load_custom_ops(paths: Iterable[str | os.PathLike[str]]) -> tuple[str, ...]:
    """Load libraries of custom operators and return their absolute paths; no other place is searched for them.

    Raises:
        UsageError: A file is missing, or is no such library.
    """
    return tuple(_loaded(Path(path).absolute()) for path in paths)


def _loaded(path: Path) -> str:
    import onnxruntime as ort

    if not path.is_file():
        raise UsageError(f"there is no library of custom operators at {path}", "check the path")
    try:
        with _errors_as_ours():
            ort.SessionOptions().register_custom_ops_library(str(path))
    except RunError as reason:
        hint = "name a shared library for this machine that exports RegisterCustomOps"
        raise UsageError(f"onnxruntime cannot load custom operators from {path}: {reason}", hint) from reason
    return str(path)


def _in_words(reason: Exception) -> str:
    """One line of what onnxruntime says, without its error code and place in its source; at most 300 characters."""
    text = _SOURCE_LINE.sub("", _CODE.sub("", " ".join(str(reason).split())))[:300]
    return f"{text}; --custom-ops-library FILE names the library that has it" if _UNKNOWN_OP in text else text


PROVIDERS: Mapping[str, str] = {"ort-cpu": CPU, "ort-cuda": "CUDAExecutionProvider"}
"""Targets that onnxruntime runs, and what it calls them."""


@dataclass(frozen=True)
class OnnxRuntime:
    """onnxruntime with one of `PROVIDERS`; what that cannot run, its CPU provider does.

    Everything is at onnxruntime's defaults, as users run it, but that no thread waits actively between runs.
    """

    name: str
    quirks: frozenset[Quirk] = frozenset()
    least_call_s: float = 5e-4

    def unavailable(self) -> str | None:
        """Say that this build of onnxruntime lacks the provider."""
        import onnxruntime as ort

        provider = PROVIDERS[self.name]
        return None if provider in ort.get_available_providers() else f"the installed onnxruntime has no {provider}"

    def version(self) -> str:
        """As the module says."""
        import onnxruntime as ort

        return f"onnxruntime {ort.__version__}"

    def device(self) -> str:
        """The processor, where it runs on that."""
        chip = platform.processor() if self.name == "ort-cpu" else self.name
        return f"{platform.machine()} {chip} {platform.node()}"

    @property
    def checks(self) -> bool:
        """Every check runs on the CPU anyway."""
        return self.name != "ort-cpu"

    def load(self, model: ModelProto, folder: Path | None = None, custom_ops: Sequence[str] = ()) -> Session:
        """Open a session."""
        return open_session(model, folder, custom_ops, providers=list(dict.fromkeys([PROVIDERS[self.name], CPU])))

    def prepare(
        self, model: ModelProto, feeds: Feeds, folder: Path | None = None, custom_ops: Sequence[str] = ()
    ) -> Call:
        """Open a session; see `Runtime.prepare`."""
        import onnxruntime as ort

        session = self.load(model, folder, custom_ops).raw
        known = {i.name for i in session.get_inputs()}
        given = {name: value for name, value in feeds.items() if name in known}
        options = ort.RunOptions()
        options.log_severity_level = FATAL_ONLY
        if self.name == "ort-cpu":
            run = partial(session.run, None, given)
        else:
            run = partial(session.run_with_iobinding, _bound(session, given))
        return StoppableCall(partial(run, options), options)


@dataclass(frozen=True)
class StoppableCall:
    """A run that is ready to be timed, and the options that it runs with: they can end it."""

    run: Call
    options: Any

    def __call__(self) -> object:
        """Run once; RunError where it does not run on its inputs, or was stopped."""
        with _errors_as_ours():
            return self.run()

    def stop(self) -> None:
        """End it before its next node."""
        self.options.terminate = True


def _bound(session: Any, feeds: Feeds) -> Any:
    """Inputs and outputs on the device."""
    import onnxruntime as ort

    binding = session.io_binding()
    for name, value in feeds.items():
        binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(value, "cuda", 0))
    for output in session.get_outputs():
        binding.bind_output(output.name, "cuda")
    return binding
