from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, parser

from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.passes import CANONICALISE, PASSES
from onnxgs_opt.runtime.ort import open_session
from tests.fixtures.calls import calls
from tests.passes import golden


@pytest.mark.parametrize("case", golden.cases("canonicalise"))
def test_golden(case: str) -> None:
    golden.check("canonicalise", case)


def test_passes_go_by_their_names() -> None:
    assert all(name == each.name for name, each in PASSES.items())


def run(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    return list(open_session(model, optimise=False, threads=1).run(None, feeds))


LOOP = """
<ir_version: 8, opset_import: ["" : 17]>
g (int64 n, float[2,3] x) => (float[2,3] y) <float[1] one = {1}> {
   k = Identity (x)
   s = Shape (x)
   o = Expand (one, s)
   t = Constant <value = bool {1}> ()
   y = Loop (n, t, k) <body = b (int64 i, bool c, float[2,3] v) => (bool d, float[2,3] w) {
      d = Identity (c)
      p = Add (v, o)
      q = Add (v, o)
      half = Constant <value = float {0.5}> ()
      r = Mul (p, half)
      m = Mul (q, half)
      dead = Exp (r)
      a = Add (r, m)
      w = Identity (a)
   }>
}
"""


def test_a_loop_keeps_its_meaning() -> None:
    model = parser.parse_model(LOOP)
    graph = Graph.from_proto(model)
    assert CANONICALISE.run(graph)
    after = graph.to_proto()
    onnx.checker.check_model(after, full_check=True)
    feeds = {"n": np.asarray(3), "x": np.arange(6, dtype=np.float32).reshape(2, 3)}
    np.testing.assert_array_equal(run(after, feeds)[0], run(model, feeds)[0])
    body = next(a.g for a in after.graph.node[-1].attribute)
    assert [n.op_type for n in body.node] == ["Identity", "Add", "Mul", "Add"]
    assert [n.op_type for n in after.graph.node] == ["Loop"]


def test_shapes_that_a_body_declares_are_not_believed() -> None:
    text = LOOP.replace("p = Add (v, o)", "sh = Shape (v)\n z = Size (v)\n p = Expand (v, sh)")
    graph = Graph.from_proto(parser.parse_model(text))
    CANONICALISE.run(graph)
    body = next(a.g for a in graph.to_proto().graph.node[-1].attribute)
    assert "Shape" in [n.op_type for n in body.node]


def test_an_overridable_initialiser_is_not_a_constant() -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[2] x, float[2] k = {1, 2}) => (float[2] y) <float[2] j = {1, 2}> {
       a = Add (k, j)
       b = Add (j, j)
       c = Mul (a, b)
       y = Mul (x, c)
    }
    """
    model = parser.parse_model(text)
    graph = Graph.from_proto(model)
    CANONICALISE.run(graph)
    after = graph.to_proto()
    x, k = np.ones(2, np.float32), np.asarray([5, 6], np.float32)
    np.testing.assert_array_equal(run(after, {"x": x, "k": k})[0], run(model, {"x": x, "k": k})[0])
    np.testing.assert_array_equal(run(after, {"x": x})[0], run(model, {"x": x})[0])


def test_before_ir_4_every_initialiser_is_an_input() -> None:
    text = """
    <ir_version: 3, opset_import: ["" : 9]>
    g (float[2] x, float[2] k = {1, 2}) => (float[2] y) {
       a = Add (k, k)
       y = Mul (x, a)
    }
    """
    graph = Graph.from_proto(parser.parse_model(text))
    CANONICALISE.run(graph)
    after = graph.to_proto()
    onnx.checker.check_model(after)
    assert [i.name for i in after.graph.input] == ["x", "a"]
    np.testing.assert_array_equal(run(after, {"x": np.ones(2, np.float32)})[0], [2, 4])


def chain(count: int) -> onnx.ModelProto:
    ops = ("Abs", "Neg", "Identity", "Relu")
    nodes = [helper.make_node(ops[k % 4], [f"t{k}"], [f"t{k + 1}"], name=f"n{k}") for k in range(count)]
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in ("t0", f"t{count}")]
    graph = helper.make_graph(nodes, "chain", value[:1], value[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_work_is_linear_in_nodes() -> None:
    def canonicalise(model: onnx.ModelProto) -> None:
        graph = Graph.from_proto(model)
        CANONICALISE.run(graph)
        count = len(model.graph.node)
        assert len(graph.to_proto().graph.node) == count - count // 4

    few, many = chain(100), chain(400)
    assert calls(lambda: canonicalise(many)) < 4.1 * calls(lambda: canonicalise(few))


def test_many_readers_of_one_tensor_are_linear() -> None:
    def graph_of(count: int) -> Graph:
        nodes = [helper.make_node("Identity", ["x"], [f"i{k}"]) for k in range(count)]
        nodes += [helper.make_node("Sum", [f"i{k}" for k in range(count)], ["y"])]
        value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in ("x", "y")]
        return Graph.from_proto(helper.make_model(helper.make_graph(nodes, "g", value[:1], value[1:])))

    few, many = graph_of(50), graph_of(200)
    assert calls(lambda: CANONICALISE.run(many)) < 4.1 * calls(lambda: CANONICALISE.run(few))
    assert len(few.nodes) == len(many.nodes) == 1
