"""What a lowering cannot say of a sampler, said by its operands: another image, other coordinates.

* A fill value c is zeros on I - c, plus c: the weights of all taps add up to 1.
* Between two pixels a mirrored image is the image at the mirrored point, so that what is left is `border`.
* A repeated image, with its first row and column once more behind the last, is the image at p - S*floor(p/S).
* Where each axis has a border of its own, each is moved so; where one of them is zeros, an edge that is repeated is the
  image at clamp(p, 0, S-1), and no zero is read along that axis.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder, Dim
from onnxgs_opt.lowering.emit.cells import SINGLE, clamped, emit_pixels, float_type
from onnxgs_opt.lowering.emit.views import emit_view
from onnxgs_opt.samplers.border import BORDER, MIRRORED, ZEROS, Border, borders_along
from onnxgs_opt.samplers.policy import Policy
from onnxgs_opt.samplers.site import BILINEAR, Site
from onnxgs_opt.samplers.view import View

BORDERS = frozenset(("zeros", "border"))
"""The borders that all lowerings know."""

POINTS = ((0,), (1,), (2,))


def plain(site: Site, borders: Collection[str] = BORDERS) -> Site:
    """The site that is left for a lowering that knows `borders` and no fill value; its operands are not made yet."""
    policy = replace(site.policy, fill=0)
    if policy.border in borders or site.kernels != BILINEAR:  # of more than two pixels no moved coordinate takes
        return replace(site, policy=policy)
    more = [axis in _repeated(site) for axis in range(2, 2 + len(site.image_size))]
    sizes = tuple(None if size is None else size + one for size, one in zip(site.image_size, more, strict=True))
    return replace(
        site,
        policy=Policy(_left(site).name, policy.window),
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
        image = builder.op("Sub", image, float(site.policy.fill))
    if left.policy.border != site.policy.border:
        sizes = builder.dim(image, 2), builder.dim(image, 3)
        points = emit_pixels(builder, site, sizes, 3)[::-1]
        moves = zip(_borders_of(site), points, sizes, strict=True)
        y, x = (_moved(builder, site, border, p, size) for border, p, size in moves)
        x_view, y_view = (View(builder.name_of(p), POINTS, units=1) for p in (x, y))
        left = replace(left, x=x_view, y=y_view, grid=None, flipped=False)
    for axis in _repeated(site) if left.policy.border != site.policy.border else ():
        image = builder.concat([image, builder.slice(image, axis, 0, 1)], axis)
    return replace(left, image=View(builder.name_of(image), tuple((axis,) for axis in range(2 + len(site.image_size)))))


def _repeated(site: Site) -> tuple[int, ...]:
    """The axes of the image [N, C, H, W] that begin anew where they end."""
    return tuple(2 + k for k, border in enumerate(_borders_of(site)) if border.name == "wrap")


def _borders_of(site: Site) -> tuple[Border, ...]:
    return borders_along(site.policy.border, len(site.kernels))


def _left(site: Site) -> Border:
    """The border that is left to a lowering, once coordinates along the axes with another one are moved."""
    return ZEROS if ZEROS in _borders_of(site) else BORDER


def margin_of(site: Site) -> float | None:
    """How far beyond the outer pixels' centres a site mirrors its image; None where it does not.

    GridSample without align_corners mirrors about the outer edges, all others that say `reflection` about centres.
    """
    return _margin(site, site.policy.border)


def _margin(site: Site, border: str) -> float | None:
    if border not in MIRRORED:
        return None
    edges = site.coordinates == "normalised" and site.align_corners is False and site.read_op == "GridSample"
    return 0.5 if edges else float(MIRRORED[border])


def _moved(builder: Builder, site: Site, border: Border, p: Tensor, size: Dim) -> Tensor:
    """The point of the image, or up to half a pixel beyond, that a coordinate stands for; all but exact up to 2^24."""
    if float_type(p).itemsize < SINGLE:
        p = builder.cast(p, np.float32)
    if border is _left(site):
        return p
    if border is BORDER:
        return clamped(builder, p, size, -1)
    margin = _margin(site, border.name)
    if margin is None:
        return builder.op("Sub", p, _periods(builder, p, _length(builder, size, 1, 0, float_type(p))))
    shifted = builder.op("Abs", builder.op("Add", p, margin) if margin else p)
    period = _length(builder, size, 2, 0 if margin else -2, float_type(p))
    past = builder.op("Sub", shifted, _periods(builder, shifted, period))
    near = builder.op("Min", past, builder.op("Sub", period, past))
    if not margin:
        return near
    point = builder.op("Sub", near, margin)  # up to half a pixel outside, where it is the outer pixel
    return clamped(builder, point, size, -1) if _left(site) is ZEROS else point


def _periods(builder: Builder, p: Tensor, period: Tensor) -> Tensor:
    """All the whole periods up to a point."""
    return builder.op("Mul", builder.op("Floor", builder.op("Div", p, period)), period)


def _length(builder: Builder, size: Dim, times: int, more: int, dtype: Any) -> Tensor:
    """`times` * S + `more` as a float, at least 1: of a single pixel everything is a mirror image."""
    if isinstance(size, int):
        return builder.const(max(times * size + more, 1), dtype)
    length = builder.op("Add", builder.op("Mul", size, times), more)
    return builder.cast(builder.op("Max", length, 1) if builder.opset >= 12 else length, dtype)
