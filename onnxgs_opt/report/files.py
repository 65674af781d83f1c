"""Where reports go: refused before any work is done, written after it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from onnxgs_opt.errors import UsageError
from onnxgs_opt.files.atomic import write_whole
from onnxgs_opt.options.spec import PathLike
from onnxgs_opt.report.rendering import ENDINGS, render

if TYPE_CHECKING:
    from onnxgs_opt.report.evidence import Evidence
    from onnxgs_opt.report.model import Report


def report_path(name: PathLike) -> Path:
    """The path of a report, whose ending names its format.

    Raises:
        UsageError: There is no format of that ending, or what writes it is not installed.
    """
    path = Path(name)
    if path.suffix not in ENDINGS:
        raise UsageError(f"--report {path} has no known ending", f"end it in one of {', '.join(ENDINGS)}")
    if path.suffix == ".html":
        from onnxgs_opt.report.rendering.html import require_libraries

        require_libraries()
    return path


def write_report(report: Report, evidence: Sequence[Evidence], path: Path) -> None:
    """Write a report in the format of its ending; UsageError where the file cannot be written."""
    write_whole(path, render(ENDINGS[path.suffix], report, evidence).encode())
