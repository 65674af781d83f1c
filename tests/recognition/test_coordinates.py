"""How coordinates are made and masks are shaped: fractions, mirrors, masks in the shape of the sample."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import onnx
import pytest

from onnxgs_opt import find, optimize
from onnxgs_opt.api import look
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.recognition.algebra.expression import Algebra
from onnxgs_opt.recognition.reflection import is_mirrored
from onnxgs_opt.samplers.border import clamp, mirror
from tests.fixtures.named import named
from tests.fixtures.text import FIRST_THREE, INDICES, LAST, READS, TERMS, WEIGHTS, both, replaced
from tests.recognition.test_forms import FORMS as TEST_FORMS

MODEL = (
    """
<ir_version: 8, opset_import: ["" : 17]>
g (float[h,w] image, float[p,2] points) => (float[p] out)
<int64 first = {0}, int64 second = {1}, float zero = {0}, float one = {1}, float two = {2}, int64[1] k0 = {0},
 int64[1] k1 = {1}, int64[1] k2 = {2}, int64[1] k9 = {-1}, float tiny = {0.001}>
{
  px = Gather<axis=1>(points, first)
  py = Gather<axis=1>(points, second)
"""
    + LAST
    + """  xm = Sub(xl, one)
  ym = Sub(yl, one)
  HEAD
  xa = Cast<to=7>(x0)
  ya = Cast<to=7>(y0)
  x1 = Add(x0, one)
  y1 = Add(y0, one)
  xn = Min(x1, xl)
  yn = Min(y1, yl)
  xb = Cast<to=7>(xn)
  yb = Cast<to=7>(yn)
"""
    + WEIGHTS
    + """  row = Slice(sizes, k1, k2)
  flat = Flatten<axis=0>(image)
  line = Squeeze(flat)
  r0 = Mul(ya, row)
  r1 = Mul(yb, row)
"""
    + INDICES
    + READS
    + TERMS
    + FIRST_THREE
    + """  TAIL
}
"""
)
SUM = "out = Add(abc, td)"
FRACTION = both("""
  {a}s = Sub({a}l, tiny)
  {a}c = Clip(p{a}, zero, {a}s)
  {f} = Mod<fmod=1>({a}c, one)
  {a}0 = Sub({a}c, {f})
""")
DIVIDED = both("""
  {a}s = Sub({a}l, tiny)
  {a}c = Clip(p{a}, zero, {a}s)
  {a}q = Div({a}c, one)
  {a}0 = Floor({a}q)
  {f} = Sub({a}c, {a}0)
""")
MIRRORED = both("""
  {a}span = Mul({a}l, two)
  a{a} = Abs(p{a})
  m{a} = Mod<fmod=1>(a{a}, {a}span)
  {a}past = Greater(m{a}, {a}l)
  {a}back = Sub({a}span, m{a})
  {a}c = Where({a}past, {a}back, m{a})
  {a}0 = Floor({a}c)
  {f} = Sub({a}c, {a}0)
""")
ASSIGNED = both("""
  {a}below = Less(p{a}, zero)
  {a}b1 = NonZero({a}below)
  {a}b2 = Transpose<perm=[1, 0]>({a}b1)
  {a}b3 = Cast<to=7>({a}below)
  {a}b4 = ReduceSum({a}b3)
  {a}b5 = Reshape({a}b4, k9)
  {a}b6 = Expand(zero, {a}b5)
  {a}kept = ScatterND(p{a}, {a}b2, {a}b6)
  {a}above = Greater({a}kept, {a}l)
  {a}a1 = NonZero({a}above)
  {a}a2 = Transpose<perm=[1, 0]>({a}a1)
  {a}a3 = Cast<to=7>({a}above)
  {a}a4 = ReduceSum({a}a3)
  {a}a5 = Reshape({a}a4, k9)
  {a}a6 = Expand({a}l, {a}a5)
  {a}c = ScatterND({a}kept, {a}a2, {a}a6)
  {a}0 = Floor({a}c)
  {f} = Sub({a}c, {a}0)
""")


def window(x: tuple[str, str], y: tuple[str, str], below: str = "LessOrEqual") -> str:
    """Whether the points lie from one border to another along both axes."""
    return f"""
  l = GreaterOrEqual(px, {x[0]})
  r = {below}(px, {x[1]})
  t = GreaterOrEqual(py, {y[0]})
  b = {below}(py, {y[1]})
  lr = And(l, r)
  tb9 = And(t, b)
  seen = And(lr, tb9)
"""


EXTRAPOLATED = both("""
  {a}f = Floor(p{a})
  {a}0 = Clip({a}f, zero, {a}m)
  {f} = Sub(p{a}, {a}0)
