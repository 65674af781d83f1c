"""The library with the operator on CUDA devices: it is the same library to a machine without one."""

from __future__ import annotations

import shutil
from pathlib import Path

import onnxruntime as ort
import pytest

from tests.native import ops
from tests.native.devices import check_on_both, every_attribute
from tests.native.sampling import Case, other_kernels

ON_DEVICE = shutil.which("nvidia-smi") is not None and "CUDAExecutionProvider" in ort.get_available_providers()


@pytest.fixture(scope="module")
def library(objects: Path) -> Path:
    """Built by nvcc, which hands all but the kernels to the host's compiler; of the baseline it knows nothing."""
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("no nvcc on the PATH")
    baseline = str(ops.compiled(objects, "baseline"))
    sources = [baseline, *(str(ops.SOURCES / name) for name in ("library.cpp", "cuda.cpp", "cuda_kernels.cu"))]
    flags = ["-std=c++17", "-arch=sm_90", "-O2", "-shared", "-Xcompiler", "-fPIC,-ffp-contract=off", "-DONNXGS_CUDA"]
    if not ON_DEVICE:  # nothing runs its kernels
        flags += ["-Xcicc", "-O0", "-Xptxas", "-O0"]
    (own := objects / "cuda").mkdir(exist_ok=True)
    return ops.kept(own, "libonnxgs_ops.so", nvcc, *flags, *sources)


def test_without_a_device_the_processor_computes(library: Path) -> None:
    for dtype in ops.TYPES:
        ops.check(library, Case((2, 3, 7, 4, 5, 9), "zeros", "interior", dtype=dtype))


@pytest.mark.gpu
@pytest.mark.skipif(not ON_DEVICE, reason="needs onnxruntime's CUDA provider and a GPU")
def test_a_device_computes_what_the_body_does(library: Path) -> None:
    cases = [Case((2, 3, 7, 4, 5, 9), "zeros", "interior"), Case((1, 1, 90, 70, 80, 60), "border", "reach")]
    for case in (*cases, *other_kernels()):
        ops.check(library, case, providers=("CUDAExecutionProvider", *ops.CPU))


def test_every_attribute_has_cases() -> None:
    """The processor against itself: what is left of these cases where there is no device."""
    cases = list(every_attribute())
    assert len({(case.kernel, case.border, case.window, case.coordinates) for case in cases}) == len(cases) == 936


@pytest.mark.gpu
@pytest.mark.skipif(not ON_DEVICE, reason="needs onnxruntime's CUDA provider and a GPU")
def test_a_device_computes_what_the_processor_does(library: Path) -> None:
    for case in every_attribute():
        check_on_both(library, case)
