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
from onnxgs_opt.recognition.kind import Record
from onnxgs_opt.runtime import runtime_of
from onnxgs_opt.samplers.site import AnySite
from onnxgs_opt.samplers.view import by
from onnxgs_opt.tuning.measurement import Measurement
from onnxgs_opt.tuning.nearness import RecordedCase, speaking

GAIN = 1.05
"""A recorded ratio below this is not worth a change on a machine where it cannot be measured."""

OF_KERNELS = 1.2
"""The same of samplers that are no bilinear ones: what spellings gain that are not on record is up to a fifth less."""

LOSS = 0.9
"""A lowering counts only where its recorded ratios, for scattered and for smooth coordinates, are at least this."""

OF_STATIC = 2.0
"""Cases of static models have to show so many times the gain for a dynamic one, where there are none of such.

Of resamplings there are both: there a form gains down to half as much in a dynamic model (axis-matmul of cubic ones).
"""

COORDINATES = ("ratios", "smooth")
"""The keys of a case for the ratios at scattered and at smooth coordinates; above 1 is faster than by hand."""

HOPELESS = 0.9
"""A lowering whose every recorded ratio on a target is below this is not timed there again."""


def recorded(
    site: AnySite,
    runtime: str,
    refusals: Mapping[str, str],
    *,
    is_timed: bool = False,
    sized: AnySite | None = None,
) -> tuple[str, str]:
    """The lowering that was fastest in the recorded cases that speak for a site, and where that was seen.

    `sized` is the site with the sizes that the user tells, where it has dynamic ones.

    Samplers are compared by channels and by number of points, other sums of reads by the number of elements that they
    read, resamplings by those that they make, in powers of two. Cases of normalised coordinates are for such samplers
    alone, where there are any: one node takes them as they are; likewise those of dynamic models.
    Where the whole model is timed afterwards (`is_timed`) the nearest case speaks, however far it is, and a dynamic
    size is near to any that is not small. Of a site that cannot stay it is the fastest of what is possible there,
    however that compares with what is refused. Else `speaking` says which cases have to agree.
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
    if not (leaves or is_timed):
        own = own if sized is None else replace(own, sizes=KINDS[site.kind].record(sized).sizes)
        return _by_cases(_Compared(site, own, table, record, cases), refusals)
    static = [case for case in cases if not _is_dynamic(case)] or cases
    case = min(static, key=lambda case: _distance(own.sizes, table.sizes(case), table.not_small))
    found = _Compared(site, own, table, record, [case])
    gains = found.gains(refusals, 0.0 if leaves else LOSS)
    possible = {name: gain for name, gain in gains.items() if leaves or gain >= table.gain}
    if not possible:
        return KEEP, f"nothing is faster {found.source}"
    best = max(possible, key=lambda name: possible[name])
    if leaves:
        return best, f"{refusals[KEEP]}; the fastest that is possible {found.source}"
    return best, f"about {possible[best]:.1f} times as fast {found.source}"


def _by_cases(known: _Compared, refusals: Mapping[str, str]) -> tuple[str, str]:
    """The lowering that every case that speaks for a site has as faster, by the most in the worst of them."""
    _, own, table, record, cases = known
    of_kind = [case for case in cases if _is_dynamic(case) == own.is_dynamic]
    is_kind = bool(of_kind) or table.has_both
    margin = 1.0 if is_kind else OF_STATIC
    cases, why = speaking(own.sizes, table.least, of_kind or cases, table.sizes, is_kind=is_kind)
    if not cases:
        return KEEP, f"left as exported: {why} for {record['target']}; it was not timed here"
    found = known._replace(cases=cases)
    gains = found.gains(refusals, LOSS)
    faster = {name: gain for name, gain in gains.items() if gain >= table.gain}
    possible = {name: gain / margin for name, gain in faster.items() if gain >= margin * table.gain}
    if possible:
        best = max(possible, key=lambda name: possible[name])
        most = "about" if len(cases) == 1 and margin == 1 else "at least"
        return best, f"{most} {possible[best]:.1f} times as fast {found.source}"
    if faster:
        return KEEP, f"left as exported: a dynamic model gains less than the static ones on record {found.source}"
    return KEEP, f"nothing is faster {'in each case around it ' if len(cases) > 1 else ''}{found.source}"


class _Compared(NamedTuple):
    """A site and the cases that it is compared with, of one table of a target's record."""

    site: AnySite
    own: Record
    table: _Table
    record: Mapping[str, Any]
    cases: Sequence[RecordedCase]

    def gains(self, refusals: Mapping[str, str], least: float) -> dict[str, float]:
        """The least gain that the cases have of each lowering that is not refused and that all of them have."""
        beside = self.cases if KEEP in refusals else [_beside(case, self.site) for case in self.cases]
        names = [name for name in beside[0]["ratios"] if all(name in case["ratios"] for case in beside)]
        return {name: min(_gain(case, name, least) for case in beside) for name in names if name not in refusals}

    @property
    def source(self) -> str:
        """Where that was seen, in words."""
        cases = sorted(self.cases, key=lambda case: prod(self.table.sizes(case)))
        shown = [by(case[self.table.shape]) for case in cases]
        sizes = " and ".join(shown) if len(shown) < 3 else f"{len(shown)} sizes from {shown[0]} to {shown[-1]}"
        date = max(case.get("date", self.record["date"]) for case in cases)
        where = f"{self.record['runtime']} on {self.record['machine']}, {date}"
        return f"by our benchmark at {sizes} ({where}), not timed here"


