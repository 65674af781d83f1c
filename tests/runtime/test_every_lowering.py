"""A sample of `tests.campaigns.runtimes`: every lowering of some exports, run in each runtime that is here."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnxgs_opt.runtime import RUNTIMES
from tests.campaigns.runtimes import NAMES, outcomes

MODELS = Path(__file__).parents[1] / "fixtures" / "models"
OTHERS = [name for name, runtime in RUNTIMES.items() if runtime.checks]
BY_EQUAL = {"merged-gather", "lerp-gather", "row-gather", "packed-gather"}
"""They ask of pixel coordinates whether a clamp leaves them; not -0.0 in MNN, which takes it and 0 for two numbers."""
NOT_THERE = ("blocked-gather", "plugin", "resize", "polyphase-conv", "axis-matmul", "deform-conv", "tensorrt-attention")
"""Refused: for operators that these runtimes do not load, or as forms of sites that are no sampler."""
FORMS = tuple(name for name in NAMES if name not in NOT_THERE)


@pytest.mark.parametrize("target", OTHERS)
@pytest.mark.parametrize(
    ("name", "lowerings"),
    [
        ("masked_interior.ts17.st.onnx", FORMS),
        ("masked_interior.dy20.dyn.onnx", ("merged-gather", "row-gather")),
        ("masked_interior_normalized.dy18.st.onnx", ("grid-sample", "lerp-gather")),
    ],
)
def test_each_form_is_run_and_equal(target: str, name: str, lowerings: tuple[str, ...]) -> None:
    if reason := RUNTIMES[target].unavailable():
        pytest.skip(reason)
    found = {one.lowering: one for one in outcomes(MODELS / name, target, lowerings)}
    wrong = BY_EQUAL if target == "mnn" and "normalized" not in name else set()
    for lowering, one in found.items():
        said = one.refusal or one.failure
        assert "takes -0.0 for less" in said if lowering in wrong else not said, said
    assert all(one.max_abs < 5e-4 for one in found.values())
    assert found.keys() == set(lowerings)
