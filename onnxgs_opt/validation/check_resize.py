"""Check that a Resize, in any form, gives what reads and weights gave: on images of the sizes that were analysed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from onnx import ModelProto
from onnx.helper import tensor_dtype_to_np_dtype

from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering.base import Tolerance
from onnxgs_opt.lowering.polyphase_conv import RESIZING, resizing_tolerance
from onnxgs_opt.passes.infer_shapes import InferShapes
from onnxgs_opt.passes.lower_whole import LowerWhole
from onnxgs_opt.samplers.resize import ResizeSite
from onnxgs_opt.samplers.view import Array
from onnxgs_opt.validation.boundary_values import image_values
from onnxgs_opt.validation.cone_check import ConeCheck
from onnxgs_opt.validation.extract import NotRunnableError, cone_behind
from onnxgs_opt.validation.inputs import Run
from onnxgs_opt.validation.small_sizes import small_runs
from onnxgs_opt.validation.terms import Terms

Shapes = Mapping[str, Sequence[int]]


def resize_check(graph: Graph, site: ResizeSite, terms: Terms) -> ConeCheck[ResizeSite]:
    """The check of a site's lowerings, at every set of sizes that the terms have.

    Raises:
        NotRunnableError: Its cone cannot run alone.
    """
    cone = resize_cone(graph, site, terms.scopes)
    return ConeCheck.of(site, cone, terms, _runs(graph, cone, terms), resized, _tolerance)


def _tolerance(site: ResizeSite, name: str, run: Run) -> Tolerance:
    return resizing_tolerance(name, site, longest(site, max(run.feeds[site.image].shape)))


def longest(site: ResizeSite, dynamic: int) -> int:
    """The most pixels or samples along a resampled axis where dynamic sizes are at most so large."""
    sizes = ((axis.size or dynamic, axis.samples or 0, axis.factor or 1) for axis in site.axes)
    return max(max(size, samples, int(size * factor)) for size, samples, factor in sizes)


def resize_cone(graph: Graph, site: ResizeSite, scopes: dict[str, Scope] | None = None) -> ModelProto:
    """The model from the image to the output; what only gives its shape is an input too.

    Raises:
        NotRunnableError: It reads something else whose shape or type is not known.
    """
    return cone_behind(graph, site, site.image, scopes)


def resized(cone: ModelProto, site: ResizeSite, name: str) -> ModelProto:
    """The same model with the site written by a lowering."""
    graph = Graph.from_proto(cone)
    InferShapes().run(graph)
    LowerWhole([replace(site, body="")], RESIZING[name]).run(graph)
    graph.remove_dead()
    return graph.to_proto()


def _runs(graph: Graph, cone: ModelProto, terms: Terms) -> Iterator[Run]:
    rng = np.random.default_rng(terms.seed)
    shapes = terms.shapes_of(cone)
    for known in shapes:
        yield Run(feeds_at(cone, known, rng))
    yield from small_runs(cone, graph, shapes[0], lambda known: feeds_at(cone, known, rng))


def feeds_at(cone: ModelProto, known: Shapes, rng: np.random.Generator) -> dict[str, Array]:
    """Unit-normal inputs of a cone, of `known` shapes where the file leaves them open.

    Raises:
        NotRunnableError: A shape is not known.
    """
    feeds: dict[str, Array] = {}
    for value in cone.graph.input:
        kind = value.type.tensor_type
        own = [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim]
        shape = known.get(value.name, own)
        if any(size is None for size in shape):
            raise NotRunnableError(f"no sizes are known for '{value.name}'")
        sizes = [int(size or 0) for size in shape]
        feeds[value.name] = image_values(sizes, rng, tensor_dtype_to_np_dtype(kind.elem_type))
    return feeds
