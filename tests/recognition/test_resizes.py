"""Look-alikes of Resize: what torch's decompositions and people spell is found and equal, what is none is not."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, parser

from onnxgs_opt import optimize
from onnxgs_opt.api import look
from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import Target
from onnxgs_opt.lowering.axis_matmul import TILE, emit_matmuls, matrix_of, tiles_of
from onnxgs_opt.lowering.made_matrices import HEIGHT
from onnxgs_opt.lowering.resize import resize_refusal, resize_tolerance
from onnxgs_opt.lowering.resizing import resizing_tolerance
from onnxgs_opt.passes.lower_sites import lower
from onnxgs_opt.recognition import KINDS
from onnxgs_opt.recognition.findings import Survey
from onnxgs_opt.runtime.ort import open_session
from onnxgs_opt.samplers.resampling import KNOWN, Resampling, taps
from onnxgs_opt.samplers.resize import ResizedAxis, ResizeSite
from onnxgs_opt.validation.check_resize import longest, resize_check
from onnxgs_opt.validation.terms import Terms
from tests.fixtures.text import put_behind

MODELS = Path(__file__).parents[1] / "fixtures" / "resizes"
BORDERS = {
    "bicubic": "cubic half_pixel",
    "bicubic_corners": "cubic align_corners",
    "bicubic_size": "cubic half_pixel",
    "bilinear": "linear half_pixel",
    "bilinear_corners": "linear align_corners",
    "bilinear_size": "linear half_pixel",
    "corners": "linear half_pixel",
    "gathered": "nearest asymmetric floor",
    "lerps": "linear half_pixel",
    "linear": "linear half_pixel",
    "nearest": "nearest asymmetric floor",
    "nearest_exact": "nearest asymmetric floor",
    "nearest_size": "nearest asymmetric floor",
    "rows": "nearest asymmetric floor",
    "trilinear": "linear half_pixel",
}
SIZES = ((1, 2, 2), (2, 5, 16), (1, 33, 40))
"""Batch, height and width of images of dynamic sizes."""


def looked_at(model: onnx.ModelProto) -> tuple[Graph, Survey]:
    return look(Graph.from_proto(model))


def resized(model: onnx.ModelProto, name: str = "resize") -> tuple[ResizeSite, onnx.ModelProto]:
    """The one resampling of a model, and the model with a Resize, or another form of it, instead."""
    graph, found = looked_at(model)
    (site,) = found.resizes
    assert found.sites == (site,)
    return site, lower(graph, [site], {site.id: name}).to_proto()


def run(model: onnx.ModelProto, image: Any) -> Any:
    (name,) = (value.name for value in model.graph.input)
    return open_session(model, threads=1).run(None, {name: image})[0]


@pytest.mark.parametrize("path", sorted(MODELS.glob("*.onnx")), ids=lambda path: path.stem)
def test_a_decomposition_becomes_one_resize_that_computes_the_same(path: Path) -> None:
    model = onnx.load(path)
    if path.stem in ("nearest_size.dyn", "like.two"):  # see below
        return
    site, after = resized(model)
    name, kind = path.stem.split(".")
    assert site.border == BORDERS[name]
    kinds = [node.op_type for node in after.graph.node]
    assert kinds.count("Resize") == 1
    assert (
        kinds == ["Resize"] or len(site.image_shape) != 4 or path.stem.endswith("_size.dyn")
    )  # whose size is an input
    assert not any(node.op_type.startswith("Gather") and node.input[0] == site.image for node in after.graph.node)
    own = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    for batch, *sizes in SIZES if kind == "dyn" else [(own[0], *own[2:])]:
        image = np.random.default_rng(0).standard_normal((batch, own[1], *sizes)).astype(np.float32)
        before, result = run(model, image), run(after, image)
        allowed = resize_tolerance(site, longest(site, max(image.shape)))
        np.testing.assert_allclose(result, before, rtol=allowed.rtol, atol=allowed.atol)


def test_a_nearest_lookup_of_a_free_ratio_is_refused_with_the_reason() -> None:
    """13 rows of any number of rows: a quotient that float32 rounds is below a whole number at some sizes only."""
    _, found = looked_at(onnx.load(MODELS / "nearest_size.dyn.onnx"))
    assert not found.resizes


def test_the_size_of_another_tensor_is_one() -> None:
    model = onnx.load(MODELS / "like.two.onnx")
    site, after = resized(model)
    assert [axis.factor for axis in site.axes] == [None, None]
    assert site.domain is not None
    assert len(site.domain.sizes) == 5
    rng = np.random.default_rng(0)
    for sizes in ((5, 6, 11, 9), (8, 20, 3, 40)):
        shapes = {"x": (2, 3, *sizes[:2]), "skip": (2, 5, *sizes[2:])}
        feeds = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
        before, result = (open_session(m, threads=1).run(None, feeds)[0] for m in (model, after))
        np.testing.assert_allclose(result, before, atol=3e-5)


def test_a_proof_of_dynamic_sizes_says_for_which() -> None:
    site, _ = resized(onnx.load(MODELS / "bilinear.dyn.onnx"))
    assert site.domain is not None
    assert site.domain.words.endswith(">= 2")
    assert [axis.factor for axis in site.axes] == [2, 2]


# ---- tables of every known resampling, and what is none --------------------------------------------------------------

ROWS, COLUMNS, OUT_ROWS, OUT_COLUMNS = 6, 7, 9, 14


def table(resampling: Resampling, size: int, samples: int) -> tuple[Any, Any]:
    found = taps(resampling, size, samples, Fraction(samples, size))
    return found.index.copy(), found.weights.copy()


def tabled(rows: tuple[Any, Any], columns: tuple[Any, Any], flat: bool = False) -> onnx.ModelProto:
    """A model that sums reads at tables of indices: rows then columns, or both in one index of a flat image."""
    nodes, stored = [], []

    def const(value: Any) -> str:
        stored.append(onnx.numpy_helper.from_array(np.asarray(value), f"t{len(stored)}"))
        return stored[-1].name

    def op(kind: str, *inputs: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, list(inputs), [f"n{len(nodes)}"], f"node{len(nodes)}", **attributes))
        return nodes[-1].output[0]

    image = op("Reshape", "x", const(np.array([1, 2, ROWS * COLUMNS]))) if flat else "x"
    total = ""
    for row, column in product(range(rows[0].shape[1]), range(columns[0].shape[1])):
        i, j = rows[0][:, row], columns[0][:, column]
        weight = (rows[1][:, row, None] * columns[1][None, :, column]).astype(np.float32)
        if flat:
            index = const((i[:, None] * COLUMNS + j[None]).reshape(-1))
            read = op("Reshape", op("Gather", image, index, axis=2), const(np.array([1, 2, len(i), len(j)])))
        else:
            read = op("Gather", op("Gather", image, const(i), axis=2), const(j), axis=3)
        part = op("Mul", read, const(weight))
        total = op("Add", total, part) if total else part
    nodes.append(helper.make_node("Identity", [total], ["y"], "last"))
    shape = [1, 2, ROWS, COLUMNS]
    made = [1, 2, len(rows[0]), len(columns[0])]
    graph = helper.make_graph(
        nodes,
        "tables",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, made)],
        stored,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


SPELT = (
    Resampling("nearest", "asymmetric", "floor"),
    Resampling("nearest", "half_pixel", "round_prefer_ceil"),
    Resampling("nearest", "align_corners", "ceil"),
    Resampling("linear", "half_pixel"),
    Resampling("linear", "align_corners"),
    Resampling("linear", "asymmetric"),
    Resampling("cubic", "half_pixel", coefficient=Fraction(-3, 4)),
    Resampling("cubic", "half_pixel", coefficient=Fraction(-1, 2), exclude_outside=True),
    Resampling("cubic", "align_corners", coefficient=Fraction(-1, 2)),
)


@pytest.mark.parametrize("resampling", SPELT, ids=lambda r: f"{r.mode}-{r.transform}-{r.coefficient}")
@pytest.mark.parametrize("flat", [False, True], ids=["axes", "flat"])
def test_tables_of_a_resampling_are_that_resampling(resampling: Resampling, flat: bool) -> None:
    rows, columns = table(resampling, ROWS, OUT_ROWS), table(resampling, COLUMNS, OUT_COLUMNS)
    model = tabled(rows, columns, flat)
    site, after = resized(model)
    for size, samples in ((ROWS, OUT_ROWS), (COLUMNS, OUT_COLUMNS)):  # several may be the same at a size
        same, own = table(site.resampling, size, samples), table(resampling, size, samples)
        assert [np.array_equal(a, b) for a, b in zip(same, own, strict=True)] == [True, True]
    image = np.random.default_rng(1).standard_normal((1, 2, ROWS, COLUMNS)).astype(np.float32)
    np.testing.assert_allclose(run(after, image), run(model, image), atol=2e-5)


PHASED = (
    (Resampling("cubic", "half_pixel"), 2),
    (Resampling("cubic", "half_pixel"), 3),
    (Resampling("cubic", "asymmetric", coefficient=Fraction(-1, 2)), 4),
    (Resampling("linear", "half_pixel"), 4),
    (Resampling("linear", "asymmetric"), 2),
)


@pytest.mark.parametrize("most", [1, 256], ids=["planes", "groups"])
@pytest.mark.parametrize(("resampling", "factor"), PHASED, ids=lambda own: getattr(own, "mode", own))
def test_by_a_whole_number_a_conv_makes_the_samples_of_every_phase(
    resampling: Resampling, factor: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxgs_opt.lowering.polyphase_conv.MOST_GROUPS", most)
    model = tabled(table(resampling, ROWS, factor * ROWS), table(resampling, COLUMNS, factor * COLUMNS))
    _, after = resized(model, "polyphase-conv")
    kinds = [node.op_type for node in after.graph.node if node.op_type != "Reshape"]
    assert kinds == ["Pad", "Conv", "DepthToSpace"]
    image = np.random.default_rng(1).standard_normal((1, 2, ROWS, COLUMNS)).astype(np.float32)
    np.testing.assert_allclose(run(after, image), run(model, image), atol=1e-5)


@pytest.mark.parametrize("name", ["bicubic.dyn", "lerps.dyn", "bilinear.st"])
def test_an_export_is_the_same_conv_at_every_size(name: str) -> None:
    model = onnx.load(MODELS / f"{name}.onnx")
    graph, found = looked_at(model)
    (site,) = found.resizes
    check = resize_check(graph, site, Terms(lambda own: own, shapes=found.shapes[""]))
    assert check.compare("polyphase-conv").status == "ok"
    moved = replace(site, resampling=replace(site.resampling, transform="asymmetric"))
    assert replace(check, site=moved).compare("polyphase-conv").status == "mismatch"
    after = lower(graph, [site], {site.id: "polyphase-conv"}).to_proto()
    for batch, *sizes in ((0, 3, 4), (2, 1, 1), (1, 1, 6)) if name.endswith("dyn") else ():
        image = np.random.default_rng(0).standard_normal((batch, 3, *sizes)).astype(np.float32)
        np.testing.assert_allclose(run(after, image), run(model, image), atol=1e-5)


UNPHASED = {
    "rows.st": "nothing to weigh",
    "bicubic_corners.st": "of the same weights",
    "trilinear.st": "two axes",
    "bilinear_size.st": "one whole number",
}


@pytest.mark.parametrize("name", UNPHASED)
def test_what_has_no_phases_is_refused_with_the_reason(name: str) -> None:
    site, _ = resized(onnx.load(MODELS / f"{name}.onnx"))
    assert UNPHASED[name] in KINDS["resize"].refusals(site, Target(18))["polyphase-conv"]


@pytest.mark.parametrize("name", ["polyphase-conv", "axis-matmul"])
def test_products_in_short_floats_are_refused(name: str) -> None:
    site, _ = resized(onnx.load(MODELS / "bicubic.st.onnx"))
    assert name not in KINDS["resize"].refusals(site, Target(18))
    assert "bfloat16" in KINDS["resize"].refusals(site, Target(18, "openvino"))[name]


@pytest.mark.parametrize("resampling", [own for own in SPELT if own.mode != "nearest"], ids=lambda own: own.transform)
@pytest.mark.parametrize("tile", [TILE, 2])
def test_of_known_sizes_every_axis_is_one_product(
    resampling: Resampling, tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Short ones of several images lie side by side; else a long axis is cut into tiles."""
    monkeypatch.setattr("onnxgs_opt.lowering.axis_matmul.TILE", tile)
    monkeypatch.setattr("onnxgs_opt.lowering.axis_matmul.SHORT", 2**16 if tile == TILE else 0)
    model = tabled(table(resampling, ROWS, OUT_ROWS), table(resampling, COLUMNS, OUT_COLUMNS))
    _, after = resized(model, "axis-matmul")
    kinds = [node.op_type for node in after.graph.node]
    short = ["MatMul", "Transpose", "Reshape", "MatMul", "Reshape", "Transpose"]
    assert kinds == (short if tile == TILE else ["MatMul", "Gather", "MatMul", "Reshape"])
    image = np.random.default_rng(1).standard_normal((1, 2, ROWS, COLUMNS)).astype(np.float32)
    np.testing.assert_allclose(run(after, image), run(model, image), atol=1e-5)


