"""What an HTML report draws: cones before and after, and the points that a site was checked at."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import onnxgs_opt
from onnxgs_opt.validation.boundary_values import edge_pixels
from onnxgs_opt.validation.error_map import points_of
from onnxgs_opt.validation.inputs import Run
from tests.fixtures.kernels import Spelling, build

REPOSITORY = Path(__file__).parents[2]
MODELS = {
    "dynamo": "tests/fixtures/models/masked_interior.dy18.dyn.onnx",
    "normalised": "tests/fixtures/models/masked_interior_normalized.ts17.st.onnx",
    "warp": "examples/models/warp.onnx",
    "two": "examples/models/two_samplers.onnx",
}


@cache
def result(name: str) -> onnxgs_opt.Result:
    return onnxgs_opt.optimize(REPOSITORY / MODELS[name], lowering="merged-gather")


@pytest.mark.parametrize("name", MODELS)
def test_every_site_has_its_evidence(name: str) -> None:
    sites, evidence = result(name).report.sites, result(name).evidence
    assert [item.id for item in evidence] == [site.id for site in sites]
    for site, item in zip(sites, evidence, strict=True):
        reads = {box.name for box in item.before.boxes if box.role == "read"}
        assert reads == set(site.reads)
        assert item.before.boxes[-1].name == site.output
        assert item.after is not None
        assert sum(box.role == "read" for box in item.after.boxes) == 1
        assert (site.image, "input") in {(box.name, box.role) for box in item.before.boxes}


@pytest.mark.parametrize("name", MODELS)
def test_a_cone_is_one_piece(name: str) -> None:
    for item in result(name).evidence:
        for cone in (item.before, item.after):
            assert cone is not None
            ends = {end for _, end, _ in cone.arrows}
            starts = {start for start, _, _ in cone.arrows}
            assert starts | ends == set(range(len(cone.boxes)))
            assert len(cone.boxes) - 1 in ends


@pytest.mark.parametrize("name", MODELS)
def test_the_points_are_those_of_the_check(name: str) -> None:
    site, item = result(name).report.sites[0], result(name).evidence[0]
    assert max(run.error.max() for run in item.points) == site.error.max_abs
    height, width = item.points[0].image
    x, y = (
        np.concatenate([getattr(run, axis) for run in item.points if run.image == (height, width)]) for axis in "xy"
    )
    assert x.shape == y.shape
    assert set(edge_pixels(width)) & set(x)
    assert (x < 0).any()
    assert (y > height - 1).any()


def test_one_grid_for_a_batch_has_its_points_for_each_image() -> None:
    [site, *_] = onnxgs_opt.find(REPOSITORY / MODELS["dynamo"])
    assert site.grid is not None
    shared = replace(site.grid, groups=((), *site.grid.groups[1:]), units=1)
    x, y = np.arange(8, dtype=np.float32).reshape(2, 2, 2), np.arange(8, 16, dtype=np.float32).reshape(2, 2, 2)
    run = Run({site.grid.tensor: np.stack([x, y], -1)[:1]}, (x, y), (5, 7))
    gap = np.zeros((2, 3, 2, 2))
    gap[1, 2, 0, 1] = 4
    found = points_of(replace(site, grid=shared, output_groups=((0,), (1,), (2,), (3,)), output_rank=4), run, gap)
    assert found is not None
    assert found.x.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert found.error.tolist() == [0, 0, 0, 0, 0, 4, 0, 0]


@pytest.mark.parametrize(
    ("spelling", "letters"),
    [
        (Spelling("linear", axes=1), "x"),
        (Spelling("nearest", axes=3, border="zeros"), "zyx"),
        (Spelling("linear", axes=3, border="zeros x wrap x border", one_grid=True, dynamic=True), "zyx"),
    ],
    ids=lambda s: getattr(s, "name", ""),
)
def test_the_points_of_one_and_of_three_axes(spelling: Spelling, letters: str) -> None:
    [item] = onnxgs_opt.optimize(build(spelling), lowering="merged-gather", measure=False).evidence
    assert item.points
    for run in item.points:
        assert "".join(run.along) == letters
        assert all(p.shape == run.error.shape for p, _ in run.along.values())
        assert all(float(p.min()) < -1 and float(p.max()) > size for p, size in run.along.values())


def test_a_kept_site_has_a_cone_and_nothing_after() -> None:
    kept = onnxgs_opt.optimize(REPOSITORY / MODELS["warp"], lowering="keep")
    [item] = kept.evidence
    assert item.after is None
    assert item.points == ()
    assert len(item.before.boxes) > 10


def test_the_raised_node_is_drawn_as_a_read() -> None:
    raised = onnxgs_opt.optimize(REPOSITORY / MODELS["warp"], lowering="plugin", plugin=True)
    after = raised.evidence[0].after
    assert after is not None
    assert [box.op for box in after.boxes if box.role == "read"] == ["BilinearSample"]


def test_a_dry_run_shows_what_would_be() -> None:
    looked = onnxgs_opt.optimize(REPOSITORY / MODELS["warp"], lowering="merged-gather", dry_run=True)
    assert looked.evidence[0].after is not None
