"""The checks must find wrong rewrites with their defaults, and say where."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from onnx import parser

from onnxgs_opt import find
from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import LOWERINGS, Target, Tolerance
from onnxgs_opt.lowering.base import Emitted
from onnxgs_opt.lowering.emit.views import emit_view
from onnxgs_opt.samplers.policy import Policy
from onnxgs_opt.samplers.site import Domain, Site, SizeRange
from onnxgs_opt.samplers.view import Layout, View, lay_out, tensor_shape
from onnxgs_opt.validation.boundary_values import describe, edge_pixels, pixels
from onnxgs_opt.validation.check import SiteCheck, check_model
from onnxgs_opt.validation.compare import compare
from onnxgs_opt.validation.inputs import ModelInputs
from onnxgs_opt.validation.layouts import EDGES, OWN, PICKS, own_layouts
from tests.lowering.samplers import Case, graph_and_site, lower

STRICT = Tolerance(1e-6, 1e-6, "test")


@dataclass(frozen=True)
class Wrong:
    """A lowering that lowers another site than the one it is given, or post-processes."""

    change: Any
    base: str = "merged-gather"
    name: str = "wrong"
    tolerance: Tolerance = STRICT

    def refusal(self, site: Site, target: Target) -> str | None:
        return None

    def emit(self, builder: Builder, site: Site) -> Emitted:
        return LOWERINGS[self.base].emit(builder, self.change(site))


@dataclass(frozen=True)
class OffByOneWidth(Wrong):
    """Reads an image whose rows are taken for one pixel longer than they are."""

    def emit(self, builder: Builder, site: Site) -> Emitted:
        image = emit_view(builder, site.image)
        flat = builder.op("Pad", builder.reshape(image, [2, 3, -1]), np.array([0, 0, 0, 0, 0, 7]))
        wider = builder.reshape(flat, [2, 3, 7, 13])
        wider.name, wider.shape, wider.dtype = "wider", [2, 3, 7, 13], np.dtype(np.float32)
        other = replace(site, image=replace(site.image, tensor="wider"), policy=Policy("zeros"))
        return LOWERINGS["merged-gather"].emit(builder, other)


def sampler(case: Case) -> tuple[Graph, Site]:
    """A graph that computes the sampler, by the plugin's function: another body than merged-gather's."""
    graph = lower(case, LOWERINGS["plugin"])
    _, site = graph_and_site(case)
    split = Builder(graph, "model")
    x, y = split.split(graph.tensor("grid"), 3, [1, 1])
    x.name, y.name = "x", "y"
    for t in (x, y):
        t.dtype, t.shape = np.dtype(np.float32), [*graph.tensor("grid").shape[:3], 1]
    return graph, site


WRONG = {
    "border": lambda site: replace(site, policy=Policy("border")),
    "no-mask": lambda site: replace(site, policy=Policy("zeros")),
    "closed-window": lambda site: replace(site, policy=Policy("zeros", "interior-closed")),
    "open-window": lambda site: replace(site, policy=Policy("zeros", "interior-open")),
    "transposed": lambda site: replace(site, x=site.y, y=site.x),
}


@pytest.mark.parametrize("name", ["merged-gather", "plugin", "grid-sample"])
@pytest.mark.parametrize("dynamic", [False, True])
def test_right_lowerings_pass(name: str, dynamic: bool) -> None:
    graph, site = sampler(Case(dynamic=dynamic))
    found = SiteCheck.of(graph, site).compare(LOWERINGS[name])
    assert found.status == "ok", found.worst
    assert found.max_abs <= (5e-4 if dynamic and name == "grid-sample" else 1e-5), "its error grows with the image"
    assert len(found.shapes) == (len((*PICKS, *OWN)) if dynamic else 1)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG.keys())
def test_wrong_lowerings_fail(change: Any, dynamic: bool) -> None:
    graph, site = sampler(Case(dynamic=dynamic))
    found = SiteCheck.of(graph, site).compare(Wrong(change))
    assert found.status == "mismatch"
    assert "x " in found.worst
    assert found.max_abs > 1e-3


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG.keys())
def test_wrong_models_fail(change: Any) -> None:
    graph, site = sampler(Case())
    result = lower(Case(), Wrong(change))
    assert check_model(graph, result, ModelInputs(sites=[site])).status == "mismatch"


def test_the_edge_is_named() -> None:
    graph, site = sampler(Case())
    found = SiteCheck.of(graph, site).compare(Wrong(WRONG["closed-window"]))
    assert "W-1 exactly" in found.worst or "H-1 exactly" in found.worst


def test_width_off_by_one_fails() -> None:
    graph, site = sampler(Case())
    assert SiteCheck.of(graph, site).compare(OffByOneWidth(None)).status == "mismatch"


def test_grid_sample_with_border_and_no_mask_fails_by_default() -> None:
    """The deliberately wrong rewrite that other tools' default checks pass, without a word about sites."""
    case = Case(image=(24, 40), samples=(9, 11))
    graph, _ = sampler(case)
    wrong = lower(case, Wrong(WRONG["border"], "grid-sample"))
    assert check_model(graph, wrong).status == "mismatch"
    assert check_model(graph, lower(case, LOWERINGS["grid-sample"])).max_abs < 1e-4


