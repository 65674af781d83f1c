"""docs/operators.md has every operator of ONNX once, in the part that is true of it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import onnx
import pytest

from onnxgs_opt.passes.simplify_operators import SIMPLIFIED
from onnxgs_opt.recognition.grid_sample import OP as GRID_SAMPLE
from onnxgs_opt.recognition.lifting.lift import RULES

PAGE = Path(__file__).parents[3] / "docs" / "operators.md"
VALUES = {"Constant", "Shape", "Size"}


def listed(part: str) -> list[str]:
    """The operators of the first column of one part of the page."""
    text = PAGE.read_text().split(f"## {part}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([^|]*) \|", text, re.MULTILINE)
    return [name for row in rows[1:] for name in row.split(", ")]


def test_every_operator_is_there_once():
    counts = Counter(name for part in ("Looked through", "Replaced before", "Leaves, and why") for name in listed(part))
    known = {schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""}
    assert {name: count for name, count in counts.items() if count > 1} == {}
    assert (set(counts) - known, known - set(counts)) == (set(), set())


@pytest.mark.parametrize(
    ("part", "names"),
    [("Looked through", set(RULES)), ("Replaced before", set(SIMPLIFIED) | VALUES | {GRID_SAMPLE})],
)
def test_it_is_where_the_program_has_it(part, names):
    assert set(listed(part)) == names
