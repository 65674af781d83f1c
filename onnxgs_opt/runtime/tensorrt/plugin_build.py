"""`onnxgs-plugin`: the plugin library, from the sources in this package, with the nvcc that is here."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from onnxgs_opt.errors import EngineError, UsageError
from onnxgs_opt.files.atomic import write_whole
from onnxgs_opt.files.outputs import require_folder

CAPABILITIES = ("75", "80", "86", "89", "90")
_FLAGS = ("-std=c++17", "-O3", "-shared", "-cudart", "static", "-Xcudafe", "--diag_suppress=997")
_HOST_FLAGS = "-fPIC,-fvisibility=hidden"
_CUDA = ("/usr/local/cuda/bin", "/opt/cuda/bin")
_ROOTS = ("/usr/include", "/usr/include/x86_64-linux-gnu", "/usr/include/aarch64-linux-gnu", "/usr/local/include")


@dataclass(frozen=True)
class PluginBuild:
    """What to build and with what.

    Attributes:
        output: The library's path.
        tensorrt_root: A folder with NvInfer.h in it or in its include/; None looks in the system's folders.
        nvcc: The compiler; None looks on the PATH and in CUDA's usual folders.
        capabilities: Compute capabilities to compile for, as nvcc writes them: "90".
        defines: Macros, such as ONNXGS_NO_COPY.
    """

    output: Path
    tensorrt_root: Path | None = None
    nvcc: Path | None = None
    capabilities: Sequence[str] = CAPABILITIES
    defines: Sequence[str] = ()


def sources() -> Path:
    """The folder of the kernels and wrappers: in the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[2]
    for folder in (package / "native", package.parent / "native"):
        if (folder / "plugin.cu").is_file():
            return folder
    raise UsageError("the plugin's sources are not in this installation", "install onnxgs-opt from a wheel or checkout")


def build_plugin(wanted: PluginBuild) -> Path:
    """Compile the library and put it in place whole.

    Raises:
        UsageError: nvcc or the headers are missing; the message says which and where it looked.
        EngineError: nvcc refused; the message has its first error.
    """
    nvcc, include = find_nvcc(wanted.nvcc), find_headers(wanted.tensorrt_root)
    require_folder("--output", wanted.output.parent)
    with tempfile.TemporaryDirectory(prefix="onnxgs-", dir=wanted.output.parent) as folder:
        built = Path(folder) / "plugin.so"
        command = [str(nvcc), *_FLAGS, "-Xcompiler", _HOST_FLAGS, "-isystem", str(include), *_targets(wanted)]
        command += [*(f"-D{name}" for name in wanted.defines), "-o", str(built), str(sources() / "plugin.cu")]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode:
            raise EngineError(
                f"nvcc: {_first_error(done.stderr)}", "is it a CUDA of 11 or later, with a C++17 compiler?"
            )
        write_whole(wanted.output, built.read_bytes())
    return wanted.output


def _targets(wanted: PluginBuild) -> list[str]:
    """Machine code for each capability, and PTX of the newest for what comes after."""
    newest = max(wanted.capabilities, key=int)
    machine = [f"-gencode=arch=compute_{c},code=sm_{c}" for c in wanted.capabilities]
    return [*machine, f"-gencode=arch=compute_{newest},code=compute_{newest}"]


def find_nvcc(named: Path | None = None) -> Path:
    """CUDA's compiler."""
    if named is not None:
        if named.is_file():
            return named
        raise UsageError(f"there is no nvcc at {named}", "give its path, or leave --nvcc out")
    on_path = shutil.which("nvcc")
    candidates = [Path(on_path)] if on_path else [Path(folder) / "nvcc" for folder in _CUDA]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise UsageError(
        f"nvcc was not found on the PATH nor in {', '.join(_CUDA)}",
        "install the CUDA toolkit, or name its compiler with --nvcc",
    )


def find_headers(root: Path | None = None) -> Path:
    """The folder that has NvInfer.h."""
    candidates = [Path(place) for place in _ROOTS] if root is None else [root / "include", root]
    for folder in candidates:
        if (folder / "NvInfer.h").is_file():
            return folder
    raise UsageError(
        f"NvInfer.h was not found in {', '.join(str(c) for c in candidates)}",
        "name TensorRT's folder with --tensorrt-root; the headers alone are in the repository NVIDIA/TensorRT, "
        "folder include, at the tag of your release",
    )


def _first_error(text: str) -> str:
    lines = [line for line in text.splitlines() if "error" in line]
    return lines[0] if lines else (text.strip().splitlines() or ["it gave no reason"])[-1]
