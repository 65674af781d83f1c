"""Samples of few channels, a block of points at a time: all of a block stays in a core's cache until it is summed.

The image is one row of elements as it lies in memory, so that the channels of a pixel share a line of the cache where
they lie last. It is there twice and each turn takes its points in two halves: onnxruntime shares GatherElements out to
threads by rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import islice
from typing import Any, cast

import numpy as np

from onnxgs_opt.ir import Body, Tensor, Variable
from onnxgs_opt.ir.builder import Builder, Dim
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering.emit.cells import (
    INT32_LIMIT,
    as_own_mask,
    axis_cell,
    axis_weights,
    emit_inside,
    emit_steps,
    float_type,
    linear_index,
)
from onnxgs_opt.lowering.emit.coordinates import for_batch, of_one_shape
from onnxgs_opt.lowering.emit.image_layouts import in_result_type, plus_items
from onnxgs_opt.lowering.emit.operands import BORDERS
from onnxgs_opt.lowering.emit.stacked import all_of, emit_axis_points, emit_axis_taps, specs_of, strided
from onnxgs_opt.lowering.emit.views import emit_view
from onnxgs_opt.samplers.site import Site
from onnxgs_opt.samplers.view import known_product

HALVES = 2
"""Rows of GatherElements, and parts that the points of a turn come in."""


@dataclass(frozen=True)
class _Image:
    """An image as it lies in memory, its sizes (N, C, *S), and how many elements lie between neighbours there.

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
        return builder.op("Slice", rows, zero, self.count, zero)


@dataclass(frozen=True)
class _Reads:
    """What is read of points in a row [1, 1, 1, P] and how much it counts.

    `indices` add up to those of the taps, each combination of one of every group and the last group's the fastest, and
    `steps` [1, C, ..., 1] to them; so multiply `weights`, of which there is a group an axis. `inside` is the window.
    """

    indices: list[list[Tensor]]
    weights: list[list[Tensor]]
    steps: Tensor
    inside: Tensor | None


def emit_point_blocks(builder: Builder, site: Site, points: int) -> tuple[Tensor, Tensor | None]:
    """The samples and the mask of `Emitted` for a site with a known number of channels and taps along every axis.

    Up to `points` are taken at a time.
    """
    image = _as_it_lies(builder, site)
    coordinates = of_one_shape(builder, *emit_axis_points(builder, site, image.sizes[2:]))
    coordinates = tuple(for_batch(builder, site.coordinate_views[0], image.tensor, p) for p in coordinates)
    rank = len(coordinates)
    sizes = [builder.dim(coordinates[0], axis) for axis in (0, *range(2, 2 + rank))]
    turns = _turns(builder, builder.dims_product(sizes), points)
    in_a_row = [builder.unsqueeze(turns.filled(builder, p), [0, 1, 2]) for p in coordinates]
    has_cells = set(site.kernels) == {"linear"} and site.policy.border in BORDERS
    reads = (_cells if has_cells else _taps)(builder, site, image, in_a_row)
    if site.batch != 1:
        items = _items(builder, image, turns, sizes)
        reads.indices[0] = [builder.op("Add", builder.reshape(index, [-1]), items) for index in reads.indices[0]]
    inputs = [turns.of(builder, index, 1 + len(reads.indices)) for group in reads.indices for index in group]
    weights = (in_result_type(builder, site, weight) for group in reads.weights for weight in group)
    inputs += [turns.of(builder, weight, 1 + rank) for weight in weights]
    row = in_result_type(builder, site, builder.reshape(image.tensor, [1, -1]))
    body = _Turn(builder, builder.concat([row] * HALVES, 0), cast(int, site.channels), reads)
    rows = turns.without_lacking(builder, body.of_all(inputs))
    samples = builder.reshape(rows, [*sizes, cast(int, site.channels)])
    mask = _own_mask(builder, site, turns, coordinates[0], reads.inside)
    return builder.transpose(samples, [0, 1 + rank, *range(1, 1 + rank)]), mask


def _cells(builder: Builder, site: Site, image: _Image, points: Sequence[Tensor]) -> _Reads:
    """Two pixels along each axis that never leave the image: one index a point, to which the corners' are steps."""
    sizes = image.sizes[2:]
    cells = [axis_cell(builder, p, size, site.policy) for p, size in zip(points, sizes, strict=True)]
    inside = emit_inside(builder, site.policy, cells)
    masks = [None if inside is None else builder.cast(inside, cells[0].dtype), *[None] * (len(cells) - 1)]
    weights = [list(axis_weights(builder, cell, site.policy, mask)) for cell, mask in zip(cells, masks, strict=True)]
    index = linear_index(builder, site, cells, image.kind)
    index = builder.op("Mul", index, image.pixel) if image.pixel != 1 else index
    strides = [builder.dims_product([*sizes[k + 1 :], cell.step]) for k, cell in enumerate(cells)]
    corners = builder.reshape(emit_steps(builder, strides, image.kind), [1, 1, 1 << len(cells), 1])
    corners = builder.op("Mul", corners, image.pixel) if image.pixel != 1 else corners
    return _Reads([[index]], weights, _plus_channels(builder, image, site, corners, 1), inside)