""") + window(("zero", "xl"), ("zero", "yl"))
NORMALISED = (
    both("""
  s{a} = Add(p{a}, one)
  m{a} = Mul(s{a}, {a}l)
  {a}p = Div(m{a}, two)
  {a}f = Floor({a}p)
  {a}0 = Clip({a}f, zero, {a}m)
  {a}c = Clip({a}p, zero, {a}l)
  {f} = Sub({a}c, {a}0)
""")
    + "  minus = Neg(one)"
    + window(("minus", "one"), ("minus", "one"))
)
OF_UNITS = """
  s = Add(abc, td)
  lit = Cast<to=1>(seen)
  out = Mul(s, lit)
"""
IN_ITS_SHAPE = """
  s = Add(abc, td)
  shape = Shape(s)
  none = ConstantOfShape(shape)
  out = Where(seen, s, none)
"""
AS_IT_LIES = """
  s = Add(abc, td)
  shape = Shape(s)
  lit = Cast<to=1>(seen)
  spread = Expand(lit, shape)
  out = Mul(s, spread)
"""
FORMS = {
    "the fraction is what Mod leaves": (
        FRACTION,
        SUM,
        "border",
        ("u = Mod<fmod=1>(xc, one)", "u = Mod<fmod=1>(xc, two)"),
    ),
    "divided by 1 before it is rounded": (DIVIDED, SUM, "border", ("xq = Div(xc, one)", "xq = Div(xc, two)")),
    "mirrored by cases": (MIRRORED, SUM, "reflection", ("xback = Sub(xspan, mx)", "xback = Add(xspan, mx)")),
    "mirrored by the wrong case": (MIRRORED, SUM, "reflection", ("xpast = Greater(mx, xl)", "xpast = Less(mx, xl)")),
    "numbers assigned below and above": (
        ASSIGNED,
        SUM,
        "border",
        ("xbelow = Less(px, zero)", "xbelow = Less(py, zero)"),
    ),
    "numbers assigned at other places": (
        ASSIGNED,
        SUM,
        "border",
        ("xkept = ScatterND(px, xb2, xb6)", 'xkept = ScatterND<reduction="add">(px, xb2, xb6)'),
    ),
    "masked in units of the grid": (
        NORMALISED,
        OF_UNITS,
        "border",
        ("v = Sub(yc, y0)", "v = Sub(xc, y0)"),
    ),
    "masked by zeros in its shape": (
        EXTRAPOLATED,
        IN_ITS_SHAPE,
        "interior-closed",
        ("r = LessOrEqual(px, xl)", "r = LessOrEqual(py, xl)"),
    ),
    "masked by a mask expanded to its shape": (
        EXTRAPOLATED,
        AS_IT_LIES,
        "interior-closed",
        ("out = Mul(s, spread)", "out = Add(s, spread)"),
    ),
}
each_form = pytest.mark.parametrize(("head", "tail", "policy", "change"), FORMS.values(), ids=FORMS.keys())


def model(head: str, tail: str) -> onnx.ModelProto:
    return named(MODEL.replace("HEAD", head).replace("TAIL", tail))


@each_form
def test_it_is_found_and_lowered(head: str, tail: str, policy: str, change: tuple[str, str]) -> None:
    result = optimize(model(head, tail), lowering="merged-gather", measure=False)
    assert (result.report.status, result.report.validation.status) == ("optimised", "ok")
    assert [(site.rule, site.policy.border) for site in result.report.sites] == [("GSO001", policy)]


FROM_ONE = both("""
  {a}w = Add({a}l, one)
  {a}f = Floor(p{a})
  {a}s = Sub({a}f, one)
  {a}0 = Clip({a}s, zero, {a}m)
  {f} = Sub(p{a}, {a}f)
