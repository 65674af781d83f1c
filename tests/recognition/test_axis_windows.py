"""Windows of one axis: neighbours that ranges, slices, convolutions, pooling or differences put beside each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import onnx.parser
import pytest

from onnxgs_opt import find, optimize
from tests.fixtures.spellings.check import run

HEAD = """
<ir_version: 8, opset_import: ["" : 17]>
sampler (float[3,W] rows, float[T] t) => (float[3,T] out)
<float zero = {0}, float one = {1}, int64 none = {0}, int64 next = {1}, int64[1] k0 = {0},
 int64[1] k1 = {1}, int64[1] k2 = {2}, int64[1] k3 = {3}, int64[1] k4 = {4}, int64[1] k6 = {6}, int64[1] k8 = {8},
 int64[1] k10 = {10}, int64[1] down = {-1}, int64[1] end = {9223372036854775807},
 int64[2] pair = {0, 1}, int64[3] lone = {3, 1, -1}, int64[3] single = {1, 1, -1},
 int64[2] flat = {3, -1}, float[2,1,2] sides = {1, 0, 0, 1}, float[1,1,2] step = {-1, 1},
 float[1,1,2] both = {1, 1}, int64[1] short = {-2}, float two = {2}, float three = {3}>
{
  shape = Shape(rows)
  width = Gather(shape, next)
  last = Sub(width, next)
  before = Sub(last, next)
  end_of_rows = Cast<to=1>(last)
  last_cell = Cast<to=1>(before)
"""
CELL = """
  c = Clip(t, zero, end_of_rows)
  f = Floor(c)
  g = Min(f, last_cell)
  u = Sub(c, g)
  nu = Sub(one, u)
  i = Cast<to=7>(g)
"""
WEIGHED = """
  cells = Gather<axis=1>(windows, i)
  first = Unsqueeze(nu, k1)
  other = Unsqueeze(u, k1)
  weights = Concat<axis=1>(first, other)
  terms = Mul(cells, weights)
  out = ReduceSum<keepdims=0>(terms, k2)
"""
STEP = """
  a = Gather<axis=1>(rows, i)
  d = Gather<axis=1>(rise, i)
  more = Mul(d, u)
  out = Add(a, more)
"""
TERMS = """
  ta = Mul(a, nu)
  tb = Mul(b, u)
"""
LERP = (
    """
  a = Gather<axis=1>(rows, i)
  b = Gather<axis=1>(rows, j)
"""
    + TERMS
)
SUM = "  out = Add(ta, tb)\n"
PARTS = """
  f = Floor(t)
  u = Sub(t, f)
  nu = Sub(one, u)
  h = Cast<to=7>(f)
"""
BOTH = (
    PARTS
    + """
  hn = Add(h, next)
  left = Unsqueeze(h, k1)
  right = Unsqueeze(hn, k1)
  wanted = Concat<axis=1>(left, right)
"""
)
HELD = """
  held = Max(wanted, none)
  inside = Min(held, last)
"""
PAIRS = """
  places = Reshape(inside, down)
  taken = Gather<axis=1>(rows, places)
  first = Unsqueeze(nu, k1)
  other = Unsqueeze(u, k1)
  weights = Concat<axis=1>(first, other)
  row = Reshape(weights, down)
"""
SLICES = "".join(f"  s{k} = Slice(rows, k{k}, k{k + 2}, k1)\n  p{k} = Unsqueeze(s{k}, k1)\n" for k in range(3))


@dataclass(frozen=True)
class Form:
    """A way to sample rows linearly, its border, and one-word changes after which it does not."""

    body: str
    mutants: tuple[tuple[str, str], ...]
    border: str = "border"
    width: int | None = None

    def model(self, change: tuple[str, str] | None = None, free: bool = False) -> onnx.ModelProto:
        """The form, or one of its mutants, with fixed sizes or, where it has no `width` of its own, `free` ones."""
        head = HEAD if free else HEAD.replace("[3,W]", f"[3,{self.width or 12}]").replace("T]", "5]")
        text = head + self.body + "}"
        if change is not None:
            assert text.count(change[0]) == 1, change
            text = text.replace(*change)
        return onnx.parser.parse_model(text)


ORDER = ("Concat<axis=1>(first, other)", "Concat<axis=1>(other, first)")
FORMS = {
    "a range and its windows": Form(
        """
  starts = Range(none, last, next)
  column = Unsqueeze(starts, k1)
  places = Add(column, pair)
  windows = Gather<axis=1>(rows, places)
"""
        + CELL
        + WEIGHED,
        (
            ORDER,
            ("pair = {0, 1}", "pair = {1, 0}"),
            ("pair = {0, 1}", "pair = {0, 0}"),
            ("(column, pair)", "(pair, pair)"),
        ),
    ),
    "a slice for every window": Form(
        SLICES + "  windows = Concat<axis=1>(p0, p1, p2)\n" + CELL + WEIGHED,
        (ORDER, ("(p0, p1, p2)", "(p0, p2, p1)"), ("(p0, p1, p2)", "(p0, p1, p1)"), ("(p0, p1, p2)", "(p2, p1, p0)")),
        width=4,
    ),
    "a convolution with one weight a channel": Form(
        "  lone_rows = Reshape(rows, lone)\n  moved = Conv<kernel_shape=[2]>(lone_rows, sides)\n"
        "  windows = Transpose<perm=[0, 2, 1]>(moved)\n" + CELL + WEIGHED,
        (ORDER, ("{1, 0, 0, 1}", "{0, 1, 1, 0}"), ("{1, 0, 0, 1}", "{1, 0, 0, 2}"), ("{1, 0, 0, 1}", "{1, 0, 1, 1}")),
    ),
    "differences": Form(
        "  high = Slice(rows, k1, end, k1)\n  low = Slice(rows, k0, down, k1)\n  rise = Sub(high, low)\n" + CELL + STEP,
        (("Sub(high, low)", "Sub(low, high)"), ("Sub(high, low)", "Add(high, low)"), ("Mul(d, u)", "Mul(d, nu)")),
    ),
    "differences by a convolution": Form(
        "  lone_rows = Reshape(rows, lone)\n  change = Conv<kernel_shape=[2]>(lone_rows, step)\n"
        "  rise = Reshape(change, flat)\n" + CELL + STEP,
        (
            ("step = {-1, 1}", "step = {1, -1}"),
            ("[1,1,2] step = {-1, 1}", "[1,1,2] step = {-1, 2}"),
            ("Mul(d, u)", "Mul(d, nu)"),
        ),
    ),
    "slopes and intercepts": Form(
        """
  high = Slice(rows, k1, end, k1)
  low = Slice(rows, k0, down, k1)
  rise = Sub(high, low)
  starts = Range(none, last, next)
  at = Cast<to=1>(starts)
  run = Mul(rise, at)
  base = Sub(low, run)
"""
        + CELL
        + """
  a = Gather<axis=1>(base, i)
  d = Gather<axis=1>(rise, i)
  more = Mul(d, c)
  out = Add(a, more)
""",
        (("Sub(low, run)", "Sub(high, run)"), ("Mul(d, c)", "Mul(d, u)"), ("Sub(low, run)", "Add(low, run)")),
    ),
    "rows turned by one": Form(
        """
  rest = Slice(rows, k1, end, k1)
  start = Slice(rows, k0, k1, k1)
  turned = Concat<axis=1>(rest, start)
"""
        + PARTS
        + """
  i = Mod(h, width)
  a = Gather<axis=1>(rows, i)
  b = Gather<axis=1>(turned, i)
"""
        + TERMS
        + SUM,
        (
            ("(rest, start)", "(start, rest)"),
            ("rows, k0, k1, k1)", "rows, k1, k2, k1)"),
            ("Mod(h, width)", "Mod(h, last)"),
        ),
        "wrap",
    ),
    "a margin put around": Form(
        """
  start = Slice(rows, k0, k1, k1)
  stop = Slice(rows, down, end, k1)
  wide = Concat<axis=1>(start, rows, stop)
"""
        + """
  q = Clip(t, zero, end_of_rows)
  f = Floor(q)
  u = Sub(q, f)
  nu = Sub(one, u)
  h = Cast<to=7>(f)
  hn = Add(h, next)
  j = Add(hn, next)
  a = Gather<axis=1>(wide, hn)
  b = Gather<axis=1>(wide, j)
"""
        + TERMS
        + SUM,
        (
            ("(start, rows, stop)", "(start, stop, rows)"),
            ("Mul(b, u)", "Mul(b, nu)"),
            ("(start, rows, stop)", "(rows, start, stop)"),
        ),
    ),
    "a mask of the larger of two": Form(
        BOTH
        + HELD
        + """
  low = Less(wanted, none)
  high = Greater(wanted, last)
  out_of = Or(low, high)
  bad = Cast<to=1>(out_of)
  line = Reshape(bad, single)
  worst = MaxPool<kernel_shape=[2], strides=[2]>(line)
  any_bad = Reshape(worst, down)
  good = Sub(one, any_bad)
  i = Gather<axis=1>(inside, none)
  j = Gather<axis=1>(inside, next)
"""
        + LERP
        + "  sum = Add(ta, tb)\n  out = Mul(sum, good)\n",
        (
            ("Less(wanted, none)", "Less(wanted, next)"),
            ("MaxPool<kernel", "AveragePool<kernel"),
            ("Mul(b, u)", "Mul(b, nu)"),
        ),
        "interior",
    ),
    "a sum by a convolution": Form(
        BOTH
        + HELD
        + PAIRS
        + """
  terms = Mul(taken, row)
  lines = Unsqueeze(terms, k1)
  sums = Conv<kernel_shape=[2], strides=[2]>(lines, both)
  out = Squeeze(sums, k1)
""",
        (ORDER, ("{1, 1}", "{1, 2}"), ("Min(held, last)", "Min(held, before)")),
    ),
    "a sum by a pool padded at the end": Form(
        BOTH
        + HELD
        + PAIRS
        + """
  terms = Mul(taken, row)
  lines = Unsqueeze(terms, k1)
  means = AveragePool<kernel_shape=[2], strides=[2], pads=[0, 1], count_include_pad=1>(lines)
  mean = Squeeze(means, k1)
  out = Mul(mean, two)
""",
        (
            ORDER,
            ("pads=[0, 1]", "pads=[1, 0]"),
            ("two = {2}", "two = {3}"),
        ),
    ),
    "a read cut into windows": Form(
        BOTH
        + HELD
        + PAIRS
        + "".join(
            f"  s{k} = Slice(taken, k{2 * k}, k{2 * k + 2}, k1)\n  p{k} = Unsqueeze(s{k}, k1)\n" for k in range(5)
        )
        + """
  cells = Concat<axis=1>(p0, p1, p2, p3, p4)
  a = Gather<axis=2>(cells, none)
  b = Gather<axis=2>(cells, next)
"""
        + TERMS
        + SUM,
        (("(p0, p1, p2, p3, p4)", "(p0, p1, p2, p4, p3)"), ("Mul(b, u)", "Mul(b, nu)")),
        width=12,
    ),
}
each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())


def points(count: int) -> np.ndarray:
    """Points on both sides of the rows, on pixels and between them."""
    every = np.concatenate([np.arange(-6, 18), np.random.default_rng(0).uniform(-6, 18, 40)]).astype(np.float32)
    return np.random.default_rng(1).choice(every, count)


def wanted(rows: np.ndarray, at: np.ndarray, border: str) -> np.ndarray:
    """Linear samples in double precision."""
    floor = np.floor(at).astype(int)
    last = rows.shape[1] - 1
    read = {"wrap": lambda i: rows[:, i % (last + 1)]}.get(border, lambda i: rows[:, np.clip(i, 0, last)])
    u = np.float64(at) - floor
    inside = (floor >= 0) & (floor < last) if border == "interior" else True
    return (read(floor) * (1 - u) + read(floor + 1) * u) * inside


@each_form
@pytest.mark.parametrize("free", [False, True], ids=["fixed", "free"])
def test_it_is_found_and_lowered(form, free):
    if free and form.width:
        pytest.skip("its windows are counted")
    made = form.model(free=free)
    [site] = find(made)
    assert (site.rule, site.kernels, site.policy.name) == ("GSO005", ("linear",), form.border)
    assert site.image.tensor == "rows"
    result = optimize(made, lowering="merged-gather", measure=False)
    assert (result.report.status, result.report.validation.status) == ("optimised", "ok")
    assert [site.lowering for site in result.report.sites] == ["merged-gather"]
    for width, count in ((form.width or 12, 5), *(((2, 3), (3, 7), (31, 1)) if free else ())):
        rows = np.random.default_rng(2).normal(size=(3, width)).astype(np.float32)
        for at in (points(count) for _ in range(5)):
            fed = {"rows": rows, "t": at}
            [before], [after] = run(made, fed, ()), run(result.model, fed, ())
            np.testing.assert_allclose(before, wanted(rows, at, form.border), rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("form", "change"), [(f, c) for f in FORMS.values() for c in f.mutants])
@pytest.mark.parametrize("free", [False, True], ids=["fixed", "free"])
def test_its_mutants_are_none_of_rows(form, change, free):
    if free and form.width:
        pytest.skip("its windows are counted")
    found = find(form.model(change, free))
    assert [s for s in found if (s.output, s.image.tensor, s.policy.name) == ("out", "rows", form.border)] == []


def test_windows_of_two_pixels_tell_nothing_that_larger_ones_do_not():
    """Of two pixels there is one window, and no coordinate says which; a factor that is 0 there alone is seen."""
    form = FORMS["a range and its windows"]
    assert len(find(form.model(free=True))) == 1
    change = "  u = Sub(c, g)", "  far = Min(last_cell, one)\n  v = Sub(c, g)\n  u = Mul(v, far)"
    assert find(form.model(change, free=True)) == []


def test_of_an_image_that_has_no_shape_at_some_sizes_nothing_is_said():
    """Two parts are as long as each other up to 99 pixels."""
    body = FORMS["differences"].body.replace("Slice(rows, k1, end, k1)", "Slice(rows, k1, few, k1)")
    made = Form(body.replace("Sub(high, low)", "Sub(low, high)"), ()).model(free=True)
    made.graph.initializer.append(onnx.helper.make_tensor("few", onnx.TensorProto.INT64, [1], [99]))
    report = optimize(made, dry_run=True).report
    assert (report.sites, [miss.code for miss in report.near_misses]) == ((), ["GSO104"])


TANGENTS = Form(
    """
  start = Slice(rows, k0, k1, k1)
  stop = Slice(rows, down, end, k1)
  wide = Concat<axis=1>(start, rows, stop)
  ahead = Slice(wide, k2, end, k1)
  behind = Slice(wide, k0, short, k1)
  way = Sub(ahead, behind)
  rise = Div(way, two)
"""
    + CELL
    + """
  j = Add(i, next)
  a = Gather<axis=1>(rows, i)
  b = Gather<axis=1>(rows, j)
  ra = Gather<axis=1>(rise, i)
  rb = Gather<axis=1>(rise, j)
  u2 = Mul(u, u)
  u3 = Mul(u2, u)
  twice = Mul(u3, two)
  thrice = Mul(u2, three)
  hb = Sub(thrice, twice)
  ha = Sub(one, hb)
  last_rise = Sub(u3, u2)
  fall = Sub(last_rise, u2)
  first_rise = Add(fall, u)
  ta = Mul(a, ha)
  tb = Mul(b, hb)
  sa = Mul(ra, first_rise)
  sb = Mul(rb, last_rise)
  tt = Add(ta, tb)
  ss = Add(sa, sb)
  out = Add(tt, ss)
""",
    (
        ("Mul(rb, last_rise)", "Mul(ra, last_rise)"),
        ("Div(way, two)", "Div(way, three)"),
        ("(start, rows", "(stop, rows"),
    ),
)


@pytest.mark.parametrize("free", [False, True], ids=["fixed", "free"])
def test_tangents_that_are_read_beside_the_rows_make_a_cubic_kernel(free):
    made = TANGENTS.model(free=free)
    [site] = find(made)
    assert (site.kernels, site.policy.name, site.image.tensor) == (("cubic(-1/2)",), "border", "rows")
    result = optimize(made, lowering="merged-gather", measure=False)
    assert (result.report.status, result.report.validation.status) == ("optimised", "ok")
    for change in TANGENTS.mutants:
        assert [s for s in find(TANGENTS.model(change, free)) if s.image.tensor == "rows" and s.taps > 1] == []
