"""Look-alikes of Resize whose tables and sums are spelt in other ways: each becomes the same Resize, at every size."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import parser

from onnxgs_opt import optimize
from onnxgs_opt.runtime.ort import open_session
from tests.recognition.test_resizes import looked_at, resized, run

PLACES = """
    size = Shape <start: int = 2, end: int = 3> (x)
    width = Squeeze (size)
    samples = Mul (width, two)
    numbers = Range (none, samples, one)
    whole = Cast <to: int = 1> (numbers)
    moved = Add (whole, half)
    halved = Div (moved, twice)
    place = Sub (halved, half)
    last_index = Sub (width, one)
"""
"""Where the samples of a row stand that becomes twice as long."""

LINEAR = f"""{PLACES}
    last = Cast <to: int = 1> (last_index)
    held = Clip (place, nothing, last)
    low = Floor (held)
    u = Sub (held, low)
    first = Cast <to: int = 7> (low)
    next = Add (first, one)
    second = Min (next, last_index)
    a = Gather <axis: int = 2> (x, first)
    b = Gather <axis: int = 2> (x, second)
"""

CONSTANTS = """
    int64 none = {0}, int64 one = {1}, int64 two = {2}, float half = {0.5}, float twice = {2}, float nothing = {0},
    float unit = {1}, int64[1] front = {0}"""

LERP = """
    is_low = Less (u, half)
    d = Sub (b, a)
    from_low = Mul (d, u)
    near_low = Add (a, from_low)
    v = Sub (unit, u)
    from_high = Mul (d, v)
    near_high = Sub (b, from_high)
    y = Where (is_low, near_low, near_high)"""
"""As torch.lerp is exported: from the nearer end."""

STACKED = """
    v = Sub (unit, u)
    vs = Unsqueeze (v, front)
    us = Unsqueeze (u, front)
    table = Concat <axis: int = 0> (vs, us)
    firsts = Unsqueeze (first, front)
    seconds = Unsqueeze (second, front)
    indices = Concat <axis: int = 0> (firsts, seconds)
    both = Gather <axis: int = 2> (x, indices)
    y = Einsum <equation = "nckw,kw->nwc"> (both, table)"""
"""Both pixels by one read, weighted by one Einsum, which turns the axes too."""

HALVES = """
    h = Cast <to: int = 10> (u)
    v = Sub (whole_one, h)
    left = Mul (a, v)
    right = Mul (b, h)
    y = Add (left, right)"""
"""Of quarters, which halves have exactly."""

DOUBLES = """
    wide_a = Cast <to: int = 11> (a)
    wide_b = Cast <to: int = 11> (b)
    wide_u = Cast <to: int = 11> (u)
    d = Sub (wide_b, wide_a)
    part = Mul (d, wide_u)
    y = Add (wide_a, part)"""
"""As TorchScript has what arange and a fraction make: in doubles."""

NARROWED = """
    d = Sub (b, a)
    part = Mul (d, u)
    sum = Add (a, part)
    y = Cast <to: int = 10> (sum)"""


def model_of(
    body: str, image: str = "float", made: str = "float", axes: str = "n, c, w", more: str = ""
) -> onnx.ModelProto:
    text = f"""<ir_version: 8, opset_import: ["": 17]>
