"""What the values of options say: words and codes in a list, paths, and sizes of memory."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

from onnxgs_opt.errors import UsageError
from onnxgs_opt.options.spec import PathLike

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def words(given: Sequence[str]) -> tuple[str, ...]:
    """Words that were given one by one or with commas between."""
    listed = (given,) if isinstance(given, str) else given
    return tuple(word.strip() for each in listed for word in each.split(",") if word.strip())


def codes(given: Sequence[str]) -> tuple[str, ...]:
    """Codes that were given one by one or with commas between."""
    return tuple(code.upper() for code in words(given))


def unknown_codes(given: Sequence[str]) -> list[str]:
    """Those with which no code begins."""
    from onnxgs_opt.diagnostics import CODES

    return [text for text in codes(given) if not any(code.startswith(text) for code in CODES)]


def paths(value: Any) -> tuple[PathLike, ...]:
    """The paths that are named: none, one, or several; a model in memory is no path."""
    if isinstance(value, str | os.PathLike):
        return (value,)
    return tuple(value) if isinstance(value, tuple | list) else ()


def size_in_bytes(option: str, text: str) -> int:
    """A size of memory; UsageError where it is none."""
    found = re.fullmatch(r"(\d+)([KMG]?)i?B?", text, re.IGNORECASE)
    if found is None:
        raise UsageError(f"{option} {text} is no size", "write it as 512M or 2G")
    return int(found[1]) * _UNITS[found[2].upper()]
