"""Write the parts of the pages that are made from the code: python docs/generate.py, from the repository's root.

A part stands between `<!-- NAME -->` and `<!-- /NAME -->`; where NAME ends in .py it is that file as it is.
Each code has a page of its own below codes/.
"""

from __future__ import annotations

import re
from pathlib import Path

from onnxgs_opt.cli.given import GROUPS
from onnxgs_opt.diagnostics import CODES, Code
from onnxgs_opt.options import options_of
from onnxgs_opt.options.spec import Spec
from onnxgs_opt.runtime.lacking import lacking

DOCS = Path(__file__).parent
PART = re.compile(r"(?<=<!-- )(?P<name>[\w/.-]+)( -->\n).*?(?=<!-- /(?P=name) -->)", re.DOTALL)
BEFORE = {"Engine": "With TensorRT installed, OUT may be built into an engine as well ([TensorRT](tensorrt.md)).\n\n"}
FAMILIES = {
    "0": (
        "A rule: what it names was found, and proven to be what it says.",
        "In SARIF it is a note, and a warning where the run fails for it.",
    ),
    "1": (
        "A near-miss: it looks like a sampler and stays as exported, because it was not proven to be one.",
        "In SARIF it is a note, and a warning where the run fails for it.",
    ),
    "2": ("A hazard: legal in the model, and wrong in some runtime or for some values.", "In SARIF it is a warning."),
}
"""By a code's first digit: what kind of code it is, and how SARIF ranks it."""
AFTER = {"Output": "| `--version`, `--help` | The version; all options. |\n"}


def pages() -> dict[Path, str]:
    """The pages that have such parts, as they should be."""
    texts = {page: page.read_text(encoding="utf-8") for page in sorted(DOCS.glob("*.md"))}
    parts = {page: PART.sub(_written, text) for page, text in texts.items() if PART.search(text)}
    return parts | {DOCS / "codes" / f"{code}.md": code_page(entry) for code, entry in CODES.items()}


def _written(part: re.Match[str]) -> str:
    name = part["name"]
    return f"{name}{part[2]}{file(name) if name.endswith('.py') else TABLES[name]()}"


def file(name: str) -> str:
    """A file as a block of code."""
    text = (DOCS.parent / name).read_text(encoding="utf-8")
    return f"\n`{name}`:\n\n```python\n{text}```\n\n"


def code_page(entry: Code) -> str:
    """What one code means and what to do, as a page."""
    what, level = FAMILIES[entry.code[3]]
    return f"""# {entry.code}: {entry.title}

{what}

{entry.meaning}

## What to do

{entry.action}

## In CI

{level} `--fail-on {entry.code}` makes the run fail where it occurs, `--ignore {entry.code}` leaves it out:
[CI recipes](../ci.md). `onnxgs-opt --explain {entry.code}` prints this page's text. [All codes](../codes.md).
"""


def codes() -> str:
    """Every code with its page."""
    rows = [f"| [{code}](codes/{code}.md) | {entry.title} |\n" for code, entry in CODES.items()]
    return f"\n| code | title |\n|---|---|\n{''.join(rows)}\n"


def refusals() -> str:
    """The codes of near-misses, and what each means."""
    rows = [f"| {code} | {entry.title} | {entry.meaning} |\n" for code, entry in CODES.items() if code[3] == "1"]
    return f"\n| code | title | what failed |\n|---|---|---|\n{''.join(rows)}\n"


def options() -> str:
    """A table of options for each group."""
    return "".join(f"\n### {group}\n\n{BEFORE.get(group, '')}{table(group)}" for group in GROUPS) + "\n"


def table(group: str) -> str:
    """One group's options: their names, and what they mean."""
    specs = [option.metadata["spec"] for option in options_of(group)]
    rows = [f"| {names(spec)} | {' '.join(filter(None, (spec.help, spec.more)))} |\n" for spec in specs if spec.flags]
    return f"| option | meaning |\n|---|---|\n{''.join(rows)}{AFTER.get(group, '')}"


def names(spec: Spec) -> str:
    """What an option is called, with its value."""
    value = spec.metavar or ("FILE" if spec.path else "")
    return ", ".join(f"`{f'{flag} {value}'.strip()}`" for flag in spec.flags)


def lacking_operators() -> str:
    """What runtimes lack that cannot be measured here."""
    rows = [
        f"| `--avoid @{name}` | {row.runtime} | {', '.join(row.operators) or 'none'} | {row.remark} | {row.source} |\n"
        for name, row in lacking().items()
    ]
    return f"\n| option | runtime | lacks | besides | source |\n|---|---|---|---|---|\n{''.join(rows)}\n"


TABLES = {"lacking": lacking_operators, "codes": codes, "options": options, "refusals": refusals}

if __name__ == "__main__":
    for page, text in pages().items():
        page.parent.mkdir(exist_ok=True)
        page.write_text(text, encoding="utf-8")
