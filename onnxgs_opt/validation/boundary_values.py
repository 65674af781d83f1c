"""Inputs that find wrong samplers: coordinates on and around every border, laid out as models want them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np

from onnxgs_opt.runtime.memory import require_array
from onnxgs_opt.samplers.site import Site
from onnxgs_opt.samplers.view import Array, Layout, View, by, lay_out, spans

Part = Literal["grid", "x", "y", "z"]
FAR = (1e4, 40_000.5)
"""How far outside points are put, in pixels: below and above 2^15; GridSample itself breaks down from 2^24 on."""


@dataclass(frozen=True)
class Aim:
    """Says that a model's input holds coordinates of a site: both of them, or one.

    Attributes:
        site: The sampler that reads them.
        part: "grid" for x and y in one tensor, in the units of the site; "x", "y" or "z" for one, in pixels.
    """

    site: Site
    part: Part

    @property
    def view(self) -> View:
        """How the canonical coordinates lie in the input."""
        view = {"grid": self.site.grid, "x": self.site.x, "y": self.site.y, "z": self.site.z}[self.part]
        assert view is not None
        return view


def aims_of(sites: Sequence[Site]) -> dict[str, Aim]:
    """By name, the tensors in which each site's coordinates can be set: the grid where it has one, else x, y and z."""
    aims: dict[str, Aim] = {}
    for site in sites:
        parts: tuple[tuple[Part, View | None], ...] = (("x", site.x), ("y", site.y), ("z", site.z))
        for part, view in parts if site.grid is None else (("grid", site.grid),):
            if view is not None:
                aims.setdefault(view.tensor, Aim(site, part))
    return aims


