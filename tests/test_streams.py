"""Streams and plans that cannot be used, and outputs that are no numbers: an answer, and never an internal error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from onnxgs_opt.errors import UsageError
from onnxgs_opt.lowering import Tolerance
from onnxgs_opt.tuning.plan import load_plan
from onnxgs_opt.validation.compare import _apart, compare

MODEL = Path(__file__).parent / "fixtures" / "bodies" / "branches.sta.onnx"
STRICT = Tolerance(0, 0, "equal")


def shell(redirected: str) -> subprocess.CompletedProcess[str]:
    """A dry run whose streams the shell redirects."""
    command = f"'{sys.executable}' -m onnxgs_opt '{MODEL}' --dry-run {redirected}"
    return subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("redirected", "code", "said"),
    [
        ("> /dev/full", 2, "the report cannot be printed"),
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        ("-v 2> /dev/full", 0, ""),
        ("-q | true", 0, ""),
    ],
)
def test_streams_that_take_nothing(redirected: str, code: int, said: str) -> None:
    run = shell(redirected)
    assert run.returncode == code
    assert said in run.stderr
    assert "internal error" not in run.stderr


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"schema_version": "1", "sites": [{"id": "site0"}]}', '{"schema_version": "1"}']
)
def test_what_is_no_plan(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="plan"):
        load_plan(path)


def test_strings_are_compared_as_strings() -> None:
    words = np.array(["a", "b"], object)
    assert compare(words, words.copy(), STRICT).within
    assert not compare(words, np.array(["a", "c"], object), STRICT).within


@pytest.mark.parametrize(
    ("actual", "expected", "words"),
    [
        (1.5, 2.5, "1.5 instead of 2.5"),
        (-0.01394351, -0.01394352, "-0.01394351 instead of -0.01394352"),
        (0.1, 0.1 + 2**-56, "0.10000000000000001 instead of 0.10000000000000002"),
    ],
)
def test_numbers_have_as_many_digits_as_tell_them_apart(actual: float, expected: float, words: str) -> None:
    assert _apart(actual, expected) == words