@pytest.mark.parametrize("dynamic", [False, True])
def test_whole_models_that_agree(dynamic: bool) -> None:
    graph, site = sampler(Case(dynamic=dynamic))
    found = check_model(
        graph, lower(Case(dynamic=dynamic), LOWERINGS["merged-gather"]), ModelInputs(sites=[site], seed=3)
    )
    assert found.status == "ok", found.worst
    assert found.seed == 3
    assert all(dim > 1 for shapes in found.shapes for shape in shapes for dim in shape[1:])


def test_rows_and_columns_are_checked_apart() -> None:
    case = Case(rows_and_columns=True)
    graph = lower(case, LOWERINGS["plugin"])
    _, site = graph_and_site(case)
    assert SiteCheck.of(graph, site).compare(LOWERINGS["merged-gather"]).status == "ok"
    assert SiteCheck.of(graph, site).compare(Wrong(WRONG["border"])).status == "mismatch"


def test_user_inputs_are_the_only_ones_run() -> None:
    graph, _ = sampler(Case())
    wrong = lower(Case(), Wrong(WRONG["border"]))
    inside = {"image": np.ones((2, 3, 7, 12), np.float32), "grid": np.ones((2, 18, 31, 2), np.float32)}
    found = check_model(graph, wrong, ModelInputs(inside))
    assert found.status == "ok"
    assert found.shapes == (((2, 3, 7, 12), (2, 18, 31, 2)),)


def test_shapes_can_be_given() -> None:
    graph, _ = sampler(Case(dynamic=True))
    shapes = {"image": (1, 3, 40, 50), "grid": (1, 6, 7, 2)}
    found = check_model(graph, graph, ModelInputs(shapes=shapes))
    assert found.status == "ok"
    assert found.shapes == (((1, 3, 40, 50), (1, 6, 7, 2)),)


def model(body: str, opset: int = 17) -> Any:
    return parser.parse_model(
        f'<ir_version: 8, opset_import: ["": {opset}]> g (float[3] a) => (float[b] out) {{ {body} }}'
    )


def test_an_original_that_does_not_run_is_not_a_verdict() -> None:
    bad = model("s = Constant <value = int64[1] {4}> () out = Reshape (a, s)")
    found = check_model(bad, model("out = Identity (a)"))
    assert found.status == "not-run"
    assert "original" in found.worst


def test_a_result_that_does_not_run_fails() -> None:
    bad = model("s = Constant <value = int64[1] {4}> () out = Reshape (a, s)")
    found = check_model(model("out = Identity (a)"), bad)
    assert found.status == "mismatch"
    assert "does not" in found.worst


