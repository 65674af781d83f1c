"""What people write that is nearly a sampler: one clamp less, or a grid that is whole at some sizes."""

from __future__ import annotations

import onnx
import onnx.parser
import pytest

from onnxgs_opt import find, optimize
from onnxgs_opt.report.model import Report

HEAD = """
<ir_version: 8, opset_import: ["" : 17]>
sampler (float[5,T] rows, float[S] t) => (float[5,S] out)
<float zero = {0}, float one = {1}, float half = {0.5}, float two = {2}, float last = {11}, float n = {12},
 float before = {10}, float many = {20}, float minus = {-1}, int64 none = {0}, int64 next = {1},
 int64 least = {10}, int64 size = {12}, int64 far = {13}, int64 behind = {2}, int64[4] end = {0, 0, 0, 2},
 int64[4] start = {0, 2, 0, 0}, float[5,2] silence = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, int64[1] k0 = {0}>
{
"""
LERP = """
  nu = Sub(one, u)
  pa = Gather<axis=1>(wide, i)
  pb = Gather<axis=1>(wide, j)
  ta = Mul(pa, nu)
  tb = Mul(pb, u)
  out = Add(ta, tb)
}
"""


def model(body: str, steps: str = "12", samples: str = "9") -> onnx.ModelProto:
    """Samples of rows between `i` and `j` of `wide`, the latter counting `u`."""
    return onnx.parser.parse_model(HEAD.replace("T]", f"{steps}]").replace("S]", f"{samples}]") + body + LERP)


def report(made: onnx.ModelProto) -> Report:
    """What is found of a model."""
    return optimize(made, dry_run=True).report


FLOOR = "  f = Floor(c)\n  i = Cast<to=7>(f)\n  u = Sub(c, f)\n  j = Add(i, next)\n"
AT_THE_END = "  wide = Pad(rows, end)\n  c = Clip(t, zero, n)\n"
ONE_SIDED = {
    "a remainder of one": AT_THE_END + "  i = Cast<to=7>(c)\n  u = Mod<fmod=1>(c, one)\n  j = Add(i, next)\n",
    "a floor": AT_THE_END + FLOOR,
    "silence put behind": "  wide = Concat<axis=1>(rows, silence)\n  r = Relu(t)\n  c = Min(r, n)\n" + FLOOR,
    "silence before": "  wide = Pad(rows, start)\n  c = Clip(t, minus, last)\n  f = Floor(c)\n  u = Sub(c, f)\n"
    "  g = Cast<to=7>(f)\n  i = Add(g, behind)\n  h = Add(i, next)\n  j = Min(h, far)\n",
}
"""Zeros on one side, and on the other the nearest pixel, for the coordinate ends there."""


@pytest.mark.parametrize("name", ONE_SIDED)
def test_zeros_on_one_side_are_zeros_where_the_other_is_never_left(name):
    made = model(ONE_SIDED[name])
    [site] = find(made)
    border = "border" if site.image.tensor == "wide" else "zeros"  # silence is pixels where it is put together so
    assert (site.kernels, site.policy.name) == (("linear",), border)
    result = optimize(made, lowering="merged-gather", measure=False)
    assert (result.report.status, result.report.validation.status) == ("optimised", "ok")


@pytest.mark.parametrize("name", ONE_SIDED)
@pytest.mark.parametrize(
    "change",
    [("rows, end)", "rows, end, one)"), ("rows, start)", "rows, start, one)"), ("u = Sub(c, f)", "u = Sub(f, c)")],
)
def test_other_numbers_on_one_side_are_none(name, change):
    if change[0] not in ONE_SIDED[name]:
        return
    assert all(site.rule == "GSO003" for site in find(model(ONE_SIDED[name].replace(*change))))


