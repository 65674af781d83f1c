"""Ways of writing a sampler, by the names that the command line uses."""

from __future__ import annotations

from onnxgs_opt.lowering.base import Lowering, Target, Tolerance
from onnxgs_opt.lowering.grid_sample import GridSample
from onnxgs_opt.lowering.keep import Keep
from onnxgs_opt.lowering.merged_gather import MergedGather
from onnxgs_opt.lowering.plugin import Plugin

LOWERINGS: dict[str, Lowering] = {
    "keep": Keep(),
    "merged-gather": MergedGather(),
    "grid-sample": GridSample(),
    "plugin": Plugin(),
}

__all__ = ["LOWERINGS", "Lowering", "Target", "Tolerance"]
