"""Operators that runtimes lack which cannot be measured here: `--avoid @coreml` names all that one of them lacks.

Only those by which lowerings differ are listed: reads, sums of reads, and Floor. What all forms have decides nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from onnxgs_opt.errors import UsageError

MARK = "@"
"""What the name of a runtime begins with where operators are named."""


@dataclass(frozen=True)
class Lacking:
    """What one runtime lacks: its name and version, the operators, what else is to be known, and where that is said."""

    runtime: str
    operators: tuple[str, ...]
    remark: str
    source: str


@lru_cache(maxsize=1)
def lacking() -> Mapping[str, Lacking]:
    """The table, by the names that `--avoid` takes."""
    text = files("onnxgs_opt").joinpath("data/lacking.json").read_text(encoding="utf-8")
    rows = json.loads(text)["runtimes"]
    return {name: Lacking(**{**row, "operators": tuple(row["operators"])}) for name, row in rows.items()}


def spelt_out(names: Iterable[str]) -> frozenset[str]:
    """Operators, with those that a runtime lacks in the place of `@RUNTIME`.

    Raises:
        UsageError: Nothing is known of a runtime.
    """
    found: set[str] = set()
    for name in names:
        if not name.startswith(MARK):
            found.add(name)
        elif (row := lacking().get(name[1:])) is not None:
            found.update(row.operators)
        else:
            raise UsageError(f"--avoid {name}: nothing is known of that runtime", f"one of @{', @'.join(lacking())}")
    return frozenset(found)
