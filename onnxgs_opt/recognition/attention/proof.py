"""The proof that weighted samples of several levels, summed, are deformable attention, at one set of sizes.

Labels are named so: b items, q queries, h heads, l levels, p points of a level, t terms (the points of all levels),
d channels, s pixels of all levels, c x and y.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from onnxgs_opt.ir.def_use import Array, Scope
from onnxgs_opt.recognition.attention.labels import Label, Labels, along, groupings, is_same, view_of
from onnxgs_opt.recognition.attention.terms import Traces, Weighted, plain, terms_of
from onnxgs_opt.recognition.attention.ways import Way
from onnxgs_opt.recognition.broadcast import squashed, wide
from onnxgs_opt.recognition.composite_sizes import sizes_of
from onnxgs_opt.recognition.fixed_values import FixedValues
from onnxgs_opt.recognition.linear_form import NoForm, identity
from onnxgs_opt.recognition.traced import ADDS, LAYOUT, canonical, divisors, first_of, origins, taken
from onnxgs_opt.samplers.attention import OfAttention
from onnxgs_opt.samplers.coordinates import COORDINATES
from onnxgs_opt.samplers.site import Site
from onnxgs_opt.samplers.view import View

UNIT = 2.0**-20
"""By how much, relatively, a product of rounded factors may differ from a size, and a sum of numbers from -1/2."""

FLOATS = ("float16", "float32")
"""What deformable attention may compute in."""

PLACED = LAYOUT | {"Cast"}
"""What may be between the levels or the weights and the tensor that they are parts of."""

DYNAMIC = "bq"
"""The labels whose sizes may be dynamic."""

TERMS = ("t", "lp")
"""The labels that an operand may have of its terms: one axis, or one of levels and one of points, in either order."""


@dataclass(frozen=True)
class Found(OfAttention):
    """What was proven; the fields are those of `AttentionSite`, `samplers` by their place among the way's."""

    samplers: tuple[int, ...]
    value: View
    locations: View
    weights: View
    points: tuple[int, ...]
    levels: tuple[tuple[int, int], ...]
    output_groups: tuple[tuple[int, ...], ...]
    sizes: tuple[int, ...]


def proven(scope: Scope, values: FixedValues, sites: Sequence[Site], way: Way, heads: int | None = None) -> Found:
    """What a way is, whose samplers are `sites`; of so many `heads`, where that is said.

    Raises:
        NoForm: It is no deformable attention; the message says why.
    """
    terms: list[Weighted] = []
    for term in terms_of(scope, values, sites, way):  # of a sum over channels, the second is of another one
        terms.append(term)
        if any(not is_same(a, b) for a, b in zip(term.sample[:2], terms[0].sample, strict=False)):
            raise NoForm("its terms are of several images or channels")
    return _Proof(scope, values, sites, way, terms, heads).found()


