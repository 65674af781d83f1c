"""Which lowering each site gets, and why; plans on disk, so that tuning and deploying are separate runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from onnxgs_opt.errors import UsageError
from onnxgs_opt.files.atomic import write_whole
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import LOWERINGS, Target
from onnxgs_opt.options import AUTO
from onnxgs_opt.recognition import KINDS
from onnxgs_opt.samplers.site import AnySite
from onnxgs_opt.tuning.database import recorded
from onnxgs_opt.tuning.measurement import Measurement

KEEP = "keep"
NO_PLUGIN = "no plugin library was named"
OWN = "onnxgs/"
"""What the names of this tool's own nodes start with."""


@dataclass(frozen=True)
class Choice:
    """One site's lowering: why it, and why not each other one."""

    lowering: str
    reason: str
    refusals: Mapping[str, str] = field(default_factory=dict)
    measurements: tuple[Measurement, ...] = ()

    def kept(self, reason: str) -> Choice:
        """The same site left as exported."""
        return replace(self, lowering=KEEP, reason=reason, refusals={**self.refusals, self.lowering: reason})


@dataclass(frozen=True)
class Plan:
    """What every site becomes: its choice, by the site's id."""

    choices: Mapping[str, Choice]

    @property
    def lowerings(self) -> dict[str, str]:
        """By id, the lowerings of the sites that do not stay as exported."""
        return {name: choice.lowering for name, choice in self.choices.items() if choice.lowering != KEEP}

    def keeping(self, reasons: Mapping[str, str]) -> Plan:
        """The plan with some sites left as exported, each with its reason."""
        return Plan({**self.choices, **{name: self.choices[name].kept(why) for name, why in reasons.items()}})


def choose(
    sites: Sequence[AnySite], target: Target, lowering: str, image_sizes: Mapping[str, tuple[int, int]] | None = None
) -> dict[str, Choice]:
    """A choice for every site: the forced lowering, or for `auto` the one that was fastest in recorded runs.

    `image_sizes` has, by site id, the largest (H, W) of dynamic images, where they are known.
    """
    known = image_sizes or {}
    unknown = target.image_size
    return {s.id: _choice(s, replace(target, image_size=known.get(s.id, unknown)), lowering) for s in sites}


def _choice(site: AnySite, target: Target, lowering: str) -> Choice:
    refusals = KINDS[site.kind].refusals(site, target)
    if lowering == AUTO and all(name.startswith(OWN) for name in site.reads):
        return Choice(KEEP, "already lowered by onnxgs-opt", refusals)
    if lowering == AUTO:
        return Choice(*by_record(site, target, refusals), refusals)
    if lowering in refusals:
        return Choice(KEEP, f"{lowering} refused: {refusals[lowering]}", refusals)
    return Choice(lowering, "asked for", refusals)


def by_record(site: AnySite, target: Target, refusals: Mapping[str, str]) -> tuple[str, str]:
    """The lowering that was fastest in recorded runs and is possible on the target, and where that was seen."""
    without = {} if target.plugin else {"plugin": NO_PLUGIN}
    return recorded(site, target.runtime, {**without, **refusals})


# -- plans on disk --------------------------------------------------------------------------------

PLAN_VERSION = "1"


def write_plan(
    path: Path, graph: Graph, sites: Sequence[AnySite], choices: Mapping[str, Choice], target: Target
) -> None:
    """Write the choices by site signature, for `load_plan`; UsageError where the file cannot be written."""
    own = {KINDS[site.kind].workload(graph, site): choices[site.id] for site in sites}
    entries = {name: {"lowering": choice.lowering, "reason": choice.reason} for name, choice in own.items()}
    plan = {"schema_version": PLAN_VERSION, "target": target.runtime, "sites": entries}
    write_whole(path, (json.dumps(plan, indent=2, sort_keys=True) + "\n").encode())


def load_plan(path: Path) -> dict[str, str]:
    """Lowerings by site signature; UsageError where the file cannot be read or is no plan."""
    hint = "make one with --save-plan"
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # the last of brackets in brackets
        raise UsageError(f"cannot read the plan {path}: {error}", hint) from None
    if not isinstance(plan, dict) or plan.get("schema_version") != PLAN_VERSION:
        raise UsageError(f"{path} is no plan of version {PLAN_VERSION}", hint)
    entries = plan.get("sites")
    if not isinstance(entries, dict):
        raise UsageError(f"{path} is no plan: its sites have no signatures, as those of a report", hint)
    named = {str(own): str(entry.get("lowering")) for own, entry in entries.items() if isinstance(entry, dict)}
    unknown = sorted({name for name in named.values() if name not in LOWERINGS})
    if unknown:
        raise UsageError(f"the plan {path} names no lowering of this version: {', '.join(unknown)}", hint)
    return named


def replay(
    graph: Graph, sites: Sequence[AnySite], choices: Mapping[str, Choice], plan: Mapping[str, str]
) -> dict[str, Choice]:
    """The plan's choice for every site; one that it does not know, or that refuses, is kept as exported."""
    own = {site.id: KINDS[site.kind].workload(graph, site) for site in sites}
    return {site.id: _replayed(choices[site.id], plan.get(own[site.id])) for site in sites}


def _replayed(choice: Choice, name: str | None) -> Choice:
    if name is None:
        return Choice(KEEP, "the plan has no site of its signature", choice.refusals)
    if name in choice.refusals:
        return Choice(KEEP, f"{name}, which the plan says, refused: {choice.refusals[name]}", choice.refusals)
    return Choice(name, "the plan says so", choice.refusals)
