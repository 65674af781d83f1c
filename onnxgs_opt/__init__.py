"""Finds hand-written samplers in ONNX models and replaces them, with proof."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxgs_opt._version import __version__

if TYPE_CHECKING:
    from onnxgs_opt.api import Result, compare_targets, find, optimize
    from onnxgs_opt.errors import MismatchError, OptError
    from onnxgs_opt.report.model import Report
    from onnxgs_opt.samplers.site import Site

__all__ = [
    "MismatchError",
    "OptError",
    "Report",
    "Result",
    "Site",
    "__version__",
    "compare_targets",
    "find",
    "optimize",
]
_HOMES = {
    "MismatchError": "errors",
    "OptError": "errors",
    "Report": "report.model",
    "Result": "api",
    "Site": "samplers.site",
    "compare_targets": "api",
    "find": "api",
    "optimize": "api",
}


def __getattr__(name: str) -> object:
    """Import the public names on first use: `onnxgs-opt --version` needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module 'onnxgs_opt' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"onnxgs_opt.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """The public names too, which are there only once they are used: completion shows them."""
    return sorted({*globals(), *__all__})
