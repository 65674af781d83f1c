"""A resampling at fixed places as a site: what one Resize would compute."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from onnxgs_opt.samplers.resampling import Resampling
from onnxgs_opt.samplers.site import AnySite


@dataclass(frozen=True)
class ResizedAxis:
    """An axis of the image that is resampled.

    Attributes:
        read: Its place among the axes of the image.
        size: Its pixels; None where that is dynamic.
        samples: The samples along it; None where that is dynamic.
        scale: Samples a pixel; None where they are whatever `samples` over `size` is.
        source: A tensor and its axis that has as many elements as there are samples, where no number says how many.
    """

    read: int
    size: int | None
    samples: int | None
    scale: Fraction | None
    source: tuple[str, int] | None = None

    @property
    def factor(self) -> Fraction | None:
        """Samples a pixel where that is one number."""
        if self.scale is not None or self.size is None or self.samples is None:
            return self.scale
        return Fraction(self.samples, self.size)


@dataclass(frozen=True, kw_only=True)
class ResizeSite(AnySite):
    """Indices and weights that depend on no data: `output` is `image` resampled along `axes`, otherwise as it is.

    Attributes:
        image: The tensor that is read.
        resampling: What is computed along each of `axes`.
        axes: The resampled axes, in the order of the image's.
        order: For each axis of the output the axis of the image that it is.
        image_shape: The shape of the image, None for dynamic sizes.
    """

    kind: str = "resize"
    image: str
    resampling: Resampling
    axes: tuple[ResizedAxis, ...]
    order: tuple[int, ...]
    image_shape: tuple[int | None, ...]

    @property
    def border(self) -> str:
        """The mode, and where the samples stand."""
        return self.resampling.words
