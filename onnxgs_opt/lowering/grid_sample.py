"""`grid-sample`: one GridSample node, times the window's mask where the sampler has a window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, log2

import numpy as np

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder, Dim
from onnxgs_opt.lowering.base import SLOPE, Emitted, Tolerance, rounds_to_halves
from onnxgs_opt.lowering.emit.axis_grids import emit_axis_grid
from onnxgs_opt.lowering.emit.cells import emit_pixels, float_type, is_inside_image
from onnxgs_opt.lowering.emit.coordinates import as_grid, emit_pixel_grid, for_batch
from onnxgs_opt.lowering.emit.operands import BORDERS
from onnxgs_opt.lowering.emit.views import emit_view
from onnxgs_opt.lowering.emit.windows import both_sides, emit_sides, far_where_outside, sides_as_own_mask
from onnxgs_opt.runtime import Quirk
from onnxgs_opt.runtime.target import Target
from onnxgs_opt.samplers.border import MIRRORED, ZEROS, borders_along
from onnxgs_opt.samplers.kernel import TORCH, cubic
from onnxgs_opt.samplers.site import BILINEAR, Site
from onnxgs_opt.samplers.view import Array

NOT_MIRRORING = frozenset({Quirk.MIRRORED_TAPS_ARE_UNMEASURED, Quirk.GRID_SAMPLE_DOES_NOT_MIRROR})
FIRST_OPSET = 16
RENAMED_IN = 20  # mode "bilinear" became "linear"

MANY = 4
"""Channels from which on points from edge to edge pay: with zeros outside, onnxruntime finds their cells once for all
channels, 6 to 9 times as fast at 64 and 256 of them; of one channel the same costs up to 2.6 times as much."""

ROUND_TRIP = Tolerance(
    rtol=1e-4,
    atol=1e-4,
    reason="pixels are normalised for GridSample and back, which moves points by about S*1e-7 pixels",
)


@dataclass(frozen=True)
class GridSample:
    """Exact but for the coordinates: pixels go through 2p/(S-1)-1, or (2p+1)/S-1, and back, at about S*2^-24."""

    name: str = "grid-sample"
    tolerance: Tolerance = ROUND_TRIP

    def refusal(self, site: Site, target: Target) -> str | None:
        """Refuse what GridSample cannot say, and what it would say too imprecisely."""
        if (other := _kernel_refusal(site, target)) is not None:
            return other
        if target.opset < FIRST_OPSET:
            return f"GridSample needs opset >= {FIRST_OPSET}, the model has {target.opset}"
        linear = "linear" in site.kernels and target.opset >= RENAMED_IN
        if linear and Quirk.LINEAR_GRID_SAMPLE_IS_NEAREST in target.quirks:
            return "TensorRT before 11.2 runs a linear GridSample of opset >= 20 as nearest (GSO201)"
        if site.read_op == "GridSample":
            return "it is a GridSample node already"
        if rounds_to_halves(site):
            return "an fp16 grid cannot tell neighbouring pixels apart"
        if not site.dtype.startswith("float"):
            return f"GridSample reads no {site.dtype}"
        if "float64" in (site.dtype, *site.types):
            return "GridSample is run in float32, the sampler computes in float64"
        return _too_imprecise(site, target, self.tolerance)

    def emit(self, builder: Builder, site: Site) -> Emitted:
        """Write the sampler; see `Lowering.emit`."""
        image = emit_view(builder, site.image)
        sizes = _sizes(builder, site, image)
        by_axis = site.taps == 1 or len(site.kernels) != len(BILINEAR) or _is_mirrored(site)
        normalised = site.grid is not None and site.coordinates == "normalised"
        corners = int(bool(site.align_corners) if normalised else not from_edges(site))
        grid = emit_axis_grid(builder, site, image) if by_axis else _normalised_grid(builder, site, image, sizes)
        # A point far outside samples 0 where the border is zeros: the window then acts on the grid, not on the samples.
        on_grid = site.policy.border == "zeros"
        points = None if site.policy.window == "all" else emit_pixel_grid(builder, site, image)
        mask = None
        if points is not None and on_grid:
            grid, mask = far_where_outside(builder, site, points, grid, sizes)
        samples = builder.op(
            "GridSample",
            image,
            builder.cast(grid, float_type(image)),
            dtype=image.dtype,
            align_corners=int(site.taps > 1 and site.policy.border != "symmetric") if by_axis else corners,
            mode=_mode(site, builder.opset),
            padding_mode=_padding(site),
        )
        inside = None if points is None or on_grid else emit_sides(builder, site, points, sizes)
        if inside is None:
            return Emitted(samples, mask)
        mask = sides_as_own_mask(builder, site.mask, inside)
        window = builder.unsqueeze(builder.squeeze(both_sides(builder, inside, samples.dtype), [3]), [1])
        return Emitted(builder.op("Mul", samples, window), mask)


def _sizes(builder: Builder, site: Site, image: Tensor) -> tuple[Dim, Dim]:
    """Rows and columns: numbers where the sampler's proof tells them, too, as `from_edges` takes them to be."""
    rows, columns, *_ = site.image_size if site.kernels == BILINEAR else (None, None)
    return (rows or builder.dim(image, 2), columns or builder.dim(image, 3))


