"""Counts over generated samplers of every kernel: each spelling is found and stays equal, no mutant is taken wrongly.

python -m tests.campaigns.soundness.kernels --spellings 1000 --mutants 1000 [--seed 0] [--family cubic]; exit code 1 on
any failure. So many of each family are judged: of nearest pixels, floors included, of linear and of cubic weights.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import numpy as np
import onnx
import onnxruntime as ort

import onnxgs_opt
from tests.campaigns.soundness.counting import campaign
from tests.fixtures.kernels import Spelling, build, feeds, mutants, spellings

ALLOWED = 5e-5
"""What a sample of a unit-normal image may be off by: the terms of a cubic weight reach 12."""


def judge(spelling: Spelling, lowering: str = "merged-gather") -> str:
    """What became of one: found or refused, or, in words, what is wrong."""
    model = build(spelling)
    result = onnxgs_opt.optimize(model, lowering=lowering, validate=False)
    found = [site for site in result.report.sites if site.rule in ("GSO001", "GSO005")]
    if not found:
        return "refused"
    before, after = _session(model), _session(result.model)
    for seed in (1, 2):
        inputs = feeds(spelling, seed)
        try:
            (exported,) = before.run(None, inputs)
        except ort.capi.onnxruntime_pybind11_state.InvalidArgument:
            continue  # an index that a fault moved outside of the image
        gap = float(np.abs(exported - after.run(None, inputs)[0]).max())
        if not gap <= ALLOWED:
            return f"wrong by {gap:.3g}, taken for {found[0].policy.kind}, {found[0].policy.border}"
    return "found" if all(site.lowering == lowering for site in found) else "kept"


def _session(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # costs more than it saves here
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _named(stream: Callable[[int], Iterator[Spelling]]) -> Callable[[int], Iterator[tuple[str, Spelling]]]:
    return lambda seed: ((own.name, own) for own in stream(seed))


FAMILIES = ("linear", "cubic")


def family(spelling: Spelling) -> str:
    """Of which kernels it is one."""
    return next((name for name in FAMILIES if spelling.kernel.startswith(name)), "nearest")


def main() -> int:
    """Judge everything and print the counts."""
    streams = {"spellings": _named(spellings), "mutants": _named(mutants)}
    return campaign(__doc__, streams, judge, 1000, ("nearest", *FAMILIES), family)


if __name__ == "__main__":
    sys.exit(main())
