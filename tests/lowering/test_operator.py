"""The function body of onnxgs::BilinearSample against the definition of a sampler, for every code and type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice, product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from onnxgs_opt import optimize
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import LOWERINGS
from onnxgs_opt.lowering.plugin import FROM_ROWS, FUNCTIONS, TO_ROWS, declare
from onnxgs_opt.passes.lower_bilinear import LowerBilinear
from onnxgs_opt.passes.raise_bilinear import RaiseBilinear
from onnxgs_opt.runtime.ort import open_session
from onnxgs_opt.samplers.op import (
    BORDER_CODES,
    COORDINATE_CODES,
    DOMAIN,
    KERNEL_CODES,
    LAYOUT_CODES,
    MASK_CODES,
    MOVING,
    TAP_BORDER_CODES,
    VERSION,
    WINDOW_CODES,
    name_for,
)
from onnxgs_opt.samplers.view import View
from tests.fixtures.oracle import bilinear, inside, uniform
from tests.lowering.samplers import Case, feeds, graph_and_site, lower

Array = Any
ROUNDINGS = {"float16": 5e-3, "float32": 1e-5, "float64": 1e-12}
"""By the type of the image or of the grid: how far a body may be from float64, for unit-normal images."""

ROWS_FIRST, AS_THEY_ARE = (TO_ROWS, FROM_ROWS), ((0, 1, 2, 3), (0, 1, 2, 3))


@dataclass(frozen=True)
class Node:
    """One node: sizes N, C, H, W, Ho, Wo, its codes by name, and the types of image and grid."""

    sizes: tuple[int, int, int, int, int, int] = (2, 3, 5, 7, 4, 9)
    border: str = "zeros"
    window: str = "all"
    coordinates: str = "pixel"
    layout: str = "NCHW"
    image: str = "float32"
    grid: str = "float32"
    opset: int = 17
    mask: str = "NHW"
    kernel: str = "linear"

    @property
    def border_code(self) -> int:
        """The border, which names its sampler's definition too."""
        return TAP_BORDER_CODES[self.border]

    def model(self) -> onnx.ModelProto:
        """The node and its function, with sizes left open."""
        image, grid = (helper.np_dtype_to_tensor_dtype(np.dtype(t)) for t in (self.image, self.grid))
        to_rows, from_rows = ROWS_FIRST if self.layout == "NCHW" else AS_THEY_ARE
        codes = {
            "border": self.border_code,
            "window": WINDOW_CODES[self.window],
            "coordinates": COORDINATE_CODES[self.coordinates],
            "layout": LAYOUT_CODES[self.layout],
        }
        if self.kernel != "linear":
            codes["kernel"] = KERNEL_CODES[self.kernel]
        name = name_for(self.kernel)
        types = {"image_type": image, "grid_type": grid, "sum_type": 11 if self.image == "float64" else 1}
        mask_axes = [1, 0, 2, 3] if self.mask == "N1HW" else [1, 2, 3, 0]
        node = helper.make_node(
            name,
            ["image", "grid"],
            ["samples", "mask"],
            domain=DOMAIN,
            **codes,
            mask=MASK_CODES[self.mask],
            mask_axes=mask_axes,
            mask_shape=[0] * len(self.mask),
            **types,
            to_rows=to_rows,
            from_rows=from_rows,
        )
        inputs = [helper.make_tensor_value_info(*each, [None] * 4) for each in (("image", image), ("grid", grid))]
        outputs = [helper.make_tensor_value_info(name, image, None) for name in ("samples", "mask")]
        graph = helper.make_graph([node], "one", inputs, outputs)
        imports = [helper.make_opsetid("", self.opset), helper.make_opsetid(DOMAIN, VERSION)]
        function = FUNCTIONS[name](self.opset, self.border_code in MOVING, masks=True)
        return helper.make_model(graph, opset_imports=imports, functions=[function], ir_version=8)


def points_of(node: Node, rng: np.random.Generator) -> tuple[Array, Array]:
    """The grid [N, Ho, Wo, 2], and the pixel coordinates that it stands for, computed in its type."""
    n, _, height, width, rows, columns = node.sizes
    size = np.array([width, height], node.grid)
    pixels = rng.random((n, rows, columns, 2)) * (size + 5) - 3
    whole = rng.random(pixels.shape) < 0.3
    pixels = np.where(whole, np.round(pixels), pixels)
    halves = rng.random(pixels.shape) < (0.3 if node.kernel != "linear" else 0)
    pixels = np.where(halves, np.floor(pixels) + 0.5, pixels).astype(node.grid)
    if node.coordinates == "pixel":
        return pixels, pixels
    one, half = np.array([1, 0.5], node.grid)
    last = size - one
    if node.coordinates == "normalised-corners":
        grid = (pixels / np.maximum(last, one) * 2 - one).astype(node.grid)
        return grid, (grid + one) * (last * half)
    grid = ((pixels * 2 + one) / np.maximum(size, one) - one).astype(node.grid)
    return grid, (grid + one) * (size * half) - half


