"""RoIAlign by hand as a kind of site: what a RoiAlign node computes alike, and what becomes of the site otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import Target
from onnxgs_opt.lowering.roi_align import region_refusal
from onnxgs_opt.recognition.algebra.polynomial import Number
from onnxgs_opt.recognition.boxes.lines import Bounds
from onnxgs_opt.recognition.kind import Record, SiteKind
from onnxgs_opt.samplers.policy import Policy
from onnxgs_opt.samplers.roi_align import RoiAlignSite
from onnxgs_opt.samplers.view import Layout

RULE = "GSO007"
NAME = "roi-align"
OWN = Policy("border", "reach-closed")
"""What RoIAlign does: zero more than a pixel outside, the outer pixels repeated between."""

CHOSEN = "which image is read is told by data, and the samplers of this form read the image that they lie along"

MARGIN = Fraction(1, 8)
"""Pixels that points have to keep away from where one of both becomes zero: they are computed with other roundings."""


@dataclass(frozen=True)
class RoiAligns:
    """RoIAlign by hand; what else than the one node may become of it is up to the kinds of its inner sites."""

    kinds: Mapping[str, SiteKind[Any]]
    rule: str = RULE
    keeps_rest: bool = False

    def refusals(self, site: RoiAlignSite, target: Target) -> dict[str, str]:
        """Those of the sampler in it, but for the one node."""
        found = {**self._kind(site).refusals(site.plain, target)}
        if not site.is_sampler:
            found = dict.fromkeys(found, CHOSEN)
        found.pop(NAME, None)
        own = region_refusal(site, target)
        return found if own is None else {**found, NAME: own}

    def workload(self, graph: Graph, site: RoiAlignSite, layout: Layout | None = None) -> str:
        """That of what it is made of, and the bins."""
        height, width = site.bins
        inner = self._kind(site).workload(graph, site.plain, layout)
        return f"{self.rule} {height}x{width} of {site.ratio} boxes:{site.boxes or '?'} of {inner}"

    def record(self, site: RoiAlignSite) -> Record:
        """Channels and the number of samples; where the node is not possible, what the sampler is compared by."""
        if site.differs is not None:
            return self._kind(site).record(site.plain)
        samples = None if site.boxes is None else site.boxes * site.rows.samples * site.columns.samples
        return Record("boxes", (site.channels, samples), is_dynamic=None in (site.channels, samples))

    def operands(self, site: RoiAlignSite) -> tuple[str, str | tuple[str, ...]]:
        """The image, and what the boxes are made of."""
        return site.image.tensor, site.sources

    def _kind(self, site: RoiAlignSite) -> SiteKind[Any]:
        return self.kinds[site.inner.kind]


def difference(policy: Policy, bounds: Sequence[Bounds], sizes: Sequence[int]) -> str | None:
    """What a RoiAlign node computes otherwise, in a sentence; None where nothing.

    `bounds` are those of the coordinates along y and x, `sizes` height and width.
    """
    edge = 0 if policy.window == "all" else MARGIN  # where a window ends, what is sampled jumps
    if policy == OWN or _are_within(bounds, sizes, low=edge, high=1 + edge):
        return None
    near = _are_within(bounds, sizes, low=MARGIN - 1, high=MARGIN)
    if policy == Policy("border") and near:
        return None
    if policy == Policy("border"):
        return (
            "RoiAlign is zero more than a pixel outside the image, the model repeats the outer pixels there, and its "
            "boxes are not proven to stay inside"
        )
    return (
        "RoiAlign repeats the outermost pixels for one pixel and is zero beyond, the sampler has another border "
        f"({policy.name}), and its boxes are not proven to stay inside"
    )


def _are_within(bounds: Sequence[Bounds], sizes: Sequence[int], low: Number, high: Number) -> bool:
    """Whether all coordinates are from `low` to the size less `high`."""
    return all(
        lo is not None and hi is not None and lo >= low and hi <= size - high
        for (lo, hi), size in zip(bounds, sizes, strict=True)
    )
