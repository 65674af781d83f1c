"""Every code that the package can say is explained, and each explanation is complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from onnxgs_opt.diagnostics import CODES, Code

PACKAGE = Path(__file__).parent.parent / "onnxgs_opt"
WRITTEN = re.compile(r"\bGSO\d{3}\b")


@pytest.mark.parametrize("entry", CODES.values(), ids=list(CODES))
def test_code_is_complete(entry: Code) -> None:
    assert re.fullmatch(r"GSO[012]\d{2}", entry.code)
    assert entry.title == entry.title.strip()
    assert not entry.title.endswith(".")
    for sentence in (entry.meaning, entry.action):
        assert sentence.endswith(".")
        assert sentence.isprintable()


def test_codes_are_in_order_and_titles_differ() -> None:
    assert list(CODES) == sorted(CODES)
    titles = [entry.title for entry in CODES.values()]
    assert len(set(titles)) == len(titles)


def test_every_code_in_the_sources_is_explained() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    assert set(WRITTEN.findall(sources)) <= CODES.keys()
