"""`blocked-gather`: the read and the sum of `merged-gather`, for a block of points at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np

from onnxgs_opt.ir import Body, Node, Tensor, Variable
from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.lowering.base import REORDERED, Emitted, Tolerance, bilinear_refusal, gather_refusal
from onnxgs_opt.lowering.emit.image_layouts import in_result_type
from onnxgs_opt.lowering.emit.stacked import emit_stack
from onnxgs_opt.lowering.emit.views import emit_view
from onnxgs_opt.lowering.merged_gather import PLANES_UP_TO, emit_row_taps
from onnxgs_opt.runtime import Quirk
from onnxgs_opt.runtime.target import Target
from onnxgs_opt.samplers.site import Site

BLOCK = 1 << 17
"""Elements that a block reads for each of its four corners, about: half a MiB, so that all it reads stays in a core's
cache until it is summed. 4x256x64x64 took 15.0 ms in blocks of 512 points and 23.3 ms in one (fp32, one thread)."""


@dataclass(frozen=True)
class BlockedGather:
    """A Scan over blocks of points: what is read, four times the size of the result, never reaches the main memory.

    The body has a Gather of channels-last rows and their product with the weights; indices and weights, which are small
    where there are many channels, are made before.
    """

    name: str = "blocked-gather"
    tolerance: Tolerance = REORDERED
    elements: int = BLOCK

    def refusal(self, site: Site, target: Target) -> str | None:
        """Refuse runtimes that loop over a Scan, few channels, and points that do not come in blocks of one size."""
        if (other := bilinear_refusal(self.name, site)) is not None:
            return other
        if Quirk.SCAN_IS_A_LOOP in target.quirks:
            return "blocked-gather keeps a CPU's caches full; elsewhere a Scan is a loop of small kernels"
        if Quirk.SCAN_SEES_NO_OUTER_TENSORS in target.quirks:
            return "the body of its Scan reads the image from outside, and the target loads no such Scan"
        if (refusal := gather_refusal(self.name, site, target)) is not None:
            return refusal
        count = site.points
        if count is None or site.channels is None:
            return "blocked-gather needs to know the numbers of points and channels, and they are dynamic"
        if site.channels <= PLANES_UP_TO:
            return f"blocked-gather is for more than {PLANES_UP_TO} channels, the image has {site.channels}"
        wanted = self.elements / site.channels
        if count <= 2 * wanted:
            return f"the {count} points fit in a block or two: that is merged-gather"
        if _block(count, wanted) is None:
            return f"the {count} points do not divide into equal blocks of about {wanted:.0f}"
        return None

    def emit(self, builder: Builder, site: Site) -> Emitted:
        """Write the sampler; see `Lowering.emit`."""
        count, channels = cast(int, site.points), cast(int, site.channels)
        block = cast(int, _block(count, self.elements / channels))
        image = emit_view(builder, site.image)
        stack = emit_stack(builder, site, image)
        rows, index, weights = emit_row_taps(builder, site, image, stack)
        body = _Body(builder, in_result_type(builder, site, rows), block, channels)
        blocks = count // block
        shape = cast("list[int]", [site.batch, *site.sample_size, 4])
        index, weights = (_repeated(builder, t, shape) for t in (index, weights))
        index = builder.reshape(index, [blocks, block, 4])
        weights = builder.reshape(weights, [blocks, block, 1, 4])
        points = builder.op(
            "Scan",
            index,
            weights,
            body=body.graph(index, weights),
            num_scan_inputs=2,
            dtype=weights.dtype,
            shape=[blocks, block, 1, channels],
        )
        return Emitted(builder.transpose(builder.reshape(points, [*shape[:3], channels]), [0, 3, 1, 2]), stack.mask)


@dataclass(frozen=True)
class _Body:
    """What the Scan does for a block: `rows` [R, C] read at index [B, 4], times weights [B, 1, 4], are [B, 1, C]."""

    builder: Builder
    rows: Tensor
    block: int
    channels: int

    def graph(self, index: Tensor, weights: Tensor) -> Body:
        """The body for blocks of these index and weights."""
        turn = self._variable("index", index, [self.block, 4])
        weight = self._variable("weights", weights, [self.block, 1, 4])
        read = self._variable("read", self.rows, [self.block, 4, self.channels])
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
    return t if known else cast(Tensor, builder.op("Expand", t, builder.const(shape, np.int64)))