g ({image}[n, c, w] x) => ({made}[{axes}] y) <{CONSTANTS}{more}> {{{body}}}"""
    return parser.parse_model(text)


CASES = {
    "from the nearer end": (model_of(LINEAR + LERP, axes="n, c, v"), np.float32),
    "by an Einsum": (model_of(LINEAR + STACKED, axes="n, v, c"), np.float32),
    "in halves": (
        model_of(LINEAR + HALVES, "float16", "float16", "n, c, v", ", float16 whole_one = {15360}"),
        np.float16,
    ),
    "in doubles": (model_of(LINEAR + DOUBLES, made="double", axes="n, c, v"), np.float32),
    "of halves in doubles": (model_of(LINEAR + DOUBLES, "float16", "double", "n, c, v"), np.float16),
    "of floats, in halves at last": (model_of(LINEAR + NARROWED, made="float16", axes="n, c, v"), np.float32),
}


@pytest.mark.parametrize("name", CASES)
def test_a_spelling_becomes_one_resize_of_the_type_that_it_had(name: str) -> None:
    model, dtype = CASES[name]
    site, after = resized(model)
    assert site.border == "linear half_pixel"
    assert [node.op_type for node in after.graph.node].count("Resize") == 1
    report = optimize(model, lowering="resize", shapes={"x": (2, 3, 7)}, require_match=1, measure=False).report
    assert report.status == "optimised"
    assert report.validation is not None
    assert report.validation.status == "ok"
    allowed = 5e-3 if np.float16 in (dtype, run(after, np.zeros((1, 1, 2), dtype)).dtype) else 1e-5
    for shape in ((2, 3, 7), (1, 1, 1), (0, 2, 4), (2, 1, 31)):
        image = np.random.default_rng(0).standard_normal(shape).astype(dtype)
        wanted, found = run(model, image), run(after, image)
        assert (wanted.dtype, wanted.shape) == (found.dtype, found.shape)
        np.testing.assert_allclose(found, wanted, atol=allowed)


def cubic(normalised: bool) -> onnx.ModelProto:
    """Four reads with Keys' weights, by powers; or those inside alone, divided by their sum."""
    taps, own = [], "in" if normalised else "k"
    for k in range(4):
        taps.append(f"""
    p{k} = Sub (u, at{k})
    s{k} = Abs (p{k})
    cube{k} = Pow (s{k}, three)
    square{k} = Pow (s{k}, twice)
    n0{k} = Mul (cube{k}, c3)
    n1{k} = Mul (square{k}, c2)
    n2{k} = Add (n0{k}, n1{k})
    near{k} = Add (n2{k}, unit)
    f0{k} = Mul (cube{k}, a3)
    f1{k} = Mul (square{k}, a2)
    f2{k} = Mul (s{k}, a1)
    f3{k} = Sum (f0{k}, f1{k}, f2{k})
    far{k} = Add (f3{k}, a0)
    isnear{k} = LessOrEqual (s{k}, unit)
    k{k} = Where (isnear{k}, near{k}, far{k})
    i{k} = Add (first, step{k})
    j{k} = Clip (i{k}, none, last_index)
    r{k} = Gather <axis: int = 2> (x, j{k})
    isin{k} = Equal (i{k}, j{k})
    in{k} = Where (isin{k}, k{k}, nothing)
    row{k} = Unsqueeze ({own}{k}, front)""")
    rows = ", ".join(f"row{k}" for k in range(4))
    weights = "\n".join(f"part{k} = Div ({own}{k}, total)" for k in range(4))
    sums = "\n".join(f"w{k} = Mul (r{k}, part{k})" for k in range(4))
    body = f"""{PLACES}
    low = Floor (place)
    u = Sub (place, low)
    first = Cast <to: int = 7> (low)
    {"".join(taps)}
    table = Concat <axis: int = 0> ({rows})
    total = ReduceSum <keepdims: int = 0> (table, front)
    {weights}
    {sums}
    y = Sum (w0, w1, w2, w3)"""
    a = -0.75
    numbers = {"c3": a + 2, "c2": -(a + 3), "a3": a, "a2": -5 * a, "a1": 8 * a, "a0": -4 * a, "three": 3}
    more = "".join(f", float {name} = {{{value}}}" for name, value in numbers.items())
    more += "".join(f", float at{k} = {{{k - 1}}}, int64 step{k} = {{{k - 1}}}" for k in range(4))
    return model_of(body, axes="n, c, v", more=more)


@pytest.mark.parametrize("normalised", [False, True], ids=["all", "inside"])
def test_weights_may_be_powers_and_divided_by_their_sum(normalised: bool) -> None:
    model = cubic(normalised)
    site, after = resized(model)
    assert site.border == "cubic half_pixel"
    assert site.resampling.exclude_outside is normalised
    for shape in ((2, 3, 7), (1, 1, 5), (1, 2, 33)):
        image = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        np.testing.assert_allclose(run(after, image), run(model, image), atol=1e-5)


ROUNDED = """
    y0 = Shape (x)
    size = Slice (y0, at, end, at_axis)
    width = Squeeze (size)
    samples = Mul (width, two)
    numbers = Range (none, samples, one)
    whole = Cast <to: int = 1> (numbers)
    place = Pow (whole, power)
    halved = Mul (place, half)
    low = Floor (halved)
    first = Cast <to: int = 7> (low)
    y = Gather <axis: int = 2> (x, first)"""


def test_places_that_are_rounded_of_powers_are_not_told() -> None:
    """Runtimes have powers that differ in the last bit, which a floor makes another pixel of."""
    more = ", int64[1] at = {2}, int64[1] end = {3}, int64[1] at_axis = {0}, float power = {1}"
    model = model_of(ROUNDED, axes="n, c, v", more=more)
    session = open_session(model, threads=1)
    image = np.arange(5, dtype=np.float32).reshape(1, 1, 5)
    assert session.run(None, {"x": image})[0].reshape(-1).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert not looked_at(model)[1].resizes


