"""Deformable attention that is written for each head by itself, of as many items as a free size says."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest

from onnxgs_opt import optimize
from onnxgs_opt.api import look
from onnxgs_opt.ir.graph import Graph
from tests.fixtures.spellings.check import run
from tests.fixtures.text import replaced

MODEL = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[B,63,2,8] value, float[B,Q,2,4,2] places, float[B,Q,2,4] weights) => (float[B,Q,16] out)
<int64 first = {0}, int64 second = {1}, float one = {1}, float two = {2}, int64[1] k1 = {1}, int64[1] k3 = {3},
 int64[4] whole = {0, 8, 7, 9}, int64[4] swapped = {0, 8, 9, 7}>
{
"""
HEAD = """
  rows{k} = Gather<axis=2>(value, {own})
  turned{k} = Transpose<perm=[0, 2, 1]>(rows{k})
  image{k} = Reshape(turned{k}, whole)
  at{k} = Gather<axis=2>(places, {own})
  twice{k} = Mul(at{k}, two)
  grid{k} = Sub(twice{k}, one)
  samples{k} = GridSample<align_corners=0, mode="bilinear", padding_mode="zeros">(image{k}, grid{k})
  weight{k} = Gather<axis=2>(weights, {own})
  factors{k} = Unsqueeze(weight{k}, k1)
  terms{k} = Mul(samples{k}, factors{k})
  sums{k} = ReduceSum<keepdims=0>(terms{k}, k3)
"""
TAIL = """
  joined = Concat<axis=1>(sums0, sums1)
  out = Transpose<perm=[0, 2, 1]>(joined)
}
"""


def model(*changes: tuple[str, str]) -> onnx.ModelProto:
    heads = HEAD.format(k=0, own="first") + HEAD.format(k=1, own="second")
    return onnx.parser.parse_model(replaced(MODEL + heads + TAIL, *changes))


@pytest.mark.parametrize("size", ["B", "2"])
def test_each_head_is_one(size: str) -> None:
    _, found = look(Graph.from_proto(model(("[B,", f"[{size},"))))
    assert [site.levels for site in found.attentions] == [((7, 9),)] * 2
    assert not found.samplers


@pytest.mark.parametrize("items", [1, 2, 3])
@pytest.mark.parametrize("lowering", ["row-gather", "merged-gather"])
def test_what_is_written_stays_equal(lowering: str, items: int) -> None:
    proto = model()
    result = optimize(proto, lowering=lowering, measure=False)
    assert result.report.status == "optimised"
    rng = np.random.default_rng(0)
    feeds = {
        "value": rng.standard_normal((items, 63, 2, 8)).astype(np.float32),
        "places": rng.uniform(-0.2, 1.2, (items, 5, 2, 4, 2)).astype(np.float32),
        "weights": rng.random((items, 5, 2, 4), np.float32),
    }
    np.testing.assert_allclose(run(result.model, feeds)[0], run(proto, feeds)[0], rtol=1e-4, atol=1e-4)


MUTANTS = {
    "units from centre to centre": ("align_corners=0", "align_corners=1"),
    "rows as long as columns": ("image0 = Reshape(turned0, whole)", "image0 = Reshape(turned0, swapped)"),
    "places that are not doubled": ("twice0 = Mul(at0, two)", "twice0 = Mul(at0, one)"),
    "the nearest pixel": ('mode="bilinear"', 'mode="nearest"'),
    "a weight of another head": (
        "weight0 = Gather<axis=2>(weights, first)",
        "weight0 = Gather<axis=2>(weights, second)",
    ),
}
STILL = {"rows as long as columns": [((9, 7),), ((7, 9),)], "a weight of another head": [((7, 9),)] * 2}
"""What is one, too, with another image and with other weights."""


@pytest.mark.parametrize("name", MUTANTS)
def test_with_a_fault_it_is_another_or_none(name: str) -> None:
    old, new = MUTANTS[name]
    _, found = look(Graph.from_proto(model((old, new))))
    left = 1 if old.endswith(")") else 0
    assert [site.levels for site in found.attentions] == STILL.get(name, [((7, 9),)] * left)
