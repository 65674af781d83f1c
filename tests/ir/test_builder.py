from __future__ import annotations

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.ir.constants import constant_value
from onnxgs_opt.ir.evaluator import EVALUATORS, evaluate
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.runtime.ort import open_session

OPSETS = [o for o in (11, 12, 13, 16, 17, 18, 20, 21, 23, 24) if o <= onnx.defs.onnx_opset_version()]
X = np.random.default_rng(0).normal(size=(3, 4, 6)).astype(np.float32)


def empty(opset: int, shape: list[int | str | None]) -> Graph:
    """y = Relu(x); what is built replaces y."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"], name="p/Add")],
        "g",
        [value("x", TensorProto.FLOAT, ["N", 4, 6])],
        [value("y", TensorProto.FLOAT, shape)],
    )
    return Graph.from_proto(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", opset)]))


def require_runnable(opset: int) -> None:
    """Skip where onnxruntime is too old to load models of an opset."""
    try:
        ort.InferenceSession(empty(opset, [None, None]).to_proto().SerializeToString())
    except ort.capi.onnxruntime_pybind11_state.InvalidArgument:
        pytest.skip(f"onnxruntime {ort.__version__} loads no model of opset {opset}")


def result(graph: Graph, tensor: gs.Tensor) -> np.ndarray:
    graph.replace_all_uses(graph.outputs[0], tensor)
    graph.remove_dead()
    model = graph.to_proto()
    onnx.checker.check_model(model, full_check=True)
    return open_session(model, threads=1).run(None, {"x": X})[0]


@pytest.mark.parametrize("opset", [o for o in OPSETS if o <= 23])
def test_every_spelling_runs_at_every_opset(opset: int) -> None:
    require_runnable(opset)
    graph = empty(opset, [None, None])
    build, x = Builder(graph, "p"), graph.tensor("x")
    left, right = build.split(x, 2, [2, 4])
    both = build.concat([build.transpose(left, [0, 2, 1]), build.slice(build.transpose(right, [0, 2, 1]), 1, 1, 4)], 1)
    total = build.squeeze(build.unsqueeze(build.reduce_sum(both, 1, keepdims=True), [0]), [0, 2])
    kept = build.op("Where", build.op("Less", total, 0.5), total, 1.0)
    index = build.clip(build.cast(kept, np.int64), 0, 3)
    out = build.op("Add", kept, build.cast(index, np.float32))
    assert [t.dtype for t in (kept, index, out)] == [np.float32, np.int64, np.float32]
    want = X[:, :, :2].sum(2) + X[:, :, 3:6].sum(2)
    want = np.where(want < 0.5, want, 1).astype(np.float32)
    np.testing.assert_allclose(result(graph, out), want + np.clip(np.trunc(want), 0, 3), rtol=1e-5)


@pytest.mark.parametrize("opset", OPSETS)
def test_dims_and_reshapes(opset: int) -> None:
    graph = empty(opset, [None, None])
    build, x = Builder(graph, "p"), graph.tensor("x")
    batch = build.dim(x, 0)
    assert build.dim(x, 0) is batch is build.dim(x, -3)
    assert (build.dim(x, 1), build.dim(x, -1)) == (4, 6)
    assert build.dims_product([2, 3]) == 6
    assert build.dims_product([]) == 1
    assert build.reshape(build.reshape(x, [batch, 24]), [batch, build.dims_product([4, 6])]).shape == [
        None,
        24,
    ]
    assert build.reshape(x, [batch, 4, 6]) is x
    assert build.reshape(x, [batch, 6, 4]) is not x
    doubled = build.dims_product([batch, 2, batch])
    assert doubled.shape == [1]
    flat = build.reshape(x, [batch, 2, 12])
    square = build.reshape(flat, [build.dims_product([batch, 4]), build.dims_product([2, 3])])
    if opset <= 23:
        require_runnable(opset)
        np.testing.assert_array_equal(result(graph, square), X.reshape(12, 6))


def test_what_does_nothing_makes_no_node() -> None:
    graph = empty(17, [None, None])
    build, x = Builder(graph, "p"), graph.tensor("x")
    static = gs.Variable("s", np.dtype(np.float32), [2, 3])
    assert build.reshape(static, [2, -1]) is static
    assert build.transpose(x, [0, 1, 2]) is x
    assert build.cast(x, np.float32) is x
    assert build.slice(x, 1, 0, 4) is x
    assert build.unsqueeze(x, []) is x
    assert build.squeeze(x, []) is x
    assert build.concat([x], 0) is x
    assert build.split(x, 1, [4]) == (x,)
    assert len(graph.nodes) == 1


def test_constants_fold_and_are_shared() -> None:
    graph = empty(17, [None, None])
    build = Builder(graph, "p")
    six = build.op("Mul", build.const([1, 2]), 3)
    assert constant_value(six).tolist() == [3, 6]
    assert six.dtype == np.int64
    assert six is build.const(np.asarray([3, 6]))
    assert build.const(1) is not build.const(1.0)
    assert build.const(1.0).dtype == np.float32
    assert build.const(0.0) is not build.const(-0.0)
    assert build.const(1, np.float16).dtype == np.float16
    parts = build.split(build.const(np.arange(5)), 0, [2, 3])
    assert [constant_value(t).tolist() for t in parts] == [[0, 1], [2, 3, 4]]
    assert len(graph.nodes) == 1


def test_numbers_take_the_type_of_the_tensor() -> None:
    graph = empty(17, [None, None])
    build = Builder(graph, "p")
    half = gs.Variable("h", np.dtype(np.float16), [2])
    node = build.op("Mul", 2, half).inputs[0]
    assert node.inputs[0].dtype == np.float16


def test_names_never_collide() -> None:
    graph = empty(17, [None, None])
    x = graph.tensor("x")
    for _ in range(2):
        build = Builder(graph, "p")
        build.op("Add", x, build.const(1.5))
        build.op("Add", x, build.const(2.5))
    names = [n.name for n in graph.nodes] + list(graph.tensors())
    assert len(set(names)) == len(names)


def test_omitted_inputs_several_outputs_and_domains() -> None:
    graph = empty(17, [None, None])
    build, x = Builder(graph, "p"), graph.tensor("x")
    clipped = build.op("Clip", x, None, 1.0)
    assert [t.name == "" for t in clipped.inputs[0].inputs] == [False, True, False]
    values, indices = build.op("TopK", x, build.const([2]), outputs=2, axis=-1)
    assert (values.dtype, indices.inputs[0].op) == (np.float32, "TopK")
    custom = build.op("BilinearSample", x, domain="onnxgs", dtype=np.float32, shape=[1, 2], border=None, layout=1)
    assert (custom.inputs[0].domain, custom.inputs[0].attrs, custom.shape) == (
        "onnxgs",
        {"layout": 1},
        [1, 2],
    )


# -- evaluation against onnxruntime ---------------------------------------------------------------

L, F = np.int64, np.float32
CALLS: list[tuple[str, list[object], dict[str, object]]] = [
    ("Div", [np.asarray([-7, 7, -7, 6], L), np.asarray([2, -2, -2, 3], L)], {}),
    ("Mod", [np.asarray([-7, 7, -7], L), np.asarray([3, -3, -3], L)], {}),
    ("Mod", [np.asarray([-7, 7, -7], L), np.asarray([3, -3, -3], L)], {"fmod": 1}),
    ("Round", [np.asarray([0.5, 1.5, -2.5], F)], {}),
    ("Slice", [np.arange(10), [8], [-100], [0], [-3]], {}),
    ("Slice", [np.arange(10), [-3], [100], [0], [1]], {}),
    ("Slice", [np.arange(12).reshape(3, 4), [1, 0], [3, -1], [0, 1], [1, 2]], {}),
    ("Split", [np.arange(6), [2, 4]], {}),
    ("Gather", [np.arange(12).reshape(3, 4), np.asarray([[0, -1]])], {"axis": 1}),
    ("GatherElements", [np.arange(6).reshape(2, 3), np.asarray([[0, -1, 1]])], {"axis": 0}),
    ("Concat", [np.arange(3), np.arange(2)], {"axis": 0}),
    ("ConstantOfShape", [np.asarray([2, 3])], {}),
    ("Range", [np.asarray(7), np.asarray(0), np.asarray(-2)], {}),
    ("Expand", [np.arange(3).reshape(3, 1), np.asarray([2, 1, 4])], {}),
    ("Tile", [np.arange(3).reshape(1, 3), np.asarray([2, 2])], {}),
    ("Where", [np.asarray([True, False]), np.asarray([1, 2]), np.asarray([3])], {}),
    ("Cast", [np.asarray([-1.7, 2.9], F)], {"to": TensorProto.INT64}),
    ("Cast", [np.asarray([0, 3, -1])], {"to": TensorProto.BOOL}),
    ("ReduceProd", [np.arange(1, 7).reshape(2, 3)], {"axes": [1], "keepdims": 0}),
    ("ReduceMax", [np.arange(6).reshape(2, 3)], {}),
    ("ReduceSum", [np.arange(6).reshape(2, 3), np.asarray([0])], {"keepdims": 1}),
    ("Squeeze", [np.zeros((1, 2, 1), F)], {}),
    ("Unsqueeze", [np.zeros(2, F), np.asarray([0, -1])], {}),
    ("Reshape", [np.arange(6).reshape(2, 3), np.asarray([0, -1, 1])], {}),
    ("Flatten", [np.arange(24).reshape(2, 3, 4)], {"axis": -1}),
    ("Flatten", [np.arange(24).reshape(2, 3, 4)], {"axis": 0}),
    ("Transpose", [np.arange(6).reshape(2, 3)], {}),
    ("Shape", [np.zeros((2, 3, 4), F)], {"start": 1}),
    ("Clip", [np.asarray([-3, 0, 9]), np.asarray(-1), np.asarray(5)], {}),
    ("Min", [np.asarray([1, 5]), np.asarray([3]), np.asarray([2, 2])], {}),
    ("Sign", [np.asarray([-3, 0, 9])], {}),
    ("Sqrt", [np.asarray([2.0, 3.0], F)], {}),
    ("ScatterND", [np.arange(5), np.asarray([[1], [3]]), np.asarray([9, 8])], {}),
    ("Equal", [np.asarray([1, 2]), np.asarray([1, 3])], {}),
    ("Xor", [np.asarray([True, True]), np.asarray([True, False])], {}),
]


@pytest.mark.parametrize(("op", "inputs", "attrs"), CALLS)
def test_evaluation_agrees_with_onnxruntime(op: str, inputs: list[object], attrs: dict[str, object]) -> None:
    arrays = [np.asarray(a) for a in inputs]
    count = 2 if op == "Split" else 1
    got = evaluate(op, arrays, attrs, 17, count)
    assert got is not None
    node = helper.make_node(op, [f"i{k}" for k in range(len(arrays))], [f"o{k}" for k in range(count)], **attrs)
    values = [
        helper.make_tensor_value_info(f"i{k}", helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for k, a in enumerate(arrays)
    ]
    outs = [
        helper.make_tensor_value_info(f"o{k}", helper.np_dtype_to_tensor_dtype(a.dtype), None)
        for k, a in enumerate(got)
    ]
    model = helper.make_model(
        helper.make_graph([node], "g", values, outs),
        ir_version=8,
        opset_imports=[helper.make_opsetid("", 17)],
    )
    want = open_session(model, threads=1).run(None, {f"i{k}": a for k, a in enumerate(arrays)})
    for mine, theirs in zip(got, want, strict=True):
        assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape)
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(
    ("op", "inputs", "attrs"),
    [
        ("Div", [np.asarray([1]), np.asarray([0])], {}),
        ("Cast", [np.asarray([1e30], F)], {"to": TensorProto.INT64}),
        ("Cast", [np.asarray([np.nan], F)], {"to": TensorProto.INT64}),
        ("Gather", [np.arange(3), np.asarray([3])], {}),
        ("Range", [np.asarray(0), np.asarray(10**12), np.asarray(1)], {}),
        ("Expand", [np.asarray([1]), np.asarray([1 << 40])], {}),
        ("ConstantOfShape", [np.asarray([-1])], {}),
        ("Tile", [np.arange(3), np.asarray([1 << 40])], {}),
        ("Add", [np.asarray([3e38], F), np.asarray([3e38], F)], {}),
        ("Add", [np.asarray([1]), np.asarray([1.0], F)], {}),
        ("Exp", [np.asarray([1.0], F)], {}),
        ("Reshape", [np.arange(6), np.asarray([4])], {}),
        ("Slice", [np.arange(6), np.asarray([0])], {}),
        ("Mod", [np.asarray([1.0], F), np.asarray([1.0], F)], {}),
        ("Not", [], {}),
        ("Mul", [np.asarray([0.1], np.float16), np.asarray([0.1], np.float16)], {}),
        ("Cast", [np.asarray([0.1], F)], {"to": TensorProto.FLOAT16}),
    ],
)
def test_what_runtimes_disagree_on_is_not_evaluated(op: str, inputs: list[object], attrs: dict[str, object]) -> None:
    assert evaluate(op, [np.asarray(a) for a in inputs], attrs, 17) is None


def test_no_evaluator_survives_nonsense() -> None:
    for op in EVALUATORS:
        for inputs in ([], [None], [np.zeros((0, 2), np.int64)], [np.asarray([1.0], np.float32)] * 3):
            evaluate(op, inputs, {"axis": 99, "axes": [99], "perm": [7], "to": 1, "split": [5]}, 17)


@pytest.mark.parametrize("opset", [o for o in OPSETS if o >= 16])
def test_results_have_types_and_shapes_with_names(opset: int) -> None:
    graph = empty(opset, [None, None])
    build, x = Builder(graph, "p"), graph.tensor("x")
    for op_type in ("GreaterOrEqual", "LessOrEqual", "Less", "Equal"):
        test = build.op(op_type, x, 0.5)
        assert (test.dtype, test.shape) == (np.dtype(bool), ["N", 4, 6])
    assert build.transpose(x, [2, 0, 1]).shape == [6, "N", 4]
    assert build.op("GridSample", build.unsqueeze(x, [1]), np.zeros((1, 5, 7, 2), np.float32)).shape[1:] == [1, 5, 7]
    foreign = build.op("Unheard", x, domain="a.example")
    assert (build.op("Relu", foreign).dtype, build.op("Relu", foreign).shape) == (None, None)
    assert [build.op(op_type, foreign, 0).dtype for op_type in ("Less", "Gather")] == [np.dtype(bool), None]
    assert (build.op("Cast", foreign, to=7).dtype, build.op("Shape", foreign).dtype) == (np.int64, np.int64)