ONE_AXIS = """
    size{k} = Shape <start: int = {axis}, end: int = {end}> ({x})
    width{k} = Squeeze (size{k})
    samples{k} = Mul (width{k}, two)
    numbers{k} = Range (none, samples{k}, one)
    last_index{k} = Sub (width{k}, one)
    whole{k} = Cast <to: int = 1> (numbers{k})
    moved{k} = Add (whole{k}, half)
    halved{k} = Div (moved{k}, twice)
    place{k} = Sub (halved{k}, half)
    last{k} = Cast <to: int = 1> (last_index{k})
    held{k} = Clip (place{k}, nothing, last{k})
    low{k} = Floor (held{k})
    part{k} = Sub (held{k}, low{k})
    u{k} = {layout}
    first{k} = Cast <to: int = 7> (low{k})
    next{k} = Add (first{k}, one)
    second{k} = Min (next{k}, last_index{k})
    a{k} = Gather <axis: int = {axis}> ({x}, first{k})
    b{k} = Gather <axis: int = {axis}> ({x}, second{k})
    d{k} = Sub (b{k}, a{k})
    w{k} = Mul (d{k}, u{k})
    made{k} = Add (a{k}, w{k})"""
NEAREST = """
    size{k} = Shape <start: int = {axis}, end: int = {end}> ({x})
    width{k} = Squeeze (size{k})
    samples{k} = Mul (width{k}, two)
    numbers{k} = Range (none, samples{k}, one)
    index{k} = Div (numbers{k}, two)
    made{k} = Gather <axis: int = {axis}> ({x}, index{k})"""
ROWS = {"axis": 2, "end": 3, "layout": "Unsqueeze (part{k}, at_one)"}
COLUMNS = {"axis": 3, "end": 4, "layout": "Identity (part{k})"}


def chain(*steps: tuple[str, dict[str, object]], outputs: tuple[int, ...] = ()) -> onnx.ModelProto:
    """Axes made twice as long one after the other; the results of `outputs` and the last one are given."""
    x, body = "x", ""
    for k, (step, axis) in enumerate(steps):
        layout = str(axis["layout"]).format(k=k)
        body += step.format(**{**axis, "layout": layout}, k=k, x=x)
        x = f"made{k}"
    given = ", ".join(f"float[n, c, h{k}, w{k}] made{k}" for k in (*outputs, len(steps) - 1))
    text = f"""<ir_version: 8, opset_import: ["": 17]>
g (float[n, c, h, w] x) => ({given}) <{CONSTANTS}, int64[1] at_one = {{1}}> {{{body}}}"""
    return parser.parse_model(text)


CHAINS = {
    "twice": (
        chain((ONE_AXIS, ROWS), (ONE_AXIS, COLUMNS), (ONE_AXIS, ROWS), (ONE_AXIS, COLUMNS)),
        ["linear half_pixel", "linear half_pixel"],
    ),
    "rows otherwise than columns": (
        chain((ONE_AXIS, ROWS), (NEAREST, COLUMNS)),
        ["linear half_pixel", "nearest asymmetric floor"],
    ),
    "rows are an output": (
        chain((ONE_AXIS, ROWS), (ONE_AXIS, COLUMNS), outputs=(0,)),
        ["linear half_pixel", "linear half_pixel"],
    ),
    "half of the way is an output": (
        chain((NEAREST, ROWS), (NEAREST, COLUMNS), (NEAREST, ROWS), (NEAREST, COLUMNS), outputs=(1,)),
        ["nearest asymmetric floor", "nearest asymmetric floor"],
    ),
}


@pytest.mark.parametrize("name", CHAINS)
def test_what_is_no_resize_as_a_whole_or_needed_inside_is_one_after_the_other(name: str) -> None:
    model, borders = CHAINS[name]
    _, found = looked_at(model)
    assert [site.border for site in found.resizes] == borders
    assert found.sites == found.resizes
    result = optimize(model, lowering="resize", shapes={"x": (1, 2, 5, 6)}, require_match=2, measure=False)
    assert [site.lowering for site in result.report.sites] == ["resize", "resize"]
    assert result.report.status == "optimised"
    assert result.report.reads.after == 0
    assert [node.op_type for node in result.model.graph.node].count("Resize") == 2
    for shape in ((1, 2, 5, 6), (2, 1, 1, 1), (1, 1, 17, 4)):
        image = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        wanted, made = (open_session(m, threads=1).run(None, {"x": image}) for m in (model, result.model))
        for one, other in zip(wanted, made, strict=True):
            np.testing.assert_allclose(other, one, atol=1e-5)
