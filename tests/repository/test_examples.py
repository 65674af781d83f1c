"""The examples work, and the reports under docs/examples are what the tool makes today."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
REPORTS = REPOSITORY / "docs" / "examples"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    command = [sys.executable, str(REPORTS / "make.py"), str(folder)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    return folder


def words(html: str) -> str:
    """What a reader sees, numbers apart: their last digits are the machine's, the places of the boxes Graphviz's."""
    body = re.sub(r"<(style|script)>.*?</\1>|<summary>How this report.*?</details>", "", html, flags=re.DOTALL)
    return re.sub(r"[\d.]+(e[+-]\d+)?", "#", " ".join(re.sub("<[^>]*>", " ", body).split()))


def test_every_example_report_is_made_by_the_script(made: Path) -> None:
    endings = (".html", ".sarif")
    assert {p.name for p in made.iterdir()} == {p.name for p in REPORTS.iterdir() if p.suffix in endings}
    assert len(list(made.iterdir())) == 2 * 3


def test_the_sarif_examples_are_up_to_date(made: Path) -> None:
    for path in made.glob("*.sarif"):
        committed = (REPORTS / path.name).read_text(encoding="utf-8")
        assert words(committed) == words(path.read_text(encoding="utf-8")), f"make examples, for {path.name}"
        assert json.loads(committed)["runs"][0]["invocations"][0]["executionSuccessful"]


def test_the_html_examples_are_up_to_date(made: Path) -> None:
    for path in made.glob("*.html"):
        committed = (REPORTS / path.name).read_text(encoding="utf-8")
        assert words(committed) == words(path.read_text(encoding="utf-8")), f"make examples, for {path.name}"


def test_the_export_pipeline_runs_or_says_why_not() -> None:
    script = REPOSITORY / "examples" / "export_pipeline.py"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    if importlib.util.find_spec("torch") is None:
        assert done.stdout.startswith("skipped: torch is not installed")
    else:
        assert "site0: border bilinear sampling of image" in done.stdout
        assert "max |error| against PyTorch" in done.stdout
