"""A claim at every size that is asked for: by one formula, or, between sizes that the user states, by several."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property

import numpy as np

from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.recognition.claims import Claim
from onnxgs_opt.recognition.every_size import CODE, EverySize
from onnxgs_opt.recognition.least_sizes import shrunk
from onnxgs_opt.recognition.lifting.dynamic_dims import Box, SizeSets
from onnxgs_opt.recognition.lifting.shape_functions import Fact
from onnxgs_opt.recognition.lifting.size_values import Break
from onnxgs_opt.recognition.match import Miss, Stage
from onnxgs_opt.recognition.stated import excluded
from onnxgs_opt.samplers.site import Domain, SizeRange

MOST_PARTS = 64
"""Parts of the stated ranges that one claim is proven on, each as much work as a model without ranges."""

UNLIKE = "GSO113"
"""The code of a claim that is another one at other sizes."""

Look = Callable[[Mapping[str, Fact], Claim], "Claim | Miss"]
"""What a claim's output computes where facts are others."""


class SizeClaims:
    """The claims of one graph, held against the sizes in `box`, which is empty where every size is meant.

    `narrowed` gives the sets of sizes of a part of it. `shrunk` are images and coordinates of claims that do not hold,
    which have one element along an axis at the smallest sizes.
    """

    def __init__(
        self, scope: Scope, sizes: SizeSets, box: Box, look: Look, narrowed: Callable[[Box], SizeSets]
    ) -> None:
        self._scope, self._sizes, self._box, self._look, self._narrowed = scope, sizes, box, look, narrowed
        self._parts: dict[tuple[tuple[str, tuple[int, int]], ...], _Part] = {}
        self.shrunk: set[str] = set()

    def held(self, claim: Claim) -> Claim | Miss:
        """A claim at all sizes, of pixels where units have no name at some of them; or what keeps it from holding."""
        changes = self.changes(claim)
        plain = claim.in_pixels() if changes is not None and changes.code == UNLIKE else None
        if plain is not None and self.changes(plain) is None:
            claim, changes = plain, None
        miss = changes or excluded(self._sizes, self.domain(claim), claim.placement.image)
        return claim if miss is None else replace(miss, stage=Stage.OPERANDS)

    def changes(self, claim: Claim) -> Miss | None:
        """What keeps a claim from holding at all sizes, None where nothing does."""
        if not self._sizes.are_dynamic:
            return None
        found = self._whole.changes(claim, self._look, first=1)
        if found is not None:
            views = (claim.placement.image, *claim.placement.operands)
            ends = self._sizes.facts(0), self._sizes.facts(len(self._sizes.near) - 1)
            self.shrunk.update(shrunk((view.tensor for view in views), *ends))
        holds = found is None or (self._box and self._holds_on_parts(claim, found[1]))
        return None if found is None or holds else found[0]

    def domain(self, claim: Claim) -> Domain:
        """The sizes that the proof covers: those that are stated, and the names of those of image and coordinates."""
        if not self._sizes.are_dynamic:
            return Domain()
        views = claim.placement.image, claim.placement.operands
        proven = self._whole.every.domain(*views, claim.exact_below)
        named = {size.name: size for size in proven.sizes}
        aliases = {name for size in proven.sizes for name in size.also}  # of which the box says the same
        for name, (lo, hi) in self._box.items():
            if name in aliases:
                continue
            own = named.get(name, SizeRange(name))
            named[name] = replace(own, at_least=lo, at_most=hi if own.at_most is None else min(hi, own.at_most))
        return replace(proven, sizes=tuple(named.values()))

    @cached_property
    def _whole(self) -> _Part:
        return _Part(self._scope, self._sizes)

    def _holds_on_parts(self, claim: Claim, why: Break | None) -> bool:
        """Whether it is one and the same claim on parts of the box, which is cut where a formula changes."""
        pending = [*_halves(self._box, why)]
        count = len(pending)
        if not pending:
            return False
        while pending:
            box = pending.pop()
            part = self._part(box)
            if not part.sizes.is_apart(self._sizes):
                return False
            found = part.changes(claim, self._look, first=0)
            if found is None:
                continue
            halves = _halves(box, found[1])
            count += len(halves)
            if not halves or count > MOST_PARTS:
                return False
            pending += halves
        return True

    def _part(self, box: Box) -> _Part:
        key = tuple(sorted(box.items()))
        if key not in self._parts:
            self._parts[key] = _Part(self._scope, self._narrowed(box))
        return self._parts[key]


