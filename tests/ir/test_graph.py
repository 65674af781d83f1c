from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import pytest
from onnx import AttributeProto, TensorProto, helper, numpy_helper, parser

from onnxgs_opt.errors import ModelError, OptError, UsageError
from onnxgs_opt.ir.constants import constant_value
from onnxgs_opt.ir.graph import Graph

TEXT = """
<ir_version: 10, opset_import: ["" : 17, "local" : 1]>
g (bool c, float[N,2] x, float[2] k = {1, 2}) => (float[N,2] y)
<float[2] w = {3, 4}, float[2] free = {5, 6}> {
   a = Add (x, w)
   b = local.f (a)
   z = If (c) <
      then_branch = t () => (float[N,2] p) { p = Add (b, k) },
      else_branch = e () => (float[N,2] q) <float[2] own = {7, 8}> { r = Mul (b, own) q = Sub (r, w) }
   >
   y = Relu (z)
}
<domain: "local", opset_import: ["" : 17]>
f (u) => (v) { o = Constant <value = float {1}> () v = Add (u, o) }
"""


def full_model() -> onnx.ModelProto:
    """A model with everything that graphsurgeon's own import and export lose."""
    model = parser.parse_model(TEXT)
    model.doc_string, model.producer_name, model.domain, model.model_version = "why", "me", "d", 7
    model.metadata_props.add(key="author", value="someone")
    graph = model.graph
    graph.doc_string = "graph why"
    graph.metadata_props.add(key="g", value="1")
    graph.input[0].doc_string = "the condition"
    graph.node[0].doc_string = "node why"
    graph.node[0].metadata_props.add(key="n", value="2")
    note = graph.quantization_annotation.add(tensor_name="a")
    note.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="w")
    optional = helper.make_node("Optional", [], ["maybe"], name="opt")
    optional.attribute.append(helper.make_attribute("type", helper.make_tensor_type_proto(TensorProto.FLOAT, [2])))
    raw = helper.make_node("Custom", ["x"], ["raw"], domain="odd")
    raw.attribute.append(AttributeProto(name="bytes", type=AttributeProto.STRING, s=b"\xff\xfe"))
    graph.node.extend([optional, raw])
    model.opset_import.add(domain="odd", version=3)
    graph.value_info.append(helper.make_tensor_value_info("a", TensorProto.FLOAT, ["N", 2]))
    graph.value_info.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [2]))
    half = helper.make_tensor("h", TensorProto.BFLOAT16, [2], [1.0, 2.0])
    graph.initializer.append(half)
    sparse = helper.make_sparse_tensor(
        helper.make_tensor("s", TensorProto.FLOAT, [1], [1.0]),
        helper.make_tensor("", TensorProto.INT64, [1], [2]),
        [4],
    )
    graph.sparse_initializer.append(sparse)
    model.functions[0].doc_string = "function why"
    return model


def test_a_round_trip_loses_nothing() -> None:
    model = full_model()
    assert Graph.from_proto(model).to_proto() == full_model()


def test_a_copy_is_equal_and_independent() -> None:
    graph = Graph.from_proto(full_model())
    other = graph.copy()
    assert other.to_proto() == full_model()
    other.nodes[0].name = "renamed"
    other.set_metadata("author", "else")
    next(iter(other.subgraphs())).nodes[0].name = "renamed too"
    assert graph.to_proto() == full_model()


def test_attributes_can_be_changed() -> None:
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[2,3] x) => (float[3,2] y) '
        "{ y = Transpose <perm = [0, 1]> (x) }"
    )
    graph = Graph.from_proto(model)
    graph.nodes[0].attrs["perm"][0] = 1
    graph.nodes[0].attrs["perm"][1] = 0
    assert list(graph.to_proto().graph.node[0].attribute[0].ints) == [1, 0]


def test_constant_value() -> None:
    graph = Graph.from_proto(full_model())
    assert constant_value(graph.tensor("w")).tolist() == [3, 4]
    assert constant_value(graph.tensor("x")) is None
    assert constant_value(graph.tensor("k")) is None  # callers may override it
    function = next(part for part in graph.subgraphs() if part.is_function)
    assert constant_value(function.tensor("o")) == np.float32(1)


def test_subgraphs_are_walked() -> None:
    graph = Graph.from_proto(full_model())
    assert [part.gs.name for part in graph.subgraphs()] == ["f", "t", "e"]
    assert {"own", "r", "u"} <= graph.names()
    assert graph.fresh_name("r") == "r_1"
    assert graph.fresh_name("r") == "r_2"


