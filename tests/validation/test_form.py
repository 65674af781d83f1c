"""What is checked once for several sites: those that differ in names alone."""

from __future__ import annotations

from dataclasses import replace

from bench.scaling import side_by_side
from onnxgs_opt import optimize
from onnxgs_opt.api import look
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.samplers.policy import Policy
from onnxgs_opt.validation.check import SiteCheck


def test_sites_that_differ_in_names_have_one_form() -> None:
    """Samplers have tensors of their own names; the first holds what they share in another place.

    Sizes, a policy or a seed make another form.
    """
    graph, found = look(Graph.from_proto(side_by_side(4)))
    shapes = found.shapes[""]
    forms = [SiteCheck.of(graph, site, shapes=shapes).form for site in found.samplers]
    assert len(forms) == 4
    assert forms[1] is not None
    assert len(set(forms[1:])) == 1
    site = found.samplers[1]
    others = [
        SiteCheck.of(graph, replace(site, policy=Policy("zeros")), shapes=shapes).form,
        SiteCheck.of(graph, replace(site, x=site.y, y=site.x), shapes=shapes).form,
        SiteCheck.of(graph, site, 1, shapes=shapes).form,
        SiteCheck.of(graph, site, shapes=shapes[:2]).form,
    ]
    assert len({*forms[1:], *others}) == 5


def test_each_of_many_sites_has_its_evidence() -> None:
    """The check of one site is that of the others: the same sizes, differences and points."""
    result = optimize(side_by_side(3, dynamic=False), measure=False)
    errors = {(site.error.max_abs, site.lowering) for site in result.report.sites}
    assert len(errors) == 1
    assert [len(evidence.points) > 0 for evidence in result.evidence] == [True] * 3
