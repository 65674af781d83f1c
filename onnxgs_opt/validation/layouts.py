"""The sizes that a site is checked at where its dims are dynamic, beside those that it was analysed at."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import astuple

from onnx import ModelProto

from onnxgs_opt.ir.constants import is_size
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.samplers.view import Layout
from onnxgs_opt.validation.boundary_values import along

PICKS = (
    Layout(2, 3, (7, 12), (18, 31)),
    Layout(3, 5, (13, 6), (9, 40)),
    Layout(1, 2, (2, 3), (24, 25)),
)
"""Sizes for dynamic dims: no two alike, an odd and an even of each, the smallest image that has a cell."""

OWN = (
    Layout(9, 17, (16, 9), (11, 9)),
    Layout(1, 40, (32, 32), (4, 33)),
    Layout(1, 1, (258, 262), (7, 150)),
    Layout(1, 1, (2, 2050), (1, 1031)),
    Layout(2, 2, (2049, 2), (1030, 1)),
    Layout(2, 257, (5, 4), (1, 1)),
)
"""Sizes that no analysis uses: many batch items, many channels, more rows than columns, as many, more pixels than 16
bits count, a long axis, more than a thousand points, a single one. What is not long is short: all cost little."""

EDGES = (
    Layout(2, 3, (1, 5), (4, 3)),
    Layout(2, 3, (5, 1), (4, 3)),
    Layout(1, 2, (1, 1), (3, 4)),
    Layout(2, 3, (4, 5), (0, 3)),
    Layout(2, 3, (4, 5), (3, 0)),
    Layout(0, 3, (4, 5), (3, 2)),
    Layout(2, 0, (4, 5), (3, 2)),
    Layout(2, 3, (4, 5), (0, 0)),
    Layout(0, 3, (4, 5), (0, 2)),
    Layout(0, 0, (4, 5), (3, 2)),
)
"""Sizes below those that proofs begin at: one row, column or pixel; no points, no batch, no channels, two of them.

Before opset 14 no Reshape makes two axes empty at once.
"""


def own_layouts(
    graph: Graph, cone: ModelProto, analysed: Sequence[Layout], picks: Sequence[Layout] = OWN
) -> Iterator[Layout]:
    """The sizes of `picks` that a site's cone can have, whose sizes in the analysis were `analysed`.

    Axes that were alike in every analysis are one and the same dim, and stay alike; one that never changed is no free
    dim. There are none where a dim of the cone is computed from other sizes, which might not fit, nor where a point for
    each pixel makes one axis of samples.
    """
    if not analysed or not _is_free(graph, cone):
        return
    dims, count = list(zip(*map(_sizes, analysed), strict=True)), len(analysed[0].image)
    if count > 1 and tuple(math.prod(one.image) for one in analysed) in dims[-count:]:
        return
    given: list[Layout] = []
    for pick in picks:
        wanted: dict[tuple[int, ...], int] = {}
        own = Layout(pick.batch, pick.channels, *(along(sizes, count) for sizes in (pick.image, pick.samples)))
        for seen, size in zip(dims, _sizes(own), strict=True):
            wanted.setdefault(seen, seen[0] if len(set(seen)) == 1 else size)
        batch, channels, *ends = (wanted[seen] for seen in dims)
        layout = Layout(batch, channels, tuple(ends[:count]), tuple(ends[count:]))
        if layout not in analysed and layout not in given:
            given.append(layout)
            yield layout


def _sizes(layout: Layout) -> tuple[int, ...]:
    batch, channels, image, samples = astuple(layout)
    return (batch, channels, *image, *samples)


def _is_free(graph: Graph, cone: ModelProto) -> bool:
    """Whether every dynamic dim of what a cone reads is a dim of the model's own inputs."""
    inputs = {tensor.name for tensor in graph.inputs}
    names = {dim for tensor in graph.inputs for dim in tensor.shape or () if not is_size(dim)}
    return all(
        value.name in inputs or dim.HasField("dim_value") or dim.dim_param in names
        for value in cone.graph.input
        for dim in value.type.tensor_type.shape.dim
    )
