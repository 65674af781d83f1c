from __future__ import annotations

import pytest

from tests.passes import golden


@pytest.mark.parametrize("case", golden.cases("sink-roundings"))
def test_golden(case: str) -> None:
    golden.check("sink-roundings", case)
