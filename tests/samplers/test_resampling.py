"""Resampling along an axis, held against onnx's own reference of Resize."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from onnxgs_opt.samplers.resampling import KNOWN, Resampling, exactly_nearest, nearest, places, taps

SIZES = ((5, 10), (7, 4), (4, 11), (6, 6), (2, 9), (9, 1))


def reference(known: Resampling, size: int, samples: int) -> np.ndarray:
    """The matrix [samples, size] of onnx's reference."""
    attributes = {
        "mode": known.mode,
        "coordinate_transformation_mode": known.transform,
        "nearest_mode": known.rounding,
        "cubic_coeff_a": float(known.coefficient),
        "exclude_outside": int(known.exclude_outside),
    }
    node = onnx.helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], **attributes)
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node],
        "resize",
        [value("x", onnx.TensorProto.DOUBLE, [size, size]), value("sizes", onnx.TensorProto.INT64, [2])],
        [value("y", onnx.TensorProto.DOUBLE, [size, samples])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 19)])
    feeds = {"x": np.eye(size), "sizes": np.array([size, samples])}
    return np.asarray(ReferenceEvaluator(model).run(None, feeds)[0]).T


def matrix(known: Resampling, size: int, samples: int) -> np.ndarray:
    found = taps(known, size, samples, Fraction(samples, size))
    out = np.zeros((samples, size))
    np.add.at(out, (np.arange(samples)[:, None], found.index), found.weights)
    return out


@pytest.mark.parametrize("known", KNOWN, ids=lambda k: f"{k.mode}-{k.transform}-{k.rounding}-{k.coefficient}")
def test_taps_are_those_of_the_reference(known: Resampling) -> None:
    for size, samples in SIZES:
        if samples == 1 and known.transform == "pytorch_half_pixel":
            continue  # 0 in the text of the operator, -0.5 in the reference
        np.testing.assert_allclose(matrix(known, size, samples), reference(known, size, samples), atol=2e-6)


@pytest.mark.parametrize(
    "known", [k for k in KNOWN if k.mode == "nearest"], ids=lambda k: f"{k.transform}-{k.rounding}"
)
def test_exact_places_are_rounded_as_doubles_are_where_these_are_exact(known: Resampling) -> None:
    for size, samples in ((8, 16), (16, 8), (5, 20), (6, 3), (9, 9)):
        scale = Fraction(samples, size)
        at = places(known, size, samples, scale)
        if known.transform == "align_corners":  # the one whose quotients are no binary fractions
            at = np.round(at * (samples - 1)) / (samples - 1)
        assert np.array_equal(nearest(known, at, size), exactly_nearest(known, size, samples, scale))


def test_single_precision_takes_another_pixel_where_it_rounds_a_place_down() -> None:
    """The reason why a lookup is compared with both: 7 * (10 / 70) is 1, and 0.99999994 in float32."""
    known = Resampling("nearest", "asymmetric", "floor")
    differing = [
        (size, samples)
        for size in range(2, 40)
        for samples in range(2, 40)
        if not np.array_equal(
            exactly_nearest(known, size, samples, Fraction(samples, size)),
            nearest(known, places(known, size, samples, Fraction(samples, size), np.float32), size),
        )
    ]
    assert differing