def test_another_shape_fails() -> None:
    found = check_model(model("out = Identity (a)"), model("out = Concat <axis = 0> (a, a)"))
    assert found.status == "mismatch"


@pytest.mark.parametrize(
    ("a", "b", "within"),
    [
        (np.nan, np.nan, True),
        (np.nan, 0.0, False),
        (0.0, np.nan, False),
        (np.inf, np.inf, True),
        (np.inf, -np.inf, False),
        (np.inf, 1.0, False),
        (1.0, 1.0 + 1.5e-6, True),
        (1.0, 1.0 + 3e-6, False),
        (1e6, 1e6 + 0.5, True),
        (0.0, 2e-6, False),
    ],
)
def test_compare(a: float, b: float, within: bool) -> None:
    assert compare(np.array([a]), np.array([b]), STRICT).within is within


def test_edges_hold_every_side_of_every_border() -> None:
    edges = set(edge_pixels(12).tolist())
    for mark in (-1, -0.5, 0, 0.5, 10, 11, 11.5, 12):
        beside = [float(np.nextafter(np.float32(mark), np.float32(to))) for to in (-np.inf, np.inf)]
        assert {mark, *beside} <= edges
    assert {-1e4, 1e4, -40_000.5, 40_000.5} <= edges
    assert set(pixels(12, 200, np.random.default_rng(0)).tolist()) >= edges


def test_a_view_is_laid_out_as_it_is_read() -> None:
    view = View("t", ((0,), (3,), (2,)), units=1)
    canonical = np.arange(24).reshape(2, 4, 3)
    shape = tensor_shape(view, ["n", 1, None, None], canonical.shape)
    assert shape == (2, 1, 3, 4)
    assert np.array_equal(lay_out(view, canonical, shape)[:, 0].transpose(0, 2, 1), canonical)


def test_a_split_axis_is_laid_out_as_it_is_read() -> None:
    view = View("t", ((0,), (2,), (1,)), split=(0, (-1, 5)))
    canonical = np.arange(40).reshape(2, 4, 5)
    shape = tensor_shape(view, [None, 4], canonical.shape)
    assert shape == (10, 4)
    assert np.array_equal(lay_out(view, canonical, shape).reshape(2, 5, 4).transpose(0, 2, 1), canonical)


@pytest.mark.parametrize(
    ("p", "words"),
    [
        (11.0, "x = W-1 exactly"),
        (float(np.nextafter(np.float32(11), np.float32(0))), "x just below W-1"),
        (3.25, "x = 3.25 (inside)"),
        (-2.5, "x = -2.5 (outside)"),
    ],
)
def test_points_in_words(p: float, words: str) -> None:
    assert describe(p, 12, "x") == words


def test_lowerings_of_one_site_are_compared_with_one_run_of_its_cone() -> None:
    graph, site = sampler(Case(dynamic=True))
    check = SiteCheck.of(graph, site)
    alone = [SiteCheck.of(graph, site).compare(LOWERINGS[name]) for name in ("merged-gather", "row-gather")]
    together = [check.compare(LOWERINGS[name]) for name in ("merged-gather", "row-gather")]
    assert together == alone
    assert all(check.cone.outputs(run) is check.cone.outputs(run) for run in check.seen)
    assert check.compare(Wrong(WRONG["border"])).status == "mismatch"


