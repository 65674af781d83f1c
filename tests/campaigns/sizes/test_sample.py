"""A small sample of what `make sizes` counts."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from tests.campaigns.sizes.files import SETS, judged_file
from tests.campaigns.sizes.judge import Pair, inputs, judged, judged_between
from tests.campaigns.sizes.models import USUAL, generated
from tests.fixtures.size_limits import Limits

FIXTURES = Path(__file__).parents[2] / "fixtures"
EXPORTS = ("models/masked_interior.ts17.dyn.onnx", "words/far_outside.dyn.onnx")
BETWEEN = (13, 15)
"""Of the first, those that change nothing at the sizes that are stated for them."""

KINDS = (
    "at most",
    "branch",
    "half",
    "exactly",
    "smaller of two",
    "a remainder",
    "product of remainders",
    "index at most",
    "batch at most",
    "past",
)


@pytest.mark.parametrize("number", range(24))
def test_what_changes_at_a_size_is_refused_and_what_does_not_is_lowered(number: int) -> None:
    case = generated(number)
    assert judged(case)[0] == ("lowered" if case.is_harmless else "refused"), case.name


@pytest.mark.parametrize("number", range(1, 30, 2))
def test_between_stated_sizes_it_is_lowered_where_nothing_changes(number: int) -> None:
    outcome, why = judged_between(generated(number))
    assert outcome == ("lowered" if number in BETWEEN else "refused"), why


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_said_to_change_does(kind: str) -> None:
    """Where the model itself runs at such a size, it gives something else than the plain sampler."""
    named = ((case, case.name.replace(">", " ") + " ") for case in map(generated, range(1, 2000, 2)))
    case = next(case for case, words in named if f"{kind} " in words and " masked " not in words)
    plain = Pair.of(Limits().model(), case.limits.model())
    assert any(plain.differs(inputs(case.limits.model(), sizes)) for sizes in case.shows), case.name
    assert plain.differs(inputs(case.limits.model(), USUAL | {"H": 3, "W": 3})) in ("", None)


@pytest.mark.parametrize("lowering", ["lerp-gather", "plugin"])
@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_is_lowered_and_the_same_at_every_size(name: str, lowering: str) -> None:
    outcome, runs = judged_file(FIXTURES / name, lowering)
    assert (outcome, int(runs.split()[0]) >= len(SETS)) == ("written", True), runs


def test_a_wrong_result_is_seen() -> None:
    model = generated(0).limits.model()
    wrong = onnx.ModelProto()
    wrong.CopyFrom(model)
    node = next(node for node in wrong.graph.node if node.output[0] == "u")
    node.input[:] = list(reversed(node.input))
    assert Pair.of(model, wrong).differs(inputs(model, USUAL))
