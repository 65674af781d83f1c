"""The native operator's tasks under the compiler's sanitizers."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest

from tests.native import ops

PROGRAM = Path(__file__).with_name("tasks.cpp")


@pytest.mark.parametrize(("sanitizer", "level"), [("address,undefined", "-O0"), ("thread", "-O1")])
def test_every_case_is_clean(tmp_path: Path, objects: Path, sanitizer: str, level: str) -> None:
    """No read or write outside of a tensor, no undefined operation, no race, and threads that agree."""
    flags = [ops.compiler(), *ops.FLAGS, level, "-g1", f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all"]
    flags += [f"-I{ops.SOURCES}", "-pthread"]
    probe = tmp_path / "probe"
    made = subprocess.run(
        [*flags, "-x", "c++", "-", "-o", str(probe)], input=b"int main() {}", capture_output=True, check=False
    )
    if made.returncode or subprocess.run([str(probe)], capture_output=True, check=False).returncode:
        pytest.skip(f"this compiler has no -fsanitize={sanitizer}")
    (own := objects / sanitizer.partition(",")[0]).mkdir(exist_ok=True)
    parts = [str(PROGRAM), str(ops.SOURCES / "baseline.cpp")]
    if platform.machine() in ("x86_64", "AMD64"):
        vectors = ops.kept(own, "avx2.o", *flags, "-mavx2", "-c", str(ops.SOURCES / "avx2.cpp"))
        parts += ["-DONNXGS_AVX2", str(vectors)]
    program = ops.kept(own, "tasks", *flags, *parts)
    run = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "1572 cases" in run.stdout or "3144 cases" in run.stdout
