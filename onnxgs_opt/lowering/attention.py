"""Deformable attention as one node, or as one Gather of rows and one MatMul for all levels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import gcd
from typing import Any

import numpy as np
from onnx import AttributeProto, FunctionProto, ModelProto, NodeProto, TensorProto, helper

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder, Dim
from onnxgs_opt.ir.constants import constant_value
from onnxgs_opt.ir.exporter import to_onnx_type
from onnxgs_opt.ir.graph import FIRST_IR_WITH_FUNCTIONS, Graph
from onnxgs_opt.lowering.base import LARGEST, REORDERED, SLOPE, OfNoSampler, Tolerance, in_halves
from onnxgs_opt.lowering.emit.views import count_to, emit_view, regrouped
from onnxgs_opt.lowering.merged_gather import SHORT_FLOATS
from onnxgs_opt.runtime import Quirk
from onnxgs_opt.runtime.target import Target
from onnxgs_opt.samplers.attention import AttentionSite
from onnxgs_opt.samplers.op import ATTENTION, BUILT_IN_ATTENTION, DOMAIN, VERSION

INPUTS = {
    "value": (TensorProto.FLOAT, 4),
    "levels": (TensorProto.INT64, 2),
    "starts": (TensorProto.INT64, 1),
    "locations": (TensorProto.FLOAT, 5),
    "weights": (TensorProto.FLOAT, 4),
    "places": (TensorProto.FLOAT, 6),
    "counts": (TensorProto.FLOAT, 5),
}
"""What a function's body is written for: types, and how many axes."""

ROWS, NODE, BUILT_IN = WHOLE = ("row-gather", "plugin", "tensorrt-attention")
"""Lowerings of the whole; all others are those of its samplers."""

TYPE = "value_type"
"""ONNX's number of the type of value, weights and output; for the function's body."""

FIRST_OPSET = 11
"""The first with CumSum and Range."""

CORNERS, PAIR = 4, 2

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
    reason = "pixels are computed anew from the locations, and samples are summed in another order"
    own = Tolerance(1e-5, site.terms * max(1e-6, SLOPE * size * 2.0**-24), reason)
    return in_halves(own) if "float16" in site.types else own


def emit_attention(builder: Builder, site: AttentionSite, name: str) -> Tensor:
    """The output of a site, as one of the lowerings of the whole writes it, in the type of the exported one."""
    own = builder.graph.tensor(site.output).dtype
    element = np.dtype(site.dtype if name == NODE else np.float32)
    value, weights = (builder.cast(emit_view(builder, view), element) for view in (site.value, site.weights))
    locations = builder.cast(emit_view(builder, site.locations), np.float32)
    if name == ROWS:
        level = builder.const(np.repeat(np.arange(len(site.levels)), site.points))
        result = emit_rows(builder, value, terms_of(builder, _levels(builder, site), level), locations, weights)
    elif name == NODE:
        inputs = (value, _levels(builder, site), locations, weights)
        kind = {TYPE: to_onnx_type(element)}
        result = _emit_node(builder, inputs, attention_function(builder.opset), plugin_namespace=DOMAIN, **kind)
    else:
        inputs = _of_built_in(builder, site, value, locations, weights)
        result = _emit_node(builder, inputs, built_in_function(builder.opset), plugin_namespace="")
    return regrouped(builder, result if own is None else builder.cast(result, own), site.output_groups)


def _emit_node(builder: Builder, inputs: Sequence[Tensor], function: FunctionProto, **attributes: Any) -> Tensor:
    """A node of a function, which comes into the model: the value is its first input, places its last but one."""
    value, places = inputs[0], inputs[-2]
    shape = [*(value.shape or [None] * 4)[:1], *(places.shape or [None])[1:2], *(value.shape or [None] * 4)[2:]]
    root = builder.graph.root
    root.add_function(function)
    root.import_domain(DOMAIN, VERSION)
    known = {"dtype": value.dtype, "shape": shape}
    return builder.op(function.name, *inputs, domain=DOMAIN, **known, **attributes, plugin_version="1")


