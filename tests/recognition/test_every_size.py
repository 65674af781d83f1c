"""A claim holds at every size: what changes at one is refused and named, what does not is still found."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from onnxgs_opt import optimize
from onnxgs_opt.api import look
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.runtime.ort import open_session
from onnxgs_opt.samplers.site import Domain, SizeRange
from tests.fixtures.size_limits import HEAD, Limits

FLOAT = onnx.TensorProto.FLOAT
INPUTS = {"img": "NCHW", "x": "NPQ", "y": "NPQ"}
H_AS_IT_IS = " H2 = Identity(Lh)\n"
PLAIN = "W2 = Identity(Lw)\n H2 = Identity(Lh)\n"
IF = """k = Constant<value_int=100>()
 b = Greater(Wi, k)
 W2 = If(b)<then_branch=g1 () => (float[] h) {half = Constant<value_float=0.5>() h = Mul(Lw, half)},
  else_branch=g2 () => (float[] e) {e = Identity(Lw)}>
 H2 = Identity(Lh)
"""
TWICE = "k = Constant<value_float=2.0>()\n d = {op}\n f = Floor(d)\n W2 = Mul(f, k)\n H2 = Identity(Lh)\n"

EVERY_SECOND = """n = Range(i0, Wi, i2)
 s = Shape(n)
 m = Squeeze(s)
 d = Mul(m, i2)
 t = Sub(d, i2)
 W2 = Cast<to=1>(t)
 H2 = Identity(Lh)
"""
POOLED = """p = MaxPool<kernel_shape=[1, {step}], strides=[1, {step}], ceil_mode={ceil}>(img)
 s = Shape<start=3>(p)
 m = Squeeze(s)
 k = Constant<value_int={step}>()
 d = Mul(m, k)
 q = Constant<value_int={more}>()
 t = Sub(d, q)
 W2 = Cast<to=1>(t)
 H2 = Identity(Lh)
"""
"""At widths that a pooling leaves no rest of, or one, the last column."""

THROUGH = "b = Cast<to={type}>(Wi)\n c = Cast<to=1>(b)\n W2 = Sub(c, one)\n H2 = Identity(Lh)\n"

PRODUCT = """none = Constant<value_ints=[0]>()
 r = ReduceSum<keepdims=1>(x, none)
 t = Transpose<perm=[0, 2, 1]>(y)
 m = {op}
 s = Shape(m)
 n = Gather<axis=0>(s, i0)
 d = Div(n, Ni)
 w = Mul(d, Wi)
 f = Cast<to=1>(w)
 W2 = Sub(f, one)
 H2 = Identity(Lh)
"""
"""One item times as many as there are is as many."""


COUNTED = """w = Mul(Hi, Wi)
 k = Range(i0, w, unit)
 none = Constant<value_ints=[0, 2]>()
 r = ReduceSum<keepdims=0>(x, none)
 f = Cast<to=1>(k)
 a = Add(r, f)
 s = Shape(a)
 Pi = Squeeze(s)