BEYOND = "  wide = Identity(rows)\n"
CLAMPED = "  f = Clip(g, zero, before)\n  u = Sub(c, f)\n  i = Cast<to=7>(f)\n  j = Add(i, next)\n"
GOES_ON = {
    "a floor that is clamped": "  c = Identity(t)\n  g = Floor(c)\n" + CLAMPED,
    "a bounded coordinate": "  s = Sigmoid(t)\n  c = Mul(s, many)\n  g = Floor(c)\n" + CLAMPED,
    "an index that is clamped": "  c = Identity(t)\n  g = Floor(c)\n  k = Cast<to=7>(g)\n  i = Clip(k, none, least)\n"
    "  f = Cast<to=1>(i)\n  u = Sub(c, f)\n  j = Add(i, next)\n",
}
"""The weights are of the corners that are read, and go on beyond the image."""


@pytest.mark.parametrize("name", GOES_ON)
def test_weights_that_go_on_outside_are_told(name):
    [miss] = report(model(BEYOND + GOES_ON[name])).near_misses
    assert miss.code == "GSO103"
    assert "it is like linear sampling of 'rows' (x from " in miss.condition
    beyond = (
        "where x < -1, it is -the pixel (0)*floor(x) + ",
        "where x = 20, it is -9*the pixel (10) + 10*the pixel (11)",
    )
    assert any(words in miss.condition for words in beyond)
    assert "and would have to be 0 or the nearest pixel" in miss.condition


ROUND = "  f = Floor(c)\n  u = Sub(c, f)\n  i = Cast<to=7>(f)\n  h = Add(i, next)\n  j = Mod(h, size)\n"
REMAINDERS = {
    "taken away": "  q = Div(t, n)\n  w = Floor(q)\n  b = Mul(w, n)\n  c = Sub(t, b)\n" + ROUND,
    "a fraction of a turn": "  q = Div(t, n)\n  w = Floor(q)\n  b = Sub(q, w)\n  c = Mul(b, n)\n" + ROUND,
    "of turns": "  w = Floor(t)\n  b = Sub(t, w)\n  c = Mul(b, n)\n" + ROUND,
}


@pytest.mark.parametrize("name", REMAINDERS)
def test_a_remainder_that_floats_round_up_is_told(name):
    """-1e-9 less 12 times its floor is 12 in floats: what is read there is no pixel, or one of the next row."""
    [miss] = report(model(BEYOND + REMAINDERS[name])).near_misses
    assert (miss.code, miss.node) == ("GSO114", "out/Add")
    told = "axis 1 of 'rows' may be read at 12, beyond 11: nothing keeps the index inside, for floats may round the "
    assert told + "remainder 'c' up to 12, and its floor would have to be clamped to 11" in miss.condition


@pytest.mark.parametrize("name", REMAINDERS)
def test_a_remainder_whose_floor_is_clamped_is_a_repeated_image(name):
    kept = REMAINDERS[name].replace("f = Floor(c)", "k = Floor(c)\n  f = Min(k, last)")
    [site] = find(model(BEYOND + kept))
    assert (site.kernels, site.policy.border) == (("linear",), "wrap")


SIZES = """
  wide = Identity(rows)
  steps = Shape<start=1, end=2>(rows)
  tall = Cast<to=1>(steps)
  points = Shape(t)
  count = Cast<to=1>(points)
  edge = Sub(tall, one)
  stop = Sub(count, one)
  whole = Squeeze(points)
  place = Range(none, whole, next)
  at = Cast<to=1>(place)
  moved = Tanh(t)
"""
INSIDE = """
  c = Clip(p, zero, top)
  f = Floor(c)
  u = Sub(c, f)
  i = Cast<to=7>(f)
  h = Add(i, next)
  e = Cast<to=7>(top)
  j = Min(h, e)
"""
GRIDS = {
    "from corner to corner": "  ratio = Div(edge, stop)\n  g = Mul(at, ratio)\n  p = Add(g, moved)\n",
    "in halves of the image": "  v = Div(at, stop)\n  d = Mul(v, two)\n  m = Sub(d, one)\n  a = Add(m, moved)\n"
    "  b = Add(a, one)\n  o = Mul(b, half)\n  p = Mul(o, edge)\n",
    "middles": "  v = Add(at, half)\n  d = Mul(v, tall)\n  m = Div(d, count)\n  a = Sub(m, half)\n"
    "  p = Add(a, moved)\n",
}
"""Where points stand before they are moved: at some sizes on whole pixels, which is a grid beside a floor."""


