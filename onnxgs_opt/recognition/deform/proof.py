"""The proof that samples, weighted and summed, are one DeformConv, at one set of sizes.

Axes are named so: n items, g groups, c channels, k points of the kernel in rows, oy and ox positions of the result.
All arrays are indices or numbers that broadcast to the axes that are said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from onnxgs_opt.ir import Node
from onnxgs_opt.ir.def_use import Array, Scope
from onnxgs_opt.ir.operators import operator
from onnxgs_opt.recognition.broadcast import mixed, squashed, wide
from onnxgs_opt.recognition.composite_sizes import sizes_of
from onnxgs_opt.recognition.deform.contractions import PLANE, Contraction, contraction_of
from onnxgs_opt.recognition.deform.image import plane_of
from onnxgs_opt.recognition.deform.points import Point, grid_of, points_of, whole
from onnxgs_opt.recognition.fixed_values import FixedValues
from onnxgs_opt.recognition.lifting.shape_functions import UNKNOWN
from onnxgs_opt.recognition.linear_form import NoForm, identity, reshaped
from onnxgs_opt.recognition.linear_forms import Forms
from onnxgs_opt.recognition.traced import (
    LAYOUT,
    MOST,
    Laid,
    canonical,
    check_apart,
    divisors,
    elements,
    first_of,
    laid_out,
    origins,
    taken,
)
from onnxgs_opt.samplers.deform import Geometry, OfOperands, Operand, Weights
from onnxgs_opt.samplers.site import Site
from onnxgs_opt.samplers.view import View

AXES = 5
"""Those of [n, c, k, oy, ox]."""


@dataclass(frozen=True)
class Way:
    """From a sampler's result to what weighs it: the `node`, and what it reads of the samples.

    `product` is the node that multiplies `masked`, made of the samples, with a mask; None where there is none.
    """

    node: Node
    data: str
    product: Node | None = None
    masked: str = ""

    @property
    def is_folded(self) -> bool:
        """Whether it is a convolution at every so many elements: those of the points of a kernel."""
        strides = list(self.node.attrs.get("strides", ()))
        kernel = list(self.node.attrs.get("kernel_shape", strides))
        return operator(self.node) == "Conv" and strides == kernel and prod(strides) > 1


@dataclass(frozen=True)
class Found(OfOperands):
    """What was proven; the fields are those of `DeformSite`."""

    geometry: Geometry
    image: View
    offsets: tuple[Operand, ...]
    mask: Operand | None
    weights: Weights
    output_groups: tuple[tuple[int, ...], ...]
    sizes: tuple[int, ...]


def proven(scope: Scope, values: FixedValues, site: Site, way: Way) -> Found | None:
    """What a way is, None where every sample is weighted by itself.

    Raises:
        NoForm: It is no DeformConv; the message says why.
    """
    shapes = [values.facts.get(t.name, UNKNOWN).shape for t in way.node.inputs]
    contraction = contraction_of(way.node, way.data, shapes)
    if contraction is None:
        raise NoForm(f"what {way.node.op} makes of the samples has no rule")
    traced = _Samples(scope, values, site, way, contraction)
    if (other := traced.other) is not None:
        traced = _Samples(scope, values, site, way, other)
    both = points_of(scope, values, site)
    return first_of(lambda points: _Proof(traced, *points).found(), both, "nothing is known of its points")


class _Samples:
    """Which sample, and which factor of the mask, stands at each place of what is weighted: found once.

    `places` are n', c' and the two places of the sampler's own samples, along the contraction's axes.
    """

    def __init__(self, scope: Scope, values: FixedValues, site: Site, way: Way, contraction: Contraction) -> None:
        self.scope, self.values, self.site, self.contraction = scope, values, site, contraction
        forms = Forms(scope, values, site.output)
        self.mask = ""
        self._mask_index: list[Array] = []  # along the contraction's axes
        if way.product is None:
            index = self._index(forms, way.data)
        else:
            behind = self._index(Forms(scope, values, way.product.outputs[0].name), way.data)
            index = [taken(array, behind) for array in self._index(forms, way.masked)]
            self.mask = next(t.name for t in way.product.inputs if t.name != way.masked)
            own = identity(forms.shape(self.mask)).terms[0].index
            self._mask_index = [contraction.spread(taken(array, behind)) for array in own]
        rank, shape = len(forms.shape(way.data)), forms.shape(site.output)
        self.places = [
            contraction.spread(mixed([wide(index[a], rank) for a in group], [shape[a] for a in group], rank))
            for group in site.output_groups
        ]
        for view in site.affine.factors:  # of the weights of the taps, along the axes of the sampler's output
            self.mask, own = view.tensor, identity(forms.shape(view.tensor)).terms[0].index
            made = [contraction.spread(wide(array, rank)) for array in index]
            self._mask_index = [taken(canonical(view, array, forms.shape(view.tensor)), made) for array in own]

    @property
    def other(self) -> Contraction | None:
        """The contraction with its items where the samples have them; None where they are there.

        They may stand in one axis with the positions; what was taken for them are rows where all are of one image.
        """
        own, place = self.contraction, self.places[0]
        if len(own.positions) > 1:
            return None
        if own.items > 1:
            return own.of_one_item() if place.size == 1 else None
        row = place[(0,) * (place.ndim - 1)]
        width = int(np.argmax(row != row[0]))
        return own.of_items(len(row) // width) if width and len(row) % width == 0 else None

    def _index(self, forms: Forms, name: str) -> list[Array]:
        form, factor = elements(forms, name)
        if (factor != 1).any():
            raise NoForm(f"'{name}' is scaled")
        return list(form.terms[0].index)

    def masks(self) -> Iterator[tuple[str, tuple[int, ...], list[Array]]]:
        """What the mask may be made of: a tensor, its shape, and which element of it stands at each place."""
        for base in reversed(origins(self.scope, self.values, self.mask, LAYOUT)):
            forms = Forms(self.scope, self.values, base)
            with suppress(NoForm):
                index = self._index(forms, self.mask)
                yield base, forms.shape(base), [taken(array, self._mask_index) for array in index]


class _Proof:
    """The proof by one pair of tensors that the coordinates may be made of."""

    def __init__(self, samples: _Samples, y: Point, x: Point) -> None:
        self._samples, self._points = samples, (y, x)
        self._contraction = samples.contraction
        n, _, *inner = samples.places
        self._at_places = [whole(taken(p.constant, (n, *inner)), p.slack) for p in self._points]

    def found(self) -> Found | None:
        """See `proven`."""
        order, kernel = self._order
        if prod(kernel) == 1:
            return None
        own, samples, positions = self._contraction, self._samples, self._positions
        places = [self._by_point(array) for array in samples.places]
        channels = own.groups * order.shape[0]
        plane = plane_of(samples.scope, samples.values, samples.site, places, (own.items, channels))
        laid = [
            self._laid(p.base, p.shape, [taken(a, (places[0], *places[2:])) for a in p.index]) for p in self._points
        ]
        laid += [self._mask()] if samples.mask else []
        constants = [self._by_point(array) for array in self._at_places]
        shared = next(
            g for g in divisors(channels) if all(_is_shared(a, g) for a in (*(p.table for p in laid), *constants))
        )
        strides, dilations, firsts = grid_of([_first(a, shared) for a in constants], kernel, positions)
        spans = zip(plane.size, plane.lead, firsts, strides, dilations, kernel, positions, strict=True)
        (top, bottom), (left, right) = (_pads(*span) for span in spans)
        geometry = Geometry(kernel, strides, (top, left, bottom, right), dilations, own.groups, shared)
        operands = [_operand(p, geometry) for p in laid]
        together = operands[0].view == operands[1].view
        both = zip(operands[0].table, operands[1].table, strict=True)
        joined = replace(operands[0], table=tuple(channel for pair in both for channel in pair))
        names = [name for name in (plane.view.tensor, own.weights, own.bias, *(p.view.tensor for p in laid)) if name]
        check_apart(samples.scope, own.node.outputs[0].name, {samples.site.output}, names)
        is_plain = np.array_equal(order.reshape(-1), np.arange(order.size))
        return Found(
            geometry=geometry,
            image=plane.view,
            offsets=(joined,) if together else tuple(operands[:2]),
            mask=operands[2] if samples.mask else None,
            weights=Weights(own.weights, own.perm, () if is_plain else tuple(order.reshape(-1).tolist()), own.bias),
            output_groups=own.output_groups,
            sizes=(own.items, channels, *plane.size, self._made, *positions),
        )

    @cached_property
    def _made(self) -> int:
        """The output channels."""
        shape = self._samples.values.facts[self._contraction.weights].shape or ()
        return shape[self._contraction.perm[0]]

    @cached_property
    def _positions(self) -> tuple[int, int]:
        """The sizes of oy and ox, which one axis may hold: a row ends where y goes on."""
        sizes = self._contraction.positions
        if len(sizes) == PLANE:
            return sizes[0], sizes[1]
        rows = self._at_places[0][(0,) * (len(self._contraction.shape) - 1)]
        width = int(np.argmax(rows != rows[0])) if (rows != rows[0]).any() else sizes[0]
        if sizes[0] % width:
            raise NoForm("its positions are no rows of one length")
        return sizes[0] // width, width

    @cached_property
    def _order(self) -> tuple[Array, tuple[int, int]]:
        """The column of each channel of a group and point of the kernel [c, k], and how many rows and columns k has."""
        own, samples = self._contraction, self._samples
        view = samples.site.image
        items = sizes_of(view, samples.values.facts)[1]
        lead = own.shape[1 : len(own.shape) - len(own.positions)]
        first: Any = (0, ..., *[0] * len(own.positions))
        arrays = (samples.places[0] * items + samples.places[1], *self._at_places)
        channel, y, x = (np.broadcast_to(a[first], lead).reshape(own.groups, -1) for a in arrays)
        channels, rows, columns = (np.unique(a) for a in (channel, y, x))
        per_group, points = len(channels) // own.groups, len(rows) * len(columns)
        local = np.searchsorted(channels, channel) - per_group * np.arange(own.groups)[:, None]
        point = np.searchsorted(rows, y) * len(columns) + np.searchsorted(columns, x)
        key = local * points + point
        order = np.argsort(key, axis=1)
        each = np.take_along_axis(key, order, 1)
        if each.shape[1] != per_group * points or (each != np.arange(each.shape[1])).any():
            raise NoForm("the points of its channels are not those of one kernel, each weighted once")
        if (order != order[:1]).any():
            raise NoForm("its groups have their weights in several orders")
        return order[0].reshape(per_group, points), (len(rows), len(columns))

    def _by_point(self, array: Array) -> Array:
        """What is along the contraction's axes, along [n, c, k, oy, ox]."""
        own, (order, _) = self._contraction, self._order
        count = len(own.columns)
        places = [squashed(place) for place in np.unravel_index(order, own.columns)]
        used = [
            place if size > 1 else np.zeros((1, 1), np.int64)
            for place, size in zip(places, array.shape[2:], strict=False)
        ]
        grown = np.broadcast_shapes(*(place.shape for place in used))
        if prod((*array.shape[:2], *grown, *array.shape[2 + count :])) > MOST:
            raise NoForm("it has more elements than are looked at")
        at: Any = (slice(None), slice(None), *np.broadcast_arrays(*used))
        array = array[at]
        lead, rest = (own.items, own.groups, *order.shape), own.positions
        array = reshaped(array, (*lead, *rest), (*lead, *self._positions))
        return reshaped(
            array, (*lead, *self._positions), (own.items, own.groups * len(order), lead[3], *self._positions)
        )

    def _laid(self, base: str, shape: tuple[int, ...], index: Sequence[Array]) -> Laid:
        return laid_out(base, shape, [wide(a, AXES) for a in index], (self._contraction.items, *self._positions))

    def _mask(self) -> Laid:
        """The mask, by the farthest tensor that it may be made of."""

        def laid(own: tuple[str, tuple[int, ...], list[Array]]) -> Laid:
            base, shape, index = own
            return self._laid(base, shape, [self._by_point(array) for array in index])

        return first_of(laid, self._samples.masks(), "nothing is known of its mask")


