"""Sizes of 0 and 1, of which nothing is claimed, for the inputs of a cone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import combinations

from onnx import ModelProto

from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.samplers.view import Array
from onnxgs_opt.validation.inputs import Run

Shapes = Mapping[str, Sequence[int]]


def small_runs(
    cone: ModelProto, graph: Graph, known: Shapes, feeds: Callable[[Shapes], Mapping[str, Array]]
) -> Iterator[Run]:
    """Runs with one free size that is 0 or 1, and with two that are 0, all others as `known`; `feeds` makes the inputs.

    None where the cone has several inputs that the model makes, whose sizes follow from others. What the cone itself
    does not run at shows nothing.
    """
    own = {tensor.name for tensor in graph.inputs}
    if len(cone.graph.input) > 1 and not {value.name for value in cone.graph.input} <= own:
        return
    dims = {
        value.name: [
            dim.dim_param or f"{value.name}:{axis}" for axis, dim in enumerate(value.type.tensor_type.shape.dim)
        ]
        for value in cone.graph.input
    }
    fixed = {
        name
        for value in cone.graph.input
        for name, dim in zip(dims[value.name], value.type.tensor_type.shape.dim, strict=True)
        if dim.HasField("dim_value")
    }
    sizes = {name: size for key in dims if key in known for name, size in zip(dims[key], known[key], strict=True)}
    free = [name for name in sizes if name not in fixed]
    chosen = [{name: size} for size in (0, 1) for name in free] + [
        dict.fromkeys(two, 0) for two in combinations(free, 2)
    ]
    for small in chosen:
        at = {key: [(sizes | small)[name] for name in dims[key]] for key in dims if key in known}
        with suppress(ValueError, IndexError, ZeroDivisionError):  # what makes inputs needs a pixel
            run = Run(feeds(at))
            yield replace(run, beyond=run.shapes)
