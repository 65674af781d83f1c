"""A report as text: two lines a site, near-miss and hazard, the rows that changed, and one verdict line.

Plain words come first and codes last; what is alike is said once. Lines are never wrapped or cut, so each can be found
with grep; styling is colour only.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console
from rich.table import Table
from rich.text import Text

from onnxgs_opt.diagnostics import CODES, Code
from onnxgs_opt.report.model import Report, SiteReport
from onnxgs_opt.report.rendering.words import domain, kind, number, outcome, printable, sentence, speed, spread, verdict

if TYPE_CHECKING:
    from onnxgs_opt.runtime.tensorrt.engine import EngineTime

T = TypeVar("T")
FEW = 3
"""Of sites or nodes that are alike, so many are named."""

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


def _render(lines: Iterator[Text | Table], colour: bool) -> str:
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


def _lines(report: Report, verbosity: int) -> Iterator[Text | Table]:
    if verbosity >= 0:
        yield from _body(report, verbosity)
    style = "bold red" if report.exit_code else "bold green"
    yield Text.assemble("onnxgs-opt: ", (outcome(report), style), f" {verdict(report)}")


def _body(report: Report, verbosity: int) -> Iterator[Text | Table]:
    for alike in _groups(report.sites, _shared) if verbosity <= 0 else ((site,) for site in report.sites):
        yield from _site(alike)
        if verbosity > 0:
            yield from _site_details(alike[0])
    misses = [(miss.code, miss.node, miss.condition, miss.hint) for miss in report.near_misses]
    hazards = [(hazard.code, hazard.node, CODES[hazard.code].title, hazard.hint) for hazard in report.hazards]
    for label, remarks in (("looks like one", misses), ("hazard", hazards)):
        for several in _groups(remarks, lambda each: (each[0], *each[2:])):
            yield from _remark(label, several, verbosity)
    yield from _table(report)
    if report.latency is not None:
        yield Text(f"the whole model: {speed(report.latency)}", style="bold")
    yield from _engine(report)
    if verbosity > 0 and report.timings:
        times = ", ".join(f"{printable(stage)} {seconds:.2f} s" for stage, seconds in report.timings.items())
        yield Text(f"times: {times}", style="dim")


def _groups(items: Iterable[T], key: Callable[[T], object]) -> list[list[T]]:
    """Those of one key together, in the order of their firsts."""
    found: dict[object, list[T]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return list(found.values())


def _shared(site: SiteReport) -> object:
    """What sites have in common that are said once."""
    return site.rule, site.policy, site.body, len(site.reads), site.read_op, site.lowering, site.reason


def _others(named: Sequence[str]) -> str:
    """The first few of those that a line says nothing else of."""
    more = f" and {len(named) - FEW} more (-v names them)" if len(named) > FEW else ""
    return printable(", ".join(named[:FEW])) + more


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


def _site(alike: Sequence[SiteReport]) -> Iterator[Text]:
    """Two lines, and one more that names those that are like it."""
    site = alike[0]
    margin = " " * (len(site.id) + 2)
    yield Text.assemble((printable(site.id), "bold"), f"  {printable(sentence(site))}  ", (f"[{site.rule}]", "dim"))
    each = f" in each of {len(alike)}" if alike[1:] else ""
    form = "left as it is" if site.is_kept else site.lowering
    styled = (printable(form), "yellow" if site.is_kept else "green")
    yield Text.assemble(
        f"{margin}{len(site.reads)} {printable(site.read_op)}{each} -> ", styled, printable(f": {site.reason}")
    )
    for lowering, why in site.refusals.items():
        if "; --opset" in why:  # another one would let it be that
            yield Text(printable(f"{margin}{lowering} refused: {why}"))
    if alike[1:]:
        yield Text(f"{margin}alike: {_others([f'{other.id} ({other.output})' for other in alike[1:]])}")


def _site_details(site: SiteReport) -> Iterator[Text]:
    """What -v says besides: the data, the proof, the reads, every form that was timed or refused."""
    yield Text(printable(f"  {kind(site)}; reads: {', '.join(site.reads)}"), style="dim")
    checked = f"  largest difference when checked alone: {number(site.error.max_abs)}"
    yield Text(checked + (f"; proven for {domain(site)}" if domain(site) else ""), style="dim")
    for row in site.measurements:
        if row.median_ms is not None and row.ratio is not None:
            times = f"{row.median_ms:.3g} ms, {row.ratio:.2f} times as fast as exported ({spread(row)})"
            yield Text(f"  {printable(row.lowering)}: {times}")
    for lowering, why in site.refusals.items():
        yield Text(printable(f"  {lowering} refused: {why}"), style="dim")


def _remark(label: str, several: Sequence[tuple[str, str, str, str]], verbosity: int) -> Iterator[Text]:
    """What was seen and where, then what to do about it."""
    code, node, what, hint = several[0]
    nodes = [each[1] for each in several[1:]]
    others = f" and {printable(', '.join(nodes)) if verbosity > 0 else _others(nodes)}" if nodes else ""
    yield Text.assemble(
        (label, "yellow"), f"  {printable(what.rstrip('.'))}: node {printable(node)}{others}  ", (f"[{code}]", "dim")
    )
    if hint:
        yield Text(printable(f"{' ' * len(label)}  {hint}"))


def _table(report: Report) -> Iterator[Table]:
    """The counts that changed."""
    if not report.changed:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column()
    for name in ("before", "after"):
        table.add_column(name, justify="right", min_width=7)
    for name, count in report.changed:
        table.add_row(name, str(count.before), str(count.after))
    yield table
