"""Check that one RoiAlign gives what a RoIAlign by hand gave: for boxes in, across and beyond the image."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto

from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering.base import Tolerance
from onnxgs_opt.lowering.roi_align import region_tolerance
from onnxgs_opt.samplers.roi_align import RoiAlignSite
from onnxgs_opt.samplers.view import Array
from onnxgs_opt.validation.box_values import with_boxes
from onnxgs_opt.validation.cone_check import ConeCheck, feeds_at, runs_of
from onnxgs_opt.validation.extract import cone_from
from onnxgs_opt.validation.inputs import Run
from onnxgs_opt.validation.small_sizes import Shapes
from onnxgs_opt.validation.terms import Terms

ROUNDS = 6
"""Sets of boxes at each set of sizes."""


def roi_align_check(graph: Graph, site: RoiAlignSite, terms: Terms) -> ConeCheck[RoiAlignSite]:
    """The check of a site's RoiAlign, at every set of sizes that the terms have.

    Raises:
        NotRunnableError: Its cone cannot run alone.
    """
    cone = box_cone(graph, site, terms.scopes)
    rng = np.random.default_rng(terms.seed)
    runs = runs_of(graph, cone, terms, lambda known: box_feeds(cone, site, known, rng), ROUNDS)
    return ConeCheck.of(site, cone, terms, runs, _tolerance)


def _tolerance(site: RoiAlignSite, _: str, run: Run) -> Tolerance:
    return region_tolerance(site, max(run.feeds[site.image.tensor].shape))


def box_cone(graph: Graph, site: RoiAlignSite, scopes: dict[str, Scope] | None = None) -> ModelProto:
    """The model from the image and what the boxes are made of to the output.

    Raises:
        NotRunnableError: It reads something else whose shape or type is not known.
    """
    return cone_from(graph, site, {site.image.tensor, *site.sources}, scopes)


def box_feeds(cone: ModelProto, site: RoiAlignSite, known: Shapes, rng: np.random.Generator) -> dict[str, Array]:
    """An image and boxes, of `known` shapes where the file leaves them open.

    Raises:
        NotRunnableError: A shape is not known.
    """
    return with_boxes(feeds_at(cone, known, rng), [site], rng)
