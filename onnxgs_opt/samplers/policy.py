"""What a sampler does outside the image: border and window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

BorderName = Literal["zeros", "border", "reflection"]
CoordinateName = Literal["pixel", "normalised", "unit"]
"""Pixels; GridSample's -1 to 1 under `align_corners`; or 0 to 1 over the same span."""


class Window(NamedTuple):
    """The coordinates (per axis, in pixels) at which the sampler is not forced to zero.

    The bounds are `lo` and `S + hi`, S being the size of the axis; None is no bound.
    """

    lo: int | None
    lo_closed: bool
    hi: int | None
    hi_closed: bool


WINDOWS: dict[str, Window] = {
    "all": Window(None, False, None, False),
    "interior": Window(0, True, -1, False),
    "interior-closed": Window(0, True, -1, True),
    "interior-open": Window(0, False, -1, False),
    "interior-open-low": Window(0, False, -1, True),
    "reach": Window(-1, False, 0, False),
    "reach-closed": Window(-1, True, 0, True),
    "cells": Window(0, True, 0, False),
}
"""`interior` is 0 <= p < S-1; `interior-closed` 0 <= p <= S-1; `reach` -1 < p < S (ROIAlign's); `cells` 0 <= p < S."""


@dataclass(frozen=True)
class Policy:
    """What a sampler does outside the image.

    out = [x and y in window] * sum_ij w_i w_j I[y0+i, x0+j], where I outside the image is 0 (`zeros`), the nearest
    pixel (`border`) or the mirrored one (`reflection`). `mirrored`: the model itself has mirrored x and y into the
    image before, so that nothing is left to do outside.
    """

    border: BorderName = "zeros"
    window: str = "all"
    mirrored: bool = False

    @property
    def name(self) -> str:
        """The name that reports use: the window's where there is one, else the border's."""
        if self.window == "all":
            return "reflection" if self.mirrored else self.border
        return (
            self.window
            if self.border == "zeros" or self.window.startswith("interior")
            else f"{self.border}-{self.window}"
        )
