"""The native operators BilinearSample, NearestSample and CubicSample, as a library that onnxruntime loads.

options = onnxruntime.SessionOptions()
options.register_custom_ops_library(onnxgs_ops.get_library_path())
"""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["get_library_path"]


def get_library_path() -> str:
    """The library's file, for `SessionOptions.register_custom_ops_library`."""
    suffix = "dll" if sys.platform == "win32" else "so"  # of a module, on macOS too
    return str(Path(__file__).parent / f"libonnxgs_ops.{suffix}")