def defined(node: Node, image: Array, pixels: Array) -> tuple[Array, Array]:
    """Samples and mask by the definition, in float64."""
    x, y = pixels[..., 0], pixels[..., 1]
    planes = image if node.layout == "NCHW" else image.transpose(0, 3, 1, 2)
    samples = uniform(planes, x, y, node.kernel, node.border, node.window)
    mask = inside(node.window, x.astype(float), planes.shape[3]) & inside(node.window, y.astype(float), planes.shape[2])
    mask = np.broadcast_to(mask, x.shape)
    mask = np.expand_dims(mask, node.mask.index("1")) if "1" in node.mask else mask
    return samples if node.layout == "NCHW" else samples.transpose(0, 2, 3, 1), mask


def assert_right(node: Node) -> None:
    """Run the body and compare it with the definition."""
    rng = np.random.default_rng(abs(hash(node.sizes)) % 1000)
    n, c, height, width = node.sizes[:4]
    shape = (n, c, height, width) if node.layout == "NCHW" else (n, height, width, c)
    image = rng.standard_normal(shape).astype(node.image)
    grid, pixels = points_of(node, rng)
    wanted = defined(node, image, pixels)
    found = open_session(node.model(), optimise=False, threads=1).run(
        ["samples", "mask"], {"image": image, "grid": grid}
    )
    assert [str(f.dtype) for f in found] == [node.image] * 2, node
    allowed = max(ROUNDINGS[node.image], ROUNDINGS[node.grid])
    np.testing.assert_allclose(found[0].astype(float), wanted[0], allowed, allowed, err_msg=str(node))
    np.testing.assert_array_equal(found[1], wanted[1], err_msg=str(node))


TYPES = tuple(product(("float16", "float32", "float64"), ("float32", "float64")))
SIZES = (
    *((1, 1, 1, 1, 3, 5), (2, 3, 1, 6, 4, 5), (1, 5, 6, 1, 1, 7), (3, 2, 2, 2, 9, 1), (1, 1, 31, 17, 13, 3)),
    *((0, 3, 4, 4, 2, 2), (1, 0, 4, 4, 2, 2), (2, 3, 4, 4, 0, 5), (2, 3, 4, 4, 5, 0), (1, 1, 0, 3, 0, 2)),
)


@pytest.mark.parametrize("border", BORDER_CODES)
@pytest.mark.parametrize("coordinates", COORDINATE_CODES)
def test_the_body_is_the_definition(border: str, coordinates: str) -> None:
    """Every window and layout of one border and one unit, each with another pair of types in turn."""
    first = len(LAYOUT_CODES) * list(BORDER_CODES).index(border) + list(COORDINATE_CODES).index(coordinates)
    for place, (window, layout) in enumerate(product(WINDOW_CODES, LAYOUT_CODES), first):
        assert_right(Node((2, 3, 5, 7, 4, 9), border, window, coordinates, layout, *TYPES[place % len(TYPES)]))


@pytest.mark.parametrize("sizes", SIZES)
def test_the_body_takes_any_size(sizes: tuple[int, int, int, int, int, int]) -> None:
    forms = cycle(MASK_CODES)
    for border, window, layout in product(BORDER_CODES, ("all", "interior", "reach-closed"), LAYOUT_CODES):
        assert_right(Node(sizes, border, window, "pixel", layout, mask=next(forms)))


TAPS = [name for name in KERNEL_CODES if name != "linear"]


def tap_nodes(kernel: str, sizes: Sequence[tuple[int, int, int, int, int, int]]) -> Iterator[Node]:
    """Nodes of another kernel than the linear one: every border, with the windows, units, layouts and types in turn."""
    rest = cycle(product(COORDINATE_CODES, TYPES, WINDOW_CODES, LAYOUT_CODES))
    for size, border in product(sizes, TAP_BORDER_CODES):
        unit, (image, grid), window, layout = next(islice(rest, 36, None))
        yield Node(size, border, window, unit, layout, image, grid, kernel=kernel)


@pytest.mark.parametrize("kernel", TAPS)
def test_the_body_of_every_kernel_is_the_definition(kernel: str) -> None:
    for node in tap_nodes(kernel, ((2, 3, 5, 7, 4, 9), (3, 2, 2, 2, 9, 1), *SIZES[:4], *SIZES[5:])):
        assert_right(node)


