"""Deformable attention as one node, or as one Gather of rows and one MatMul for all levels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import cast

import numpy as np
from onnx import FunctionProto, ModelProto, TensorProto, helper

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder, Dim
from onnxgs_opt.ir.constants import constant_value
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering.base import REORDERED, SLOPE, OfNoSampler, Tolerance
from onnxgs_opt.lowering.emit.views import emit_view, regrouped
from onnxgs_opt.lowering.merged_gather import SHORT_FLOATS
from onnxgs_opt.runtime import Quirk
from onnxgs_opt.runtime.target import Target
from onnxgs_opt.samplers.attention import AttentionSite
from onnxgs_opt.samplers.op import ATTENTION, BUILT_IN_ATTENTION, DOMAIN, VERSION

ROWS, NODE, BUILT_IN = WHOLE = ("row-gather", "plugin", "tensorrt-attention")
"""Lowerings of the whole; all others are those of its samplers."""

FIRST_OPSET = 11
"""The first with CumSum and Range."""

FIRST_IR_WITH_FUNCTIONS = 8
CORNERS, PAIR = 4, 2
LARGEST = 1024
"""Pixels along an axis of dynamic size, where nobody says how many."""


BUILT_IN_PLUGIN = OfNoSampler(BUILT_IN, "its samples are not those of deformable attention", REORDERED)
"""TensorRT's own plugin; only for samplers of several levels whose samples are weighted and summed."""


def attention_refusals(site: AttentionSite, target: Target) -> dict[str, str]:
    """Why a site cannot be written as a whole, for each lowering that cannot."""
    found: dict[str, str] = {}
    if target.opset < FIRST_OPSET:
        found = dict.fromkeys(WHOLE, f"it needs opset >= {FIRST_OPSET}, the model has {target.opset}")
    if Quirk.SHORT_FLOATS_BY_DEFAULT in target.quirks:
        found[ROWS] = SHORT_FLOATS.replace("merged-gather", ROWS)
    if Quirk.NO_FUNCTIONS in target.quirks:
        found[NODE] = f"the target knows no {ATTENTION} and loads no function for it"
    if Quirk.HAS_DEFORMABLE_ATTENTION in target.quirks:
        found[NODE] = f"TensorRT has a plugin of its own for it, which {BUILT_IN} writes"
    else:
        found[BUILT_IN] = f"{BUILT_IN_ATTENTION} is a plugin of TensorRT's own, and the target is {target.runtime}"
    if site.is_dynamic:
        found.setdefault(BUILT_IN, f"the sizes of levels are constants of {BUILT_IN_ATTENTION}, and are dynamic here")
    return found


def attention_tolerance(site: AttentionSite) -> Tolerance:
    """What the output of a site written as a whole may differ by: pixels are computed anew from the locations.

    Weights are taken for numbers whose absolute values add up to about the number of terms at most.
    """
    size = max(sum(LARGEST if size is None else size for size in level) for level in site.levels)
    terms = len(site.levels) * (site.sizes[4] or 1)
    reason = "pixels are computed anew from the locations, and samples are summed in another order"
    return Tolerance(1e-5, terms * max(1e-6, SLOPE * size * 2.0**-24), reason)


def emit_attention(builder: Builder, site: AttentionSite, name: str) -> Tensor:
    """The output of a site, as one of the lowerings of the whole writes it."""
    value, locations, weights = (emit_view(builder, view) for view in (site.value, site.locations, site.weights))
    if name == ROWS:
        result = emit_rows(builder, value, _levels(builder, site), locations, weights)
        return regrouped(builder, result, site.output_groups)
    shape = [*(value.shape or [None] * 4)[:1], *(locations.shape or [None])[1:2], *(value.shape or [None] * 4)[2:]]
    if name == NODE:
        inputs: list[Tensor] = [value, _levels(builder, site), locations, weights]
    else:
        levels = np.array(site.levels)
        starts = np.cumsum([0, *levels.prod(1)[:-1]])
        own = [builder.const(array.astype(np.int32)) for array in (levels, starts)]
        inputs = [value, *own, locations, weights]
    result = builder.op(
        ATTENTION if name == NODE else BUILT_IN_ATTENTION,
        *inputs,
        domain=DOMAIN,
        dtype=np.float32,
        shape=shape,
        plugin_namespace=DOMAIN if name == NODE else "",
        plugin_version="1",
    )
    root = builder.graph.root
    root.add_function(attention_function(builder.opset, name == BUILT_IN))
    root.import_domain(DOMAIN, VERSION)
    root.envelope.ir_version = max(root.envelope.ir_version, FIRST_IR_WITH_FUNCTIONS)
    return regrouped(builder, result, site.output_groups)


