"""Constant folds give what onnx's reference implementation gives, operator by operator, empty and narrow ones too."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from onnxgs_opt.ir.evaluator import EVALUATORS, evaluate
from tests.fixtures.spellings.check import run

OPSET = 18
F = np.array([[-2.5, -0.5, 0.5], [1.5, 2.5, 7.0]], np.float32)
G = np.array([[2.0, -0.5, 3.0], [4.0, 2.5, -1.0]], np.float32)
I = np.array([[-7, 3, 5], [8, -9, 2]], np.int64)  # noqa: E741
J = np.array([[2, -2, 3], [-3, 4, 5]], np.int64)
B, C = I > 0, J > 0
EMPTY = np.zeros((2, 0, 3), np.float32)
EMPTY_INTS = np.zeros((0, 3), np.int64)


def ints(*values: int, dtype: Any = np.int64) -> np.ndarray:
    return np.array(values, dtype)


Case = tuple[list[np.ndarray], dict[str, Any]]
BOTH: list[Case] = [([F, G], {}), ([I, J], {}), ([I.astype(np.int8), J.astype(np.int8)], {}), ([EMPTY, EMPTY], {})]
BROADCAST: list[Case] = [([F, G[0]], {}), ([I, J[:, :1]], {}), ([EMPTY, F[:1, :1]], {})]
TWO = [*BOTH, *BROADCAST]
ONE: list[Case] = [([F], {}), ([I], {}), ([EMPTY], {})]
FLOATS: list[Case] = [([F], {}), ([EMPTY], {})]
LOGIC: list[Case] = [([B, C], {}), ([B, C[0]], {}), ([EMPTY > 0, EMPTY > 0], {})]
REDUCED: list[Case] = [
    ([I], {}),
    ([I, ints(1)], {}),
    ([I, ints(-1)], {"keepdims": 0}),
    ([I, ints()], {"noop_with_empty_axes": 1}),
    ([I.astype(np.int32), ints(0)], {}),
]
CASES: dict[str, list[Case]] = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Min", "Max", "Sum"), TWO),
    "Div": [([F, G], {}), ([I, J], {}), ([EMPTY, EMPTY], {})],
    "Mod": [([I, J], {}), ([F, G], {"fmod": 1}), ([I, J], {"fmod": 1}), ([EMPTY_INTS, EMPTY_INTS], {})],
    **dict.fromkeys(("Neg", "Abs", "Sign"), ONE),
    **dict.fromkeys(("Floor", "Ceil", "Round"), FLOATS),
    "Pow": [
        ([np.float32([2, 4, 0.5]), np.float32([3, 0, 2])], {}),
        ([np.int64([2, 8]), ints(5, 1)], {}),
        ([EMPTY, EMPTY], {}),
    ],
    "Sqrt": [([np.abs(F)], {}), ([EMPTY], {})],
    "Clip": [([F, np.float32(-1), np.float32(2)], {}), ([I, np.int64(0)], {}), ([EMPTY, np.float32(0)], {})],
    **dict.fromkeys(("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"), TWO),
    **dict.fromkeys(("And", "Or", "Xor"), LOGIC),
    "Not": [([B], {}), ([EMPTY > 0], {})],
    "Where": [([B, F, G], {}), ([B[0], I, J], {}), ([EMPTY > 0, EMPTY, EMPTY], {})],
    "Cast": [
        ([F], {"to": TensorProto.INT32}),
        ([I], {"to": TensorProto.FLOAT}),
        ([B], {"to": TensorProto.INT64}),
        ([EMPTY], {"to": TensorProto.INT64}),
        ([F], {"to": TensorProto.DOUBLE}),
    ],
    "ReduceProd": [*REDUCED, ([EMPTY_INTS, ints(0)], {})],
    "ReduceSum": [*REDUCED, ([EMPTY_INTS, ints(0)], {})],
    "ReduceMin": REDUCED,
    "ReduceMax": REDUCED,
    "Shape": [([F], {}), ([EMPTY], {}), ([EMPTY], {"start": 1}), ([EMPTY], {"start": -2, "end": -1})],
    "Size": [([F], {}), ([EMPTY], {})],
    "Identity": ONE,
    "Reshape": [
        ([F, ints(3, -1)], {}),
        ([F, ints(0, 3, 1)], {}),
        ([EMPTY, ints(0, 0, 3)], {}),
        ([EMPTY, ints(3, 0)], {"allowzero": 1}),
        ([EMPTY, ints(0, 5)], {"allowzero": 1}),
    ],
    "Flatten": [([np.stack([F, G])], {"axis": axis}) for axis in (-1, 0, 1, 2, 3)],
    "Squeeze": [
        ([F[None]], {}),
        ([F[None], ints(0)], {}),
        ([F[None, :, :, None], ints(0, -1)], {}),
        ([EMPTY[None], ints(0)], {}),
    ],
    "Unsqueeze": [([F, ints(0)], {}), ([F, ints(-1, 1)], {}), ([EMPTY, ints(1)], {})],
    "Transpose": [([np.stack([F, G])], {}), ([F], {"perm": [1, 0]}), ([EMPTY], {"perm": [1, 2, 0]})],
    "Expand": [([F[:1], ints(4, 3)], {}), ([F[:, :1], ints(1)], {}), ([F[:1], ints(0, 3)], {})],
    "Tile": [([F, ints(2, 1)], {}), ([F, ints(0, 2)], {}), ([EMPTY, ints(1, 2, 3)], {})],
    "ConstantOfShape": [([ints(2, 3)], {}), ([ints(0, 3)], {}), ([ints()], {})],
    "Range": [
        ([np.int64(1), np.int64(9), np.int64(3)], {}),
        ([np.int64(9), np.int64(1), np.int64(-3)], {}),
        ([np.int32(1), np.int32(1), np.int32(2)], {}),
    ],
    "Gather": [
        ([F, ints(1, 0, -1)], {}),
        ([F, ints(2, -3, dtype=np.int32)], {"axis": 1}),
        ([F, np.int64(1)], {"axis": -1}),
        ([F, np.zeros((0, 2), np.int64)], {}),
        ([EMPTY, ints(1)], {}),
    ],
    "GatherElements": [
        ([F, np.array([[2, -1, 0], [0, 1, -3]])], {"axis": 1}),
        ([F, np.array([[2, 0, 1, -1]] * 2, np.int32)], {"axis": 1}),
        ([F, np.zeros((0, 3), np.int64)], {"axis": 0}),
    ],
    "Slice": [
        ([F, ints(0), ints(1)], {}),
        ([F, ints(-1), ints(-9), ints(1), ints(-1)], {}),
        ([F, ints(1), ints(99), ints(-1), ints(2)], {}),
        ([F, ints(1), ints(1), ints(0)], {}),
        ([EMPTY, ints(0), ints(1), ints(0)], {}),
        ([F, ints(0, dtype=np.int32), ints(2, dtype=np.int32)], {}),
    ],
    "Concat": [
        ([F, G], {"axis": 0}),
        ([F, G], {"axis": -1}),
        ([EMPTY, EMPTY], {"axis": 1}),
        ([F, np.zeros((0, 3), np.float32)], {"axis": 0}),
    ],
    "ScatterND": [
        ([F, np.array([[1], [0]]), G], {}),
        ([F, np.array([[1, -1]]), G[0, :1]], {}),
        ([F, np.zeros((0, 1), np.int64), np.zeros((0, 3), np.float32)], {}),
    ],
}
BEYOND_THE_REFERENCE: list[tuple[str, Case]] = [
    *(("Flatten", ([EMPTY], {"axis": axis})) for axis in (-2, -1, 0, 1, 2, 3)),
    ("GatherElements", ([F, np.array([[1, -2]], np.int32)], {"axis": 0})),
    ("GatherElements", ([F, np.array([[1], [0]])], {"axis": 0})),
    ("GatherElements", ([F, np.array([[2, -1]])], {"axis": -1})),
]
"""What onnx's implementation raises at, and onnxruntime does as the operators' documents say."""

SPLITS: list[tuple[list[np.ndarray], dict[str, Any], int]] = [
    ([F, ints(1, 2)], {"axis": 1}, 2),
    ([F, ints(2, 0, 1)], {"axis": -1}, 3),
    ([F], {"axis": 1, "num_outputs": 2}, 2),
    ([EMPTY, ints(1, 1)], {"axis": 0}, 2),
]


def model_of(op: str, inputs: list[np.ndarray], attrs: dict[str, Any], outputs: int) -> onnx.ModelProto:
    """The operator alone."""
    infos = [
        helper.make_tensor_value_info(f"i{k}", helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for k, value in enumerate(map(np.asarray, inputs))
    ]
    node = helper.make_node(op, [info.name for info in infos], [f"o{k}" for k in range(outputs)], **attrs)
    results = [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in node.output]
    graph = helper.make_graph([node], "one", infos, results)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)


def by_reference(op: str, inputs: list[np.ndarray], attrs: dict[str, Any], outputs: int) -> list[np.ndarray]:
    """What onnx's own implementation gives."""
    feeds = {f"i{k}": value for k, value in enumerate(inputs)}
    return ReferenceEvaluator(model_of(op, inputs, attrs, outputs)).run(None, feeds)