@pytest.mark.parametrize("name", GRIDS)
def test_grids_that_are_whole_at_some_sizes_are_coordinates_at_all(name):
    made = model(SIZES + GRIDS[name] + INSIDE.replace("top", "edge"), "T", "S")
    [site] = find(made)
    assert (site.kernels, site.policy.border) == (("linear",), "border")
    result = optimize(made, lowering="merged-gather", measure=False)
    assert (result.report.status, result.report.validation.status) == ("optimised", "ok")


PARTS = """
<ir_version: 8, opset_import: ["" : 17]>
sampler (float[36,8] table, float[5,8] tokens) => (float[5,8] out)
<int64[4,5] places = {0, 6, 12, 18, 24, 1, 7, 13, 19, 25, 2, 8, 14, 20, 26, 3, 9, 15, 21, 27},
 float[4,1,1] weights = {1, 2, 3, 4}, int64 a = {0}, int64 b = {1}, int64 c = {2}, int64 d = {3}, int64[1] k0 = {0}>
{
  taken = Gather<axis=0>(table, places)
  each = Mul(taken, weights)
  MADE
}
"""
SUMS = {
    "beside tokens": "pa = Gather<axis=0>(each, a)\n  pb = Gather<axis=0>(each, b)\n  pc = Gather<axis=0>(each, c)\n"
    "  pd = Gather<axis=0>(each, d)\n  s = Add(tokens, pa)\n  r = Add(s, pb)\n  q = Add(r, pc)\n  out = Add(q, pd)",
    "in pairs": "pa, pb, pc, pd = Split<axis=0>(each)\n  s = Add(pa, pb)\n  r = Add(pc, pd)\n  q = Add(s, r)\n"
    "  p = Squeeze(q, k0)\n  out = Add(p, tokens)",
    "at once": "pa, pb, pc, pd = Split<axis=0>(each)\n  s = Sum(pa, pb, pc, pd)\n  p = Squeeze(s, k0)\n"
    "  out = Add(p, tokens)",
}


@pytest.mark.parametrize("name", SUMS)
def test_parts_of_one_read_at_fixed_places_are_told(name):
    found = report(onnx.parser.parse_model(PARTS.replace("MADE", SUMS[name])))
    assert [miss.code for miss in found.near_misses] == ["GSO111"]
    assert "no read has an index that depends on data" in found.near_misses[0].condition


def test_two_parts_of_one_read_are_not_told():
    """As a rotation of pairs has them: nothing is interpolated."""
    two = "pa, pb, pc, pd = Split<axis=0>(each)\n  s = Sub(pa, pb)\n  p = Squeeze(s, k0)\n  out = Add(p, tokens)"
    assert report(onnx.parser.parse_model(PARTS.replace("MADE", two))).near_misses == ()


BEHIND = """
<ir_version: 8, opset_import: ["" : 17]>
sampler (float[6,7] image, float[5] x, float[5] y) => (float[5] out)
<float zero = {0}, float xl = {6}, float yl = {5}, int64 next = {1}, int64 last = {6}, int64 end = {5},
 int64[1] k1 = {1}>
{
  xc = Clip(x, zero, xl)
  yc = Clip(y, zero, yl)
  xf = Floor(xc)
  yf = Floor(yc)
  xk = Cast<to=7>(xf)
  yk = Cast<to=7>(yf)
  xn = Add(xk, next)
  yn = Add(yk, next)
  i = Min(xn, last)
  j = Min(yn, end)
  iu = Unsqueeze(i, k1)
  ju = Unsqueeze(j, k1)
  at = Concat<axis=1>(ju, iu)
  out = GatherND(image, at)
}
"""


def test_the_pixel_behind_a_floor_is_not_that_of_a_coordinate_one_further():
    """Floats just below a whole number that 1 is added to are rounded up to the next: another pixel is the nearest."""
    assert find(onnx.parser.parse_model(BEHIND)) == []
