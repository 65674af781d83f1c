"""A sample of `tests.campaigns.runtimes`: every lowering of some exports, run in each runtime that is here."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnxgs_opt.runtime import RUNTIMES
from tests.campaigns.runtimes import NAMES, outcomes

MODELS = Path(__file__).parents[1] / "fixtures" / "models"
OTHERS = [name for name, runtime in RUNTIMES.items() if runtime.checks]
FORMS = tuple(name for name in NAMES if name not in ("blocked-gather", "deform-conv", "plugin"))


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
    assert {name: one.refusal or one.failure for name, one in found.items()} == dict.fromkeys(lowerings, "")
    assert all(one.max_abs < 5e-4 for one in found.values())
