"""What a lowering is: one way of writing a recognised sampler, and when it may be used."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.runtime import Quirk
from onnxgs_opt.runtime.target import Target
from onnxgs_opt.samplers.policy import WINDOWS
from onnxgs_opt.samplers.site import BILINEAR, Site


@dataclass(frozen=True)
class Tolerance:
    """The largest difference that a lowering may show: |a - b| <= atol + rtol * |a|, and why that much.

    It is meant for images of unit-normal values; `rtol` makes it follow images of another scale. Where samplers read
    what others make, `carried` is what one of them may be off by, relatively and absolutely: the next ones multiply it
    by the slope of their image. Under a `strict` one the errors of the original itself allow for nothing.
    """

    rtol: float
    atol: float
    reason: str
    carried: float = 0.0
    strict: bool = False


EXACT = Tolerance(rtol=0.0, atol=0.0, reason="the same elements, of which nothing is computed anew")
REORDERED = Tolerance(
    rtol=1e-6, atol=1e-6, reason="the same four products, in another order of summation: a few roundings of fp32"
)


def in_halves(own: Tolerance) -> Tolerance:
    """The same number of roundings, of which some are to half precision."""
    scale = float(np.finfo(np.float16).eps / np.finfo(np.float32).eps)
    return replace(own, rtol=scale * own.rtol, atol=scale * own.atol)


SLOPE = 6.0
"""Pixels of a unit-normal image differ by about this at the worst of a few million points."""

LARGEST = 1024
"""Pixels along an axis of dynamic size, where nobody says how many."""


def rounds_to_halves(site: Site) -> bool:
    """Whether something between its operands and its result is rounded to half precision."""
    return "float16" in (site.dtype, *site.types)


@dataclass(frozen=True)
class Emitted:
    """What a lowering wrote: the samples [N, C, Ho, Wo].

    `mask` is the window as the model's own mask has it, element for element; None where there is none to replace.
    """

    samples: Tensor
    mask: Tensor | None = None


def bilinear_refusal(name: str, site: Site) -> str | None:
    """Refuse every other sampler than a bilinear one, for the lowering of that name."""
    return (
        None if site.kernels == BILINEAR else f"{name} is for bilinear samplers, and this one is {site.interpolation}"
    )


def gather_refusal(name: str, site: Site, target: Target) -> str | None:
    """Refuse, for the lowering of that name, opsets without GatherElements or bounds of Clip, and -0.0 less than 0."""
    if target.opset < 11:
        return f"{name} needs opset >= 11, the model has {target.opset}"
    if Quirk.NEGATIVE_ZERO_IS_LESS in target.quirks and _tells_zeros_apart(site, target.opset):
        return f"{name} compares pixel coordinates with 0, and {target.runtime} takes -0.0 for less than that"
    return None


def _tells_zeros_apart(site: Site, opset: int) -> bool:
    """Whether a window of pixels is told by Equal, or by Less where there is no GreaterOrEqual."""
    window = WINDOWS[site.policy.window]
    compares = window.lo == 0 and window.lo_closed and (opset < 12 or site.policy.window == "interior")
    return compares and site.coordinates == "pixel"


@dataclass(frozen=True)
class OfNoSampler:
    """A lowering of what is no sampler by itself, a resize or what is made of samplers: its kind writes such a site."""

    name: str
    why: str
    """What a sampler by itself is refused with."""
    tolerance: Tolerance

    def refusal(self, site: Site, target: Target) -> str | None:
        """Refuse every sampler by itself."""
        return self.why

    def emit(self, builder: Builder, site: Site) -> Emitted:
        """Not to be called: every sampler by itself is refused."""
        raise AssertionError(f"no sampler by itself is lowered to {self.name}")


class Lowering(Protocol):
    """One spelling of the sampler. Implementations are frozen dataclasses."""

    @property
    def name(self) -> str:
        """The name that the command line and the reports use."""

    @property
    def tolerance(self) -> Tolerance:
        """How far the lowered site may be from the exported one."""

    def refusal(self, site: Site, target: Target) -> str | None:
        """Say why this site cannot be lowered so, in one sentence; None when it can."""

    def emit(self, builder: Builder, site: Site) -> Emitted:
        """Write the nodes and return what they make; nothing else changes. Only where there is no refusal."""
