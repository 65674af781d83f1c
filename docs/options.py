"""Write the tables of the options into docs/usage.md: python docs/options.py, from the repository's root."""

from __future__ import annotations

import re
from pathlib import Path

from onnxgs_opt.cli_options import GROUPS
from onnxgs_opt.options import Spec, options_of

PAGE = Path(__file__).parent / "usage.md"
PART = re.compile(r"(?<=<!-- options -->\n).*(?=<!-- /options -->)", re.DOTALL)
BEFORE = {"Engine": "With TensorRT installed, OUT may be built into an engine as well ([TensorRT](tensorrt.md)).\n\n"}
AFTER = {"About": "| `--version`, `--help` | The version; all options. |\n"}


def page() -> str:
    """The page as it should be."""
    tables = "".join(f"\n### {group}\n\n{BEFORE.get(group, '')}{table(group)}" for group in GROUPS)
    return PART.sub(lambda _: f"{tables}\n", PAGE.read_text(encoding="utf-8"))


def table(group: str) -> str:
    """One group's options: their names, and what they mean."""
    specs = [option.metadata["spec"] for option in options_of(group)]
    rows = [f"| {names(spec)} | {' '.join(filter(None, (spec.help, spec.more)))} |\n" for spec in specs if spec.flags]
    return f"| option | meaning |\n|---|---|\n{''.join(rows)}{AFTER.get(group, '')}"


def names(spec: Spec) -> str:
    """What an option is called, with its value."""
    value = spec.metavar or ("FILE" if spec.path else "")
    return ", ".join(f"`{f'{flag} {value}'.strip()}`" for flag in spec.flags)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
