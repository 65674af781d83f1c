"""The first corner of a cell taken by Round: halfway it goes to the even side, from which the sample is the same."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest

from onnxgs_opt import find, optimize
from tests.fixtures.spellings.check import run
from tests.fixtures.text import ADDED, LAST, NEXT, TERMS, WEIGHTS, both, four, replaced

HEAD = (
    """
<ir_version: 8, opset_import: ["" : 17]>
g (float[H,W] image, float[P] x, float[P] y) => (float[P] out)
<float zero = {0}, float half = {0.5}, float one = {1}, int64[1] k0 = {0}, int64[1] k1 = {1}, int64[1] k9 = {-1}>
{
"""
    + LAST
)
READS = """  w1 = Gather<axis=0>(whole, k1)
  w = Squeeze(w1)
  line = Reshape(image, k9)
""" + four("""
  row{k} = Clip({row}, zero, yl)
  column{k} = Clip({column}, zero, xl)
  start{k} = Mul(row{k}, w)
  at{k} = Add(start{k}, column{k})
  i{k} = Cast<to=7>(at{k})
  p{k} = Gather<axis=0>(line, i{k})
""", ("y0", "y1"), ("x0", "x1"))  # fmt: skip
HALF_LESS = both("""
  h{a} = Sub({a}, half)
  {a}0 = Round(h{a})
  {f} = Sub({a}, {a}0)
""")
HALF_MORE = both("""
  h{a} = Add({a}, half)
  {a}1 = Round(h{a})
  {a}0 = Sub({a}1, one)
  {f} = Sub({a}, {a}0)
""")
HELD = both("""
  c{a} = Clip({a}, zero, {a}l)
  h{a} = Sub(c{a}, half)
  {a}0 = Round(h{a})
  {f} = Sub(c{a}, {a}0)
""")
ZEROS = four("""
  l{k} = GreaterOrEqual({column}, zero)
  r{k} = LessOrEqual({column}, xl)
  t{k}0 = GreaterOrEqual({row}, zero)
  b{k} = LessOrEqual({row}, yl)
  lr{k} = And(l{k}, r{k})
  tb{k} = And(t{k}0, b{k})
  in{k} = And(lr{k}, tb{k})
  lit{k} = Cast<to=1>(in{k})
  q{k} = Mul(p{k}, lit{k})
  t{k} = Mul(q{k}, w{k})
""", ("y0", "y1"), ("x0", "x1"))  # fmt: skip
SUM = TERMS + ADDED
WINDOW = TERMS + ADDED.replace("out =", "all =") + """
  l = GreaterOrEqual({0}, zero)
  r = LessOrEqual({1}, xl)
  t = GreaterOrEqual({2}, zero)
  b = LessOrEqual({3}, yl)
  lr = And(l, r)
  tb9 = And(t, b)
  in = And(lr, tb9)
  lit = Cast<to=1>(in)
  out = Mul(all, lit)
"""  # fmt: skip
INSIDE = WINDOW.format("x", "x", "y", "y")

CELLS = {"half less": HALF_LESS + NEXT, "half more": HALF_MORE, "held before": HELD + NEXT}
FOUND = {
    "half less": (CELLS["half less"], SUM, ("border", "all")),
    "half more": (CELLS["half more"], SUM, ("border", "all")),
    "held before": (CELLS["held before"], SUM, ("border", "all")),
    "zeros": (CELLS["half less"], ZEROS + ADDED, ("zeros", "all")),
    "a window": (CELLS["half less"], INSIDE, ("zeros", "interior-closed")),
}


def model_of(cell: str, tail: str, size: str = "H,W") -> onnx.ModelProto:
    return onnx.parser.parse_model(HEAD.replace("H,W", size) + cell + WEIGHTS + READS + tail + "}")


def points(size: int) -> np.ndarray:
    """Whole numbers, even and odd, inside the image and beyond its ends, and a float to each side of every one."""
    whole = np.arange(-3, size + 3, dtype=np.float32)
    return np.concatenate([whole, np.nextafter(whole, np.float32(-99)), np.nextafter(whole, np.float32(99))])


@pytest.mark.parametrize("size", ["H,W", "6,5"])
@pytest.mark.parametrize("name", FOUND)
def test_it_is_the_sampler_whose_corners_are_rounded_down(name: str, size: str) -> None:
    cell, tail, policy = FOUND[name]
    (site,) = find(model_of(cell, tail, size))
    assert (site.rule, site.policy.border, site.policy.window) == ("GSO001", *policy)


@pytest.mark.parametrize("name", FOUND)
def test_halves_give_what_the_model_gives(name: str) -> None:
    cell, tail, _ = FOUND[name]
    model = model_of(cell, tail)
    result = optimize(model, lowering="merged-gather", measure=False)
    assert result.report.status == "optimised"
    x, y = (grid.reshape(-1) for grid in np.meshgrid(points(5), points(6)))
    feeds = {"image": np.random.default_rng(0).random((6, 5), np.float32), "x": x, "y": y}
    np.testing.assert_allclose(run(result.model, feeds), run(model, feeds), atol=1e-5)


LIMITS = ("x0", "x1", "y0", "y1")
MUTANTS = {
    "the next pixel's weight": (CELLS["half less"], replaced(SUM, ("td = Mul(pd, wd)", "td = Mul(pd, wa)"))),
    "the nearest column": (replaced(CELLS["half less"], ("Sub(x, half)", "Sub(x, zero)")), SUM),
    "a window around the pixels, which halves decide": (CELLS["half less"], WINDOW.format(*LIMITS)),
    "the next corner rounded apart": (
        replaced(CELLS["half less"], ("x1 = Add(x0, one)", "mx = Add(x, half)\n x1 = Round(mx)")),
        replaced(
            SUM,
            ("ta = Mul(pa, wa)", "ux = Sub(x1, x)\n va = Mul(nv, ux)\n ta = Mul(pa, va)"),
            ("tc = Mul(pc, wc)", "vc = Mul(v, ux)\n tc = Mul(pc, vc)"),
        ),
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_what_halves_make_another_is_none(name: str) -> None:
    cell, tail = MUTANTS[name]
    assert not [site for site in find(model_of(cell, tail)) if site.rule != "GSO003" and site.output == "out"]