def test_replace_all_uses_reaches_into_branches_and_keeps_output_names() -> None:
    graph = Graph.from_proto(full_model())
    graph.replace_all_uses(graph.tensor("b"), graph.tensor("a"))
    branch = next(part for part in graph.subgraphs() if not part.is_function)
    assert branch.nodes[0].inputs[0].name == "a"
    graph.replace_all_uses(graph.tensor("y"), graph.tensor("z"))
    model = graph.to_proto()
    assert [o.name for o in model.graph.output] == ["y"]
    assert graph.remove_dead() > 0
    onnx.checker.check_model(graph.to_proto())
    graph.replace_all_uses(graph.outputs[0], graph.tensor("x"))
    graph.remove_dead()
    node = graph.to_proto().graph.node[0]
    assert (node.op_type, list(node.input), list(node.output)) == ("Identity", ["x"], ["y"])


def test_nodes_are_written_in_a_valid_order() -> None:
    graph = Graph.from_proto(full_model())
    graph.nodes.reverse()
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(graph.to_proto()))
    order = [n.output[0] for n in graph.to_proto().graph.node]
    assert order.index("a") < order.index("b") < order.index("z") < order.index("y")


def test_functions_come_and_go() -> None:
    graph = Graph.from_proto(full_model())
    body = onnx.FunctionProto.FromString(graph.to_proto().functions[0].SerializeToString())
    body.domain = "new"
    graph.add_function(body)
    graph.add_function(body)
    graph.import_domain("new", 4)
    graph.drop_function("local", "f")
    model = graph.to_proto()
    assert [(f.domain, f.name) for f in model.functions] == [("new", "f")]
    assert {i.domain: i.version for i in model.opset_import}["new"] == 4


# -- files ----------------------------------------------------------------------------------------


def save(model: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def broken(change: str) -> onnx.ModelProto:
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[2] x) => (float[2] y) { a = Abs (x) y = Relu (a) }'
    )
    match change:
        case "no graph":
            model.ClearField("graph")
        case "no opset":
            model.ClearField("opset_import")
        case "new ir":
            model.ir_version = 9999
        case "dangling":
            model.graph.node[0].input[0] = "nowhere"
        case "twice":
            model.graph.node[0].output[0] = "y"
        case "cycle":
            model.graph.node[0].input[0] = "y"
        case "no output":
            model.graph.output[0].name = "nowhere"
        case "two inputs":
            model.graph.input.append(model.graph.input[0])
    return model


@pytest.mark.parametrize(
    "change", ["no graph", "no opset", "new ir", "dangling", "twice", "cycle", "no output", "two inputs"]
)
def test_an_invalid_graph_is_refused(tmp_path: Path, change: str) -> None:
    path = save(broken(change), tmp_path / "in.onnx")
    with pytest.raises(ModelError) as caught:
        Graph.load(path)
    assert caught.value.hint
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"hello\n", b"\x00" * 64, b"\x89PNG\r\n\x1a\n" + b"x" * 50, b"{}"])
def test_what_is_no_model_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "in.onnx").write_bytes(data)
    with pytest.raises(ModelError) as caught:
        Graph.load(tmp_path / "in.onnx")
    assert caught.value.hint


def test_random_bytes_are_refused(tmp_path: Path) -> None:
    chance = random.Random(0)
    for _ in range(300):
        (tmp_path / "in.onnx").write_bytes(chance.randbytes(chance.randrange(1, 40)))
        with pytest.raises(ModelError):
            Graph.load(tmp_path / "in.onnx")


def test_a_truncated_file_is_refused_or_whole(tmp_path: Path) -> None:
    model = full_model()
    whole = model.SerializeToString()
    for length in range(0, len(whole) - 1, 3):
        (tmp_path / "in.onnx").write_bytes(whole[:length])
        try:
            graph = Graph.load(tmp_path / "in.onnx")
        except ModelError:
            continue
        assert len(graph.nodes) == len(model.graph.node)


def test_damaged_text_and_types_are_refused(tmp_path: Path) -> None:
    whole = full_model().SerializeToString()
    for before, after in ((b"local", b"\xff\xfeabc"), (b"onnx-text", b"\xff\xfeabcdefg"), (b"me", b"\xff\xff")):
        (tmp_path / "in.onnx").write_bytes(whole.replace(before, after))
        if before in whole:
            with pytest.raises(ModelError):
                Graph.load(tmp_path / "in.onnx").to_proto()
    model = full_model()
    model.graph.initializer[0].data_type = 99
    with pytest.raises(ModelError, match="element type"):
        Graph.from_proto(model)


