"""Samplers that read a number other than 0 outside the image: zeros on the image less that number, plus it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from onnxgs_opt import find, optimize
from tests.fixtures.spellings.check import run
from tests.fixtures.text import ADDED, CELL, CLAMPED, REST, four
from tests.fixtures.truth import site_gap

HEAD = (
    """
<ir_version: 8, opset_import: ["" : 17]>
sampler (float[3,6,7] image, float[4,5] x, float[4,5] y, float[4,5] gain) => (float[3,4,5] out)
<float zero = {0}, float one = {1}, float xl = {6}, float yl = {5}, float c = {2.5}, float other = {2},
 float[1] w = {7}, float[1] pw = {9}, int64[2] rows = {3, -1}, int64[6] pads = {0, 1, 1, 0, 1, 1}>
{
"""
    + CELL
    + REST
)
READS = (
    CLAMPED
    + "  line = Reshape(image, rows)\n"
    + four(
        """
  f{k} = Add({row}, {column})
  i{k} = Cast<to=7>(f{k})
  p{k} = Gather<axis=1>(line, i{k})
""",
        ("ra", "rb"),
        ("xa", "xb"),
    )
)
INSIDE = """
  ha = Equal(x0, xa)
  hb = Equal(x1, xb)
  ka = Equal(y0, ya)
  kb = Equal(y1, yb)
""" + four("  m{k} = And({row}, {column})", ("ka", "kb"), ("ha", "hb"))
WEIGHTS = four("  w{k} = Mul({row}, {column})", ("nv", "v"), ("nu", "u"))
SUM = four("  t{k} = Mul(q{k}, w{k})") + ADDED + "}\n"
WHERE = HEAD + READS + INSIDE + WEIGHTS + four("  q{k} = Where(m{k}, p{k}, c)") + SUM
BLENDED = (
    HEAD
    + READS
    + INSIDE
    + WEIGHTS
    + four(
        """
  n{k} = Cast<to=1>(m{k})
  l{k} = Sub(one, n{k})
  e{k} = Mul(c, l{k})
  g{k} = Mul(p{k}, n{k})
  q{k} = Add(g{k}, e{k})
"""
    )
    + SUM
)
PADDED = (
    HEAD
    + """
  wide = Pad(image, pads, c)
  line = Reshape(wide, rows)
  xn = Add(xl, one)
  yn = Add(yl, one)
  none = Sub(zero, one)
"""
    + "".join(
        f"  {a}{k}c = Clip({a}{n}, none, {a}n)\n  {a}{k} = Add({a}{k}c, one)\n"
        for a in "xy"
        for k, n in (("a", 0), ("b", 1))
    )
    + "  ra = Mul(ya, pw)\n  rb = Mul(yb, pw)\n"
    + four(
        "  f{k} = Add({row}, {column})\n  i{k} = Cast<to=7>(f{k})\n  q{k} = Gather<axis=1>(line, i{k})",
        ("ra", "rb"),
        ("xa", "xb"),
    )
    + WEIGHTS
    + SUM
)
LATE = (
    HEAD.replace("float c = {2.5}", "float c = {0.1}")
    + READS
    + "  q"
    + "  q".join(f"{k} = Identity(p{k})\n" for k in "abcd")
    + WEIGHTS
    + SUM.replace("out = ", "inner = ").replace("}\n", "")
    + """
  lx = GreaterOrEqual(x, zero)
  hx = LessOrEqual(x, xl)
  ly = GreaterOrEqual(y, zero)
  hy = LessOrEqual(y, yl)
  inx = And(lx, hx)
  iny = And(ly, hy)
  m = And(inx, iny)
  out = Where(m, inner, c)
}
"""
)
GAINED = WHERE.replace("out = Add(abc, td)", "sum = Add(abc, td)\n  out = Mul(sum, gain)")
INNER_GAIN = WHERE.replace(four("  t{k} = Mul(q{k}, w{k})"), four("  o{k} = Mul(q{k}, w{k})\n  t{k} = Mul(o{k}, gain)"))
FORMS = {
    "chosen tap by tap": (WHERE, "constant 2.5"),
    "blended tap by tap": (BLENDED, "constant 2.5"),
    "padded with it": (PADDED, "constant 2.5"),
    "chosen after the sum": (LATE, "interior-closed, constant 0.1"),
    "attention after the sum": (GAINED, "constant 2.5"),
    "attention in every tap": (INNER_GAIN, "constant 2.5"),
}
each_form = pytest.mark.parametrize(("text", "name"), FORMS.values(), ids=FORMS.keys())


def feeds() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    x, y = (rng.uniform(-3, 10, (4, 5)).astype(np.float32) for _ in "xy")
    x[0], y[:, 0] = (-1, 0, 3, 6, 6.5), (0, 5, 2, -1)
    image, gain = (rng.normal(size=size).astype(np.float32) for size in ((3, 6, 7), (4, 5)))
    return {"image": image, "x": x, "y": y, "gain": gain}


@each_form
def test_the_number_is_found_and_named(text, name):
    model = onnx.parser.parse_model(text)
    [site] = find(model)
    assert (site.rule, site.policy.name, site.image.tensor) == ("GSO001", name, "image")
    assert site_gap(model, site, feeds(), lambda x, y: np.ones(np.broadcast_shapes(x.shape, y.shape), bool)) < 1e-5


@each_form
def test_it_is_lowered_and_proven(text, name):
    model = onnx.parser.parse_model(text)
    for lowering in ("merged-gather", "grid-sample", "plugin"):
        result = optimize(model, lowering=lowering, measure=False)
        assert (result.report.status, result.report.validation.status) == ("optimised", "ok"), lowering
        assert [site.lowering for site in result.report.sites] == [lowering]
        [before], [after] = (run(m, feeds(), ()) for m in (model, result.model))
        np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("qc = Where(mc, pc, c)", "qc = Where(mc, pc, other)"),
        ("qc = Where(mc, pc, c)", "qc = Where(mc, pc, zero)"),
        ("qd = Where(md, pd, c)", "qd = Where(mc, pd, c)"),
        ("qa = Where(ma, pa, c)", "qa = Where(ma, pa, y)"),
    ],
)
def test_taps_that_do_not_read_the_same_number_are_none(old, new):
    assert WHERE.count(old) == 1
    assert not find(onnx.parser.parse_model(WHERE.replace(old, new)))


@pytest.mark.parametrize(("number", "lowered"), [("255", True), ("1000000", False)])
def test_pixels_keep_their_digits(number, lowered):
    """Of a million a float32 keeps 1/16: pixels less that number are not what they were."""
    model = onnx.parser.parse_model(WHERE.replace("float c = {2.5}", f"float c = {{{number}}}"))
    report = optimize(model, lowering="merged-gather", measure=False).report
    assert (report.sites[0].lowering == "merged-gather") == lowered
    assert report.status == ("optimised" if lowered else "nothing-to-do")
    assert lowered or "fill value 1e+06" in report.sites[0].reason
