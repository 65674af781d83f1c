"""Where a site was checked and what the difference was there, point by point: the evidence that a report draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onnxgs_opt.samplers.site import Site
from onnxgs_opt.samplers.view import Array, held, spans
from onnxgs_opt.validation.boundary_values import aims_of
from onnxgs_opt.validation.inputs import Run


@dataclass(frozen=True, eq=False)
class Points:
    """The points of one run.

    Attributes:
        x: Pixel columns, one a point.
        y: Pixel rows, one a point.
        error: The largest absolute difference over the channels, one a point; inf where the results cannot be compared.
        image: (H, W) of the image that was read, in pixels.
    """

    x: Array
    y: Array
    error: Array
    image: tuple[int, ...]


def points_of(site: Site, run: Run, gap: Array) -> Points | None:
    """The points of a site's run from `gap`, the absolute differences in the layout of its output; else None."""
    if len(run.points) != 2 or gap.ndim != site.output_rank:
        return None  # a map has two axes
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
    x, y = (np.broadcast_to(p, error.shape) for p in _used(site, run, error.shape))
    return Points(x.ravel(), y.ravel(), error.ravel(), run.image)


def _used(site: Site, run: Run, shape: Sequence[int]) -> list[Array]:
    """The coordinates x and y that reached the site: one grid may serve a whole batch, one row of x every line."""
    x, y = run.points
    aims = {aim.part: aim.view for aim in aims_of([site]).values()}
    out = []
    views = (aims.get("grid") or aims.get("x"), x), (aims.get("grid") or aims.get("y"), y)
    for view, values in views:
        if view is not None and view.repeats:
            out.append(held(view, values, run.feeds[view.tensor].shape))
            continue
        have = shape if view is None else spans(view, np.shape(run.feeds.get(view.tensor, values)))[:3]
        out.append(values[tuple(slice(0, size) for size in have)])
    return out
