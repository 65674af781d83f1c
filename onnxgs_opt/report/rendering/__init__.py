"""Renderings of a report, one module a format; nothing is imported before it is asked for.

A new format is one file, its line in `FORMATS`, and its name in `FORMATS` of options; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxgs_opt.report.evidence import Evidence
    from onnxgs_opt.report.model import Report

FORMATS = {
    "json": "to_json",
    "markdown": "to_markdown",
    "sarif": "to_sarif",
    "github": "to_github",
    "junit": "to_junit",
}
"""What turns a report into each format; the module has the format's name. `text` also takes colour and verbosity."""

ENDINGS = {".json": "json", ".md": "markdown", ".sarif": "sarif", ".html": "html", ".xml": "junit"}
"""The format of a report's file by its ending; HTML draws the evidence too."""


def render(format_: str, report: Report, evidence: Sequence[Evidence] = ()) -> str:
    """The report in one of `FORMATS`, or as HTML: UsageError where what draws that is not installed."""
    if format_ == "html":
        from onnxgs_opt.report.rendering.html import to_html

        return to_html(report, evidence)
    to_format: Callable[[Report], str] = getattr(
        import_module(f"onnxgs_opt.report.rendering.{format_}"), FORMATS[format_]
    )
    return to_format(report)
