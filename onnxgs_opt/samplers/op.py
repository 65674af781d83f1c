"""The operator onnxgs::BilinearSample: its name and the codes of its attributes."""

from __future__ import annotations

from onnxgs_opt.samplers.policy import WINDOWS
from onnxgs_opt.samplers.site import AnySite

DOMAIN = "onnxgs"
NAME = "BilinearSample"
BORDER_CODES = {"zeros": 0, "border": 1}
COORDINATE_CODES = {"pixel": 0, "normalised": 1, "normalised-corners": 2}
WINDOW_CODES = {name: code for code, name in enumerate(WINDOWS)}
"""Attribute values; a plugin library is compiled with them, so they may be added to and never changed."""


def prefix_of(site: AnySite) -> str:
    """What the names of a site's new nodes start with."""
    return f"onnxgs/{site.id}"
