"""Write views: bring a tensor into an operand's canonical layout, and a result back into the exported one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder, Dim
from onnxgs_opt.samplers.site import Site
from onnxgs_opt.samplers.view import View, ramp


def emit_view(builder: Builder, view: View) -> Tensor:
    """The canonical operand that a view describes; what changes nothing is not written."""
    operand = _laid_out_operand(builder, view)
    for axis, step in enumerate(view.steps):
        if step:
            operand = builder.op("Add", operand, emit_ramp(builder, operand, axis, step, len(view.steps)))
    return operand


def emit_ramp(builder: Builder, operand: Tensor, axis: int, step: int, rank: int) -> Tensor:
    """`step` times the place along an axis of an operand, in its type."""
    size, dtype = builder.dim(operand, axis), np.float32 if operand.dtype is None else operand.dtype
    if isinstance(size, int):
        return builder.const(ramp(axis, (step * np.arange(size)).astype(dtype), rank))
    places = builder.op("Mul", builder.op("Range", 0, builder.op("Squeeze", size), 1), step)
    return builder.cast(builder.reshape(places, [-1 if k == axis else 1 for k in range(rank)]), dtype)


def _laid_out_operand(builder: Builder, view: View) -> Tensor:
    tensor = builder.graph.tensor(view.tensor)
    if view.parts != 1:
        tensor = builder.op("Div", _as_floats(builder, tensor), float(view.parts))
    if view.shift:
        tensor = builder.op("Add", tensor, float(view.shift))
    if view.split is not None:
        tensor = _split_axis(builder, tensor, view.rank - len(view.repeats), *view.split)
    if view.repeats:
        tensor = _repeated(builder, tensor, view)
    kept = sorted(view.order)
    is_merged = any(len(group) > 1 for group in view.groups)
    if not is_merged or list(view.order) != kept:  # else one Reshape does it all
        tensor = builder.squeeze(tensor, [axis for axis in range(view.rank) if axis not in view.order])
        tensor = builder.transpose(tensor, [kept.index(axis) for axis in view.order])
        kept = list(range(len(kept)))
    if not is_merged:
        return builder.unsqueeze(tensor, [k for k, group in enumerate(view.groups) if not group])
    dims = iter([builder.dim(tensor, axis) for axis in kept])
    return builder.reshape(tensor, [builder.dims_product([next(dims) for _ in group]) for group in view.groups])


def _as_floats(builder: Builder, tensor: Tensor) -> Tensor:
    is_float = tensor.dtype is not None and np.dtype(tensor.dtype).kind == "f"
    return tensor if is_float else builder.cast(tensor, np.float32)


def _repeated(builder: Builder, tensor: Tensor, view: View) -> Tensor:
    """The tensor with the axes that it lacks, as long as they are elsewhere."""
    sizes = [builder.dim(builder.graph.tensor(repeat.like), repeat.place) for repeat in view.repeats]
    shape = builder.sizes([*[1] * (view.rank - len(sizes)), *sizes])
    return builder.op("Expand", builder.unsqueeze(tensor, list(view.repeated)), shape)


def _split_axis(builder: Builder, tensor: Tensor, rank: int, axis: int, sizes: Sequence[int]) -> Tensor:
    """The tensor with one axis reshaped into `sizes`, so that it has `rank` axes."""
    before = [builder.dim(tensor, a) for a in range(axis)]
    after = [builder.dim(tensor, a) for a in range(axis + 1, rank - len(sizes) + 1)]
    return builder.reshape(tensor, [*before, *sizes, *after])


def count_to(builder: Builder, size: Dim, axes: Sequence[int]) -> Tensor:
    """The numbers below a size, along the axis that is not among `axes`, which have 1."""
    if isinstance(size, int):
        shape = [1 if axis in axes else size for axis in range(len(axes) + 1)]
        return builder.const(np.arange(size, dtype=np.int64).reshape(shape))
    return builder.unsqueeze(builder.op("Range", 0, builder.op("Squeeze", size), 1), list(axes))


def emit_output(builder: Builder, site: Site, samples: Tensor) -> Tensor:
    """The output of a site from its samples [N, C, Ho, Wo]: laid out, scaled and added to as exported."""
    return _emit_affine(builder, site, _laid_out(builder, site, samples))


def _emit_affine(builder: Builder, site: Site, output: Tensor) -> Tensor:
    """What `affine` makes of the samples, in the type of the exported output."""
    dtype = builder.graph.tensor(site.output).dtype or output.dtype
    output = output if dtype is None else builder.cast(output, dtype)
    if site.policy.fill:
        output = builder.op("Add", output, float(site.policy.fill))
    for view in site.affine.factors:
        output = builder.op("Mul", output, builder.cast(emit_view(builder, view), dtype))
    if site.affine.scale != 1:
        output = builder.op("Mul", output, float(site.affine.scale))
    for view in site.affine.addends:
        output = builder.op("Add", output, builder.cast(emit_view(builder, view), dtype))
    return output


def _laid_out(builder: Builder, site: Site, samples: Tensor) -> Tensor:
    return laid_out(builder, samples, site.output_groups, site.output_rank, partial(_output_dim, builder, site))


def laid_out(
    builder: Builder, samples: Tensor, groups: Sequence[Sequence[int]], rank: int, dim: Callable[[int], Dim]
) -> Tensor:
    """A result whose axes each stand for a group of those of an output of `rank`, which have sizes `dim`, as that."""
    order = [axis for group in groups for axis in group]
    if all(len(group) <= 1 for group in groups):
        samples = builder.squeeze(samples, [k for k, group in enumerate(groups) if not group])
    else:
        samples = builder.reshape(samples, [dim(axis) for axis in order])
    samples = builder.transpose(samples, [order.index(axis) for axis in sorted(order)])
    return builder.unsqueeze(samples, [axis for axis in range(rank) if axis not in order])


def regrouped(builder: Builder, result: Tensor, groups: Sequence[Sequence[int]]) -> Tensor:
    """A result of four axes as an output whose axes each hold a group of them, in order; none for an axis of 1."""
    order = [axis for group in groups for axis in group]
    lacking = [axis for axis in range(4) if axis not in order]
    dims = [builder.dim(result, axis) for axis in range(4)]
    turned = builder.transpose(result, [*lacking, *order])
    if tuple(map(tuple, groups)) == tuple((axis,) for axis in order) and not lacking:
        return turned
    return builder.reshape(turned, [builder.dims_product([dims[a] for a in group]) for group in groups])


def _output_dim(builder: Builder, site: Site, axis: int) -> Dim:
    """The size of one output axis, from the operand that it is an axis of."""
    group = next(k for k, axes in enumerate(site.output_groups) if axis in axes)
    place = site.output_groups[group].index(axis)
    if group == 1:
        return dim_of(builder, site.image, site.image.groups[1][place])
    kind = {0: 0, 2: 1, 3: 2}[group]
    view = next(v for v in site.coordinate_views if v.groups[kind] and v.groups[kind][place] not in v.repeated)
    return dim_of(builder, view, view.groups[kind][place])


def dim_of(builder: Builder, view: View, axis: int) -> Dim:
    """The size of one axis of a (split) tensor."""
    tensor = builder.graph.tensor(view.tensor)
    if view.split is None or axis < view.split[0]:
        return builder.dim(tensor, axis)
    first, sizes = view.split
    if axis >= first + len(sizes):
        return builder.dim(tensor, axis - len(sizes) + 1)
    size = sizes[axis - first]
    if size >= 0:
        return size
    whole, others = builder.dim(tensor, first), math.prod(s for s in sizes if s >= 0)
    return whole // others if isinstance(whole, int) else builder.op("Div", whole, others)
