"""What a sampler does outside the image: border and window."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from onnxgs_opt.samplers.arithmetic import Arithmetic, E
from onnxgs_opt.samplers.border import BorderName

Number = int | Fraction

DEFORMABLE = "deformable convolution"
"""What a sampler is called whose samples one is made of."""

ATTENTION = "deformable attention"
"""What samplers are called whose samples one is made of."""


class Window(NamedTuple):
    """The coordinates (per axis, in pixels) at which the sampler is not forced to zero.

    The bounds are `lo` and `S + hi`, S being the size of the axis; None is no bound.
    """

    name: str
    lo: int | None
    lo_closed: bool
    hi: int | None
    hi_closed: bool

    def condition(self, o: Arithmetic[E], p: E, size: E) -> E:
        """1 where the pixel coordinate `p` is in the window of an axis of `size`, else 0."""
        out = o.one
        if self.lo is not None:
            above = o.sub(p, o.num(self.lo))
            out = o.mul(out, o.ge(above) if self.lo_closed else o.gt(above))
        if self.hi is not None:
            below = o.sub(o.add(size, o.num(self.hi)), p)
            out = o.mul(out, o.ge(below) if self.hi_closed else o.gt(below))
        return out


WINDOWS: dict[str, Window] = {
    window.name: window
    for window in (
        Window("all", None, False, None, False),
        Window("interior", 0, True, -1, False),
        Window("interior-closed", 0, True, -1, True),
        Window("interior-open", 0, False, -1, False),
        Window("interior-open-low", 0, False, -1, True),
        Window("reach", -1, False, 0, False),
        Window("reach-closed", -1, True, 0, True),
        Window("cells", 0, True, 0, False),
    )
}
"""`interior` is 0 <= p < S-1; `interior-closed` 0 <= p <= S-1; `reach` -1 < p < S (ROIAlign's); `cells` 0 <= p < S."""


@dataclass(frozen=True)
class Policy:
    """What a sampler does outside the image.

    out = [x and y in window] * sum_ij w_i w_j (I - fill)[y0+i, x0+j] + fill, where I - fill outside the image is 0
    (`zeros`), that of the nearest pixel (`border`), of the mirrored one (`reflection` about the outer pixels' centres,
    `symmetric` about their edges) or of the image repeated (`wrap`; of a `cylinder` along x alone, along y it is that
    of `border`). `mirrored`: the model itself has mirrored x and y into the image before, so that nothing is left to do
    outside.
    """

    border: BorderName = "zeros"
    window: str = "all"
    mirrored: bool = False
    fill: Number = 0

    @property
    def name(self) -> str:
        """The name that reports use: the window's where there is one, else the border's; a fill value behind it."""
        if not self.fill:
            return self._plain
        value = f"constant {float(self.fill):g}"
        return value if (self.border, self.window) == ("zeros", "all") else f"{self._plain}, {value}"

    @property
    def _plain(self) -> str:
        if self.window == "all":
            return "reflection" if self.mirrored else self.border
        return (
            self.window
            if self.border == "zeros" or self.window.startswith("interior")
            else f"{self.border}-{self.window}"
        )