def _taps(builder: Builder, site: Site, image: _Image, points: Sequence[Tensor]) -> _Reads:
    """Pixels of any kernel, each of which the border has an index of its own for."""
    sizes = image.sizes[2:]
    axes = [emit_axis_taps(builder, own, p, s) for own, p, s in zip(specs_of(site), points, sizes, strict=True)]
    inside = all_of(builder, [axis.window for axis in axes])
    strides = [builder.dims_product([*sizes[k + 1 :], image.pixel]) for k in range(len(axes))]
    indices = [
        [strided(builder, index, stride, image.kind) for index in axis.index]
        for axis, stride in zip(axes, strides, strict=True)
    ]
    wide = np.result_type(*(float_type(p) for p in points))
    weights = [axis.counted(builder, wide) for axis in axes]
    if inside is not None:
        weights[0] = [builder.op("Mul", weight, builder.cast(inside, wide)) for weight in weights[0]]
    first = builder.const(np.zeros([1] * (3 + len(axes))), image.kind)
    return _Reads(indices, weights, _plus_channels(builder, image, site, first, len(axes)), inside)


def _plus_channels(builder: Builder, image: _Image, site: Site, steps: Tensor, axes: int) -> Tensor:
    """Steps [1, 1, *`axes`, 1] to elements of one channel, and to those of every other: [1, C, *`axes`, 1]."""
    if image.guard is not None:
        steps = builder.op("Add", steps, image.guard)
    numbers = builder.const(np.arange(cast(int, site.channels)).reshape(1, -1, *[1] * (1 + axes)), image.kind)
    far = image.channel if isinstance(image.channel, int) else builder.cast(image.channel, image.kind)
    return builder.op("Add", steps, builder.op("Mul", numbers, far))


def _own_mask(builder: Builder, site: Site, turns: _Turns, p: Tensor, inside: Tensor | None) -> Tensor | None:
    if site.mask is None or inside is None:
        return None
    row = turns.without_lacking(builder, builder.reshape(inside, [-1]))
    mask = builder.reshape(row, [builder.dim(p, axis) for axis in range(2 + len(site.kernels))])
    mask.shape = p.shape  # open sizes have the names that they have there, by which the model's own is compared
    return as_own_mask(builder, site.mask, mask)


def _as_it_lies(builder: Builder, site: Site) -> _Image:
    items, channels, *axes = site.image.groups
    channels_last = _rises(items, *axes, channels) and not _rises(*site.image.groups)
    view = replace(site.image, groups=(items, *axes, channels)) if channels_last else site.image
    tensor = emit_view(builder, view)
    told = (site.batch, site.channels, *site.image_size)  # by a Reshape, maybe, of a tensor of sizes that are left open
    axes_of_all = (0, 1 + len(axes), *range(1, 1 + len(axes))) if channels_last else range(2 + len(axes))
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
    return builder.op("Div", more, parts)


def _items(builder: Builder, image: _Image, turns: _Turns, sizes: Sequence[Dim]) -> Tensor:
    """Where the item of every point begins in the row of elements."""
    item = builder.dims_product(image.sizes[1:])
    starts = plus_items(builder, builder.const([[0]], image.kind), (sizes[0], item), image.kind, [-1, 1])
    points = builder.sizes((sizes[0], builder.dims_product(sizes[1:])))
    return turns.filled(builder, builder.op("Expand", starts, points))


@dataclass(frozen=True)
class _Turn:
    """What the Scan does for [HALVES, B] points: `image` [HALVES, E] is read, weighted and summed as `reads` has it."""

    builder: Builder
    image: Tensor
    channels: int
    reads: _Reads

    def of_all(self, inputs: Sequence[Tensor]) -> Tensor:
        """The samples [P, C] of all turns, from the indices and the weights of `reads` in their order, each a turn."""
        outer = self.builder
        operands = [self._variable("operand", t, t.shape[1:] if t.shape else [HALVES, None]) for t in inputs]
        body = Body([], operands, [], name=outer.graph.fresh_name(f"{outer.prefix}/block"), opset=outer.opset)
        inside = Graph(body, outer.graph.envelope, outer.graph.folder, outer.graph.names())
        inside.outer = outer.graph
        made = self._turn(Builder(inside, outer.prefix), operands)
        made.dtype = inputs[-1].dtype
        body.outputs = [made]
        result: Tensor = outer.op(
            "Scan",
            *inputs,
            body=body,
            num_scan_inputs=len(inputs),
            dtype=inputs[-1].dtype,
            shape=[None, None, self.channels],
        )
        return outer.reshape(result, [-1, self.channels])

    def _turn(self, builder: Builder, operands: Sequence[Tensor]) -> Tensor:
        count = sum(map(len, self.reads.indices))
        index = _outer(builder, "Add", operands[:count], self.reads.indices)
        elements = builder.reshape(builder.op("Add", index, self.reads.steps), [HALVES, -1])
        read = builder.op("GatherElements", self.image, elements, axis=1)
        weight = _outer(builder, "Mul", operands[count:], self.reads.weights)
        taps = [len(group) for group in self.reads.weights]
        weighted = builder.op("Mul", builder.reshape(read, [HALVES, self.channels, *taps, -1]), weight)
        planes = builder.split(builder.reduce_sum(weighted, [*range(2, 2 + len(taps))]), 1, [1] * self.channels)
        return builder.concat([builder.reshape(plane, [-1, 1]) for plane in planes], 1)

    def _variable(self, name: str, like: Tensor, shape: Sequence[int | str | None]) -> Variable:
        return Variable(self.builder.graph.fresh_name(f"{self.builder.prefix}/{name}"), like.dtype, list(shape))


def _outer(builder: Builder, op_type: str, operands: Sequence[Tensor], groups: Sequence[Sequence[Tensor]]) -> Tensor:
    """Every combination of one operand of each group, a group along axis 2 and so on: [HALVES, 1, ..., B]."""
    left = iter(operands)
    stacked = [builder.concat(list(islice(left, len(group))), 2 + axis) for axis, group in enumerate(groups)]
    return reduce(lambda total, part: builder.op(op_type, total, part), reversed(stacked))
