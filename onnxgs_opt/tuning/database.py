"""What was measured elsewhere: the table that `auto` goes by where it cannot measure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from math import log2, prod, sqrt
from typing import Any

from onnxgs_opt.samplers.site import AnySite, Site

KEEP = "keep"
GAIN = 1.05
"""A recorded ratio below this is not worth a change on a machine where it cannot be measured."""

LOSS = 0.9
"""What gains for one kind of coordinates may lose this much for the other."""

KINDS = ("ratios", "smooth")
"""What is recorded of scattered and of smooth coordinates."""

HOPELESS = 0.9
"""A lowering that never came near the exported form's speed is not tried again on the same target."""


def recorded(site: AnySite, runtime: str, refusals: Mapping[str, str]) -> tuple[str, str]:
    """The lowering that was fastest for the recorded case nearest to a site, and where that was seen.

    Samplers are compared by channels and by number of points, other sums of reads by the number of elements that they
    read, in powers of two; a dynamic size is near to any.
    """
    record = next((r for r in _records() if r["target"] == runtime), {})
    cases = [case for case in record.get(_kind(site), ()) if case.get("read_op", "") == _read_op(site)]
    if not cases:
        what = "" if isinstance(site, Site) else f"{site.read_op} reads of sums on "
        return KEEP, f"nothing was measured, and nothing is recorded for {what}{runtime}"
    case = _beside(min(cases, key=lambda case: _distance(site, case)), site)
    gains = {name: _gain(case, name) for name in case["ratios"] if name not in refusals}
    possible = {name: gain for name, gain in gains.items() if gain >= GAIN}
    where = f"{record['runtime']} on {record['machine']}, {case.get('date', record['date'])}"
    size = "x".join(map(str, case["image"] if isinstance(site, Site) else case["data"]))
    if not possible:
        return KEEP, f"nothing that is possible here was faster at {size} in the recorded run ({where})"
    best = max(possible, key=lambda name: possible[name])
    ratio = f"{possible[best]:.1f} times as fast at {size}{_by_kind(case, best)}"
    return best, f"recorded for {runtime}, not measured here: {ratio} ({where})"


def _beside(case: Mapping[str, Any], site: AnySite) -> dict[str, Any]:
    """A case with ratios to what the site is: they are recorded as ratios to the hand-written form."""
    if site.rule != "GSO002":
        return dict(case)
    bases = {kind: case[kind].get("grid-sample") for kind in KINDS if kind in case}
    return {**case, **{k: {n: r / base for n, r in case[k].items()} if base else {} for k, base in bases.items()}}


def _gain(case: Mapping[str, Any], name: str) -> float:
    """What to expect where nobody knows how the points lie: the mean of scattered and smooth ones.

    0 where one of the two loses more than a little.
    """
    random = float(case["ratios"][name])
    smooth = float(case.get("smooth", {}).get(name, random))
    return sqrt(random * smooth) if min(random, smooth) >= LOSS else 0.0


def _by_kind(case: Mapping[str, Any], name: str) -> str:
    if name not in case.get("smooth", {}):
        return ""
    return f", {case['smooth'][name]:.1f} where neighbouring points lie together, {case['ratios'][name]:.1f} scattered"


def hopeless(site: AnySite, runtime: str) -> tuple[str, ...]:
    """Lowerings that were clearly slower than the exported form in every recorded case of a target.

    To measure them costs more time than any other, and never paid.
    """
    record = next((r for r in _records() if r["target"] == runtime), {})
    cases = [_beside(case, site) for case in record.get(_kind(site), ())] if isinstance(site, Site) else []
    ratios = [case[kind] for case in cases for kind in KINDS if kind in case]
    names = {name for seen in ratios for name in seen}
    return tuple(sorted(n for n in names if all(seen.get(n, 0.0) < HOPELESS for seen in ratios)))


def _kind(site: AnySite) -> str:
    return "cases" if isinstance(site, Site) else "reads"


def _read_op(site: AnySite) -> str:
    return "" if isinstance(site, Site) else site.read_op


@lru_cache(maxsize=1)
def _records() -> list[dict[str, Any]]:
    text = files("onnxgs_opt").joinpath("data/recorded.json").read_text(encoding="utf-8")
    loaded: list[dict[str, Any]] = json.loads(text)["records"]
    return loaded


def _distance(site: AnySite, case: Mapping[str, Any]) -> float:
    if not isinstance(site, Site):
        index = site.shapes[0][1]
        return _apart(len(site.reads) * prod(index), case["count"] * prod(case["index"]))
    sizes = (site.batch, *site.sample_size)
    points = None if None in sizes else prod(size for size in sizes if size is not None)
    batch, channels = case["image"][:2]
    return _apart(site.channels, channels) + _apart(points, batch * prod(case["points"]))


def _apart(size: int | None, other: int) -> float:
    return 0.0 if size is None else abs(log2(max(size, 1) / max(other, 1)))