@pytest.mark.parametrize("kernel", ["nearest-away", "cubic"])
@pytest.mark.parametrize("opset", [11, 12, 18])
def test_the_bodies_of_every_kernel_are_right_at_every_opset(kernel: str, opset: int) -> None:
    for border in ("zeros", "wrap"):
        assert_right(Node(border=border, window="cells", opset=opset, kernel=kernel))


@pytest.mark.parametrize("opset", [11, 12, 13, 18, 21])
def test_the_body_is_right_at_every_opset(opset: int) -> None:
    forms = cycle(MASK_CODES if opset > 11 else ["NHW"])
    for border, (image, grid) in product(BORDER_CODES, TYPES):
        assert_right(Node(border=border, window="cells", image=image, grid=grid, opset=opset, mask=next(forms)))


def test_infinite_coordinates_are_far_outside() -> None:
    image = np.arange(1, 13, dtype=np.float32).reshape(1, 1, 3, 4)
    grid = np.array([np.inf, 1, -np.inf, 1, 2, np.inf], np.float32).reshape(1, 1, 3, 2)
    for border, wanted in (("zeros", [0, 0, 0]), ("border", [8, 5, 11])):
        session = open_session(Node(border=border).model())
        assert session.run(["samples"], {"image": image, "grid": grid})[0].ravel().tolist() == wanted


def test_nan_is_in_no_window() -> None:
    """The mask alone: where it reads, a function of ONNX's operators may fail."""
    grid = np.full((1, 1, 1, 2), np.nan, np.float32)
    for window in WINDOW_CODES:
        model = Node(window=window).model()
        del model.graph.output[0]
        found = open_session(model).run(["mask"], {"image": np.ones((1, 1, 3, 3), np.float32), "grid": grid})
        assert found[0].ravel().tolist() == [0], window


VERSION_1 = Path(__file__).parents[1] / "fixtures" / "operator_version_1.onnx"
"""masked_interior.ts17.st.onnx as the tool wrote it when the operator had one output, with the body of that time."""


def test_a_file_of_version_1_runs_and_is_ours() -> None:
    model = onnx.load(VERSION_1)
    assert {i.domain: i.version for i in model.opset_import}[DOMAIN] == 1
    result = optimize(model, measure=False)
    assert (result.report.status, result.model) == ("nothing-to-do", model)


def test_a_node_of_version_1_is_the_same_with_the_function_of_version_2() -> None:
    old, graph = onnx.load(VERSION_1), Graph.load(VERSION_1)
    declare(graph)
    rng = np.random.default_rng(0)
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in old.graph.input}
    feeds = {name: (8 * rng.random(shape)).astype(np.float32) for name, shape in shapes.items()}
    before, after = (open_session(model).run(None, feeds) for model in (old, graph.to_proto()))
    for a, b in zip(before, after, strict=True):
        np.testing.assert_allclose(a, b, 1e-5, 1e-5)


def test_nodes_with_and_without_a_mask_share_one_function() -> None:
    model = Node().model()
    second = model.graph.node.add()
    second.CopyFrom(model.graph.node[0])
    second.output[:] = ["again", ""]
    model.graph.output[1].name = "again"
    feeds = {"image": np.ones((1, 1, 3, 3), np.float32), "grid": np.ones((1, 1, 1, 2), np.float32)}
    assert [found.item() for found in open_session(model).run(None, feeds)] == [1, 1]


def test_a_mask_that_the_model_returns_is_the_nodes_second_output() -> None:
    """Nothing is computed beside the node, and a node without one has one output, as it had in version 1."""
    models = Path(__file__).parents[2] / "bench" / "models"
    for name in ("4x256x64x64", "1x64x135x240"):
        result = optimize(models / f"{name}.onnx", lowering="plugin", validate=False)
        assert [node.op_type for node in result.model.graph.node] == ["BilinearSample"], name
    assert len(lower(Case(), LOWERINGS["plugin"]).to_proto().graph.node[0].output) == 1


def test_an_image_with_channels_last_is_read_and_written_in_place() -> None:
    case, last = Case(), ((0,), (3,), (1,), (2,))
    graph, site = graph_and_site(case)
    for name in ("image", site.output):
        tensor = graph.tensor(name)
        tensor.shape = [tensor.shape[axis] for axis in TO_ROWS]
    site = replace(site, image=View("image", last), output_groups=last)
    RaiseBilinear((site,)).run(graph)
    LowerBilinear((site,), {site.id: "plugin"}).run(graph)
    graph.remove_dead()
    assert [node.op for node in graph.nodes] == ["BilinearSample"]
    given, x, y = feeds(case)
    rows = {**given, "image": given["image"].transpose(TO_ROWS)}
    wanted = bilinear(given["image"], x, y, case.policy.border, case.policy.window).transpose(TO_ROWS)
    [found] = open_session(graph.to_proto()).run(None, rows)
    np.testing.assert_allclose(found, wanted, 1e-6, 1e-6)
