"""A sample of the planted faults; `make planted` tries all of them in four sites."""

from __future__ import annotations

import pytest

from onnxgs_opt.validation.check import SiteCheck
from tests.campaigns.planted import BEYOND, Planted, checks, slipped

SAMPLE = [
    "W > 1024",
    "H > W",
    "(H == W) & (H >= 4)",
    "n == 7",
    "k >= 1000",
    "x == 2.5",
    "abs(x) > 20000",
    "x = least(x, 99)",
]


@pytest.fixture(scope="module")
def site() -> dict[str, SiteCheck]:
    name = "masked_interior.ts17.dyn"
    return {name: checks([name])[name]}


@pytest.mark.parametrize("fault", SAMPLE)
def test_a_planted_fault_is_found(fault: str, site: dict[str, SiteCheck]) -> None:
    assert slipped(fault, site) == []


def test_what_is_planted_is_right_elsewhere(site: dict[str, SiteCheck]) -> None:
    assert [seen.compare(Planted(BEYOND[0])).status for seen in site.values()] == ["ok"]
