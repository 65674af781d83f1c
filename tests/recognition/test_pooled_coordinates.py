"""Points that a pool or a stride makes of an input of free sizes: two rows make one, along which nothing moves."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest

from onnxgs_opt import find, optimize
from tests.fixtures.spellings.check import run
from tests.fixtures.text import ADDED, CELL, CLAMPED, LAST, READS, TERMS, WEIGHTS, four, replaced

HEAD = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[H,W] image, float[1,2,H,W] flow) => (float[h,w] out)
<float zero = {0}, float one = {1}, float nearly = {1.125}, int64[1] k0 = {0}, int64[1] k1 = {1}, int64[1] k9 = {-1},
 int64[1] top = {9223372036854775807}, int64[2] k23 = {2, 3}, int64[2] both = {0, 0}, int64[2] twos = {2, 2},
 int64[2] ones = {1, 1},
 int64[2] tops = {9223372036854775807, 9223372036854775807},
 int64 first = {0}, int64 second = {1}, int64 third = {2}, int64 fourth = {3},
 int64 two = {2}, int64 three = {3}, int64 four = {4},
 int64 six = {6}, int64 many = {5000},
 float[2,2,3,3] kernel = {1,0,2,0,1,0,3,0,1, 0,1,0,2,0,1,0,1,0, 1,1,0,0,2,0,1,0,0, 0,0,1,1,0,0,2,0,1}>
{
"""
POOLS = {
    "mean": "moved = AveragePool<kernel_shape=[2, 2], strides=[2, 2]>(flow)",
    "largest": "moved = MaxPool<kernel_shape=[2, 2], strides=[2, 2]>(flow)",
    "convolution": "moved = Conv<kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]>(flow, kernel)",
    "every other": "moved = Slice(flow, both, tops, k23, twos)",
    "every other from the second on": "moved = Slice(flow, ones, tops, k23, twos)",
    "of four": "moved = AveragePool<kernel_shape=[3, 3], strides=[4, 4], pads=[1, 1, 1, 1]>(flow)",
}
POINTS = """
  places = Squeeze(moved, k0)
  x = Gather<axis=0>(places, first)
  y = Gather<axis=0>(places, second)
"""
AT = """
  w1 = Gather<axis=0>(sizes, k1)
  wf = Cast<to=1>(w1)
  w = Squeeze(wf)
  line = Reshape(image, k9)
"""
WHOLE = four("f{k} = Add({row}, {column})\n i{k} = Cast<to=7>(f{k})", ("ra", "rb"), ("xa", "xb"))


def model_of(pool: str, *changes: tuple[str, str]) -> onnx.ModelProto:
    text = HEAD + pool + POINTS + LAST + CELL + WEIGHTS + AT + CLAMPED + WHOLE + READS + TERMS + ADDED + "}"
    return onnx.parser.parse_model(replaced(text, *changes))


@pytest.mark.parametrize("name", POOLS)
def test_they_are_the_points_of_a_sampler_from_two_on(name: str) -> None:
    (site,) = find(model_of(POOLS[name]))
    assert (site.rule, site.policy.border) == ("GSO001", "border")
    least = {size.name: size.at_least for size in site.domain.sizes}
    assert least["H"] >= 4
    assert least["W"] >= 4


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("size", [(4, 4), (5, 9), (12, 7), (3, 2)], ids=str)
def test_the_samples_stay_equal_at_every_size(name: str, size: tuple[int, int]) -> None:
    """Below those of the claim, too: of one point there is one sample."""
    model = model_of(POOLS[name])
    result = optimize(model, lowering="merged-gather", measure=False)
    assert result.report.status == "optimised"
    rng = np.random.default_rng(0)
    feeds = {
        "image": rng.random(size, np.float32),
        "flow": (12 * rng.random((1, 2, *size)) - 3).astype(np.float32),
    }
    np.testing.assert_allclose(run(result.model, feeds)[0], run(model, feeds)[0], atol=1e-4)