"""
"""The number P of points, which fits a model that has one for each pixel alone."""


def vanishing(*roots: tuple[str, int]) -> str:
    """A limit that is the last column where a size is one of `roots`, and far from it elsewhere."""
    lines = [f"k{k} = Constant<value_int={at}>()\n z{k} = Sub({name}i, k{k})" for k, (name, at) in enumerate(roots)]
    lines += [f"m{k + 1} = Mul({f'm{k}' if k else 'z0'}, z{k + 1})" for k in range(len(roots) - 1)]
    last = f"q = Cast<to=1>(m{len(roots) - 1})\n W2 = Add(Lw, q)\n"
    return "\n ".join(lines) + "\n " + last + H_AS_IT_IS


def sliced(end: int) -> Limits:
    """Points cut at a fixed number along one axis: tf2onnx writes 10^9 where all of them are meant."""
    size = f"none = Constant<value_ints=[0]>()\n end = Constant<value_ints=[{end}]>()\n"
    return Limits(size + PLAIN, cast="{t} = Slice({value}, none, end, unit)\n {out} = Cast<to=7>({t})\n")


CHANGES = {
    "limit of 99": (Limits("k = Constant<value_float=99.0>()\n W2 = Min(Lw, k)\n H2 = Identity(Lh)\n"), "W = 100"),
    "smaller of two sizes": (Limits("W2 = Identity(Lw)\n H2 = Min(Lh, Lw)\n"), "H"),
    "branch": (Limits(IF), "W = 100"),
    "one size only": (
        Limits(
            "k = Constant<value_int=57>()\n b = Equal(Wi, k)\n h = Sub(Lw, one)\n W2 = Where(b, h, Lw)\n" + H_AS_IT_IS
        ),
        "W = 57",
    ),
    "even sizes": (Limits(TWICE.format(op="Div(Lw, k)")), "W"),
    "quotient that floats round": (
        Limits("a = Div(one, Wf)\n b = Mul(a, Wf)\n c = Mul(b, Wf)\n f = Floor(c)\n W2 = Sub(f, one)\n" + H_AS_IT_IS),
        "floats round",
    ),
    "equal but for what floats round": (
        Limits("a = Div(one, Wf)\n b = Mul(a, Wf)\n e = Equal(b, one)\n W2 = Where(e, Lw, one)\n" + H_AS_IT_IS),
        "floats round",
    ),
    "not less but for what floats round": (
        Limits("a = Div(one, Wf)\n b = Mul(a, Wf)\n e = Less(b, one)\n W2 = Where(e, one, Lw)\n" + H_AS_IT_IS),
        "floats round",
    ),
    "as many as every second": (Limits(EVERY_SECOND), "W"),
    "as many as a pooling leaves": (Limits(POOLED.format(step=2, more=2, ceil=1)), "W"),
    "limit that floats round": (
        Limits("a = Div(one, Wf)\n b = Mul(a, Wf)\n c = Mul(b, Wf)\n W2 = Sub(c, one)\n" + H_AS_IT_IS),
        "floats round",
    ),
    "bfloat16 size": (Limits(THROUGH.format(type=16)), "bfloat16"),
    "remainder": (
        Limits(
            "k = Constant<value_int=16>()\n m = Mod(Wi, k)\n z = Equal(m, i0)\n h = Sub(Lw, one)\n"
            " W2 = Where(z, h, Lw)\n H2 = Identity(Lh)\n"
        ),
        "W",
    ),
    "uint8 size": (
        Limits(THROUGH.format(type=2)),
        "W = 256",
    ),
    "int16 size": (
        Limits(THROUGH.format(type=5)),
        "W = 32768",
    ),
    "half limit": (Limits("b = Cast<to=10>(Lw)\n W2 = Cast<to=1>(b)\n H2 = Identity(Lh)\n"), "float16"),
    "uint8 index": (Limits(cast="{t} = Cast<to=2>({value})\n {out} = Cast<to=7>({t})\n"), "uint8"),
    "int16 index": (Limits(cast="{t} = Cast<to=5>({value})\n {out} = Cast<to=7>({t})\n"), "int16"),
    "cut at a size": (sliced(99999), "[0:99999:1]"),
    "clipped batch": (
        Limits(batch=" k = Constant<value_int=6>()\n n2 = Min(n, k)\n"),
        "N = 7",
    ),
    "added at all but the analysed widths": (Limits(vanishing(("W", 13), ("W", 7), ("W", 3), ("W", 2986))), "W"),
    "added at all but the analysed numbers of points": (
        Limits(COUNTED + vanishing(("P", 143), ("P", 84), ("P", 6), ("P", 29714))),
        "H, W",
    ),
    "added at all but the analysed sizes": (Limits(vanishing(("N", 7), ("H", 12), ("W", 3), ("H", 3299))), "N, H, W"),
    "fixed limit": (
        Limits(
            cast="{t} = Min({value}, huge)\n {out} = Cast<to=7>({t})\n",
            size=PLAIN + " huge = Constant<value_float=5000.0>()\n",
        ),
        "5000",
    ),
}

STAYS = {
    "plain": Limits(),
    "own batch": Limits(batch=" n2 = Identity(n)\n"),
    "never smaller": Limits("k = Constant<value_float=1.0>()\n W2 = Max(Lw, k)\n H2 = Identity(Lh)\n"),
    "never empty": Limits(
        "k = Constant<value_int=0>()\n b = Greater(Wi, k)\n W2 = Where(b, Lw, Lh)\n H2 = Identity(Lh)\n"
    ),
    "twice and half": Limits(
        TWICE.format(op="Identity(Lw)").replace("W2 = Mul(f, k)", "t = Mul(f, k)\n W2 = Div(t, k)")
    ),
    "int32": Limits(THROUGH.format(type=6)),
    "area over width": Limits(
        "a = Mul(Hi, Wi)\n b = Div(a, Wi)\n c = Cast<to=1>(b)\n H2 = Sub(c, one)\n W2 = Identity(Lw)\n"
    ),
    "third and thrice": Limits(
        "k = Constant<value_float=3.0>()\n a = Div(Wf, k)\n b = Mul(a, k)\n r = Round(b)\n W2 = Sub(r, one)\n"
        + H_AS_IT_IS
    ),
    "halves": Limits(
        TWICE.format(op="Mul(Lw, half)")
        .replace("f = Floor(d)", "e = Mul(d, k)\n f = Floor(e)")
        .replace("Mul(f, k)", "Identity(f)")
        .replace("k =", "half = Constant<value_float=0.5>()\n k =")
    ),
    "as many as a range has": Limits(
        "n = Range(unit, Wi, unit)\n s = Shape(n)\n m = Squeeze(s)\n W2 = Cast<to=1>(m)\n" + H_AS_IT_IS
    ),
    "cut behind every size": sliced(10**9),
    "batch of a product": Limits(PRODUCT.format(op="MatMul(r, t)")),
    "batch of a contraction": Limits(PRODUCT.format(op='Einsum<equation="ijk,bkl->bil">(r, t)')),
    "a point for each pixel": Limits(COUNTED + "d = Div(Pi, Hi)\n q = Cast<to=1>(d)\n W2 = Sub(q, one)\n" + H_AS_IT_IS),
    "same on both sides": Limits("b = Greater(Hi, Wi)\n W2 = Where(b, Lw, Lw)\n H2 = Identity(Lh)\n"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_at_a_size_is_no_sampler_and_says_which(name: str) -> None:
    limits, told = CHANGES[name]
    _, found = look(Graph.from_proto(limits.model()))
    assert found.samplers == ()
    conditions = [miss.condition for miss in found.near_misses]
    assert any(told in condition for condition in conditions), conditions


@pytest.mark.parametrize("name", STAYS)
def test_what_is_one_formula_is_found_at_every_size(name: str) -> None:
    _, found = look(Graph.from_proto(STAYS[name].model()))
    assert [site.policy.name for site in found.samplers] == ["border"], found.near_misses
    (site,) = found.samplers
    assert site.domain == Domain(tuple(SizeRange(size) for size in "NCHWPQ"))
    assert site.domain.words == "every N, C, H, W, P, Q >= 2"


PIECES = """k = Constant<value_int=100>()
 b = Greater(Wi, k)
 W2 = If(b)<then_branch=g1 () => (float[] h) {l = Constant<value_float=100.0>() h = Max(Lw, l)},
  else_branch=g2 () => (float[] e) {m = Constant<value_float=99.0>() e = Min(Lw, m)}>
 H2 = Identity(Lh)
