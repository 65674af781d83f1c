"""Each code is earned by a model, and where its hint can be followed in the model, the model is cured by that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import onnx
import onnx.parser
import pytest

from onnxgs_opt import optimize
from onnxgs_opt.diagnostics import CODES
from onnxgs_opt.report.model import schema, to_dict
from tests.fixtures.named import named
from tests.fixtures.size_limits import Limits
from tests.fixtures.text import ADDED, CELL, INDICES, READS, TERMS, WEIGHTS, replaced

TESTS = Path(__file__).parents[1]
SAMPLER = (
    """<ir_version: 8, opset_import: ["" : 17]>
g (float[6,7] image, float[20] x, float[20] y) => (float[20] out)
<float one = {1}, float zero = {0}, float lx = {6}, float ly = {5}, int64 width = {7}, int64[1] flat = {-1}>
{
 line = Reshape(image, flat)
"""
    + CELL
    + """ x0c = Clip(x0, zero, lx)
 x1c = Clip(x1, zero, lx)
 y0c = Clip(y0, zero, ly)
 y1c = Clip(y1, zero, ly)
 xa = Cast<to=7>(x0c)
 xb = Cast<to=7>(x1c)
 ya = Cast<to=7>(y0c)
 yb = Cast<to=7>(y1c)
 r0 = Mul(ya, width)
 r1 = Mul(yb, width)
"""
    + WEIGHTS
    + INDICES
    + READS
    + TERMS
    + ADDED
    + "}"
)
WINDOW = """ low = GreaterOrEqual(x, zero)
 high = Less(x, lx)
 below = GreaterOrEqual(y, zero)
 above = Less(y, ly)
 inx = And(low, high)
 iny = And(below, above)
 inside = And(inx, iny)
 mask = Cast<to=1>(inside)
 x0c = Where(inside, x0, zero)
 x1c = Where(inside, x1, zero)
 y0c = Where(inside, y0, zero)
 y1c = Where(inside, y1, zero)
"""
CLAMPS = "".join(f" {p}c = Clip({p}, zero, l{p[0]})\n" for p in ("x0", "x1", "y0", "y1"))
MASK = (CLAMPS, WINDOW), (" out = Add(abc, td)", " sum = Add(abc, td)\n out = Mul(sum, mask)")
BYTES = ("(float[20] out)", "(uint8[20] out)"), ("out = Add(abc, td)", "sum = Add(abc, td)\n out = Cast<to=2>(sum)")
IN_FLOATS = " r0f = Mul(y0c, widthf)\n r1f = Mul(y1c, widthf)\n"
GRID_SAMPLE = """<ir_version: 8, opset_import: ["" : 17]>
g (float[1,3,6,7] image, float[1,4,5,2] grid) => (float[1,3,4,5] out) {
 out = GridSample<mode="bilinear">(image, grid) }"""
LINEAR = (("17", "20"), ("bilinear", "linear"))
CLIPPED = """<ir_version: 6, opset_import: ["" : 11]>
g (int64[4] k) => (int64[4] out) <int64 low = {0}, int64 high = {3}> { out = Clip(k, low, high) }"""
SHAPE = """<ir_version: 8, opset_import: ["" : 17]>
g (float[N,C] a) => (int64[1] out) { out = Shape<start=1>(a) }"""
LINE = """<ir_version: 8, opset_import: ["" : 17]>
g (float[9] line, float[20] t) => (float[20] out)
<float zero = {0}, float last = {8}, int64 one = {1}, int64 most = {8}> {
 c = Clip(t, zero, last)
 f = Floor(c)
 u = Sub(c, f)
 i = Cast<to=7>(f)
 n = Add(i, one)
 j = Min(n, most)
 a = Gather<axis=0>(line, i)
 b = Gather<axis=0>(line, j)
 d = Sub(b, a)
 e = Mul(d, u)
 out = Add(a, e)
}"""
LOOKUPS = """<ir_version: 8, opset_import: ["" : 17]>
g (float[40,3] table, int64[50] i, int64[50] j) => (float[50,3] out) {
 a = Gather<axis=0>(table, i) b = Gather<axis=0>(table, j) out = Add(a, b) }"""


def edited(text: str, *changes: tuple[str, str]) -> Callable[[], onnx.ModelProto]:
    """What makes the model of a text in which each of some parts is another one."""

    return lambda: named(replaced(text, *changes))


sound = edited(SAMPLER)


@dataclass(frozen=True)
class Case:
    """A model that earns a code, a model that follows the hint, where that is another one, and the options of both."""

    earns: Callable[[], onnx.ModelProto]
    cured: Callable[[], onnx.ModelProto] | None = None
    options: Mapping[str, Any] = field(default_factory=lambda: {"dry_run": True})
    instead: Mapping[str, Any] | None = None
    """The options of the cure, where the hint is one."""


WRITTEN = {"lowering": "merged-gather", "validate": False}
CASES: dict[str, Case] = {
    "GSO001": Case(sound),
    "GSO002": Case(edited(GRID_SAMPLE)),
    "GSO003": Case(edited(LOOKUPS)),
    "GSO004": Case(lambda: onnx.load(TESTS / "fixtures/resizes/bilinear.dyn.onnx")),
    "GSO005": Case(edited(LINE)),
    "GSO007": Case(lambda: onnx.load(TESTS / "fixtures/rois/rows.dy.dyn.onnx")),
    "GSO101": Case(edited(SAMPLER, ("wd = Mul(u, v)", "we = Mul(u, v)\n wd = Mul(we, u)")), sound),
    "GSO102": Case(
        edited(
            SAMPLER, ("r1 = Mul(yb, width)", "r1 = Mul(yb, wide)"), ("int64 width", "int64 wide = {5}, int64 width")
        ),
        sound,
    ),
    "GSO103": Case(edited(SAMPLER, ("x1c = Clip(x1, zero, lx)", "x1c = Clip(x1, zero, ly)")), sound),
    "GSO104": Case(
        edited(SAMPLER, ("(line, id)", "(second, id)"), ("image, float", "image, float[42] second, float")),
        edited(SAMPLER),
    ),
    "GSO105": Case(
        edited(SAMPLER, ("out)\n<", "out, float[20] more)\n<"), ("tb = Mul", "more = Neg(ta)\n tb = Mul")), sound
    ),
    "GSO106": Case(edited(SAMPLER, ("out)\n<", "out, float[20] ta)\n<")), sound),
    "GSO107": Case(edited(SAMPLER, *MASK, ("high = Less(x, lx)", "high = Less(x, ly)")), edited(SAMPLER, *MASK)),
    "GSO108": Case(
        edited(
            SAMPLER,
            ("image, float", "image, float[20] a, float[20] b, float"),
            ("ta = Mul(pa, wa)", "ka = Mul(pa, wa)\n la = Mul(ka, a)\n ma = Mul(ka, b)\n ta = Add(la, ma)"),
            ("tb = Mul(pb, wb)", "kb = Mul(pb, wb)\n lb = Mul(kb, a)\n mb = Mul(kb, b)\n tb = Add(lb, mb)"),
            ("tc = Mul(pc, wc)", "kc = Mul(pc, wc)\n lc = Mul(kc, a)\n mc = Mul(kc, b)\n tc = Add(lc, mc)"),
            ("td = Mul(pd, wd)", "kd = Mul(pd, wd)\n ld = Mul(kd, a)\n md = Mul(kd, b)\n td = Add(ld, md)"),
        )
    ),
    "GSO109": Case(
        edited(SAMPLER, ("float[20] x,", "float[20] x, int64[20] ix,"), ("x0 = Floor(x)", "x0 = Cast<to=1>(ix)")), sound
    ),
    "GSO110": Case(
        edited(
            SAMPLER,
            ("[6,7]", "[5000,5000]"),
            ("{6}", "{4999}"),
            ("{5}", "{4999}"),
            ("int64 width = {7}", "float widthf = {5000}"),
            (" r0 = Mul(ya, width)\n r1 = Mul(yb, width)\n", IN_FLOATS),
            ("ia = Add(r0, xa)", "fa = Add(r0f, x0c)\n ia = Cast<to=7>(fa)"),
            ("ib = Add(r0, xb)", "fb = Add(r0f, x1c)\n ib = Cast<to=7>(fb)"),
            ("ic = Add(r1, xa)", "fc = Add(r1f, x0c)\n ic = Cast<to=7>(fc)"),
            ("id = Add(r1, xb)", "fd = Add(r1f, x1c)\n id = Cast<to=7>(fd)"),
        ),
        edited(SAMPLER, ("[6,7]", "[5000,5000]"), ("{6}", "{4999}"), ("{5}", "{4999}"), ("{7}", "{5000}")),
    ),
    "GSO111": Case(
        edited(
            SAMPLER,
            ("float[20] x, float[20] y", "float[20] more"),
            (
                "int64[1] flat",
                "float[20] x = {0.5,1.25,1.5,5.75,3,4,5.5,2.5,2.25,0,1,5.25,2,3.5,4.75,3.25,1,0.25,4,2}, "
                "float[20] y = {4.5,0.25,1.5,1.75,3,1,0.5,2.5,2.25,0,1,1.25,2,3.5,4.75,3.25,1,0.25,4,2}, int64[1] flat",
            ),
        ),
        sound,
    ),
    "GSO112": Case(edited(SAMPLER, ("(line, id)", "(line, ic)")), sound),
    "GSO113": Case(
        edited(
            SAMPLER,
            ("float[20] x,", "float[20] all, bool[20] kept,"),
            (" x0 =", " x = Compress<axis=0>(all, kept)\n x0 ="),
        ),
        sound,
    ),
    "GSO114": Case(
        edited(SAMPLER, ("Clip(x0, zero, lx)", "Identity(x0)"), ("Clip(x1, zero, lx)", "Identity(x1)")), sound
    ),
    "GSO115": Case(
        lambda: Limits("most = Constant<value_float=99.0>()\n W2 = Min(Lw, most)\n H2 = Identity(Lh)\n").model(),
        lambda: Limits().model(),
    ),
    "GSO201": Case(edited(GRID_SAMPLE, *LINEAR), edited(GRID_SAMPLE)),
    "GSO202": Case(edited(GRID_SAMPLE, ("float[1,4", "float16[1,4")), edited(GRID_SAMPLE)),
    "GSO203": Case(
        edited(SAMPLER, ("Clip(x0, zero, lx)", "Identity(x0)"), ("Clip(x1, zero, lx)", "Identity(x1)")), sound
    ),
    "GSO204": Case(edited(CLIPPED), edited(CLIPPED, ("11", "12"))),
    "GSO205": Case(edited(SHAPE)),
    "GSO207": Case(sound, sound, WRITTEN, {**WRITTEN, "lowering": "keep"}),
    "GSO212": Case(edited(SAMPLER, *BYTES), edited(SAMPLER, *BYTES), WRITTEN, {**WRITTEN, "lowering": "keep"}),
    "GSO210": Case(sound, sound, {**WRITTEN, "avoid": ("Floor",)}, WRITTEN),
}
ELSEWHERE = {
    "GSO006": "recognition/test_deform_convs.py",
    "GSO117": "recognition/test_deform_convs.py",
    "GSO008": "recognition/test_attentions.py",
    "GSO118": "recognition/test_attentions.py",
    "GSO116": "recognition/test_effort.py",
    "GSO206": "tuning/test_ops.py",
    "GSO208": "lowering/test_empty.py",
    "GSO209": "validation/test_elsewhere.py",
    "GSO211": "recognition/test_every_size.py",
}
"""Codes that need a library, a second or more, sizes, or many models: the file of the test that earns each."""


def said(model: onnx.ModelProto, options: Mapping[str, Any]) -> set[str]:
    """The codes of a report, sites included; as JSON it obeys its schema."""
    report = optimize(model, **options).report
    jsonschema.validate(to_dict(report), schema(), jsonschema.Draft202012Validator)
    return {each.code for each in (*report.near_misses, *report.hazards)} | {site.rule for site in report.sites}


def test_every_code_is_earned_somewhere() -> None:
    assert CASES.keys() | ELSEWHERE.keys() == CODES.keys()
    for code, path in ELSEWHERE.items():
        assert code in (TESTS / path).read_text(encoding="utf-8"), path


@pytest.mark.parametrize("code", CASES)
def test_a_code_is_earned_and_its_hint_works(code: str) -> None:
    case = CASES[code]
    assert code in said(case.earns(), case.options)
    if case.cured is None:
        return
    after = said(case.cured(), case.options if case.instead is None else case.instead)
    assert code not in after
    assert not code.startswith("GSO1") or "GSO001" in after
