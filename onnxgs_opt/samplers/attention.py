"""Deformable attention as a site: what one node would compute, above the samplers that read for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from onnxgs_opt.samplers.policy import ATTENTION
from onnxgs_opt.samplers.site import AnySite, Site
from onnxgs_opt.samplers.view import View

Source = tuple[str, int]
"""A tensor and one of its axes."""


class OfAttention:
    """What has the operands of deformable attention: a site, and what was proven at one set of sizes.

    out[b, q, h, d] = sum over t of weights[b, q, h, t] * sample(the level of t, of value[b, :, h, d], at
    locations[b, q, h, t]), where a location is x, y from 0 to 1 over the level, edge to edge. The first terms are
    those of the first level, as many as it has points.
    """

    value: View
    locations: View
    weights: View
    points: tuple[int, ...]

    @property
    def terms(self) -> int:
        """How many samples of all levels together an element of the output is the sum of."""
        return sum(self.points)

    @property
    def operands(self) -> frozenset[str]:
        """The tensors that it is made of."""
        return frozenset(view.tensor for view in (self.value, self.locations, self.weights))


@dataclass(frozen=True, kw_only=True)
class AttentionSite(AnySite, OfAttention):
    """Samplers of several levels of one tensor, whose samples are weighted and summed: `output` is one node.

    What is not written as one can be lowered as its samplers alone: `plain`.

    Attributes:
        samplers: The sampler of each level.
        value: The images [B, S, H, D]: the rows of all levels one after the other, of H heads of D channels.
        locations: Where the samples are, [B, Q, H, T, 2].
        weights: What each one counts, [B, Q, H, T].
        points: How many terms each level has; T together.
        dtype: The type in which the value and the weights can be given, float32 or float16.
        types: The float types of all between the operands and the output.
        levels: Rows and columns of each level; None for what is dynamic.
        sources: For rows and columns of each level the tensor and its axis that has as many; None for what is fixed.
        output_groups: For each axis of `output` those of [B, Q, H, D] that it holds; none for an axis of 1.
        sizes: B, Q, H and D; None for what is dynamic.
    """

    kind: str = "deformable-attention"
    samplers: tuple[Site, ...]
    value: View
    locations: View
    weights: View
    points: tuple[int, ...]
    types: tuple[str, ...]
    levels: tuple[tuple[int | None, int | None], ...]
    sources: tuple[tuple[Source | None, Source | None], ...]
    output_groups: tuple[tuple[int, ...], ...]
    sizes: tuple[int | None, ...]

    @property
    def plain(self) -> tuple[Site, ...]:
        """The samplers in the site's body, named by it and a number: what is lowered where the whole is not written."""
        return tuple(replace(own, id=f"{self.id}.{k}", body=self.body) for k, own in enumerate(self.samplers))

    @property
    def what(self) -> str:
        """The kind, with its levels, heads and points."""
        return f"{ATTENTION} ({self.words})"

    @property
    def words(self) -> str:
        """Levels, heads and points in a few words."""
        levels = ", ".join(" x ".join("?" if size is None else str(size) for size in level) for level in self.levels)
        return f"{levels}; {self.sizes[2]} heads, {self.points_in_words} points"

    @property
    def points_in_words(self) -> str:
        """One number where every level has as many, else a sum."""
        return "+".join(map(str, self.points if len(set(self.points)) > 1 else self.points[:1]))

    @property
    def is_dynamic(self) -> bool:
        """Whether a level has a dynamic size."""
        return any(None in level for level in self.levels)

    @property
    def told_by(self) -> frozenset[str]:
        """The tensors whose shapes tell dynamic sizes of levels."""
        return frozenset(source[0] for level in self.sources for source in level if source is not None)

    def levels_at(self, shapes: Mapping[str, Sequence[int]]) -> list[tuple[int, int]]:
        """Rows and columns of each level where tensors have these shapes; KeyError where one that tells is missing."""
        found = []
        for level, sources in zip(self.levels, self.sources, strict=True):
            both = (
                shapes[own[0]][own[1]] if own is not None else size or 0
                for size, own in zip(level, sources, strict=True)
            )
            height, width = both
            found.append((height, width))
        return found
