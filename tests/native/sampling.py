"""What the plugin's kernels must compute, in float64, and the cases that they are held against."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice, product
from pathlib import Path
from typing import Any

import numpy as np

from onnxgs_opt.samplers.op import COORDINATE_CODES, KERNEL_CODES, WINDOW_CODES
from tests.fixtures.oracle import inside, uniform

Array = np.ndarray[Any, Any]
BORDERS = {"zeros": 0, "border": 1, "reflect-centres": 2, "reflect-edges": 3}
OF_TAPS = {**BORDERS, "wrap": 4}
"""Borders of other kernels than the linear one."""

BORDER_NAMES = {"reflect-centres": "reflection", "reflect-edges": "symmetric"}
"""What the package calls the plugin's borders, where that is another name."""
LAYOUTS = {"NCHW": 0, "NHWC": 1}


@dataclass(frozen=True)
class Case:
    """One call: sizes N, C, H, W, Ho, Wo and the node's attributes by name."""

    sizes: tuple[int, int, int, int, int, int]
    border: str = "zeros"
    window: str = "all"
    coordinates: str = "pixel"
    layout: str = "NCHW"
    dtype: str = "float32"
    grid_dtype: str = "float32"
    through_rows: bool = False
    smooth: bool = False
    kernel: str = "linear"

    @property
    def codes(self) -> tuple[int, int, int, int]:
        """The attributes as the node carries them."""
        return (
            OF_TAPS[self.border],
            WINDOW_CODES[self.window],
            COORDINATE_CODES[self.coordinates],
            LAYOUTS[self.layout],
        )


SIZES = (
    (1, 1, 5, 7, 3, 11),
    (2, 3, 7, 4, 5, 9),
    (3, 2, 2, 2, 9, 29),
    (2, 6, 2, 9, 17, 31),
    (1, 13, 9, 2, 8, 8),
    (2, 16, 6, 5, 13, 21),
    (1, 1, 1, 1, 4, 4),
    (2, 5, 1, 6, 4, 5),
)
EMPTY = ((0, 3, 4, 4, 2, 2), (1, 0, 4, 4, 2, 2), (1, 3, 4, 4, 0, 5))
"""Odd and even, of one and of several items, C = 1 and no multiple of 4, H or W of 1 and 2, larger than a block."""


def cases() -> Iterator[Case]:
    """Every border x window, every layout, type and unit, each at several sizes."""
    policies = [(b, w) for b in BORDERS for w in WINDOW_CODES]
    for i, (border, window) in enumerate(policies):
        for coordinates in COORDINATE_CODES:
            yield Case(SIZES[i % 6], border, window, coordinates)
    for size in (*SIZES, *EMPTY):
        for dtype in ("float32", "float16"):
            for border in BORDERS:
                yield Case(size, border, "all", "pixel", "NCHW", dtype)
                yield Case(size, border, "interior", "normalised", "NHWC", dtype)
    for dtype in ("float32", "float16"):
        for size in ((2, 16, 6, 5, 13, 21), (1, 70, 9, 11, 8, 9), (2, 5, 3, 40, 3, 33)):
            for smooth in (False, True):
                yield Case(size, "zeros", "all", "pixel", "NCHW", dtype, through_rows=True, smooth=smooth)
                yield Case(size, "border", "interior", "normalised", "NCHW", dtype, through_rows=True, smooth=smooth)
    yield from one_channel()
    yield from other_kernels()
    yield Case((1, 64, 4, 5, 3, 3), layout="NHWC")
    yield Case((1, 64, 4, 5, 3, 3), layout="NHWC", dtype="float16")


def one_channel() -> Iterator[Case]:
    """Several items, and more points than a block has; few where reflection about edges rounds the coordinates anew."""
    for border in ("zeros", "border", "reflect-centres"):
        for coordinates in COORDINATE_CODES:
            yield Case((2, 1, 9, 13, 40, 41), border, "all", coordinates)
        for width in (7, 8):  # points many rows apart, and pixels that start and end at 16 bytes or not
            yield Case((2, 1, 30, width, 40, 41), border, "all")
    for border in BORDERS:
        yield Case((3, 1, 2, 2, 30, 35), border, "interior", "pixel", "NCHW", "float16")


def other_kernels() -> Iterator[Case]:
    """Every kernel with every border, the rest in turn."""
    rest = cycle(product(SIZES[:4] + SIZES[5:], COORDINATE_CODES, WINDOW_CODES, LAYOUTS, ("float32", "float16")))
    for kernel, border in product([name for name in KERNEL_CODES if name != "linear"], OF_TAPS):
        size, coordinates, window, layout, dtype = next(islice(rest, 53, None))
        yield Case(size, border, window, coordinates, layout, dtype, kernel=kernel)


def inputs(case: Case, rng: np.random.Generator) -> tuple[Array, Array]:
    """An image of unit-normal values, and points inside, on pixels, beside every bound and far outside."""
    n, c, h, w, ho, wo = case.sizes
    shape = (n, c, h, w) if case.layout == "NCHW" else (n, h, w, c)
    image = rng.standard_normal(shape).astype(case.dtype)
    x, y = (_points(size, n * ho * wo, rng) for size in (w, h))
    if case.smooth:
        x, y = (np.linspace(-1, size, n * ho * wo, dtype=np.float32) for size in (w, h))
    grid = np.stack([_in_units(case, x, w), _in_units(case, y, h)], axis=-1).reshape(n, ho, wo, 2)
    return image, np.ascontiguousarray(grid, case.grid_dtype)


