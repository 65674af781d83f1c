"""The native operator on CPUs, loaded into onnxruntime, against the definition."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import cycle, product
from pathlib import Path

import numpy as np
import pytest

from onnxgs_opt.samplers.kernel import KERNELS
from onnxgs_opt.samplers.op import (
    BORDER_CODES,
    COORDINATE_CODES,
    KERNEL_CODES,
    LAYOUT_CODES,
    TAP_BORDER_CODES,
    WINDOW_CODES,
    name_for,
)
from tests.fixtures.soak import ALL
from tests.lowering.test_operator import TAPS, TYPES, Node, points_of
from tests.native import ops
from tests.native.sampling import BORDERS, EMPTY, LAYOUTS, SIZES, Case, inputs

ROUNDED = [name for name in TAPS if KERNELS[name].taps == 1]
NO_PIXELS = ((1, 2, 0, 4, 3, 3), (2, 3, 5, 0, 2, 2))
ONES = ((1, 1, 1, 1, 1, 1), (1, 3, 1, 9, 5, 1), (1, 20, 9, 1, 1, 7))


@pytest.mark.parametrize(("border", "window"), [*product(BORDERS, WINDOW_CODES)])
def test_every_unit_layout_and_type(library: Path, border: str, window: str) -> None:
    """One in four of 1,152 cases, others for each window and border; CASES=all takes every one."""
    sizes, every = cycle((*SIZES, *ONES)), 1 if ALL else 4
    first = [*BORDERS].index(border) + [*WINDOW_CODES].index(window)
    rest = product(COORDINATE_CODES, LAYOUTS, ops.TYPES, ("float32", "float64"))
    for place, (coordinates, layout, dtype, grid_dtype) in enumerate(rest, first):
        size = next(sizes)
        if place % every == 0:
            ops.check(library, Case(size, border, window, coordinates, layout, dtype, grid_dtype))


ODD = ((2, 3, 5, 7, 4, 9), (1, 1, 9, 3, 7, 5), (1, 5, 1, 9, 3, 7), (3, 2, 2, 2, 9, 1), (1, 9, 31, 17, 13, 3))


def nodes(border: str, window: str, every: int) -> list[Node]:
    """One in `every` of all units, layouts and types of a border and window, each of another size."""
    rest = enumerate(product(COORDINATE_CODES, LAYOUT_CODES, TYPES))
    first = list(WINDOW_CODES).index(window) % every
    return [
        Node(ODD[i % 5], border, window, unit, layout, image, grid)
        for i, (unit, layout, (image, grid)) in rest
        if i % every == first
    ]


@cache
def as_the_body(node: Node) -> tuple[bytes, dict[str, np.ndarray], list[np.ndarray]]:
    """A file, inputs, and what it makes of them without a library: the same whichever library it is held against."""
    rng = np.random.default_rng(0)
    n, c, height, width = node.sizes[:4]
    shape = (n, c, height, width) if node.layout == "NCHW" else (n, height, width, c)
    grid, _ = points_of(node, rng)
    feeds = {"image": rng.standard_normal(shape).astype(node.image), "grid": grid}
    made = node.model().SerializeToString()
    return made, feeds, ops.session(None, made).run(None, feeds)


def assert_as_the_body(library: Path, node: Node) -> None:
    """The same file with the library, which then runs the kernel, and without it."""
    made, feeds, body = as_the_body(node)
    kernel = ops.session(library, made).run(None, feeds)
    tolerance = max(ops.TOLERANCES[node.image], ops.TOLERANCES[node.grid])
    np.testing.assert_allclose(kernel[0].astype(float), body[0].astype(float), tolerance, tolerance, err_msg=str(node))
    np.testing.assert_array_equal(kernel[1], body[1], err_msg=str(node))
    assert [k.dtype for k in kernel] == [b.dtype for b in body]


@pytest.mark.parametrize("border", BORDER_CODES)
def test_the_kernel_is_the_body(library: Path, border: str) -> None:
    """One in nine of 1,152 cases; CASES=all in the environment takes every one."""
    every = 1 if ALL else 9
    for window in WINDOW_CODES:
        for node in nodes(border, window, every):
            assert_as_the_body(library, node)


def other_nodes(kernel: str, every: int) -> Iterator[Node]:
    """One in `every` of all borders, windows, units and layouts of a kernel, with the sizes and types in turn."""
    sizes, types = cycle((*ODD, (1, 5, 9, 9, 33, 40))), cycle(TYPES)
    for i, (border, window, unit, layout) in enumerate(
        product(TAP_BORDER_CODES, WINDOW_CODES, COORDINATE_CODES, LAYOUT_CODES)
    ):
        size, (image, grid) = next(sizes), next(types)
        if i % every == KERNEL_CODES[kernel] % every:
            yield Node(size, border, window, unit, layout, image, grid, kernel=kernel)


@pytest.mark.parametrize("kernel", TAPS)
def test_every_other_kernel_is_its_body(library: Path, kernel: str) -> None:
    """One in nineteen of 1,680 cases; CASES=all in the environment takes every one."""
    for node in other_nodes(kernel, 1 if ALL else 19):
        assert_as_the_body(library, node)


@pytest.mark.parametrize("kernel", ["nearest", "cubic"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_other_kernels_of_more_points_and_channels_than_a_task_has(library: Path, kernel: str, layout: str) -> None:
    for channels, (image, grid) in zip((1, 2, 3, 4, 5, 70), TYPES, strict=True):
        sizes = (2, channels, 13, 17, 93, 101 if channels < 70 else 11)
        assert_as_the_body(library, Node(sizes, "zeros", "all", "pixel", layout, image, grid, kernel=kernel))


@pytest.mark.parametrize("kernel", TAPS)
def test_sizes_of_zero_and_coordinates_that_are_no_points(library: Path, kernel: str) -> None:
    """A pixel that does not count is 0, be the image infinite; no read is outside of it, whatever the coordinate."""
    values = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, -1.0], np.float32)
    for border, sizes in product(TAP_BORDER_CODES, (*EMPTY, *NO_PIXELS, (1, 2, 5, 7, 6, 6))):
        n, c, height, width, rows, columns = sizes
        image = np.full((n, c, height, width), np.inf, np.float32)
        grid = np.broadcast_to(np.stack(np.meshgrid(values, values), -1)[:rows, :columns], (n, rows, columns, 2))
        node = Node(sizes, border, "reach-closed", kernel=kernel)
        feeds = {"image": image, "grid": np.ascontiguousarray(grid)}
        samples, mask = ops.session(library, node.model().SerializeToString()).run(None, feeds)
        assert samples.shape == (n, c, rows, columns)
        np.testing.assert_array_equal(mask, (grid == -1).all(-1))
        if 0 in (height, width):
            assert not samples.any()
        elif kernel in ROUNDED:
            wanted = np.where(mask[:, None] * (border != "zeros"), np.float32(np.inf), 0)
            np.testing.assert_array_equal(samples, np.broadcast_to(wanted, samples.shape))


def test_the_nearest_pixel_is_copied_bit_by_bit(library: Path) -> None:
    image = np.arange(1 << 16, dtype=np.uint16).view(np.float16).reshape(1, 1, 256, 256)
    y, x = np.divmod(np.arange(1 << 16, dtype=np.float32), 256)
    grid = np.stack([x, y], -1).reshape(1, 256, 256, 2)
    node = Node((1, 1, 256, 256, 256, 256), image="float16", kernel="nearest-even")
    samples, _ = ops.session(library, node.model().SerializeToString()).run(None, {"image": image, "grid": grid})
    np.testing.assert_array_equal(samples.view(np.uint16), image.view(np.uint16))


@pytest.mark.parametrize("sizes", [*EMPTY, *NO_PIXELS], ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_sizes_of_zero(library: Path, sizes: tuple[int, int, int, int, int, int], layout: str) -> None:
    for border in BORDERS:
        ops.check(library, Case(sizes, border, "reach", "pixel", layout))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 40])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_more_points_and_channels_than_a_task_has(library: Path, channels: int, layout: str) -> None:
    for dtype in ops.TYPES:
        ops.check(library, Case((2, channels, 13, 17, 93, 101), "zeros", "all", "pixel", layout, dtype))


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize(("channels", "dtype"), [(2, "float32"), (3, "float16"), (4, "float64")])
def test_few_channels_of_a_large_image(library: Path, channels: int, dtype: str, smooth: bool) -> None:
    """Scattered points of two to four channels are read from a copy."""
    ops.check(library, Case((2, channels, 511, 515, 365, 363), "border", "interior", dtype=dtype, smooth=smooth))


def test_the_mask_may_be_left_out(library: Path) -> None:
    case = Case(SIZES[1], window="interior")
    image, grid = inputs(case, np.random.default_rng(0))
    feeds = {"image": image, "grid": grid}
    with_mask = ops.session(library, ops.model(case)).run(None, feeds)
    (without,) = ops.session(library, ops.model(case, form=None)).run(None, feeds)
    np.testing.assert_array_equal(with_mask[0], without)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, -3e38])
def test_no_coordinate_reads_outside_of_the_image(library: Path, value: float) -> None:
    for border, layout in product(BORDERS, LAYOUTS):
        case = Case((1, 3, 5, 7, 4, 40), border, layout=layout)
        image, grid = inputs(case, np.random.default_rng(0))
        grid[:, ::2] = value
        samples, mask = ops.session(library, ops.model(case)).run(None, {"image": image, "grid": grid})
        assert samples.shape[-1] in (3, 40)
        assert mask[:, 1::2].all(), "these are numbers"
        assert mask[:, ::2].all() != np.isnan(value), "NaN is in no window"


def test_every_finite_float16_is_read_and_written_as_it_is(library: Path) -> None:
    """65,536 values, sampled at their own pixels; beside an infinity a weight of 0 makes no number."""
    image = np.arange(1 << 16, dtype=np.uint16).view(np.float16).reshape(1, 1, 256, 256)
    y, x = np.divmod(np.arange(1 << 16, dtype=np.float32), 256)
    image[~np.isfinite(image)] = 0
    grid = np.stack([x, y], -1).reshape(1, 256, 256, 2)
    case = Case((1, 1, 256, 256, 256, 256), "border", dtype="float16")
    samples, _ = ops.session(library, ops.model(case)).run(None, {"image": image, "grid": grid})
    np.testing.assert_array_equal(samples, image)


@pytest.mark.parametrize("name", ["border", "window", "coordinates", "layout", "mask", "kernel"])
@pytest.mark.parametrize("code", [-1, 8])
def test_an_unknown_code_is_refused_when_the_model_is_loaded(library: Path, name: str, code: int) -> None:
    with pytest.raises(Exception, match=f"unknown code of `{name}`"):
        ops.session(library, ops.model(Case(SIZES[0]), **{name: code}))


@pytest.mark.parametrize(("kernel", "code"), [("nearest", 0), ("floor", 6), ("cubic", 5), ("cubic", 8)])
def test_the_kernel_of_another_operator_is_refused(library: Path, kernel: str, code: int) -> None:
    model = Node(kernel=kernel).model()
    next(a for a in model.graph.node[0].attribute if a.name == "kernel").i = code
    with pytest.raises(Exception, match=f"{name_for(kernel)}: unknown code of `kernel`"):
        ops.session(library, model.SerializeToString())


def test_tensors_that_do_not_belong_together_are_refused(library: Path) -> None:
    run = ops.session(library, ops.model(Case(SIZES[0]))).run
    image = np.zeros((1, 1, 4, 4), np.float32)
    for shape, words in (((1, 2, 2, 3), "last axis of grid must be 2"), ((2, 2, 2, 2), "differ in their batch")):
        with pytest.raises(Exception, match=words):
            run(None, {"image": image, "grid": np.zeros(shape, np.float32)})
