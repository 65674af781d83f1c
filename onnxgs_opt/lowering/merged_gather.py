"""`merged-gather`: one read of the image for all four corners of every point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.lowering.base import REORDERED, Emitted, Tolerance, gather_refusal
from onnxgs_opt.lowering.emit.cells import float_type
from onnxgs_opt.lowering.emit.image_layouts import emit_planes, emit_rows, in_result_type, plus_batch, spread
from onnxgs_opt.lowering.emit.stacked import Stack, emit_stack
from onnxgs_opt.lowering.emit.views import emit_view
from onnxgs_opt.runtime import Quirk
from onnxgs_opt.runtime.target import Target
from onnxgs_opt.samplers.site import Site

PLANES_UP_TO = 8
"""Channels up to which reading planes is faster than rows of channels: onnxruntime on a CPU, fp32."""

SHORT_FLOATS = (
    "merged-gather has a MatMul, before which the target computes in bfloat16 or halves unless told otherwise (GSO209)"
)


@dataclass(frozen=True)
class MergedGather:
    """One Gather or GatherElements over stacked indices, products of weights, one sum."""

    name: str = "merged-gather"
    tolerance: Tolerance = REORDERED

    def refusal(self, site: Site, target: Target) -> str | None:
        """Refuse opsets without GatherElements, and a MatMul that would make coordinates short."""
        if not self._reads_planes(site) and Quirk.SHORT_FLOATS_BY_DEFAULT in target.quirks:
            return SHORT_FLOATS
        return gather_refusal(self.name, site, target)

    def emit(self, builder: Builder, site: Site) -> Emitted:
        """Write the sampler; see `Lowering.emit`."""
        image = emit_view(builder, site.image)
        if self._reads_planes(site):
            stack = emit_stack(builder, site, image)
            return Emitted(_from_planes(builder, site, image, stack), stack.mask)
        return _from_rows(builder, site, image)

    @staticmethod
    def _reads_planes(site: Site) -> bool:
        return site.channels is not None and site.channels <= PLANES_UP_TO


def _from_planes(builder: Builder, site: Site, image: Tensor, stack: Stack) -> Tensor:
    """Elements of [N, C, H*W], their index repeated over the channels."""
    channels = cast(int, site.channels)
    index = spread(builder, site, image, stack.index)
    read = builder.op("GatherElements", emit_planes(builder, image), index, axis=2)
    samples = stack.samples(builder)
    read = in_result_type(builder, site, read)
    if stack.weights is None:
        return _where_inside(builder, builder.reshape(read, [0, channels, *samples]), stack.inside)
    weights, taps = in_result_type(builder, site, stack.weights), site.taps
    if channels == 1:
        read = builder.reshape(read, [0, taps, *samples])
        return builder.reduce_sum(builder.op("Mul", read, weights), 1, keepdims=True)
    read, weights = builder.reshape(read, [0, channels, taps, *samples]), builder.unsqueeze(weights, [1])
    return builder.reduce_sum(builder.op("Mul", read, weights), 2)


def _where_inside(builder: Builder, samples: Tensor, inside: Tensor | None) -> Tensor:
    """0 where a single pixel does not count."""
    return samples if inside is None else builder.op("Where", inside, samples, builder.const(0, float_type(samples)))


def _from_rows(builder: Builder, site: Site, image: Tensor) -> Emitted:
    """Rows of [N*H*W, C], weighted by a product of [1, T] and [T, C] a point."""
    stack = emit_stack(builder, site, image)
    last = 1 + stack.rank
    perm = [0, last, *range(1, last)]
    rows, index, weights = emit_row_taps(builder, site, image, stack)
    read = in_result_type(builder, site, builder.op("Gather", rows, index, axis=0))
    if weights is None:
        return Emitted(
            _where_inside(builder, builder.transpose(builder.squeeze(read, [last]), perm), stack.inside), stack.mask
        )
    sums = builder.op("MatMul", builder.unsqueeze(weights, [last]), read)
    return Emitted(builder.transpose(builder.squeeze(sums, [last]), perm), stack.mask)


def emit_row_taps(builder: Builder, site: Site, image: Tensor, stack: Stack) -> tuple[Tensor, Tensor, Tensor | None]:
    """The image as rows [N*H*W, C]; the pixels of each point and their weights, both [N, Ho, Wo, T]."""
    perm = [0, *range(2, 2 + stack.rank), 1]
    index = builder.transpose(plus_batch(builder, site, image, stack.index, rank=2 + stack.rank), perm)
    rows = emit_rows(builder, image)
    if stack.weights is None:
        return rows, index, None
    return rows, index, builder.transpose(in_result_type(builder, site, stack.weights), perm)
