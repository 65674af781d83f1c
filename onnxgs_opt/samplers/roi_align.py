"""RoIAlign by hand as a site: what one RoiAlign node would compute, one region a box."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from onnxgs_opt.samplers.site import AnySite
from onnxgs_opt.samplers.view import View


@dataclass(frozen=True)
class Line:
    """Where the samples of every box stand along one axis of the image: evenly apart.

    Attributes:
        view: The pixel coordinates as [boxes, samples], the boxes in the order of the site's.
        samples: How many a box has.
        bins: The sizes of the output's axes that they become, the first the slowest.
        wide: Whether every box is proven to be at least a pixel long.
    """

    view: View
    samples: int
    bins: tuple[int, ...]
    wide: bool


@dataclass(frozen=True)
class Span:
    """What one number of every box is to its samples, so that inputs can be made that reach all of the image.

    Attributes:
        tensor: The tensor that it is an element of.
        place: Its index along the axes of that; None along those of boxes.
        axis: 0 where it says where rows are, 1 where columns are, None where it is the number of an image.
        pixels: By how many pixels the samples move at most where it grows by 1; with an image of `size` where that is
            given, for then it is a part of the image.
        size: See `pixels`.
        range: What it can be; None for no bound.
    """

    tensor: str
    place: tuple[int | None, ...]
    axis: int | None
    pixels: float = 1.0
    size: int | None = None
    range: tuple[float | None, float | None] = (None, None)


@dataclass(frozen=True, kw_only=True)
class RoiAlignSite(AnySite):
    """Bilinear samples of `image` at the places of regular grids, one in each box, and the means of their bins.

    Attributes:
        inner: What it is where it is no RoIAlign: the sampler, or the reads of one.
        image: The image [N, C, H, W].
        rows: Where samples stand down the image.
        columns: Where they stand across it.
        items: Which image each box is of, as [boxes]; None where the boxes lie along the images, or there is one.
        differs: Why a RoiAlign node would compute something else; None where it computes the same.
        types: The float types of coordinates, weights and result.
        ratio: Samples a bin along each axis.
        scale: What the mean of a bin is multiplied by.
        output_groups: Axes of the output: those of the images, further ones of boxes, channels, rows and columns.
        output_rank: Axes of the output.
        spans: What the boxes are made of.
        boxes: How many there are; None where that is dynamic.
        channels: The channels; None where they are dynamic.
        image_size: Height and width; None where dynamic.
    """

    kind: str = "roi-align"
    inner: AnySite
    image: View
    rows: Line
    columns: Line
    items: View | None
    differs: str | None
    types: tuple[str, ...]
    ratio: int
    scale: int | Fraction
    output_groups: tuple[tuple[int, ...], ...]
    output_rank: int
    spans: tuple[Span, ...]
    boxes: int | None
    channels: int | None
    image_size: tuple[int | None, ...]

    @property
    def plain(self) -> Any:
        """The inner site under this one's name: what every other lowering writes."""
        return replace(self.inner, id=self.id, body=self.body)

    @property
    def is_sampler(self) -> bool:
        """Whether the inner site is a sampler; else it is but a sum of reads."""
        return self.inner.policy is not None

    @property
    def sources(self) -> tuple[str, ...]:
        """The tensors that the boxes are made of."""
        return tuple(sorted({span.tensor for span in self.spans}))

    @property
    def what(self) -> str:
        """As users know it."""
        return "RoIAlign"

    @property
    def bins(self) -> tuple[int, int]:
        """Rows and columns of bins of one box."""
        rows, columns = (line.samples // self.ratio for line in (self.rows, self.columns))
        return rows, columns
