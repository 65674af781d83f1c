"""The pinned versions that CI installs: nothing but versions, one for every requirement on every Python."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[2]
PINNED = REPOSITORY / "constraints" / "ci.txt"
PIN = re.compile(r"[a-z0-9-]+==[0-9a-z.]+( ; [a-zA-Z_0-9 .*'<>=!()]+)?")
PYTHONS = {"3.10": "3.10.13", "3.11": "3.11.7", "3.12": "3.12.1", "3.13": "3.13.0"}
EXTRAS = ("html", "test", "docs")
MADE = "run `make constraints`"


def pins() -> list[str]:
    lines = PINNED.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def wanted() -> list[Requirement]:
    """What pyproject.toml declares for CI, and what builds it."""
    toml: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    project = toml.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    texts = project["build-system"]["requires"] + project["project"]["dependencies"]
    found = [Requirement(text) for text in texts + [text for name in EXTRAS for text in extras[name]]]
    return [requirement for requirement in found if requirement.name != "onnxgs-opt"]


def test_a_pin_is_a_version_and_names_no_address() -> None:
    assert [line for line in pins() if not PIN.fullmatch(line)] == []
    assert "://" not in PINNED.read_text(encoding="utf-8")


@pytest.mark.parametrize("python", PYTHONS)
def test_every_requirement_is_pinned_once(python: str) -> None:
    linux = {"python_version": python, "python_full_version": PYTHONS[python], "implementation_name": "cpython"}
    linux |= {"sys_platform": "linux", "platform_machine": "x86_64", "platform_python_implementation": "CPython"}
    chosen: dict[str, str] = {}
    for pin in (Requirement(line) for line in pins()):
        if pin.marker is None or pin.marker.evaluate(linux):
            name = canonicalize_name(pin.name)
            assert name not in chosen, f"{name} is pinned twice"
            chosen[name] = str(pin.specifier).removeprefix("==")
    for requirement in wanted():
        name = canonicalize_name(requirement.name)
        if requirement.marker is None or requirement.marker.evaluate(linux):
            assert name in chosen, f"{name} is not pinned: {MADE}"
            assert requirement.specifier.contains(chosen[name]), f"{requirement} is pinned to {chosen[name]}: {MADE}"


def test_ci_installs_what_is_pinned() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    assert "CONSTRAINTS ?= constraints/ci.txt" in makefile
    installs = [line for line in makefile.splitlines() if "pip install" in line or "$(PIP) install" in line]
    assert installs
    assert [line for line in installs if "$(PIP)" not in line and "$(PINNED)" not in line] == []
