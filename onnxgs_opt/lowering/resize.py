"""`resize`: one Resize node for a resampling at fixed places, spelt as reads and weights."""

from __future__ import annotations

from collections.abc import Callable
from math import floor
from typing import Any

import numpy as np

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder, Dim
from onnxgs_opt.lowering.base import EXACT, SLOPE, OfNoSampler, Tolerance
from onnxgs_opt.runtime import Quirk
from onnxgs_opt.runtime.target import Target
from onnxgs_opt.samplers.resampling import Resampling
from onnxgs_opt.samplers.resize import ResizedAxis, ResizeSite

FIRST_OPSET = 11
OPTIONAL_INPUTS_SINCE = 13
PLANE = 2
"""Axes that a cubic Resize has in onnxruntime."""

WHOLE_PIXELS = ("align_corners", "asymmetric")
"""Transforms in which the first sample is the first pixel."""

HALF_ROUNDINGS = 8 * 2.0**-10
"""Of halves around 1, a rounding of every weight and product of a bilinear sample."""


NO_RESIZE = "its points are data, those of a Resize are not"
RESIZE = OfNoSampler("resize", NO_RESIZE, EXACT)
"""One node; only for sites that are a Resize."""


def resize_refusal(site: ResizeSite, target: Target) -> str | None:
    """Say why a site cannot be written as a Resize; None when it can."""
    if target.opset < FIRST_OPSET:
        return f"Resize has its modes from opset {FIRST_OPSET} on, the model has {target.opset}"
    if site.dtype not in ("float32", "float16"):
        return f"runtimes have no Resize of {site.dtype}"
    if site.resampling.mode != "nearest" and len(site.axes) > PLANE + (site.resampling.mode == "linear"):
        return f"runtimes have no {site.resampling.mode} Resize along {len(site.axes)} axes"
    if (other := _otherwise(site, target)) is not None:
        return other
    if any(map(_needs_scale, site.axes)) and not all(map(_has_scale, site.axes)):
        return "one of its axes needs a scale, of another one a scale would not make its size"
    return None


def _otherwise(site: ResizeSite, target: Target) -> str | None:
    """Say what the target's own Resize does otherwise than ONNX has it."""
    own, quirks = site.resampling, target.quirks
    if own.mode == "linear" and len(site.axes) > PLANE and Quirk.NO_LINEAR_RESIZE_OF_VOLUMES in quirks:
        return f"{target.runtime} has no linear Resize along three axes"
    whole = own.transform in WHOLE_PIXELS and own.coefficient == Resampling.coefficient and not own.exclude_outside
    if own.mode == "cubic" and not whole and Quirk.CUBIC_RESIZE_IS_OF_WHOLE_PIXELS in quirks:
        return (
            f"{target.runtime} runs another cubic Resize, but where one aligns corners or is asymmetric, with a = -3/4"
        )
    if own.mode == "nearest" and own.rounding.endswith("ceil") and Quirk.NEAREST_RESIZE_ROUNDS_DOWN in quirks:
        return f"{target.runtime} rounds down where a Resize is to round up"
    return None


def weighing_refusal(name: str, site: ResizeSite, target: Target) -> str | None:
    """Refuse what no form that weighs pixels by itself can write exactly enough, for the form of that name."""
    if site.resampling.mode == "nearest":
        return "of the nearest pixel there is nothing to weigh"
    if site.dtype != "float32":
        return f"{name} computes in float32, the image is {site.dtype}"
    if Quirk.SHORT_FLOATS_BY_DEFAULT in target.quirks:
        return f"{name} sums products, before which the target rounds to bfloat16 or halves unless told otherwise"
    return None


def resize_tolerance(site: ResizeSite, size: int) -> Tolerance:
    """What a Resize may differ by where its longest resampled axis has so many pixels or samples."""
    if site.resampling.mode == "nearest":
        return EXACT
    if site.dtype == "float16":
        return Tolerance(rtol=HALF_ROUNDINGS, atol=HALF_ROUNDINGS, reason="a few roundings to half precision")
    reason = "the places of the samples, computed in another order, which moves them by about S*1e-7 pixels"
    return Tolerance(rtol=1e-6, atol=1e-6 + 2 * SLOPE * size * 2.0**-24, reason=reason)


def emit_resize(builder: Builder, site: ResizeSite) -> Tensor:
    """The output of a site, as one Resize of its image."""
    added = 1 if len(site.axes) == 1 and site.resampling.mode != "nearest" else 0
    return emit_around(builder, site, added, _resized)


