"""What a lowering cannot say of a sampler, said by its operands: another image, other coordinates.

* A fill value c is zeros on I - c, plus c: the weights of all taps add up to 1.
* Between two pixels a mirrored image is the image at the mirrored point, so that what is left is `border`.
* A repeated image, with its first row and column once more behind the last, is the image at p - S*floor(p/S); of a
  cylinder that is so of its columns.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, cast

import numpy as np

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder, Dim
from onnxgs_opt.lowering.emit.cells import SINGLE, emit_pixels, float_type
from onnxgs_opt.lowering.emit.views import emit_view
from onnxgs_opt.samplers.border import CYLINDER
from onnxgs_opt.samplers.policy import Policy
from onnxgs_opt.samplers.site import Site
from onnxgs_opt.samplers.view import View

BORDERS = frozenset(("zeros", "border"))
"""The borders that all lowerings know."""

POINTS = ((0,), (1,), (2,))


def plain(site: Site, borders: Collection[str] = BORDERS) -> Site:
    """The site that is left for a lowering that knows `borders` and no fill value; its operands are not made yet."""
    policy = replace(site.policy, fill=0)
    if policy.border in borders:
        return replace(site, policy=policy)
    more = [axis in _repeated(site) for axis in range(2, 2 + len(site.image_size))]
    sizes = tuple(None if size is None else size + one for size, one in zip(site.image_size, more, strict=True))
    return replace(
        site,
        policy=Policy("border", policy.window),
        image_size=sizes,
        coordinates="pixel",
        align_corners=None,
        inside=False,
        bounds=(),
    )


def emit_plain(builder: Builder, site: Site, borders: Collection[str] = BORDERS) -> Site:
    """The same site with operands that are made for it; `site` itself where it needs none."""
    left = plain(site, borders)
    if left == site:
        return site
    image = emit_view(builder, site.image)
    if site.policy.fill:
        dtype = builder.graph.tensor(site.output).dtype
        image = image if dtype is None else builder.cast(image, dtype)
        image = cast(Tensor, builder.op("Sub", image, float(site.policy.fill)))
    if site.policy.border not in borders:
        sizes = builder.dim(image, 2), builder.dim(image, 3)
        x, y = emit_pixels(builder, site, sizes, 3)
        x = _moved(builder, site, x, sizes[1])
        y = y if site.policy.border == CYLINDER else _moved(builder, site, y, sizes[0])
        left = replace(left, x=View(x.name, POINTS, units=1), y=View(y.name, POINTS, units=1), grid=None, flipped=False)
    for axis in _repeated(site):
        image = builder.concat([image, builder.slice(image, axis, 0, 1)], axis)
    return replace(left, image=View(image.name, tuple((axis,) for axis in range(2 + len(site.image_size)))))


def _repeated(site: Site) -> tuple[int, ...]:
    """The axes of the image [N, C, H, W] that begin anew where they end."""
    return {"wrap": (2, 3), CYLINDER: (3,)}.get(site.policy.border, ())


def margin_of(site: Site) -> float | None:
    """How far beyond the outer pixels' centres a site mirrors its image; None where it does not.

    GridSample without align_corners mirrors about the outer edges, all others that say `reflection` about centres.
    """
    if site.policy.border not in ("reflection", "symmetric"):
        return None
    edges = site.coordinates == "normalised" and site.align_corners is False and site.read_op == "GridSample"
    return 0.5 if edges or site.policy.border == "symmetric" else 0.0


def _moved(builder: Builder, site: Site, p: Tensor, size: Dim) -> Tensor:
    """The point of the image, or up to half a pixel beyond, that a coordinate stands for; all but exact up to 2^24."""
    if float_type(p).itemsize < SINGLE:
        p = builder.cast(p, np.float32)
    margin = margin_of(site)
    if margin is None:
        return cast(Tensor, builder.op("Sub", p, _periods(builder, p, _length(builder, size, 1, 0, float_type(p)))))
    shifted = builder.op("Abs", builder.op("Add", p, margin) if margin else p)
    period = _length(builder, size, 2, 0 if margin else -2, float_type(p))
    past = builder.op("Sub", shifted, _periods(builder, shifted, period))
    near = builder.op("Min", past, builder.op("Sub", period, past))
    return cast(Tensor, builder.op("Sub", near, margin) if margin else near)


def _periods(builder: Builder, p: Tensor, period: Tensor) -> Tensor:
    """All the whole periods up to a point."""
    return cast(Tensor, builder.op("Mul", builder.op("Floor", builder.op("Div", p, period)), period))


def _length(builder: Builder, size: Dim, times: int, more: int, dtype: Any) -> Tensor:
    """`times` * S + `more` as a float, at least 1: of a single pixel everything is a mirror image."""
    if isinstance(size, int):
        return builder.const(max(times * size + more, 1), dtype)
    length = builder.op("Add", builder.op("Mul", size, times), more)
    return builder.cast(builder.op("Max", length, 1) if builder.opset >= 12 else length, dtype)