GRID = """
  places = Squeeze(moved, k0)
  dx = Gather<axis=0>(places, first)
  dy = Gather<axis=0>(places, second)
  of_flow = Shape(flow)
  height = Gather(of_flow, third)
  width = Gather(of_flow, fourth)
  fewer = Div(height, two)
  narrow = Div(width, two)
  rows = Range(first, fewer, second)
  columns = Range(first, narrow, second)
  rowsf = Cast<to=1>(rows)
  down = Unsqueeze(rowsf, k1)
  along = Cast<to=1>(columns)
  x = Add(dx, along)
  y = Add(dy, down)
"""
LIMITS = {
    "twice the half, which an odd width is more than": "pairs = Mul(narrow, two)\n bound = Sub(pairs, second)",
    "more from 5000 on": "more = Div(width, many)\n end = Sub(width, second)\n bound = Add(end, more)",
    "less where it is odd": (
        "pairs = Mul(narrow, two)\n odd = Sub(width, pairs)\n end = Sub(width, second)\n bound = Sub(end, odd)"
    ),
}


@pytest.mark.parametrize("name", ["mean", "largest"])
def test_half_a_size_in_numbers_is_that_of_the_pool(name: str) -> None:
    """A grid of as many points, as PyTorch's exporter counts them: by a quotient that is rounded down."""
    (site,) = find(model_of(POOLS[name], (POINTS, GRID)))
    assert site.rule == "GSO001"


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_that_is_the_last_column_at_some_widths_is_none(name: str) -> None:
    limit = GRID + LIMITS[name] + "\n xe = Cast<to=1>(bound)\n"
    wrong = [(POINTS, limit), ("xa = Clip(x0, zero, xl)", "xa = Clip(x0, zero, xe)")]
    model = model_of(POOLS["mean"], *wrong, ("xb = Clip(x1, zero, xl)", "xb = Clip(x1, zero, xe)"))
    assert not [site for site in find(model) if site.rule != "GSO003"]


@pytest.mark.parametrize("axis", ["height", "width"])
@pytest.mark.parametrize(("divisor", "other"), [("two", "two"), ("three", "two"), ("six", "four"), ("six", "two")])
def test_what_a_remainder_leaves_at_no_analysed_size_is_not_taken_for_nothing(
    divisor: str, other: str, axis: str
) -> None:
    """Where all analysed sizes leave 1 or 4 of 6, (r - 1) * (r - 4) is 0 at these, and at others it is not."""
    more = f"""
  of_flow = Shape(flow)
  height = Gather(of_flow, third)
  width = Gather(of_flow, fourth)
  parts = Div({axis}, {divisor})
  product = Mul(parts, {divisor})
  left = Sub({axis}, product)
  less = Sub(left, second)
  least = Sub(left, {other})
  lessf = Cast<to=1>(less)
  leastf = Cast<to=1>(least)
  some = Mul(wa, lessf)
  gone = Mul(some, leastf)
  wm = Add(wa, gone)
  ta = Mul(pa, wm)
"""
    found = find(model_of(POOLS["mean"], ("ta = Mul(pa, wa)", more)))
    assert not [site for site in found if site.rule != "GSO003"]


@pytest.mark.parametrize(
    "change",
    [
        ("tb = Mul(pb, wb)", "tb = Mul(pb, wc)"),
        ("y1 = Add(y0, one)", "y1 = Add(y0, nearly)"),
        ("rb = Mul(yb, w)", "rb = Mul(ya, w)"),
        ("xb = Clip(x1, zero, xl)", "xb = Clip(x1, zero, yl)"),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", POOLS)
def test_of_points_like_them_no_other_sum_is_one(name: str, change: tuple[str, str]) -> None:
    assert not [site for site in find(model_of(POOLS[name], change)) if site.rule == "GSO001"]


def test_sizes_below_those_of_the_claim_are_none_of_it() -> None:
    model = model_of(POOLS["mean"])
    report = optimize(model, dry_run=True, shapes={"image": (3, 3), "flow": (1, 2, 3, 3)}).report
    assert [site for site in report.sites if site.rule == "GSO001"] == []