Resampled = Callable[[Builder, ResizeSite, Tensor, list[Dim]], Tensor]
"""From an image [N, C, ...] and its sizes before the resampled axes, the last ones, to what is made of it."""


def emit_around(builder: Builder, site: ResizeSite, added: int, resample: Resampled) -> Tensor:
    """What `resample` makes of a site's image, with `added` axes of 1 before those that are resampled.

    Where the image's axes stand otherwise, it is laid out for it. A result in wider numbers is computed in float32,
    and cast: nothing that has a Resize has one of doubles.
    """
    image, own = (builder.graph.tensor(name) for name in (site.image, site.output))
    image = builder.cast(image, np.float32) if site.dtype == "float32" else image
    rank = len(site.image_shape)
    spatial = [axis.read for axis in site.axes]
    others = [k for k in range(rank) if k not in spatial]
    laid_out = builder.transpose(image, [*others, *spatial])
    dims = [builder.dim(laid_out, k) for k in range(rank)]
    lead, inner = dims[: len(others)], dims[len(others) :]
    whole: list[Dim] = [builder.dims_product(lead[:-1]), *(lead[-1:] or [1]), *[1] * added, *inner]
    resized = resample(builder, site, builder.reshape(laid_out, whole), whole[: 2 + added])
    samples = [_samples(builder, axis, resized, 2 + added + k) for k, axis in enumerate(site.axes)]
    apart = resized if len(lead) == 2 and not added else builder.reshape(resized, [*lead, *samples])
    held = [*others, *spatial]
    result = builder.transpose(apart, [held.index(k) for k in site.order])
    return result if own.dtype is None else builder.cast(result, own.dtype)


def _samples(builder: Builder, axis: ResizedAxis, resized: Tensor, place: int) -> Dim:
    return axis.samples if axis.samples is not None else builder.dim(resized, place)


def _resized(builder: Builder, site: ResizeSite, image: Tensor, lead: list[Dim]) -> Tensor:
    """The image [N, C, ...] resampled along its last axes."""
    own = site.resampling
    attributes: dict[str, Any] = {
        "mode": own.mode,
        "coordinate_transformation_mode": own.transform,
        "nearest_mode": own.rounding if own.mode == "nearest" else None,
        "cubic_coeff_a": float(own.coefficient) if own.mode == "cubic" else None,
        "exclude_outside": int(own.exclude_outside) or None,
    }
    nothing = None if builder.opset >= OPTIONAL_INPUTS_SINCE else builder.const(np.zeros(0, np.float32))
    shape = [*image.shape[: len(lead)], *(axis.samples for axis in site.axes)] if image.shape else None
    if all(map(_has_scale, site.axes)):
        scales = builder.const([1.0] * len(lead) + [float(axis.factor or 1) for axis in site.axes], np.float32)
        return builder.op("Resize", image, nothing, scales, dtype=image.dtype, shape=shape, **attributes)
    wanted = [wanted_size(builder, axis, image, len(lead) + k) for k, axis in enumerate(site.axes)]
    inputs = image, nothing, nothing, builder.sizes([*lead, *wanted])
    return builder.op("Resize", *inputs, dtype=image.dtype, shape=shape, **attributes)


def _has_scale(axis: ResizedAxis) -> bool:
    """Whether a Resize by the axis' factor, in float32, makes its samples at its places."""
    if axis.factor is None:
        return False
    factor = float(np.float32(float(axis.factor)))
    if axis.scale is None or axis.size is None or axis.samples is None:
        return factor == axis.factor
    return floor(axis.size * factor) == axis.samples


def _needs_scale(axis: ResizedAxis) -> bool:
    """Whether its samples are no whole image apart: samples over pixels is not its factor."""
    return axis.scale is not None and axis.size is not None and axis.samples is not None


def wanted_size(builder: Builder, axis: ResizedAxis, image: Tensor, place: int) -> Dim:
    """The number of samples along an axis."""
    if axis.samples is not None:
        return axis.samples
    if axis.source is not None:
        name, place = axis.source
        return builder.dim(builder.graph.tensor(name), place)
    assert axis.scale is not None, "a dynamic number of samples has a source or a scale"
    more = builder.dims_product([builder.dim(image, place), axis.scale.numerator])
    return more if axis.scale.denominator == 1 else builder.op("Div", more, axis.scale.denominator)