def _points(size: int, count: int, rng: np.random.Generator) -> Array:
    bounds = np.array([-1, 0, size - 2, size - 1, size], np.float32)
    beside = [bounds, np.nextafter(bounds, np.float32(-99)), np.nextafter(bounds, np.float32(99))]
    known = np.concatenate([*beside, [-1e6, 1e6, -0.0, -0.5, size - 0.5, -size - 2.3, 2.7 * size]])
    points = rng.uniform(-3, size + 2, count)
    points[: len(known)] = known[:count]
    return rng.permutation(points).astype(np.float32)


def _in_units(case: Case, p: Array, size: int) -> Array:
    if case.coordinates == "pixel":
        return p
    if case.coordinates == "normalised":
        return ((2 * p.astype(np.float64) + 1) / size - 1).astype(np.float32)
    return (2 * p.astype(np.float64) / max(size - 1, 1) - 1).astype(np.float32)


def reference(case: Case, image: Array, grid: Array) -> Array:
    """By definition, from pixel coordinates as the kernels round them, to float32."""
    h, w = case.sizes[2:4]
    pixels = image if case.layout == "NCHW" else image.transpose(0, 3, 1, 2)
    x, y = (_pixels(case, grid[..., k], size) for k, size in ((0, w), (1, h)))
    result = uniform(pixels, x, y, case.kernel, BORDER_NAMES.get(case.border, case.border), case.window)
    return result if case.layout == "NCHW" else result.transpose(0, 2, 3, 1)


def _pixels(case: Case, g: Array, size: int) -> Array:
    one, half = np.float32(1), np.float32(0.5)
    match case.coordinates:
        case "pixel":
            return g
        case "normalised":
            return (g + one) * (np.float32(size) * half) - half
        case _:
            return (g + one) * (np.float32(size) * half - half)


class Library:
    """The harness, compiled for the device or for the host: same call, same host memory."""

    def __init__(self, path: Path) -> None:
        """Load a library built from harness.cu."""
        loaded = ctypes.CDLL(str(path))
        self._call, self._attend = loaded.onnxgs_sample, loaded.onnxgs_attend

    def __call__(self, case: Case, image: Array, grid: Array, mask: Array | None = None) -> Array:
        """Sample into a poisoned output, and write `mask` where there is one."""
        n, c, _, _, ho, wo = case.sizes
        output = np.full((n, c, ho, wo) if case.layout == "NCHW" else (n, ho, wo, c), np.nan, image.dtype)
        pointers = [ctypes.c_void_p(None if a is None else a.ctypes.data) for a in (image, grid, output, mask)]
        sizes = (ctypes.c_longlong * 6)(*case.sizes)
        codes = (ctypes.c_int * 5)(*case.codes, KERNEL_CODES[case.kernel])
        status = self._call(*pointers, sizes, codes, int(image.dtype == np.float16), int(case.through_rows))
        assert status == 0, f"error {status}"
        return output

    def attend(self, value: Array, levels: Array, locations: Array, weights: Array) -> Array:
        """Deformable attention into a poisoned output of the value's type."""
        batch, pixels, heads, depth = value.shape
        queries = locations.shape[1]
        output = np.full((batch, queries, heads, depth), np.nan, value.dtype)
        pointers = [ctypes.c_void_p(a.ctypes.data) for a in (value, locations, weights, output)]
        sizes = (ctypes.c_longlong * 6)(batch, pixels, queries, heads, depth, len(levels))
        each = (ctypes.c_longlong * levels.size)(*levels.ravel().tolist())
        status = self._attend(*pointers, sizes, each, int(value.dtype == np.float16))
        assert status == 0, f"error {status}"
        return output


def check(library: Library, case: Case, seed: int = 0) -> None:
    """Assert that the library computes the case as the reference does."""
    image, grid = inputs(case, np.random.default_rng(seed))
    found, wanted = library(case, image, grid), reference(case, image, grid)
    assert not np.isnan(found).any(), "not all of the output was written"
    tolerance = 1e-3 if case.dtype == "float16" else 5e-6 if case.kernel.startswith("cubic") else 1e-6
    np.testing.assert_allclose(found.astype(np.float64), wanted, rtol=tolerance, atol=tolerance)
    mask = np.full((case.sizes[0], *case.sizes[4:]), np.nan, image.dtype)
    np.testing.assert_array_equal(library(case, image, grid, mask), found, "samples beside a mask are others")
    np.testing.assert_array_equal(mask, mask_of(case, grid), "the mask")


def mask_of(case: Case, grid: Array) -> Array:
    """The window, by definition."""
    axes = ((grid[..., k], case.sizes[3 - k]) for k in (0, 1))
    within = [inside(case.window, _pixels(case, g, size), size) for g, size in axes]
    return np.broadcast_to(np.asarray(within[0] & within[1]), grid.shape[:3])