"""
HALVED = """two = Constant<value_int=2>()
 d = Div(Wi, two)
 m = Mod(Wi, two)
 t = Mul(d, two)
 s = Add(t, m)
 f = Cast<to=1>(s)
 W2 = Sub(f, one)
 H2 = Identity(Lh)
"""
LIMIT, SMALLER = CHANGES["limit of 99"][0], CHANGES["smaller of two sizes"][0]
EVEN, BRANCH = CHANGES["even sizes"][0], CHANGES["branch"][0]
BETWEEN = {
    "below the limit": (LIMIT, {"W": (20, 100)}, "20 <= W <= 100 and every N, C, H, P, Q >= 2"),
    "from 1 on": (LIMIT, {"W": (1, 100), "N": (1, 8)}, "2 <= N <= 8, 2 <= W <= 100 and every C, H, P, Q >= 2"),
    "one branch": (BRANCH, {"W": (2, 100), "H": (2, 900)}, "2 <= H <= 900, 2 <= W <= 100 and every N, C, P, Q >= 2"),
    "always the smaller": (
        SMALLER,
        {"H": (9, 80), "W": (80, 90)},
        "9 <= H <= 80, 80 <= W <= 90 and every N, C, P, Q >= 2",
    ),
    "one odd size": (EVEN, {"W": (33, 33), "H": (2, 50)}, "2 <= H <= 50, W = 33 and every N, C, P, Q >= 2"),
    "two branches alike": (Limits(PIECES), {"W": (50, 150)}, "50 <= W <= 150 and every N, C, H, P, Q >= 2"),
    "each size by itself": (Limits(HALVED), {"W": (30, 38)}, "30 <= W <= 38 and every N, C, H, P, Q >= 2"),
    "fewer items": (CHANGES["clipped batch"][0], {"N": (1, 7)}, "2 <= N <= 7 and every C, H, W, P, Q >= 2"),
    "no need": (Limits(), {"W": (20, 100)}, "every N, C, H, W, P, Q >= 2"),
}
BEYOND = {
    "above the limit": (LIMIT, {"W": (20, 101)}),
    "another size": (LIMIT, {"H": (20, 100)}),
    "two branches": (BRANCH, {"W": (90, 110)}),
    "the other branch": (BRANCH, {"W": (101, 900)}),
    "either may be smaller": (SMALLER, {"H": (64, 640), "W": (64, 640)}),
    "one even size": (EVEN, {"W": (32, 32)}),
    "odd and even sizes": (EVEN, {"W": (33, 34)}),
    "too many sizes to try": (Limits(HALVED), {"W": (30, 900)}),
    "more items": (CHANGES["clipped batch"][0], {"N": (1, 8)}),
    "no size": (LIMIT, {"W": (0, 1)}),
}


@pytest.mark.parametrize("name", BETWEEN)
def test_what_is_one_claim_between_stated_sizes_is_found_there(name: str) -> None:
    limits, ranges, words = BETWEEN[name]
    _, found = look(Graph.from_proto(limits.model()), ranges=ranges)
    assert [(site.policy.name, site.domain and site.domain.words) for site in found.samplers] == [("border", words)]


@pytest.mark.parametrize("name", BEYOND)
def test_what_changes_between_stated_sizes_is_no_sampler(name: str) -> None:
    limits, ranges = BEYOND[name]
    _, found = look(Graph.from_proto(limits.model()), ranges=ranges)
    assert found.samplers == ()
    assert [miss.code for miss in found.near_misses] == ["GSO115"]


NOT_ALONE = Limits("k = Constant<value_int=1>()\n b = Greater(Ni, k)\n W2 = Where(b, Lw, zero)\n H2 = Identity(Lh)\n")
"""A sampler of two images or more; of one alone the first column is read."""


@pytest.mark.parametrize("rows", [(54, 55), (54, 56), (55, 55), (11, 12), (11, 11)])
def test_a_size_of_a_few_stated_values_is_no_number(rows: tuple[int, int]) -> None:
    """Of 54 and 55 rows all small sets of sizes had 54, and lowerings took that for the image's own."""
    stated = {"H": rows, "W": (33, 40)}
    assert look(Graph.from_proto(LIMIT.model()))[1].samplers == ()
    (site,) = look(Graph.from_proto(LIMIT.model()), ranges=stated)[1].samplers
    assert site.image_size == (None, None)


