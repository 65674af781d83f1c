"""The package onnxgs-ops: what its wheels are built from and tried with fits together."""

from __future__ import annotations

import ast
import re
import shlex
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomllib")

OPS = Path(__file__).parents[2] / "ops"
PROJECT: dict[str, Any] = tomllib.loads((OPS / "pyproject.toml").read_text(encoding="utf-8"))
WHEELS: dict[str, Any] = PROJECT["tool"]["cibuildwheel"]


def test_one_wheel_is_built_for_every_python() -> None:
    """The wheel says that any Python takes it, so one interpreter, which the package supports, builds it."""
    assert PROJECT["tool"]["scikit-build"]["wheel"]["py-api"] == "py3"
    built = [minor for minor in range(8, 20) if fnmatch(f"cp3{minor}-manylinux_x86_64", WHEELS["build"])]
    assert len(built) == 1
    assert f"3.{built[0]}" in SpecifierSet(PROJECT["project"]["requires-python"])


def test_a_wheel_is_tried_with_what_its_trial_imports() -> None:
    program, script = shlex.split(WHEELS["test-command"])
    path = Path(script.format(package=OPS))
    assert (program, path.is_file()) == ("python", True)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    wanted = {name.partition(".")[0] for name in names} - {*sys.stdlib_module_names, "onnxgs_ops"}
    assert wanted == {Requirement(each).name for each in WHEELS["test-requires"]}


def test_no_wheel_looks_for_a_compiler_of_cuda() -> None:
    """A wheel from an index would carry kernels for devices that happened to be those of the machine that built it."""
    cmake = (OPS / "CMakeLists.txt").read_text(encoding="utf-8")
    (option,) = re.findall(r"option\((\w+) ", cmake)
    for environment in (WHEELS["environment"], WHEELS["macos"]["environment"]):
        assert environment["CMAKE_ARGS"] == f"-D{option}=OFF"
