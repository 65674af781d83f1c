"""Where models and reports go: refused before any work is done, written after it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from onnxgs_opt.errors import UsageError
from onnxgs_opt.report.rendering import ENDINGS, render

if TYPE_CHECKING:
    from onnxgs_opt.report.evidence import Evidence
    from onnxgs_opt.report.model import Report


def require_folder(path: Path, what: str) -> None:
    """Check that a file can be made at `path`; `what` is how the user names it.

    Raises:
        UsageError: Its folder is not there or not writable.
    """
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"cannot write into {path.parent}", f"make it, or choose another folder for {what}")


def report_path(text: str, model: str | None, output: str | None) -> Path:
    """The path of a report, whose ending names its format.

    Raises:
        UsageError: It could not be written, or is the model's own.
    """
    path = Path(text)
    if path.suffix not in ENDINGS:
        raise UsageError(f"--report {path} has no known ending", f"end it in one of {', '.join(ENDINGS)}")
    if any(other is not None and Path(other).resolve() == path.resolve() for other in (model, output)):
        raise UsageError(f"--report {path} is the model's own path", "give the report another name")
    require_folder(path, "--report")
    if path.suffix == ".html":
        from onnxgs_opt.report.rendering.html import require_libraries

        require_libraries()
    return path


def write_report(report: Report, evidence: Sequence[Evidence], path: Path) -> None:
    """Write a report in the format of its ending.

    Raises:
        UsageError: The file cannot be written.
    """
    try:
        path.write_text(render(ENDINGS[path.suffix], report, evidence), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", "choose another --report") from error
