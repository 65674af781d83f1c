"""README and the documentation: links lead somewhere, and every option that the program has is documented."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from onnxgs_opt import cli

REPOSITORY = Path(__file__).parents[2]
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_option_is_documented() -> None:
    page = (REPOSITORY / "docs" / "usage.md").read_text(encoding="utf-8")
    options = [param.opts for param in cli.command.params if param.param_type_name == "option"]
    assert [names for names in options if not any(f"`{name}" in page for name in names)] == []


def test_the_tables_of_the_options_are_what_the_program_says() -> None:
    made = runpy.run_path(str(REPOSITORY / "docs" / "options.py"))["page"]()
    page = (REPOSITORY / "docs" / "usage.md").read_text(encoding="utf-8")
    assert page == made, "python docs/options.py writes them anew"