def test_sizes_that_do_not_fit_together_are_left_out() -> None:
    """Nothing has told the image's batch, which the file has, and that of the grid, which it leaves open, to be one."""
    text = """<ir_version: 8, opset_import: ["": 16]>
    g (float[2, 3, 8, 9] image, float[n, 5, 6, 2] grid) => (float[2, 3, 5, 6] out) { out = GridSample (image, grid) }"""
    graph = Graph.from_proto(parser.parse_model(text))
    [site] = find(graph.to_proto())
    unlike, alike = ({"image": (2, 3, 8, 9), "grid": (n, 5, 6, 2), "out": (2, 3, 5, 6)} for n in (7, 2))
    check = SiteCheck.of(graph, site, shapes=[unlike, alike])
    found = check.compare(LOWERINGS["merged-gather"])
    assert found.status == "ok", found.worst
    assert {run.feeds["grid"].shape[0] for run in check.seen if not run.beyond} == {2}


def test_own_sizes_are_beside_those_of_the_analysis() -> None:
    graph, site = sampler(Case(dynamic=True))
    shapes = [dict(zip(("image", "grid", "x", "y"), _shapes(*pick), strict=True)) for pick in ANALYSED]
    check = SiteCheck.of(graph, site, shapes=shapes)
    found = check.compare(LOWERINGS["merged-gather"])
    assert found.status == "ok", found.worst
    seen = {(run.feeds["image"].shape, run.image) for run in check.seen if not run.beyond}
    assert len(seen) == len(ANALYSED) + len(OWN)
    assert len({run.beyond for run in check.seen if run.beyond}) == len(EDGES)
    heights, widths = {run.image[0] for run in check.seen}, {run.image[1] for run in check.seen}
    assert max(heights) > 2048 < max(widths)
    assert {run.image for run in check.seen if run.image[0] == run.image[1]}
    assert {run.image for run in check.seen if run.image[0] > run.image[1]}


def test_dims_that_are_one_stay_one() -> None:
    graph, _ = sampler(Case(dynamic=True))
    alike = [Layout(2, 3, (7, 12), (7, 12)), Layout(2, 5, (13, 6), (13, 6)), Layout(2, 2, (2, 3), (2, 3))]
    own = list(own_layouts(graph, graph.to_proto(), alike))
    assert len(own) == len(OWN)
    assert all(layout.image == layout.samples and layout.batch == 2 for layout in own)


def test_points_of_all_pixels_in_one_axis_have_the_sizes_of_the_analysis() -> None:
    """Of a tensor with axes for rows and columns, as many as the image has, which are other names of them."""
    graph, _ = sampler(Case(dynamic=True))
    every = [Layout(2, 3, (7, 12), (84, 9)), Layout(2, 5, (13, 6), (78, 9)), Layout(2, 2, (2, 3), (6, 9))]
    assert not list(own_layouts(graph, graph.to_proto(), every))


@pytest.mark.parametrize(
    ("domain", "widest"),
    [
        (Domain((SizeRange("w"),)), 2050),
        (Domain((SizeRange("w", 2, 300),)), 262),
        (Domain((SizeRange("w", 2, 300),), 2048), 32),
        (Domain((SizeRange("w", 300),)), 2050),
    ],
)
def test_own_sizes_are_in_the_domain(domain: Domain, widest: int) -> None:
    graph, site = sampler(Case(dynamic=True))
    shapes = [dict(zip(("image", "grid", "x", "y"), _shapes(*pick), strict=True)) for pick in ANALYSED]
    check = SiteCheck.of(graph, replace(site, domain=domain), shapes=shapes)
    check.compare(LOWERINGS["merged-gather"])
    analysed = [tuple(pick[2:4]) for pick in ANALYSED]
    own = [run.image[1] for run in check.seen if run.image not in analysed and not run.beyond]
    assert max(own) == widest
    assert min(own) >= domain.sizes[0].at_least


ANALYSED = ((2, 3, 7, 12, 18, 31), (3, 5, 6, 13, 9, 40), (1, 2, 2, 3, 4, 5))


def _shapes(n: int, c: int, h: int, w: int, ho: int, wo: int) -> tuple[tuple[int, ...], ...]:
    return (n, c, h, w), (n, ho, wo, 2), (n, ho, wo, 1), (n, ho, wo, 1)
