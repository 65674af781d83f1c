"""A report as GitHub-flavoured Markdown: the verdict, tables of what was found, what to do. For job summaries.

Names stand in code spans, sentences are escaped: nothing in a model can make a link, a heading, a mention or HTML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from onnxgs_opt.diagnostics import CODES
from onnxgs_opt.report.model import Report, SiteReport
from onnxgs_opt.report.rendering.words import (
    advised,
    domain,
    grid,
    kind,
    number,
    outcome,
    printable,
    speed,
    spread,
    verdict,
)
from onnxgs_opt.runtime.tensorrt.engine import Engine

_SPECIAL = re.compile(r"[\\`*_{}\[\]<>#|~&!]")


def to_markdown(report: Report) -> str:
    """The report as one Markdown document with a final newline."""
    return "\n".join(_lines(report)) + "\n"


def broken(model: str, error: str, hint: str) -> str:
    """The section of a model that could not be looked at."""
    return f"## onnxgs-opt: FAILED {code(model)}\n\n{prose(advised(error, hint))}\n\n"


def code(name: str) -> str:
    """A name as a code span that also holds in a table: fenced longer than any run of backticks in it."""
    shown = printable(name).replace("|", "\\|")
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if shown[:1] in ("`", " ", "") or shown[-1:] in ("`", " ") else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def prose(sentence: str) -> str:
    """A sentence as plain text: markup, links and mentions in it are shown, not followed."""
    shown = _SPECIAL.sub(r"\\\g<0>", printable(sentence))
    return shown.replace("@", "@<!-- -->").replace("://", ":<!-- -->//").replace("www.", "www<!-- -->.")


def _lines(report: Report) -> Iterator[str]:
    yield f"## onnxgs-opt: {outcome(report)} {code(report.input)}"
    yield ""
    yield f"{prose(verdict(report))}. Target {code(report.target)}, onnxgs-opt {report.tool.version}."
    if report.latency is not None:
        yield from ("", f"The whole model: {prose(speed(report.latency))}.")
    failed = [(code(f"--{f.gate}"), prose(f.message), code(f.place) if f.place else "") for f in report.failures]
    yield from _section("What failed", ("asked for by", "what", "where"), failed)
    changed = [(name, str(count.before), str(count.after)) for name, count in report.changed]
    yield from _section("What changed", ("", "before", "after"), changed)
    if report.engine is not None:
        engine = report.engine
        built = code(f"{engine.backend} {engine.version}"), str(engine.layers), f"{engine.build_s:.1f}"
        yield from _section("Engine", ("file", "builder", "layers", "built in s"), [(code(engine.path), *built)])
        if engine.before is not None and engine.before.problem is not None:
            yield from ("", f"Before: {prose(engine.before.problem)}.")
        yield from _section("Layer times", ("engine", "us", "share", "layer"), _layer_times(engine))
    yield from _section("Sites", ("site", "what", "where", "lowering", "why", "error"), map(_site, report.sites))
    timed = [row for site in report.sites for row in _timings(site)]
    yield from _section("Measurements", ("site", "lowering", "ms", "times as fast as exported", "quartiles"), timed)
    refused = [(code(s.id), code(k), prose(v)) for s in report.sites for k, v in s.refusals.items()]
    yield from _section("Lowerings that were refused", ("site", "lowering", "why"), refused)
    misses = [(_title(m.code), code(m.node), prose(m.condition), prose(m.hint)) for m in report.near_misses]
    yield from _section("Near-misses", ("what", "node", "why it was left", "what to do"), misses)
    hazards = [(_title(h.code), code(h.node), prose(h.hint)) for h in report.hazards]
    yield from _section("Hazards", ("what", "node", "what to do"), hazards)


def _title(code: str) -> str:
    return f"{code} {CODES[code].title}"


def _layer_times(engine: Engine) -> Iterator[Sequence[str]]:
    """One run and then its layers, longest first: of the engine of the model as it came, and of the new one."""
    for name, timed in (("before", engine.before), ("after", engine)):
        if timed is None or timed.microseconds is None:
            continue
        yield name, f"{timed.microseconds:.2f}", "", "one run, in a CUDA graph"
        for layer in timed.layer_times:
            yield name, f"{layer.microseconds:.2f}", f"{layer.share:.1%}", code(layer.name)


def _site(site: SiteReport) -> Sequence[str]:
    where = f"{code(site.image)} at {code(grid(site))} to {code(site.output)}"
    where += f" in {code(site.body)}" if site.body else ""
    what = f"{site.rule} {prose(kind(site))}" + (f"; {prose(domain(site))}" if domain(site) else "")
    return code(site.id), what, where, code(site.lowering), prose(site.reason), number(site.error.max_abs)


def _timings(site: SiteReport) -> Iterator[Sequence[str]]:
    for row in site.measurements:
        if row.median_ms is not None and row.ratio is not None:
            yield code(site.id), code(row.lowering), f"{row.median_ms:.3g}", f"{row.ratio:.2f}", spread(row)


def _section(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A heading and a table; nothing where there are no rows."""
    body = [f"| {' | '.join(row)} |" for row in rows]
    if body:
        yield from ("", f"### {title}", "", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *body)
