"""Operators that must not stand in the result: forms that have one are refused, and what has one is lowered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import parser

from onnxgs_opt import optimize
from onnxgs_opt.api import Result
from onnxgs_opt.errors import UsageError
from onnxgs_opt.runtime.ort import open_session
from onnxgs_opt.tuning.avoid import operators_of

FIXTURES = Path(__file__).parents[1] / "fixtures"
SAMPLER = FIXTURES / "models" / "masked_interior.ts17.st.onnx"
NODE = """<ir_version: 8, opset_import: ["": 17]>
g (float[1, 3, 8, 9] img, float[1, 4, 5, 2] grid) => (float[1, 3, 4, 5] out) {
   out = GridSample <align_corners = 1, padding_mode = "BORDER"> (img, grid)
}"""
ATTENTION = FIXTURES / "attention" / "stacked.ts17.st.onnx"
BORDERS = ("zeros", "border", "reflection")


def avoiding(model: onnx.ModelProto | Path, *names: str, **options: object) -> Result:
    return optimize(model, avoid=names, measure=False, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("border", BORDERS)
def test_a_node_that_is_avoided_is_lowered_whatever_it_costs(border: str) -> None:
    model = parser.parse_model(NODE.replace("BORDER", border))
    result = avoiding(model, "GridSample")
    assert "GridSample" not in operators_of(result.model)
    assert "to be avoided (GSO210)" in result.report.sites[0].refusals["keep"]
    assert "GSO210" not in {hazard.code for hazard in result.report.hazards}
    rng = np.random.default_rng(0)
    feeds = {
        "img": rng.standard_normal((1, 3, 8, 9)).astype(np.float32),
        "grid": rng.uniform(-1.4, 1.4, (1, 4, 5, 2)).astype(np.float32),
    }
    before, after = (open_session(m, threads=1).run(None, feeds)[0] for m in (model, result.model))
    np.testing.assert_allclose(after, before, atol=1e-5)


def test_what_cannot_stay_becomes_the_fastest_of_what_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever that loses to the node, of what the record has of nodes or, where it has none, of other spellings."""
    case = {"value": [1, 89, 2, 5], "samples": 1000, "ratios": {"merged-gather": 0.3, "row-gather": 0.8, "plugin": 4.0}}
    for more in ({"read_op": "GridSample"}, {}):
        record = {"target": "ort-cpu", "machine": "CPU", "runtime": "it", "date": "now", "attentions": [case | more]}
        monkeypatch.setattr("onnxgs_opt.tuning.database._records", lambda record=record: [record])
        site = avoiding(ATTENTION, "GridSample").report.sites[0]
        assert site.lowering == "row-gather"
        assert "GridSample, to be avoided (GSO210); the fastest that is possible by our" in site.reason


def test_a_lowering_that_would_write_one_is_refused() -> None:
    refusals = avoiding(SAMPLER, "GatherElements,Scan", dry_run=True).report.sites[0].refusals
    named = {name for name, why in refusals.items() if "GatherElements" in why and "GSO210" in why}
    assert {"merged-gather", "lerp-gather"} <= named
    assert "row-gather" not in refusals


def test_of_a_resampling_as_well() -> None:
    site = avoiding(FIXTURES / "resizes" / "rows.st.onnx", "Resize").report.sites[0]
    assert "it has Resize" in site.refusals["resize"]
    assert site.lowering == "keep"


def test_what_stays_is_told_and_may_fail_the_run() -> None:
    """Nothing is known that does without a Gather of any kind, and a node outside of all sites is not looked at."""
    names = ("Gather", "GatherElements", "GatherND", "GridSample", "RoiAlign", "Floor")
    result = avoiding(SAMPLER, *names)
    assert result.report.sites[0].lowering == "keep"
    told = {h.node: h.hint for h in result.report.hazards if h.code == "GSO210"}
    assert any(hint.startswith("Floor stays here.") for hint in told.values())
    assert avoiding(SAMPLER, *names, fail_on=("GSO210",)).report.status == "findings"


def test_a_name_that_is_no_operator_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(UsageError, match="--avoid gridsample: there is no such operator") as caught:
        avoiding(SAMPLER, "gridsample")
    assert caught.value.hint == "did you mean GridSample"
