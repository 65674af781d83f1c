"""No file is lost, whatever the command is told to write where."""

from __future__ import annotations

import pytest

from tests.campaigns.reliability import faults
from tests.campaigns.reliability.files import Scenario, prepare, run, scenarios


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> None:
    prepare()


@pytest.mark.parametrize("one", scenarios(), ids=lambda one: one.name)
def test_nothing_is_lost(one: Scenario) -> None:
    assert run(one) == ""


def test_two_models_with_data_of_one_name_at_once() -> None:
    """One is written; the other is refused, or finds its own bytes there."""
    assert faults.rivals(3).broken == []
