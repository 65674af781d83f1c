"""A nearest lookup that is a Resize at some sizes only stays as exported, and is told with sizes at which it is one."""

from __future__ import annotations

import onnx
import onnx.parser
import pytest

from onnxgs_opt.api import look
from onnxgs_opt.ir.graph import Graph

MODEL = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[1,3,SIZE] image) => (float[1,3,h,w] out)
<int64 none = {0}, int64 next = {1}, int64 rows = {20}, int64 columns = {24}, int64 at = {2}, int64 behind = {3},
 int64 two = {2}, float half = {0.5}>
{
  sizes = Shape(image)
  height = Gather(sizes, at)
  width = Gather(sizes, behind)
  high = Range(none, rows, next)
  wide = Range(none, columns, next)
  scaled = Mul(high, height)
  places = Mul(wide, width)
  row = Div(scaled, rows)
  column = Div(places, columns)
  lines = Gather<axis=2>(image, row)
  out = Gather<axis=3>(lines, column)
}
"""
TWICE = (
    ("high = Range(none, rows, next)", "height2 = Mul(height, two)\n high = Range(none, height2, next)"),
    ("wide = Range(none, columns, next)", "width2 = Mul(width, two)\n wide = Range(none, width2, next)"),
    ("scaled = Mul(high, height)", "scaled = Identity(high)"),
    ("places = Mul(wide, width)", "places = Identity(wide)"),
    ("row = Div(scaled, rows)", "row = Div(scaled, two)"),
    ("column = Div(places, columns)", "column = Div(places, two)"),
)
BACKWARDS = (
    (
        "column = Div(places, columns)",
        "ahead = Div(places, columns)\n last = Sub(width, next)\n column = Sub(last, ahead)",
    ),
)


def lookup(size: str, *changes: tuple[str, str]) -> onnx.ModelProto:
    text = MODEL.replace("SIZE", size)
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return onnx.parser.parse_model(text)


def told(model: onnx.ModelProto) -> tuple[int, list[tuple[str, str, str]]]:
    _, found = look(Graph.from_proto(model))
    return len(found.resizes), [(miss.code, miss.node, miss.condition) for miss in found.near_misses]


def test_the_sizes_are_named() -> None:
    sites, [(code, node, condition)] = told(lookup("H,W"))
    assert (sites, code, node) == (0, "GSO111", "out/Gather")
    assert condition == (
        "at H=7, W=9 it is a Resize (nearest asymmetric floor), but a nearest lookup at a ratio that changes with the "
        "sizes is rounded otherwise at some of them"
    )


@pytest.mark.parametrize(("size", "changes"), [("12,16", ()), ("12,16", TWICE), ("H,W", TWICE)], ids=str)
def test_where_it_is_one_at_all_of_them_nothing_is_told(size: str, changes: tuple[tuple[str, str], ...]) -> None:
    assert told(lookup(size, *changes)) == (1, [])


@pytest.mark.parametrize("size", ["H,W", "12,16"])
def test_what_is_one_at_no_size_has_no_line(size: str) -> None:
    """The rows alone are a Resize, by a read of their own; the columns stand the other way round."""
    sites, misses = told(lookup(size, *BACKWARDS))
    assert sites == (size == "12,16")
    assert [node for _, node, _ in misses] == ["lines/Gather"] * (size == "H,W")
