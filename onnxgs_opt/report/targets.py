"""Which runtime to ship on: the reports of one model for several targets, as one table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from onnxgs_opt.report.model import Report, SiteReport
from onnxgs_opt.report.rendering.words import number, printable
from onnxgs_opt.tuning.measurement import Measurement

SCHEMA_VERSION = "1"


@dataclass(frozen=True)
class TargetRun:
    """One target: its runtime and version, or why it cannot run here, and the report for it."""

    target: str
    version: str
    unavailable: str
    report: Report

    @property
    def milliseconds(self) -> float | None:
        """What all sites take together as they were chosen; None where one of them was not measured."""
        rows = [_row(site, site.lowering) for site in self.sites]
        known = [row.median_ms for row in rows if row is not None and row.median_ms is not None]
        return sum(known) if known and len(known) == len(rows) else None

    @property
    def sites(self) -> tuple[SiteReport, ...]:
        """The sites of the report."""
        return self.report.sites


def fastest(runs: Sequence[TargetRun]) -> TargetRun | None:
    """The target on which the sites take the least time; None where nothing was measured."""
    timed = [run for run in runs if run.milliseconds is not None]
    return min(timed, key=lambda run: run.milliseconds or 0.0, default=None)


def to_json(runs: Sequence[TargetRun]) -> str:
    """The table as JSON: a record a target, in it one a site, in it one a lowering."""
    best = fastest(runs)
    document = {
        "schema_version": SCHEMA_VERSION,
        "input": runs[0].report.input,
        "targets": [_target(run) for run in runs],
        "fastest": None if best is None else {"target": best.target, "sites_ms": best.milliseconds},
    }
    return json.dumps(document, indent=2) + "\n"


def _target(run: TargetRun) -> dict[str, Any]:
    latency = run.report.latency
    return {
        "target": run.target,
        "runtime": run.version or None,
        "unavailable": run.unavailable or None,
        "sites_ms": run.milliseconds,
        "model": None if latency is None else asdict(latency),
        "sites": [_site(site) for site in run.sites],
    }


def _site(site: SiteReport) -> dict[str, Any]:
    forms = [_form(site, name) for name in _forms(site)]
    return {"id": site.id, "lowering": site.lowering, "reason": site.reason, "forms": forms}


def _form(site: SiteReport, name: str) -> dict[str, Any]:
    row = _row(site, name)
    refusal = site.refusals.get(name)
    return {
        "lowering": name,
        "status": "refused" if row is None else row.status,
        "median_ms": None if row is None else row.median_ms,
        "ratio": None if row is None else row.ratio,
        "max_abs": None if row is None or row.max_abs is None else float(f"{row.max_abs:.3g}"),
        "refusal": refusal,
    }


def to_text(runs: Sequence[TargetRun]) -> str:
    """A table for each site whose times differ from those before: lowerings down, targets across."""
    best = fastest(runs)
    lines = [line for site in _different(runs) for line in _table(runs, site)]
    lines += [f"{run.target}: {printable(run.unavailable)}" for run in runs if run.unavailable]
    for run in runs:
        lines += [f"{run.target}: {site.id} {printable(site.reason)}" for site in run.sites if not site.measurements]
    if best is None:
        lines.append("onnxgs-opt: nothing was measured")
    else:
        chosen = ", ".join(dict.fromkeys(site.lowering for site in best.sites))
        lines.append(f"onnxgs-opt: fastest on {best.target}: {best.milliseconds:.3g} ms for all sites, as {chosen}")
    return "\n".join(lines) + "\n"


def _different(runs: Sequence[TargetRun]) -> Iterator[int]:
    """The places of sites that were not measured together with one before."""
    seen: set[tuple[tuple[Measurement, ...], ...]] = set()
    for place in range(len(runs[0].sites)):
        rows = tuple(run.sites[place].measurements for run in runs)
        if any(rows) and rows not in seen:
            seen.add(rows)
            yield place


def _table(runs: Sequence[TargetRun], place: int) -> Iterator[str]:
    sites = [run.sites[place] for run in runs]
    names = list(dict.fromkeys(row.lowering for site in sites for row in site.measurements if row.status != "refused"))
    rows = [[name, *(_cell(site, name) for site in sites)] for name in names]
    rows.insert(0, [sites[0].id, *(run.target for run in runs)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    yield from ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def _cell(site: SiteReport, name: str) -> str:
    """The time and the error of a form, marked where it was chosen; or what became of it."""
    row = _row(site, name)
    if row is None:
        return "refused" if name in site.refusals else "-"
    if row.median_ms is None:
        return row.status.replace("_", " ")
    mark = "*" if name == site.lowering else " "
    error = "" if row.max_abs is None else f", {number(float(f'{row.max_abs:.2g}'))}"
    return f"{mark}{row.median_ms:.3g} ms{error}"


def _row(site: SiteReport, name: str) -> Measurement | None:
    return next((row for row in site.measurements if row.lowering == name and row.status != "refused"), None)


def _forms(site: SiteReport) -> list[str]:
    """The lowerings of which something is known, the exported form first."""
    return list(dict.fromkeys((*(row.lowering for row in site.measurements), *site.refusals)))
