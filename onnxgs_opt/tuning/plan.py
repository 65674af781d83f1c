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
from onnxgs_opt.lowering.keep import KEEP
from onnxgs_opt.options import AUTO
from onnxgs_opt.recognition import KINDS
from onnxgs_opt.runtime.timing import CLEAR
from onnxgs_opt.samplers.op import is_ours
from onnxgs_opt.samplers.site import AnySite
from onnxgs_opt.tuning.database import recorded
from onnxgs_opt.tuning.measurement import Measurement

ANYWHERE = tuple(name for name in LOWERINGS if name not in (KEEP, "plugin"))
"""Lowerings that write standard operators, in the order in which they are taken where nothing says which is faster."""
NO_PLUGIN = "no plugin library was named"


@dataclass(frozen=True)
class Choice:
    """One site's lowering: why it, and why not each other one."""

    lowering: str
    reason: str
    refusals: Mapping[str, str] = field(default_factory=dict)
    measurements: tuple[Measurement, ...] = ()

    @property
    def must_change(self) -> bool:
        """Whether the site cannot stay as it is, and something else is possible."""
        return KEEP in self.refusals and any(name not in self.refusals for name in ANYWHERE)

    def changed(self) -> Choice:
        """The same, with the fastest form that was measured and is possible, else any, where it must not be kept."""
        if self.lowering != KEEP or not self.must_change:
            return self
        timed = [row for row in self.measurements if row.status == "ok" and row.lowering not in (KEEP, *self.refusals)]
        best = max(timed, key=lambda row: row.ratio or 0.0, default=None)
        wrong = {row.lowering for row in self.measurements if row.status != "ok"}
        others = [name for name in ANYWHERE if name not in self.refusals]
        chosen = next((name for name in others if name not in wrong), others[0]) if best is None else best.lowering
        return replace(self, lowering=chosen, reason=f"{self.refusals[KEEP]}; {self.reason}")

    @property
    def is_measured(self) -> bool:
        """Whether the lowering was timed here."""
        return any(row.lowering == self.lowering for row in self.measurements)

    @property
    def is_unclear(self) -> bool:
        """Whether only the whole model can tell that it is faster: by itself, the site was not."""
        return any(row.lowering == self.lowering != KEEP and (row.ratio or 0.0) < CLEAR for row in self.measurements)

    def tried(self) -> Choice:
        """The same, with the fastest of the forms that were measured where none is clearly faster."""
        rows = [row for row in self.measurements if row.status == "ok" and row.lowering not in (KEEP, *self.refusals)]
        if self.lowering != KEEP or not rows:
            return self
        best = max(rows, key=lambda row: row.ratio or 0.0)
        return replace(self, lowering=best.lowering, reason="its reads alone are no faster, the whole model is")

    def by_record(self, site: AnySite, target: Target, *, is_timed: bool) -> Choice:
        """The one that was fastest in recorded runs and is not refused; as it is where there is none."""
        name, reason = by_record(site, target, self.refusals, is_timed=is_timed)
        return self if name == KEEP else replace(self, lowering=name, reason=reason)

    def kept(self, reason: str) -> Choice:
        """The same site left as exported."""
        return replace(self, lowering=KEEP, reason=reason, refusals={**self.refusals, self.lowering: reason})


@dataclass(frozen=True)
class Plan:
    """What every site becomes: its choice, by the site's id."""

    choices: Mapping[str, Choice]

    @property
    def required(self) -> frozenset[str]:
        """The ids of sites that cannot stay as they are, be that slower."""
        return frozenset(name for name, choice in self.choices.items() if choice.must_change)

    @property
    def lowerings(self) -> dict[str, str]:
        """By id, the lowerings of the sites that do not stay as exported."""
        return {name: choice.lowering for name, choice in self.choices.items() if choice.lowering != KEEP}

    def changed(self) -> Plan:
        """The plan with another form for each site that cannot stay as it is."""
        return Plan({name: choice.changed() for name, choice in self.choices.items()})

    def trying(self, names: Sequence[str]) -> Plan:
        """The plan with a form for some sites that are measured by a part of them: the whole model has to be timed."""
        return Plan({**self.choices, **{name: self.choices[name].tried() for name in names}})

    def keeping(self, reasons: Mapping[str, str]) -> Plan:
        """The plan with some sites left as exported, each with its reason."""
        return Plan({**self.choices, **{name: self.choices[name].kept(why) for name, why in reasons.items()}})


def choose(
    sites: Sequence[AnySite],
    target: Target,
    lowering: str,
    image_sizes: Mapping[str, tuple[int, ...]] | None = None,
    avoided: Mapping[str, Mapping[str, str]] | None = None,
    *,
    is_timed: bool = False,
    sized: Mapping[str, AnySite] | None = None,
) -> dict[str, Choice]:
    """A choice for every site: the forced lowering, or for `auto` the one that was fastest in recorded runs.

    Where the whole model is timed afterwards (`is_timed`) that is the one of the nearest case, be it far.

    `image_sizes` has, by site id, the largest (H, W) of dynamic images, where they are known; `avoided` the forms that
    have an operator that must not stand in the model, and which; `sized` the sites with the sizes at which the model is
    to be fast, where they are dynamic and known.
    """
    known, unknown = image_sizes or {}, target.image_size
    out = {}
    for site in sites:
        own = replace(target, image_size=known.get(site.id, unknown))
        refusals = {**(avoided or {}).get(site.id, {}), **KINDS[site.kind].refusals(site, own)}
        if lowering != AUTO or is_ours(site):
            out[site.id] = _unasked(site, lowering, refusals)
            continue
        found = by_record(site, own, refusals, is_timed=is_timed, sized=(sized or {}).get(site.id))
        out[site.id] = Choice(*found, refusals)
    return out


def _unasked(site: AnySite, lowering: str, refusals: Mapping[str, str]) -> Choice:
    """The choice that no record is asked for."""
    if lowering == AUTO:
        return Choice(KEEP, "already lowered by onnxgs-opt", refusals)
    if lowering in refusals:
        return Choice(KEEP, f"{lowering} refused: {refusals[lowering]}", refusals)
    return Choice(lowering, "asked for", refusals)


def by_record(
    site: AnySite,
    target: Target,
    refusals: Mapping[str, str],
    *,
    is_timed: bool = False,
    sized: AnySite | None = None,
) -> tuple[str, str]:
    """The lowering that was fastest in recorded runs and is possible on the target, and where that was seen."""
    without = {} if target.plugin else {"plugin": NO_PLUGIN}
    return recorded(site, target.runtime, {**without, **refusals}, is_timed=is_timed, sized=sized)


# -- plans on disk --------------------------------------------------------------------------------

PLAN_VERSION = "1"
NOT_IN_PLAN = "the plan has no site of its signature"


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
        return Choice(KEEP, NOT_IN_PLAN, choice.refusals)
    if name in choice.refusals:
        return Choice(KEEP, f"{name}, which the plan says, refused: {choice.refusals[name]}", choice.refusals)
    return Choice(name, "the plan says so", choice.refusals)
