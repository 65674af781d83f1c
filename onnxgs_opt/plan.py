"""Which lowering each site gets, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from onnxgs_opt.errors import UsageError
from onnxgs_opt.lowering import LOWERINGS, Target
from onnxgs_opt.site import Site

KEEP = "keep"
AUTO = "auto"
OWN = "onnxgs/"
"""What the names of this tool's own nodes start with."""

RULES: Mapping[str, tuple[str, ...]] = {
    "ort-cpu": ("merged-gather", KEEP),
    "ort-cuda": ("grid-sample", "merged-gather", KEEP),
    "tensorrt": (KEEP,),
    "tensorrt-rtx": (KEEP,),
}
"""What `auto` tries on each target, best first."""


@dataclass(frozen=True)
class Choice:
    """One site's lowering: why it, and why not each other one."""

    lowering: str
    reason: str
    refusals: Mapping[str, str] = field(default_factory=dict)

    def kept(self, reason: str) -> Choice:
        """The same site left as exported."""
        return replace(self, lowering=KEEP, reason=reason, refusals={**self.refusals, self.lowering: reason})


Plan = Mapping[str, Choice]
"""Choices by site id."""


def choose(sites: Sequence[Site], target: Target, lowering: str) -> dict[str, Choice]:
    """A choice for every site: the forced lowering, or for `auto` the first of the target's rule that is possible.

    Raises:
        UsageError: No lowering or target of that name.
    """
    if lowering not in (AUTO, *LOWERINGS):
        raise UsageError(f"no lowering '{lowering}'", f"one of {', '.join((AUTO, *LOWERINGS))}")
    if target.runtime not in RULES:
        raise UsageError(f"no target '{target.runtime}'", f"one of {', '.join(RULES)}")
    return {site.id: _choice(site, target, lowering) for site in sites}


def _choice(site: Site, target: Target, lowering: str) -> Choice:
    refusals = {name: why for name, low in LOWERINGS.items() if (why := low.refusal(site, target)) is not None}
    if lowering == AUTO and all(name.startswith(OWN) for name in site.reads):
        return Choice(KEEP, "already lowered by onnxgs-opt", refusals)
    if lowering == AUTO:
        best = next(name for name in RULES[target.runtime] if name not in refusals)
        return Choice(best, f"the recorded rule for {target.runtime}", refusals)
    if lowering in refusals:
        return Choice(KEEP, f"{lowering} refused: {refusals[lowering]}", refusals)
    return Choice(lowering, "asked for", refusals)
