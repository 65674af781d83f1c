"""The text of one small lowering, so that a change of spelling is seen."""

from __future__ import annotations

from onnxgs_opt.lowering import LOWERINGS
from tests.lowering.samplers import Case, lower

MERGED = (
    *("Split", "Transpose", "Transpose", "Floor", "Clip", "Floor", "Clip", "Equal", "Equal", "And", "Cast"),
    *("Sub", "Sub", "Sub", "Mul", "Sub", "Cast", "Cast", "Mul", "Add", "Concat", "Concat", "Add", "Mul"),
    *("Reshape", "Expand", "Reshape", "GatherElements", "Reshape", "Unsqueeze", "Mul", "ReduceSum"),
)


def test_merged_gather_of_planes() -> None:
    found = [node.op for node in lower(Case(), LOWERINGS["merged-gather"]).topological() if node.op != "Constant"]
    assert sorted(found) == sorted(MERGED)


def test_grid_sample() -> None:
    found = [node.op for node in lower(Case(), LOWERINGS["grid-sample"]).topological() if node.op != "Constant"]
    assert found[-1] == "Mul"
    assert found.count("GridSample") == 1
    assert found.count("Div") == 1
