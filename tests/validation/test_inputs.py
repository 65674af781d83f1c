"""What a whole model is fed: coordinates go to the inputs that are rounded to pixels."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import parser

from onnxgs_opt.validation.check import check_model
from onnxgs_opt.validation.inputs import model_runs

MODEL = """
<ir_version: 8, opset_import: ["": 17]>
g (float[8, 8] image, float[500] p) => (float[500, 8] out)
{
  one = Constant <value = float {1.0}> ()
  last = Constant <value = float {7.0}> ()
  CHAIN
  row = Cast <to = 7> (whole)
  out = Gather (image, row)
}
"""


@pytest.mark.parametrize(
    "chain",
    [
        "q = Add(p, one) whole = Floor(q)",
        "q = Add(p, one) whole = Round(q)",
        "q = Abs(p) whole = Floor(q)",
        "q = Mod <fmod = 1> (p, last) whole = Ceil(q)",
        "q = Sum(p, one) whole = Floor(q)",
    ],
)
def test_what_is_rounded_gets_pixels(chain: str) -> None:
    run = next(model_runs(parser.parse_model(MODEL.replace("CHAIN", chain)), {}, {}, 0, []))
    assert np.abs(run.feeds["p"]).max() > 6, "unit-normal values reach no border of the image"
    assert np.abs(run.feeds["image"]).max() < 6


def test_what_is_compared_is_no_coordinate() -> None:
    chain = "q = Greater(p, one) r = Cast <to = 1> (q) whole = Floor(r)"
    run = next(model_runs(parser.parse_model(MODEL.replace("CHAIN", chain)), {}, {}, 0, []))
    assert np.abs(run.feeds["p"]).max() < 6


def test_halves_stay_finite_on_the_way_to_pixels() -> None:
    """Infinite coordinates may read anything: a model that computes with them in halves differs from any form of it."""
    text = """<ir_version: 8, opset_import: ["": 20]>
g (float16[1, 3, 89, 64] image, float16[1, 9, 90, 2] places) => (float16[1, 3, 9, 90] out) {
   grid = Add (places, places)
   out = GridSample (image, grid)
}"""
    for run in model_runs(parser.parse_model(text), {}, {}, 0, []):
        places = run.feeds["places"]
        assert (places.dtype, np.abs(places).max() > 100) == (np.float16, True)
        assert np.isfinite(places * np.float16(2 * 89)).all()


@pytest.mark.parametrize("kind", ["seq(float[2])", "optional(float[2])"])
def test_what_is_no_tensor_leaves_the_whole_model_unchecked(kind: str) -> None:
    more = {"s": "other = ConcatFromSequence<axis=0>(q)", "o": "other = OptionalGetElement(q)"}[kind[0]]
    text = MODEL.replace("CHAIN", f"whole = Floor(p) {more}").replace("float[500] p)", f"float[500] p, {kind} q)")
    model = parser.parse_model(text.replace("out)\n{", "out, float[n] other)\n{"))
    found = check_model(model, model)
    assert (found.status, found.worst) == ("not-run", "no values are made for its input 'q', which is no tensor")


@pytest.mark.parametrize(("sizes", "status"), [("[2, 1]", "ok"), ("[1, 2]", "mismatch"), ("[1, 1, 1]", "mismatch")])
def test_sequences_of_tensors_are_compared_with_their_shapes(sizes: str, status: str) -> None:
    text = """<ir_version: 8, opset_import: ["": 17]>
g (float[3] p) => (seq(float[n]) out) {
  sizes = Constant<value_ints=[2, 1]>() out = SplitToSequence<axis=0>(p, sizes) }"""
    before, after = (parser.parse_model(text.replace("[2, 1]", each)) for each in ("[2, 1]", sizes))
    assert check_model(before, after).status == status
    if status == "ok":
        off = text.replace("(p, sizes)", "(o, sizes)").replace(
            "{ sizes", "{ t = Constant<value_float=2.0>() o = Mul(p, t) sizes"
        )
        assert check_model(before, parser.parse_model(off)).status == "mismatch"
