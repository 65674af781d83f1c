"""Images that are repeated or mirrored by remainders of the index, wherever the coordinate is."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from onnxgs_opt import find, optimize
from tests.fixtures.spellings.check import run
from tests.fixtures.text import ADDED, CORNERS, four
from tests.fixtures.truth import site_gap

HEAD = (
    """
<ir_version: 8, opset_import: ["" : 17]>
sampler (float[3,H,W] image, float[4,5] x, float[4,5] y) => (float[3,4,5] out)
<float fone = {1}, int64 zero = {0}, int64 one = {1}, int64 two = {2}, int64 far = {100}, float half = {0.5},
 int64[1] k1 = {1}, int64[1] k2 = {2}, int64[1] k3 = {3}, int64[2] rows = {3, -1}>
{
  sizes = Shape(image)
  h1 = Slice(sizes, k1, k2)
  w1 = Slice(sizes, k2, k3)
  ny = Squeeze(h1)
  nx = Squeeze(w1)
  ly = Sub(ny, one)
  lx = Sub(nx, one)
  py = Mul(ly, two)
  px = Mul(lx, two)
  wy = Mul(ny, two)
  wx = Mul(nx, two)
"""
    + CORNERS
    + """
  nu = Sub(fone, u)
  nv = Sub(fone, v)
  xi = Cast<to=7>(x0)
  yi = Cast<to=7>(y0)
  xj = Add(xi, one)
  yj = Add(yi, one)
  line = Reshape(image, rows)
"""
)
READS = four(
    """
  r{k} = Mul({row}, nx)
  f{k} = Add(r{k}, {column})
  q{k} = Gather<axis=1>(line, f{k})
""",
    ("ya", "yb"),
    ("xa", "xb"),
)
REST = (
    READS
    + four("  w{k} = Mul({row}, {column})", ("nv", "v"), ("nu", "u"))
    + four("  t{k} = Mul(q{k}, w{k})")
    + ADDED
    + "}"
)
DIVIDED = """
  {a}{k}d = Div({a}{i}, n{a})
  {a}{k}m = Mul({a}{k}d, n{a})
  {a}{k}r = Sub({a}{i}, {a}{k}m)
  {a}{k}n = Less({a}{k}r, zero)
  {a}{k}p = Add({a}{k}r, n{a})
  {a}{k} = Where({a}{k}n, {a}{k}p, {a}{k}r)
"""
IN_FLOATS = """
  {a}{k}f = Cast<to=1>({a}{i})
  {a}{k}w = Cast<to=1>(n{a})
  {a}{k}q = Div({a}{k}f, {a}{k}w)
  {a}{k}d = Floor({a}{k}q)
  {a}{k}m = Mul({a}{k}d, {a}{k}w)
  {a}{k}r = Sub({a}{k}f, {a}{k}m)
  {a}{k} = Cast<to=7>({a}{k}r)
"""
REFLECTED = """
  {a}{k}s = Add({a}{i}, l{a})
  {a}{k}r = Mod({a}{k}s, p{a})
  {a}{k}c = Sub({a}{k}r, l{a})
  {a}{k} = Abs({a}{k}c)
"""
REFLECTED_BY_CASES = """
  {a}{k}r = Mod({a}{i}, p{a})
  {a}{k}b = Sub(p{a}, {a}{k}r)
  {a}{k}o = Greater({a}{k}r, l{a})
  {a}{k} = Where({a}{k}o, {a}{k}b, {a}{k}r)
"""
REFLECTED_FROM_ZERO = """
  {a}{k}s = Abs({a}{i})
  {a}{k}r = Mod<fmod=1>({a}{k}s, p{a})
  {a}{k}b = Sub(p{a}, {a}{k}r)
  {a}{k} = Min({a}{k}r, {a}{k}b)
"""
SYMMETRIC = """
  {a}{k}r = Mod({a}{i}, w{a})
  {a}{k}l = Sub(w{a}, one)
  {a}{k}b = Sub({a}{k}l, {a}{k}r)
  {a}{k} = Min({a}{k}r, {a}{k}b)
"""
REPEATED = "  {a}{k} = Mod({a}{i}, n{a})\n"
ROUNDED = """
  {a}{k}f = Cast<to=1>({a}{i})
  {a}{k}e = Add({a}{k}f, half)
  {a}{k}w = Cast<to=1>(w{a})
  {a}{k}q = Div({a}{k}e, {a}{k}w)
  {a}{k}d = Floor({a}{k}q)
  {a}{k}m = Mul({a}{k}d, {a}{k}w)
  {a}{k}r = Sub({a}{k}e, {a}{k}m)
  {a}{k}z = Cast<to=1>(n{a})
  {a}{k}s = Sub({a}{k}r, {a}{k}z)
  {a}{k}b = Abs({a}{k}s)
  {a}{k}g = Sub({a}{k}z, {a}{k}b)
  {a}{k}h = Sub({a}{k}g, half)
  {a}{k}o = Round({a}{k}h)
  {a}{k} = Cast<to=7>({a}{k}o)
"""
TWICE = """
  {a}{k}t = Mod({a}{i}, w{a})
  {a}{k} = Mod({a}{k}t, n{a})
"""


def text(rule: str, size: str = "6,7", rows: str = "") -> str:
    """The sampler whose indices are made by a rule, for each corner {i} of axis {a} under the name {a}{k}.

    `rows` is the rule of y where that is another one.
    """
    rules = {"x": rule, "y": rows or rule}
    made = "".join(rules[a].format(a=a, k=k, i=i) for a in "xy" for k, i in (("a", "i"), ("b", "j")))
    return HEAD.replace("H,W", size) + made + REST


FORMS = {
    "remainder": (REPEATED, "wrap"),
    "remainder by a quotient that rounds to zero": (DIVIDED, "wrap"),
    "remainder in floats": (IN_FLOATS, "wrap"),
    "remainder of twice, then of once": (TWICE, "wrap"),
    "distance from the last": (REFLECTED, "reflection"),
    "mirrored by cases": (REFLECTED_BY_CASES, "reflection"),
    "mirrored about zero first": (REFLECTED_FROM_ZERO, "reflection"),
    "mirrored about the edges": (SYMMETRIC, "symmetric"),
    "mirrored about the edges, then rounded": (ROUNDED, "symmetric"),
}


def feeds(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    x, y = (rng.uniform(-40, 40, (4, 5)).astype(np.float32) for _ in "xy")
    x[0], y[:, 0] = (-1, 0, 6, 7, 13.5), (-6, 5, 10.25, 12)
    dims = [d.dim_value or 9 for d in model.graph.input[0].type.tensor_type.shape.dim]
    return {"image": rng.normal(size=dims).astype(np.float32), "x": x, "y": y}


@pytest.mark.parametrize("size", ["6,7", "h,w"])
@pytest.mark.parametrize(("rule", "border"), FORMS.values(), ids=FORMS.keys())
def test_the_border_is_proven_everywhere(rule, border, size):
    model = onnx.parser.parse_model(text(rule, size))
    [site] = find(model)
    assert (site.rule, site.policy.border, site.policy.window) == ("GSO001", border, "all")
    everywhere = site_gap(model, site, feeds(model), lambda x, y: np.ones(np.broadcast_shapes(x.shape, y.shape), bool))
    assert everywhere < 1e-5


@pytest.mark.parametrize(
    ("rule", "size"),
    [(REPEATED, "h,w"), (DIVIDED, "6,7"), (REFLECTED_BY_CASES, "6,7"), (SYMMETRIC, "6,7")],
    ids=["repeated, any size", "repeated", "reflection", "symmetric"],
)
def test_it_is_lowered_and_proven(rule, size):
    model = onnx.parser.parse_model(text(rule, size))
    for lowering in ("merged-gather", "plugin"):
        result = optimize(model, lowering=lowering, measure=False)
        assert (result.report.status, result.report.validation.status) == ("optimised", "ok"), lowering
        assert [site.lowering for site in result.report.sites] == [lowering]
        [before], [after] = (run(m, feeds(model), ()) for m in (model, result.model))
        np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4)


ROWS = (
    ("ya = Mod(yi, ny)", "yc = Max(yi, zero)\n  ya = Min(yc, ly)"),
    ("yb = Mod(yj, ny)", "yd = Max(yj, zero)\n  yb = Min(yd, ly)"),
)


@pytest.mark.parametrize("size", ["6,7", "h,w"])
def test_a_panorama_is_a_cylinder(size):
    """Its columns are repeated, its rows are not."""
    whole = text(REPEATED, size)
    for change in ROWS:
        whole = whole.replace(*change)
    model = onnx.parser.parse_model(whole)
    for lowering in ("merged-gather", "plugin"):
        result = optimize(model, lowering=lowering, measure=False)
        (site,) = result.report.sites
        assert (site.lowering, site.policy.border) == (lowering, "cylinder")
        [before], [after] = (run(m, feeds(model), ()) for m in (model, result.model))
        np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4)
        assert optimize(result.model, check=True, measure=False).report.near_misses == ()
    other = whole.replace("yb = Min(yd, ly)", "yb = Min(yd, lx)")
    assert all(site.kind != "bilinear" for site in find(onnx.parser.parse_model(other)))


BORDERED = "  {a}{k}t = Max({a}{i}, zero)\n  {a}{k} = Min({a}{k}t, l{a})\n"


@pytest.mark.parametrize("size", ["6,7", "h,w"])
@pytest.mark.parametrize(
    ("rows", "columns", "border"),
    [
        (REPEATED, BORDERED, "wrap x border"),
        (BORDERED, REFLECTED_BY_CASES, "border x reflection"),
        (SYMMETRIC, REPEATED, "symmetric x wrap"),
    ],
    ids=lambda rule: rule if " x " in rule else "",
)
def test_each_axis_may_have_a_border_of_its_own(rows: str, columns: str, border: str, size: str) -> None:
    model = onnx.parser.parse_model(text(columns, size, rows))
    for lowering in ("merged-gather", "plugin", "grid-sample"):
        result = optimize(model, lowering=lowering, measure=False, shapes={"image": (3, 9, 9)} if "h" in size else None)
        assert [(site.lowering, site.policy.border) for site in result.report.sites] == [(lowering, border)]
        [before], [after] = (run(m, feeds(model), ()) for m in (model, result.model))
        np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4)


MUTANTS = {
    "one row short": (REPEATED, ("ya = Mod(yi, ny)", "ya = Mod(yi, ly)")),
    "the next of the mirrored one": (REFLECTED, ("xb = Abs(xbc)", "xb = Add(xa, one)")),
    "twice the size about the centres": (REFLECTED_BY_CASES, ("px = Mul(lx, two)", "px = Mul(nx, two)")),
    "mirrored about the centres on one side": (SYMMETRIC, ("xal = Sub(wx, one)", "xal = Identity(wx)")),
    "each second image upside down": (REPEATED, ("ya = Mod(yi, ny)", "yt = Mod(yi, wy)\n  ya = Min(yt, ly)")),
    "another rule from pixel 100 on": (
        REPEATED,
        ("xa = Mod(xi, nx)", "xo = Greater(xi, far)\n  xt = Mod(xi, nx)\n  xa = Where(xo, zero, xt)"),
    ),
    "another rule before pixel -100": (
        REPEATED,
        ("xa = Mod(xi, nx)", "xf = Neg(far)\n  xo = Less(xi, xf)\n  xt = Mod(xi, nx)\n  xa = Where(xo, zero, xt)"),
    ),
    "one period taken off, no more": (
        REPEATED,
        ("xa = Mod(xi, nx)", "xo = GreaterOrEqual(xi, nx)\n  xt = Sub(xi, nx)\n  xa = Where(xo, xt, xi)"),
    ),
    "repeated along one axis, mirrored along the other": (REPEATED, ("yb = Mod(yj, ny)", "yb = Mod(ly, ny)")),
    "half a pixel is rounded to the even one": (ROUNDED, ("xah = Sub(xag, half)", "xah = Identity(xag)")),
    "weights of another period": (REPEATED, ("u = Sub(x, x0)", "u0 = Sub(x, x0)\n  u = Mul(u0, half)")),
}


@pytest.mark.parametrize(("rule", "change"), MUTANTS.values(), ids=MUTANTS.keys())
def test_what_is_another_function_somewhere_is_none(rule, change):
    whole = text(rule)
    assert whole.count(change[0]) == 1
    assert not find(onnx.parser.parse_model(whole.replace(*change)))


REMAINDER = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[W] line, float[P] x) => (float[P] out)
<int64 zero = {0}, int64 one = {1}, float none = {0}>
{
  sizes = Shape (line)
  w = Squeeze (sizes)
  wf = Cast <to = 1> (w)
  turns = Div (x, wf)
  whole = Floor (turns)
  full = Mul (whole, wf)
  rest = Sub (x, full)
  q = Clip (rest, none, wf)
  low = Floor (q)
  u = Sub (q, low)
  i0 = Cast <to = 7> (low)
  past = Less (i0, w)
  less = Sub (i0, w)
  i = Where (past, i0, less)
  j0 = Add (i, one)
  more = Less (j0, w)
  j = Where (more, j0, zero)
  a = Gather (line, i)
  b = Gather (line, j)
  d = Sub (b, a)
  e = Mul (d, u)
  out = Add (a, e)
}
"""


@pytest.mark.parametrize("size", ["9", "w"])
def test_a_remainder_that_floats_round_up_to_the_size_is_read_as_the_first_pixel(size: str) -> None:
    """Its coordinate is the remainder, which at no size has a whole turn added."""
    source = onnx.parser.parse_model(REMAINDER.replace("W]", f"{size}]").replace("P]", "p]"))
    result = optimize(source, lowering="merged-gather", require_match=1, measure=False)
    [site] = result.report.sites
    assert (site.rule, site.policy.border) == ("GSO005", "wrap")
    feeds = {"line": np.random.default_rng(0).normal(size=9).astype(np.float32)}
    feeds["x"] = np.array([-1e-9, -0.25, -9, 0, 8, 8.5, 9, 17.75, 26.999998, -31.5], np.float32)
    np.testing.assert_allclose(run(result.model, feeds), run(source, feeds), rtol=1e-5, atol=1e-5)
