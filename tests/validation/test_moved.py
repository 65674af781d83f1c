"""Roundings of halves inside a model: what follows may carry them, and nothing else."""

from __future__ import annotations

import onnx
import pytest

from onnxgs_opt.lowering import Tolerance
from onnxgs_opt.validation.check import check_model
from onnxgs_opt.validation.moved import Moved, with_moved

HALVES = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[400] x) => (float[400] y) <float third = {0.3333333}, float many = {1000}>
{
  xh = Cast<to=10>(x)
  th = Cast<to=10>(third)
  s = Mul(xh, th)
  f = Cast<to=1>(s)
  y = Mul(f, many)
}
"""
ROUNDED = HALVES.replace("to=10", "to=1").replace("0.3333333", "0.33337")
OFF = Moved(Tolerance(1e-3, 1e-3, "roundings of halves"), onnx.TensorProto.FLOAT16)


def parse(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(text)


@pytest.mark.parametrize(
    ("after", "moved", "status"),
    [
        (ROUNDED, {}, "mismatch"),
        (ROUNDED, {"s": OFF}, "ok"),
        (ROUNDED, {"unknown": OFF}, "mismatch"),
        (ROUNDED.replace("{1000}", "{1010}"), {"s": OFF}, "mismatch"),
        (ROUNDED.replace("0.33337", "0.34"), {"s": OFF}, "mismatch"),
    ],
)
def test_a_factor_carries_them(after: str, moved: dict[str, Moved], status: str) -> None:
    assert check_model(parse(HALVES), parse(after), moved=moved).status == status


BYTES = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[4000] x) => ({type}[4000] y) <float many = {{40}}, float few = {{5}}, float rest = {{8}}>
{{
  s = Mul(x, many)
  y = {last}
}}
"""
LASTS = {"uint8": "Cast<to=2>(s)", "int32": "Cast<to=6>(s)", "bool": "Greater(s, few)"}


@pytest.mark.parametrize("kind", LASTS)
def test_a_whole_number_is_another_one_just_below(kind: str) -> None:
    """The same product in another order is off by a bit, and cut off to the next number."""
    before = BYTES.format(type=kind, last=LASTS[kind])
    off = {"s": Moved(Tolerance(1e-6, 1e-6, "another order"))}
    fives = before.replace("Mul(x, many)", "Mul(b, few)").replace("  s =", "  b = Mul(x, rest)\n  s =")
    wrong = fives.replace("rest = {8}", "rest = {7.99}")
    for after, status in ((fives, "ok"), (wrong, "mismatch")):
        assert check_model(parse(before), parse(after), moved=off).status == status


def test_what_is_not_computed_is_passed_over() -> None:
    assert with_moved(parse(HALVES), {"x": OFF}) is None


def test_tensors_in_branches_are_found() -> None:
    text = """
<ir_version: 8, opset_import: ["" : 17]>
g (bool c, float[4] x) => (float[4] y)
{
  y = If (c) <then_branch = t () => (float[4] a) { a = Neg (x) }, else_branch = e () => (float[4] b) { b = Abs (x) }>
}
"""
    moved = with_moved(parse(text), {"a": Moved(OFF.tolerance)})
    assert moved is not None
    onnx.checker.check_model(moved)