def by_runtime(op: str, inputs: list[np.ndarray], attrs: dict[str, Any], outputs: int) -> list[np.ndarray]:
    """What onnxruntime gives."""
    model = model_of(op, inputs, attrs, outputs)
    for result in model.graph.output:
        result.type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(inputs[0].dtype)
    return run(model, {f"i{k}": value for k, value in enumerate(inputs)})


def agrees(wanted: list[np.ndarray], op: str, inputs: list[np.ndarray], attrs: dict[str, Any]) -> bool:
    """Whether the fold is made and gives the same elements, shapes and types."""
    found = evaluate(op, [np.asarray(value) for value in inputs], attrs, OPSET, len(wanted))
    assert found is not None, "not evaluated"
    pairs = list(zip(found, map(np.asarray, wanted), strict=True))
    return all(a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("op", EVALUATORS)
def test_a_fold_gives_what_the_reference_gives(op: str) -> None:
    cases = SPLITS if op == "Split" else [(*case, 1) for case in CASES[op]]
    wrong = [case for case in cases if not agrees(by_reference(op, *case), op, *case[:2])]
    assert cases
    assert not wrong


@pytest.mark.parametrize(("op", "case"), BEYOND_THE_REFERENCE)
def test_a_fold_gives_what_the_runtime_gives(op: str, case: Case) -> None:
    assert agrees(by_runtime(op, *case, 1), op, *case)


def test_indices_wider_than_the_data_are_not_evaluated() -> None:
    assert evaluate("GatherElements", [F, np.zeros((2, 4), np.int64)], {"axis": 0}, OPSET) is None


def test_of_powers_those_of_powers_of_two_are_evaluated_and_of_halves_what_they_hold() -> None:
    half = np.float16([0.25, 0.5])
    assert evaluate("Pow", [np.float32([3]), np.float32([5])], {}, OPSET) is None
    assert evaluate("Pow", [np.float32([2]), np.float32([0.5])], {}, OPSET) is None
    (found,) = evaluate("Sub", [np.float16([1, 1]), half], {}, OPSET) or ()
    assert (found.dtype, found.tolist()) == (np.float16, [0.75, 0.5])
    assert evaluate("Div", [np.float16([1]), np.float16([3])], {}, OPSET) is None
