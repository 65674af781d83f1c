"""The check of a site's lowerings against the site as exported, for every kind of site."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import LOWERINGS, Tolerance
from onnxgs_opt.runtime import Runtime
from onnxgs_opt.samplers.site import AnySite, Site, StructuralSite
from onnxgs_opt.validation.check import SiteCheck
from onnxgs_opt.validation.check_gather_sum import check_reads
from onnxgs_opt.validation.compare import Comparison
from onnxgs_opt.validation.extract import NotRunnableError

Check = Callable[[str], Comparison]
"""The check of one site: from a lowering's name to what comparing it with the exported form found."""


@dataclass(frozen=True)
class Terms:
    """How to check.

    Attributes:
        tolerance: From a lowering's own tolerance to the one that is allowed.
        seed: Seed of the inputs.
        shapes: Shapes of every tensor, at each of several sizes of the dynamic dims that fit together.
        custom_ops: Libraries of operators that onnxruntime lacks.
        scopes: The scopes of the graph and its bodies that were made before, by path.
        runtime: Where lowerings have to be right as well; None for onnxruntime on a CPU alone.
        proven: What was found to be right, by its form and the lowering: it is right wherever it stands.
    """

    tolerance: Callable[[Tolerance], Tolerance]
    seed: int = 0
    shapes: Sequence[Mapping[str, Sequence[int]]] = ()
    custom_ops: Sequence[str] = ()
    scopes: dict[str, Scope] = field(default_factory=dict)
    runtime: Runtime | None = None
    proven: dict[tuple[Hashable, str], Comparison] = field(default_factory=dict)


def checker(graph: Graph, site: AnySite, terms: Terms) -> Check:
    """The check of one site; what its lowerings are compared with is made here, once."""
    return CHECKS[site.kind](graph, site, terms)


def _of_sampler(graph: Graph, site: Site, terms: Terms) -> Check:
    try:
        check = SiteCheck.of(
            graph, site, terms.seed, shapes=terms.shapes, custom_ops=terms.custom_ops, scopes=terms.scopes
        )
    except NotRunnableError as reason:
        unchecked = Comparison("not-run", seed=terms.seed, worst=str(reason))
        return lambda _: unchecked
    return lambda name: _shared(check, name, terms)


def _shared(check: SiteCheck, name: str, terms: Terms) -> Comparison:
    """The check of one lowering; one that another site of the same form has passed is not made again."""
    key = check.form, name
    if check.form is not None and key in terms.proven:
        return terms.proven[key]
    found = check.compare(LOWERINGS[name], terms.tolerance)
    if found.status == "ok" and terms.runtime is not None:
        found = worse(found, check.on(terms.runtime).compare(LOWERINGS[name], terms.tolerance))
    if found.status == "ok":
        terms.proven[key] = found
    return found


def _of_sum(graph: Graph, site: StructuralSite, terms: Terms) -> Check:
    def check(_: str) -> Comparison:
        found = check_reads(graph, site, seed=terms.seed)
        if found.status == "ok" and terms.runtime is not None:
            return worse(found, check_reads(graph, site, seed=terms.seed, runtime=terms.runtime))
        return found

    return check


def worse(one: Comparison, other: Comparison) -> Comparison:
    """Of two checks of one lowering the one that failed, else the one with the larger difference."""
    beyond = tuple(dict.fromkeys((*one.beyond, *other.beyond)))
    return replace(max(one, other, key=lambda made: (made.status != "ok", made.max_abs)), beyond=beyond)


CHECKS: dict[str, Callable[[Graph, Any, Terms], Check]] = {
    "bilinear": _of_sampler,
    "grid-sample": _of_sampler,
    "structural": _of_sum,
}
"""By a site's kind, what makes its check."""
