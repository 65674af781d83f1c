"""Check that a Resize, in any form, gives what reads and weights gave: on images of the sizes that were analysed."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto

from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering.base import Tolerance
from onnxgs_opt.lowering.resizing import resizing_tolerance
from onnxgs_opt.samplers.resize import ResizeSite
from onnxgs_opt.validation.cone_check import ConeCheck, feeds_at, runs_of
from onnxgs_opt.validation.extract import cone_behind
from onnxgs_opt.validation.inputs import Run
from onnxgs_opt.validation.terms import Terms


def resize_check(graph: Graph, site: ResizeSite, terms: Terms) -> ConeCheck[ResizeSite]:
    """The check of a site's lowerings, at every set of sizes that the terms have.

    Raises:
        NotRunnableError: Its cone cannot run alone.
    """
    cone = resize_cone(graph, site, terms.scopes)
    rng = np.random.default_rng(terms.seed)
    runs = runs_of(graph, cone, terms, lambda known: feeds_at(cone, known, rng), rounds=1)
    return ConeCheck.of(site, cone, terms, runs, _tolerance)


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
