"""What was measured elsewhere: the table that `auto` goes by where it cannot measure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from math import log2, prod
from typing import Any

from onnxgs_opt.site import AnySite, Site

KEEP = "keep"
GAIN = 1.05
"""A recorded ratio below this is not worth a change on a machine where it cannot be measured."""


def recorded(site: AnySite, runtime: str, refusals: Mapping[str, str]) -> tuple[str, str]:
    """The lowering that was fastest for the recorded case nearest to a site, and where that was seen.

    Cases are compared by channels and by number of points, in powers of two; a dynamic size is near to any.
    """
    record = next((r for r in _records() if r["target"] == runtime), None)
    if record is None or not isinstance(site, Site):
        return KEEP, f"nothing was measured, and nothing is recorded for {runtime}"
    case = min(record["cases"], key=lambda case: _distance(site, case))
    possible = {name: ratio for name, ratio in case["ratios"].items() if name not in refusals and ratio >= GAIN}
    where = f"{record['runtime']} on {record['machine']}, {record['date']}"
    size = "x".join(map(str, case["image"]))
    if not possible:
        return KEEP, f"nothing that is possible here was faster at {size} in the recorded run ({where})"
    best = max(possible, key=lambda name: possible[name])
    return best, f"recorded for {runtime}, not measured here: {possible[best]:.1f} times as fast at {size} ({where})"


@lru_cache(maxsize=1)
def _records() -> list[dict[str, Any]]:
    text = files("onnxgs_opt").joinpath("data/recorded.json").read_text(encoding="utf-8")
    loaded: list[dict[str, Any]] = json.loads(text)["records"]
    return loaded


def _distance(site: Site, case: Mapping[str, Any]) -> float:
    sizes = (site.batch, *site.sample_size)
    points = None if None in sizes else prod(size for size in sizes if size is not None)
    batch, channels = case["image"][:2]
    return _apart(site.channels, channels) + _apart(points, batch * prod(case["points"]))


def _apart(size: int | None, other: int) -> float:
    return 0.0 if size is None else abs(log2(max(size, 1) / max(other, 1)))
