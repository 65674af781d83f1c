"""From a graph to its sites, each proven; the kinds of sites, by name. The dict is written by hand.

A new kind is one file here, with what finds its sites and a `SiteKind`, and its line in `KINDS`; `findings` calls what
finds it. A room that does something of its own for each kind has a table by the same names: `LOWER` in passes, `CHECKS`
in validation, `TRIALS` in tuning. A kind of the class `Site` shares the entries of "bilinear" there.
docs/writing-a-site-kind.md shows one.
"""

from __future__ import annotations

from typing import Any

from onnxgs_opt.recognition import attentions, deform_conv, gather_sums, grid_sample, resizes, roi_aligns
from onnxgs_opt.recognition.kind import SiteKind
from onnxgs_opt.recognition.sampler import Sampler

_PLAIN: dict[str, SiteKind[Any]] = {
    "bilinear": Sampler("GSO001"),
    "sampler": Sampler("GSO005"),
    "grid-sample": Sampler(grid_sample.RULE),
    "structural": gather_sums.GatherSum(),
    "resize": resizes.Resizes(),
}

KINDS: dict[str, SiteKind[Any]] = {
    **_PLAIN,
    "roi-align": roi_aligns.RoiAligns(_PLAIN),
    "deform-conv": deform_conv.DeformConvs(_PLAIN),
    "deformable-attention": attentions.Attentions(_PLAIN),
}

__all__ = ["KINDS", "SiteKind"]