def _is_mirrored(site: Site) -> bool:
    """Whether more than two pixels along an axis, or three axes, are of a mirrored image: GridSample mirrors it itself.

    Of bilinear sites the coordinates are mirrored before.
    """
    return site.kernels != BILINEAR and site.taps > 1 and site.policy.border in MIRRORED


def _padding(site: Site) -> str:
    """The border of the node: single pixels of any other one than zeros are told by those that stand for them."""
    if site.taps > 1:
        return "reflection" if _is_mirrored(site) else site.policy.border
    return "zeros" if ZEROS in borders_along(site.policy.border, len(site.kernels)) else "border"


def _mode(site: Site, opset: int) -> str:
    if site.taps == 1:
        return "nearest"
    name = site.kernels[0]
    return name if opset >= RENAMED_IN else f"bi{name}"


def _kernel_refusal(site: Site, target: Target) -> str | None:
    """Refuse kernels, numbers of axes and borders that GridSample has not, or has in another way."""
    name, axes = site.kernels[0], len(site.kernels)
    if site.kernels == BILINEAR:
        return None
    if len(set(site.kernels)) > 1 or axes == 1:
        along = " along one" if axes == 1 else ""
        return f"GridSample has one kernel along two or three axes, and this sampler is {site.interpolation}{along}"
    if site.taps > 1 and site.policy.border not in (*BORDERS, *MIRRORED):
        return f"GridSample has no border {site.policy.border}, and no moved coordinate stands for so many pixels"
    if _is_mirrored(site) and target.quirks & NOT_MIRRORING:
        return f"{target.runtime} is not known to mirror each pixel that a GridSample reads"
    if name.startswith("cubic") and Quirk.CUBIC_GRID_SAMPLE_IS_LINEAR in target.quirks:
        return f"{target.runtime} runs a cubic GridSample as a bilinear one"
    if axes > len(BILINEAR) and (target.opset < RENAMED_IN or site.policy.window != "all"):
        return f"GridSample takes volumes from opset {RENAMED_IN} on, without a window, the model has {target.opset}"
    if name.startswith("cubic") and name != cubic(TORCH).name:
        return "GridSample's cubic weights have the parameter -3/4, those of the sampler -1/2"
    if name.startswith("cubic") and axes > len(BILINEAR):
        return "GridSample has no cubic volumes"
    return None  # a repeated edge is that of an index in every runtime, also behind cubic weights


def _normalised_grid(builder: Builder, site: Site, image: Tensor, sizes: tuple[Dim, Dim]) -> Tensor:
    if site.grid is not None and site.coordinates == "normalised":
        return for_batch(builder, site.grid, image, emit_view(builder, site.grid))
    known = [size for size in sizes if isinstance(size, int)]
    if site.policy.window == "all" and site.x is not None and site.grid is None and len(known) == len(sizes):
        parts = [  # each by itself: onnxruntime takes ten times as long for [N, Ho, Wo, 2] against two numbers
            _normalised(builder, site, p, builder.const(half, float_type(p)))
            for p, half in zip(emit_pixels(builder, site, sizes, 1), _halves(site, known), strict=True)
        ]
        return as_grid(builder, site, image, *(builder.unsqueeze(builder.squeeze(p, [1]), [3]) for p in parts))
    pixels = emit_pixel_grid(builder, site, image)
    if len(known) < len(sizes):
        return _normalised(builder, site, pixels, _half_spans(builder, sizes, pixels))
    return _normalised(builder, site, pixels, builder.const(_halves(site, known), float_type(pixels)))


