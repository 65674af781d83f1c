"""What a pipeline asks of a run beyond its result: codes that must not occur, findings that are known, a speed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from onnxgs_opt.diagnostics import CODES, Remark
from onnxgs_opt.errors import UsageError
from onnxgs_opt.options import Options
from onnxgs_opt.recognition.findings import Survey
from onnxgs_opt.report.model import Failure, Hazard, Latency
from onnxgs_opt.samplers.site import AnySite

Fingerprint = tuple[str, str, tuple[str, ...]]
"""(model, code, nodes): what is the same finding in another run."""


@dataclass(frozen=True)
class Gates:
    """What the options ask, and the findings of a baseline, which are known."""

    options: Options
    known: frozenset[Fingerprint] = frozenset()

    @classmethod
    def of(cls, options: Options) -> Gates:
        """Read the baseline, if there is one.

        Raises:
            UsageError: It cannot be read, or is no report.
        """
        return cls(options, frozenset() if options.baseline is None else read_baseline(Path(options.baseline)))

    def visible(self, found: Survey) -> Survey:
        """What was found, without what `ignore` names."""
        if not self.options.ignore:
            return found
        hides = self.options.hides
        shown = found.changed(lambda site: None if hides(site.rule) else site)
        return replace(
            shown,
            near_misses=tuple(miss for miss in found.near_misses if not hides(miss.code)),
            hazards=tuple(hazard for hazard in found.hazards if not hides(hazard.code)),
        )

    def failures(self, model: str, found: Survey, lowerings: Mapping[str, str]) -> tuple[Failure, ...]:
        """What must not be in a model: under `check` the sites that would be lowered, and every code of `fail_on`."""
        checked = [site for site in found.sites if self.options.check and site.id in lowerings]
        by_check = [_of_site("check", site) for site in checked if self._is_new(model, site.rule, site.reads)]
        named = [
            _of_site("fail-on", site)
            for site in found.sites
            if site not in checked and self._fails(model, site.rule, site.reads)
        ]
        return (*by_check, *named, *self.remarked(model, (*found.near_misses, *found.hazards)))

    def remarked(self, model: str, remarks: Iterable[Remark | Hazard]) -> Iterator[Failure]:
        """What must not be in a model, of near-misses and hazards."""
        for each in remarks:
            if self._fails(model, each.code, (each.node,)):
                yield Failure("fail-on", f"{each.code} {CODES[each.code].title}", each.code, each.node)

    def of_speed(self, latency: Latency | None, is_new: bool) -> tuple[Failure, ...]:
        """That the result is not fast enough; as fast as before where it `is_new` not."""
        least = self.options.min_speedup
        if least is None:
            return ()
        if latency is None and is_new:
            return (Failure("min-speedup", f"the model could not be timed, {least:g} times as fast was asked for"),)
        ratio = 1.0 if latency is None else latency.ratio
        if ratio >= least:
            return ()
        how = "nothing was rewritten" if latency is None else f"the model is {ratio:.2f} times as fast"
        return (Failure("min-speedup", f"{how}, {least:g} times as fast was asked for"),)

    def _fails(self, model: str, code: str, nodes: Sequence[str]) -> bool:
        return self.options.fails_on(code) and self._is_new(model, code, nodes)

    def _is_new(self, model: str, code: str, nodes: Sequence[str]) -> bool:
        return fingerprint(model, code, nodes) not in self.known


def fingerprint(model: str, code: str, nodes: Sequence[str]) -> Fingerprint:
    """What stays the same of a finding from run to run; nothing that a measurement changes is in it."""
    return PurePath(model).as_posix(), code, tuple(nodes)


def read_baseline(path: Path) -> frozenset[Fingerprint]:
    """The findings of earlier JSON reports: of one model (`--report FILE.json`) or of many (`--format json`).

    Raises:
        UsageError: The file cannot be read, or is no such report.
    """
    hint = "make one with --report FILE.json, or for many models --check --format json > FILE.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"cannot read the baseline {path}: {error}", hint) from None
    try:
        return frozenset(each for report in document.get("reports", [document]) for each in _found_in(report))
    except (AttributeError, KeyError, TypeError):
        raise UsageError(f"{path} is no JSON report of onnxgs-opt", hint) from None


def _found_in(report: Mapping[str, Any]) -> Iterator[Fingerprint]:
    for site in report["sites"]:
        yield fingerprint(report["input"], site["rule"], site["reads"])
    for remark in (*report["near_misses"], *report["hazards"]):
        yield fingerprint(report["input"], remark["code"], (remark["node"],))
    for failure in report.get("failures", ()):  # a run that fails for what lowering brings writes no hazard of it
        yield fingerprint(report["input"], failure["code"], (failure["place"],))


def _of_site(gate: Any, site: AnySite) -> Failure:
    return Failure(gate, f"{site.output}: {CODES[site.rule].title}", site.rule, site.id)
