"""The operator as onnxruntime runs it: the library, built or installed, and models of one node."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from onnxgs_opt.runtime.ort import NO_SPINNING
from onnxgs_opt.samplers.op import DOMAIN, KERNEL_CODES, MASK_CODES, VERSION, name_for
from tests.native.sampling import Case, inputs, mask_of, reference

HERE = Path(__file__).parent
SOURCES, NATIVE = HERE.parents[1] / "ops" / "src", HERE.parents[1] / "native"
SUFFIXES = (".cpp", ".h", ".cu", ".cuh")
FLAGS = ("-std=c++17", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math")
TYPES = {"float16": TensorProto.FLOAT16, "float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}
CPU = ("CPUExecutionProvider",)
TOLERANCES = {"float16": 1e-3, "float32": 1e-6, "float64": 1e-12}


def compiler() -> str:
    """The C++ compiler; without one the test is skipped, which says so."""
    found = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if found is None:
        pytest.skip("no C++ compiler on the PATH")
    return found


def kept(objects: Path, name: str, *command: str) -> Path:
    """What a compiler's command makes, which lies in `objects` if it was made before: of the same sources, by the same.

    One process at a time makes any; what was made of other sources goes.
    """
    told = repr((command, _version(command[0]), _sources()))
    place = objects / name
    place.mkdir(exist_ok=True)
    file = place / hashlib.sha256(told.encode()).hexdigest()[:16] / name
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            for other in [path for path in place.iterdir() if path.is_dir()]:
                shutil.rmtree(other)
            file.parent.mkdir()
            unfinished = file.parent / "unfinished"
            subprocess.run([*command, "-o", str(unfinished)], check=True)
            unfinished.replace(file)
    return file


@cache
def _version(compiler: str) -> str:
    return subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout


@cache
def _sources() -> str:
    """Of all that is compiled, one digest: which file includes which others is the compilers' affair."""
    files = sorted(path for folder in (SOURCES, NATIVE, HERE) for path in folder.iterdir() if path.suffix in SUFFIXES)
    return hashlib.sha256(b"\0".join(path.name.encode() + b"\0" + path.read_bytes() for path in files)).hexdigest()


def compiled(objects: Path, part: str, *options: str) -> Path:
    """A source of the package as an object."""
    flags = [compiler(), *FLAGS, "-O2", "-ftree-vectorize", *options]
    return kept(objects, f"{part}.o", *flags, "-c", str(SOURCES / f"{part}.cpp"))


def built_once(objects: Path, *, avx2: bool) -> Path:
    """The library, of the package's sources, in a folder of its own."""
    own = objects / ("avx2" if avx2 else "baseline")
    own.mkdir(exist_ok=True)
    parts = [compiled(objects, "baseline"), compiled(own, "library", *["-DONNXGS_AVX2"] * avx2)]
    parts += [compiled(own, "avx2", "-mavx2")] if avx2 else []
    return kept(own, "libonnxgs_ops.so", compiler(), "-shared", *map(str, parts))


def model(case: Case, *, form: str | None = "NHW", **codes: int) -> bytes:
    """One node of the case's attributes and types, with its second output in a form, or without."""
    border, window, coordinates, layout = case.codes
    attributes = {"border": border, "window": window, "coordinates": coordinates, "layout": layout, **codes}
    if case.kernel != "linear":
        attributes["kernel"] = KERNEL_CODES[case.kernel]
    image, grid = TYPES[case.dtype], TYPES[case.grid_dtype]
    outputs = ["samples", "mask"] if form else ["samples"]
    mask = MASK_CODES[form] if form else 0
    node = helper.make_node(
        name_for(case.kernel), ["image", "grid"], outputs, domain=DOMAIN, **{"mask": mask, **attributes}
    )
    ranks = (("image", image, 4), ("grid", grid, 4), ("samples", image, 4), ("mask", image, len(form or "")))
    tensors = [helper.make_tensor_value_info(name, kind, [None] * rank) for name, kind, rank in ranks]
    graph = helper.make_graph([node], "one", tensors[:2], tensors[2 : 2 + len(outputs)])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, VERSION)]
    made: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return made


def session(library: Path | None, made: bytes, threads: int = 2, providers: Sequence[str] = CPU) -> Any:
    """A session, on the CPU if nothing else is said, with the library where one is given."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    options.add_session_config_entry(*NO_SPINNING)
    if library is not None:
        options.register_custom_ops_library(str(library))
    return ort.InferenceSession(made, options, providers=list(providers))


def check(library: Path, case: Case, seed: int = 0, providers: Sequence[str] = CPU) -> None:
    """Assert that samples and mask are what the definition says."""
    image, grid = inputs(case, np.random.default_rng(seed))
    form = tuple(MASK_CODES)[(sum(case.sizes) + seed) % len(MASK_CODES)]
    samples, mask = session(library, model(case, form=form), 2, providers).run(None, {"image": image, "grid": grid})
    tolerance = tolerance_of(case)
    wanted = reference(case, image, grid) if 0 not in case.sizes[2:4] else np.zeros_like(samples)
    np.testing.assert_allclose(samples.astype(np.float64), wanted, rtol=tolerance, atol=tolerance, err_msg=str(case))
    np.testing.assert_array_equal(mask, in_form(form, mask_of(case, grid)), err_msg=str(case))
    assert mask.dtype == samples.dtype == image.dtype


def in_form(form: str, mask: Any) -> Any:
    """A mask [N, Ho, Wo] with the axis of 1 that a form has."""
    return np.expand_dims(mask, form.index("1")) if "1" in form else mask


def tolerance_of(case: Case) -> float:
    """What rounding costs, of cubic weights five times as much.

    Weights are of the grid's type, sums at least float32, samples of the image's type.
    """
    return max(TOLERANCES[case.dtype], TOLERANCES[case.grid_dtype]) * (5 if case.kernel.startswith("cubic") else 1)
