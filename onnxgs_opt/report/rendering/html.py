"""A report as one HTML file that needs nothing else: no script, no font, no request.

The libraries of the extra `html` draw it: Jinja2 (which escapes every name), Graphviz and latex2mathml. They are
imported when a report is made, never before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from typing import TYPE_CHECKING

from onnxgs_opt.diagnostics import CODES
from onnxgs_opt.errors import UsageError
from onnxgs_opt.report.model import Report, SiteReport

if TYPE_CHECKING:
    from onnxgs_opt.report.evidence import Cone, Evidence
    from onnxgs_opt.report.rendering.drawing import Drawing
    from onnxgs_opt.report.rendering.heat import HeatMap

LIBRARIES = ("jinja2", "latex2mathml", "pygraphviz")
TEMPLATE = "report.html.jinja"


@dataclass(frozen=True)
class Bar:
    """One measured lowering; `share` of the widest bar in percent."""

    lowering: str
    text: str
    share: float
    chosen: bool


@dataclass(frozen=True)
class Section:
    """One site as the template needs it; pictures are None where there is nothing to draw."""

    site: SiteReport
    formulas: tuple[str, ...]
    bars: tuple[Bar, ...]
    before: Drawing | None
    after: Drawing | None
    counts: tuple[int, int]
    heat: HeatMap | None
    worst: str


def require_libraries() -> None:
    """Raise UsageError where something that draws the report is not installed."""
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        raise UsageError(f"an HTML report needs {', '.join(missing)}", "pip install 'onnxgs-opt[html]'")


def to_html(report: Report, evidence: Sequence[Evidence] = ()) -> str:
    """The report with a section a site; UsageError where a library of the extra `html` is missing."""
    require_libraries()
    from jinja2 import Environment, StrictUndefined

    from onnxgs_opt.report.rendering import words

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(name=words.printable, number=words.number)
    by_id = {item.id: item for item in evidence}
    sections = [section_of(site, by_id.get(site.id)) for site in report.sites]
    source = files("onnxgs_opt.report.rendering").joinpath(TEMPLATE).read_text(encoding="utf-8")
    return environment.from_string(source).render(
        report=report, sections=sections, words=words, codes=CODES, status=words.outcome(report)
    )


def section_of(site: SiteReport, evidence: Evidence | None) -> Section:
    """Everything that is drawn of one site."""
    if evidence is None:
        return Section(site, (), bars(site), None, None, (0, 0), None, "")
    from onnxgs_opt.report.rendering.drawing import draw
    from onnxgs_opt.report.rendering.formula import formulas
    from onnxgs_opt.report.rendering.heat import heat_map

    return Section(
        site,
        tuple(mathml(line) for line in formulas(site, evidence.policy)),
        bars(site),
        draw(evidence.before),
        None if evidence.after is None else draw(evidence.after),
        (_nodes(evidence.before), 0 if evidence.after is None else _nodes(evidence.after)),
        heat_map(evidence.points),
        evidence.worst,
    )


def _nodes(cone: Cone) -> int:
    return sum(bool(box.op) for box in cone.boxes)


def mathml(latex: str) -> str:
    """LaTeX as MathML markup, safe to insert: the formulas hold no name of the model."""
    from latex2mathml.converter import convert
    from markupsafe import Markup

    return Markup(convert(latex, display="block"))


def bars(site: SiteReport) -> tuple[Bar, ...]:
    """The measurements of a site as times relative to the exported form, which ran in turn with each."""
    timed = [(m, m.median_ms, 1 / m.ratio) for m in site.measurements if m.median_ms is not None and m.ratio]
    widest = max((relative for *_, relative in timed), default=1.0)
    return tuple(
        Bar(
            m.lowering,
            f"{m.ratio:.2f}x as fast, {ms:.3g} ms",
            round(100 * relative / widest, 1),
            m.lowering == site.lowering,
        )
        for m, ms, relative in timed
    )
