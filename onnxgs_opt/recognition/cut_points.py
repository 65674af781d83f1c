"""Where a lift ends, and where else it might after a miss."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.ir.operators import ARITHMETIC, COPIES, MOVES, READS, operator
from onnxgs_opt.recognition.algebra.expression import walk
from onnxgs_opt.recognition.lifting.lift import Element, Known, Lift
from onnxgs_opt.recognition.lifting.rule import Index
from onnxgs_opt.recognition.lifting.shape_functions import Fact
from onnxgs_opt.recognition.lifting.windows import SHIFTS
from onnxgs_opt.recognition.match import Miss

IMAGE_MISSES = frozenset(("GSO102", "GSO104", "GSO108", "GSO114"))
"""Misses that may be of the image's layout: seen at a tensor further down, the reads may make sense."""

SEVERAL = "GSO104"
"""The miss of several images: cut at a tensor further down, one is left only if every read goes through it."""

COORDINATE_MISSES = frozenset(("GSO102", "GSO103", "GSO108", "GSO109"))
"""Misses that may be of how a coordinate is made: clamped, mirrored or mixed before it is rounded."""


TABULATES = (ARITHMETIC | COPIES | SHIFTS.keys()) - READS
"""What may be between an image and a table made of it, of which a read takes the place of two."""

MAX_TABLE = 24
"""Tensors behind such a table that are looked at."""


@dataclass(frozen=True)
class Cuts:
    """Where the lift ends: by default nowhere, it goes as far as it can.

    `stop` is the image, seen as `split` if its pixels are one axis; `coordinates` ends it where these are rounded, or
    if they are to be `apart` before a Reshape in front of that, which put the points of several axes into one.
    `first`: of these only what is made of nothing rounded, and not what a mirrored index is divided to.
    `kept`: of these not what whole numbers are divided to, as the next column of a row that ends where it begins.
    `through`: what is read may be computed from reads, as rows are that are put together before their columns are read.
    `grids`: what is added to floors belongs to the coordinates. `counted`: these are whole numbers, so many a pixel.
    """

    stop: str | None = None
    split: tuple[int, tuple[int, ...]] | None = None
    coordinates: bool = False
    apart: bool = False
    first: bool = False
    kept: bool = False
    through: bool = False
    grids: bool = False
    counted: bool = False

    def lift(
        self, scope: Scope, facts: Mapping[str, Fact], output: str, samples: frozenset[str], bounded: bool = True
    ) -> Lift:
        """A lift that ends there; coordinates and their bounds are found by lifting `output` once before.

        `samples` are results of sites that are known already: what computes them is not looked at. Where it is not
        `bounded`, coordinates may be any numbers.
        """
        stops = frozenset(() if self.stop is None else (self.stop,))
        splits = {} if self.stop is None or self.split is None else {self.stop: self.split}
        first = Lift(scope, facts, stops, splits, ends=samples, through=self.through)
        if not self.coordinates and not self.counted:
            return first
        first.root(output)
        if self.counted:
            return Lift(scope, facts, stops, splits, _any(first.counted(), bounded), samples, self.through)
        left = (first.rounded_again if self.first else set()) | (first.divided if self.kept else set())
        rounded = {e: bounds for e, bounds in first.rounded.items() if e not in left}
        ends = {first.unmerged.get(e, e) if self.apart else e: bounds for e, bounds in rounded.items()}
        made = Lift(scope, facts, stops, splits, _any(ends, bounded), samples, self.through)
        made.remainders = first.remainders
        return made


def _any(ends: Mapping[Element, Known], bounded: bool) -> Mapping[Element, Known]:
    return ends if bounded else {end: known._replace(lo=None, hi=None) for end, known in ends.items()}


def other_cuts(cuts: Cuts, miss: Miss, lift: Lift) -> list[Cuts]:
    """How else to look at what was missed: with the image or the coordinates cut further down the graph."""
    out = []
    if miss.degenerate and not cuts.through:
        out.append(replace(cuts, through=True))
    table = _tabulated(lift) if miss.code == SEVERAL and cuts.stop is None and not cuts.through else None
    if table is not None:
        out.append(replace(cuts, through=True, stop=table))
    if miss.split is not None and cuts.split is None:
        out.append(replace(cuts, stop=miss.split[0], split=miss.split[1:]))
    if miss.code in COORDINATE_MISSES and not (cuts.coordinates or cuts.counted) and lift.rounded:
        kept = bool(lift.divided) and not lift.rounded.keys() <= lift.divided
        if lift.unmerged:
            out.append(replace(cuts, coordinates=True, apart=True))
        out.append(replace(cuts, coordinates=True, kept=kept))
        if not lift.rounded.keys() <= lift.rounded_again:
            out += [replace(cuts, coordinates=True, first=True)] if lift.rounded_again else []
    if miss.code in COORDINATE_MISSES and not cuts.coordinates and not cuts.counted and lift.counted():
        out.append(replace(cuts, counted=True))
    if miss.code in IMAGE_MISSES and cuts.stop is None:
        levels = [level for level in reversed(lift.levels) if level not in lift.images]
        common = _before_every_read(lift) if miss.code == SEVERAL else levels
        out += [replace(cuts, stop=level) for level in levels if level in common]
    if miss.beside and not cuts.grids:
        out.append(replace(cuts, grids=True))
    return out


def _tabulated(lift: Lift) -> str | None:
    """The last tensor that all of the images are made of alone: of its pixels and their differences, say."""
    images = sorted(lift.images)
    common = set[str].intersection(*(set(_behind(lift, image)) for image in images)) if images else set()
    for name in sorted(common, key=lift.place_of, reverse=True):
        ends = {end for image in images for end, is_end in _behind(lift, image, name).items() if is_end}
        if ends == {name}:
            return name
    return None


def _behind(lift: Lift, image: str, source: str = "") -> dict[str, bool]:
    """The tensors that an image is computed of, as far as a table of differences goes, and whether that ends there.

    It ends at the `source`. Tables that are fixed are left out.
    """
    seen: dict[str, bool] = {}
    pending = deque([image])
    while pending and len(seen) < MAX_TABLE:
        name = pending.popleft()
        if name in seen or lift.is_fixed(name):
            continue
        node = None if name == source else lift.maker(name)
        seen[name] = node is None or operator(node) not in TABULATES
        if node is not None and not seen[name]:
            pending += [t.name for t in (node.inputs[:1] if operator(node) in MOVES else node.inputs) if t.name]
    return seen | dict.fromkeys(pending, True)


def _before_every_read(lift: Lift) -> frozenset[str]:
    """The tensors that each read is pulled through, on all ways to where it ends."""
    values = lift.values
    root = values[next(reversed(values))]
    reads = {e for e in walk((root,)) if e.is_read}
    before: dict[tuple[str, Index] | None, frozenset[str]] = {None: frozenset()}
    ends: list[frozenset[str]] = []
    for key, value in reversed(values.items()):  # askers first
        ways = [before[asker] for asker in lift.askers[key] if asker in before]
        if not ways:
            continue  # it was asked for by what became a leaf after all
        name, index = key
        passed = frozenset.intersection(*ways)
        if value.op != "elem" or value.args[0] != name:
            before[key] = passed | {name} if any(i.leaves for i in index) else passed
        elif value in reads:
            ends.append(passed)
    return frozenset(lift.levels).intersection(*ends)
