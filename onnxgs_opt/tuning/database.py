"""What was measured: elsewhere, in the table that comes with the tool; and here, in files of the user's cache."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from math import log2, prod, sqrt
from pathlib import Path
from typing import Any, NamedTuple

from onnxgs_opt.errors import UsageError
from onnxgs_opt.files.atomic import write_whole
from onnxgs_opt.lowering import LOWERINGS, Target
from onnxgs_opt.lowering.keep import KEEP
from onnxgs_opt.recognition import KINDS
from onnxgs_opt.runtime import runtime_of
from onnxgs_opt.samplers.site import AnySite
from onnxgs_opt.samplers.view import by
from onnxgs_opt.tuning.measurement import Measurement

GAIN = 1.05
"""A recorded ratio below this is not worth a change on a machine where it cannot be measured."""

OF_KERNELS = 1.2
"""The same of samplers that are no bilinear ones: what spellings gain that are not on record is up to a fifth less."""

LOSS = 0.9
"""A lowering counts only where its recorded ratios, for scattered and for smooth coordinates, are at least this."""

COORDINATES = ("ratios", "smooth")
"""The keys of a case for the ratios at scattered and at smooth coordinates; above 1 is faster than by hand."""

HOPELESS = 0.9
"""A lowering whose every recorded ratio on a target is below this is not timed there again."""


def recorded(site: AnySite, runtime: str, refusals: Mapping[str, str]) -> tuple[str, str]:
    """The lowering that was fastest for the recorded case nearest to a site, and where that was seen.

    Samplers are compared by channels and by number of points, other sums of reads by the number of elements that they
    read, resamplings by those that they make, in powers of two; a dynamic size is near to any that is not small. Cases
    of normalised coordinates are for such samplers alone, where there are any: one node takes them as they are.
    Of a site that cannot stay it is the fastest of what is possible, however that compares with what is refused.
    """
    leaves = KEEP in refusals
    record = next((r for r in _records() if r["target"] == runtime), {})
    own = KINDS[site.kind].record(site)
    table = _TABLES[own.table]
    known = record.get(own.table, ())
    cases = [case for case in known if case.get("read_op", "") == own.read_op] or (list(known) if leaves else [])
    alike = [case for case in cases if case.get("coordinates") == site.coordinates]
    cases = alike or [case for case in cases if "coordinates" not in case]
    if not cases:
        what = f"{own.read_op} {table.words} on " if own.read_op else ""
        return KEEP, f"it was not timed here, and nothing is recorded for {what}{runtime}"
    case = min(cases, key=lambda case: _distance(own.sizes, table.sizes(case), table.least))
    case = case if leaves else _beside(case, site)
    gains = {name: _gain(case, name, 0.0 if leaves else LOSS) for name in case["ratios"] if name not in refusals}
    possible = {name: gain for name, gain in gains.items() if leaves or gain >= table.gain}
    size = by(case[table.shape])
    where = f"{record['runtime']} on {record['machine']}, {case.get('date', record['date'])}"
    source = f"by our benchmark at {size} ({where}), not timed here"
    if not possible:
        return KEEP, f"nothing is faster {source}"
    best = max(possible, key=lambda name: possible[name])
    if leaves:
        return best, f"{refusals[KEEP]}; the fastest that is possible {source}"
    return best, f"about {possible[best]:.1f} times as fast {source}"


def _beside(case: Mapping[str, Any], site: AnySite) -> dict[str, Any]:
    """A case with ratios to the form that the site has: a GridSample node, or the hand-written one, as recorded."""
    if site.read_op != "GridSample" or case.get("read_op") == "GridSample":
        return dict(case)
    bases = {kind: case[kind].get("grid-sample") for kind in COORDINATES if kind in case}
    return {**case, **{k: {n: r / base for n, r in case[k].items()} if base else {} for k, base in bases.items()}}


def _gain(case: Mapping[str, Any], name: str, least: float) -> float:
    """The ratio to expect where nobody knows how the points lie: the geometric mean of scattered and smooth ones.

    0 where either is below `least`.
    """
    random = float(case["ratios"][name])
    smooth = float(case.get("smooth", {}).get(name, random))
    return sqrt(random * smooth) if min(random, smooth) >= least else 0.0


def hopeless(site: AnySite, runtime: str) -> tuple[str, ...]:
    """Lowerings that were clearly slower than the exported form in every recorded case of a target.

    They are left out of the race, where the slowest take the most time.
    """
    record = next((r for r in _records() if r["target"] == runtime), {})
    table = KINDS[site.kind].record(site).table
    cases = [_beside(case, site) for case in record.get(table, ())] if _TABLES[table].has_choice else []
    ratios = [case[kind] for case in cases for kind in COORDINATES if kind in case]
    names = {name for seen in ratios for name in seen}
    return tuple(sorted(n for n in names if all(seen.get(n, 0.0) < HOPELESS for seen in ratios)))


class _Table(NamedTuple):
    """How to read the cases of a table: the key of the shape that reasons name, the sizes, whether lowerings differ.

    `words` are what it has cases of. A dynamic size is taken to be at least the one of `least`, where there are any.
    `gain` is the least ratio that is worth a change.
    """

    shape: str
    sizes: Callable[[Mapping[str, Any]], tuple[int, ...]]
    has_choice: bool
    words: str = ""
    least: tuple[int, ...] = ()
    gain: float = GAIN


_TABLES = {
    "cases": _Table(
        "image", lambda case: (case["image"][1], case["image"][0] * prod(case["points"])), True, "samplers", (1, 4096)
    ),
    "kernels": _Table(
        "image", lambda case: (case["image"][1], prod(case["points"])), True, "samplers", (1, 4096), OF_KERNELS
    ),
    "resizes": _Table("image", lambda case: (case["elements"],), True, "resamplings"),
    "boxes": _Table(
        "image", lambda case: (case["image"][1], case["boxes"] * prod(case["samples"])), True, "RoIAligns by hand"
    ),
    "deforms": _Table("image", lambda case: (case["products"],), True, "deformable convolutions"),
    "attentions": _Table("value", lambda case: (case["samples"],), True, "deformable attention"),
    "reads": _Table("data", lambda case: (case["count"] * prod(case["index"]),), False, "reads of sums"),
}


@lru_cache(maxsize=1)
def _records() -> list[dict[str, Any]]:
    text = files("onnxgs_opt").joinpath("data/recorded.json").read_text(encoding="utf-8")
    loaded: list[dict[str, Any]] = json.loads(text)["records"]
    return loaded


def _distance(sizes: Sequence[int | None], others: Sequence[int], least: Sequence[int] = ()) -> float:
    taken = [max(other, low) for other, low in zip(others, least or [1] * len(others), strict=True)]
    known = [low if size is None else max(size, 1) for size, low in zip(sizes, taken, strict=True)]
    return sum(abs(log2(one / max(other, 1))) for one, other in zip(known, others, strict=True))


# -- measured here ----------------------------------------------------------------------------------

VERSION = 7
"""Raised when lowerings write something else or are run otherwise, which makes earlier measurements void."""


@dataclass(frozen=True)
class Tuning:
    """What measuring found for one signature: the fastest lowering; `keep` where none wins by more than the noise."""

    signature: str
    lowering: str
    reason: str
    measurements: tuple[Measurement, ...]


@dataclass(frozen=True)
class Cache:
    """A folder with a file for each signature that was measured on a target; without a folder it holds nothing.

    What was measured of calls from `least_s` seconds on is kept apart for each such bound: of a short call it decides
    nothing for a run that goes by the record there.
    """

    folder: Path | None
    target: Target
    least_s: float = 0.0

    def _path(self, own: str) -> Path | None:
        if self.folder is None:
            return None
        runtime, tolerances = runtime_of(self.target.runtime), (self.target.atol, self.target.rtol)
        limits = (tolerances, self.target.ops, *sorted(self.target.avoid))
        key = (own, VERSION, runtime.version(), runtime.name, runtime.device(), self.least_s, *limits)
        return self.folder / f"{sha256(repr(key).encode()).hexdigest()[:32]}.json"

    def recall(self, own: str) -> Tuning | None:
        """What an earlier run measured of a signature; a file that is no such record is as none."""
        path = self._path(own)
        with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            if path is None:
                return None
            stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            rows = tuple(Measurement(**row) for row in stored.pop("measurements"))
            known = Tuning(**stored, measurements=rows)
            if known.signature == own and known.lowering in LOWERINGS:
                return replace(known, reason=f"{known.reason} (measured earlier)")
        return None

    def remember(self, result: Tuning) -> None:
        """Keep a measurement for later runs."""
        path = self._path(result.signature)
        if path is None:
            return
        with suppress(OSError, UsageError):  # a cache that cannot be written is no reason to fail
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps(asdict(result)).encode())