def test_each_of_two_stated_values_is_looked_at() -> None:
    """A width of 9 was analysed at no set, as nine items were: of 8 and 9 the width in whole eights was the width."""
    eights = "k = Constant<value_int=8>()\n m = Mod(Wi, k)\n d = Sub(Wi, m)\n f = Cast<to=1>(d)\n W2 = Sub(f, one)\n"
    model = Graph.from_proto(Limits(eights + H_AS_IT_IS).model())
    assert look(model, ranges={"W": (8, 8)})[1].samplers
    for more in ({}, {"H": (4, 5), "N": (2, 9)}):
        assert look(model, ranges={"W": (8, 9), **more})[1].samplers == ()


OUTSIDE = {
    "one column": (Limits(), {"W": (1, 1)}, "GSO113", "(W = 1) 'img' has an axis of 1 pixel, and a sampler needs 2"),
    "one row of several widths": (
        Limits(),
        {"H": (1, 1), "W": (4, 9)},
        "GSO113",
        "(H = 1, 4 <= W <= 9) 'img' has an axis of 1 pixel",
    ),
    "one image": (
        NOT_ALONE,
        {"N": (1, 1)},
        "GSO115",
        "the result of a comparison changes with a size (N, 1, as at N = 1)",
    ),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_no_stated_size_is_proven_for_is_no_sampler(name: str) -> None:
    limits, stated, code, words = OUTSIDE[name]
    graph = Graph.from_proto(limits.model())
    assert len(look(graph)[1].samplers) == 1
    wider = {name: (1, 9) for name in stated}
    assert len(look(graph, ranges=wider)[1].samplers) == 1
    for found in (look(graph, stated=stated)[1], look(graph, ranges=stated)[1]):
        assert found.samplers == ()
        ((told, condition),) = [(miss.code, miss.condition) for miss in found.near_misses]
        assert told == code
        assert words in condition


def lines_of_images() -> onnx.ModelProto:
    """GatherElements reads the first M of N images: an index may have fewer rows than the image."""
    head = """<ir_version: 8, opset_import: ["" : 17]>
g (float[N, 3, H, W] img, float[M, P] x, float[M, P] y) => (float[M, 3, P] out) {
 one = Constant<value_float=1.0>()
 zero = Constant<value_float=0.0>()
 across = Constant<value_ints=[1]>()
 three = Constant<value_ints=[1, 3, 1]>()
 lines = Constant<value_ints=[0, 3, -1]>()
 flat = Reshape(img, lines)
"""
    axis = """ s_{p} = Shape<start={k}, end={end}>(img)
 n_{p} = Squeeze(s_{p})
 size_{p} = Cast<to=1>(n_{p})
 last_{p} = Sub(size_{p}, one)
 c_{p} = Clip({p}, zero, last_{p})
 {p}0 = Floor(c_{p})
 next_{p} = Add({p}0, one)
 {p}1 = Min(next_{p}, last_{p})
 d_{p} = Sub(c_{p}, {p}0)
 {p}w1 = Unsqueeze(d_{p}, across)
 {p}w0 = Sub(one, {p}w1)
"""
    corner = """ r{j}{i} = Mul(y{j}, size_x)
 f{j}{i} = Add(r{j}{i}, x{i})
 t{j}{i} = Cast<to=7>(f{j}{i})
 u{j}{i} = Unsqueeze(t{j}{i}, across)
 e{j}{i} = Expand(u{j}{i}, three)
 g{j}{i} = GatherElements<axis=2>(flat, e{j}{i})
 m{j}{i} = Mul(g{j}{i}, xw{i})
 p{j}{i} = Mul(m{j}{i}, yw{j})
"""
    axes = "".join(axis.format(p=p, k=k, end=k + 1) for p, k in (("y", 2), ("x", 3)))
    corners = "".join(corner.format(j=j, i=i) for j in (0, 1) for i in (0, 1))
    return onnx.parser.parse_model(f"{head}{axes}{corners} out = Sum(p00, p01, p10, p11)\n}}")


def test_what_is_stated_of_names_of_one_size_is_said_once() -> None:
    text = onnx.printer.to_text(lines_of_images())
    capped = "cap = Constant <value_int: int = 100> ()\n n_c = Min (n_x, cap)\n last_c = Cast <to: int = 1> (n_c)\n"
    text = text.replace("last_x = Sub (size_x", f"{capped} last_x = Sub (last_c")
    ranges = {"W": (20, 90), "N": (2, 8), "M": (3, 9)}
    (site,) = look(Graph.from_proto(onnx.parser.parse_model(text)), ranges=ranges)[1].samplers
    said = "3 <= N = M <= 8, 20 <= W <= 90 and every H, P >= 2 with at most 16777216 pixels"
    assert site.domain is not None
    assert site.domain.words == said


@pytest.mark.parametrize(("images", "points", "found"), [(9, 7, False), (7, 7, True)])
def test_names_of_one_size_are_not_asked_for_apart(images: int, points: int, found: bool) -> None:
    """Sizes of which the model runs, and row-gather did not: an internal failure."""
    shapes = {"img": (images, 3, 9, 11), "x": (points, 6), "y": (points, 6)}
    report = optimize(lines_of_images(), lowering="row-gather", shapes=shapes).report
    assert report.status == ("optimised" if found else "nothing-to-do")
    assert [site.rule for site in report.sites] == ["GSO001" if found else "GSO003"]
    at_any = look(Graph.from_proto(lines_of_images()))[1].samplers[0].domain
    assert at_any is not None
    assert at_any.words == "every N = M, H, W, P >= 2 with at most 16777216 pixels"
    assert not at_any.covers({"N": 9, "M": 7}, (9, 11))
    said = "N = 9 and M = 7 are asked for, and it is proven where these are one size"
    assert [(miss.code, miss.condition) for miss in report.near_misses] == ([] if found else [("GSO113", said)])


def test_a_model_that_is_run_at_one_column_is_left_as_it_is() -> None:
    """It was lowered for widths from 2 on, tried at the one that was asked for, and ended in a mismatch."""
    limits = Limits(
        IF.replace("value_int=100", "value_int=1")
        .replace("then_branch=g1", "else_branch=g1")
        .replace("else_branch=g2", "then_branch=g2")
    )
    shapes = {"img": (1, 2, 6, 1), "x": (1, 4, 9), "y": (1, 4, 9)}
    report = optimize(limits.model(), lowering="row-gather", shapes=shapes).report
    assert (report.status, report.sites[0].rule) == ("nothing-to-do", "GSO003")
    at_two = optimize(limits.model(), lowering="row-gather", shapes=shapes | {"img": (1, 2, 6, 2)}).report
    assert [(site.rule, site.lowering) for site in at_two.sites] == [("GSO001", "row-gather")]
    assert at_two.sites[0].domain is not None
    assert at_two.sites[0].domain.words == "every N >= 1 and every C, H, W, P, Q >= 2"


def test_the_smallest_and_the_largest_shape_are_the_domain() -> None:
    sizes = [{"N": n, "C": 3, "H": h, "W": w, "P": 6, "Q": 7} for n, h, w in ((1, 20, 20), (1, 60, 80), (4, 300, 100))]
    three = [{name: tuple(at[d] for d in dims) for name, dims in INPUTS.items()} for at in sizes]
    smallest, shapes, largest = three
    result = optimize(LIMIT.model(), lowering="lerp-gather", smallest=smallest, shapes=shapes, largest=largest)
    (site,) = result.report.sites
    assert (site.lowering, site.domain and site.domain.words) == (
        "lerp-gather",
        "2 <= N <= 4, 20 <= H <= 300, 20 <= W <= 100 and every C, P, Q >= 2",
    )
    (said,) = (hazard.hint for hazard in result.report.hazards if hazard.code == "GSO211")
    assert said.startswith("Proven for 2 <= N <= 4, 20 <= H <= 300, 20 <= W <= 100 and every C, P, Q >= 2.")
    rng = np.random.default_rng(0)
    for at in three:
        feeds = {name: rng.uniform(-2, 110, shape).astype(np.float32) for name, shape in at.items()}
        expected, got = (
            open_session(m, optimise=False, threads=1).run(None, feeds)[0] for m in (LIMIT.model(), result.model)
        )
        np.testing.assert_allclose(got, expected, atol=1e-4)


def test_sizes_that_a_range_is_tried_at_share_no_divisor() -> None:
    """What a pooling of four leaves is a quarter of 20, 40, 60 and 100 columns, and less than that of others."""
    limits = Limits(POOLED.format(step=4, more=1, ceil=0))
    _, found = look(Graph.from_proto(limits.model()), ranges={"W": (20, 100)})
    assert found.samplers == ()


def in_rows(limits: Limits) -> onnx.ModelProto:
    """A model of 24 points, which it puts into rows as long as the image's: it runs where H*W is 24."""
    model = limits.model()
    graph = model.graph
    for points in graph.input[1:]:
        points.type.CopyFrom(onnx.helper.make_tensor_type_proto(FLOAT, ["N", 6, 4]))
    graph.output[0].type.CopyFrom(onnx.helper.make_tensor_type_proto(FLOAT, ["N", "H", "W", "C"]))
    graph.node[-1].output[0] = "all"
    graph.initializer.append(onnx.numpy_helper.from_array(np.array([0, 2, 3, 1]), "order"))
    graph.node.append(onnx.helper.make_node("Gather", ["shape", "order"], ["target"], "target"))
    graph.node.append(onnx.helper.make_node("Reshape", ["all", "target"], ["o"], "in_rows"))
    onnx.checker.check_model(model)
    return model


def test_a_product_of_sizes_leaves_each_of_them_free() -> None:
    """That 6x4 points become HxW ones does not say that H is 6 and W is 4."""
    model = in_rows(Limits())
    result = optimize(model, lowering="plugin", measure=False)
    (site,) = result.report.sites
    assert (site.lowering, site.domain and site.domain.words) == ("plugin", "every N, C, H, W >= 2")
    rng = np.random.default_rng(0)
    for h, w in ((6, 4), (3, 8), (12, 2)):
        points = [rng.uniform(-2, 13, (2, 6, 4)).astype(np.float32) for _ in "xy"]
        feeds = {"img": rng.random((2, 3, h, w), np.float32), "x": points[0], "y": points[1]}
        expected, got = (open_session(m, optimise=False, threads=1).run(None, feeds)[0] for m in (model, result.model))
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_what_holds_at_one_factor_of_a_product_only_is_no_sampler() -> None:
    """The limit is the last of 4 columns, and no other one."""
    _, found = look(
        Graph.from_proto(in_rows(Limits("k = Constant<value_float=3.0>()\n W2 = Min(Lw, k)\n" + H_AS_IT_IS)))
    )
    assert found.samplers == ()


def test_a_size_that_only_a_constant_fixes_is_written_as_a_dynamic_one() -> None:
    """H and W are names to the model, and 6 and 4 because of what is added to x."""
    model = Limits().model()
    for points in model.graph.input[1:]:
        points.type.CopyFrom(onnx.helper.make_tensor_type_proto(FLOAT, ["N", "H", "W"]))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.full((6, 4), 0.5, np.float32), "base"))
    for node in model.graph.node:
        node.input[:] = ["moved" if name == "x" else name for name in node.input]
    model.graph.node.insert(0, onnx.helper.make_node("Add", ["x", "base"], ["moved"], "from_base"))
    for lowering in ("merged-gather", "lerp-gather"):
        result = optimize(model, lowering=lowering, measure=False)
        assert [site.lowering for site in result.report.sites] == [lowering], result.report.sites


