"""Points that a pool or a stride makes of an input of free sizes: two rows make one, along which nothing moves."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest

from onnxgs_opt import find, optimize
from tests.fixtures.spellings.check import run
from tests.fixtures.text import ADDED, CELL, LAST, READS, TERMS, WEIGHTS, four, replaced

HEAD = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[H,W] image, float[1,2,H,W] flow) => (float[h,w] out)
<float zero = {0}, float one = {1}, float nearly = {1.125}, int64[1] k0 = {0}, int64[1] k1 = {1}, int64[1] k9 = {-1},
 int64[1] top = {9223372036854775807}, int64[2] k23 = {2, 3}, int64[2] both = {0, 0}, int64[2] twos = {2, 2},
 int64[2] tops = {9223372036854775807, 9223372036854775807}, int64 first = {0}, int64 second = {1},
 float[2,2,3,3] kernel = {1,0,2,0,1,0,3,0,1, 0,1,0,2,0,1,0,1,0, 1,1,0,0,2,0,1,0,0, 0,0,1,1,0,0,2,0,1}>
{
"""
POOLS = {
    "mean": "moved = AveragePool<kernel_shape=[2, 2], strides=[2, 2]>(flow)",
    "largest": "moved = MaxPool<kernel_shape=[2, 2], strides=[2, 2]>(flow)",
    "convolution": "moved = Conv<kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]>(flow, kernel)",
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
  xa = Clip(x0, zero, xl)
  xb = Clip(x1, zero, xl)
  ya = Clip(y0, zero, yl)
  yb = Clip(y1, zero, yl)
  r0 = Mul(ya, w)
  r1 = Mul(yb, w)
"""
WHOLE = four("f{k} = Add({row}, {column})\n i{k} = Cast<to=7>(f{k})", ("r0", "r1"), ("xa", "xb"))


def model_of(pool: str, *changes: tuple[str, str]) -> onnx.ModelProto:
    text = HEAD + pool + POINTS + LAST + CELL + WEIGHTS + AT + WHOLE + READS + TERMS + ADDED + "}"
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


@pytest.mark.parametrize(
    "change",
    [
        ("tb = Mul(pb, wb)", "tb = Mul(pb, wc)"),
        ("y1 = Add(y0, one)", "y1 = Add(y0, nearly)"),
        ("r1 = Mul(yb, w)", "r1 = Mul(ya, w)"),
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
