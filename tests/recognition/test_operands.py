"""Which tensors a proven sampler is made of, and what is known of them."""

from __future__ import annotations

from dataclasses import fields, replace
from fractions import Fraction

import onnx
import pytest

from onnxgs_opt.api import look
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.recognition.match import Match
from onnxgs_opt.recognition.matcher import recognise
from onnxgs_opt.recognition.operands import Placement, _equal, _sized, stays_inside
from onnxgs_opt.samplers.view import Repeat, View
from tests.recognition.test_matcher import Four, H, W
from tests.recognition.test_separable import text

ALL = (0, W - 1)
"""Bounds of a column that keep it inside."""


def matched(rows: tuple[object, object], columns: tuple[object, object]) -> tuple[Four, Match]:
    """A sampler of coordinates within bounds."""
    four = Four()
    y, x = four.coordinate("p0", *rows), four.coordinate("p1", *columns)  # type: ignore[arg-type]
    found = recognise(four.algebra, four.root(four.image, y, x))
    assert isinstance(found, Match), found
    return four, found


@pytest.mark.parametrize(
    ("rows", "inside"),
    [
        ((0, H - 1), True),
        ((Fraction(1, 2), Fraction(5, 2)), True),
        ((0, H - Fraction(3, 2)), True),
        ((0, H - Fraction(1, 2)), False),
        ((0, H), False),
        ((Fraction(-1, 2), H - 1), False),
        ((-1, H - 1), False),
        ((None, None), False),
    ],
)
def test_known_bounds_keep_coordinates_inside(rows: tuple[object, object], inside: bool) -> None:
    assert stays_inside(matched(rows, ALL)[1]) is inside
    assert not stays_inside(matched(rows, (0, W))[1])


def test_masks_are_equal_where_they_are_so_everywhere() -> None:
    four, found = matched((None, None), (None, None))
    algebra, (y, x) = four.algebra, (axis.leaf for axis in found.axes)
    below, left = algebra.floor(y), algebra.ceil(x)
    both = algebra.mul(algebra.ge(y), algebra.gt(algebra.sub(algebra.num(4), x)))
    assert _equal(found, algebra.mul(algebra.ge(below), algebra.gt(algebra.sub(algebra.num(4), x))), both)
    assert not _equal(found, algebra.mul(algebra.ge(below), algebra.ge(algebra.sub(algebra.num(4), x))), both)
    assert not _equal(found, algebra.mul(algebra.ge(below), algebra.gt(algebra.sub(algebra.num(4), left))), both)
    assert not _equal(found, algebra.mul(algebra.ge(four.coordinate("other")), algebra.ge(y)), algebra.ge(y))
    assert not _equal(found, algebra.ge(algebra.add(x, y)), algebra.ge(algebra.add(x, y, 2)))


def test_an_image_that_is_read_in_part_is_said_to_be_so() -> None:
    """Two items of three: the batch of the image is not that of the output."""
    model = text("nkp", "nkq", "nkpq")
    wider = model.replace("float[84,2] image", "float[126,2] image")
    assert wider != model
    for each, sites in ((model, 1), (wider, 0)):
        _, found = look(Graph.from_proto(onnx.parser.parse_model(each)))
        assert len(found.samplers) == sites
    (miss,) = found.near_misses
    assert miss.code == "GSO108"
    assert miss.condition.startswith("'image' is not read over its whole batch and all of its channels")


@pytest.mark.parametrize(
    ("groups", "units", "layout"),
    [
        (((0,), (1,), (2,)), 0, "NCW"),
        (((), (2,), (1,)), 1, "1WC"),
        (((0,), (3,), (1,), (2,)), 0, "NHWC"),
        (((0, 1), (), (2,), (3,)), 0, "NNHW"),
        (((0,), (1,), (2,), (3,), (4,)), 0, "NCDHW"),
    ],
)
def test_axes_of_an_image_have_letters(groups: tuple[tuple[int, ...], ...], units: int, layout: str) -> None:
    view = View("image", groups, units=units)
    none = {field.name: None for field in fields(Placement)}
    assert Placement(**{**none, "image": view}).layout == layout  # type: ignore[arg-type]


def test_what_a_coordinate_is_repeated_along_another_one_tells() -> None:
    rows = View("y", ((0,), (1,), (2,)), repeats=(Repeat(),))
    columns = View("x", ((0,), (2,), (1,)), repeats=(Repeat(),))
    whole = View("x", ((0,), (1,), (2,)))
    assert _sized(whole, [whole, None]) is whole
    assert _sized(rows, [None, rows]) is None
    assert _sized(rows, [rows, replace(rows, tensor="z")]) is None, "both are repeated along the columns"
    assert _sized(rows, [whole, rows]) == replace(rows, repeats=(Repeat("x", 2),))
    assert _sized(columns, [columns, rows]) == replace(columns, repeats=(Repeat("y", 1),))
    assert _sized(rows, [columns, rows]) == replace(rows, repeats=(Repeat("x", 1),))