def _normalised(builder: Builder, site: Site, pixels: Tensor, half: Tensor) -> Tensor:
    """(p + 1/2) / (S/2) - 1, or p / ((S-1)/2) - 1: the divisor is exact, so this rounds twice only."""
    pixels = builder.op("Add", pixels, 0.5) if from_edges(site) else pixels
    return builder.op("Sub", builder.op("Div", pixels, half), 1.0)


def _halves(site: Site, sizes: Sequence[int]) -> Array:
    """Half of what GridSample's 2 are along x and y, of an image of these sizes."""
    return np.asarray((np.array(sizes[::-1]) - (0 if from_edges(site) else 1)) / 2)


def from_edges(site: Site) -> bool:
    """Whether pixels are normalised from edge to edge, with align_corners 0, where that is as exact as has to be."""
    known = [size for size in site.image_size if size is not None]
    if site.kernels != BILINEAR or site.policy.border != "zeros" or len(known) < len(site.image_size):
        return False
    return (site.channels or 0) >= MANY and not _reads_normalised(site) and _error_from_edges(known) <= ROUND_TRIP.atol


def _error_from_edges(sizes: Sequence[int]) -> float:
    """What (p + 1/2) / (S/2) - 1 and back may cost: up to two ulps of p, inside and a pixel beyond, of any size."""
    return SLOPE * sum(displacement(size + 1, True) for size in sizes)


def _half_spans(builder: Builder, sizes: tuple[Dim, Dim], pixels: Tensor) -> Tensor:
    """(S-1)/2 along x and y; GridSample puts every finite coordinate on the pixel of an axis that has one only."""
    last = builder.clip(builder.op("Sub", builder.sizes(sizes[::-1]), 1), 1, None)
    return builder.op("Mul", builder.cast(last, float_type(pixels)), 0.5)


def tolerance_of_round_trip(site: Site) -> Tolerance | None:
    """What normalising pixels costs where the image is too large for `ROUND_TRIP`; None where it is not."""
    known = [size for size in site.image_size if size is not None]
    if _reads_normalised(site) or len(known) < len(site.image_size):
        return None
    error = _round_trip_error(site, known)
    return replace(ROUND_TRIP, atol=error) if error > ROUND_TRIP.atol else None


def _reads_normalised(site: Site) -> bool:
    return site.coordinates == "normalised" and site.grid is not None and not _is_mirrored(site)


def _round_trip_error(site: Site, sizes: Sequence[int]) -> float:
    if from_edges(site):
        return _error_from_edges(sizes)
    fades = site.policy.border == "zeros" and not (site.inside or is_inside_image(site.policy))
    fades = fades or site.policy.border == "symmetric"  # up to half a pixel outside
    return SLOPE * sum(displacement(size, fades) for size in sizes if size)


def _too_imprecise(site: Site, target: Target, tolerance: Tolerance) -> str | None:
    """Measured: 7.7e-4 to 9.1e-4 at 1080x1920, 9e-5 at 135x240, 4e-5 at 64x64, 1e-5 at 24x40."""
    if _reads_normalised(site) or site.taps == 1:
        return None
    allowed = tolerance.atol if target.atol is None else target.atol
    told = target.image_size if len(target.image_size) == len(site.image_size) else (None,) * len(site.image_size)
    sizes = [own if own is not None else size for own, size in zip(site.image_size, told, strict=True)]
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        beyond = f"beyond H + W = {int(allowed / (SLOPE * 2.0**-24))} the error may exceed {allowed:g}"
        return f"the image's size is dynamic, and {beyond}; --shape tells it"
    error = _round_trip_error(site, known)
    if error <= allowed:
        return None
    return f"normalising its pixel coordinates would cost about {error:.1e}, and {allowed:g} is allowed"


def displacement(size: int, outside: bool) -> float:
    """How far fl(fl(p / h) - 1) + 1 times h is from p in [0, S-1] at most, h being (S-1)/2; in pixels.

    GridSample's sum n + 1 is a multiple of 2^-24 up to 1 and of 2^-23 up to 2, which is up to one ulp of p between h
    and the next power of two; elsewhere p comes back as it was, or is off by half as much below h/2. `outside`: up to
    a pixel beyond, where n + 1 exceeds 2.
    """
    half = max(size - 1, 1) / 2
    return float(2.0 ** (ceil(log2(half)) - 24 + outside))
