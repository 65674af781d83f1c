"""Engines: a TensorRT or TensorRT-RTX plan from an ONNX model, built in a process of its own."""

from __future__ import annotations

import contextlib
import ctypes
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from onnx import ModelProto

from onnxgs_opt.errors import EngineError, OptError, UsageError
from onnxgs_opt.files.outputs import require_folder
from onnxgs_opt.runtime.tensorrt.engine import EngineLayer
from onnxgs_opt.runtime.tensorrt.prepare import for_engine
from onnxgs_opt.samplers.op import DOMAIN, NAME, is_own

Backend = Literal["tensorrt", "tensorrt-rtx"]
Shape = tuple[int, ...]
MODULES: dict[Backend, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
PACKAGES: dict[Backend, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt-rtx-cu13"}


@dataclass(frozen=True)
class Profile:
    """The shapes of one dynamic input that an engine serves: smallest, the one it is tuned for, largest."""

    least: Shape
    best: Shape
    most: Shape


@dataclass(frozen=True)
class EngineOptions:
    """How to build.

    Attributes:
        backend: The builder; None takes the one that is installed, TensorRT first.
        precisions: "fp16" and "bf16", which TensorRT before 11 may compute in.
        profiles: By input name; every dynamic input needs one.
        timing_cache: Read when it exists, written after the build.
        workspace: Bytes; None is the builder's own limit.
        capabilities: "8.9" and the like, for TensorRT-RTX to build for GPUs that are not here.
        library: The plugin library for BilinearSample nodes.
        python_plugin: Use the plugin written in Python where no library is given; its engines need Python.
        profiling: Keep the layers' names in the engine.
        tactics: "+CUBLAS", "-CUDNN" and the like: added to the builder's default, or taken from it.
        external_tactics: Whether the builder may try cuDNN's and cuBLAS's kernels.
    """

    backend: Backend | None = None
    precisions: tuple[str, ...] = ()
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    timing_cache: Path | None = None
    workspace: int | None = None
    capabilities: tuple[str, ...] = ()
    library: Path | None = None
    python_plugin: bool = False
    profiling: bool = False
    external_tactics: bool = True
    tactics: tuple[str, ...] = ()

    @property
    def flags(self) -> tuple[str, ...]:
        """The options that change the engine, as words."""
        words = [*self.precisions, *(f"compute capability {c}" for c in self.capabilities)]
        words += [f"tactics {each}" for each in self.tactics]
        if self.workspace is not None:
            words.append(f"workspace {self.workspace}")
        return tuple(words)


@dataclass(frozen=True)
class Built:
    """An engine on disk."""

    path: Path
    backend: Backend
    version: str
    build_s: float
    layers: tuple[EngineLayer, ...]
    flags: tuple[str, ...]


def installed() -> tuple[Backend, ...]:
    """The builders that can be imported here, TensorRT first."""
    return tuple(backend for backend, module in MODULES.items() if find_spec(module) is not None)


def choose_backend(wanted: Backend | None) -> Backend:
    """The builder to use; UsageError where it, or any, is not installed."""
    found = installed()
    if wanted is None and found:
        return found[0]
    if wanted is not None and wanted in found:
        return wanted
    package = PACKAGES[wanted or "tensorrt"]
    what = wanted or "neither tensorrt nor tensorrt-rtx"
    hint = f"pip install {package}" + ("" if wanted else ", or tensorrt-rtx-cu13 to build without a GPU")
    raise UsageError(f"{what} is {'not ' if wanted else ''}installed", hint)


def build_engine(model: ModelProto, origin: Path, output: Path, options: EngineOptions) -> Built:
    """Build an engine and write it to `output`, which never exists half-written.

    `origin` is a path in the folder of the model's external weights; the bodies of its plugin functions are not used.

    Raises:
        UsageError: No builder is installed, or it knows nothing of an option.
        EngineError: It could not build.
    """
    backend = choose_backend(options.backend)
    prepared, nodes = for_engine(model)
    if nodes and options.library is None and not options.python_plugin:
        raise UsageError(
            f"the model has {nodes} nodes of the domain {DOMAIN} and no plugin library was named",
            "onnxgs-plugin build makes it; then --plugin-library FILE, or choose --lowering grid-sample",
        )
    others = sorted({node.op_type for node in prepared.graph.node if is_own(node.domain, node.op_type)} - {NAME})
    if options.library is None and others:
        raise UsageError(
            f"the plugin written in Python computes {NAME} alone, and the model has {' and '.join(others)}",
            "onnxgs-plugin build makes a library of all; then --plugin-library FILE",
        )
    if options.library is not None and not options.library.is_file():
        raise UsageError(f"there is no plugin library at {options.library}", "onnxgs-plugin build makes it")
    with _folder(output) as folder:
        (folder / "model.onnx").write_bytes(prepared.SerializeToString())
        request = _request(backend, options, folder, origin, output) | {"plugin_nodes": nodes}
        outcome = _run_worker(backend, folder, request)
    layers = tuple(EngineLayer(*layer) for layer in outcome["layers"])
    flags = (*options.flags, *(["strongly typed"] if outcome["strongly_typed"] else []))
    return Built(output, backend, outcome["version"], outcome["build_s"], layers, flags)


def load_library(trt: Any, library: Path) -> None:
    """Register the plugin library's creator with TensorRT in this process, once; EngineError where it does not load."""
    library = library.absolute()  # a name without a slash is looked for in the system's folders
    registry = trt.get_plugin_registry()
    find = registry.get_creator if hasattr(registry, "get_creator") else registry.get_plugin_creator
    if find(NAME, "1", DOMAIN) is not None:
        return  # loaded before: a second creator of the name is refused
    if not hasattr(registry, "load_library"):
        ctypes.CDLL(str(library))  # TensorRT 8.5: the library registers itself
    elif registry.load_library(str(library)) is None:
        raise EngineError(
            f"cannot load the plugin library {library}", "build it for this TensorRT: onnxgs-plugin build"
        )


def _request(backend: Backend, options: EngineOptions, folder: Path, origin: Path, output: Path) -> dict[str, Any]:
    return {
        **asdict(options),
        "module": MODULES[backend],
        "model": str(folder / "model.onnx"),
        "origin": str(origin.absolute()),
        "output": str(output.absolute()),
        "profiles": {name: [p.least, p.best, p.most] for name, p in options.profiles.items()},
        "timing_cache": _absolute(options.timing_cache),
        "library": _absolute(options.library),
    }


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())


@contextlib.contextmanager
def _folder(output: Path) -> Iterator[Path]:
    require_folder("--engine", output.parent)
    with tempfile.TemporaryDirectory(prefix="onnxgs-") as name:
        yield Path(name)


# -- the worker ---------------------------------------------------------------------------------------

_WITH_LIBRARIES = 'LD_LIBRARY_PATH="$0${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" exec "$@"'


def _run_worker(backend: Backend, folder: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    """What the worker reports; what it raised is raised here, and EngineError where it ended without a word."""
    asked, told = folder / "request.json", folder / "result.json"
    asked.write_text(json.dumps(request), encoding="utf-8")
    command = [sys.executable, "-m", "onnxgs_opt.runtime.tensorrt.worker", str(asked), str(told)]
    if backend == "tensorrt-rtx":
        command = ["sh", "-c", _WITH_LIBRARIES, str(_unversioned_libraries(folder)), *command]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if not told.is_file():
        raise EngineError(f"the builder ended with status {done.returncode}: {_last_line(done)}", "")
    outcome: dict[str, Any] = json.loads(told.read_text(encoding="utf-8"))
    if "error" in outcome:
        raise _error(outcome)
    return outcome


def _error(outcome: Mapping[str, Any]) -> OptError:
    kind = UsageError if outcome["exit_code"] == UsageError.exit_code else EngineError
    return kind(outcome["error"], outcome["hint"])


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return lines[-1] if lines else "it said nothing"


def _unversioned_libraries(folder: Path) -> Path:
    """A folder for the loader's path: RTX's parser opens libtensorrt_rtx.so, its wheel has libtensorrt_rtx.so.1."""
    links = folder / "lib"
    links.mkdir()
    spec = find_spec("tensorrt_rtx_libs")
    for place in (spec.submodule_search_locations or []) if spec is not None else []:
        for library in Path(place).glob("*.so.*"):
            (links / library.name.partition(".so.")[0]).with_suffix(".so").symlink_to(library)
    return links
