"""Samplers whose points stand in one axis with the batch, and the pass that lets their coordinates be seen apart."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from onnxgs_opt import find, optimize
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.passes import PASSES
from tests.fixtures.named import named
from tests.fixtures.spellings.check import run
from tests.fixtures.text import ADDED, READS, REST, TERMS, four

MODEL = (
    """
<ir_version: 8, opset_import: ["" : 17]>
g (float[BATCH,H,W,3] image, float[BATCH,POINTS,2] grid) => (float[BATCH,POINTS,3] out)
<int64 first = {0}, int64 second = {1}, int64[1] whole = {-1}, int64[1] k0 = {0}, int64[1] k1 = {1}, int64[1] k2 = {2},
 int64[1] k3 = {3}, float one = {1}, float zero = {0}, float half = {0.5}, int64[2] table = {-1, 3},
 int64[2] pairs = {-1, 2}, int64 izero = {0}, int64 ione = {1}>
{
  imagesizes = Shape(image)
  h = Slice(imagesizes, k1, k2)
  w = Slice(imagesizes, k2, k3)
  hf = Cast<to=1>(h)
  wf = Cast<to=1>(w)
  xl = Sub(wf, one)
  yl = Sub(hf, one)
  gx = Gather<axis=AXIS>(grid, first)
  gy = Gather<axis=AXIS>(grid, second)
  PIXELS
  xf = Floor(x)
  yf = Floor(y)
  x0 = Cast<to=7>(xf)
  y0 = Cast<to=7>(yf)
  x1 = Add(x0, ione)
  y1 = Add(y0, ione)
  xi = Sub(w, ione)
  yi = Sub(h, ione)
  xa0 = Max(x0, izero)
  xa = Min(xa0, xi)
  xb0 = Max(x1, izero)
  xb = Min(xb0, xi)
  ya0 = Max(y0, izero)
  ya = Min(ya0, yi)
  yb0 = Max(y1, izero)
  yb = Min(yb0, yi)
  u = Sub(x, xf)
  v = Sub(y, yf)
"""
    + REST
    + four("w{k}0 = Mul({column}, {row})\n w{k} = Unsqueeze(w{k}0, k1)", ("nv", "v"), ("nu", "u"))
    + """  batch1 = Slice(imagesizes, k0, k1)
  batch = Squeeze(batch1)
  numbers = Range(izero, batch, ione)
  plane = Mul(h, w)
  starts0 = Mul(numbers, plane)
  starts = Unsqueeze(starts0, k1)
  gridsizes = Shape(gx)
  spread = Expand(starts, SPREAD)
  base = Reshape(spread, whole)
  ra = Mul(ya, w)
  rb = Mul(yb, w)
  ca = Add(base, ra)
  cb = Add(base, rb)
"""
    + four("i{k} = Add({row}, {column})", ("ca", "cb"), ("xa", "xb"))
    + """  rows = Reshape(image, table)
"""
    + READS.replace("line", "rows")
    + TERMS
    + ADDED.replace("out", "abcd")
    + """  threes = Slice(imagesizes, k3, FOUR)
  OUT
}
"""
)
AFTER = """
  fx = Reshape(gx, whole)
  fy = Reshape(gy, whole)
  sx = Add(fx, one)
  sy = Add(fy, one)
  mx = Mul(sx, wf)
  my = Mul(sy, hf)
  x = Mul(mx, half)
  y = Mul(my, half)
"""
CLAMPED = """
  sx = Add(gx, one)
  sy = Add(gy, one)
  mx = Mul(sx, wf)
  my = Mul(sy, hf)
  fx = Reshape(mx, whole)
  fy = Reshape(my, whole)
  xs = Sub(xl, half)
  ys = Sub(yl, half)
  lx = Max(fx, zero)
  ly = Max(fy, zero)
  x = Min(lx, xs)
  y = Min(ly, ys)
"""
OUT = """
  outsizes = Concat<axis=0>(gridsizes, threes)
  out = Reshape(abcd, outsizes)
