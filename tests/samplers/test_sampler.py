"""The definition of a sampler, as numpy computes it, against formulas that know nothing of it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from onnxgs_opt.samplers.border import BORDER, BORDERS
from onnxgs_opt.samplers.coordinates import COORDINATES, PIXEL, Coordinates
from onnxgs_opt.samplers.kernel import KERNELS, cubic
from onnxgs_opt.samplers.policy import WINDOWS
from onnxgs_opt.samplers.sampler import AxisSpec
from tests.fixtures import reference
from tests.fixtures.oracle import Numpy, inside, sampled

SIZES = (7, 2, 5)


def points(axes: int, count: int = 400) -> list[np.ndarray]:
    """Coordinates up to ten pixels outside, half of them on a pixel or a quarter of one beside it."""
    rng = np.random.default_rng(axes)
    anywhere = rng.uniform(-9.9, 11.9, (axes, count))
    quarters = rng.integers(-9, 12, (axes, count)) + rng.choice([0, 0.25, 0.75], (axes, count))
    return list(np.where(rng.random((axes, count)) < 0.5, anywhere, quarters))


def at(image: np.ndarray, where: list[np.ndarray], sampler: tuple[AxisSpec, ...]) -> np.ndarray:
    """The samples of a single image at points that are one after the other."""
    return sampled(image[None, None], [p[None] for p in where], sampler)[0, 0]


PLAIN = ("nearest", "linear", "cubic")


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_halfway_between_two_pixels(kernel: str, border: str) -> None:
    image, where = np.random.default_rng(8).standard_normal(7), [np.arange(-19, 24) / 2]
    found = at(image, where, (AxisSpec(KERNELS[kernel], BORDERS[border]),))
    np.testing.assert_allclose(found, reference.sample(image, where, kernel, border), rtol=0, atol=1e-12)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("kernel", PLAIN)
def test_every_kernel_and_border(kernel: str, border: str, axes: int) -> None:
    image, where = np.random.default_rng(5).standard_normal(SIZES[:axes]), points(axes)
    found = at(image, where, axes * (AxisSpec(KERNELS[kernel], BORDERS[border]),))
    np.testing.assert_allclose(found, reference.sample(image, where, kernel, border), rtol=0, atol=1e-12)


@pytest.mark.parametrize("window", WINDOWS)
def test_every_window(window: str) -> None:
    image, where = np.random.default_rng(6).standard_normal(SIZES), points(3)
    found = at(image, where, 3 * (AxisSpec(border=BORDER, window=WINDOWS[window]),))
    np.testing.assert_allclose(found, reference.sample(image, where, "linear", "border", window), rtol=0, atol=1e-12)
    p = np.array([-2, -1.5, -1, -0.5, 0, 0.5, 5, 5.5, 6, 6.5, 7, 7.5])
    np.testing.assert_array_equal(inside(window, p, 7), reference.WINDOWS[window](p, 7))


def test_axes_may_differ() -> None:
    image, (y, x) = np.random.default_rng(7).standard_normal((5, 6)), points(2)
    found = at(image, [y, x], (AxisSpec(KERNELS["cubic"], BORDERS["wrap"]), AxisSpec(window=WINDOWS["reach"])))
    rows = np.stack([reference.sample(column, [y], "cubic", "wrap") for column in image.T])
    wanted = [
        reference.sample(row, [p], "linear", "zeros", "reach")[0] for row, p in zip(rows.T, x[:, None], strict=True)
    ]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


def test_a_cubic_tells_a_clamped_coordinate_from_a_clamped_index() -> None:
    image, where = np.arange(7.0) ** 2, [np.array([-3.25, -0.25, 6.25, 9.5])]
    index, coordinate = (
        AxisSpec(KERNELS["cubic"], BORDER),
        AxisSpec(KERNELS["cubic"], BORDER, coordinates=Coordinates(clamped=True)),
    )
    np.testing.assert_allclose(at(image, where, (coordinate,)), image[[0, 0, 6, 6]])
    assert np.all(at(image, where, (index,))[1:3] != image[[0, 6]])
    for kernel in ("nearest", "linear"):
        specs = [replace(spec, kernel=KERNELS[kernel]) for spec in (index, coordinate)]
        np.testing.assert_array_equal(*(at(image, where, (spec,)) for spec in specs))


@pytest.mark.parametrize("a", [Fraction(-1, 2), Fraction(-3, 4), Fraction(-1)])
def test_cubic_weights_add_up_to_one(a: Fraction) -> None:
    weights = cubic(a).weights(Numpy, np.linspace(0, 1, 9))
    np.testing.assert_allclose(sum(weights), 1)
    np.testing.assert_allclose([w[0] for w in weights], [0, 1, 0, 0], atol=1e-15)
    np.testing.assert_allclose(weights[0][4], float(a) / 8)


@pytest.mark.parametrize(
    ("units", "low", "high", "first", "last"),
    [
        (COORDINATES["normalised", True], -1, 1, 0, 8),
        (COORDINATES["normalised", False], -1, 1, -0.5, 8.5),
        (COORDINATES["unit", True], 0, 1, 0, 8),
        (COORDINATES["unit", False], 0, 1, -0.5, 8.5),
        (Coordinates("unit", False, Fraction(-1, 2), Fraction(18)), 0, 17, -0.25, 8.25),
        (PIXEL, -1.5, 20, -1.5, 20),
        (Coordinates(clamped=True), -1.5, 20, 0, 8),
    ],
)
def test_units(units: Coordinates, low: float, high: float, first: float, last: float) -> None:
    found = units.to_pixel(Numpy, np.array([low, high]), np.float64(9))
    np.testing.assert_allclose(found, [first, last], rtol=0, atol=1e-12)
