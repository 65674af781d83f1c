"""The points that checks are made at: which there are, in which units, and what they are called."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from onnxgs_opt.samplers.view import Layout, View
from onnxgs_opt.validation.boundary_values import (
    Aim,
    aims_of,
    along,
    beside_ties,
    coordinate_values,
    describe,
    edge_pixels,
    image_values,
    layout_at,
    layouts_of,
    normalised,
    pixels,
    pixels_of_items,
    words_of,
)
from tests.lowering.samplers import Case, site_of


@pytest.mark.parametrize("size", [1, 2, 5, 12])
def test_every_quarter_pixel_is_there(size: int) -> None:
    wanted = {k / 4 - 2 for k in range(4 * (size + 4))}
    assert wanted <= set(pixels(size, 40 * (size + 4), np.random.default_rng(0)).tolist())


def test_half_of_the_points_are_edges_and_a_quarter_quarters() -> None:
    found = pixels(12, 400, np.random.default_rng(1))
    assert len(found) == 400
    edges = np.isin(found, edge_pixels(12))
    assert 0.5 <= edges.mean() < 0.7
    assert 0.7 <= (edges | (found * 4 == np.round(found * 4))).mean() < 0.95


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_as_many_points_as_asked_for(count: int) -> None:
    assert pixels(9, count, np.random.default_rng(0)).shape == (count,)


def test_units_are_those_of_grid_sample() -> None:
    """-1 and 1 are the centres of the first and the last pixel with aligned corners, their outer edges without."""
    at = np.array([0, 2, 4], np.float32)
    np.testing.assert_array_equal(normalised(at, 5, align_corners=True), [-1, 0, 1])
    outer = np.array([-0.5, 2, 4.5], np.float32)
    np.testing.assert_array_equal(normalised(outer, 5, align_corners=False), [-1, 0, 1])
    assert normalised(at, 5, align_corners=True).dtype == np.float32
    np.testing.assert_array_equal(normalised(np.array([0.0, 1.0]), 1, align_corners=True), [-1, 1])


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("align_corners", [True, False])
def test_halves_stay_finite(size: int, align_corners: bool) -> None:
    """What lies far outside a short axis is more than a half holds in GridSample's units; infinity is another input."""
    assert np.isfinite(normalised(edge_pixels(size, np.float16), size, align_corners)).all()


def test_edges_of_types_are_their_own() -> None:
    for dtype in (np.float16, np.float32, np.float64):
        found = edge_pixels(7, dtype)
        assert found.dtype == dtype
        assert (np.diff(found) >= 0).all()
        for mark in (-1.5, -1, -0.5, 0, 0.5, 1, 3, 5, 5.5, 6, 6.5, 7, -1e-4, -3, 9):
            assert dtype(mark) in found
        tiny = np.finfo(dtype).tiny
        assert {float(tiny), -float(tiny)} <= set(found.tolist())
        assert sorted(np.signbit(found[found == 0])) == [False, True]
        for size in (1, 2, 3, 7):
            assert (np.diff(edge_pixels(size, dtype)) == 0).sum() == 1, "the two zeros alone are equal"
        for mark in (-1.5, -1, 0, 1, 3, 5, 5.5, 6.5, 7):
            ulps = {float(np.nextafter(dtype(mark), dtype(to))) for to in (-np.inf, np.inf)}
            assert ulps <= set(found.tolist()), mark


def test_ties_move_by_an_ulp_at_most() -> None:
    p = np.repeat(np.array([0.5, 2.5, -1.5, 1.25, 3.0], np.float32), 60)
    moved = beside_ties(p, np.random.default_rng(0))
    tie = np.isin(p, [0.5, 2.5, -1.5])
    assert (moved[~tie] == p[~tie]).all()
    assert (abs(moved - p) <= np.spacing(abs(p))).all()
    for side in (moved < p, moved == p, moved > p):
        assert side[tie].mean() > 0.2


@pytest.mark.parametrize(
    ("p", "words"),
    [
        (-1, "x = -1 exactly"),
        (np.nextafter(np.float32(-1), np.float32(-9)), "x just below -1"),
        (np.nextafter(np.float32(7), np.float32(9)), "x just above W-1"),
        (-1 - 4 * 2**-23, "x just below -1"),
        (-1 + 4 * 2**-23, "x just above -1"),
        (-1 - 5 * 2**-23, "x = -1 (outside)"),
        (7 - 4 * 2**-21, "x just below W-1"),
        (7 - 5 * 2**-21, "x = 7 (inside)"),
        (-0.5, "x = -0.5 exactly"),
        (0, "x = 0 exactly"),
        (6, "x = W-2 exactly"),
        (7.5, "x = W-0.5 exactly"),
        (8, "x = W exactly"),
        (3.25, "x = 3.25 (inside)"),
        (-0.25, "x = -0.25 (outside)"),
        (6.75, "x = 6.75 (inside)"),
        (7.25, "x = 7.25 (outside)"),
    ],
)
def test_where_a_point_lies_is_said(p: float, words: str) -> None:
    assert describe(float(p), 8, "x") == words


def test_sizes_of_other_numbers_of_axes() -> None:
    assert along((7, 12), 2) == (7, 12)
    assert along((7, 12), 1) == (84,)
    assert along((7, 12), 3) == (5, 7, 12)
    assert along((6, 10), 4) == (3, 4, 6, 10)
    assert along((5,), 1) == (5,)


