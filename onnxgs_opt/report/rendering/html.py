"""A report as one HTML file that needs nothing else: no font, no request, no script but the one beside the template.

That one searches, copies names and opens what is printed; the page's policy lets no other run, and without it the page
says the same.

The libraries of the extra `html` draw it: Jinja2 (which escapes every name), Graphviz and latex2mathml. They are
imported when a report is made, never before.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from importlib.util import find_spec
from typing import TYPE_CHECKING

from onnxgs_opt.diagnostics import CODES
from onnxgs_opt.errors import UsageError
from onnxgs_opt.report.model import Report, SiteReport
from onnxgs_opt.report.rendering.words import spread

if TYPE_CHECKING:
    from onnxgs_opt.report.evidence import Cone, Evidence
    from onnxgs_opt.report.rendering.drawing import Drawing
    from onnxgs_opt.report.rendering.heat import HeatMap

LIBRARIES = ("jinja2", "latex2mathml", "pygraphviz")
TEMPLATE = "report.html.jinja"
SCRIPT = "report.js"


@dataclass(frozen=True)
class Bar:
    """One measured lowering; `share` of the widest bar in percent."""

    lowering: str
    text: str
    share: float
    chosen: bool


@dataclass(frozen=True)
class Section:
    """One site as the template needs it; pictures are None where there is nothing to draw.

    `nodes` are the names of its nodes as exported. `drawn_at` is the site before it whose pictures are the same but for
    names; it has none of its own then.
    """

    site: SiteReport
    formulas: tuple[str, ...]
    bars: tuple[Bar, ...]
    before: Drawing | None
    after: Drawing | None
    counts: tuple[int, int]
    heat: tuple[HeatMap, ...]
    worst: str
    nodes: tuple[str, ...] = ()
    drawn_at: str = ""


def require_libraries() -> None:
    """Raise UsageError where something that draws the report is not installed."""
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        raise UsageError(f"an HTML report needs {', '.join(missing)}", f"pip install {' '.join(missing)}")


def to_html(report: Report, evidence: Sequence[Evidence] = ()) -> str:
    """The report with a section a site; UsageError where a library of the extra `html` is missing."""
    require_libraries()
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    from onnxgs_opt.report.rendering import words
    from onnxgs_opt.report.rendering.heat import SIZES, bands

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(name=words.printable, number=words.number)
    by_id = {item.id: item for item in evidence}
    first: dict[object, str] = {}
    sections = [section_of(site, by_id.get(site.id), first) for site in report.sites]
    script = _beside(SCRIPT)
    digest = b64encode(sha256(script.encode()).digest()).decode()
    return environment.from_string(_beside(TEMPLATE)).render(
        report=report, sections=sections, words=words, codes=CODES, status=words.outcome(report), digest=digest,
        script=Markup(script), sizes=SIZES,
        bands=json.dumps({axis: [name for name, _ in bands(axis)] for axis in SIZES}),
    )  # fmt: skip


def _beside(name: str) -> str:
    return files("onnxgs_opt.report.rendering").joinpath(name).read_text(encoding="utf-8")


def section_of(site: SiteReport, evidence: Evidence | None, first: dict[object, str]) -> Section:
    """Everything that is drawn of one site; `first` has the sites before it by what their pictures show."""
    if evidence is None:
        return Section(site, (), bars(site), None, None, (0, 0), (), "")
    from onnxgs_opt.report.rendering.drawing import draw
    from onnxgs_opt.report.rendering.formula import formulas
    from onnxgs_opt.report.rendering.heat import heat_maps

    drawn_at = first.setdefault(_picture_of(evidence), site.id)
    is_drawn = drawn_at == site.id
    return Section(
        site,
        tuple(mathml(line) for line in formulas(site, evidence.policy, evidence.kernels)),
        bars(site),
        draw(evidence.before) if is_drawn else None,
        None if evidence.after is None or not is_drawn else draw(evidence.after),
        (_nodes(evidence.before), 0 if evidence.after is None else _nodes(evidence.after)),
        heat_maps(evidence.points),
        evidence.worst,
        tuple(box.name for box in evidence.before.boxes if box.op),
        "" if is_drawn else drawn_at,
    )


def _picture_of(evidence: Evidence) -> object:
    """What the pictures of a site show, its names apart."""
    cones = [cone for cone in (evidence.before, evidence.after) if cone is not None]
    return tuple(
        (tuple((box.op, box.role) for box in cone.boxes), tuple((start, end) for start, end, _ in cone.arrows))
        for cone in cones
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
            f"{m.ratio:.2f}x as fast ({spread(m)}), {ms:.3g} ms",
            round(100 * relative / widest, 1),
            m.lowering == site.lowering,
        )
        for m, ms, relative in timed
    )
