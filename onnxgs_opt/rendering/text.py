"""A report as text: a line a site, near-miss and hazard, the rows that changed, and one verdict line.

Lines are never wrapped or cut, so each can be found with grep; styling is colour only.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from onnxgs_opt.codes import CODES, Code
from onnxgs_opt.report import NearMiss, Report, SiteReport

_WIDE = 1 << 20  # columns: rich folds at the console's width, and a folded name cannot be found again


def to_text(report: Report, *, colour: bool = False, verbosity: int = 0) -> str:
    """The report for a reader: verbosity < 0 is the verdict alone, > 0 adds reads, refusals and times."""
    return _render(_lines(report, verbosity), colour)


def explain(code: Code, *, colour: bool = False) -> str:
    """What one code means and what to do about it."""
    title = Text.assemble((code.code, "bold"), f"  {code.title}")
    return _render(iter((title, Text(f"  {code.meaning}"), Text(f"  To do: {code.action}"))), colour)


def explain_all(*, colour: bool = False) -> str:
    """One line a code."""
    return _render((Text.assemble((code.code, "bold"), f"  {code.title}") for code in CODES.values()), colour)


def printable(text: str) -> str:
    """The text with control and other unprintable characters escaped: names come from the file."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def number(value: float | None) -> str:
    """A difference in three digits; 0 is exact equality."""
    return "not checked" if value is None else f"{value:.3g}"


def _render(lines: Iterator[Text], colour: bool) -> str:
    out = io.StringIO()
    console = Console(
        file=out,
        width=_WIDE,
        force_terminal=colour,
        no_color=not colour,
        color_system="standard" if colour else None,
        highlight=False,
        markup=False,
        emoji=False,
    )
    for line in lines:
        console.print(line, soft_wrap=True)
    return out.getvalue()


def _lines(report: Report, verbosity: int) -> Iterator[Text]:
    if verbosity >= 0:
        yield from _body(report, verbosity)
    yield _verdict(report)


def _body(report: Report, verbosity: int) -> Iterator[Text]:
    for site in report.sites:
        yield _site(site)
        if verbosity > 0:
            yield from _site_details(site)
        yield from _ratios(site)
    for miss in report.near_misses:
        yield _near_miss(miss)
    for hazard in report.hazards:
        yield _remark("hazard", hazard.code, hazard.node, CODES[hazard.code].title, hazard.hint)
    yield from _table(report)
    if verbosity > 0 and report.timings:
        times = ", ".join(f"{printable(stage)} {seconds:.2f} s" for stage, seconds in report.timings.items())
        yield Text(f"times: {times}", style="dim")


def _site(site: SiteReport) -> Text:
    policy = site.policy
    units = policy.coordinates
    if policy.align_corners is not None:
        units += f" (align_corners={int(policy.align_corners)})"
    grid = site.grid if isinstance(site.grid, str) else ", ".join(site.grid)
    where = f"{site.image} at {grid} -> {site.output}"
    return Text.assemble(
        (site.id, "bold"),
        f" {site.rule} {policy.kind}, {policy.border}, {units} coordinates, {policy.layout} {policy.dtype}: ",
        printable(f"{where} ({len(site.reads)} {site.read_op} reads): "),
        (site.lowering, "yellow" if site.is_kept else "green"),
        printable(f", {site.reason}"),
    )


def _site_details(site: SiteReport) -> Iterator[Text]:
    yield Text(printable(f"  reads: {', '.join(site.reads)}"), style="dim")
    yield Text(f"  error: {number(site.error.max_abs)}", style="dim")
    for lowering, sentence in site.refusals.items():
        yield Text(printable(f"  {lowering} refused: {sentence}"), style="dim")


def _ratios(site: SiteReport) -> Iterator[Text]:
    for row in site.measurements:
        if row.median_ms is not None and row.ratio is not None:
            yield Text(f"  {row.lowering}: {row.median_ms:.3g} ms, {row.ratio:.2f}x as fast as exported")


def _near_miss(miss: NearMiss) -> Text:
    what = f"{CODES[miss.code].title}: {miss.condition}"
    return _remark("near-miss", miss.code, miss.node, what, miss.hint)


def _remark(kind: str, code: str, node: str, what: str, hint: str) -> Text:
    advice = f"; {hint}" if hint else ""
    return Text.assemble((kind, "yellow"), printable(f" {code} at {node}: {what.rstrip('.')}{advice}"))


def _table(report: Report) -> Iterator[Text]:
    counts = (("nodes", report.nodes), ("reads", report.reads))
    changed = [(name, count) for name, count in counts if count.before != count.after]
    if not changed:
        return
    yield Text(f"{'':8}{'before':>8}{'after':>8}", style="bold")
    for name, count in changed:
        yield Text(f"{name:8}{count.before:>8}{count.after:>8}")


def _verdict(report: Report) -> Text:
    if report.exit_code:
        return Text.assemble("onnxgs-opt: ", ("FAILED", "bold red"), f" {_failure(report)}")
    return Text.assemble("onnxgs-opt: ", ("PASSED", "bold green"), f" {'; '.join(_facts(report))}")


def _failure(report: Report) -> str:
    sites = _count(len(report.lowered), "site")
    match report.status:
        case "findings":
            return f"{sites} could be optimised (--check)"
        case "too-few":
            found = _count(len(report.sites), "site")
            return f"{found} found, --require-match asks for more; nothing was written"
        case "mismatch":
            worst = number(report.validation.max_abs)
            return f"the result differs from the original, max |error| {worst}; nothing was written"
        case _:
            return "the engine was not built"


def _facts(report: Report) -> Iterator[str]:
    if report.status == "nothing-to-do":
        yield "nothing to do"
    elif report.status == "dry-run":
        yield f"{_count(len(report.sites), 'site')} found, {len(report.lowered)} would be lowered"
    else:
        yield f"{_count(len(report.lowered), 'site')} lowered"
    check = report.validation
    if check.status == "ok":
        runs = _count(len(check.shapes), "shape")
        yield f"validated over {runs}, max |error| {number(check.max_abs)}"
    elif report.status == "optimised":
        yield "not validated"
    if report.output is not None:
        yield f"wrote {printable(report.output)}"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
