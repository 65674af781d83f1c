"""Samples of few channels, a block of points at a time: all of a block stays in a core's cache until it is summed.

The image is one row of elements as it lies in memory, so that the channels of a pixel share a line of the cache where
they lie last. It is there twice and each turn takes its points in two halves: onnxruntime shares GatherElements out to
threads by rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from onnxgs_opt.ir import Body, Tensor, Variable
from onnxgs_opt.ir.builder import Builder, Dim
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering.emit.cells import INT32_LIMIT, Cells, as_own_mask, emit_cells_at, emit_pixels, emit_steps
from onnxgs_opt.lowering.emit.coordinates import for_batch, of_one_shape
from onnxgs_opt.lowering.emit.image_layouts import in_result_type, plus_items
from onnxgs_opt.lowering.emit.views import emit_view
from onnxgs_opt.samplers.site import Site
from onnxgs_opt.samplers.view import known_product

HALVES = 2
"""Rows of GatherElements, and parts that the points of a turn come in."""


@dataclass(frozen=True)
class _Image:
    """An image as it lies in memory, its sizes (N, C, H, W), and how many elements lie between neighbours there.

    `kind` is the integer type that holds every index. `guard` is a 0 of it whose making fails the run of an image that
    is too large for it; None where no image is.
    """

    tensor: Tensor
    sizes: tuple[Dim, ...]
    pixel: int
    channel: Dim
    kind: type[np.signedinteger[Any]]
    guard: Tensor | None


@dataclass(frozen=True)
class _Turns:
    """The points of all items as `turns` times `HALVES` times `each`, the last `lacking` of which are none."""

    count: Dim
    turns: Dim
    each: Dim
    lacking: Dim

    def of(self, builder: Builder, t: Tensor, units: int) -> Tensor:
        """What is there of every point, lacking ones included: [turns, HALVES, `units` times 1, each]."""
        each = self.each if isinstance(self.each, int) else -1
        return builder.reshape(t, [self.turns, HALVES, *[1] * units, each])

    def filled(self, builder: Builder, t: Tensor) -> Tensor:
        """What is there of every point, in a row, and 0 for the lacking ones."""
        row = builder.reshape(t, [-1])
        if isinstance(self.lacking, int):
            return builder.concat([row, builder.const(np.zeros(self.lacking, t.dtype))], 0) if self.lacking else row
        return builder.concat([row, builder.op("Expand", builder.const(0, t.dtype), self.lacking)], 0)

    def without_lacking(self, builder: Builder, rows: Tensor) -> Tensor:
        """The first `count` rows."""
        if isinstance(self.count, int):
            return builder.slice(rows, 0, 0, self.count) if self.lacking else rows
        zero = builder.const([0], np.int64)
        return cast(Tensor, builder.op("Slice", rows, zero, self.count, zero))


def emit_point_blocks(builder: Builder, site: Site, points: int) -> tuple[Tensor, Tensor | None]:
    """The samples and the mask of `Emitted` for a bilinear site with a known number of channels.

    Up to `points` are taken at a time.
    """
    image = _as_it_lies(builder, site)
    *_, height, width = image.sizes
    x, y = of_one_shape(builder, *emit_pixels(builder, site, (height, width), 1))
    x, y = (for_batch(builder, site.coordinate_views[0], image.tensor, p) for p in (x, y))
    sizes = [builder.dim(x, axis) for axis in (0, 2, 3)]
    turns = _turns(builder, builder.dims_product(sizes), points)
    in_a_row = [builder.unsqueeze(turns.filled(builder, p), [0, 1, 2]) for p in (x, y)]
    cells = emit_cells_at(builder, replace(site, mask=None), (in_a_row[0], in_a_row[1]), (height, width), image.kind)
    index = builder.op("Mul", cells.index, image.pixel) if image.pixel != 1 else cells.index
    if site.batch != 1:
        index = builder.op("Add", builder.reshape(index, [-1]), _items(builder, image, turns, sizes))
    weights = (in_result_type(builder, site, weight) for weight in (*cells.columns, *cells.rows))
    inputs = [turns.of(builder, index, 2), *(turns.of(builder, weight, 3) for weight in weights)]
    row = in_result_type(builder, site, builder.reshape(image.tensor, [1, -1]))
    channels = cast(int, site.channels)
    body = _Turn(builder, builder.concat([row] * HALVES, 0), _steps(builder, image, cells, channels), channels)
    rows = turns.without_lacking(builder, body.of_all(inputs))
    samples = builder.transpose(builder.reshape(rows, [*sizes, channels]), [0, 3, 1, 2])
    return samples, _own_mask(builder, site, turns, x, cells.inside)


def _own_mask(builder: Builder, site: Site, turns: _Turns, x: Tensor, inside: Tensor | None) -> Tensor | None:
    if site.mask is None or inside is None:
        return None
    row = turns.without_lacking(builder, builder.reshape(inside, [-1]))
    mask = builder.reshape(row, [builder.dim(x, axis) for axis in range(4)])
    mask.shape = x.shape  # open sizes have the names that they have there, by which the model's own is compared
    return as_own_mask(builder, site.mask, mask)


def _as_it_lies(builder: Builder, site: Site) -> _Image:
    items, channels, *axes = site.image.groups
    channels_last = _rises(items, *axes, channels) and not _rises(*site.image.groups)
    view = replace(site.image, groups=(items, *axes, channels)) if channels_last else site.image
    tensor = emit_view(builder, view)
    told = (site.batch, site.channels, *site.image_size)  # by a Reshape, maybe, of a tensor of sizes that are left open
    axes_of_all = (0, 3, 1, 2) if channels_last else range(4)
    sizes = [own or builder.dim(tensor, axis) for own, axis in zip(told, axes_of_all, strict=True)]
    elements = known_product(told)
    is_short = site.index_type == "int32" if elements is None else elements < INT32_LIMIT
    kind: type[np.signedinteger[Any]] = np.int32 if is_short else np.int64
    guard = None
    if is_short and elements is None:  # one element has no other shape than [1]: that ends the run
        over = builder.op("Div", builder.op("Size", tensor), INT32_LIMIT)
        guard = builder.op("Reshape", builder.const([0], kind), builder.op("Add", over, builder.const([1], np.int64)))
    if channels_last:
        return _Image(tensor, tuple(sizes), cast(int, site.channels), 1, kind, guard)
    return _Image(tensor, tuple(sizes), 1, builder.dims_product(sizes[2:]), kind, guard)


def _rises(*groups: Sequence[int]) -> bool:
    axes = [axis for group in groups for axis in group]
    return axes == sorted(axes)


def _turns(builder: Builder, count: Dim, points: int) -> _Turns:
    """As few turns as `points` a turn allow, one at least, all alike."""
    if isinstance(count, int):
        turns = max(1, -(-count // points))
        each = -(-count // (turns * HALVES))
        return _Turns(count, turns, each, turns * HALVES * each - count)
    turns = builder.clip(_divided(builder, count, builder.const([points], np.int64)), 1, None)
    parts = builder.op("Mul", turns, HALVES)
    each = _divided(builder, count, parts)
    return _Turns(count, turns, each, builder.op("Sub", builder.op("Mul", parts, each), count))


def _divided(builder: Builder, count: Tensor, parts: Tensor) -> Tensor:
    """The quotient of whole numbers, rounded up."""
    more = builder.op("Add", count, builder.op("Sub", parts, 1))
    return cast(Tensor, builder.op("Div", more, parts))


def _items(builder: Builder, image: _Image, turns: _Turns, sizes: Sequence[Dim]) -> Tensor:
    """Where the item of every point begins in the row of elements."""
    item = builder.dims_product(image.sizes[1:])
    starts = plus_items(builder, builder.const([[0]], image.kind), (sizes[0], item), image.kind, [-1, 1])
    points = builder.sizes((sizes[0], builder.dims_product(sizes[1:])))
    return turns.filled(builder, builder.op("Expand", starts, points))


def _steps(builder: Builder, image: _Image, cells: Cells, channels: int) -> Tensor:
    """What the elements of each corner in each channel have more than the first of the cell: [1, C, 4, 1]."""
    corners = builder.reshape(emit_steps(builder, cells, image.kind), [1, 1, 4, 1])
    if image.pixel != 1:
        corners = builder.op("Mul", corners, image.pixel)
    if image.guard is not None:
        corners = builder.op("Add", corners, image.guard)
    numbers = builder.const(np.arange(channels).reshape(1, -1, 1, 1), image.kind)
    far = image.channel if isinstance(image.channel, int) else builder.cast(image.channel, image.kind)
    return cast(Tensor, builder.op("Add", corners, builder.op("Mul", numbers, far)))


@dataclass(frozen=True)
class _Turn:
    """What the Scan does for [HALVES, B] points: `image` [HALVES, E] read `steps` from each index, weighted, summed."""

    builder: Builder
    image: Tensor
    steps: Tensor
    channels: int

    def of_all(self, inputs: Sequence[Tensor]) -> Tensor:
        """The samples [P, C] of all turns, from indices and from weights left, right, above and below, each a turn."""
        outer = self.builder
        operands = [self._variable("operand", t, t.shape[1:] if t.shape else [HALVES, None]) for t in inputs]
        body = Body([], operands, [], name=outer.graph.fresh_name(f"{outer.prefix}/block"), opset=outer.opset)
        inside = Graph(body, outer.graph.envelope, outer.graph.folder, outer.graph.names())
        inside.outer = outer.graph
        made = self._turn(Builder(inside, outer.prefix), operands[0], operands[1:])
        made.dtype = inputs[1].dtype
        body.outputs = [made]
        result: Tensor = outer.op(
            "Scan",
            *inputs,
            body=body,
            num_scan_inputs=len(inputs),
            dtype=inputs[1].dtype,
            shape=[None, None, self.channels],
        )
        return outer.reshape(result, [-1, self.channels])

    def _turn(self, builder: Builder, index: Tensor, weights: Sequence[Tensor]) -> Tensor:
        elements = builder.reshape(builder.op("Add", index, self.steps), [HALVES, -1])
        read = builder.op("GatherElements", self.image, elements, axis=1)
        left, right, above, below = weights
        corners = builder.op("Mul", builder.concat([left, right], 3), builder.concat([above, below], 2))
        weighted = builder.op("Mul", builder.reshape(read, [HALVES, self.channels, 2, 2, -1]), corners)
        planes = builder.split(builder.reduce_sum(weighted, [2, 3]), 1, [1] * self.channels)
        return builder.concat([builder.reshape(plane, [-1, 1]) for plane in planes], 1)

    def _variable(self, name: str, like: Tensor, shape: Sequence[int | str | None]) -> Variable:
        return Variable(self.builder.graph.fresh_name(f"{self.builder.prefix}/{name}"), like.dtype, list(shape))