def _levels(builder: Builder, site: AttentionSite) -> Tensor:
    """Rows and columns of each level, [L, 2]."""
    dims: list[Dim] = []
    for level, sources in zip(site.levels, site.sources, strict=True):
        for size, source in zip(level, sources, strict=True):
            dims.append(size or 0 if source is None else builder.dim(builder.graph.tensor(source[0]), source[1]))
    return builder.reshape(builder.sizes(dims), [len(site.levels), 2])


def emit_rows(builder: Builder, value: Tensor, levels: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    """Deformable attention [B, Q, H, D] of `value` [B, S, H, D] at `locations` [B, Q, H, L, P, 2].

    `weights` are [B, Q, H, L, P], `levels` [L, 2] rows and columns. Every point's four pixels are rows of D numbers;
    the row that is outside its level counts 0, and another one of the level is read.
    """
    sizes = builder.unsqueeze(builder.op("Gather", levels, np.array([1, 0]), axis=1), [1])  # [L, 1, 2], x before y
    extent = builder.cast(sizes, np.float32)
    steps = builder.op("Min", builder.op("Sub", extent, 1.0), 1.0)  # 0 along an axis of one pixel
    point = builder.op("Sub", builder.op("Mul", locations, extent), 0.5)
    point = builder.op("Min", builder.op("Max", point, -1.0), extent)
    last = builder.op("Sub", extent, 2.0)
    first = builder.op("Max", builder.op("Min", builder.op("Floor", point), last), 0.0)
    part = builder.op("Sub", point, first)
    low = builder.op("Max", builder.op("Min", builder.op("Sub", 1.0, part), builder.op("Add", part, 1.0)), 0.0)
    high = builder.op("Max", builder.op("Min", part, builder.op("Sub", 2.0, part)), 0.0)
    if not _is_one(steps):
        high = builder.op("Mul", high, steps)
    index = _corners(builder, value, sizes, first, steps)
    lead = [builder.dim(locations, axis) for axis in range(3)]
    count = builder.dims_product([*(builder.dim(locations, axis) for axis in (3, 4)), CORNERS])
    items = builder.dims_product(lead)
    depth = builder.dim(value, 3)
    rows = builder.op("Gather", builder.reshape(value, [-1, depth]), builder.reshape(index, [items, count]), axis=0)
    counted = builder.reshape(_counted(builder, low, high, weights), [items, 1, count])
    return builder.reshape(builder.op("MatMul", counted, rows), [*lead, depth])


def _is_one(steps: Tensor) -> bool:
    """Whether every level is known to have two rows and columns at least."""
    known = constant_value(steps)
    return known is not None and bool((known == 1).all())


def _component(builder: Builder, pairs: Tensor, k: int) -> Tensor:
    """X or y [..., 1] of pairs."""
    return cast(Tensor, builder.op("Gather", pairs, np.array([k]), axis=-1))


def _counted(builder: Builder, low: Tensor, high: Tensor, weights: Tensor) -> Tensor:
    """What each corner counts [B, Q, H, L, P, 4]: both along x of the first row, then of the second."""
    left, right, top, bottom = (_component(builder, pair, k) for k in range(PAIR) for pair in (low, high))
    lines = [builder.op("Mul", side, builder.unsqueeze(weights, [5])) for side in (top, bottom)]
    columns = builder.concat([left, right], -1)
    return builder.concat([builder.op("Mul", line, columns) for line in lines], -1)


def _corners(builder: Builder, value: Tensor, sizes: Tensor, first: Tensor, steps: Tensor) -> Tensor:
    """For every corner its row in the value as [B * S * H, D]: [B, Q, H, L, P, 4]."""
    width, height = (_component(builder, sizes, k) for k in range(PAIR))  # [L, 1, 1]
    starts = _starts(builder, builder.op("Mul", width, height))
    whole = builder.cast(first, np.int64)
    corner = builder.op("Mul", _component(builder, whole, 1), width)
    corner = builder.op("Add", corner, _component(builder, whole, 0))
    corner = builder.op("Add", corner, starts)
    step = builder.cast(steps, np.int64)
    right, down = _component(builder, step, 0), builder.op("Mul", _component(builder, step, 1), width)
    nothing = builder.op("Sub", right, right)
    offsets = builder.concat([nothing, right, down, builder.op("Add", right, down)], -1)  # [L, 1, 4]
    heads = _number(builder, builder.dim(value, 2))
    own = builder.op("Add", builder.op("Mul", corner, heads), _heads(builder, value))
    return cast(Tensor, builder.op("Add", own, builder.op("Mul", offsets, heads)))


def _starts(builder: Builder, pixels: Tensor) -> Tensor:
    """The first pixel of every level, of which there are `pixels` [L, 1, 1]."""
    known = constant_value(pixels)
    if known is not None:
        return builder.const(np.cumsum(known, 0) - known)
    return cast(Tensor, builder.op("CumSum", pixels, builder.const(0, np.int64), exclusive=1))


def _number(builder: Builder, size: Tensor | int) -> Tensor:
    return builder.const([size], np.int64) if isinstance(size, int) else size


def _heads(builder: Builder, value: Tensor) -> Tensor:
    """The first row of every item and head: [B, 1, H, 1, 1, 1]."""
    batch, pixels, heads = (builder.dim(value, axis) for axis in range(3))
    items = _count(builder, batch, [1, 2, 3, 4, 5])
    per_item = _number(builder, builder.dims_product([pixels, heads]))
    own = _count(builder, heads, [0, 1, 3, 4, 5])
    return cast(Tensor, builder.op("Add", builder.op("Mul", items, per_item), own))


def _count(builder: Builder, size: Tensor | int, axes: Sequence[int]) -> Tensor:
    """The numbers below a size, along the one axis of six that is not among `axes`."""
    if isinstance(size, int):
        shape = [1 if axis in axes else size for axis in range(6)]
        return builder.const(np.arange(size, dtype=np.int64).reshape(shape))
    return builder.unsqueeze(builder.op("Range", 0, builder.op("Squeeze", size), 1), list(axes))


@cache
def attention_function(opset: int, built_in: bool) -> FunctionProto:
    """The body of onnxgs::DeformableAttention, or of the plugin's node, for runtimes without a kernel of the name."""
    names = ("value", "levels", "locations", "weights")
    types = (TensorProto.FLOAT, TensorProto.INT64, TensorProto.FLOAT, TensorProto.FLOAT)
    ranks = (4, 2, 6, 5)
    inputs = [helper.make_tensor_value_info(n, t, [None] * r) for n, t, r in zip(names, types, ranks, strict=True)]
    version = helper.make_opsetid("", opset)
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, [None] * 4)
    nothing = helper.make_graph([helper.make_node("Identity", ["value"], ["output"])], "body", inputs, [output])
    graph = Graph.from_proto(helper.make_model(nothing, opset_imports=[version], ir_version=FIRST_IR_WITH_FUNCTIONS))
    builder = Builder(graph, "onnxgs")
    result = emit_rows(builder, *(graph.tensor(name) for name in names))
    graph.stand_in(graph.tensor("output"), result)
    graph.remove_dead()
    model: ModelProto = graph.to_proto()
    constants = [
        helper.make_node("Constant", [], [tensor.name], value=tensor, name=tensor.name)
        for tensor in model.graph.initializer
    ]
    widened = helper.make_node("Cast", ["shapes"], ["levels"], to=TensorProto.INT64, name="levels")
    return helper.make_function(
        DOMAIN,
        BUILT_IN_ATTENTION if built_in else ATTENTION,
        ["value", "shapes", "starts", "locations", "weights"] if built_in else list(names),
        ["output"],
        [*([widened] if built_in else []), *constants, *model.graph.node],
        [version],
        ["plugin_namespace", "plugin_version"],
    )
