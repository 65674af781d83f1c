"""Samplers in forms that people write: contractions, parts of one read, lerps by cases, factors, sums of samplers."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import onnx
import pytest

from onnxgs_opt import find, optimize
from tests.fixtures.spellings.check import run
from tests.fixtures.text import ADDED, CELL, CLAMPED, CORNERS, NEXT, REST, four

HEAD = """
<ir_version: 8, opset_import: ["" : 17]>
sampler (float[2,3,42] image, float[2,5] x, float[2,5] y, float[2,10] pair, float[2,5] gain, float[2,3,5] more)
 => (float[2,3,5] out)
<float zero = {0}, float half = {0.5}, float one = {1}, float four = {4}, float xl = {6}, float yl = {5},
 float w = {7}, int64[1] k0 = {0}, int64[1] k1 = {1}, int64[1] k2 = {2}, int64[1] k3 = {3}, int64[3] spread = {1, 3, 1},
 int64[4] parted = {2, 3, 4, 5}, int64[4] doubled = {2, 3, 10, 2}, int64[4] squares = {6, 5, 2, 2},
 int64[3] plain = {2, 3, 5}, int64 first = {0}, int64 second = {1}, int64 third = {2}, int64 last = {3},
 int64 five = {5}, int64 six = {6},
 int64[1] k5 = {5}, int64[1] k10 = {10}, float thin = {0.3}, float[3,1] tint = {0.5, -2, 3}>
{
"""
INDICES = (
    NEXT
    + REST
    + CLAMPED
    + four("  f{k} = Add({row}, {column})", ("ra", "rb"), ("xa", "xb"))
    + four("  w{k} = Mul({row}, {column})", ("nv", "v"), ("nu", "u"))
)
FOUR = four(
    """
  i{k} = Cast<to=7>(f{k})
  j{k} = Unsqueeze(i{k}, k1)
  e{k} = Expand(j{k}, spread)
  p{k} = GatherElements<axis=2>(image, e{k})
  q{k} = Unsqueeze(w{k}, k1)
"""
)
ONE = (
    """
  f = Concat<axis=1>(fa, fb, fc, fd)
  i = Cast<to=7>(f)
  j = Unsqueeze(i, k1)
  e = Expand(j, spread)
  p = GatherElements<axis=2>(image, e)
  pp = Reshape(p, parted)
"""
    + four("  s{k} = Unsqueeze(w{k}, k1)")
    + "  ww = Concat<axis=1>(sa, sb, sc, sd)\n"
)
TERMS = four("  t{k} = Mul(p{k}, q{k})")
SUM = TERMS + ADDED


def times(taps: str, factor: str) -> str:
    """The products of taps with a factor of each."""
    scaled = four(f"  t{{k}} = Mul(z{{k}}, {factor})")
    return re.sub(r"\bt([abcd]) =", r"z\1 =", taps) + scaled


def again(text: str) -> str:
    """The same nodes for another sampler: x and y change places, and what is made gets another name."""
    made = {name for names in re.findall(r"^ *([\w, ]+) =", text, re.MULTILINE) for name in names.split(", ")}
    other = {"x": "y", "y": "x"} | {name: f"{name}9" for name in made}
    return re.sub(r"\b\w+\b", lambda word: other.get(word[0], word[0]), text)


@dataclass(frozen=True)
class Form:
    """A way to write border samplers, one-word changes after which one is none, and what the others have beside it."""

    body: str
    mutants: tuple[tuple[str, str], ...]
    beside: tuple[tuple[float, tuple[str, ...], tuple[str, ...]], ...] = ((1, (), ()),)
    head: str = CORNERS
    indices: str = INDICES
    x: str = "x"

    def model(self, change: tuple[str, str] | None = None) -> onnx.ModelProto:
        """The form, or one of its mutants."""
        text = HEAD + self.head + self.indices + self.body + "\n}"
        if change is not None:
            assert text.count(change[0]) == 1, change
            text = text.replace(*change)
        return onnx.parser.parse_model(text)


WEIGHTS = (("wb = Mul(nv, u)", "wb = Mul(nv, nu)"), ("rb = Mul(yb, w)", "rb = Mul(yb, xl)"))
STACK = (
    four("  u{k} = Unsqueeze(p{k}, k3)\n  o{k} = Unsqueeze(w{k}, k2)")
    + """
  values = Concat<axis=3>(ua, ub, uc, ud)
  weights = Concat<axis=2>(oa, ob, oc, od)
  out = Einsum<equation="bcpk,bpk->bcp">(values, weights)
"""
)
LERPS = """
  u1 = Unsqueeze(u, k1)
  v1 = Unsqueeze(v, k1)
  nu1 = Sub(one, u1)
  nv1 = Sub(one, v1)
  nearx = Less(u1, half)
  neary = Less(v1, half)
  dt = Sub(pb, pa)
  dtu = Mul(u1, dt)
  t1 = Add(pa, dtu)
  dtn = Mul(dt, nu1)
  t2 = Sub(pb, dtn)
  t = Where(nearx, t1, t2)
  dl = Sub(pd, pc)
  dlu = Mul(u1, dl)
  l1 = Add(pc, dlu)
  dln = Mul(dl, nu1)
  l2 = Sub(pd, dln)
  l = Where(nearx, l1, l2)
  d = Sub(l, t)
  dv = Mul(v1, d)
  o1 = Add(t, dv)
  dn = Mul(d, nv1)
  o2 = Sub(l, dn)
  out = Where(neary, o1, o2)
"""
PARTS = (
    "  pa, pb, pc, pd = Split<axis=2>(pp)\n"
    + four("  q{k} = Unsqueeze(s{k}, k1)\n  t{k} = Mul(p{k}, q{k})")
    + ADDED.replace("out", "sum")
    + "  out = Squeeze(sum, k2)\n"
)
TAKEN = """
  pa = Gather<axis=2>(pp, first)
  pb = Gather<axis=2>(pp, second)
  pc = Gather<axis=2>(pp, third)
  pd = Gather<axis=2>(pp, last)
""" + four("  q{k} = Unsqueeze(w{k}, k1)")
MEAN = """
  qq = Unsqueeze(ww, k1)
  terms = Mul(pp, qq)
  mean = ReduceMean<axes=[2], keepdims=0>(terms)
  out = Mul(mean, four)
"""
POOLED = """
  qq = Unsqueeze(ww, k1)
  terms = Mul(pp, qq)
  mean = AveragePool<kernel_shape=[4, 1]>(terms)
  flat = Squeeze(mean, k2)
  out = Mul(flat, four)
"""
POOLED_FOUR = (
    four("  u{k} = Unsqueeze(t{k}, k3)")
    + """
  top = Concat<axis=3>(ua, ub)
  bottom = Concat<axis=3>(uc, ud)
  upper = Unsqueeze(top, k3)
  lower = Unsqueeze(bottom, k3)
  cells = Concat<axis=3>(upper, lower)
  grown = Reshape(cells, doubled)
  mean = AveragePool<kernel_shape=[2, 2], strides=[2, 2], auto_pad="VALID">(grown)
  flat = Reshape(mean, plain)
  out = Mul(flat, four)
"""
)
POOLED_ALL = """
  qq = Unsqueeze(ww, k1)
  terms = Mul(pp, qq)
  last4 = Transpose<perm=[0, 1, 3, 2]>(terms)
  windows = Reshape(last4, squares)
  mean = GlobalAveragePool(windows)
  flat = Reshape(mean, plain)
  out = Mul(flat, four)
"""
SEEN = """
  bright = Greater(gain, zero)
  dark = Cast<to=1>(bright)
  seen = Unsqueeze(dark, k1)
"""
SECOND = again(CORNERS + INDICES + FOUR + TERMS)
CHAIN = """
  ha = Add(here, ta9)
  hab = Add(ha, tb9)
  habc = Add(hab, tc9)
  out = Add(habc, td9)
"""
PAIR = """
  floors = Floor(pair)
  px = Slice(pair, k0, k5, k1)
  py = Slice(pair, k5, k10, k1)
  x0 = Slice(floors, k0, k5, k1)
  y0 = Slice(floors, k5, k10, k1)
  u = Sub(px, x0)
  v = Sub(py, y0)
"""
SHIFTED = """
  xf = Floor(x)
  x0 = Sub(xf, one)
  y0 = Floor(y)
  u = Sub(x, xf)
  v = Sub(y, y0)
"""
NOT_OPTIMISED = """
  parts = SplitToSequence<axis=1>(pair, five)
  px = SequenceAt(parts, first)
  py = SequenceAt(parts, second)
  x0 = Floor(px)
  y0 = Floor(py)
  u = Sub(px, x0)
  v = Sub(py, y0)
  low = CastLike(first, px)
  wide = CastLike(six, px)
  high = CastLike(five, py)
"""
FORMS = {
    "four reads": Form(FOUR + SUM, WEIGHTS),
    "einsum of four reads": Form(FOUR + STACK, (*WEIGHTS, ("bcpk,bpk->bcp", "bcpk,bck->bcp"))),
    "einsum of one read": Form(
        ONE + '  out = Einsum<equation="bckp,bkp->bcp">(pp, ww)',
        (*WEIGHTS, ("Concat<axis=1>(fa, fb, fc, fd)", "Concat<axis=1>(fa, fc, fb, fd)")),
    ),
    "mean of one read": Form(ONE + MEAN, WEIGHTS),
    "average pool of one read": Form(
        ONE + POOLED, (*WEIGHTS, ("AveragePool<kernel_shape=[4, 1]>", "MaxPool<kernel_shape=[4, 1]>"))
    ),
    "average pool of four reads": Form(
        FOUR + TERMS + POOLED_FOUR,
        (*WEIGHTS, ("Concat<axis=3>(uc, ud)", "Concat<axis=3>(uc, uc)"), ("AveragePool", "MaxPool")),
    ),
    "global average pool": Form(
        ONE + POOLED_ALL, (*WEIGHTS, ("Transpose<perm=[0, 1, 3, 2]>(terms)", "Identity(terms)"))
    ),
    "one read, split": Form(ONE + PARTS, (*WEIGHTS, ("pa, pb, pc, pd = Split", "pa, pc, pb, pd = Split"))),
    "one read, taken apart": Form(ONE + TAKEN + SUM, (*WEIGHTS, ("int64 third = {2}", "int64 third = {1}"))),
    "a number in every tap": Form(
        FOUR + times(TERMS, "thin") + ADDED,
        (*WEIGHTS, ("tc = Mul(zc, thin)", "tc = Mul(zc, one)")),
        ((0.3, (), ()),),
    ),
    "a factor of the channels in every tap": Form(
        FOUR + times(TERMS, "tint") + ADDED,
        (*WEIGHTS, ("tb = Mul(zb, tint)", "tb = Identity(zb)")),
        ((1, ("tint",), ()),),
    ),
    "attention in every weight": Form(
        FOUR + "  lit = Unsqueeze(gain, k1)\n" + times(TERMS, "lit") + ADDED,
        (*WEIGHTS, ("td = Mul(zd, lit)", "td = Mul(zd, tint)"), ("td = Mul(zd, lit)", "td = Mul(zd, more)")),
        ((1, ("lit",), ()),),
    ),
    "a mask of other data and a number in every weight": Form(
        FOUR + SEEN + times(times(TERMS, "seen").replace("z", "zz"), "thin") + ADDED,
        (*WEIGHTS, ("ta = Mul(za, thin)", "ta = Mul(za, half)")),
        ((0.3, ("seen",), ()),),
    ),
    "what was there before": Form(
        FOUR + TERMS + "  m = Add(more, ta)\n  mb = Add(m, tb)\n  mbc = Add(mb, tc)\n  out = Add(mbc, td)",
        (*WEIGHTS, ("m = Add(more, ta)", "m = Mul(more, ta)")),
        ((1, (), ("more",)),),
    ),
    "two samplers in one chain": Form(
        FOUR + TERMS + ADDED.replace("out", "here") + SECOND + CHAIN, WEIGHTS, ((1, (), ()), (1, (), ("here",)))
    ),
    "two samplers with attention in one chain": Form(
        FOUR
        + "  lit = Unsqueeze(gain, k1)\n"
        + times(TERMS, "lit")
        + ADDED.replace("out", "here")
        + again(CORNERS + INDICES + FOUR + times(TERMS, "more"))
        + CHAIN,
        WEIGHTS,
        ((1, ("lit",), ()), (1, ("more",), ("here",))),
    ),
    "both coordinates in one axis, rounded together": Form(
        FOUR + SUM,
        (*WEIGHTS, ("y0 = Slice(floors, k5, k10, k1)", "y0 = Slice(floors, k0, k5, k1)")),
        head=PAIR,
        x="pair",
    ),
    "pixels counted from another one": Form(FOUR + SUM, (*WEIGHTS, ("u = Sub(x, xf)", "u = Sub(x, x0)")), head=SHIFTED),
    "types and parts as exporters leave them": Form(
        FOUR + SUM,
        (
            *WEIGHTS,
            ("wide = CastLike(six, px)", "wide = CastLike(five, px)"),
            ("py = SequenceAt(parts, second)", "py = SequenceAt(parts, first)"),
        ),
        head=NOT_OPTIMISED + INDICES.replace("zero", "low").replace("xl", "wide").replace("yl", "high"),
        indices="",
        x="px",
    ),
    "lerps by cases": Form(FOUR + LERPS, (("t2 = Sub(pb, dtn)", "t2 = Sub(pa, dtn)"), WEIGHTS[1])),
}
each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())


def feeds(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in model.graph.input}
    return {name: rng.normal(scale=3, size=shape).astype(np.float32) for name, shape in shapes.items()}


@each_form
def test_every_sampler_is_found(form):
    sites = find(form.model())
    for site, (scale, factors, addends) in zip(sites, form.beside, strict=True):
        assert (site.rule, site.policy.name, site.coordinates) == ("GSO001", "border", "pixel")
        assert (site.image.tensor, float(site.affine.scale)) == ("image", pytest.approx(scale))
        assert tuple(view.tensor for view in site.affine.factors) == factors
        assert tuple(view.tensor for view in site.affine.addends) == addends
    assert sites[0].coordinate_views[0].tensor == form.x


@each_form
def test_it_is_lowered_and_proven(form):
    for lowering in ("merged-gather", "plugin"):
        result = optimize(form.model(), lowering=lowering, measure=False)
        assert (result.report.status, result.report.validation.status) == ("optimised", "ok")
        assert [site.lowering for site in result.report.sites] == [lowering] * len(form.beside)
        reads = sum(node.op_type == "GatherElements" for node in result.model.graph.node)
        assert reads == (len(form.beside) if lowering == "merged-gather" else 0)
        [before], [after] = (run(model, feeds(form.model()), ()) for model in (form.model(), result.model))
        np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("form", "change"), [(f, c) for f in FORMS.values() for c in f.mutants])
def test_its_mutants_are_none(form, change):
    broken = find(form.model(change))
    assert len(broken) < len(form.beside)


GUARDS = {
    "no number": "  bad = IsNaN(x)\n  xs = Where(bad, zero, x)",
    "no number, taken after the clamp": "  xm = Min(x, xl)\n  bad = IsNaN(xm)\n  xs = Where(bad, zero, xm)",
    "infinite": "  bad = IsInf(x)\n  xs = Where(bad, half, x)",
    "not finite": "  i = IsInf(x)\n  n = IsNaN(x)\n  bad = Or(i, n)\n  fine = Not(bad)\n  xs = Where(fine, x, zero)",
    "equal to infinity": "  bad = Equal(x, infinity)\n  xs = Where(bad, xl, x)",
    "less than infinity": "  fine = Less(x, infinity)\n  xs = Where(fine, x, xl)",
    "unlike itself": "  same = Equal(x, x)\n  xs = Where(same, x, zero)",
}


def guarded(head: str, body: str) -> onnx.ModelProto:
    """A form behind nodes that ask whether its numbers are finite."""
    model = onnx.parser.parse_model(HEAD + head + INDICES + body + "\n}")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(np.inf), "infinity"))
    return model


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS.keys())
def test_coordinates_are_taken_for_finite_numbers(guard):
    model = guarded(guard + CORNERS.replace("(x", "(xs"), FOUR + SUM)
    [site] = find(model)
    assert (site.rule, site.policy.name, site.output) == ("GSO001", "border", "out")
    result = optimize(model, lowering="merged-gather", measure=False)
    assert (result.report.status, result.report.validation.status) == ("optimised", "ok")


@pytest.mark.parametrize("op", ["IsNaN", "IsInf"])
def test_samples_and_factors_are_not(op):
    """A pixel may be no number, and what guards its sample stays."""
    after = f"  bad = {op}(safe)\n  out = Where(bad, zero, safe)"
    [site] = find(guarded(CORNERS, FOUR + SUM.replace("out", "safe") + after))
    assert site.output == "safe"
    before = f"  bad = {op}(gain)\n  lit0 = Where(bad, zero, gain)\n  lit = Unsqueeze(lit0, k1)\n"
    [site] = find(guarded(CORNERS, FOUR + before + times(TERMS, "lit") + ADDED))
    assert [view.tensor for view in site.affine.factors] == ["lit"]


BATCHES = (
    """
<ir_version: 8, opset_import: ["" : 17]>
batches (INPUTS) => (float[o,p,c] out)
<float zero = {0}, float one = {1}, int64 first = {0}, int64 second = {1}, int64 third = {2}, int64 many = {3},
 int64[1] k2 = {2}, int64[2] k12 = {1, 2}, int64[1] down = {-1}, int64[2] column = {-1, 1}>
{
  x = Gather<axis=2>(points, first)
  y = Gather<axis=2>(points, second)
  sizes = Shape(image)
  h = Gather(sizes, second)
  w = Gather(sizes, third)
  c = Gather(sizes, many)
  hf = Cast<to=1>(h)
  wf = Cast<to=1>(w)
  yl = Sub(hf, one)
  xl = Sub(wf, one)
"""
    + CELL
    + """
  xc = Clip(x0, zero, xl)
  xd = Clip(x1, zero, xl)
  yc = Clip(y0, zero, yl)
  yd = Clip(y1, zero, yl)
  xa = Cast<to=7>(xc)
  xb = Cast<to=7>(xd)
  ya = Cast<to=7>(yc)
  yb = Cast<to=7>(yd)
  counted = Shape(points)
  items = Gather(counted, first)
  each = Range(first, items, second)
  tall = Reshape(each, column)
"""
)
FLAT = """
  c1 = Unsqueeze(c, first)
  flat = Concat<axis=0>(down, c1)
  line = Reshape(image, flat)
  plane = Mul(h, w)
  starts = Mul(tall, plane)
  ma = Mul(ya, w)
  mb = Mul(yb, w)
  r0 = Add(ma, starts)
  r1 = Add(mb, starts)
""" + four("i{k} = Add({row}, {column})\n p{k} = Gather<axis=0>(line, i{k})", ("r0", "r1"), ("xa", "xb"))
ALONG = """
  zeros = Sub(xa, xa)
  item = Add(zeros, tall)
  nn = Unsqueeze(item, k2)
""" + four(
    "ux{k} = Unsqueeze({column}, k2)\n uy{k} = Unsqueeze({row}, k2)\n i{k} = Concat<axis=2>(nn, uy{k}, ux{k})\n"
    "p{k} = GatherND(image, i{k})",
    ("ya", "yb"),
    ("xa", "xb"),
)
SUMMED = (
    REST + four("w{k} = Mul({row}, {column})\n q{k} = Unsqueeze(w{k}, k2)", ("nv", "v"), ("nu", "u")) + TERMS + ADDED
)
IMAGE, POINTS = "float[n,h,w,c] image", "float[m,p,2] points"


@pytest.mark.parametrize("inputs", [(IMAGE, POINTS), (POINTS, IMAGE)], ids=["image first", "points first"])
@pytest.mark.parametrize("reads", [FLAT, ALONG], ids=["one axis", "an axis of items"])
def test_batches_of_two_names_are_one(reads, inputs):
    """The items are counted along the points, and read of the image: there are as many, or the model fails."""
    model = onnx.parser.parse_model(BATCHES.replace("INPUTS", ", ".join(inputs)) + reads + SUMMED + "\n}")
    [site] = find(model)
    assert (site.rule, site.policy.name, site.batch, site.image.tensor) == ("GSO001", "border", None, "image")
    result = optimize(model, lowering="merged-gather", measure=False)
    assert (result.report.status, result.report.validation.status) == ("optimised", "ok")


ON_GRIDS = (
    """
<ir_version: 8, opset_import: ["" : 17]>
flows (float[n,h,w,3] image, float[n,h,w,2] flow) => (float[n,h,w,3] out)
<float one = {1}, int64 zero = {0}, int64 first = {0}, int64 second = {1}, int64 third = {2}, int64 by = {1},
 int64[1] k0 = {0}, int64[1] k1 = {1}, int64[1] k3 = {3}>
{
  fx = Gather<axis=3>(flow, first)
  fy = Gather<axis=3>(flow, second)
  sizes = Shape(image)
  h = Gather(sizes, second)
  w = Gather(sizes, third)
  counted = Range(first, w, second)
  columns = Mul(counted, by)
  lines = Range(first, h, second)
  rows = Unsqueeze(lines, k1)
  yl = Sub(h, second)
  xl = Sub(w, second)
  xf = Floor(fx)
  yf = Floor(fy)
  u = Sub(fx, xf)
  v = Sub(fy, yf)
  xi = Cast<to=7>(xf)
  yi = Cast<to=7>(yf)
  xn = Add(xi, columns)
  yn = Add(yi, rows)
  xm = Add(xn, second)
  ym = Add(yn, second)
  xc = Max(xn, zero)
  xd = Max(xm, zero)
  yc = Max(yn, zero)
  yd = Max(ym, zero)
  xa = Min(xc, xl)
  xb = Min(xd, xl)
  ya = Min(yc, yl)
  yb = Min(yd, yl)
"""
    + four(
        "ux{k} = Unsqueeze({column}, k3)\n uy{k} = Unsqueeze({row}, k3)\n i{k} = Concat<axis=3>(uy{k}, ux{k})\n"
        "p{k} = GatherND<batch_dims=1>(image, i{k})",
        ("ya", "yb"),
        ("xa", "xb"),
    )
    + SUMMED.replace("k2", "k3")
    + "}"
)


def on_grid(text: str, static: bool) -> onnx.ModelProto:
    """Samplers at distances from where the points stand."""
    return onnx.parser.parse_model(text.replace("[n,h,w", "[2,6,7") if static else text)


@pytest.mark.parametrize("static", [True, False], ids=["static", "dynamic"])
@pytest.mark.parametrize("step", [1, 2])
def test_a_grid_that_is_added_after_the_floor_is_of_the_coordinate(step, static):
    model = on_grid(ON_GRIDS.replace("by = {1}", f"by = {{{step}}}"), static)
    [site] = find(model)
    assert (site.rule, site.policy.name, site.image.tensor) == ("GSO001", "border", "image")
    assert [view.steps for view in (site.x, site.y)] == [(0, 0, step), (0, 1, 0)]
    for lowering in ("merged-gather", "row-gather", "plugin"):
        result = optimize(model, lowering=lowering, measure=False)
        assert (result.report.status, result.report.validation.status) == ("optimised", "ok")


@pytest.mark.parametrize(
    "change", [("xm = Add(xn, second)", "xm = Add(xi, second)"), ("ym = Add(yn, second)", "ym = Add(yi, rows)")]
)
def test_another_grid_for_some_corners_is_of_none(change):
    assert ON_GRIDS.count(change[0]) == 1
    assert all(site.kind != "bilinear" for site in find(on_grid(ON_GRIDS.replace(*change), static=True)))


GRID = """
<ir_version: 8, opset_import: ["" : 17]>
grid (float[3,6,7] image, float[5] x, float[4] y) => (float[3,4,5] out)
<float zero = {0}, int64 one = {1}, float unit = {1}, float xl = {6}, float yl = {5}, int64 xm = {6}, int64 ym = {5},
 int64[1] k0 = {0}, int64[1] k1 = {1}>
{
  xc = Clip(x, zero, xl)
  yc = Clip(y, zero, yl)
  x0 = Floor(xc)
  y0 = Floor(yc)
  xa = Cast<to=7>(x0)
  ya = Cast<to=7>(y0)
  xn = Add(xa, one)
  yn = Add(ya, one)
  xb = Min(xn, xm)
  yb = Min(yn, ym)
  u = Sub(xc, x0)
  v0 = Sub(yc, y0)
  v = Unsqueeze(v0, k1)
  nu = Sub(unit, u)
  nv = Sub(unit, v)
  upper = Gather<axis=1>(image, ya)
  lower = Gather<axis=1>(image, yb)
"""
ROWS_FIRST = """
  a = Mul(upper, nv)
  b = Mul(lower, v)
  rows = Add(a, b)
  left = Gather<axis=2>(rows, xa)
  right = Gather<axis=2>(rows, xb)
  c = Mul(left, nu)
  d = Mul(right, u)
  out = Add(c, d)
}
"""
COLUMNS_OF_ROWS = """
  p = Gather<axis=2>(upper, xa)
  q = Gather<axis=2>(upper, xb)
  r = Gather<axis=2>(lower, xa)
  s = Gather<axis=2>(lower, xb)
  p1 = Mul(p, nu)
  q1 = Mul(q, u)
  r1 = Mul(r, nu)
  s1 = Mul(s, u)
  top = Add(p1, q1)
  bottom = Add(r1, s1)
  top1 = Mul(top, nv)
  bottom1 = Mul(bottom, v)
  out = Add(top1, bottom1)
}
"""
each_grid = pytest.mark.parametrize("body", [ROWS_FIRST, COLUMNS_OF_ROWS], ids=["rows first", "columns of rows"])


@each_grid
def test_rows_and_columns_of_their_own_are_one_sampler(body):
    """x is the same in every row and y in every column; rows may be put together before their columns are read."""
    model = onnx.parser.parse_model(GRID + body)
    [site] = find(model)
    assert (site.policy.name, site.image_size, site.sample_size) == ("border", (6, 7), (4, 5))
    result = optimize(model, lowering="merged-gather", measure=False)
    assert (result.report.status, result.report.validation.status) == ("optimised", "ok")
    assert sum(node.op_type in ("Gather", "GatherElements") for node in result.model.graph.node) == 1


@each_grid
@pytest.mark.parametrize("change", [("v = Uns", "w = Uns"), ("xb = Min(xn, xm)", "xb = Min(xn, ym)")])
def test_rows_and_columns_that_do_not_fit_are_none(body, change):
    text = GRID.replace(*change).replace(
        "nv = Sub(unit, v)", "v = Mul(w, w)\n  nv = Sub(unit, v)" if "w =" in change[1] else "nv = Sub(unit, v)"
    )
    found = find(onnx.parser.parse_model(text + body))  # what is right along one axis is a sampler of that axis
    assert all(len(site.kernels) == 1 for site in found)
