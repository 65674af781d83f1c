"""The kinds of sites: every room that has a table by kind has an entry for each."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from onnxgs_opt import find
from onnxgs_opt.diagnostics import CODES
from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import LOWERINGS, Target
from onnxgs_opt.passes.lower_sites import LOWER
from onnxgs_opt.recognition import KINDS
from onnxgs_opt.tuning.trial import TRIALS
from onnxgs_opt.validation.check import SiteCheck
from onnxgs_opt.validation.site_checks import CHECKS
from tests.recognition.contrib_grid_sample import KIND, contrib_sites

MODELS = Path(__file__).parents[1] / "fixtures" / "models"


@pytest.mark.parametrize("table", [LOWER, CHECKS, TRIALS], ids=["LOWER", "CHECKS", "TRIALS"])
def test_every_room_knows_every_kind(table: dict[str, object]) -> None:
    assert list(table) == list(KINDS)


def test_every_kind_has_a_rule_of_its_own_that_is_explained() -> None:
    rules = [kind.rule for kind in KINDS.values()]
    assert len(set(rules)) == len(rules)
    assert set(rules) <= set(CODES)


def test_a_site_is_of_the_kind_whose_rule_found_it() -> None:
    node = """<ir_version: 8, opset_import: ["": 17]>
g (float[1, 3, 8, 9] img, float[1, 4, 5, 2] grid) => (float[1, 3, 4, 5] out) { out = GridSample (img, grid) }"""
    sites = [*find(MODELS / "masked_interior.ts17.st.onnx"), *find(onnx.parser.parse_model(node))]
    assert [site.kind for site in sites] == ["bilinear", "grid-sample"]
    assert [KINDS[site.kind].rule for site in sites] == [site.rule for site in sites]


def test_the_example_of_the_documentation_finds_sites_that_are_proven() -> None:
    text = """<ir_version: 8, opset_import: ["": 17, "com.microsoft": 1]>
g (float[1, 3, 8, 9] img, float[1, 4, 5, 2] grid) => (float[1, 3, 4, 5] a, float[1, 3, 4, 5] b, float[1, 3, 4, 5] c) {
   a = com.microsoft.GridSample <padding_mode = "border", align_corners = 1> (img, grid)
   b = com.microsoft.GridSample <mode = "nearest"> (img, grid)
   c = GridSample (img, grid)
}"""
    graph = Graph.from_proto(onnx.parser.parse_model(text))
    (site,) = contrib_sites(Scope.at(graph, {}))
    assert (site.output, site.policy.border) == ("a", "border")
    assert KIND.rule not in {kind.rule for kind in KINDS.values()} | set(CODES)
    assert "row-gather" not in KIND.refusals(site, Target(17))
    assert SiteCheck.of(graph, site).compare(LOWERINGS["row-gather"]).status == "ok"
