"""`deform-conv`: one DeformConv node for samples at the points of a kernel that are weighted and summed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import sqrt

import numpy as np

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.ir.constants import constant_value
from onnxgs_opt.lowering.base import LARGEST, REORDERED, SLOPE, OfNoSampler, Tolerance
from onnxgs_opt.lowering.emit.views import emit_view, regrouped
from onnxgs_opt.runtime import Quirk
from onnxgs_opt.runtime.ort import has_deform_conv
from onnxgs_opt.runtime.target import Target
from onnxgs_opt.samplers.deform import DeformSite, Operand

NAME = "deform-conv"
FIRST_OPSET = 19
SPREAD = 6.0
"""Of so many standard deviations is the worst of a few million sums."""


DEFORM_CONV = OfNoSampler(NAME, "its samples are not those of a deformable convolution", REORDERED)
"""One node; only for samplers whose samples a convolution weighs."""


def deform_refusal(site: DeformSite, target: Target) -> str | None:
    """Say why a site cannot be written as a DeformConv; None when it can."""
    if target.opset < FIRST_OPSET:
        return (
            f"DeformConv needs opset >= {FIRST_OPSET}, the model has {target.opset}; --opset {FIRST_OPSET} converts it"
        )
    if Quirk.NO_DEFORM_CONV in target.quirks:
        return f"{target.runtime} has no DeformConv"
    if not has_deform_conv():
        return "the onnxruntime here, in which every rewrite is checked, has no DeformConv: 1.25 is the first that has"
    return None


def deform_tolerance(site: DeformSite, own: Tolerance, *, is_whole: bool) -> Tolerance:
    """What the output of a site may differ by where its samples differ by `own`.

    Where all of it is written, `is_whole`, the coordinates of the samples are added up in another order, too.
    """
    columns = (site.sizes[1] or 1) // site.geometry.groups * site.geometry.points
    sums = sqrt(columns) * 2.0**-22
    samples = own.atol + SLOPE * own.rtol
    if is_whole:
        samples += SLOPE * sum(size or LARGEST for size in site.sizes[2:4]) * 2.0**-24
    atol = SPREAD * site.norm * (sums + samples)
    return replace(own, rtol=1e-5, atol=max(own.atol, atol), reason=f"sums of {columns} samples, times the weights")


def emit_deform_conv(builder: Builder, site: DeformSite) -> Tensor:
    """The output of a site, as one DeformConv of its operands."""
    geometry = site.geometry
    image = emit_view(builder, site.image)
    mask = None if site.mask is None else emit_channels(builder, site.mask)
    bias = None if not site.weights.bias else builder.graph.tensor(site.weights.bias)
    result = builder.op(
        "DeformConv",
        *_trimmed(image, emit_weights(builder, site), _offsets(builder, site.offsets), bias, mask),
        dtype=image.dtype,
        shape=[site.sizes[0], *site.sizes[4:]],
        dilations=list(geometry.dilations),
        group=geometry.groups,
        kernel_shape=list(geometry.kernel),
        offset_group=geometry.offset_groups,
        pads=list(geometry.pads),
        strides=list(geometry.strides),
    )
    return regrouped(builder, result, site.output_groups)


def _trimmed(*operands: Tensor | None) -> list[Tensor | None]:
    """Operands without those at the end that are none."""
    count = max(k for k, operand in enumerate(operands) if operand is not None)
    return list(operands[: count + 1])


def emit_channels(builder: Builder, operand: Operand) -> Tensor:
    """An operand [N, channels, Ho, Wo]: a part of the channels, or all of them in another order."""
    whole, table = emit_view(builder, operand.view), operand.table
    if operand.is_whole:
        return whole
    if table == tuple(range(table[0], table[0] + len(table))):
        return builder.slice(whole, 1, table[0], table[-1] + 1)
    return builder.op("Gather", whole, builder.const(list(table), np.int64), axis=1)


def _offsets(builder: Builder, operands: Sequence[Operand]) -> Tensor:
    """The offsets [N, offset groups * points * 2, Ho, Wo], y before x."""
    parts = [emit_channels(builder, operand) for operand in operands]
    if len(parts) == 1:
        return parts[0]
    both = builder.concat([builder.unsqueeze(part, [2]) for part in parts], 2)
    dims = [builder.dim(parts[0], axis) for axis in range(4)]
    return builder.reshape(both, [dims[0], 2 * len(operands[0].table), *dims[2:]])


def emit_weights(builder: Builder, site: DeformSite) -> Tensor:
    """The weights [O, C / groups, kernel], in the file where the file has them."""
    own, geometry = site.weights, site.geometry
    tensor = builder.graph.tensor(own.tensor)
    inner = (site.sizes[1] or 1) // geometry.groups
    shape = [site.sizes[4] or 1, inner, *geometry.kernel]
    if not own.columns and own.perm == tuple(range(len(own.perm))):
        return builder.reshape(tensor, list(shape))
    value = constant_value(tensor)
    columns = list(own.columns) or list(range(inner * geometry.points))
    if value is not None:
        return builder.const(value.transpose(own.perm).reshape(shape[0], -1)[:, columns].reshape(shape))
    flat = builder.reshape(builder.transpose(tensor, own.perm), [shape[0], len(columns)])
    ordered = builder.op("Gather", flat, builder.const(columns, np.int64), axis=1) if own.columns else flat
    return builder.reshape(ordered, list(shape))
