"""Check that one RoiAlign gives what a RoIAlign by hand gave: for boxes in, across and beyond the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from onnx import ModelProto

from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering.base import Tolerance
from onnxgs_opt.lowering.roi_align import region_tolerance
from onnxgs_opt.passes.infer_shapes import InferShapes
from onnxgs_opt.passes.lower_sites import lower
from onnxgs_opt.samplers.roi_align import RoiAlignSite
from onnxgs_opt.samplers.view import Array
from onnxgs_opt.validation.box_values import with_boxes
from onnxgs_opt.validation.check_resize import Shapes, feeds_at
from onnxgs_opt.validation.cone_check import ConeCheck
from onnxgs_opt.validation.extract import cone_from
from onnxgs_opt.validation.inputs import Run
from onnxgs_opt.validation.small_sizes import small_runs
from onnxgs_opt.validation.terms import Terms

ROUNDS = 6
"""Sets of boxes at each set of sizes."""


def roi_align_check(graph: Graph, site: RoiAlignSite, terms: Terms) -> ConeCheck[RoiAlignSite]:
    """The check of a site's RoiAlign, at every set of sizes that the terms have.

    Raises:
        NotRunnableError: Its cone cannot run alone.
    """
    cone = box_cone(graph, site, terms.scopes)
    return ConeCheck.of(site, cone, terms, _runs(graph, cone, site, terms), lowered_boxes, _tolerance)


def _tolerance(site: RoiAlignSite, _: str, run: Run) -> Tolerance:
    return region_tolerance(site, max(run.feeds[site.image.tensor].shape))


def box_cone(graph: Graph, site: RoiAlignSite, scopes: dict[str, Scope] | None = None) -> ModelProto:
    """The model from the image and what the boxes are made of to the output.

    Raises:
        NotRunnableError: It reads something else whose shape or type is not known.
    """
    return cone_from(graph, site, {site.image.tensor, *site.sources}, scopes)


def lowered_boxes(cone: ModelProto, site: RoiAlignSite, name: str) -> ModelProto:
    """The same model with the site lowered."""
    graph = Graph.from_proto(cone)
    InferShapes().run(graph)
    own = replace(site, body="", inner=replace(site.inner, body=""))
    return lower(graph, [own], {site.id: name}).to_proto()


def box_feeds(cone: ModelProto, site: RoiAlignSite, known: Shapes, rng: np.random.Generator) -> dict[str, Array]:
    """An image and boxes, of `known` shapes where the file leaves them open.

    Raises:
        NotRunnableError: A shape is not known.
    """
    return with_boxes(feeds_at(cone, known, rng), [site], rng)


def _runs(graph: Graph, cone: ModelProto, site: RoiAlignSite, terms: Terms) -> Iterator[Run]:
    rng = np.random.default_rng(terms.seed)
    shapes = terms.shapes_of(cone)
    for known in shapes:
        for _ in range(ROUNDS):
            yield Run(box_feeds(cone, site, known, rng))
    yield from small_runs(cone, graph, shapes[0], lambda known: box_feeds(cone, site, known, rng))
