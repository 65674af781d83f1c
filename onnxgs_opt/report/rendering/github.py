"""A report as GitHub workflow commands: an annotation a finding, then the verdict as a plain last line.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from onnxgs_opt.diagnostics import CODES
from onnxgs_opt.report.model import Report, SiteReport
from onnxgs_opt.report.rendering.words import outcome, printable, sentence, speed, verdict

Level = Literal["notice", "warning", "error"]


def to_github(report: Report) -> str:
    """The report for the log of a GitHub job, one command a line."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    for site in report.sites:
        yield _command(_level(report, site.rule, site.id), report, site.rule, site.id, _site(site))
    for miss in report.near_misses:
        yield _command(
            _level(report, miss.code, miss.node), report, miss.code, miss.node, f"{miss.condition}. {miss.hint}"
        )
    for hazard in report.hazards:
        yield _command("warning", report, hazard.code, hazard.node, hazard.hint)
    if report.exit_code and report.status != "findings":
        yield f"::error file={_property(report.input)},title=onnxgs-opt::{_data(verdict(report))}"
    if report.latency is not None:
        yield f"the whole model: {speed(report)}"
    yield f"onnxgs-opt: {outcome(report)} {verdict(report)}"


def _level(report: Report, code: str, place: str) -> Level:
    """A warning where the run fails for it."""
    return "notice" if report.failure(code, place) is None else "warning"


def _site(site: SiteReport) -> str:
    return f"{sentence(site)}: {len(site.reads)} {site.read_op} -> {site.lowering}: {site.reason}"


def _command(level: Level, report: Report, code: str, place: str, message: str) -> str:
    title = f"{code} {CODES[code].title} ({place})"
    return f"::{level} file={_property(report.input)},title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    """A message; control characters cannot start another command, for they are escaped first."""
    return printable(text).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
