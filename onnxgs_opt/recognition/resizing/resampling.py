"""Which Resize a form is: its axes told apart, each compared with every known resampling, the whole with their product.

Weights are compared as numbers, at one set of sizes, to what rounded coordinates may be off by; pixels of a nearest
lookup exactly, with the Resize of exact arithmetic and with that of float32, in which runtimes compute it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from math import floor, prod

import numpy as np

from onnxgs_opt.ir.def_use import Array
from onnxgs_opt.recognition.linear_form import Form, NoForm, Term
from onnxgs_opt.samplers.resampling import KNOWN, Resampling, exactly_nearest, nearest, places, taps
from onnxgs_opt.samplers.view import ramp

WIDEST = 8
"""Pixels that a sample may lie across along an axis: a cubic one takes four, which clamping may spread."""

MOST_COMPARED = 2**24
"""Weights that are compared at once."""

MOST_KEPT = 2**26
"""Weights of a whole form."""


class NoResizeError(Exception):
    """The form is no Resize; the message says why."""


@dataclass(frozen=True)
class SpatialAxis:
    """An axis that is resampled: its place in what is read and in the result, the pixels and the samples along it."""

    read: int
    made: int
    size: int
    samples: int


@dataclass(frozen=True)
class Found:
    """What a form may be: every known resampling, and a scale for each spatial axis.

    A scale is None where it is samples over pixels, whatever these are.
    """

    resampling: Resampling
    scales: tuple[Fraction | None, ...]


@dataclass(frozen=True)
class Axes:
    """The axes of a form: those that are resampled, and for every axis of the result the one that is read along it."""

    spatial: tuple[SpatialAxis, ...]
    order: tuple[int, ...]


def axes_of(form: Form, shape: Sequence[int], resampled: Collection[int] = ()) -> Axes:
    """The axes of a form of a tensor of `shape`; those in `resampled` are, whatever they look like."""
    along = [_along(form, axis, size) for axis, size in enumerate(shape)]
    told = [axis for axis in along if axis is not None]
    if len(set(told)) < len(told):
        raise NoResizeError("two axes are read along one of the result")
    spare = iter([axis for axis in range(len(form.shape)) if axis not in told])
    made = [next(spare, None) if axis is None else axis for axis in along]
    if None in made or next(spare, None) is not None:
        raise NoResizeError("the result has other axes than what is read")
    order = tuple(made.index(axis) for axis in range(len(form.shape)))
    axes = [SpatialAxis(k, axis, shape[k], form.shape[axis]) for k, axis in enumerate(made) if axis is not None]
    spatial = tuple(axis for axis in axes if axis.read in resampled or not _is_plain(form, axis))
    if not spatial:
        raise NoResizeError("it takes every pixel as it is")
    moves = {axis.made for axis in spatial}
    varying = {b for term in form.terms for f in term.factors for b, size in enumerate(f.shape) if size > 1}
    if varying - moves:
        raise NoResizeError("its weights change along an axis that is not resampled")
    return Axes(spatial, order)


def _along(form: Form, axis: int, size: int) -> int | None:
    """The axis of the result along which an axis is read; None where it has one element and any axis will do."""
    found = {b for term in form.terms for b, n in enumerate(term.index[axis].shape) if n > 1}
    if len(found) > 1:
        raise NoResizeError("a pixel's place along one axis depends on two axes of the result")
    if not found and size > 1:
        raise NoResizeError("along an axis of what is read it takes one place only")
    return found.pop() if found else None


def _is_plain(form: Form, axis: SpatialAxis) -> bool:
    own = np.arange(axis.size)
    return axis.size == axis.samples and all(
        np.array_equal(np.broadcast_to(term.index[axis.read].reshape(-1), own.shape), own) for term in form.terms
    )


class Matrices:
    """A form as one sum of products of matrices: for each spatial axis and term, the weight of pixels by sample.

    Matrices are bands: `bands[axis]` is [terms, samples, width], of the pixels from `starts[axis]` [samples] on.
    """

    def __init__(self, form: Form, axes: Axes) -> None:
        self.axes = axes.spatial
        vectors = [_vectors(term, self.axes) for term in form.terms]
        self.starts: list[Array] = []
        self.bands: list[Array] = []
        for k, axis in enumerate(self.axes):
            index = np.stack([np.broadcast_to(t.index[axis.read].reshape(-1), (axis.samples,)) for t in form.terms])
            start = index.min(0)
            width = int((index - start).max()) + 1
            if width > WIDEST:
                raise NoResizeError("a sample takes pixels that lie far apart")
            start = np.minimum(start, axis.size - width).clip(0)
            band = np.zeros((len(form.terms), axis.samples, width))
            weights = np.stack([own[k] for own in vectors])
            np.put_along_axis(band, (index - start)[..., None], weights[..., None], 2)
            self.starts.append(start)
            self.bands.append(band)

    @property
    def is_exact(self) -> bool:
        """Whether every weight is 0 or 1, so that pixels come out as they are."""
        return all(bool(np.all((band == 0) | (band == 1))) for band in self.bands)

    def along(self, k: int) -> Array:
        """The weights along one axis alone, [samples, width], if those of the other axes add up to 1."""
        others = [band[:, band.shape[1] // 2].sum(1) for j, band in enumerate(self.bands) if j != k]
        band = np.einsum("tmw,t->mw", self.bands[k], reduce(np.multiply, others, np.ones(len(self.bands[k]))))
        if not np.allclose(band.sum(1), 1, atol=tolerance(self.axes[k])):
            raise NoResizeError("the weights of its pixels do not add up to 1")
        return np.asarray(band)

    def is_product(self, parts: Sequence[Array]) -> bool:
        """Whether the form is the product of what it is along each axis."""
        if len(self.bands[0]) == 1:
            return True
        allowed = sum(map(tolerance, self.axes))
        last = self.bands[-1].reshape(len(self.bands[-1]), -1)
        rows = [band.reshape(len(band), -1) for band in self.bands[:-1]]
        whole = parts[-1].reshape(-1)
        for own, wanted in _blocks(rows, [part.reshape(-1) for part in parts[:-1]], last.shape):
            if np.abs(own.T @ last - np.outer(wanted, whole)).max() > allowed:
                return False
        return True


def _blocks(rows: Sequence[Array], parts: Sequence[Array], last: tuple[int, ...]) -> Iterator[tuple[Array, Array]]:
    """Parts of the products of rows over all axes but the last, as many at once as are compared."""
    terms, width = last
    count = prod(part.size for part in parts)
    if count * width > MOST_KEPT:
        raise NoForm("it has more weights than are compared")
    if not rows:
        yield np.ones((terms, 1)), np.ones(1)
        return
    own, wanted = rows[0], parts[0]
    for row, part in zip(rows[1:], parts[1:], strict=True):
        own = (own[:, :, None] * row[:, None]).reshape(len(own), -1)
        wanted = np.outer(wanted, part).reshape(-1)
    step = max(1, MOST_COMPARED // width)
    for start in range(0, len(wanted), step):
        yield own[:, start : start + step], wanted[start : start + step]


def tolerance(axis: SpatialAxis) -> float:
    """How far weights may be off: coordinates in float32 are, by a few roundings of the largest of them."""
    return 4 * (axis.size + axis.samples) * 2.0**-24 + 1e-6


def _vectors(term: Term, axes: Sequence[SpatialAxis]) -> list[Array]:
    """The factors of a term as one vector of samples for each axis, whose product they are."""
    out = [np.ones(axis.samples) for axis in axes]
    places = {axis.made: k for k, axis in enumerate(axes)}
    for factor in term.factors:
        top = np.unravel_index(int(np.abs(factor).argmax()), factor.shape)
        peak = factor[top]
        if not peak:
            return [np.zeros(axis.samples) for axis in axes]
        along = [b for b, size in enumerate(factor.shape) if size > 1]
        lines = {b: factor[tuple(slice(None) if k == b else at for k, at in enumerate(top))] for b in along}
        wide = [ramp(b, lines[b], factor.ndim) for b in along]
        product = reduce(np.multiply, wide, np.ones([1] * factor.ndim)) / peak ** max(len(along) - 1, 0)
        if not np.allclose(product if along else factor, factor, rtol=0, atol=1e-6 * abs(peak)):
            raise NoResizeError("a weight is no product of one along the rows and one along the columns")
        for b in along:
            out[places[b]] = out[places[b]] * (lines[b] / peak)
        out[0] = out[0] * peak
    return out


# ---- what it may be -------------------------------------------------------------------------------------------------


def candidates(matrices: Matrices) -> list[Found]:
    """All that a form is, at its sizes; NoResizeError where that is nothing."""
    parts = [matrices.along(k) for k in range(len(matrices.axes))]
    scales = [_scales(matrices, k, part) for k, part in enumerate(parts)]
    found = []
    for known in KNOWN:
        fitting = [
            [scale for scale in own if _fits(matrices, k, parts[k], known, scale)] for k, own in enumerate(scales)
        ]
        if all(fitting):
            found += [Found(known, tuple(own[0] for own in fitting))]
            found += [Found(known, tuple(own[-1] for own in fitting))] if any(len(own) > 1 for own in fitting) else []
    if not found:
        raise NoResizeError("no Resize takes the same pixels with the same weights")
    if not matrices.is_product(parts):
        raise NoResizeError("its weights are no product of those along each axis")
    return found


def still(matrices: Matrices, found: Sequence[Found]) -> list[Found]:
    """Those of `found` that a form is at its sizes too; NoResizeError where there is none."""
    parts = [matrices.along(k) for k in range(len(matrices.axes))]
    kept = [
        each
        for each in found
        if all(_fits(matrices, k, parts[k], each.resampling, scale) for k, scale in enumerate(each.scales))
    ]
    if not kept:
        raise NoResizeError("no Resize takes the same pixels with the same weights at every size")
    if not matrices.is_product(parts):
        raise NoResizeError("its weights are no product of those along each axis")
    return kept


def _scales(matrices: Matrices, k: int, part: Array) -> list[Fraction | None]:
    """Scales that an axis may have: samples over pixels, whatever they are; and as a number, which may be another one.

    Where samples stand the same distance apart, that is 1 over the scale.
    """
    axis = matrices.axes[k]
    out: list[Fraction | None] = [None, Fraction(axis.samples, axis.size)]
    centres = (part * (matrices.starts[k][:, None] + np.arange(part.shape[1]))).sum(1)
    inner = np.flatnonzero((centres > 1) & (centres < axis.size - 2))
    if len(inner) > 1:
        step = float(centres[inner[-1]] - centres[inner[0]]) / float(inner[-1] - inner[0])
        scale = Fraction(1 / step).limit_denominator(64) if step > 0 else out[1]
        out += [scale] if scale is not None and scale not in out and scale_makes(scale, axis) else []
    return out


def _fits(matrices: Matrices, k: int, part: Array, known: Resampling, scale: Fraction | None) -> bool:
    """Whether an axis has the weights of a resampling."""
    axis, start = matrices.axes[k], matrices.starts[k]
    ratio = Fraction(axis.samples, axis.size) if scale is None else scale
    if not scale_makes(ratio, axis) or (axis.samples == 1 and known.transform == "pytorch_half_pixel"):
        return False  # of one sample, ONNX's text and its reference have another place
    if known.mode == "nearest":
        return matrices.is_exact and _is_nearest(axis, start, part, known, ratio)
    wanted = taps(known, axis.size, axis.samples, ratio)
    offset = wanted.index - start[:, None]
    counts = wanted.weights * ((offset < 0) | (offset >= part.shape[1]))
    if np.abs(counts).max() > tolerance(axis):
        return False
    band = np.zeros_like(part)
    rows = np.broadcast_to(np.arange(axis.samples)[:, None], offset.shape)
    np.add.at(band, (rows, offset.clip(0, part.shape[1] - 1)), np.where(counts == 0, wanted.weights, 0))
    return bool(np.abs(band - part).max() <= tolerance(axis))


def scale_makes(scale: Fraction, axis: SpatialAxis) -> bool:
    """Whether a Resize by a number makes as many samples."""
    return floor(axis.size * scale) == axis.samples


def _is_nearest(axis: SpatialAxis, start: Array, part: Array, known: Resampling, scale: Fraction) -> bool:
    """Whether a nearest lookup takes the same pixels, in exact arithmetic and in float32."""
    own = start + part.argmax(1)
    if not np.array_equal(part, np.arange(part.shape[1]) == part.argmax(1)[:, None]):
        return False
    exact = exactly_nearest(known, axis.size, axis.samples, scale)
    rounded = nearest(known, places(known, axis.size, axis.samples, scale, np.float32), axis.size)
    return np.array_equal(own, exact) and np.array_equal(own, rounded)