def test_a_site_is_checked_at_its_own_sizes_and_once_at_each() -> None:
    picks = [Layout(2, 3, (7, 12), (4, 5)), Layout(4, 5, (8, 9), (6, 7)), Layout(2, 5, (7, 9), (6, 7))]
    site = replace(site_of(Case(dynamic=True)), batch=2, image_size=(7, None))
    assert layouts_of(site, picks) == [Layout(2, 3, (7, 12), (4, 5)), Layout(2, 5, (7, 9), (6, 7))]
    static = site_of(Case(batch=2, channels=3, image=(7, 12), samples=(18, 31)))
    assert layouts_of(static, picks) == [Layout(2, 3, (7, 12), (18, 31))]
    rows = replace(site_of(Case(dynamic=True)), sample_size=(None, 9))
    assert layouts_of(rows, picks[:1]) == [Layout(2, 3, (7, 12), (4, 9))]


def test_the_sizes_of_a_site_are_those_of_its_tensors() -> None:
    """Of what is broadcast the larger one counts."""
    site = site_of(Case(dynamic=True, rows_and_columns=True))
    shapes = {"image": (2, 3, 7, 12), "x": (1, 1, 31), "y": (4, 18, 1)}
    assert layout_at(site, shapes) == Layout(4, 3, (7, 12), (18, 31))
    assert layout_at(site, shapes | {"image": (6, 3, 7, 12)}) == Layout(6, 3, (7, 12), (18, 31))


@pytest.mark.parametrize("flipped", [False, True])
def test_points_are_laid_out_in_the_units_of_the_site(flipped: bool) -> None:
    x, y = (np.array(values, np.float32).reshape(1, 2, 1) for values in ([0, 11], [3, 6]))
    layout = Layout(1, 3, (7, 12), (2, 1))
    case = Case(coordinates="normalised", align_corners=True)
    normal = Aim(replace(site_of(case), flipped=flipped), "grid")
    wanted = np.array([[-1, 0], [1, 1]], np.float32)[:, :: -1 if flipped else 1]
    found = coordinate_values(normal, layout, (x, y), (1, 2, 1, 2))
    np.testing.assert_array_equal(found.reshape(2, 2), wanted)
    pixel = Aim(replace(normal.site, coordinates="pixel"), "grid")
    found = coordinate_values(pixel, layout, (x, y), (1, 2, 1, 2))
    np.testing.assert_array_equal(found.reshape(2, 2), np.array([[0, 3], [11, 6]])[:, :: -1 if flipped else 1])
    apart = site_of(Case())
    for part, points in (("x", x), ("y", y)):
        np.testing.assert_array_equal(coordinate_values(Aim(apart, part), layout, (x, y), (1, 2, 1, 1))[..., 0], points)


def test_where_coordinates_can_be_set() -> None:
    """In the grid where the site has one, and for the first of the sites that read a tensor."""
    both, apart = site_of(Case()), site_of(Case(rows_and_columns=True))
    assert {name: (aim.part, aim.view) for name, aim in aims_of([both]).items()} == {"grid": ("grid", both.grid)}
    found = aims_of([replace(apart, id="site1"), apart, replace(apart, x=View("u", ((0,), (1,), (2,))))])
    assert {name: (aim.site.id, aim.part, aim.view.tensor) for name, aim in found.items()} == {
        "x": ("site1", "x", "x"),
        "y": ("site1", "y", "y"),
        "u": ("site0", "x", "u"),
    }


def test_points_of_a_batch_are_those_of_each_item() -> None:
    found = pixels_of_items(12, Layout(3, 2, (7, 12), (20, 16)), np.random.default_rng(0), np.float16)
    assert (found.shape, found.dtype) == ((3, 20, 16), np.float16)
    for item in found:
        assert set(edge_pixels(12, np.float16).tolist()) <= set(item.ravel().tolist())
    assert not (found[0] == found[1]).all()
    assert pixels_of_items(12, Layout(0, 2, (7, 12), (20, 16)), np.random.default_rng(0)).shape == (0, 20, 16)


def test_points_reach_two_pixels_beyond_the_image_and_far_outside() -> None:
    found = pixels(5, 4000, np.random.default_rng(2)).astype(np.float64)
    near = found[np.abs(found) < 100]
    assert (near.min(), near.max()) == (-3, 7)
    rest = near[~np.isin(near, edge_pixels(5)) & (near * 4 != np.round(near * 4))]
    assert -2 <= rest.min() < -1.9 < 6.9 < rest.max() <= 7
    assert set(np.abs(found[np.abs(found) > 100])) == {1e4, 40_000.5}
    assert 0.15 < len(rest) / len(found) < 0.3


def test_an_image_is_unit_normal() -> None:
    values = image_values((40, 50), np.random.default_rng(0), np.float32)
    assert (values.shape, values.dtype) == ((40, 50), np.float32)
    assert abs(values.mean()) < 0.1
    assert abs(values.std() - 1) < 0.1


def test_sizes_in_words() -> None:
    assert words_of(Layout(2, 3, (1, 5), (4, 3))) == "an image of 2x3x1x5 and 2x4x3 points"