"""
TAKEN_LAST = """
  rows = Reshape(grid, pairs)
  fx = Gather<axis=1>(rows, first)
  fy = Gather<axis=1>(rows, second)
  lx = Max(fx, zero)
  ly = Max(fy, zero)
  x = Min(lx, xl)
  y = Min(ly, yl)
"""
FORMS = {
    "scaled after it is flattened": AFTER,
    "clamped after it is flattened": CLAMPED,
    "taken after it is flattened": TAKEN_LAST.replace("rows", "points"),
}
MUTANTS = (
    ("starts0 = Mul(numbers, plane)", "starts0 = Mul(numbers, w)"),
    ("rb = Mul(yb, w)", "rb = Mul(yb, h)"),
    ("base = Reshape(spread", "turned = Transpose(spread)\n  base = Reshape(turned"),
    ("wc0 = Mul(nu, v)", "wc0 = Mul(nu, nv)"),
)
SIZES = {
    "static": {"BATCH": "2", "H": "6", "W": "7", "POINTS": "5"},
    "dynamic": {"BATCH": "n", "H": "h", "W": "w", "POINTS": "p"},
}
TWO_AXES = {"BATCH": "2", "H": "6", "W": "7", "POINTS": "4,5"}
each_form = pytest.mark.parametrize("pixels", FORMS.values(), ids=FORMS.keys())
each_size = pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES.keys())


def model(pixels: str, sizes: dict[str, str], change: tuple[str, str] | None = None) -> onnx.ModelProto:
    """The sampler; `change` breaks it."""
    two = "," in sizes["POINTS"]
    text = MODEL.replace("PIXELS", pixels).replace("OUT", OUT).replace("AXIS", "3" if two else "2")
    text = text.replace("FOUR", "four").replace("int64 izero", "int64[1] four = {4}, int64 izero")
    text = text.replace("SPREAD", "spreadsizes" if two else "gridsizes")
    if two:
        text = text.replace("int64 izero", "int64[2] spreadsizes = {2, 20}, int64 izero")
    if change is not None:
        assert text.count(change[0]) == 1, change
        text = text.replace(*change)
    for name, size in sizes.items():
        text = text.replace(f"[{name}", f"[{size}").replace(f",{name}", f",{size}")
    return named(text)


@each_form
@each_size
def test_points_flattened_with_the_batch_are_a_sampler(pixels: str, sizes: dict[str, str]) -> None:
    assert_found(model(pixels, sizes))


@each_form
def test_points_of_two_axes_are_too(pixels: str) -> None:
    assert_found(model(pixels, TWO_AXES))


def assert_found(source: onnx.ModelProto) -> None:
    for lowering in ("merged-gather", "lerp-gather", "row-gather", "plugin"):
        result = optimize(source, lowering=lowering, measure=False)
        assert (result.report.status, result.report.validation.status) == ("optimised", "ok")
        assert [(s.rule, s.policy.border, s.lowering) for s in result.report.sites] == [("GSO001", "border", lowering)]


def test_an_axis_of_all_points_is_split_where_the_output_has_more() -> None:
    """No tensor has the coordinates in two axes: those of [2, 20] are points of an output [2, 4, 5, 3]."""
    source = model(AFTER, TWO_AXES)
    for node in source.graph.node:
        node.ClearField("name")  # the text has none then
    merged = "  ex = Reshape(gx, apart)\n  ey = Reshape(gy, apart)\n  gu = Sin(ex)\n  gv = Sin(ey)\n"
    text = onnx.printer.to_text(source).replace("int64 izero", "int64[2] apart = {2, 20}, int64 izero")
    text = text.replace("   fx = Reshape (gx", merged + "   fx = Reshape (gu").replace(
        "fy = Reshape (gy", "fy = Reshape (gv"
    )
    source = named(text)
    assert_found(source)
    [site] = find(source)
    assert site.x is not None
    assert site.x.split is not None


@each_size
@pytest.mark.parametrize("change", MUTANTS, ids=lambda c: c[1][:24])
def test_its_mutants_are_none(sizes: dict[str, str], change: tuple[str, str]) -> None:
    """Of each form in turn."""
    pixels = [*FORMS.values()][(MUTANTS.index(change) + ("n" in sizes.values())) % len(FORMS)]
    found = find(model(pixels, sizes, change))
    assert not [site for site in found if site.rule == "GSO001"]


CHAIN = '<ir_version: 8, opset_import: ["" : 17]>\n'
CHAIN += "g (float[k,3,5] a, float[3] b, float[n] c, float[1,1,5] b8) => (float[m] y)\n"
MOVED = {
    "numbers": "<float s = {0.7}, int64[1] f = {-1}> { t = Reshape(a, f) u = Mul(t, s) v = Sub(s, u) y = Floor(v) }",
    "bounds": "<float s = {-0.7}, float e = {2}, int64[1] f = {-1}> "
    "{ t = Reshape(a, f) u = Clip(t, s, e) y = Floor(u) }",
    "read elsewhere": "<float s = {3}, int64[1] f = {-1}> "
    "{ t = Reshape(a, f) u = Mul(t, s) v = Floor(u) y = Add(v, t) }",
    "Flatten": "<float[1] s = {3}> { t = Flatten<axis=2>(a) u = Mul(t, s) v = Floor(u) y = Add(v, u) }",
}
TAKEN = "<float s = {3}, int64[2] f = {-1, N}, int64 k = {1}> "
TAKEN += "{ t = Reshape(a, f) g = Gather<axis=1>(t, k) u = Mul(g, s) y = Floor(u) }"
MOVED["one of the last axis"] = TAKEN.replace("N", "5")
KEPT = {
    "one of an axis that was cut": TAKEN.replace("N", "3"),
    "no number": "<int64[2] f = {10, 3}> { t = Reshape(a, f) u = Mul(t, b) y = Floor(u) }",
    "known sizes": "<float s = {3}, int64[3] e = {2, 3, 5}, int64[1] f = {-1}> "
    "{ b9 = Expand(b8, e) t = Reshape(b9, f) u = Mul(t, s) y = Floor(u) }",
    "more axes": "<float s = {3}, int64[4] f = {2, 3, 5, 1}> { t = Reshape(a, f) u = Mul(t, s) y = Floor(u) }",
    "an axis more by what it meets": "<float[1,1,1,1] s = {3}, int64[1] f = {-1}> "
    "{ t = Reshape(a, f) u = Mul(t, s) y = Floor(u) }",
    "no rounding": "<float s = {3}, int64[1] f = {-1}> { t = Reshape(a, f) u = Mul(t, s) y = Exp(u) }",
}


def after(text: str) -> tuple[onnx.ModelProto, onnx.ModelProto, bool]:
    source = named(CHAIN + text)
    graph = Graph.from_proto(source)
    PASSES["infer-shapes"].run(graph)
    changed = PASSES["sink-reshapes"].run(graph)
    assert not PASSES["sink-reshapes"].run(graph)
    graph.remove_dead()
    return source, graph.to_proto(), changed


@pytest.mark.parametrize("text", MOVED.values(), ids=MOVED.keys())
def test_a_reshape_sinks_to_the_rounding(text: str) -> None:
    source, result, changed = after(text)
    assert changed
    inputs = {"a": np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)}
    inputs |= {"b": np.ones(3, np.float32), "c": np.ones(4, np.float32), "b8": np.ones((1, 1, 5), np.float32)}
    np.testing.assert_array_equal(run(result, inputs, ())[0], run(source, inputs, ())[0])
    order = [node.op_type for node in result.graph.node]
    assert max(k for k, op in enumerate(order) if op in ("Reshape", "Flatten")) > min(
        map(order.index, {"Mul", "Clip"} & {*order})
    )


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT.keys())
def test_what_is_not_the_same_elements_stays(text: str) -> None:
    assert not after(text)[2]
