"""The check of a site's lowerings against the site as exported, for every kind of site."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import LOWERINGS
from onnxgs_opt.passes.lower_sites import ROI_ALIGN
from onnxgs_opt.runtime import Runtime
from onnxgs_opt.samplers.roi_align import RoiAlignSite
from onnxgs_opt.samplers.site import AnySite, Site, StructuralSite
from onnxgs_opt.validation.check import SiteCheck
from onnxgs_opt.validation.check_attention import attention_check
from onnxgs_opt.validation.check_deform_conv import deform_check
from onnxgs_opt.validation.check_gather_sum import check_reads
from onnxgs_opt.validation.check_resize import resize_check
from onnxgs_opt.validation.check_roi_align import roi_align_check
from onnxgs_opt.validation.compare import Comparison
from onnxgs_opt.validation.cone_check import ConeCheck
from onnxgs_opt.validation.extract import NotRunnableError
from onnxgs_opt.validation.terms import Terms

Check = Callable[[str], Comparison]
"""The check of one site: from a lowering's name to what comparing it with the exported form found."""

Made = Callable[[Graph, Any, Terms], Check]
"""What makes the check of a site; it may raise NotRunnableError."""


def checker(graph: Graph, site: AnySite, terms: Terms, made: Made | None = None) -> Check:
    """The check of one site, by `made` or its kind's own; what its lowerings are compared with is made here, once."""
    try:
        return (made or CHECKS[site.kind])(graph, site, terms)
    except NotRunnableError as reason:
        unchecked = Comparison("not-run", seed=terms.seed, worst=str(reason))
        return lambda _: unchecked


def _of_sampler(graph: Graph, site: Site, terms: Terms) -> Check:
    check = SiteCheck.of(graph, site, terms.seed, shapes=terms.shapes, custom_ops=terms.custom_ops, scopes=terms.scopes)
    return lambda name: _shared(check, name, terms)


def _shared(check: SiteCheck, name: str, terms: Terms) -> Comparison:
    """The check of one lowering; one that another site of the same form has passed is not made again."""
    key = check.form, name
    if check.form is not None and key in terms.proven:
        return terms.proven[key]
    found = _everywhere(lambda runtime: check.compare(LOWERINGS[name], terms.tolerance, runtime), terms)
    if found.status == "ok":
        terms.proven[key] = found
    return found


def _of_sum(graph: Graph, site: StructuralSite, terms: Terms) -> Check:
    return lambda _: _everywhere(lambda runtime: check_reads(graph, site, seed=terms.seed, runtime=runtime), terms)


def worse(one: Comparison, other: Comparison) -> Comparison:
    """Of two checks of one lowering the one that failed, else the one with the larger difference."""
    beyond = tuple(dict.fromkeys((*one.beyond, *other.beyond)))
    return replace(max(one, other, key=lambda made: (made.status != "ok", made.max_abs)), beyond=beyond)


def _of_cone(made: Callable[[Graph, Any, Terms], ConeCheck[Any]]) -> Made:
    """The check of sites of a kind whose lowerings are all compared with one cone."""

    def check_of(graph: Graph, site: AnySite, terms: Terms) -> Check:
        check = made(graph, site, terms)
        return lambda name: _everywhere(lambda runtime: check.compare(name, runtime), terms)

    return check_of


def _of_roi_align(graph: Graph, site: RoiAlignSite, terms: Terms) -> Check:
    """One node is compared with the whole site; every other lowering is one of what it is made of."""
    whole = cache(lambda: checker(graph, site, terms, _of_cone(roi_align_check)))
    plain = cache(lambda: checker(graph, site.plain, terms))
    return lambda name: (whole if name == ROI_ALIGN else plain)()(name)


def _everywhere(compare: Callable[[Runtime | None], Comparison], terms: Terms) -> Comparison:
    """The check of one lowering, in onnxruntime and where else it has to be right."""
    found = compare(None)
    if found.status == "ok" and terms.runtime is not None:
        return worse(found, compare(terms.runtime))
    return found


CHECKS: dict[str, Made] = {
    "bilinear": _of_sampler,
    "sampler": _of_sampler,
    "grid-sample": _of_sampler,
    "structural": _of_sum,
    "resize": _of_cone(resize_check),
    "roi-align": _of_roi_align,
    "deform-conv": _of_cone(deform_check),
    "deformable-attention": _of_cone(attention_check),
}
"""By a site's kind, what makes its check."""
