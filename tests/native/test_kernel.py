"""The plugin's kernels against the reference, on the host and, where there is one, on a GPU."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.native.sampling import Case, Library, cases, check

HERE = Path(__file__).parent
NATIVE = HERE.parent.parent / "native"
GPU = shutil.which("nvidia-smi") is not None and shutil.which("nvcc") is not None


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """The kernels compiled for this machine's processor: threads are fibres."""
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler on the PATH")
    built = tmp_path_factory.mktemp("host") / "harness.so"
    flags = ["-std=c++17", "-O1", "-ffp-contract=off", "-shared", "-fPIC", "-x", "c++", f"-I{NATIVE}"]
    subprocess.run([compiler, *flags, "-o", str(built), str(HERE / "harness.cu")], check=True)
    return Library(built)


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


@pytest.mark.gpu
@pytest.mark.skipif(not GPU, reason="needs an NVIDIA GPU and nvcc")
@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_on_the_device(device: Library, case: Case) -> None:
    check(device, case)
