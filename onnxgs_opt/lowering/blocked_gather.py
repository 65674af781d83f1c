"""`blocked-gather`: the read and the sum of `merged-gather`, for a block of points at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np

from onnxgs_opt.ir import Body, Node, Tensor, Variable
from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.lowering.base import REORDERED, Emitted, Tolerance, gather_refusal
from onnxgs_opt.lowering.emit.image_layouts import in_result_type
from onnxgs_opt.lowering.emit.point_blocks import emit_point_blocks
from onnxgs_opt.lowering.emit.stacked import emit_stack
from onnxgs_opt.lowering.emit.views import emit_view
from onnxgs_opt.lowering.merged_gather import PLANES_UP_TO, emit_row_taps
from onnxgs_opt.runtime import Quirk
from onnxgs_opt.runtime.target import Target
from onnxgs_opt.samplers.kernel import KERNELS
from onnxgs_opt.samplers.site import Site

BLOCK = 1 << 17
"""Elements that a block reads for each of four taps, about: half a MiB, so that all it reads stays in a core's cache
until it is summed. 4x256x64x64 took 15.0 ms in blocks of 512 points and 23.3 ms in one (fp32, one thread)."""


@dataclass(frozen=True)
class BlockedGather:
    """A Scan over blocks of points: what is read, many times the size of the result, never reaches the main memory.

    The body has a Gather of channels-last rows and their product with the weights; indices and weights, which are small
    where there are many channels, are made before. Of few channels it has a GatherElements, and any number of points.
    """

    name: str = "blocked-gather"
    tolerance: Tolerance = REORDERED
    elements: int = BLOCK

    def refusal(self, site: Site, target: Target) -> str | None:
        """Refuse runtimes that loop over a Scan, few channels, and points that do not come in blocks of one size."""
        if site.taps == 1:
            return "blocked-gather sums what it reads, and of one pixel there is nothing to sum"
        if (refusal := scan_refusal(target)) is not None:
            return refusal
        if (refusal := gather_refusal(self.name, site, target)) is not None:
            return refusal
        if site.channels is None:
            return "blocked-gather needs to know the number of channels, and it is dynamic"
        if site.channels <= PLANES_UP_TO:
            return _kernel_refusal(site) or _few_points(site.points, int(self._wanted(site)))
        if site.points is None:
            return f"of more than {PLANES_UP_TO} channels, blocked-gather needs to know how many points there are"
        return block_refusal(site.points, self._wanted(site))

    def _wanted(self, site: Site) -> float:
        """Points of a block, about; one at least."""
        return max(1.0, 4 * self.elements / (site.taps * max(1, cast(int, site.channels))))

    def emit(self, builder: Builder, site: Site) -> Emitted:
        """Write the sampler; see `Lowering.emit`."""
        channels = cast(int, site.channels)
        if channels <= PLANES_UP_TO:
            return Emitted(*emit_point_blocks(builder, site, int(self._wanted(site))))
        count = cast(int, site.points)
        image = emit_view(builder, site.image)
        stack = emit_stack(builder, site, image)
        rows, index, weights = emit_row_taps(builder, site, image, stack)
        shape = cast("list[int]", [site.batch, *site.sample_size, site.taps])
        index, weights = (_repeated(builder, t, shape) for t in (index, weights))
        rows = in_result_type(builder, site, rows)
        points = emit_blocks(builder, rows, (index, weights), (count, site.taps, channels), self._wanted(site))
        perm = [0, 1 + stack.rank, *range(1, 1 + stack.rank)]
        return Emitted(builder.transpose(builder.reshape(points, [*shape[:-1], channels]), perm), stack.mask)


def scan_refusal(target: Target) -> str | None:
    """Refuse runtimes to which a Scan is a loop, or whose Scan sees nothing outside."""
    if Quirk.SCAN_IS_A_LOOP in target.quirks:
        return "blocked-gather keeps a CPU's caches full; elsewhere a Scan is a loop of small kernels"
    if Quirk.SCAN_SEES_NO_OUTER_TENSORS in target.quirks:
        return "the body of its Scan reads the image from outside, and the target loads no such Scan"
    return None


def _kernel_refusal(site: Site) -> str | None:
    """Refuse few channels of what takes one pixel along an axis."""
    if any(KERNELS[name].taps == 1 for name in site.kernels):
        why = f"takes several pixels along each axis, and this one is {site.interpolation}"
        return f"of up to {PLANES_UP_TO} channels, blocked-gather {why}"
    return None


def _few_points(count: int | None, most: int) -> str | None:
    """Refuse what is one block."""
    return None if count is None or count > most else f"the {count} points fit in a block: that is merged-gather"


def block_refusal(count: int, wanted: float) -> str | None:
    """Refuse so many points where they do not come in blocks of about `wanted`."""
    if count <= 2 * wanted:
        return f"the {count} points fit in a block or two: that is merged-gather"
    if _block(count, wanted) is None:
        return f"the {count} points do not divide into equal blocks of about {wanted:.0f}"
    return None


def emit_blocks(
    builder: Builder, rows: Tensor, taps: tuple[Tensor, Tensor], sizes: tuple[int, int, int], wanted: float
) -> Tensor:
    """Rows [R, C] at an index, times weights, summed over the T taps of each of P points, about `wanted` at a time.

    `taps` are index and weights, both of P * T elements in this order, `sizes` are P, T and C. The result has P * C
    elements; `block_refusal` has no objection to P.
    """
    count, each, channels = sizes
    block = cast(int, _block(count, wanted))
    index = builder.reshape(taps[0], [count // block, block, each])
    weights = builder.reshape(taps[1], [count // block, block, 1, each])
    return builder.op(
        "Scan",
        index,
        weights,
        body=_Body(builder, rows, block, channels).graph(index, weights),
        num_scan_inputs=2,
        dtype=weights.dtype,
        shape=[count // block, block, 1, channels],
    )


@dataclass(frozen=True)
class _Body:
    """What the Scan does for a block: `rows` [R, C] read at index [B, T], times weights [B, 1, T], are [B, 1, C]."""

    builder: Builder
    rows: Tensor
    block: int
    channels: int

    def graph(self, index: Tensor, weights: Tensor) -> Body:
        """The body for blocks of these index and weights."""
        taps = index.shape[2]
        turn = self._variable("index", index, [self.block, taps])
        weight = self._variable("weights", weights, [self.block, 1, taps])
        read = self._variable("read", self.rows, [self.block, taps, self.channels])
        points = self._variable("points", weights, [self.block, 1, self.channels])
        nodes = [
            Node("Gather", self._name("Gather"), {"axis": 0}, [self.rows, turn], [read]),
            Node("MatMul", self._name("MatMul"), {}, [weight, read], [points]),
        ]
        return Body(nodes, [turn, weight], [points], name=self._name("block"), opset=self.builder.opset)

    def _variable(self, name: str, like: Tensor, shape: list[int]) -> Variable:
        return Variable(self._name(name), like.dtype, shape)

    def _name(self, name: str) -> str:
        return self.builder.graph.fresh_name(f"{self.builder.prefix}/{name}")


def _block(count: int, wanted: float) -> int | None:
    """The divisor of `count` that is nearest to `wanted`; None where all are more than four times off."""
    divisors = (d for d in range(math.ceil(wanted / 4), math.floor(4 * wanted) + 1) if count % d == 0)
    return min(divisors, key=lambda d: abs(math.log(d / wanted)), default=None)


def _repeated(builder: Builder, t: Tensor, shape: list[int]) -> Tensor:
    """With the items of a batch, where they all sample at the same points."""
    known = t.shape is not None and list(t.shape) == shape
    return t if known else builder.op("Expand", t, builder.const(shape, np.int64))
