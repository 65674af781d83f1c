"""Boxes for RoIAlign by hand: all over the image and beyond it, turned over and of no extent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from onnxgs_opt.samplers.roi_align import RoiAlignSite, Span
from onnxgs_opt.samplers.view import Array

BEYOND = 0.4
"""Parts of the image that boxes may begin or end outside of it."""

USUAL = (16, 16)
"""The size of an image of which nothing is known."""


def with_boxes(given: Mapping[str, Array], sites: Sequence[RoiAlignSite], rng: np.random.Generator) -> dict[str, Array]:
    """The same inputs with boxes, where they have the tensors that boxes are made of."""
    feeds = dict(given)
    for site in sites:
        for name in site.sources:
            if name in feeds and _fits(site, name, feeds[name].shape):
                feeds[name] = box_values(site, name, feeds[name], _size_of(site, feeds), rng)
    return feeds


def box_values(site: RoiAlignSite, name: str, given: Array, size: Sequence[int], rng: np.random.Generator) -> Array:
    """A tensor that boxes are made of, otherwise as `given`; `size` is the number of images, the height and the width.

    A box in four has no extent.
    """
    out = given.copy()
    spans = [span for span in site.spans if span.tensor == name]
    shape = [count for axis, count in enumerate(given.shape) if spans[0].place[axis] is None]
    points = [rng.random(shape) * (1 + 2 * BEYOND) - BEYOND for _ in range(2)]
    is_point = rng.random(shape) < 1 / 4
    for span in spans:
        index = tuple(slice(None) if k is None else k for k in span.place)
        if span.axis is None:
            out[index] = rng.integers(-size[0], size[0], shape)
            continue
        parts = rng.random(shape) * (1 + 2 * BEYOND) - BEYOND
        parts = np.where(is_point, points[span.axis], parts)
        out[index] = np.clip(parts * _unit(span, size[1 + span.axis]), *span.range).astype(out.dtype)
    return out


def _fits(site: RoiAlignSite, name: str, shape: Sequence[int]) -> bool:
    """Whether a tensor of a shape has every number of a box: one whose axis of numbers is dynamic may be shorter."""
    places = [span.place for span in site.spans if span.tensor == name]
    return all(k is None or k < size for place in places for k, size in zip(place, shape, strict=True))


def _unit(span: Span, size: int) -> float:
    """What a number of a box is at the end of the image."""
    return (size if span.size is None else span.size) / span.pixels


def _size_of(site: RoiAlignSite, feeds: Mapping[str, Array]) -> tuple[int, int, int]:
    """The number of images, and their height and width."""
    image = feeds.get(site.image.tensor)
    if image is None or site.image.split is not None:
        height, width = (own or usual for own, usual in zip(site.image_size, USUAL, strict=True))
        return 1, height, width
    batch, (height, width) = site.image.groups[0], (image.shape[a] for group in site.image.groups[2:] for a in group)
    return image.shape[batch[0]] if batch else 1, height, width
