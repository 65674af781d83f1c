"""Models that are not of this project's making: onnx's own backend tests, one operator each, and whole networks.

`python -m tests.campaigns.real_models` adds models from packages that have to be fetched.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import onnx
import pytest

from onnxgs_opt import find, optimize
from onnxgs_opt.api import look
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.job import load
from onnxgs_opt.passes import CANONICALISE
from onnxgs_opt.runtime.ort import open_session

DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
NETWORKS = sorted(DATA.glob("light/*.onnx"))
SUITES = ("pytorch-converted", "pytorch-operator", "simple")


@cache
def node_cases() -> Sequence[Any]:
    # What they compute is not looked at, of pools no more than its shape is: to pool took three fifths of a test.
    with warnings.catch_warnings(), patch("onnx.reference.ops.op_pool_common.pool", _unpooled):
        warnings.simplefilter("ignore")  # they divide by zero on purpose
        from onnx.backend.test.case.node import collect_testcases

        return [case for case in collect_testcases(None) if case.model is not None]


def _unpooled(padded: np.ndarray, shape: Any, kernel: Any, strides: Any, out: Any, *_: Any, **__: Any) -> np.ndarray:
    return np.zeros((*shape[:2], *out), padded.dtype)


def rules(model: Any) -> list[str]:
    return [site.rule for site in find(model)]


def expected_rules(model: onnx.ModelProto) -> list[str]:
    """One for each GridSample."""
    return ["GSO002" for node in model.graph.node if node.op_type == "GridSample"]


def outputs(model: onnx.ModelProto, feeds: dict[str, Any]) -> list[Any] | None:
    """None where onnxruntime lacks the operator or the type."""
    try:
        found: list[Any] = open_session(model, optimise=False, threads=1).run(None, feeds)
    except Exception:  # onnxruntime's errors have no other base
        return None
    return found


def assert_equal(expected: Any, actual: Any, name: str) -> None:
    """Of arrays, and of the lists of them that sequences are."""
    if not isinstance(expected, list):
        np.testing.assert_array_equal(expected, actual, err_msg=name)
        return
    assert actual is not None, name
    for a, b in zip(expected, actual, strict=True):
        assert_equal(a, b, name)


def canonical(model: onnx.ModelProto) -> onnx.ModelProto:
    graph = Graph.from_proto(onnx.ModelProto.FromString(model.SerializeToString()))
    CANONICALISE.run(graph)
    return graph.to_proto()


def test_no_node_test_is_taken_for_a_sampler() -> None:
    """None is told to be almost one either: some sum what they look up."""
    assert len(node_cases()) > 1000
    for case in node_cases():
        _, found = look(load(case.model))
        assert [site.rule for site in found.sites] == expected_rules(case.model), case.name
        assert not found.near_misses, case.name


def test_canonicalising_node_tests_changes_no_output() -> None:
    """Of those whose nodes change; random operators are left alone by every pass."""
    changed = compared = 0
    for case in node_cases():
        after = canonical(case.model)
        if [n.op_type for n in after.graph.node] == [n.op_type for n in case.model.graph.node]:
            continue
        changed += 1
        for inputs, _ in case.data_sets or ():
            feeds = {value.name: array for value, array in zip(case.model.graph.input, inputs, strict=False)}
            expected = outputs(case.model, feeds)
            if expected is None:
                continue
            compared += 1
            assert_equal(expected, outputs(after, feeds), case.name)
    assert changed > 10
    assert compared > 10


@pytest.mark.parametrize("path", NETWORKS, ids=lambda p: p.stem)
def test_networks_hold_no_sampler(path: Path) -> None:
    assert rules(str(path)) == []


@pytest.mark.parametrize("suite", SUITES)
def test_model_tests_hold_no_sampler(suite: str) -> None:
    paths = sorted(DATA.glob(f"{suite}/*/model.onnx"))
    assert len(paths) > 10
    for path in paths:
        assert rules(str(path)) == expected_rules(onnx.load(path)), path


def test_a_size_of_minus_one_is_no_size() -> None:
    """Paddle's exporter writes -1 for a dim that is not known."""
    value = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node("GridSample", ["image", "grid"], ["out"], "sample")
    graph = onnx.helper.make_graph(
        [node],
        "paddle",
        [
            value("image", onnx.TensorProto.FLOAT, [-1, 3, -1, -1]),
            value("grid", onnx.TensorProto.FLOAT, [-1, -1, -1, 2]),
        ],
        [value("out", onnx.TensorProto.FLOAT, [-1, 3, -1, -1])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    [site] = find(model)
    assert (site.batch, site.channels, site.image_size) == (None, 3, (None, None))
    report = optimize(model, lowering="merged-gather", shapes={"image": (2, 3, 8, 9), "grid": (2, 5, 6, 2)}).report
    assert (report.status, report.validation.status) == ("optimised", "ok")
    dims = Graph.from_proto(model).to_proto().graph.input[0].type.tensor_type.shape.dim
    assert [dim.WhichOneof("value") for dim in dims] == [None, "dim_value", None, None]  # onnx's way to say so
