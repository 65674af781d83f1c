"""The points that checks are made at: which there are, in which units, and what they are called."""

from __future__ import annotations

import numpy as np
import pytest

from onnxgs_opt.validation.boundary_values import beside_ties, describe, edge_pixels, normalised, pixels


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


def test_edges_of_types_are_their_own() -> None:
    for dtype in (np.float16, np.float32, np.float64):
        found = edge_pixels(7, dtype)
        assert found.dtype == dtype
        assert (np.diff(found) >= 0).all()
        for mark in (-1.5, -1, -0.5, 0, 0.5, 1, 3, 5, 5.5, 6, 6.5, 7, -1e-4, -3, 9):
            assert dtype(mark) in found
        tiny = np.finfo(dtype).tiny
        assert {float(tiny), -float(tiny)} <= set(found.tolist())


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
        (6, "x = W-2 exactly"),
        (7.5, "x = W-0.5 exactly"),
        (8, "x = W exactly"),
        (3.25, "x = 3.25 (inside)"),
        (-0.25, "x = -0.25 (outside)"),
        (7.25, "x = 7.25 (outside)"),
    ],
)
def test_where_a_point_lies_is_said(p: float, words: str) -> None:
    assert describe(float(p), 8, "x") == words
