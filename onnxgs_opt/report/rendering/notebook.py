"""A report as a small table for notebooks: the verdict, a row a site, a line a near-miss."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from onnxgs_opt.report.model import Report
from onnxgs_opt.report.rendering.words import outcome, printable, sentence, speed, verdict


def to_notebook(report: Report) -> str:
    """The report as HTML without style or script; every name is escaped."""
    return "".join(_parts(report))


def _parts(report: Report) -> Iterator[str]:
    yield f"<p><b>onnxgs-opt: {outcome(report)}</b> {_text(verdict(report))}</p>"
    if report.latency is not None:
        yield f"<p>The whole model: {_text(speed(report.latency))}</p>"
    if report.sites:
        yield "<table><tr><th></th><th>what</th><th>becomes</th><th>why</th></tr>"
        for site in report.sites:
            cells = (site.id, sentence(site), "as it is" if site.is_kept else site.lowering, site.reason)
            yield f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in cells)}</tr>"
        yield "</table>"
    for miss in report.near_misses:
        yield f"<p>looks like one: {_text(miss.condition)}: node {_text(miss.node)} [{miss.code}]</p>"


def _text(text: str) -> str:
    return escape(printable(text))
