"""README and the documentation: links lead somewhere, and every option that the program has is documented."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from onnxgs_opt import cli
from onnxgs_opt.diagnostics import CODES
from onnxgs_opt.report.model import EXIT_CODES

REPOSITORY = Path(__file__).parents[2]
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
GUIDES = sorted((REPOSITORY / "docs").glob("writing-a-*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_option_is_documented() -> None:
    page = (REPOSITORY / "docs" / "usage.md").read_text(encoding="utf-8")
    options = [param.opts for param in cli.command.params if param.param_type_name == "option"]
    assert [names for names in options if not any(f"`{name}" in page for name in names)] == []


def test_every_status_is_documented_with_its_exit_code() -> None:
    page = (REPOSITORY / "docs" / "usage.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \| .* \| (\d) \|$", page, re.MULTILINE)
    assert {status: int(code) for status, code in rows} == EXIT_CODES


def test_parts_made_from_the_code_are_what_the_code_says() -> None:
    made = runpy.run_path(str(REPOSITORY / "docs" / "generate.py"))["pages"]()
    by_code = {f"{code}.md" for code in CODES}
    assert by_code == {page.name for page in (REPOSITORY / "docs" / "codes").iterdir()}
    assert {page.name for page in made} - by_code == {
        "usage.md",
        "samplers.md",
        "codes.md",
        "runtimes.md",
        *(p.name for p in GUIDES),
    }
    old = [page.name for page, text in made.items() if page.read_text(encoding="utf-8") != text]
    assert old == [], "python docs/generate.py writes them anew"


@pytest.mark.parametrize("guide", GUIDES, ids=lambda page: page.stem)
def test_an_example_is_a_file_of_at_most_forty_lines(guide: Path) -> None:
    (example,) = re.findall(r"<!-- (\w[\w/]+\.py) -->", guide.read_text(encoding="utf-8"))
    assert len((REPOSITORY / example).read_text(encoding="utf-8").splitlines()) <= 40
