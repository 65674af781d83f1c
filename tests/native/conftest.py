"""The library, built once for all tests that load it."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from tests.native import ops

VECTORS = {"baseline": False, "avx2": True} if platform.machine() in ("x86_64", "AMD64") else {"baseline": False}


@pytest.fixture(scope="session", params=VECTORS)
def library(request: pytest.FixtureRequest, objects: Path) -> Path:
    return ops.built_once(objects, avx2=VECTORS[request.param])
