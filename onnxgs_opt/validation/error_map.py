"""Where a site was checked and what the difference was there, point by point: the evidence that a report draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onnxgs_opt.samplers.site import Site
from onnxgs_opt.samplers.view import Array, held, spans
from onnxgs_opt.validation.boundary_values import Part, aims_of
from onnxgs_opt.validation.inputs import Run

PARTS: tuple[Part, ...] = ("x", "y", "z")


@dataclass(frozen=True, eq=False)
class Points:
    """The points of one run.

    Attributes:
        x: Pixel columns, one a point.
        y: Pixel rows, one a point; None where the image has one axis.
        error: The largest absolute difference over the channels, one a point; inf where the results cannot be compared.
        image: (H, W) of the image that was read, in pixels, or (W,), or (D, H, W).
        z: Pixels along the first of three axes, one a point.
    """

    x: Array
    y: Array | None
    error: Array
    image: tuple[int, ...]
    z: Array | None = None

    @property
    def along(self) -> dict[str, tuple[Array, int]]:
        """By letter, in the order of the image's axes, the pixels and the size."""
        pixels = [(letter, p) for letter, p in (("z", self.z), ("y", self.y), ("x", self.x)) if p is not None]
        return {letter: (p, size) for (letter, p), size in zip(pixels, self.image, strict=True)}


def points_of(site: Site, run: Run, gap: Array) -> Points | None:
    """The points of a site's run from `gap`, the absolute differences in the layout of its output; else None."""
    if not run.points or gap.ndim != site.output_rank:
        return None
    if not set(aims_of([site])) <= set(run.feeds):
        return None  # coordinates that are constants of the model are where they are
    shape = run.points[0].shape
    groups = [site.output_groups[0], *site.output_groups[2:]]
    axes = [axis for group in groups for axis in group]
    sizes = [int(np.prod([gap.shape[a] for a in group], dtype=np.int64)) for group in groups]
    rest = [axis for axis in range(gap.ndim) if axis not in axes]
    error = gap.transpose([*axes, *rest]).reshape(*sizes, -1).max(axis=-1)
    if any(have not in (1, want) for have, want in zip(error.shape, shape, strict=True)):
        return None
    used = [np.broadcast_to(p, error.shape).ravel() for p in _used(site, run, error.shape)]
    x, y, z = (*used, None, None)[:3]
    return Points(x, y, error.ravel(), run.image, z)  # type: ignore[arg-type]


def _used(site: Site, run: Run, shape: Sequence[int]) -> list[Array]:
    """The coordinates, x first, that reached the site: one grid may serve a whole batch, one row of x every line."""
    aims = {aim.part: aim.view for aim in aims_of([site]).values()}
    out = []
    for part, values in zip(PARTS, run.points, strict=False):
        view = aims.get("grid") or aims.get(part)
        if view is not None and view.repeats:
            out.append(held(view, values, run.feeds[view.tensor].shape))
            continue
        have = shape if view is None else spans(view, np.shape(run.feeds.get(view.tensor, values)))[: len(shape)]
        out.append(values[tuple(slice(0, size) for size in have)])
    return out