@pytest.mark.parametrize("limits", [CHANGES["limit that floats round"][0], CHANGES["bfloat16 size"][0]])
def test_what_no_size_tried_shows_is_refused_between_sizes_too(limits: Limits) -> None:
    """A limit of 28.999998 is that of 29 pixels at some widths, and few bits of a size are all of it at others."""
    _, found = look(Graph.from_proto(limits.model()), ranges={"W": (281, 311)})
    assert found.samplers == ()


@pytest.mark.parametrize(("code", "count"), [(16, 0), (17, 0), (10, 1)], ids=["bfloat16", "float8", "float16"])
def test_an_index_of_few_bits_is_another_pixel(code: int, count: int) -> None:
    """Of 300 columns bfloat16 has every second from 256 on, and eight bits four."""
    steps = f"{{t}} = Cast<to={code}>({{value}})\n {{t}}f = Cast<to=1>({{t}})\n {{out}} = Cast<to=7>({{t}}f)\n"
    model = Limits(cast=steps).model()
    for value, dims in zip(model.graph.input, ((2, 2, 6, 300), (2, 4, 9), (2, 4, 9)), strict=True):
        value.type.CopyFrom(onnx.helper.make_tensor_type_proto(FLOAT, dims))
    model.opset_import[0].version = 19
    _, found = look(Graph.from_proto(model))
    assert len(found.samplers) == count


NEAREST = """ k = Constant<value_float=99.0>()
 W2 = Min(Lw, k)
 rx = Round(x)
 ry = Round(y)
 cx = Clip(rx, zero, W2)
 cy = Clip(ry, zero, Lh)
 ix = Cast<to=7>(cx)
 iy = Cast<to=7>(cy)
 jx = Unsqueeze(ix, last)
 jy = Unsqueeze(iy, last)
 nhwc = Transpose<perm=[0, 2, 3, 1]>(img)
 at = Concat<axis=3>(jy, jx)
 o = GatherND<batch_dims=1>(nhwc, at)
}"""


def test_a_single_read_whose_limit_changes_is_told_and_found_between_stated_sizes() -> None:
    """It was no near-miss, so that nobody was told to state sizes, nor was it looked for between them."""
    graph = Graph.from_proto(onnx.parser.parse_model(HEAD + NEAREST))
    _, found = look(graph)
    assert found.samplers == ()
    assert [miss.code for miss in found.near_misses] == ["GSO115"]
    _, found = look(graph, ranges={"W": (20, 60)})
    assert [site.kernels for site in found.samplers] == [("nearest-even", "nearest-even")]
    _, found = look(graph, ranges={"W": (90, 110)})
    assert found.samplers == ()