def test_loading_writes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    Graph.from_proto(full_model()).copy().to_proto()
    assert capfd.readouterr() == ("", "")


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.onnx", tmp_path):
        with pytest.raises(ModelError) as caught:
            Graph.load(path)
        assert caught.value.exit_code == 2


def external(tmp_path: Path, location: str = "weights.bin") -> Path:
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Add", ["x", "w"], ["y"])],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])],
            [numpy_helper.from_array(np.arange(4, dtype=np.float32), "w")],
        ),
        ir_version=8,
        opset_imports=[helper.make_opsetid("", 17)],
    )
    weight = model.graph.initializer[0]
    raw = weight.raw_data
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "weights.bin").write_bytes(raw)
    return save(model, tmp_path / "in" / "in.onnx")


def test_external_data_is_copied_and_not_read(tmp_path: Path) -> None:
    path = external(tmp_path)
    (tmp_path / "out").mkdir()
    graph = Graph.load(path)
    assert constant_value(graph.tensor("w")) is None
    graph.save(tmp_path / "out" / "out.onnx")
    graph.save(tmp_path / "out" / "out.onnx")
    assert (tmp_path / "in" / "weights.bin").stat().st_nlink == 1  # onnx refuses data with several links
    assert (tmp_path / "out" / "out.onnx").read_bytes() == path.read_bytes()
    onnx.checker.check_model(tmp_path / "out" / "out.onnx")
    graph.save(path.with_name("beside.onnx"))
    assert sorted(p.name for p in path.parent.iterdir()) == ["beside.onnx", "in.onnx", "weights.bin"]


def test_external_data_is_copied_where_the_kernel_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("not between these file systems")

    monkeypatch.setattr(os, "copy_file_range", refuse, raising=False)
    graph = Graph.load(external(tmp_path))
    (tmp_path / "out").mkdir()
    for _ in range(2):
        graph.save(tmp_path / "out" / "out.onnx")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["out.onnx", "weights.bin"]
    onnx.checker.check_model(tmp_path / "out" / "out.onnx")


def test_external_data_in_a_folder_below(tmp_path: Path) -> None:
    path = external(tmp_path, "deep/er/weights.bin")
    (path.parent / "deep" / "er").mkdir(parents=True)
    (path.parent / "weights.bin").rename(path.parent / "deep" / "er" / "weights.bin")
    (tmp_path / "out").mkdir()
    graph = Graph.load(path)
    graph.save(tmp_path / "out" / "out.onnx")
    onnx.checker.check_model(tmp_path / "out" / "out.onnx")


def test_another_file_in_the_place_of_the_data_is_not_overwritten(tmp_path: Path) -> None:
    graph = Graph.load(external(tmp_path))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "weights.bin").write_bytes(b"precious")
    with pytest.raises(UsageError):
        graph.save(tmp_path / "out" / "out.onnx")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["weights.bin"]


@pytest.mark.parametrize("location", ["../w.bin", "/etc/passwd", "a/../../b", "C:\\w.bin", "..\\w.bin", ""])
def test_external_data_elsewhere_is_refused(tmp_path: Path, location: str) -> None:
    with pytest.raises(ModelError) as caught:
        Graph.load(external(tmp_path, location))
    assert caught.value.hint


def test_saving_in_place(tmp_path: Path) -> None:
    path = save(full_model(), tmp_path / "in.onnx")
    path.chmod(0o640)
    graph = Graph.load(path)
    graph.set_metadata("k", "v")
    graph.save(path)
    assert onnx.load(path).metadata_props[-1].value == "v"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [p.name for p in tmp_path.iterdir()] == ["in.onnx"]


def test_a_failed_save_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Graph.load(external(tmp_path))
    for target in (tmp_path / "none" / "out.onnx", tmp_path):
        with pytest.raises(UsageError) as caught:
            graph.save(target)
        assert caught.value.hint

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "out").mkdir()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="No space left"):
        graph.save(tmp_path / "out" / "out.onnx")
    assert not list((tmp_path / "out").iterdir())


def test_errors_are_one_line() -> None:
    error = OptError("two\nlines", "and\n a hint")
    assert (str(error), error.hint, error.exit_code) == ("two lines", "and a hint", 2)


def test_a_graph_of_new_nodes_can_be_written() -> None:
    graph = Graph.from_proto(broken(""))
    old = graph.outputs[0]
    new = gs.Variable("new", old.dtype, [2])
    graph.nodes.append(gs.Node("Neg", "neg", inputs=[graph.tensor("a")], outputs=[new]))
    graph.replace_all_uses(old, new)
    graph.remove_dead()
    assert [n.op_type for n in graph.to_proto().graph.node] == ["Abs", "Neg"]
    onnx.checker.check_model(graph.to_proto(), full_check=True)