def pixels(size: int, count: int, rng: np.random.Generator, dtype: Any = np.float32) -> Array:
    """`count` pixel coordinates for an axis of `size`, in random order.

    A half are edges (-1, 0, S-1, S, the halves between, integers), exact and an ulp to either side, signed zeros, tiny
    negatives and points far outside; a quarter lie on whole, half and quarter pixels; the rest is uniform over
    [-2, S+2).
    """
    require_array((count,))
    edges = edge_pixels(size, dtype)
    quarters = (rng.permutation(4 * (size + 4))[: -(-count // 4)] / 4 - 2).astype(dtype)
    near = _repeated(rng.permutation(edges), -(-count // 2), rng)
    exact = _repeated(quarters, count // 4, rng)
    spread = (rng.random(count - len(near) - len(exact)) * (size + 4) - 2).astype(dtype)
    return rng.permutation(np.concatenate([near, exact, spread]))


def beside_ties(p: Array, rng: np.random.Generator) -> Array:
    """Coordinates of which a part of those halfway between two pixels is moved by an ulp, up or down."""
    ends = rng.choice(np.array([-np.inf, np.nan, np.inf], p.dtype), p.shape)
    halfway = (p - np.floor(p) == 0.5) & ~np.isnan(ends)
    return np.asarray(np.where(halfway, np.nextafter(p, np.where(halfway, ends, p)), p))


def _repeated(values: Array, count: int, rng: np.random.Generator) -> Array:
    """The first `count` of the values; where there are fewer, all of them and more at random."""
    return np.concatenate([values, rng.choice(values, count - len(values))]) if count > len(values) else values[:count]


def pixels_of_items(size: int, layout: Layout, rng: np.random.Generator, dtype: Any = np.float32) -> Array:
    """Pixel coordinates [N, Ho, Wo] for an axis of `size`: the points of each batch item are those of `pixels`."""
    items = [pixels(size, math.prod(layout.samples), rng, dtype) for _ in range(layout.batch)]
    return np.asarray(np.concatenate([np.empty(0, dtype), *items]).reshape(layout.of_samples()), dtype)


@cache
def edge_pixels(size: int, dtype: Any = np.float32) -> Array:
    """The coordinates at which a sampler's formula changes, and their neighbours in floating point; read-only."""
    marks = np.array([-1.5, -1, -0.5, 0, 0.5, 1, size // 2, size - 2, size - 1.5, size - 1, size - 0.5, size], dtype)
    ulps = [np.nextafter(marks, np.array(to, dtype)) for to in (-np.inf, np.inf)]
    tiny = np.finfo(dtype).tiny
    others = np.array([-tiny, tiny, -1e-4, -3, size + 2, *FAR, *(-far for far in FAR)], dtype)
    values = np.sort(np.concatenate([marks, *ulps, others]))
    new = np.concatenate([[True], values[1:] != values[:-1]])  # np.unique would import masked arrays: 40 ms
    values = values[new]
    both = np.insert(values, int(np.searchsorted(values, 0)), -0.0)  # which equals 0, so that sorting may lose it
    both.flags.writeable = False
    return both


def normalised(p: Array, size: int, align_corners: bool) -> Array:
    """Pixels in GridSample's units, rounded once, and finite: halves end below twice what is far outside."""
    exact = p.astype(np.float64)
    scaled = 2 * exact / max(1, size - 1) - 1 if align_corners else (2 * exact + 1) / size - 1
    largest = float(np.finfo(p.dtype).max)
    return np.clip(scaled, -largest, largest).astype(p.dtype)


def layouts_of(site: Site, picks: Sequence[Layout]) -> list[Layout]:
    """Sizes to check a site at: its own where they are static, else those of `picks`."""
    out: list[Layout] = []
    for pick in picks:
        count = len(site.image_size)
        image, samples = along(pick.image, count), along(pick.samples, count)
        image = tuple(own or size for own, size in zip(site.image_size, image, strict=True))
        samples = tuple(own or size for own, size in zip(site.sample_size, samples, strict=True))
        layout = Layout(site.batch or pick.batch, site.channels or pick.channels, image, samples)
        if layout not in out:
            out.append(layout)
    return out


def along(sizes: tuple[int, ...], axes: int) -> tuple[int, ...]:
    """Sizes of so many axes, from those of two where they are not as many; a third one is none of the others."""
    if len(sizes) == axes:
        return sizes
    return (math.prod(sizes),) if axes == 1 else (*(sizes[1] % 5 + 3 + k for k in range(axes - 2)), *sizes)


def layout_at(site: Site, shapes: Mapping[str, Sequence[int]]) -> Layout:
    """Sizes of a site where every tensor has the shape that `shapes` gives it."""
    batch, channels, *image = spans(site.image, shapes[site.image.tensor])
    parts = [spans(view, shapes[view.tensor], shapes)[: 1 + len(image)] for view in site.coordinate_views]
    samples = [max(sizes) for sizes in zip(*parts, strict=True)]
    return Layout(max(batch, samples[0]), channels, tuple(image), tuple(samples[1:]))


def coordinate_values(aim: Aim, layout: Layout, points: Sequence[Array], shape: Sequence[int]) -> Array:
    """The input that an aim describes, from canonical pixel coordinates [N, Ho, Wo], x first."""
    if aim.part != "grid":
        return lay_out(aim.view, points["xyz".index(aim.part)], shape)
    if aim.site.coordinates == "normalised":
        sizes = layout.image[::-1]
        points = [normalised(p, size, bool(aim.site.align_corners)) for p, size in zip(points, sizes, strict=True)]
    return lay_out(aim.view, np.stack(points[::-1] if aim.site.flipped else points, axis=-1), shape)


def image_values(shape: Sequence[int], rng: np.random.Generator, dtype: Any) -> Array:
    """Unit-normal values: tolerances are meant for these."""
    require_array(shape)
    return rng.standard_normal(tuple(shape)).astype(dtype)


def words_of(layout: Layout) -> str:
    """The sizes of a check, in words."""
    return f"an image of {by(layout.of_image())} and {by(layout.of_samples())} points"


def describe(p: float, size: int, letter: str) -> str:
    """A coordinate in words: which edge it is on or beside, or where it lies."""
    span = {"x": "W", "y": "H", "z": "D"}[letter]
    marks: Mapping[str, float] = {
        "-1": -1,
        "-0.5": -0.5,
        "0": 0,
        f"{span}-2": size - 2,
        f"{span}-1": size - 1,
        f"{span}-0.5": size - 0.5,
        span: size,
    }
    for name, mark in marks.items():
        if p == mark:
            return f"{letter} = {name} exactly"
        if abs(p - mark) <= 4 * np.spacing(np.float32(max(abs(mark), 1))):
            return f"{letter} just {'below' if p < mark else 'above'} {name}"
    place = "inside" if 0 <= p <= size - 1 else "outside"
    return f"{letter} = {p:.6g} ({place})"
