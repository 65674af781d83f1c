"""Makes the seeds of the fuzzers anew: `python -m tests.campaigns.reliability.corpus`."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import AttributeProto, ModelProto, TensorProto, helper, parser

from tests.campaigns.reliability.corpus import FOLDER

FIXTURES = Path(__file__).parents[3] / "fixtures"

TEXTS = {
    "chain": '<ir_version: 8, opset_import: ["" : 17]> g (float[2,3] a) => (float[2,3] b) { c = Abs(a) b = Neg(c) }',
    "two-outputs": """<ir_version: 8, opset_import: ["" : 13]>
        g (float[n,4] a) => (float[n,2] l, float[n,2] r) { l, r = Split <axis = 1> (a) }""",
    "initialisers": """<ir_version: 8, opset_import: ["" : 17]>
        g (float[2,2] a) => (float[2,2] b) <float[2] w = {1.5, -2}, int64[2] s = {2, 2}>
        { c = Mul(a, w) b = Reshape(c, s) }""",
    "folded": """<ir_version: 8, opset_import: ["" : 17]>
        g (float[2,3] a) => (float[3,2] b) <int64[1] zero = {0}, int64[1] one = {1}>
        { s = Shape(a) h = Gather(s, zero) w = Gather(s, one) t = Concat <axis = 0> (w, h) b = Reshape(a, t) }""",
    "constants": """<ir_version: 8, opset_import: ["" : 17]>
        g (float[3] a) => (float[3] b)
        { k = Constant <value = float[3] {1, 2, 3}> () i = Identity(k) c = Add(a, i) d = Add(a, k) b = Mul(c, d) }""",
    "branches": """<ir_version: 8, opset_import: ["" : 17]>
        g (bool c, float[2] a) => (float[2] b)
        { d = Abs(a)
          b = If (c) < then_branch = t () => (float[2] p) { p = Neg(d) },
                       else_branch = e () => (float[2] q) <float[2] w = {1, 2}> { q = Mul(a, w) } > }""",
    "loop": """<ir_version: 8, opset_import: ["" : 17]>
        g (int64 n, bool c, float[2] a) => (float[2] b, float[m,2] all)
        { b, all = Loop (n, c, a) < body = l (int64 i, bool go, float[2] x) => (bool on, float[2] y, float[2] out)
          { on = Identity(go) y = Add(x, x) out = Identity(y) } > }""",
    "function": """<ir_version: 8, opset_import: ["" : 17, "local" : 1]>
        g (float[2] x) => (float[2] y) { y = local.f <k = 2.0> (x) }
        <domain: "local", opset_import: ["" : 17]>
        f <k> (a) => (b) { c = Constant <value_float : float = @k> () d = Mul(a, c) b = Abs(d) }""",
    "custom-domain": """<ir_version: 8, opset_import: ["" : 17, "acme" : 3]>
        g (float[2] x) => (y) { z = acme.Thing <mode = "fast", sizes = [1, 2]> (x) y = Abs(z) }""",
    "optional-inputs": """<ir_version: 8, opset_import: ["" : 17]>
        g (float[4] x) => (float[4] y) <float high = {6}> { y = Clip(x, , high) }""",
    "table": """<ir_version: 8, opset_import: ["" : 17]>
        g (int64[n] i) => (float[n,2] y) <float[3,2] t = {1, 2, 3, 4, 5, 6}> { y = Gather(t, i) }""",
    "two-reads": """<ir_version: 8, opset_import: ["" : 17]>
        g (float[9] t, float[n] p) => (float[n] y) <float one = {1}, float low = {0}, float high = {8}>
        { f = Floor(p) g = Add(f, one) u = Sub(p, f) v = Sub(one, u)
          a = Clip(f, low, high) i = Cast <to = 7> (a) b = Clip(g, low, high) j = Cast <to = 7> (b)
          r = Gather(t, i) s = Gather(t, j) m = Mul(r, v) k = Mul(s, u) y = Add(m, k) }""",
    "grid-sample": """<ir_version: 8, opset_import: ["" : 17]>
        g (float[1,2,5,6] image, float[1,3,4,2] grid) => (float[1,2,3,4] y)
        { y = GridSample <align_corners = 1, mode = "bilinear", padding_mode = "zeros"> (image, grid) }""",
    "grid-sample-20": """<ir_version: 9, opset_import: ["" : 20]>
        g (float[N,2,H,W] image, float[N,h,w,2] grid) => (float[N,2,h,w] y)
        { y = GridSample <mode = "linear", padding_mode = "border"> (image, grid) }""",
    "integer-clip": """<ir_version: 6, opset_import: ["" : 11]>
        g (int64[4] x) => (int64[4] y) <int64 low = {0}, int64 high = {3}> { y = Clip(x, low, high) }""",
    "shapes": """<ir_version: 8, opset_import: ["" : 17]>
        g (float[n,c] x) => (float[n,c] y) <int64[1] z = {0}, int64 e = {1}>
        { s = Shape(x) n = Gather(s, e) u = Unsqueeze(n, z) o = ConstantOfShape <value = float[1] {2}> (u)
          y = Add(x, o) }""",
    "nothing": '<ir_version: 8, opset_import: ["" : 17]> g (float[2] a) => (float[2] a) {}',
}

SAMPLERS = {
    "sampler-lerp": "policy=ranged grid=list points=flat layout=ROWS read=columns batch=single weights=lerp-delta",
    "sampler-border": "policy=border-grid coordinates=ac1-scale grid=pair-flat points=flat layout=CHW read=nd-row"
    " batch=single weights=expanded clamp=minmax sum=reduce values=channels-first output=channels-first repeat=True",
    "sampler-interior": "grid=xy-gather points=flat layout=NHWC read=nd-batch batch=implicit",
    "sampler-index": "policy=border-index grid=xy-gather points=flat layout=CHW batch=single weights=fraction"
    " clamp_on=int order=2 flip=True values=channels-first output=reshaped opset=20",
}
"""Spellings, as `tests.fixtures.spellings.parse` reads them."""


EXPORTS = {
    "resize-line": "resizes/linear.st",
    "resize-rows": "resizes/rows.st",
    "resize-lerps": "resizes/lerps.st",
    "boxes": "rois/crop.dy.dyn",
}
"""Small files of tests/fixtures."""


def models() -> dict[str, ModelProto]:
    """Every seed by name, made anew."""
    from tests.fixtures.spellings import build, parse

    made = {name: parser.parse_model(text) for name, text in TEXTS.items()}
    made |= {name: build(parse(text)) for name, text in SAMPLERS.items()}
    made |= {name: onnx.load(FIXTURES / f"{path}.onnx") for name, path in EXPORTS.items()} | _kinds()
    return made | {"rich": _rich(), "old": _old(), "types": _types(), "outside": _outside(), "sparse": _sparse()}


def _kinds() -> dict[str, ModelProto]:
    """Samplers of other kernels and along other axes, and what is made of samplers."""
    from tests.fixtures import deform, kernels
    from tests.fixtures.attention import text

    return {
        "nearest-plane": kernels.build(kernels.Spelling("nearest", 2, "border", dynamic=True)),
        "cubic-line": kernels.build(kernels.Spelling("cubic", 1, "wrap")),
        "floor-volume": kernels.build(kernels.Spelling("floor", 3, "zeros x border x wrap", "floor")),
        "deform-rows": deform.build(deform.Spelling(read="gather", masked=False)),
        "deform-grid": deform.build(deform.Spelling(offset_groups=2, fold="matmul")),
        "attention": text.uneven(),
        "attention-halves": text.in_halves(text.model()),
    }


def _rich() -> ModelProto:
    """Every text and note that a model can carry."""
    model = parser.parse_model(TEXTS["initialisers"])
    model.doc_string, model.producer_name, model.domain, model.model_version = "why", "me", "d", 7
    model.metadata_props.add(key="author", value="someone")
    graph = model.graph
    graph.doc_string, graph.node[0].doc_string, graph.input[0].doc_string = "graph", "node", "input"
    graph.metadata_props.add(key="g", value="1")
    graph.node[0].metadata_props.add(key="n", value="2")
    graph.node[0].name = "layer/Mul"
    graph.value_info.append(helper.make_tensor_value_info("c", TensorProto.FLOAT, ["N", 2]))
    note = graph.quantization_annotation.add(tensor_name="c")
    note.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="w")
    return model


def _old() -> ModelProto:
    """IR 3: every initialiser is an input too."""
    model = parser.parse_model(
        '<ir_version: 3, opset_import: ["" : 8]> g (float[2] a, float[2] w) => (float[2] b) { b = Mul(a, w) }'
    )
    model.graph.initializer.append(helper.make_tensor("w", TensorProto.FLOAT, [2], [1, 2]))
    return model


def _types() -> ModelProto:
    """Sequences, optionals, half types, texts, and an attribute that is no UTF-8."""
    seq = helper.make_tensor_sequence_value_info("q", TensorProto.FLOAT, None)
    maybe = helper.make_node("Optional", [], ["maybe"], name="opt")
    maybe.attribute.append(helper.make_attribute("type", helper.make_tensor_type_proto(TensorProto.FLOAT, [2])))
    raw = helper.make_node("Custom", ["h"], ["raw"], domain="odd")
    raw.attribute.append(AttributeProto(name="bytes", type=AttributeProto.STRING, s=b"\xff\xfe"))
    nodes = [helper.make_node("SequenceConstruct", ["x", "x"], ["q"]), maybe, raw]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [])]
    tensors = [
        helper.make_tensor("h", TensorProto.BFLOAT16, [2], [1.0, 2.0]),
        helper.make_tensor("texts", TensorProto.STRING, [2], [b"a", b"\xff"]),
    ]
    outputs = [seq, helper.make_tensor_value_info("raw", TensorProto.FLOAT16, ["k"])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("odd", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def _outside() -> ModelProto:
    """Weights in another file, which fuzzing never has at hand."""
    model = parser.parse_model(TEXTS["initialisers"])
    weight = model.graph.initializer[0]
    weight.CopyFrom(TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL))
    for key, value in (("location", "weights.bin"), ("offset", "0"), ("length", "8")):
        weight.external_data.add(key=key, value=value)
    return model


def _sparse() -> ModelProto:
    model = parser.parse_model('<ir_version: 8, opset_import: ["" : 17]> g (float[4] a) => (float[4] b) { b = Abs(a) }')
    values = helper.make_tensor("s", TensorProto.FLOAT, [1], [1.0])
    where = helper.make_tensor("", TensorProto.INT64, [1], [2])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, where, [4]))
    return model


def main() -> None:
    """Write the files."""
    for name, model in models().items():
        (FOLDER / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
