"""Coordinates in parts of a pixel: whole numbers, whose quotients say where to read and whose remainders weigh."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest

from onnxgs_opt import find, optimize
from tests.fixtures.spellings.check import run
from tests.fixtures.text import ADDED, READS, TERMS, WEIGHTS, four

HEAD = """
<ir_version: 8, opset_import: ["" : 18]>
sampler (float[42] line, POINTS) => (float[5] out)
<float half = {0.5}, float one = {1}, float n = {32}, float tens = {10}, float more = {31}, int32 whole = {32},
 int32 bits = {31}, int32 none = {0}, int32 next = {1}, int32 xq = {192}, int32 yq = {160}, int32 xl = {6},
 int32 yl = {5}, int32 w = {7}, uint32 five = {5}, uint32 four = {4}, uint32 sign = {4160749568}>
{
"""
INDICES = """
  xj = Add(xi, next)
  yj = Add(yi, next)
  xa = Clip(xi, none, xl)
  xb = Clip(xj, none, xl)
  ya = Clip(yi, none, yl)
  yb = Clip(yj, none, yl)
  ra = Mul(ya, w)
  rb = Mul(yb, w)
"""
TAIL = (
    INDICES + WEIGHTS + four("  i{k} = Add({row}, {column})", ("ra", "rb"), ("xa", "xb")) + READS + TERMS + ADDED + "}"
)
SCALED = "  {p}s = Mul(p{p}, n)\n"
ROUNDED = SCALED + "  {p}r = Round({p}s)\n  q{p} = Cast<to=6>({p}r)\n"
MASK = "  {p}m = BitwiseAnd(q{p}, bits)\n  {p}g = Cast<to=1>({p}m)\n  {u} = Div({p}g, n)\n"
SIGNED_SHIFT = """
  {p}_b = Less(q{p}, none)
  {p}_c = Cast<to=12>(q{p})
  {p}_d = BitShift<direction="RIGHT">({p}_c, five)
  {p}_e = BitwiseOr({p}_d, sign)
  {p}_f = Cast<to=6>({p}_e)
  {p}_h = Cast<to=6>({p}_d)
  {p}i = Where({p}_b, {p}_f, {p}_h)
"""
SHIFT = """
  q{p} = Clip({p}w, none, {p}q)
  {p}_c = Cast<to=12>(q{p})
  {p}_d = BitShift<direction="RIGHT">({p}_c, five)
  {p}i = Cast<to=6>({p}_d)
"""
QUOTIENT = """
  {p}_d = Div({p}_v, n)
  {p}_f = Floor({p}_d)
  {p}i = Cast<to=6>({p}_f)
  {p}_k = Mul({p}_f, n)
  {p}_o = Sub({p}_v, {p}_k)
  {u} = Div({p}_o, n)
"""
FLOATS, WHOLE = "float[5] px, float[5] py", "int32[5] qx, int32[5] qy"
WRONG_MASK, WRONG_SHIFT = ("bits = {31}", "bits = {15}"), (", five)", ", four)")
WRONG_WEIGHT, WRONG_SIGN = ("Div({p}g, n)", "Div({p}g, more)"), ("sign = {4160749568}", "sign = {4026531840}")
SPELLINGS = {
    "quotients of floats": (FLOATS, ROUNDED.replace("q{p} =", "{p}t =") + QUOTIENT.replace("{p}_v", "{p}r"), ()),
    "shifts and masks": (
        FLOATS,
        ROUNDED + SIGNED_SHIFT + MASK,
        (WRONG_MASK, WRONG_SHIFT, WRONG_WEIGHT, WRONG_SIGN),
    ),
    "shifts without a sign": (
        FLOATS,
        ROUNDED.replace("q{p} =", "{p}w =") + SHIFT + MASK,
        (WRONG_MASK, WRONG_SHIFT, WRONG_WEIGHT),
    ),
    "a remainder and the rest": (
        FLOATS,
        ROUNDED + "  {p}m = Mod(q{p}, whole)\n  {p}_o = Sub(q{p}, {p}m)\n  {p}i = Div({p}_o, whole)\n"
        "  {p}g = Cast<to=1>({p}m)\n  {u} = Div({p}g, n)\n",
        (("Div({p}_o, whole)", "Div(q{p}, whole)"), WRONG_WEIGHT),
    ),
    "cut off": (
        FLOATS,
        SCALED + "  q{p} = Cast<to=6>({p}s)\n  {p}_v = Cast<to=1>(q{p})\n" + QUOTIENT,
        (("Div({p}_o, n)", "Div({p}_o, more)"), ("Floor({p}_d)", "Ceil({p}_d)")),
    ),
    "halves upwards": (
        FLOATS,
        SCALED + "  {p}t = Add({p}s, half)\n  {p}_v = Floor({p}t)\n" + QUOTIENT,
        (("Div({p}_v, n)", "Div({p}_v, more)"),),
    ),
    "tenths": (
        FLOATS,
        (SCALED + "  {p}_v = Round({p}s)\n" + QUOTIENT).replace(", n)", ", tens)"),
        (("Div({p}_o, tens)", "Div({p}_o, n)"),),
    ),
    "whole numbers as they come": (WHOLE, SIGNED_SHIFT + MASK, (WRONG_MASK, WRONG_SHIFT)),
    "a quotient, less 1 below zero": (
        WHOLE,
        "  {p}_d = Div(q{p}, whole)\n  {p}_e = Sub({p}_d, next)\n  {p}_h = Mod(q{p}, whole)\n"
        "  {p}_k = Equal({p}_h, none)\n  {p}_o = Not({p}_k)\n  {p}_b = Less(q{p}, none)\n  {p}_c = Less(whole, none)\n"
        "  {p}_f = Xor({p}_b, {p}_c)\n  {p}_v = And({p}_f, {p}_o)\n  {p}i = Where({p}_v, {p}_e, {p}_d)\n" + MASK,
        (WRONG_MASK, ("Sub({p}_d, next)", "Add({p}_d, next)")),
    ),
}
"""By name the inputs, what is written for each axis, p being its letter and u its fraction, and wrong changes."""


def model(points: str, body: str) -> onnx.ModelProto:
    """A bilinear sampler of a 6x7 image whose nearest pixel goes on outside, at five points."""
    axes = "".join(body.replace("{p}", p).replace("{u}", u) for p, u in ("xu", "yv"))
    return onnx.parser.parse_model(HEAD.replace("POINTS", points) + axes + TAIL)


@pytest.mark.parametrize("name", SPELLINGS)
def test_parts_of_a_pixel_are_coordinates(name):
    made = model(*SPELLINGS[name][:2])
    [site] = find(made)
    assert (site.rule, site.policy.border, site.image_size) == ("GSO001", "border", (6, 7))
    assert {view.parts for view in site.coordinate_views} == {10 if name == "tenths" else 32}
    rng = np.random.default_rng(0)
    values = [rng.normal(size=42), *(np.array([-3.3, 0.26, 2.5, 4.03, 9]) + k / 7 for k in (0, 1))]
    parts = 32 if SPELLINGS[name][0] == WHOLE else 1
    feeds = {
        v.name: (value * (1 if k == 0 else parts)).astype(
            onnx.helper.tensor_dtype_to_np_dtype(v.type.tensor_type.elem_type)
        )
        for k, (v, value) in enumerate(zip(made.graph.input, values, strict=True))
    }
    for lowering in ("merged-gather", "lerp-gather", "row-gather", "plugin", "grid-sample", "roi-align"):
        result = optimize(made, lowering=lowering, measure=False)
        if result.report.sites[0].lowering != lowering:
            assert lowering in ("grid-sample", "roi-align")
            continue
        assert (result.report.status, result.report.validation.status) == ("optimised", "ok")
        np.testing.assert_allclose(run(result.model, feeds)[0], run(made, feeds)[0], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "change"), [(name, change) for name, (_, _, wrong) in SPELLINGS.items() for change in wrong]
)
def test_other_parts_of_a_pixel_are_none(name, change):
    points, body, _ = SPELLINGS[name]
    text = HEAD + body
    assert text.count(change[0]) >= 1, change
    axes = "".join(body.replace(*change).replace("{p}", p).replace("{u}", u) for p, u in ("xu", "yv"))
    made = onnx.parser.parse_model(HEAD.replace(*change).replace("POINTS", points) + axes + TAIL)
    assert all(site.rule == "GSO003" for site in find(made))


LINE = """
<ir_version: 8, opset_import: ["" : 18]>
sampler (float[SIZE] line, float[5] x) => (float[5] out)
<float one = {1}, float n = {65536}, int32 whole = {65536}, int32 next = {1}, int32 none = {0}, int64[1] k0 = {0},
 int32[1] unit = {1}>
{
  shape = Shape(line)
  size = Cast<to=6>(shape)
  last = Sub(size, unit)
  s = Mul(x, n)
  r = Round(s)
  q = Cast<to=6>(r)
  m = Mod(q, whole)
  o = Sub(q, m)
  i = Div(o, whole)
  j = Add(i, next)
  a = Max(i, none)
  b = Max(j, none)
  c = Min(a, last)
  d = Min(b, last)
  g = Cast<to=1>(m)
  u = Div(g, n)
  nu = Sub(one, u)
  pa = Gather<axis=0>(line, c)
  pb = Gather<axis=0>(line, d)
  ta = Mul(pa, nu)
  tb = Mul(pb, u)
  out = Add(ta, tb)
}
"""


def test_parts_that_floats_do_not_hold_are_refused():
    """In floats of four bytes 65,536ths of a pixel are exact up to 256 pixels, and 32nds up to 2^19."""
    [short] = find(onnx.parser.parse_model(LINE.replace("SIZE", "256")))
    assert (short.kernels, short.x.parts) == (("linear",), 65536)
    long = optimize(onnx.parser.parse_model(LINE.replace("SIZE", "257")), dry_run=True).report
    assert [(miss.code, "up to 16842752 in float32" in miss.condition) for miss in long.near_misses] == [
        ("GSO110", True)
    ]
    [free] = find(onnx.parser.parse_model(LINE.replace("SIZE", "N").replace("65536", "32")))
    assert [(size.name, size.at_most) for size in free.domain.sizes] == [("N", 2**19)]
