"""The checks of a run's sites: each lowering of each site is compared once, when it is first asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from itertools import chain

from onnxgs_opt.ir import Node
from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.job import Job
from onnxgs_opt.passes.lower_bilinear import RAISED
from onnxgs_opt.recognition.cone import made_of
from onnxgs_opt.recognition.findings import Survey
from onnxgs_opt.recognition.steps import steps_behind
from onnxgs_opt.samplers.attention import AttentionSite
from onnxgs_opt.samplers.deform import DeformSite
from onnxgs_opt.samplers.site import AnySite, Site
from onnxgs_opt.validation.compare import BROKEN, Comparison
from onnxgs_opt.validation.site_checks import Check, checker, worse
from onnxgs_opt.validation.terms import Terms


class SiteProofs:
    """What the checks found, kept by (site's id, lowering).

    Attributes:
        comparisons: By site's id, the check of the lowering that it was last asked to stand by.
    """

    def __init__(self, graph: Graph, found: Survey, job: Job) -> None:
        """Check sites of `graph`, which `found` describes, as the job says."""
        self._graph, self._found, self._job = graph, found, job
        self._made: dict[tuple[str, str], Comparison] = {}
        self._terms = Terms(job.tolerance, job.options.seed, custom_ops=job.libraries, runtime=job.runtime)
        self.comparisons: dict[str, Comparison] = {}

    def failed(self, lowerings: Mapping[str, str]) -> dict[str, str]:
        """Of sites that are lowered so, by id, those whose check shows another result, and what it shows."""
        if not lowerings or not self._job.options.validate:
            return {}
        with self._job.clock.stage("validate sites"):
            for site in self._found.sites:
                if site.id in lowerings:
                    self.comparisons[site.id] = self.checker(site)(lowerings[site.id])
        checks = {name: self.comparisons[name] for name in lowerings}
        return {name: _failure(check) for name, check in checks.items() if check.status == "mismatch"}

    def unproven(self, lowerings: Mapping[str, str]) -> dict[str, str]:
        """Of sites that are lowered so, by id, those that could not be checked alone, and why."""
        why = "nothing could be checked: {}; --no-validate goes by the proof of the expressions alone"
        checks = {name: self.comparisons[name] for name in lowerings}
        return {name: why.format(c.worst) for name, c in checks.items() if c.status == "not-run"}

    def chained(self, lowerings: Mapping[str, str]) -> bool:
        """Whether one of the samplers that are lowered so reads what another one makes, in the same body."""
        known: tuple[Site | DeformSite | AttentionSite, ...] = (
            *self._found.samplers,
            *self._found.deforms,
            *self._found.attentions,
        )
        lowered = [site for site in known if site.id in lowerings]
        for body in dict.fromkeys(site.body for site in lowered):
            own = [site for site in lowered if site.body == body]
            made = made_of(Scope.at(self._graph.at(body), self._terms.scopes), (site.output for site in own))
            if any(made & site.operands for site in own):
                return True
        return False

    def steps(self, sites: Iterable[AnySite]) -> list[Node]:
        """What rounds, compares or ranks the numbers of some sites."""
        return steps_behind(self._graph, ((site.body, site.output) for site in sites), self._found.sites)

    def checker(self, site: AnySite) -> Check:
        """The check of one site; what its lowerings are compared with is made once, and goes with the check."""
        job = self._job
        terms = replace(self._terms, shapes=self._found.shapes.get(site.body, ()))
        compare = cache(lambda: checker(self._graph, site, terms))
        without = cache(lambda: checker(self._graph, site, replace(terms, custom_ops=job.other_libraries)))

        def check(lowering: str) -> Comparison:
            key = site.id, lowering
            if key not in self._made:
                self._made[key] = compare()(lowering)
                if lowering == RAISED and job.target.ops:  # the file has to be right where nothing is loaded as well
                    self._made[key] = worse(self._made[key], without()(lowering))
            return self._made[key]

        return check


def _failure(check: Comparison) -> str:
    """What a failed check says of its lowering; one that does not load or run is this tool's own fault.

    But for sizes of 1, of which nothing is proven: the exported model may spread them along others.
    """
    if check.runtime:
        return f"its check failed on {check.runtime}: {check.worst}"
    broken = check.worst.startswith(BROKEN)
    if broken and _failed_at_one(check):
        return f"its check failed at a size of 1, of which nothing is proven: {check.worst}"
    return f"internal failure of this lowering: {check.worst}" if broken else f"its check failed: {check.worst}"


def _failed_at_one(check: Comparison) -> bool:
    """Whether the inputs at which it failed have a size of 1 where the first ones have more."""
    if not check.shapes:
        return False
    first, last = (chain(*check.shapes[k]) for k in (0, -1))
    return any(a > b == 1 for a, b in zip(first, last, strict=True))