@pytest.mark.parametrize(
    "name", ["bicubic_corners", "bicubic_size", "bilinear_corners", "bilinear_size", "lerps", "linear", "trilinear"]
)
def test_an_export_of_known_sizes_is_products(name: str) -> None:
    """Of one, two and three axes; the check tells them from those of other places."""
    graph, found = looked_at(onnx.load(MODELS / f"{name}.st.onnx"))
    (site,) = found.resizes
    after = lower(graph, [site], {site.id: "axis-matmul"})
    assert [node.op for node in after.nodes if node.op not in ("Reshape", "Transpose")] == ["MatMul"] * len(site.axes)
    check = resize_check(graph, site, Terms(lambda own: own, shapes=found.shapes[""]))
    assert check.compare("axis-matmul").status == "ok"
    moved = replace(site, resampling=replace(site.resampling, transform="asymmetric"))
    assert replace(check, site=moved).compare("axis-matmul").status == "mismatch"


@pytest.mark.parametrize(("size", "samples", "tiles"), [(66, 132, 2), (97, 291, 3), (200, 90, 6), (64, 97, 1)])
@pytest.mark.parametrize("transform", ["half_pixel", "align_corners"])
def test_a_long_axis_is_cut_into_tiles_that_have_all_of_its_weights(
    size: int, samples: int, tiles: int, transform: str
) -> None:
    matrix = matrix_of(Resampling("cubic", transform), ResizedAxis(2, size, samples, None))
    index, parts = tiles_of(matrix)
    assert (len(index), parts.shape[:2]) == (tiles, (tiles, samples // tiles))
    assert tiles == 1 or index.shape[1] < size
    whole = np.zeros((tiles, samples // tiles, size))
    for tile, part, own in zip(whole, parts, index, strict=True):
        tile[:, own] = part
    assert np.array_equal(whole.reshape(samples, size), matrix)


DYNAMIC = {"bicubic": "asymmetric", "bicubic_corners": "half_pixel", "bicubic_size": "asymmetric"}
"""Exports of dynamic sizes, and where their samples do not stand."""


@pytest.mark.parametrize("name", DYNAMIC)
def test_of_dynamic_sizes_the_matrices_of_cubic_weights_are_made(name: str) -> None:
    model = onnx.load(MODELS / f"{name}.dyn.onnx")
    graph, found = looked_at(model)
    (site,) = found.resizes
    check = resize_check(graph, site, Terms(lambda own: own, shapes=found.shapes[""]))
    assert check.compare("axis-matmul").status == "ok"
    moved = replace(site, resampling=replace(site.resampling, transform=DYNAMIC[name]))
    assert replace(check, site=moved).compare("axis-matmul").status == "mismatch"
    after = lower(graph, [site], {site.id: "axis-matmul"}).to_proto()
    for batch, *sizes in ((0, 3, 4), (2, 1, 1), (1, 1, 6), (1, 90, 41)):
        image = np.random.default_rng(0).standard_normal((batch, 3, *sizes)).astype(np.float32)
        np.testing.assert_allclose(run(after, image), run(model, image), atol=1e-4)


@pytest.mark.parametrize("transform", ["asymmetric", "half_pixel", "align_corners"])
@pytest.mark.parametrize("a", [Fraction(-1, 2), Fraction(-3, 4)])
def test_matrices_that_are_made_are_those_of_tables(transform: str, a: Fraction) -> None:
    """One axis has a dynamic size; the matrix of the other one is folded."""
    own = Resampling("cubic", transform, coefficient=a)
    site, _ = resized(tabled(table(own, ROWS, OUT_ROWS), table(own, COLUMNS, OUT_COLUMNS)))
    image = np.random.default_rng(1).standard_normal((1, 2, ROWS, COLUMNS)).astype(np.float32)
    rows, columns = (matrix_of(own, axis) for axis in site.axes)
    text = f"""<ir_version: 8, opset_import: ["": 17]>
g (float[1, 2, h, {COLUMNS}] x) => (float[1, 2, {OUT_ROWS}, {OUT_COLUMNS}] y) {{ y = Identity (x) }}"""
    graph = Graph.from_proto(parser.parse_model(text))
    free = replace(site.axes[0], size=None), site.axes[1]
    graph.outputs[0] = emit_matmuls(Builder(graph, "site"), replace(site, image="x", resampling=own, axes=free))
    made = graph.to_proto()
    assert [node.op_type for node in made.graph.node].count("Relu") == 1
    np.testing.assert_allclose(run(made, image), rows @ image @ columns.T, atol=1e-5)


@pytest.mark.parametrize("height", [HEIGHT, 3])
@pytest.mark.parametrize("scale", [Fraction(2), Fraction(5, 3), Fraction(2, 5), None], ids=str)
@pytest.mark.parametrize("transform", ["asymmetric", "half_pixel", "align_corners"])
def test_tiles_that_are_made_have_all_pixels_that_their_samples_reach(
    transform: str, scale: Fraction | None, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of as many samples as the scale makes, or as another tensor has; the last tile is filled up."""
    monkeypatch.setattr("onnxgs_opt.lowering.made_matrices.HEIGHT", height)
    own = Resampling("cubic", transform)
    site, _ = resized(tabled(table(own, ROWS, OUT_ROWS), table(own, COLUMNS, OUT_COLUMNS)))
    axes = tuple(ResizedAxis(k, None, None, scale, None if scale else ("like", k)) for k in (2, 3))
    text = """<ir_version: 8, opset_import: ["": 13]>
g (float[n, 2, h, w] x, float[1, 1, p, q] like) => (float[n, 2, a, b] y) { y = Identity (x) }"""
    graph = Graph.from_proto(parser.parse_model(text))
    free = replace(site, image="x", resampling=own, axes=axes, image_shape=(None, 2, None, None))
    graph.outputs[0] = emit_matmuls(Builder(graph, "site"), free)
    session = open_session(graph.to_proto(), threads=1)
    rng = np.random.default_rng(3)
    for batch, *sizes in ((1, 4, 3), (2, 6, 67), (1, 100, 9), (1, 35, 64), (0, 4, 4), (1, 2, 3)):
        samples = [int(size * scale) for size in sizes] if scale else [33, 7]
        image = rng.standard_normal((batch, 2, *sizes)).astype(np.float32)
        (made,) = session.run(None, {"x": image, "like": np.zeros((1, 1, *samples), np.float32)})
        both = zip(axes, sizes, samples, strict=True)
        rows, columns = (matrix_of(own, replace(axis, size=size, samples=count)) for axis, size, count in both)
        allowed = resizing_tolerance("axis-matmul", free, max(*sizes, *samples))
        np.testing.assert_allclose(made, rows @ image @ columns.T, allowed.rtol, allowed.atol)


@pytest.mark.parametrize("name", DYNAMIC)
def test_what_is_gathered_of_sizes_is_no_read(name: str) -> None:
    """The rows are read tile by tile, and what is made of them once more, into place; else sizes are gathered."""
    report = optimize(onnx.load(MODELS / f"{name}.dyn.onnx"), lowering="axis-matmul", shapes={"x": (1, 3, 5, 6)}).report
    assert (report.reads.before, report.reads.after) == (16, 2)


def test_a_pixel_without_a_number_is_in_no_other_tile_that_is_made() -> None:
    """It is in all samples of its own: 0 times it is no number either."""
    graph, found = looked_at(onnx.load(MODELS / "bicubic.dyn.onnx"))
    after = lower(graph, found.resizes, {found.resizes[0].id: "axis-matmul"}).to_proto()
    image = np.zeros((1, 3, 80, 8), np.float32)
    image[..., 40, 4] = np.nan
    assert np.isnan(run(after, image)).any((0, 1, 3)).sum() == HEIGHT


def test_axes_that_lie_otherwise_are_laid_out_for_their_products() -> None:
    """Channels last, and the columns before the rows."""
    resampling = Resampling("cubic", "align_corners")
    model = tabled(table(resampling, ROWS, OUT_ROWS), table(resampling, COLUMNS, OUT_COLUMNS))
    nodes, perm = model.graph.node, [0, 3, 2, 1]
    for node in nodes:
        node.input[:] = ["laid_out" if name == "x" else name for name in node.input]
        node.output[:] = ["made" if name == "y" else name for name in node.output]
    nodes.insert(0, helper.make_node("Transpose", ["x"], ["laid_out"], perm=perm))
    nodes.append(helper.make_node("Transpose", ["made"], ["y"], perm=perm))
    for value in (model.graph.input[0], model.graph.output[0]):
        dims = value.type.tensor_type.shape.dim
        dims[1].dim_value, dims[3].dim_value = dims[3].dim_value, dims[1].dim_value
    _, after = resized(model, "axis-matmul")
    assert sum(node.op_type == "MatMul" for node in after.graph.node) == 2
    image = np.random.default_rng(1).standard_normal((1, COLUMNS, ROWS, 2)).astype(np.float32)
    np.testing.assert_allclose(run(after, image), run(model, image), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        ("lerps.dyn", {}, "dynamic"),
        ("bicubic.dyn", {"resampling": Resampling("cubic", "half_pixel", exclude_outside=True)}, "no formula"),
        ("nearest.st", {}, "nothing to weigh"),
        ("bicubic.st", {"dtype": "float16"}, "float32"),
        ("bicubic.st", {"axes": (ResizedAxis(2, 1024, 1025, None), ResizedAxis(3, 9, 18, None))}, "elements"),
    ],
)
def test_what_is_no_product_is_refused_with_the_reason(name: str, change: dict[str, Any], why: str) -> None:
    site, _ = resized(onnx.load(MODELS / f"{name}.onnx"))
    assert why in KINDS["resize"].refusals(replace(site, **change), Target(18))["axis-matmul"]


def test_halves_are_resized_too() -> None:
    """To twice the size, whose weights are sixteenths: of others, halves hold no product exactly enough."""
    resampling = Resampling("linear", "half_pixel")
    model = tabled(table(resampling, ROWS, 2 * ROWS), table(resampling, COLUMNS, 2 * COLUMNS))
    for stored in model.graph.initializer:
        value = onnx.numpy_helper.to_array(stored)
        if value.dtype == np.float32:
            stored.CopyFrom(onnx.numpy_helper.from_array(value.astype(np.float16), stored.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    report = optimize(model, lowering="resize").report
    assert (report.status, report.sites[0].lowering, report.validation.status) == ("optimised", "resize", "ok")


def _swapped(index: Any, weights: Any) -> None:
    weights[3] = weights[3, ::-1]


def _moved(index: Any, weights: Any) -> None:
    index[3] = np.minimum(index[3] + 1, ROWS - 1)


def _scaled(index: Any, weights: Any) -> None:
    weights *= 1.001


def _clamped(index: Any, weights: Any) -> None:
    np.minimum(index, ROWS - 2, out=index)


def _nudged(index: Any, weights: Any) -> None:
    weights[2, :2] += (1e-3, -1e-3)


@pytest.mark.parametrize("change", [_swapped, _moved, _scaled, _clamped, _nudged])
@pytest.mark.parametrize("resampling", [SPELT[3], SPELT[6]], ids=["linear", "cubic"])
def test_tables_that_are_off_are_no_resize(change: Any, resampling: Resampling) -> None:
    rows = table(resampling, ROWS, OUT_ROWS)
    change(*rows)
    _, found = looked_at(tabled(rows, table(resampling, COLUMNS, OUT_COLUMNS)))
    assert not found.resizes


def test_weights_that_are_no_product_are_no_resize() -> None:
    """Right along each axis through the middle, and another sample elsewhere."""
    resampling = Resampling("linear", "half_pixel")
    rows, columns = table(resampling, ROWS, OUT_ROWS), table(resampling, COLUMNS, OUT_COLUMNS)
    model = tabled(rows, columns)
    for stored in model.graph.initializer:
        value = onnx.numpy_helper.to_array(stored).copy()
        if value.ndim == 2 and value[1, 2] > 0:
            value[1, 2] *= 0.9
            stored.CopyFrom(onnx.numpy_helper.from_array(value, stored.name))
            break
    _, found = looked_at(model)
    assert not found.resizes


def test_cubic_with_an_unknown_coefficient_is_no_resize() -> None:
    other = Resampling("cubic", "half_pixel", coefficient=Fraction(-3, 5))
    _, found = looked_at(tabled(table(other, ROWS, OUT_ROWS), table(other, COLUMNS, OUT_COLUMNS)))
    assert not found.resizes


INDICES = """<ir_version: 8, opset_import: ["": 17]>
g (float[n, 3, h, w] x) => (float[n, 3, m, w] y)
<int64 zero = {0}, int64 one = {1}, int64 two = {2}, int64 most = {MOST}> {
   shape = Shape (x)
   h = Gather (shape, two)
   m = Mul (h, two)
   i = Range (zero, m, one)
   half = Div (i, two)
   index = Min (half, most)
   y = Gather <axis = 2> (x, index)
}"""


@pytest.mark.parametrize("most", [5, 100, 1000, 5000])
def test_a_limit_that_a_size_may_pass_is_no_resize(most: int) -> None:
    _, found = looked_at(parser.parse_model(INDICES.replace("MOST", str(most))))
    assert not found.resizes


@pytest.mark.parametrize(
    "index",
    [np.roll(np.arange(8), 3), np.arange(8)[::-1], np.arange(8), np.array([0, 2, 1, 3, 4, 6, 5, 7])],
    ids=["rolled", "turned", "as it is", "shuffled"],
)
def test_other_orders_of_rows_are_no_resize(index: Any) -> None:
    text = f"""<ir_version: 8, opset_import: ["": 17]>
g (float[1, 3, 8, 9] x) => (float[1, 3, 8, 9] y) <int64[8] i = {{{", ".join(map(str, index))}}}> {{
   y = Gather <axis = 2> (x, i)
}}"""
    _, found = looked_at(parser.parse_model(text))
    assert not found.sites


def test_what_runtimes_have_no_resize_for_is_refused() -> None:
    site, _ = resized(onnx.load(MODELS / "rows.st.onnx"))
    assert resize_refusal(site, Target(17)) is None
    assert "opset 11" in (resize_refusal(site, Target(10)) or "")
    refusals = KINDS["resize"].refusals(site, Target(10))
    assert set(refusals) >= {"resize", "grid-sample", "merged-gather"}
    assert "keep" not in refusals
    volume, _ = resized(onnx.load(MODELS / "trilinear.st.onnx"))
    assert resize_refusal(volume, Target(17)) is None
    assert "mnn has no linear Resize along three axes" in (resize_refusal(volume, Target(17, "mnn")) or "")


def test_modes_that_mnn_computes_otherwise_are_refused_for_it() -> None:
    """As it runs them: tests/runtime/test_mnn.py."""
    site, _ = resized(onnx.load(MODELS / "bicubic.st.onnx"))
    taken = {own for own in KNOWN if resize_refusal(replace(site, resampling=own), Target(17, "mnn")) is None}
    assert {own for own in taken if own.mode == "cubic"} == {
        Resampling("cubic", transform) for transform in ("align_corners", "asymmetric")
    }
    assert {own.rounding for own in taken if own.mode == "nearest"} == {"floor", "round_prefer_floor"}
    assert {own for own in KNOWN if own.mode == "linear"} <= taken
    assert all(resize_refusal(replace(site, resampling=own), Target(17)) is None for own in KNOWN)


@pytest.mark.parametrize("op", ["Mul", "Add", "Mul, Add"])
def test_what_follows_a_resampling_stays(op: str) -> None:
    """Pixels are scaled and moved after it, as where an image becomes one of mean 0."""
    model = onnx.load(MODELS / "lerps.dyn.onnx")
    name = model.graph.output[0].name
    for k, kind in enumerate(op.split(", ")):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(0.4 + k), f"k{k}"))
        model.graph.node.append(helper.make_node(kind, [name, f"k{k}"], [name := f"after{k}"], f"after{k}"))
    model.graph.output[0].name = name
    site, after = resized(model)
    assert site.border == "linear half_pixel"
    assert [node.op_type for node in after.graph.node][-1:] == [op.split(", ")[-1]]
    image = np.random.default_rng(0).random((2, 3, 5, 16), np.float32)
    np.testing.assert_allclose(run(after, image), run(model, image), atol=1e-5)


@pytest.mark.parametrize(("name", "codes"), [("bilinear.st", ["GSO207"]), ("nearest.st", [])])
def test_infinite_pixels_may_come_out_otherwise_where_they_are_weighed(name: str, codes: list[str]) -> None:
    """Of an infinite pixel and one beside it a difference makes NaN, and a sum an infinity."""
    model = onnx.load(MODELS / f"{name}.onnx")
    result = optimize(model, lowering="resize")
    assert [hazard.code for hazard in result.report.hazards] == codes
    image = np.random.default_rng(0).random((2, 3, 7, 9), np.float32)
    image[0, 0, 3, 4] = np.inf
    assert np.array_equal(run(model, image), run(result.model, image), equal_nan=True) is not bool(codes)


TWICE = """<ir_version: 8, opset_import: ["" : 17]>
g (float[N,C,H,W] x) => (float[N,C,P,W] o)
<int64 zero={0}, int64 one={1}, int64 two={2}, float half={0.5}>
{
  sizes = Shape(x)
  own = Gather<axis=0>(sizes, two)
  short = Cast<to=TYPE>(own)
  h = Cast<to=7>(short)
  p = Mul(h, two)
  places = Range(zero, p, one)
  f = Cast<to=1>(places)
  q = Mul(f, half)
  last = Sub(h, one)
  at = Cast<to=7>(q)
  i = Min(at, last)
  o = Gather<axis=2>(x, i)
}"""


@pytest.mark.parametrize(("code", "count"), [(TensorProto.INT32, 1), (TensorProto.FLOAT16, 0)])
def test_a_size_that_halves_round_makes_no_resize(code: int, count: int) -> None:
    """Of 2049 rows they make 2048, and the result has twice those."""
    _, found = looked_at(parser.parse_model(TWICE.replace("TYPE", str(code))))
    assert len(found.resizes) == count


LATER = {
    "index in bytes": ("bilinear.dyn", "val_54", "a = Cast<to=2>(v) o = Cast<to=7>(a)"),
    "coordinate in halves": ("bilinear.dyn", "sub_16", "a = Cast<to=10>(v) o = Cast<to=1>(a)"),
    "index times nearly 1": (
        "bilinear.dyn",
        "val_54",
        "f = Cast<to=1>(v) k = Constant<value_float=0.9996>() h = Constant<value_float=0.5>() m = Mul(f, k)"
        " p = Add(m, h) o = Cast<to=7>(p)",
    ),
    "one size": (
        "bilinear_size.dyn",
        "val_0",
        "k = Constant<value_ints=[365]>() u = Constant<value_int=1>() e = Equal(v, k) s = Sub(v, u) o = Where(e, s, v)",
    ),
    "one index": (
        "bilinear_size.dyn",
        "val_34",
        "k = Constant<value_int=16>() u = Constant<value_int=1>() e = Equal(v, k) s = Sub(v, u) o = Where(e, s, v)",
    ),
}
"""What is put behind a tensor, and shows at sizes only that tables are not looked at."""


@pytest.mark.parametrize("name", LATER)
def test_what_tables_show_at_other_sizes_makes_no_resize(name: str) -> None:
    file, tensor, steps = LATER[name]
    model = onnx.load(MODELS / f"{file}.onnx")
    put_behind(model, tensor, steps)
    _, found = looked_at(model)
    assert not found.resizes
