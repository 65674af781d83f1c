"""The package onnxgs-ops: the library in which onnxruntime finds the operators of `samplers.op`."""

from __future__ import annotations

import importlib
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from onnxgs_opt.errors import UsageError

PACKAGE, MODULE = "onnxgs-ops", "onnxgs_ops"


def installed_library() -> tuple[str, str]:
    """The library's path and the package's version, "unknown" where it is not installed but found.

    Raises:
        UsageError: There is no such package.
    """
    if find_spec(MODULE) is None:
        hint = "pip install ./ops in a clone, with a C++ compiler; without --ops nothing else is missing"
        raise UsageError(f"{PACKAGE} is not installed, and --ops asks for it", hint)
    path: str = importlib.import_module(MODULE).get_library_path()
    with suppress(PackageNotFoundError):
        return path, version(PACKAGE)
    return path, "unknown"
