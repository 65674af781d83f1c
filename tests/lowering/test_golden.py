"""The text of one small lowering, so that a change of spelling is seen."""

from __future__ import annotations

import pytest

from onnxgs_opt.lowering import LOWERINGS
from tests.lowering.samplers import Case, lower

CELLS = (
    *("Split", "Transpose", "Transpose", "Floor", "Clip", "Floor", "Clip", "Equal", "Equal", "And", "Cast"),
    *("Sub", "Sub", "Sub", "Mul", "Sub", "Mul", "Add", "Cast"),
)
GOLDEN = {
    "merged-gather": (
        *("Concat", "Concat", "Mul", "Add", "Reshape", "Expand", "Reshape", "GatherElements", "Reshape"),
        *("Unsqueeze", "Mul", "ReduceSum"),
    ),
    "lerp-gather": (
        *("Reshape", "Expand", "Reshape", "Slice", "Slice", "Reshape", "Slice"),
        *(("GatherElements", "Reshape") * 4),
        *(("Mul", "Mul", "Add") * 3),
    ),
    "row-gather": (
        *("Transpose", "Reshape", "Squeeze", "Add", "Add", "Add", "Add"),
        *(("Mul", "Reshape", "Gather", "Mul") * 4),
        *("Sum", "Transpose"),
    ),
    "packed-gather": (
        *("Transpose", "Reshape", "Slice", "Slice", "Slice", "Slice", "Concat", "Squeeze", "Add", "Gather", "Split"),
        *(("Mul", "Reshape", "Mul") * 4),
        *("Sum", "Transpose"),
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_spelling(name: str) -> None:
    found = [node.op for node in lower(Case(), LOWERINGS[name]).topological() if node.op != "Constant"]
    assert sorted(found) == sorted((*CELLS, *GOLDEN[name]))


def test_grid_sample() -> None:
    found = [node.op for node in lower(Case(), LOWERINGS["grid-sample"]).topological() if node.op != "Constant"]
    assert found[-2:] == ["Where", "GridSample"]  # the window acts on the grid
    assert found.count("GridSample") == 1
    assert found.count("Div") == 1


def test_roi_align() -> None:
    found = [node.op for node in lower(Case(), LOWERINGS["roi-align"]).topological() if node.op != "Constant"]
    assert not set(found) & {"Gather", "GatherElements", "Mul", "Div"}  # weights and indices are the operator's own
    assert [found.count(op) for op in ("RoiAlign", "Sub", "Where", "Concat")] == [1] * 4
    assert found[-3:] == ["RoiAlign", "Reshape", "Transpose"]
