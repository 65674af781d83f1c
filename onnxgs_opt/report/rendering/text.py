"""A report as text: a line a site, near-miss and hazard, the rows that changed, and one verdict line.

Lines are never wrapped or cut, so each can be found with grep; styling is colour only.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from onnxgs_opt.diagnostics import CODES, Code
from onnxgs_opt.report.model import Report, SiteReport
from onnxgs_opt.report.rendering.words import domain, kind, number, outcome, printable, speed, spread, verdict, where

if TYPE_CHECKING:
    from onnxgs_opt.runtime.tensorrt.engine import EngineTime

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
    style = "bold red" if report.exit_code else "bold green"
    yield Text.assemble("onnxgs-opt: ", (outcome(report), style), f" {verdict(report)}")


def _body(report: Report, verbosity: int) -> Iterator[Text]:
    for site in report.sites:
        yield _site(site)
        if verbosity > 0:
            yield from _site_details(site)
        yield from _ratios(site)
    for miss in report.near_misses:
        yield _remark("near-miss", miss.code, miss.node, f"{CODES[miss.code].title}: {miss.condition}", miss.hint)
    for hazard in report.hazards:
        yield _remark("hazard", hazard.code, hazard.node, CODES[hazard.code].title, hazard.hint)
    yield from _table(report)
    if report.latency is not None:
        yield Text(f"the whole model: {speed(report)}", style="bold")
    yield from _engine(report)
    if verbosity > 0 and report.timings:
        times = ", ".join(f"{printable(stage)} {seconds:.2f} s" for stage, seconds in report.timings.items())
        yield Text(f"times: {times}", style="dim")


def _engine(report: Report) -> Iterator[Text]:
    """What was built, and, where it was timed, its layers as trtexec lists them, longest first."""
    engine = report.engine
    if engine is None:
        return
    network = f"{engine.layers} layers, {', '.join((engine.version, *engine.flags))}"
    yield Text(printable(f"engine {engine.path}: {engine.backend}, {network}"))
    before = engine.before
    if before is not None and before.problem is not None:
        yield Text(printable(f"  before: {before.problem}"))
    if before is not None and before.microseconds is not None:
        yield Text(f"  before: {before.microseconds:.2f} us a run")
        yield from _layer_times(before.layer_times)
    if engine.microseconds is not None:
        gain = "" if before is None else _times_as_fast(before.microseconds, engine.microseconds)
        yield Text(f"  after: {engine.microseconds:.2f} us a run{gain}, max |error| {number(engine.max_abs)}")
        yield from _layer_times(engine.layer_times)


def _times_as_fast(before: float | None, after: float) -> str:
    return "" if before is None or not after else f", {before / after:.2f} times as fast"


def _layer_times(layers: Sequence[EngineTime]) -> Iterator[Text]:
    for layer in layers:
        yield Text(f"{layer.microseconds:12.2f} us {layer.share:6.1%}  {printable(layer.name)}")


def _site(site: SiteReport) -> Text:
    return Text.assemble(
        (site.id, "bold"),
        f" {site.rule} {kind(site)}: ",
        printable(f"{where(site)} ({len(site.reads)} {site.read_op} reads): "),
        (site.lowering, "yellow" if site.is_kept else "green"),
        printable(f", {site.reason}"),
        f", proven for {domain(site)}" if domain(site) else "",
    )


def _site_details(site: SiteReport) -> Iterator[Text]:
    yield Text(printable(f"  reads: {', '.join(site.reads)}"), style="dim")
    yield Text(f"  error: {number(site.error.max_abs)}", style="dim")
    for lowering, sentence in site.refusals.items():
        yield Text(printable(f"  {lowering} refused: {sentence}"), style="dim")


def _ratios(site: SiteReport) -> Iterator[Text]:
    for row in site.measurements:
        if row.median_ms is not None and row.ratio is not None:
            times = f"{row.median_ms:.3g} ms, {row.ratio:.2f}x as fast as exported ({spread(row)})"
            yield Text(f"  {row.lowering}: {times}")


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