def _is_shared(array: Array, groups: int) -> bool:
    """Whether what is along [n, c, ...] is the same for all channels of each of so many groups."""
    if array.shape[1] == 1:
        return True
    blocks = array.reshape(array.shape[0], groups, -1, *array.shape[2:])
    return bool((blocks == blocks[:, :, :1]).all())


def _first(array: Array, groups: int) -> Array:
    """What is along [n, c, ...] for the first channel of each group."""
    return array if array.shape[1] == 1 else array[:, :: array.shape[1] // groups]


def _operand(laid: Laid, geometry: Geometry) -> Operand:
    """A layout as an operand: a channel for each offset group and point of the kernel."""
    table = np.broadcast_to(
        _first(laid.table, geometry.offset_groups), (1, geometry.offset_groups, geometry.points, 1, 1)
    )
    return Operand(laid.view, laid.channels, tuple(table.reshape(-1).tolist()))


def _pads(size: int, lead: int, first: int, stride: int, dilation: int, kernel: int, positions: int) -> tuple[int, int]:
    """The zeros before and behind an axis of the image, for as many positions; NoForm where there is no such number."""
    before = lead - first
    wanted = (positions - 1) * stride + dilation * (kernel - 1) + 1 - size - before
    if before < 0 or wanted <= -stride:
        raise NoForm("the first or the last position is inside the image, where a convolution goes on")
    return before, min(max(before, wanted, 0), max(0, wanted + stride - 1))
