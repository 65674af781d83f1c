"""A report as GitHub workflow commands: an annotation a finding, then the verdict as a plain last line.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

from collections.abc import Iterator

from onnxgs_opt.diagnostics import CODES
from onnxgs_opt.report.model import Report
from onnxgs_opt.report.rendering.words import advised, findings, outcome, printable, speed, verdict, warns


def to_github(report: Report) -> str:
    """The report for the log of a GitHub job, one command a line."""
    return "\n".join(_lines(report)) + "\n"


def broken(model: str, error: str, hint: str) -> str:
    """The command for a model that could not be looked at."""
    return f"::error file={_property(model)},title=onnxgs-opt::{_data(advised(error, hint))}\n"


def _lines(report: Report) -> Iterator[str]:
    for code, place, what in findings(report):
        level = "warning" if warns(report, code, place) else "notice"
        title = _property(f"{code} {CODES[code].title} ({place})")
        yield f"::{level} file={_property(report.input)},title={title}::{_data(what)}"
    if report.exit_code and report.status != "findings":
        yield f"::error file={_property(report.input)},title=onnxgs-opt::{_data(verdict(report))}"
    if report.latency is not None:
        yield f"the whole model: {speed(report.latency)}"
    yield f"onnxgs-opt: {outcome(report)} {verdict(report)}"


def _data(text: str) -> str:
    """A message; control characters cannot start another command, for they are escaped first."""
    return printable(text).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
