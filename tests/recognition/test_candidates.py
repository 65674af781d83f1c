"""The sweep that spares most models the search: it may not miss a sampler, and has to say no to plain networks."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import parser

from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.recognition.candidates import may_hold_sums

MODELS = sorted((Path(__file__).parents[1] / "fixtures" / "models").glob("*.onnx"))
HEAD = '<ir_version: 8, opset_import: ["": 17]> g '
TABLES = "float[9, 3] table, float[9, 3] other, int64[n] i, int64[n] j, float[n] p, float[3, 3] w"


def verdict(body: str) -> bool:
    model = parser.parse_model(f"{HEAD}({TABLES}) => (float[n, m] out){{ {body} }}")
    return may_hold_sums(Graph.from_proto(model))


@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.name)
def test_an_export_of_a_sampler_is_looked_at(path: Path) -> None:
    assert may_hold_sums(Graph.load(path))


@pytest.mark.parametrize(
    "body",
    [
        "a = Gather(table, i) b = Gather(table, j) out = Add(a, b)",
        "t = Transpose(table) u = Transpose(table)"
        "a = Gather <axis = 1> (t, i) b = Gather <axis = 1> (u, j) out = Add(a, b)",
        "k = Gather(table, i) l = Gather(table, i)"
        "a = Gather <axis = 1> (k, j) b = Gather <axis = 1> (l, j) out = Sub(a, b)",
        "f = Floor(p) k = Cast <to = 7> (f) a = Gather(table, k) out = MatMul(a, w)",
        "k = Cast <to = 7> (p) a = Gather(table, k) out = MatMul(a, w)",
    ],
    ids=["two reads", "copies of a layout", "read in two steps", "one read at a floor", "one read at a cast"],
)
def test_what_may_be_a_sampler(body: str) -> None:
    assert verdict(body)


@pytest.mark.parametrize(
    "body",
    [
        "out = MatMul(table, w)",
        "a = Gather(table, i) out = MatMul(a, w)",
        "a = Gather(table, i) b = Gather(other, i) out = Add(a, b)",
        "a = Gather(table, i) b = Gather(table, j) out = Max(a, b)",
        "s = Shape(table) one = Constant <value = int64 {1}> () two = Constant <value = int64 {0}> ()"
        "a = Gather(s, one) b = Gather(s, two) c = Add(a, b) d = Cast <to = 1> (c) out = Mul(table, d)",
    ],
    ids=["no read", "an embedding", "two tables", "no sum", "sizes"],
)
def test_what_is_none(body: str) -> None:
    assert not verdict(body)


@pytest.mark.parametrize(("taken", "expected"), [("Add(a, b)", True), ("Relu(a)", False)], ids=["a sum", "none"])
def test_a_branch_is_looked_at(taken: str, expected: bool) -> None:
    text = f"""{HEAD}(bool c, float[9, 3] table, int64[n] i, int64[n] j) => (float[n, 3] out) {{
        out = If (c) <
            then_branch = yes () => (float[n, 3] y) {{ a = Gather(table, i) b = Gather(table, j) y = {taken} }},
            else_branch = no () => (float[n, 3] z) {{ z = Gather(table, i) }}>
    }}"""
    model: onnx.ModelProto = parser.parse_model(text)
    assert may_hold_sums(Graph.from_proto(model)) is expected