def _is_dynamic(case: RecordedCase) -> bool:
    return bool(case.get("sizes") == "dynamic")


def _beside(case: RecordedCase, site: AnySite) -> dict[str, Any]:
    """A case with ratios to the form that the site has: a GridSample node, or the hand-written one, as recorded."""
    if site.read_op != "GridSample" or case.get("read_op") == "GridSample":
        return dict(case)
    bases = {kind: case[kind].get("grid-sample") for kind in COORDINATES if kind in case}
    return {**case, **{k: {n: r / base for n, r in case[k].items()} if base else {} for k, base in bases.items()}}


def _gain(case: RecordedCase, name: str, least: float) -> float:
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

    `words` are what it has cases of. A dynamic size may be any from the one of `least` on, less than which takes
    microseconds; where the whole model is timed, from that of `not_small`, where there are any. `gain` is the least
    ratio that is worth a change; `has_both` whether the cases are of static and of dynamic models, or say which.
    """

    shape: str
    sizes: Callable[[Mapping[str, Any]], tuple[int, ...]]
    has_choice: bool
    words: str
    least: tuple[int, ...]
    not_small: tuple[int, ...] = ()
    gain: float = GAIN
    has_both: bool = False


_TABLES = {
    "cases": _Table(
        "image",
        lambda case: (case["image"][1], case["image"][0] * prod(case["points"])),
        True,
        "samplers",
        (1, 64),
        not_small=(1, 4096),
    ),
    "kernels": _Table(
        "image",
        lambda case: (case["image"][1], prod(case["points"])),
        True,
        "samplers",
        (1, 64),
        not_small=(1, 4096),
        gain=OF_KERNELS,
        has_both=True,
    ),
    "resizes": _Table("image", lambda case: (case["elements"],), True, "resamplings", (1024,), has_both=True),
    "boxes": _Table(
        "image",
        lambda case: (case["image"][1], case["boxes"] * prod(case["samples"])),
        True,
        "RoIAligns by hand",
        (1, 64),
        has_both=True,
    ),
    "deforms": _Table("image", lambda case: (case["products"],), True, "deformable convolutions", (2**18,)),
    "attentions": _Table(
        "value", lambda case: (case["value"][-1], case["samples"]), True, "deformable attention", (1, 1024)
    ),
    "reads": _Table("data", lambda case: (case["count"] * prod(case["index"]),), False, "reads of sums", (1024,)),
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