def _of_built_in(
    builder: Builder, site: AttentionSite, value: Tensor, locations: Tensor, weights: Tensor
) -> tuple[Tensor, ...]:
    """The inputs of TensorRT's plugin: its levels all have as many points, so that one with more stands there again."""
    points = gcd(*site.points)
    pixels = np.array(site.levels, np.int64)
    starts = np.cumsum([0, *pixels.prod(1)[:-1]])
    times = [count // points for count in site.points]
    levels = (builder.const(np.repeat(own, times, 0).astype(np.int32)) for own in (pixels, starts))
    lead = [builder.dim(locations, axis) for axis in range(3)]
    places = builder.reshape(locations, [*lead, sum(times), points, PAIR])
    return value, *levels, places, builder.reshape(weights, [*lead, sum(times), points])


def _levels(builder: Builder, site: AttentionSite) -> Tensor:
    """Rows, columns and points of each level, [L, 3]."""
    dims: list[Dim] = []
    for level, sources, points in zip(site.levels, site.sources, site.points, strict=True):
        for size, source in zip(level, sources, strict=True):
            dims.append(size or 0 if source is None else builder.dim(builder.graph.tensor(source[0]), source[1]))
        dims.append(points)
    return builder.reshape(builder.sizes(dims), [len(site.levels), 3])


@dataclass(frozen=True)
class Terms:
    """Of every term its level's columns and rows, [T, 2], and the first of its pixels, [T, 1]."""

    sizes: Tensor
    starts: Tensor


def terms_of(builder: Builder, levels: Tensor, level: Tensor, starts: Tensor | None = None) -> Terms:
    """The terms whose levels are numbered by `level` [T]; `levels` are rows and columns of each, [L, 2] or more.

    `starts` are the first pixels of levels [L], where those are not one after the other.
    """
    rows, columns = (_component(builder, levels, k) for k in range(PAIR))  # [L, 1]
    first = _before(builder, builder.op("Mul", rows, columns)) if starts is None else builder.unsqueeze(starts, [1])
    both = builder.concat([columns, rows], 1)
    return Terms(*(builder.op("Gather", each, level, axis=0) for each in (both, first)))


def _level_of_points(builder: Builder, points: Tensor, locations: Tensor) -> Tensor:
    """The level of every term, [T], where levels have so many points [L, 1]."""
    begins = builder.transpose(_before(builder, points), [1, 0])
    later = builder.op("Less", count_to(builder, builder.dim(locations, 3), [1]), begins)  # [T, L]: before its first
    begun = builder.reduce_sum(builder.cast(builder.op("Not", later), np.int64), 1)
    return builder.op("Sub", begun, 1)


def emit_rows(builder: Builder, value: Tensor, terms: Terms, locations: Tensor, weights: Tensor) -> Tensor:
    """Deformable attention [B, Q, H, D] of `value` [B, S, H, D] at `locations` [B, Q, H, T, 2], in float32.

    `weights` are [B, Q, H, T]. Every point's four pixels are rows of D numbers; the row that is outside its level
    counts 0, and another one of the level is read.
    """
    extent = builder.cast(terms.sizes, np.float32)
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
    index = _corners(builder, value, terms, first, steps)
    lead = [builder.dim(locations, axis) for axis in range(3)]
    count = builder.dims_product([builder.dim(locations, 3), CORNERS])
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
    return builder.op("Gather", pairs, np.array([k]), axis=-1)


def _counted(builder: Builder, low: Tensor, high: Tensor, weights: Tensor) -> Tensor:
    """What each corner counts [B, Q, H, T, 4]: both along x of the first row, then of the second."""
    left, right, top, bottom = (_component(builder, pair, k) for k in range(PAIR) for pair in (low, high))
    lines = [builder.op("Mul", side, builder.unsqueeze(weights, [4])) for side in (top, bottom)]
    columns = builder.concat([left, right], -1)
    return builder.concat([builder.op("Mul", line, columns) for line in lines], -1)


def _corners(builder: Builder, value: Tensor, terms: Terms, first: Tensor, steps: Tensor) -> Tensor:
    """For every corner its row in the value as [B * S * H, D]: [B, Q, H, T, 4]."""
    width = _component(builder, terms.sizes, 0)  # [T, 1]
    whole = builder.cast(first, np.int64)
    corner = builder.op("Mul", _component(builder, whole, 1), width)
    corner = builder.op("Add", corner, _component(builder, whole, 0))
    corner = builder.op("Add", corner, terms.starts)
    step = builder.cast(steps, np.int64)
    right, down = _component(builder, step, 0), builder.op("Mul", _component(builder, step, 1), width)
    nothing = builder.op("Sub", right, right)
    offsets = builder.concat([nothing, right, down, builder.op("Add", right, down)], -1)  # [T, 4]
    heads = builder.sizes([builder.dim(value, 2)])
    own = builder.op("Add", builder.op("Mul", corner, heads), _heads(builder, value))
    return builder.op("Add", own, builder.op("Mul", offsets, heads))


def _before(builder: Builder, numbers: Tensor) -> Tensor:
    """The sums of the numbers [L, 1] before each one."""
    known = constant_value(numbers)
    if known is not None:
        return builder.const(np.cumsum(known, 0) - known)
    return builder.op("CumSum", numbers, builder.const(0, np.int64), exclusive=1)


def _heads(builder: Builder, value: Tensor) -> Tensor:
    """The first row of every item and head: [B, 1, H, 1, 1]."""
    batch, pixels, heads = (builder.dim(value, axis) for axis in range(3))
    items = count_to(builder, batch, [1, 2, 3, 4])
    per_item = builder.sizes([builder.dims_product([pixels, heads])])
    own = count_to(builder, heads, [0, 1, 3, 4])
    return builder.op("Add", builder.op("Mul", items, per_item), own)


@cache
def attention_function(opset: int) -> FunctionProto:
    """The body of onnxgs::DeformableAttention, for runtimes without a kernel of the name."""

    def output(builder: Builder, value: Tensor, levels: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        level = _level_of_points(builder, _component(builder, levels, 2), locations)
        return emit_rows(builder, value, terms_of(builder, levels, level), locations, weights)

    single = [
        helper.make_node("Cast", [f"{name}_given"], [name], to=TensorProto.FLOAT, name=name)
        for name in ("value", "weights")
    ]
    rounded = helper.make_node("Cast", ["output"], ["result"], name="result")
    rounded.attribute.add(name="to", type=AttributeProto.INT, ref_attr_name=TYPE)
    names = ("value", "levels", "locations", "weights")
    return helper.make_function(
        DOMAIN,
        ATTENTION,
        ["value_given", "levels", "locations", "weights_given"],
        ["result"],
        [*single, *_body(opset, names, output), rounded],
        [helper.make_opsetid("", opset)],
        [TYPE, "plugin_namespace", "plugin_version"],
    )


@cache
def built_in_function(opset: int) -> FunctionProto:
    """The body of the node of TensorRT's plugin, for other runtimes."""

    def output(
        builder: Builder, value: Tensor, levels: Tensor, starts: Tensor, places: Tensor, counts: Tensor
    ) -> Tensor:
        lead = [builder.dim(places, axis) for axis in range(3)]
        both = [builder.dim(places, axis) for axis in (3, 4)]
        level = builder.op("Expand", count_to(builder, both[0], [1]), builder.sizes(both))
        terms = terms_of(builder, levels, builder.reshape(level, [-1]), starts)
        locations = builder.reshape(places, [*lead, builder.dims_product(both), PAIR])
        weights = builder.reshape(counts, [*lead, builder.dims_product(both)])
        return emit_rows(builder, value, terms, locations, weights)

    wide = [
        helper.make_node("Cast", [f"{name}_given"], [name], to=TensorProto.INT64, name=name)
        for name in ("levels", "starts")
    ]
    names = ("value", "levels", "starts", "places", "counts")
    return helper.make_function(
        DOMAIN,
        BUILT_IN_ATTENTION,
        ["value", "levels_given", "starts_given", "places", "counts"],
        ["output"],
        [*wide, *_body(opset, names, output)],
        [helper.make_opsetid("", opset)],
        ["plugin_namespace", "plugin_version"],
    )


def _body(opset: int, names: Sequence[str], output: Callable[..., Tensor]) -> list[NodeProto]:
    """The nodes that make `output` of inputs, its constants among them."""
    inputs = [helper.make_tensor_value_info(n, t, [None] * r) for n, (t, r) in ((n, INPUTS[n]) for n in names)]
    made = helper.make_tensor_value_info("output", TensorProto.FLOAT, [None] * 4)
    nothing = helper.make_graph([helper.make_node("Identity", ["value"], ["output"])], "body", inputs, [made])
    versions = [helper.make_opsetid("", opset)]
    graph = Graph.from_proto(helper.make_model(nothing, opset_imports=versions, ir_version=FIRST_IR_WITH_FUNCTIONS))
    builder = Builder(graph, "onnxgs")
    graph.stand_in(graph.tensor("output"), output(builder, *(graph.tensor(name) for name in names)))
    graph.remove_dead()
    model: ModelProto = graph.to_proto()
    constants = [
        helper.make_node("Constant", [], [tensor.name], value=tensor, name=tensor.name)
        for tensor in model.graph.initializer
    ]
    return [*constants, *model.graph.node]
