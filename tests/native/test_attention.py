"""onnxgs::DeformableAttention on CPUs, loaded into onnxruntime, and its function body, against an independent truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from onnxgs_opt.lowering.attention import attention_function
from onnxgs_opt.samplers.op import ATTENTION, DOMAIN, VERSION
from tests.fixtures.attention.text import truth
from tests.native import ops

Levels = tuple[tuple[int, int], ...]
CASES: dict[str, tuple[int, int, int, int, Levels, int]] = {
    "three levels": (2, 7, 2, 5, ((7, 9), (4, 5), (2, 3)), 4),
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
"""By name B, Q, H, D, the levels and P."""


def model(opset: int = 17, function: bool = True) -> bytes:
    names = ("value", "levels", "locations", "weights")
    types = (TensorProto.FLOAT, TensorProto.INT64, TensorProto.FLOAT, TensorProto.FLOAT)
    inputs = [
        helper.make_tensor_value_info(name, kind, [None] * rank)
        for name, kind, rank in zip(names, types, (4, 2, 6, 5), strict=True)
    ]
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, [None] * 4)
    node = helper.make_node(ATTENTION, names, ["output"], domain=DOMAIN)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, VERSION)]
    functions = [attention_function(opset, False)] if function else []
    graph = helper.make_graph([node], "one", inputs, [output])
    made: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=functions).SerializeToString()
    return made


def feeds_of(case: str) -> dict[str, np.ndarray]:
    batch, queries, heads, depth, levels, points = CASES[case]
    rng = np.random.default_rng(0)
    lead = (batch, queries, heads, len(levels), points)
    places = rng.uniform(-0.5, 1.5, (*lead, 2)).astype(np.float32)
    places[rng.random(places.shape) < 0.1] = 0.5
    places[rng.random(places.shape) < 0.05] = 1e6
    return {
        "value": rng.standard_normal((batch, sum(h * w for h, w in levels), heads, depth)).astype(np.float32),
        "levels": np.array(levels, np.int64),
        "locations": places,
        "weights": rng.standard_normal(lead).astype(np.float32),
    }


def wanted(case: str, feeds: dict[str, np.ndarray]) -> np.ndarray:
    return truth(feeds["value"], CASES[case][4], feeds["locations"], feeds["weights"])


@pytest.mark.parametrize("case", CASES)
def test_the_kernel_computes_the_truth(library: Path, case: str) -> None:
    feeds = feeds_of(case)
    (result,) = ops.session(library, model()).run(None, feeds)
    np.testing.assert_allclose(result, wanted(case, feeds), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("opset", [11, 13, 17])
@pytest.mark.parametrize("case", CASES)
def test_the_function_computes_the_truth(case: str, opset: int) -> None:
    if opset == 11 and case.startswith("no "):
        pytest.skip("before opset 14 a Reshape has no size of 0")
    feeds = feeds_of(case)
    (result,) = ops.session(None, model(opset)).run(None, feeds)
    np.testing.assert_allclose(result, wanted(case, feeds), rtol=1e-4, atol=2e-5)


def test_places_that_are_no_numbers_read_nothing_outside(library: Path) -> None:
    feeds = feeds_of("three levels")
    feeds["locations"][...] = np.resize([np.nan, np.inf, -np.inf, 1e38, -1e38], feeds["locations"].shape)
    (result,) = ops.session(library, model()).run(None, feeds)
    assert np.abs(result).max() < 100


def test_what_contradicts_is_refused(library: Path) -> None:
    session = ops.session(library, model())
    for name, wrong, reason in (
        ("levels", np.array([[7, 9], [4, 5], [2, 2]], np.int64), "levels have other pixels than value"),
        ("levels", np.array([[7, 9], [4, 5], [0, 3]], np.int64), "a level has no pixels"),
        ("levels", np.array([[7, 9], [4, 5]], np.int64), "sizes of its inputs contradict"),
        ("weights", np.zeros((2, 7, 2, 3, 5), np.float32), "sizes of its inputs contradict"),
    ):
        with pytest.raises(ort.capi.onnxruntime_pybind11_state.InvalidArgument, match=reason):
            session.run(None, {**feeds_of("three levels"), name: wrong})


def test_threads_agree(library: Path) -> None:
    feeds = feeds_of("registers")
    one, many = (ops.session(library, model(), threads).run(None, feeds)[0] for threads in (1, 4))
    np.testing.assert_array_equal(one, many)
