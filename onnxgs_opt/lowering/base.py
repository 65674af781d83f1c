"""What a lowering is: one way of writing a recognised sampler, and when it may be used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import onnx_graphsurgeon as gs

from onnxgs_opt.builder import Builder
from onnxgs_opt.site import Site


@dataclass(frozen=True)
class Tolerance:
    """The largest difference that a lowering may show: |a - b| <= atol + rtol * |a|, and why that much.

    It is meant for images of unit-normal values; `rtol` makes it follow images of another scale.
    """

    rtol: float
    atol: float
    reason: str


@dataclass(frozen=True)
class Target:
    """What the lowered model has to run on.

    `atol` and `rtol` are the user's; None leaves each lowering its own. `image_size` (H, W) is the largest
    that a dynamic model will see, where the user said so. `plugin` says that it will have the plugin's library.
    """

    opset: int
    runtime: str = "ort-cpu"
    atol: float | None = None
    rtol: float | None = None
    image_size: tuple[int | None, int | None] = (None, None)
    plugin: bool = False


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

    def emit(self, builder: Builder, site: Site) -> gs.Tensor:
        """Write the nodes and return the samples as [N, C, Ho, Wo]; only where there is no refusal."""