class _Part:
    """A range for every size that has one, and what is known of the graph there."""

    def __init__(self, scope: Scope, sizes: SizeSets) -> None:
        self._scope, self.sizes = scope, sizes

    @cached_property
    def every(self) -> EverySize:
        """Its sizes as symbols."""
        return EverySize(self._scope, self.sizes)

    def changes(self, claim: Claim, look: Look, first: int) -> tuple[Miss, Break | None] | None:
        """What keeps a claim from holding here; `first` is the first of the sets of sizes that it is not known at."""
        broken = self.every.broken(claim.output, claim.placement.image, claim.placement.operands)
        half = any(self.sizes.facts(0)[v.tensor].dtype == np.float16 for v in claim.placement.coordinate_views)
        sets = [*range(first, 1), *self.sizes.others(half)]
        misses = (miss for k in sets if (miss := self._at(k, claim, look)) is not None)
        if broken is not None:
            return Miss(f"at '{broken.node}' {broken.why}", 4, CODE), broken
        miss = next(misses, None)
        return None if miss is None else (miss, None)

    def _at(self, k: int, claim: Claim, look: Look) -> Miss | None:
        """Prove the same at the sizes of number `k`; None when it holds there too, else the miss."""
        facts, at = self.sizes.facts(k), self.sizes.at(k)
        result = look(facts, claim)
        if isinstance(result, Miss):
            if (result.degenerate or _is_one_difference(facts, claim)) and not self.sizes.is_far(k):
                return None  # at size 2 a scale of S-2 is 0, and the coordinate a constant
            sizes = ", ".join(f"{n}={s}" for n, s in at.items())
            rows = _rows_by_sizes(result, claim)
            if rows:
                return Miss(f"{rows} (at {sizes})", 4, UNLIKE)
            return replace(result, condition=f"{result.condition} (at {sizes})")
        same = result.match.policy == claim.match.policy and result.match.kernels == claim.match.kernels
        if not same or not result.placement.says(claim.placement):
            told = _split_by_sizes(result, claim) if same else ""
            return Miss(told or "what it computes changes with the dynamic sizes", 4, UNLIKE)
        wide = next((name for name, bounds in result.narrow.items() if claim.narrow.get(name, bounds) != bounds), None)
        if wide is not None:
            node = self._scope.producer[wide][0].name
            why = f"at '{node}' an index in {facts[wide].dtype} grows with a size, past what that type holds"
            return Miss(why, 4, CODE)
        return None


def _is_one_difference(facts: Mapping[str, Fact], claim: Claim) -> bool:
    """Whether of two pixels along an axis a table of differences is read, which has one: no coordinate says where."""
    shape = facts[claim.match.image].shape
    if not claim.cuts.through or claim.cuts.stop != claim.match.image or claim.cuts.split is not None or shape is None:
        return False
    return any(shape[axis.position] == 2 for axis in claim.match.axes)


def _rows_by_sizes(miss: Miss, claim: Claim) -> str:
    """That rows of an image that stand in one axis are of another length at other sizes; "" where they do not."""
    if miss.split is None or claim.cuts.split is None or miss.split[2] == claim.cuts.split[1]:
        return ""
    tensor, axis, sizes = miss.split
    other = claim.cuts.split[1][-1]
    at = f"axis {axis} of '{tensor}' is read in rows of {sizes[-1]}, and of {other} at other sizes"
    return f"{at}: rows of a dynamic length would have to be an axis of their own"


def _split_by_sizes(one: Claim, other: Claim) -> str:
    """That a tensor's axis is split otherwise at other sizes; "" where something else is another."""
    mine, its = ((claim.placement.image, *claim.placement.operands) for claim in (one, other))
    apart = [(a, b) for a, b in zip(mine, its, strict=False) if a != b]
    if not apart or any(replace(a, split=b.split) != b for a, b in apart):
        return ""
    return f"the points of all items stand in one axis of '{apart[0][0].tensor}', which dynamic sizes would split"


def _halves(box: Box, why: Break | None) -> list[Box]:
    """Two parts of a box: below and from the size on at which a formula changes, else halves of the widest range.

    None where what changes does not depend on a size that has more than one value in the box.
    """
    if why is None:
        return []
    name, at = why.at or ("", 0)
    lo, hi = box.get(name, (0, 0))
    if lo < hi and lo <= at <= hi:
        return _cut(box, name, max(at, lo + 1))
    wide = [name for name in why.sizes if name in box and box[name][0] < box[name][1]]
    if not wide:
        return []
    name = max(wide, key=lambda n: box[n][1] - box[n][0])
    return _cut(box, name, (sum(box[name]) + 1) // 2)


def _cut(box: Box, name: str, at: int) -> list[Box]:
    lo, hi = box[name]
    return [{**box, name: (lo, at - 1)}, {**box, name: (at, hi)}]
