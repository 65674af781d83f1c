"""The ways of writing a resampling at fixed places, by the lowering's name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from onnxgs_opt.ir import Tensor
from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.lowering.axis_matmul import AXIS_MATMUL, emit_matmuls, matmul_refusal
from onnxgs_opt.lowering.base import Tolerance
from onnxgs_opt.lowering.polyphase_conv import POLYPHASE, emit_polyphase, polyphase_refusal
from onnxgs_opt.lowering.resize import RESIZE, emit_resize, resize_refusal, resize_tolerance
from onnxgs_opt.runtime.target import Target
from onnxgs_opt.samplers.resize import ResizeSite

SUMS = 1e-5
"""What sums of up to 49 products of unit-normal pixels may be off by."""


@dataclass(frozen=True)
class Form:
    """One way of writing a resampling.

    Attributes:
        emit: Writes a site and gives its output; only where there is no refusal.
        refusal: Says why a site cannot be written so on a target; None when it can.
        sums: What it may differ by beyond a Resize, of unit-normal pixels.
    """

    emit: Callable[[Builder, ResizeSite], Tensor]
    refusal: Callable[[ResizeSite, Target], str | None]
    sums: float


RESIZING: dict[str, Form] = {
    RESIZE.name: Form(emit_resize, resize_refusal, 0.0),
    POLYPHASE.name: Form(emit_polyphase, polyphase_refusal, SUMS),
    AXIS_MATMUL.name: Form(emit_matmuls, matmul_refusal, SUMS),
}


def resizing_tolerance(name: str, site: ResizeSite, size: int) -> Tolerance:
    """What `name` of `RESIZING` may differ by where its longest resampled axis has so many pixels or samples."""
    own = resize_tolerance(site, size)
    more = RESIZING[name].sums
    return replace(own, atol=own.atol + more) if more else own
