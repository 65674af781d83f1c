"""onnxgs::DeformableAttention on CPUs, loaded into onnxruntime, and its function body, against an independent truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from bench import attention_cuda
from onnxgs_opt import optimize
from onnxgs_opt.lowering.attention import attention_function
from onnxgs_opt.samplers.op import ATTENTION, DOMAIN, VERSION
from tests.fixtures.attention.text import truth
from tests.native import ops

EXPORTS = Path(__file__).parents[1] / "fixtures" / "attention"
Levels = tuple[tuple[int, int], ...]
CASES: dict[str, tuple[int, int, int, int, Levels, int | tuple[int, ...]]] = {
    "three levels": (2, 7, 2, 5, ((7, 9), (4, 5), (2, 3)), 4),
    "levels with other numbers of points": (2, 7, 2, 8, ((7, 9), (4, 5), (2, 3)), (3, 6, 2)),
    "levels without points": (1, 5, 2, 5, ((7, 9), (4, 5), (2, 3), (3, 3)), (0, 70, 0, 5)),
    "registers": (1, 35, 3, 32, ((5, 6), (3, 4)), 4),
    "registers and a rest": (1, 3, 2, 43, ((5, 6),), 3),
    "rows and columns of one": (2, 5, 2, 8, ((1, 6), (5, 1), (1, 1)), 3),
    "one channel": (1, 4, 1, 1, ((2, 2),), 1),
    "more terms than a run": (1, 2, 2, 4, ((3, 4), (2, 2), (4, 3)), 31),
    "no queries": (2, 0, 2, 4, ((3, 4),), 2),
    "no points": (2, 3, 2, 4, ((3, 4),), 0),
    "no heads": (2, 3, 0, 4, ((3, 4),), 2),
    "no items": (0, 3, 2, 4, ((3, 4),), 2),
}
"""By name B, Q, H, D, the levels and the points of each."""

TYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16}
ALLOWED = {"float32": 2e-5, "float16": 2e-3}
"""Of the largest sums, some halves of which the last bit is 2^-9."""


def model(opset: int = 17, function: bool = True, dtype: str = "float32") -> bytes:
    names = ("value", "levels", "locations", "weights")
    types = (TYPES[dtype], TensorProto.INT64, TensorProto.FLOAT, TYPES[dtype])
    inputs = [
        helper.make_tensor_value_info(name, kind, [None] * rank)
        for name, kind, rank in zip(names, types, (4, 2, 5, 4), strict=True)
    ]
    output = helper.make_tensor_value_info("output", TYPES[dtype], [None] * 4)
    node = helper.make_node(ATTENTION, names, ["output"], domain=DOMAIN, value_type=TYPES[dtype])
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, VERSION)]
    functions = [attention_function(opset)] if function else []
    graph = helper.make_graph([node], "one", inputs, [output])
    made: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=functions).SerializeToString()
    return made


def points_of(case: str) -> tuple[int, ...]:
    *_, levels, points = CASES[case]
    return points if isinstance(points, tuple) else (points,) * len(levels)


def feeds_of(case: str, dtype: str = "float32") -> dict[str, np.ndarray]:
    batch, queries, heads, depth, levels, _ = CASES[case]
    rng = np.random.default_rng(0)
    lead = (batch, queries, heads, sum(points_of(case)))
    places = rng.uniform(-0.5, 1.5, (*lead, 2)).astype(np.float32)
    places[rng.random(places.shape) < 0.1] = 0.5
    places[rng.random(places.shape) < 0.05] = 1e6
    return {
        "value": rng.standard_normal((batch, sum(h * w for h, w in levels), heads, depth)).astype(dtype),
        "levels": np.column_stack([levels, points_of(case)]).astype(np.int64),
        "locations": places,
        "weights": rng.standard_normal(lead).astype(dtype),
    }


def wanted(case: str, feeds: dict[str, np.ndarray]) -> np.ndarray:
    return truth(feeds["value"], CASES[case][4], feeds["locations"], feeds["weights"], points_of(case))


def assert_true(case: str, feeds: dict[str, np.ndarray], result: np.ndarray) -> None:
    allowed = ALLOWED[str(feeds["value"].dtype)]
    assert result.dtype == feeds["value"].dtype
    np.testing.assert_allclose(result, wanted(case, feeds), rtol=max(1e-4, allowed), atol=allowed)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("case", CASES)
def test_the_kernel_computes_the_truth(library: Path, case: str, dtype: str) -> None:
    feeds = feeds_of(case, dtype)
    (result,) = ops.session(library, model(dtype=dtype)).run(None, feeds)
    assert_true(case, feeds, result)


@pytest.mark.parametrize(("opset", "dtype"), [(11, "float32"), (13, "float16"), (17, "float32"), (17, "float16")])
@pytest.mark.parametrize("case", CASES)
def test_the_function_computes_the_truth(case: str, opset: int, dtype: str) -> None:
    if opset == 11 and case.startswith("no "):
        pytest.skip("before opset 14 a Reshape has no size of 0")
    feeds = feeds_of(case, dtype)
    (result,) = ops.session(None, model(opset, dtype=dtype)).run(None, feeds)
    assert_true(case, feeds, result)


def test_places_that_are_no_numbers_read_nothing_outside(library: Path) -> None:
    feeds = feeds_of("three levels")
    feeds["locations"][...] = np.resize([np.nan, np.inf, -np.inf, 1e38, -1e38], feeds["locations"].shape)
    (result,) = ops.session(library, model()).run(None, feeds)
    assert np.abs(result).max() < 100


def test_what_contradicts_is_refused(library: Path) -> None:
    session = ops.session(library, model())
    for name, wrong, reason in (
        ("levels", np.array([[7, 9, 4], [4, 5, 4], [2, 2, 4]], np.int64), "levels have other pixels than value"),
        ("levels", np.array([[7, 9, 4], [4, 5, 4], [0, 3, 4]], np.int64), "a level has no pixels"),
        ("levels", np.array([[7, 9, 4], [4, 5, 4], [2, 3, 3]], np.int64), "levels have other points than locations"),
        ("levels", np.array([[7, 9, 13], [4, 5, 4], [2, 3, -5]], np.int64), "a level has more points than there are"),
        ("levels", np.array([[7, 9], [4, 5], [2, 3]], np.int64), "sizes of its inputs contradict"),
        ("weights", np.zeros((2, 7, 2, 11), np.float32), "sizes of its inputs contradict"),
    ):
        with pytest.raises(ort.capi.onnxruntime_pybind11_state.InvalidArgument, match=reason):
            session.run(None, {**feeds_of("three levels"), name: wrong})


@pytest.mark.parametrize("dtype", TYPES)
def test_threads_agree(library: Path, dtype: str) -> None:
    feeds = feeds_of("registers", dtype)
    one, many = (ops.session(library, model(dtype=dtype), threads).run(None, feeds)[0] for threads in (1, 4))
    np.testing.assert_array_equal(one, many)


def test_the_bench_sees_the_operator_run_and_compares_it(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = onnx.load(EXPORTS / "d_fine.ts17.st.onnx")
    onnx.save(exported, tmp_path / "d-fine.onnx")
    for form in ("plugin", "row-gather"):
        onnx.save(optimize(exported, lowering=form).model, tmp_path / f"d-fine.{form}.onnx")
    monkeypatch.setattr(attention_cuda, "BUDGET_S", 0.05)
    row = attention_cuda.measure(tmp_path, "d-fine", str(library), "ort-cpu")
    assert row["on device"]
    assert row["exported error"] == 0
    assert 0 < row["operator error"] < row["allowed"]
    assert row["row-gather us"] > 0
