"""What the package does to one model that is not of its own making."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from onnxgs_opt import optimize
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering.base import Tolerance
from onnxgs_opt.passes import CANONICALISE
from onnxgs_opt.validation.check import check_model
from onnxgs_opt.validation.inputs import ModelInputs

Feeds = dict[str, np.ndarray]
REORDERED = Tolerance(rtol=1e-4, atol=1e-4, reason="folding a constant before a convolution changes its roundings")


@dataclass(frozen=True)
class Verdict:
    """Nodes, sites by rule, near-misses, how the outputs compare, and the seconds that a dry run takes."""

    nodes: int
    sites: Counter[str]
    near_misses: tuple[str, ...]
    outputs: str
    seconds: float

    @property
    def samplers(self) -> int:
        """Sites that are neither GridSample nodes nor other sums of reads."""
        return self.sites.total() - self.sites["GSO002"] - self.sites["GSO003"]

    @property
    def passed(self) -> bool:
        """No sampler but GridSample nodes, and nothing that differs."""
        return not self.samplers and not self.outputs.startswith("differ")


def judge(model: onnx.ModelProto | Path, feeds: Feeds | None = None) -> Verdict:
    """Look for sites, lower what there is by force, and compare the canonical and the lowered model with the original.

    A model that onnxruntime cannot run, or not on random inputs where no `feeds` are given, is compared with nothing:
    its outputs are "not run".
    """
    start = time.perf_counter()
    report = optimize(model, dry_run=True).report
    seconds = time.perf_counter() - start
    forced = optimize(model, lowering="merged-gather").report
    outputs = _canonical(model, feeds)
    if forced.status == "mismatch":
        outputs = f"differ when merged: {forced.validation.max_abs}"
    return Verdict(
        nodes=report.nodes.before,
        sites=Counter(site.rule for site in report.sites),
        near_misses=tuple(miss.code for miss in report.near_misses),
        outputs=outputs,
        seconds=seconds,
    )


def _canonical(model: onnx.ModelProto | Path, feeds: Feeds | None) -> str:
    """Compare with the model after every canonicalising pass, whether they are needed for it or not."""
    graph = Graph.load(model) if isinstance(model, Path) else Graph.from_proto(model)
    canonical = graph.copy()
    CANONICALISE.run(canonical)
    found = check_model(graph, canonical, ModelInputs(feeds), REORDERED)
    if found.status == "not-run":
        return "not run"
    return "equal" if found.status == "ok" else f"differ by {found.max_abs:.3g}: {found.worst}"