""") + window(("one", "xw"), ("one", "yw"), "Less")


def test_beside_a_window_nothing_is_added_to_coordinates() -> None:
    """They count from 1, and p - 1 may round to the other side of a border that is compared with p."""
    columns = (
        ("xs = Sub(xf, one)", "xs = Identity(xf)"),
        ("(px, one)", "(px, zero)"),
        ("Less(px, xw)", "Less(px, xl)"),
    )
    for changes in ((), columns):
        _, found = look(Graph.from_proto(model(replaced(FROM_ONE, *changes), OF_UNITS)))
        assert found.samplers == ()
        [miss] = found.near_misses
        assert (miss.code, miss.condition.split(",")[0]) == (
            "GSO108",
            "no tensor holds the pixel coordinates by themselves",
        )


def test_of_coordinates_that_are_off_by_whole_numbers_one_is_taken() -> None:
    """x and y are held one too large and two too large; nothing is compared with them."""
    head = "\n".join(
        f"{c}more = Add(p{c}, one)\n {c}f = Floor({c}more)\n {c}0 = Sub({c}f, two)\n {c}own = Floor(p{c})\n"
        f" {{u}} = Sub(p{c}, {c}own)".replace("{u}", u)
        for c, u in (("x", "u"), ("y", "v"))
    )
    kept = MODEL
    for c, n in (("x", "xl"), ("y", "yl")):
        kept = kept.replace(f"{c}a = Cast<to=7>({c}0)", f"{c}z = Clip({c}0, zero, {n})\n  {c}a = Cast<to=7>({c}z)")
        kept = kept.replace(f"{c}n = Min({c}1, {n})", f"{c}n = Clip({c}1, zero, {n})")
    [site] = find(named(kept.replace("HEAD", head).replace("TAIL", SUM)))
    assert site.policy.name == "border"
    views = (site.grid,) if site.x is None else (site.x, site.y)
    assert [view and view.shift for view in views] == [-1] * len(views)


@pytest.mark.parametrize(
    ("tail", "mask"),
    [
        (OF_UNITS, "lit"),
        (OF_UNITS.replace("Cast<to=1>(seen)", "Cast<to=1>(lr)\n  low = Cast<to=1>(tb9)\n  all9 = Mul(lit, low)"), None),
    ],
    ids=["the window", "its columns alone"],
)
def test_a_mask_that_stays_is_the_sampler_s(tail: str, mask: str | None) -> None:
    """One that something else needs too is used, where it is the condition of the whole window."""
    kept = model(EXTRAPOLATED, tail if mask else tail.replace("Mul(s, lit)", "Mul(s, all9)"))
    kept.graph.output.append(onnx.helper.make_tensor_value_info("lit", onnx.TensorProto.FLOAT, ["p"]))
    [site] = find(kept)
    assert (site.policy.name, site.mask and site.mask.tensor) == ("interior-closed", mask)
    del kept.graph.output[-1]
    assert [site.mask for site in find(kept)] == [None], "nothing else needs it"


@each_form
def test_its_mutant_is_none(head: str, tail: str, policy: str, change: tuple[str, str]) -> None:
    assert (head + tail).count(change[0]) == 1
    found = find(model(head.replace(*change), tail.replace(*change)))
    assert not [site for site in found if site.rule == "GSO001"]


def test_a_branch_is_bounded_by_its_condition() -> None:
    """Bounds of a select hold for every value of its parts."""
    for scale, shift, k, c in product((1, -2, Fraction(1, 2)), (0, 3, -4), (1, -1, 3), (0, 5)):
        algebra = Algebra()
        p = algebra.elem("p", (), -10, 10)
        tested = algebra.add(algebra.num(shift), p, scale)
        for condition in (
            algebra.ge(tested),
            algebra.gt(tested),
            algebra.sub(algebra.one, algebra.ge(tested)),
            algebra.mul(algebra.ge(tested), algebra.ge(algebra.sub(p, algebra.num(-2)))),
        ):
            first, second = algebra.add(algebra.num(c), p, k), algebra.sub(algebra.num(7), p)
            made = algebra.select(condition, first, second)
            for value in (Fraction(n, 4) for n in range(-40, 41)):
                t = scale * value + shift
                holds = {0: t >= 0, 1: t > 0, 2: t < 0, 3: t >= 0 and value >= -2}
                kind = [algebra.ge(tested), algebra.gt(tested), algebra.sub(algebra.one, algebra.ge(tested))]
                case = kind.index(condition) if condition in kind else 3
                actual = k * value + c if holds[case] else 7 - value
                assert made.lo <= actual <= made.hi


def test_a_sum_of_one_read_of_all_corners_has_its_reason() -> None:
    """What reads four corners at once and is none gets a near-miss as four reads do."""
    form = TEST_FORMS["einsum of one read"]
    report = optimize(form.model(form.mutants[0]), dry_run=True).report
    assert [miss.code for miss in report.near_misses] == ["GSO101"]


@pytest.mark.parametrize(
    ("beyond", "named"), [(Fraction(0), True), (Fraction(1, 2), True), (Fraction(1, 4), False)], ids=str
)
def test_coordinates_mirrored_about_centres_or_edges_are_named_so(beyond: Fraction, named: bool) -> None:
    """Torch takes the distance from an edge before it mirrors: no part of that is the coordinate itself."""
    algebra = Algebra()
    leaf, last = algebra.elem("g", (algebra.idx(0, 50),), sizes=(50,)), algebra.num(8)
    margin = algebra.num(beyond)
    p = algebra.add(algebra.num(Fraction(7, 2)), leaf, Fraction(9, 2))
    distance = algebra.absolute(algebra.add(p, margin))
    value = mirror(algebra, algebra.sub(distance, margin), last, beyond)
    assert is_mirrored(algebra, clamp(algebra, value, last), 9) is named
