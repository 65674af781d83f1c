"""Layout rules: every element of a chain's output is the element of its input that onnxruntime puts there."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from onnx import numpy_helper, parser

from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.recognition.lifting.dynamic_dims import settle, symbols
from onnxgs_opt.recognition.lifting.lift import Lift
from onnxgs_opt.recognition.lifting.shape_inference import infer
from onnxgs_opt.runtime.ort import open_session

HEAD = '<ir_version: 8, opset_import: ["": 17]>\ng (float[2,3,4,5] x) => (float[d0] y)\n'
CHAINS = {
    "transpose": "y = Transpose <perm = [2, 0, 3, 1]> (x)",
    "flatten": "y = Flatten <axis = 2> (x)",
    "merge and split": "<int64[3] s = {6, 2, 10}> { y = Reshape (x, s) }",
    "mixed runs": "<int64[4] s = {3, 8, 1, 5}> { y = Reshape (x, s) }",
    "squeeze": "<int64[2] a = {0, 5}> { t = Unsqueeze (x, a) y = Squeeze (t, a) }",
    "slice": "<int64[2] s = {1, -4}, int64[2] e = {100, 5}, int64[2] a = {1, 3}, int64[2] t = {1, 2}> "
    "{ y = Slice (x, s, e, a, t) }",
    "slice backwards": "<int64[1] s = {-1}, int64[1] e = {-100}, int64[1] a = {2}, int64[1] t = {-1}> "
    "{ y = Slice (x, s, e, a, t) }",
    "split": "<int64[2] n = {1, 4}> { t, y = Split <axis = -1> (x, n) }",
    "concat": "<int64[2] n = {2, 3}> { a, b = Split <axis = 3> (x, n) y = Concat <axis = 3> (b, a) }",
    "expand": "<int64[1] a = {0}, int64[5] s = {3, 2, 3, 4, 5}> { t = Unsqueeze (x, a) y = Expand (t, s) }",
    "tile": "<int64[4] r = {1, 2, 1, 3}> { y = Tile (x, r) }",
    "gather": "<int64[3] i = {2, 0, -1}> { y = Gather <axis = 1> (x, i) }",
    "gather elements": "<int64[2,3,4,1] i = {0,1,2,3,4,0,1,2,3,4,0,1,-1,1,2,3,4,0,1,2,3,4,0,1}> "
    "{ y = GatherElements <axis = 3> (x, i) }",
    "gather nd": "<int64[2,2] i = {1, 2, 0, -1}> { y = GatherND (x, i) }",
    "gather nd of a batch": "<int64[2,1] i = {2, 1}> { y = GatherND <batch_dims = 1> (x, i) }",
    "pad": "<int64[8] p = {0, 0, 1, 2, 0, 0, 1, 0}> { y = Pad (x, p) }",
    "pad with edges": '<int64[8] p = {0, 0, 0, 1, 0, 0, 0, 2}> { y = Pad <mode = "edge"> (x, p) }',
    "pad by mirroring": '<int64[8] p = {0, 0, 0, 2, 0, 0, 0, 3}> { y = Pad <mode = "reflect"> (x, p) }',
    "sum": "<int64[1] a = {3}> { y = ReduceSum <keepdims = 0> (x, a) }",
    "largest": "y = ReduceMax <axes = [3], keepdims = 0> (x)",
    "smallest": "y = ReduceMin <axes = [1, 3]> (x)",
    "sum of nothing": "<int64[1] k = {0}, int64[1] a = {3}> { t = Slice (x, k, k, a) "
    "y = ReduceSum <keepdims = 0> (t, a) }",
    "product of nothing": "<int64[1] k = {0}, int64[1] a = {3}> { t = Slice (x, k, k, a) "
    "y = ReduceProd <axes = [3]> (t) }",
    "product": "<float[5,2] w = {1, 0, 2, 0, 0, 3, 1, 1, 0.5, 4}> { y = MatMul (x, w) }",
    "reversed": "<int64[2] n = {3, 3}> { y = ReverseSequence <time_axis = 1, batch_axis = 0> (x, n) }",
    "mean": "<float[1] h = {0.5}> { y = Mean (x, h, x) }",
    "bits": "<int64 k = {0}, int64 n = {20}, int64 one = {1}, uint32 two = {2}, uint32 three = {3}> "
    '{ r = Range (k, n, one) u = Cast <to = 12> (r) a = BitShift <direction = "LEFT"> (u, three) '
    'b = BitShift <direction = "RIGHT"> (a, two) y = Cast <to = 1> (b) }',
    "bits lost": "<int64 k = {0}, int64 n = {20}, int64 one = {1}, uint32 two = {2}> "
    '{ r = Range (k, n, one) u = Cast <to = 12> (r) b = BitShift <direction = "RIGHT"> (u, two) '
    "y = Cast <to = 1> (b) }",
    "arithmetic": "<float h = {0.5}> { a = Mul (x, h) b = Sub (x, a) c = Neg (b) y = Sum (a, b, c) }",
}


def source(chain):
    return parser.parse_model(HEAD + (chain if "{ " in chain else "{ " + chain + " }"))


def number(expr, arrays, index):
    """The value of a lifted element, from the arrays of the input and the constants by name."""
    if expr.op == "idx":
        return index[expr.args[0]]
    if expr.op == "elem":
        return arrays[expr.args[0]][tuple(int(number(i, arrays, index)) for i in expr.args[1])]
    if expr.op == "lin":
        return float(expr.constant) + sum(float(c) * number(t, arrays, index) for t, c in expr.terms)
    if expr.op == "mul":
        return number(expr.args[0], arrays, index) * number(expr.args[1], arrays, index)
    if expr.op == "floor":
        return np.floor(number(expr.args[0], arrays, index) + 1e-9)
    if expr.op == "ge":
        return float(number(expr.args[0], arrays, index) >= 0)
    condition, a, b = expr.args
    return number(a if number(condition, arrays, index) else b, arrays, index)


LOWEST_BITS = """<ir_version: 8, opset_import: ["": 18]>
g (float[2,3,4,5] x) => (float[d0] y) <float h = {500}, int8 three = {3}> {
  far = Mul (x, h)  whole = Floor (far)  short = Cast <to = 3> (whole)  bits = BitwiseAnd (three, short)
  y = Cast <to = 1> (bits)
}"""
"""Of numbers that int8 does not hold: their lowest bits are what they were."""


@pytest.mark.parametrize("chain", [*CHAINS.values(), LOWEST_BITS], ids=[*CHAINS, "lowest bits"])
def test_elements_are_where_onnxruntime_puts_them(chain):
    model = parser.parse_model(chain) if chain is LOWEST_BITS else source(chain)
    scope = Scope.of(Graph.from_proto(model).gs)
    lift = Lift(scope, infer(scope, {}))
    root, _ = lift.root("y")
    data = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    expected = open_session(model, threads=1).run(None, {"x": data})[0]
    assert lift.shape("y") == expected.shape
    arrays = {"x": data} | {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    for index in itertools.product(*map(range, expected.shape)):
        assert number(root, arrays, index) == pytest.approx(expected[index], abs=1e-5), index


def test_what_has_no_rule_is_a_leaf():
    scope = Scope.of(Graph.from_proto(source("t = Sin (x) y = Transpose (t)")).gs)
    root, _ = Lift(scope, infer(scope, {})).root("y")
    assert (root.op, root.args[0]) == ("elem", "t")


def test_two_tensors_that_mix_are_one_coordinate():
    text = '<ir_version: 8, opset_import: ["": 17]>\ng (float[7] base, float[7] flow) => (float[7] y)'
    scope = Scope.of(Graph.from_proto(parser.parse_model(text + "{ p = Add (base, flow) y = Floor (p) }")).gs)
    root, _ = Lift(scope, infer(scope, {})).root("y")
    assert [leaf.args[0] for leaf in root.leaves] == ["p"]


def test_dims_that_have_to_be_equal_are_found_out():
    text = '<ir_version: 8, opset_import: ["": 17]>\ng (float[n,3] a, float[m,3] b) => (float[n,3] y)'
    scope = Scope.of(Graph.from_proto(parser.parse_model(text + "{ y = Add (a, b) }")).gs)
    assert symbols(scope) == ["n", "m"]
    sizes, facts = settle(scope, {"n": 7, "m": 9})
    assert sizes["n"] == sizes["m"]
    assert facts["y"].shape == (sizes["n"], 3)


def test_dims_that_may_be_two_stay_two():
    """One batch for three inputs makes all products fit; rows and columns of the maps are nobody's but their own."""
    text = """<ir_version: 8, opset_import: ["": 17]>
    g (float[n,h,w] a, float[m,k,v] b, float[p,2] c) => (float[n,q] y) {
      batch = Shape<start = 0, end = 1>(c)
      rest = Constant<value_ints = [-1]>()
      flat = Concat<axis = 0>(batch, rest)
      left = Reshape(a, flat)
      right = Reshape(b, flat)
      y = Concat<axis = 1>(left, right)
    }"""
    scope = Scope.of(Graph.from_proto(parser.parse_model(text)).gs)
    sizes, facts = settle(scope, {"n": 7, "h": 9, "w": 11, "m": 13, "k": 17, "v": 19, "p": 23})
    assert len({sizes["n"], sizes["m"], sizes["p"]}) == 1
    assert len(set(sizes.values())) == 5
    assert facts["y"].shape == (sizes["n"], sizes["h"] * sizes["w"] + sizes["k"] * sizes["v"])


def test_indices_of_another_batch_are_of_the_images():
    """Exporters name both batches by themselves; more indices than images would not run."""
    text = '<ir_version: 8, opset_import: ["": 17]>\ng (float[n,3] image, int64[m,p] at) => (float[m,p] y)'
    scope = Scope.of(Graph.from_proto(parser.parse_model(text + "{ y = GatherElements<axis=1> (image, at) }")).gs)
    sizes, facts = settle(scope, {"n": 7, "m": 9, "p": 11})
    assert sizes["n"] == sizes["m"]
    assert facts["y"].shape == (sizes["n"], 11)