class _Proof:
    """The proof of one way."""

    def __init__(
        self,
        scope: Scope,
        values: FixedValues,
        sites: Sequence[Site],
        way: Way,
        terms: Sequence[Weighted],
        heads: int | None,
    ) -> None:
        self.scope, self.values, self.sites, self.way, self.terms = scope, values, sites, way, terms
        self.heads = heads
        self.levels = [self._level(site) for site in sites]
        self.counts = [sum(term.sampler == k for term in terms) for k in range(len(sites))]
        if 0 in self.counts:
            raise NoForm("of one of its levels it sums nothing")
        self.lead = terms[0].sample[:2]

    def _level(self, site: Site) -> tuple[int, int]:
        _, _, height, width = sizes_of(site.image, self.values.facts)
        return height, width

    def found(self) -> Found:
        """See `proven`."""
        images = [site.image.tensor for site in self.sites]
        bases = self._common(images, PLACED)
        return first_of(lambda base: self._by(_Pixels.of(self, base)), bases, "its levels are not those of one tensor")

    def _common(self, names: Sequence[str], through: frozenset[str]) -> list[str]:
        """What several tensors are made of alone, beside what is fixed: the farthest first."""
        chains = [origins(self.scope, self.values, name, through) for name in names]
        common = (base for base in chains[0][::-1] if all(base in chain for chain in chains))
        return [base for base in common if str(self.values.facts[base].dtype) in FLOATS]

    def _by(self, pixels: _Pixels) -> Found:
        """The proof by one tensor that the levels may be parts of."""
        none = "its output has other axes than items, queries, heads and channels"
        return first_of(lambda axes: self._laid(pixels, *axes), self._axes(), none)

    def _axes(self) -> Iterator[tuple[dict[str, int], tuple[tuple[str, ...], ...], dict[str, Array]]]:
        """Sizes of b, q, h and d, which of them each axis of the output may hold, and the place of its elements."""
        shape = self._shape(self.way.output)
        for sizes, outer in self._sizes():
            for groups in groupings(shape, sizes):
                places = along(shape, groups, sizes)
                number = places["b"] * sizes["h"] + places["h"] if outer else places["h"] * sizes["b"] + places["b"]
                if is_same(number, self.lead[0]) and is_same(places["d"], self.lead[1]):
                    yield sizes, groups, places

    def _sizes(self) -> Iterator[tuple[dict[str, int], bool]]:
        """Sizes of b, q, h and d, and whether an image's number counts items before heads."""
        site = self.sites[0]
        items, depth = sizes_of(site.image, self.values.facts)[:2]
        queries = prod(self._shape(self.way.output)) // max(1, items * depth)
        for batch in divisors(items):
            if self.heads not in (None, items // batch):
                continue
            yield {"b": batch, "q": queries, "h": items // batch, "d": depth}, True
            if 1 < batch < items:
                yield {"b": batch, "q": queries, "h": items // batch, "d": depth}, False

    def _laid(
        self,
        pixels: _Pixels,
        sizes: Mapping[str, int],
        groups: Sequence[Sequence[str]],
        places: Mapping[str, Array],
    ) -> Found:
        """The operands as views, where the output has its axes so."""
        order = pixels.order
        own = {key: Label(sizes[key], (places[key],)) for key in "bhd"}
        value = pixels.view({"b": own["b"], "s": pixels.label, "h": own["h"], "d": own["d"]})
        weights, terms = self._weights(sizes, places, order)
        locations = self._locations(sizes, places, terms, order)
        if value.groups[0] > value.groups[2] > ():  # last: it is the same with their names exchanged, and no reason
            raise NoForm("its items are heads, and its heads items")
        return Found(
            samplers=tuple(order),
            value=value,
            locations=locations,
            weights=weights,
            points=tuple(self.counts[k] for k in order),
            levels=tuple(self.levels[k] for k in order),
            output_groups=tuple(tuple("bqhd".index(key) for key in keys) for keys in groups),
            sizes=(sizes["b"], sizes["q"], sizes["h"], sizes["d"]),
        )

    def _weights(
        self, sizes: Mapping[str, int], places: Mapping[str, Array], order: Sequence[int]
    ) -> tuple[View, list[tuple[int, int]]]:
        """The view of the weights, and of each term its level and point, in the order that the weights have."""
        names = [term.weights for term in self.terms]

        def made(base: str) -> tuple[View, list[tuple[int, int]]]:
            traces = Traces(self.scope, self.values, {base: identity(self._shape(base))})
            index = []
            for term in self.terms:
                own = plain(traces.traced(term.weights), term.weights).index
                index.append([taken(array, term.index) for array in own])
            terms = _points(self.terms, index, order)
            return self._view(base, index, self._labels(sizes, places, terms, order)), terms

        return first_of(made, self._common(list(dict.fromkeys(names)), PLACED), "its weights are not of one tensor")

    def _locations(
        self,
        sizes: Mapping[str, int],
        places: Mapping[str, Array],
        terms: Sequence[tuple[int, int]],
        order: Sequence[int],
    ) -> View:
        """The view of the tensor that holds x and y, from 0 to 1, of every term."""
        names = [name for site in self.sites for name in site.coordinate_tensors]

        def made(base: str) -> View:
            traces = Traces(self.scope, self.values, {base: identity(self._shape(base))})
            points = [_unit_places(traces, site, level) for site, level in zip(self.sites, self.levels, strict=True)]
            index = [
                [taken(array, (term.sample[0], *term.sample[2:])) for array in points[term.sampler][k]]
                for term in self.terms
                for k in range(2)
            ]
            labels = self._labels(sizes, places, [own for own in terms for _ in range(2)], order)
            rank = len(places["b"].shape)
            labels["c"] = Label(2, tuple(np.full([1] * rank, k % 2) for k in range(len(index))))
            return self._view(base, index, labels)

        return first_of(made, self._common(list(dict.fromkeys(names)), ADDS), "its points are not of one tensor")

    def _labels(
        self,
        sizes: Mapping[str, int],
        places: Mapping[str, Array],
        terms: Sequence[tuple[int, int]],
        order: Sequence[int],
    ) -> dict[str, Label]:
        """Labels of the terms, of which each has its level and point; of levels only where all have as many points."""
        rank = len(places["b"].shape)
        counts = [self.counts[k] for k in order]
        numbers = [(sum(counts[:level]) + point, level, point) for level, point in terms]
        t, level, point = (tuple(np.full([1] * rank, own[k]) for own in numbers) for k in range(3))
        known = {key: Label(sizes[key], (places[key],) * len(terms)) for key in "bqh"}
        known |= {"t": Label(sum(counts), t)}
        return known | ({"l": Label(len(counts), level), "p": Label(counts[0], point)} if len(set(counts)) == 1 else {})

    def _view(self, base: str, index: Sequence[Sequence[Array]], labels: Labels) -> View:
        """The view of a tensor as [b, q, h, t], and c where that is a label; `index` has its axes for each term."""
        per_axis = list(zip(*index, strict=True))

        def made(terms: str) -> View:
            keys = [key for key in ("b", "q", "h", *terms, "c") if key in labels]
            view = view_of(base, self._shape(base), per_axis, {key: labels[key] for key in keys}, DYNAMIC)
            own = sum((view.groups[keys.index(key)] for key in terms), ())
            return replace(view, groups=(*view.groups[:3], own, *view.groups[3 + len(terms) :]))

        return first_of(made, [terms for terms in TERMS if set(terms) <= set(labels)], "")

    def _shape(self, name: str) -> tuple[int, ...]:
        return self.values.facts[name].shape or ()


def _points(terms: Sequence[Weighted], index: Sequence[Sequence[Array]], order: Sequence[int]) -> list[tuple[int, int]]:
    """Of each term its level and which point of that it is, as the elements of the weights follow each other."""
    keys = [tuple(int(array.flat[0]) for array in own) for own in index]
    place: dict[int, int] = {}
    for sampler in order:
        own = sorted((k for k, term in enumerate(terms) if term.sampler == sampler), key=keys.__getitem__)
        place |= {k: point for point, k in enumerate(own)}
    return [(order.index(term.sampler), place[k]) for k, term in enumerate(terms)]


def _unit_places(traces: Traces, site: Site, level: tuple[int, int]) -> tuple[list[Array], list[Array]]:
    """Where the base of the traces holds x, and y, from 0 to 1, of every sample [n, oy, ox].

    Raises:
        NoForm: It holds them otherwise.
    """
    if site.x is not None and site.y is not None:
        parts: list[tuple[View, int | None]] = [(site.x, None), (site.y, None)]
    else:
        assert site.grid is not None, "a site without x and y has a grid"
        parts = [(site.grid, k) for k in ((1, 0) if site.flipped else (0, 1))]
    x, y = (
        _unit_place(traces, site, view, place, size) for (view, place), size in zip(parts, level[::-1], strict=True)
    )
    return x, y


def _unit_place(traces: Traces, site: Site, view: View, place: int | None, size: int) -> list[Array]:
    form = traces.traced(view.tensor)
    own = [term for term in form.terms if term.index[0].min() >= 0]
    if len(own) != 1:
        raise NoForm(f"'{view.tensor}' is a sum of several elements of '{traces.base}'")
    factors = [squashed(np.prod(np.broadcast_arrays(1.0, *term.factors), axis=0)) for term in form.terms]
    factor = next(f for f, term in zip(factors, form.terms, strict=True) if term is own[0])
    added = sum((f for f, term in zip(factors, form.terms, strict=True) if term is not own[0]), np.zeros(()))
    rank = len(form.shape)
    arrays = [canonical(view, wide(array, rank), form.shape) for array in (*own[0].index, factor, added)]
    if place is not None:
        arrays = [array[..., min(place, array.shape[-1] - 1)] for array in arrays]
    *index, factor, added = arrays
    in_pixels = site.x is not None or site.coordinates == "pixel"
    units = COORDINATES["pixel", None] if in_pixels else COORDINATES[site.coordinates, site.align_corners]
    shift = float(view.shift)
    if units.span is not None:
        if units.align_corners:
            raise NoForm("its points go from the centre of the first pixel to that of the last")
        factor, added = factor * size / float(units.span), (added - float(units.low)) * size / float(units.span) - 0.5
    if np.abs(factor / size - 1).max() > UNIT or np.abs(added + shift + 0.5).max() > UNIT * size:
        raise NoForm(f"'{traces.base}' is not where in its level, from 0 to 1, a sample is")
    return index


@dataclass(frozen=True)
class _Pixels:
    """One tensor that holds the pixels of all levels.

    Attributes:
        base: Its name.
        shape: Its shape.
        index: For each axis the place of an element of the output, or None of the axis of pixels.
        order: The samplers in the order in which their levels follow each other.
        label: The axis of pixels as a label.
    """

    base: str
    shape: tuple[int, ...]
    index: tuple[Array | None, ...]
    order: tuple[int, ...]
    label: Label

    @classmethod
    def of(cls, proof: _Proof, base: str) -> _Pixels:
        """The pixels in terms of `base`; NoForm where its rows are not those of the levels, one after the other."""
        traces = Traces(proof.scope, proof.values, {base: identity(proof._shape(base))})
        firsts: list[int] = []
        lead: list[Array | None] | None = None
        for site, (height, width) in zip(proof.sites, proof.levels, strict=True):
            shape = proof._shape(site.image.tensor)
            own = plain(traces.traced(site.image.tensor), site.image.tensor).index
            arrays = [canonical(site.image, array, shape) for array in own]
            first, axes = _split_pixels(base, arrays, height, width, proof.lead)
            if lead is not None and any(not _is_alike(a, b) for a, b in zip(axes, lead, strict=True)):
                raise NoForm(f"'{base}' has the pixels of several levels in other axes")
            lead = axes
            firsts.append(first)
        order = sorted(range(len(firsts)), key=firsts.__getitem__)
        sizes = [proof.levels[k][0] * proof.levels[k][1] for k in order]
        whole = next(n for n, at in zip(proof._shape(base), lead or (), strict=True) if at is None)
        if [firsts[k] for k in order] != [sum(sizes[:k]) for k in range(len(sizes))] or sum(sizes) != whole:
            raise NoForm(f"its levels are not all pixels of '{base}', one level after the other")
        rank = len(proof.lead[0].shape)
        return cls(base, proof._shape(base), tuple(lead or ()), tuple(order), Label(whole, (np.zeros([1] * rank),)))

    def view(self, labels: Mapping[str, Label]) -> View:
        """The tensor with the labels as its axes."""
        index = [self.label.places if array is None else (array,) for array in self.index]
        return view_of(self.base, self.shape, index, labels, DYNAMIC)


def _is_alike(one: Array | None, other: Array | None) -> bool:
    return one is other is None or (one is not None and other is not None and is_same(one, other))


def _split_pixels(
    base: str, arrays: Sequence[Array], height: int, width: int, lead: Sequence[Array]
) -> tuple[int, list[Array | None]]:
    """The first pixel of a level [n, c, y, x], and the other axes' places in terms of the output."""
    first, axes = -1, list[Array | None]()
    rows = np.arange(height).reshape(1, 1, -1, 1) * width + np.arange(width)
    for array in arrays:
        if not array.size:
            raise NoForm(f"'{base}' has no pixels of a level where its sizes are others")
        if max(array.shape[2:]) == 1:
            axes.append(taken(array[:, :, 0, 0], lead))
        elif first < 0 and array.shape[:2] == (1, 1) and np.array_equal(array - array.min(), rows):
            first = int(array.min())
            axes.append(None)
        else:
            raise NoForm(f"'{base}' does not have the pixels of a level one after the other")
    if first < 0:
        raise NoForm(f"'{base}' has no axis of pixels")
    return first, axes
