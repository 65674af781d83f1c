"""Check that what stands for deformable attention computes the same: with points on and around every border."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from onnx import ModelProto

from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import LOWERINGS, Tolerance, tolerance_of
from onnxgs_opt.lowering.attention import WHOLE, attention_tolerance
from onnxgs_opt.samplers.attention import AttentionSite
from onnxgs_opt.samplers.view import Array, lay_out, spans
from onnxgs_opt.validation.boundary_values import pixels
from onnxgs_opt.validation.cone_check import ConeCheck, feeds_at, operand_cone, runs_of
from onnxgs_opt.validation.extract import NotRunnableError
from onnxgs_opt.validation.inputs import MAX_ROUNDS, POINTS, Run
from onnxgs_opt.validation.small_sizes import Shapes
from onnxgs_opt.validation.terms import Terms

Aim = Callable[[int, int, tuple[int, ...]], Array]
"""From the pixels of an axis, whether that is x (0) or y (1), and a shape [B, Q, H, P] to pixel coordinates of that.

P are the points of one level.
"""


def attention_check(graph: Graph, site: AttentionSite, terms: Terms) -> ConeCheck[AttentionSite]:
    """The check of a site.

    Raises:
        NotRunnableError: Its cone cannot run alone.
    """
    cone = operand_cone(graph, site, terms.scopes, site.told_by)
    rng = np.random.default_rng(terms.seed)

    def anywhere(size: int, axis: int, shape: tuple[int, ...]) -> Array:
        return pixels(size, int(np.prod(shape)), rng).reshape(shape)

    def feeds(known: Shapes) -> dict[str, Array]:
        return attention_feeds(cone, site, known, rng, anywhere)

    return ConeCheck.of(site, cone, terms, runs_of(graph, cone, terms, feeds, MAX_ROUNDS, POINTS), _tolerance)


def _tolerance(site: AttentionSite, name: str, _: Run) -> Tolerance:
    return tolerance_of_attention(site, name)


def tolerance_of_attention(site: AttentionSite, name: str) -> Tolerance:
    """What the output of a site may differ by where it is lowered so."""
    if name in WHOLE:
        return attention_tolerance(site)
    own = max((tolerance_of(LOWERINGS[name], sampler) for sampler in site.samplers), key=lambda t: t.atol)
    rtol = max(1e-5, own.rtol) if "float16" in site.types else 1e-5
    return replace(own, rtol=rtol, atol=site.terms * own.atol, reason=f"sums of {site.terms} weighted samples")


def attention_feeds(
    cone: ModelProto, site: AttentionSite, known: Shapes, rng: np.random.Generator, aim: Aim
) -> dict[str, Array]:
    """Inputs of a cone, unit-normal but for the locations, which put the points where `aim` says.

    They are of `known` shapes where the file leaves them open.

    Raises:
        NotRunnableError: A shape is not known.
    """
    feeds = feeds_at(cone, known, rng)
    name = site.locations.tensor
    if name in feeds:
        try:
            levels = site.levels_at({own: feed.shape for own, feed in feeds.items()})
        except KeyError as missing:
            raise NotRunnableError(f"'{missing.args[0]}', of which a level has a size, is not known") from None
        shape = spans(site.locations, feeds[name].shape)
        places = np.zeros(shape, np.float32)
        parts = np.split(places, np.cumsum(site.points)[:-1], axis=3)
        for part, sizes in zip(parts, levels, strict=True):
            for k, size in enumerate(sizes[::-1]):
                own = part[..., k]
                own[...] = (aim(size, k, own.shape) + 0.5) / max(size, 1)
        feeds[name] = lay_out(site.locations, places, feeds[name].shape).astype(feeds[name].dtype)
    return feeds
