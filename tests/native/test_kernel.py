"""The plugin's kernels against the reference, on the host and, where there is one, on a GPU."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from onnxgs_opt.samplers.op import COORDINATE_CODES
from tests.native import ops
from tests.native.sampling import Case, Library, cases, check, inputs
from tests.native.test_attention import CASES as ATTENTION
from tests.native.test_attention import TYPES, assert_true, feeds_of

HERE = Path(__file__).parent
NATIVE = HERE.parent.parent / "native"
GPU = shutil.which("nvidia-smi") is not None and shutil.which("nvcc") is not None


@pytest.fixture(scope="session")
def host(objects: Path) -> Library:
    """The kernels compiled for this machine's processor: threads are fibres."""
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler on the PATH")
    flags = ["-std=c++17", "-O1", "-ffp-contract=off", "-shared", "-fPIC", "-x", "c++", f"-I{NATIVE}"]
    return Library(ops.kept(objects, "harness.so", compiler, *flags, str(HERE / "harness.cu")))


@pytest.fixture(scope="session")
def device(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """The kernels compiled for this machine's GPU."""
    built = tmp_path_factory.mktemp("device") / "harness.so"
    flags = ["-std=c++17", "-O3", "-arch=native", "-shared", "-Xcompiler", "-fPIC", f"-I{NATIVE}"]
    subprocess.run(["nvcc", *flags, "-o", str(built), str(HERE / "harness.cu")], check=True)
    return Library(built)


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_on_the_host(host: Library, case: Case) -> None:
    check(host, case)


@pytest.mark.parametrize("unit", COORDINATE_CODES)
def test_points_inside_of_an_image_mirrored_about_its_edges_are_rounded_as_on_processors(
    host: Library, library: Path, unit: str
) -> None:
    """To and from the edge, which is half a pixel outside, although no window lets a point be mirrored."""
    case = Case((2, 13, 9, 13, 33, 35), "reflect-edges", "interior-open-low", unit, "NHWC")
    image, grid = inputs(case, np.random.default_rng(0))
    wanted, _ = ops.session(library, ops.model(case)).run(None, {"image": image, "grid": grid})
    np.testing.assert_allclose(host(case, image, grid), wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("case", ATTENTION)
def test_deformable_attention_on_the_host(host: Library, case: str, dtype: str) -> None:
    check_attention(host, case, dtype)


def test_an_axis_whose_pixels_fp32_cannot_tell_apart_is_refused(host: Library) -> None:
    longest = 1 << 23
    for height, width in ((1, longest + 1), (longest + 1, 1)):
        with pytest.raises(AssertionError, match="error -1"):
            host(Case((1, 1, height, width, 0, 0)), *empty())
    host(Case((1, 1, 1, longest, 0, 0)), *empty())


def empty() -> tuple[np.ndarray, np.ndarray]:
    """Nothing to read: without points no image is looked at."""
    return np.empty(0, np.float32), np.empty(0, np.float32)


def check_attention(library: Library, case: str, dtype: str) -> None:
    feeds = feeds_of(case, dtype)
    assert_true(case, feeds, library.attend(*(feeds[name] for name in ("value", "levels", "locations", "weights"))))


@pytest.mark.gpu
@pytest.mark.skipif(not GPU, reason="needs an NVIDIA GPU and nvcc")
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("case", ATTENTION)
def test_deformable_attention_on_the_device(device: Library, case: str, dtype: str) -> None:
    check_attention(device, case, dtype)


@pytest.mark.gpu
@pytest.mark.skipif(not GPU, reason="needs an NVIDIA GPU and nvcc")
@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_on_the_device(device: Library, case: Case) -> None:
    check(device, case)
