"""Deformable attention as a site: what one node would compute, above the samplers that read for it."""

from __future__ import annotations

from dataclasses import dataclass

from onnxgs_opt.samplers.policy import ATTENTION
from onnxgs_opt.samplers.site import AnySite, Site
from onnxgs_opt.samplers.view import View


class OfAttention:
    """What has the operands of deformable attention: a site, and what was proven at one set of sizes.

    out[b, q, h, d] = sum over l, p of weights[b, q, h, l, p] * sample(level l of value[b, :, h, d] at
    locations[b, q, h, l, p]), where a location is x, y from 0 to 1 over the level, edge to edge.
    """

    value: View
    locations: View
    weights: View

    @property
    def operands(self) -> frozenset[str]:
        """The tensors that it is made of."""
        return frozenset(view.tensor for view in (self.value, self.locations, self.weights))


@dataclass(frozen=True, kw_only=True)
class AttentionSite(AnySite, OfAttention):
    """Samplers of several levels of one tensor, whose samples are weighted and summed: `output` is one node.

    What is not written as one can be lowered as its `samplers` alone, whose ids are the site's and a number.

    Attributes:
        samplers: The sampler of each level.
        value: The images [B, S, H, D]: the rows of all levels one after the other, of H heads of D channels.
        locations: Where the samples are, [B, Q, H, L, P, 2].
        weights: What each one counts, [B, Q, H, L, P].
        levels: Rows and columns of each level.
        output_groups: For each axis of `output` those of [B, Q, H, D] that it holds; none for an axis of 1.
        sizes: B, Q, H, D and P; None for what is dynamic.
        cone: Names of the nodes from the operands to the output.
    """

    kind: str = "deformable-attention"
    samplers: tuple[Site, ...]
    value: View
    locations: View
    weights: View
    levels: tuple[tuple[int, int], ...]
    output_groups: tuple[tuple[int, ...], ...]
    sizes: tuple[int | None, ...]
    cone: tuple[str, ...]

    @property
    def what(self) -> str:
        """The kind, with its levels, heads and points."""
        return f"{ATTENTION} ({self.words})"

    @property
    def words(self) -> str:
        """Levels, heads and points in a few words."""
        heads, points = self.sizes[2], self.sizes[4]
        levels = ", ".join(f"{height} x {width}" for height, width in self.levels)
        return f"{levels}; {heads} heads, {points} points"
