"""Units of coordinates: how what a model holds becomes pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from onnxgs_opt.samplers.arithmetic import Arithmetic, E
from onnxgs_opt.samplers.border import HALF, clamp

CoordinateName = Literal["pixel", "normalised", "unit"]
"""Pixels; GridSample's -1 to 1 under `align_corners`; or 0 to 1 over the same span."""


@dataclass(frozen=True)
class Coordinates:
    """Units in which the image goes from `low` to `low + span`; pixels where there is no span.

    `align_corners`: from the centre of the first pixel to that of the last one, not from edge to edge. `clamped`: what
    is outside of the centres is moved to the nearest one, before the kernel looks for its taps.
    """

    name: CoordinateName = "pixel"
    align_corners: bool | None = None
    low: Fraction = Fraction(0)
    span: Fraction | None = None
    clamped: bool = False

    def to_pixel(self, o: Arithmetic[E], g: E, size: E) -> E:
        """The pixel coordinate of `g` along an axis of `size` pixels."""
        last = o.sub(size, o.one)
        p = g if self.span is None else self._scaled(o, g, last if self.align_corners else size, self.span)
        return clamp(o, p, last) if self.clamped else p

    def _scaled(self, o: Arithmetic[E], g: E, length: E, span: Fraction) -> E:
        p = o.mul(o.sub(g, o.num(self.low)), o.mul(length, o.num(1 / span)))
        return p if self.align_corners else o.sub(p, o.num(HALF))


PIXEL = Coordinates()
COORDINATES: Mapping[tuple[CoordinateName, bool | None], Coordinates] = {
    (c.name, c.align_corners): c
    for c in (
        Coordinates("normalised", True, Fraction(-1), Fraction(2)),
        Coordinates("unit", True, Fraction(0), Fraction(1)),
        Coordinates("normalised", False, Fraction(-1), Fraction(2)),
        Coordinates("unit", False, Fraction(0), Fraction(1)),
        PIXEL,
    )
}
"""By name and `align_corners`; the first that fits names what is found."""
