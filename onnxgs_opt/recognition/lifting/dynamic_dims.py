"""Sizes of the dynamic dims at which a model is consistent."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping, Sequence
from functools import cached_property
from itertools import combinations, count
from math import gcd

from onnxgs_opt.ir.constants import is_size
from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.recognition.lifting.shape_functions import UNKNOWN, Conflict, Fact, Shape
from onnxgs_opt.recognition.lifting.shape_inference import dim_name, infer
from onnxgs_opt.recognition.lifting.size_values import MOST


def symbols(scope: Scope) -> list[str]:
    """Names of the dynamic dims of the inputs, in order; an unnamed dim gets the name `input:axis`."""
    dynamic = ((t, axis) for t in scope.inputs for axis, dim in enumerate(t.shape or ()) if not is_size(dim))
    return list(dict.fromkeys(dim_name(t, axis) for t, axis in dynamic))


Box = Mapping[str, tuple[int, int]]
"""By name, the least and the largest value that a size has."""


def assignments(
    names: list[str], box: Box | None = None, least: Mapping[str, int] | None = None
) -> list[dict[str, int]]:
    """Sizes to analyse dynamic dims at: distinct ones, so that no two dims are confused, the small ones included.

    Those of `box` are of its ranges, those of `least`, even numbers, not below these. Proofs have a fourth set, `far`;
    docs/samplers.md says what the four prove together.
    """
    places = len(names)
    if not places:
        return [{}]
    large = {name: 7 + 2 * k for k, name in enumerate(names)}
    mixed = {name: 4 + (3 * k) % (places + 3) + k for k, name in enumerate(names)}
    small = {name: 2 + (k % 2) for k, name in enumerate(names)}
    if least:
        times = {name: least.get(name, 2) // 2 for name in names}
        small = {name: size * times[name] for name, size in small.items()}
        large, mixed = (_apart(sizes, times) for sizes in (large, mixed))
    if box:
        small |= {name: min(lo + k % 2, hi) for k, (name, (lo, hi)) in enumerate(box.items()) if name in small}
        large, mixed = _within(large, box, 1 / 2), _within(mixed, box, 1 / 4, small)
    return [large, mixed, small]


def _apart(sizes: Mapping[str, int], times: Mapping[str, int]) -> dict[str, int]:
    """The sizes as many times as large, one less so that none is a multiple, and all distinct."""
    out: dict[str, int] = {}
    for name, size in sizes.items():
        wanted = size * times[name] - (times[name] > 1)
        out[name] = next(other for other in count(wanted) if other not in out.values())
    return out


def _within(sizes: Mapping[str, int], box: Box, share: float, small: Mapping[str, int] | None = None) -> dict[str, int]:
    """The sizes, those of `box` at a share of their range, and all distinct where there is room.

    With `small`, the least of each: no number but 1 divides its distances from that and from the largest.
    """
    out: dict[str, int] = {}
    widths = {name: hi - lo for name, (lo, hi) in box.items()}
    for name in sorted(sizes, key=lambda name: widths.get(name, MOST)):  # a narrow range has the fewest to choose from
        lo, hi = box.get(name, (2, MOST))
        wanted = int(lo + (hi - lo) * share) if name in box else sizes[name]
        near = (wanted + step for k in range(max(len(sizes), FURTHEST) + 1) for step in (k, -k))
        low = (small or {}).get(name, wanted) if name in box else wanted
        taken = set(out.values())
        free = [size for size in near if lo <= size <= hi and size not in taken]
        apart = (size for size in free if gcd(size - low, min(hi, PRIMES[0][0]) - low) == 1)
        out[name] = next(apart, next(iter(free), wanted)) if low != wanted else next(iter(free), wanted)
    return {name: out[name] for name in sizes}


Tie = Callable[[dict[str, int]], dict[str, int]]
Analysis = tuple[dict[str, int], dict[str, Fact]]
"""Sizes by name, and what is known of every tensor there."""


def far(
    scope: Scope,
    tie: Tie,
    known: Mapping[str, Fact],
    first: int = 0,
    box: Box | None = None,
) -> Analysis:
    """The largest sizes, of `PRIMES`, at which a model is consistent, and the facts there; `known` are those nearby.

    The largest that `box` has are taken where it has smaller ones.

    Some models compute the number of all elements in 32 bits, which the larger ones overflow. `first` is the place in
    `PRIMES` to begin at, `tie` gives names that are one size one size.
    """
    names = symbols(scope)
    for primes in PRIMES[first:]:
        largest = {name: primes[k % len(primes)] for k, name in enumerate(names)}
        ends = {name: (lo, max(lo, min(hi, primes[0]))) for name, (lo, hi) in (box or {}).items()}
        asked = tie(_within(largest, ends, 1) if ends else largest)
        found = settle(scope, asked)
        if found[0] == asked and _unknown(found[1]) <= _unknown(known):
            break
    return found


FURTHEST = 8
"""How far from where it is wanted a size of a box is looked for."""

PRIMES = (
    (4093, 3694, 3299, 2986, 2707, 2402, 2203, 2102, 2083, 2062, 2027, 2018),
    (2039, 1814, 1601, 1402, 1213, 1006, 809, 614, 409, 314, 311, 302),
    (251, 214, 179, 166, 131, 106, 101, 94, 73, 62, 61, 58),
)
"""Primes, and doubled ones where the other sets of `assignments` are odd: no divisor leaves one remainder at all sets.

In falling order, for other sets rise. Single precision has products of two of the first row and all integers before;
half precision has those of the second; 32 bits hold a product of four of the last."""


def settle(scope: Scope, sizes: Mapping[str, int]) -> Analysis:
    """Sizes at which the model is consistent, as near to `sizes` as possible, and the facts there.

    Exporters name dims that are one and the same differently, and freeze others while they call them dynamic. Where all
    `sizes` are distinct, two dims that do not fit tell which name has to change; where products do not fit, dims at the
    same place of two inputs are tried as one: each pair by itself, then all of them but those that nothing needs.
    """
    best = _fitted(scope, sizes)
    pairs = _namesakes(scope) if _unknown(best[1]) else []
    for pair in pairs:
        best = min(best, _joined(scope, sizes, [pair]), key=_unknown_of)
    together = _joined(scope, sizes, pairs) if len(pairs) > 1 else best
    if _unknown_of(together) >= _unknown_of(best):
        return best
    needed = pairs
    for pair in reversed(pairs):  # a pair that may be two sizes must stay two: what is proven is proven of one
        fewer = [other for other in needed if other != pair]
        apart = _joined(scope, sizes, fewer)
        if _unknown_of(apart) <= _unknown_of(together):
            needed, together = fewer, apart
    return together


def _joined(scope: Scope, sizes: Mapping[str, int], pairs: Sequence[tuple[str, str]]) -> Analysis:
    """The same with the names of each pair as one."""
    trial = dict(sizes)
    for one, other in pairs:
        trial[other] = trial[one]
    return _fitted(scope, trial)


def _fitted(scope: Scope, sizes: Mapping[str, int]) -> Analysis:
    """Sizes that conflicts have been taken out of, one after the other, and the facts there."""
    current = dict(sizes)
    for _ in range(len(sizes) + 1):
        conflicts: list[Conflict] = []
        facts = infer(scope, current, conflicts=conflicts)
        fixed = next((f for c in conflicts if (f := _fixed(current, c)) is not None), None)
        if fixed is None:
            break
        current = fixed
    return current, facts


def _unknown(facts: Mapping[str, Fact]) -> int:
    return sum(fact.shape is None for fact in facts.values())


def _unknown_of(found: Analysis) -> int:
    return _unknown(found[1])


def _namesakes(scope: Scope) -> list[tuple[str, str]]:
    """Pairs of names of dynamic dims that stand at the same place of two inputs."""
    places: dict[int, dict[str, None]] = {}
    for tensor in scope.inputs:
        for axis, dim in enumerate(tensor.shape or ()):
            if not isinstance(dim, int):
                places.setdefault(axis, {})[dim_name(tensor, axis)] = None
    return [pair for names in places.values() for pair in combinations(names, 2)]


def tied(asked: Mapping[str, int], settled: Mapping[str, int], sizes: Mapping[str, int]) -> dict[str, int]:
    """Other `sizes`, with those names made equal that `settled` has equal and `asked` had not, and fixed ones fixed."""
    names = {size: name for name, size in asked.items()}
    out = dict(sizes)
    for name, size in settled.items():
        if size != asked[name]:
            out[name] = sizes[names[size]] if size in names else size
    return out


def _fixed(sizes: Mapping[str, int], conflict: Conflict) -> dict[str, int] | None:
    for wrong, right in (conflict.dims, conflict.dims[::-1]):
        if wrong in sizes.values():
            return {name: right if size == wrong else size for name, size in sizes.items()}
    return None


def one_size(sizes: Mapping[str, int], extents: Collection[tuple[int, int]]) -> dict[str, str]:
    """Names of two sizes whose ratio one of `extents` has, one by the other: they have to be one size.

    Indices run over all items of one input and read those of another one: there are as many, or the model fails.
    """
    pairs = [pair for a, b in combinations(sizes, 2) if sizes[a] != sizes[b] for pair in ((a, b), (b, a))]
    return {b: a for a, b in pairs for m, n in extents if m * sizes[b] == n * sizes[a]}


class SizeSets:
    """The sets of sizes that one graph is analysed at, and what is known of every tensor at each, found when asked for.

    First the small ones, at which a model is also run; then, where sizes are dynamic, the largest and, for coordinates
    in half precision, the largest that those have. Of two names that are `equal` one stands for the other. The sizes of
    `box` are between its bounds, those of `least` not below these. `stated` is what the user says of sizes, which
    nothing is chosen by.
    """

    def __init__(
        self,
        scope: Scope,
        equal: Mapping[str, str] | None = None,
        box: Box | None = None,
        stated: Box | None = None,
        least: Mapping[str, int] | None = None,
    ) -> None:
        self._scope = scope
        self._box = box or {}
        self._least = least or {}
        self._stated = stated or {}
        self._sizes = assignments(symbols(scope), box, least)
        self._asked: Mapping[str, int] = self._sizes[0]
        self._sizes[0] = {name: self._asked[(equal or {}).get(name, name)] for name in self._asked}
        self._count = len(self._sizes)
        self._facts: dict[int, Mapping[str, Fact]] = {}

    @property
    def are_dynamic(self) -> bool:
        """Whether there is more than one set."""
        return self._count > 1

    @property
    def near(self) -> tuple[Mapping[str, int], ...]:
        """The small sets."""
        return tuple(self._sizes[: self._count])

    def is_far(self, k: int) -> bool:
        """Whether set `k` is one of large sizes."""
        return k >= self._count

    def at(self, k: int) -> Mapping[str, int]:
        """The sizes of set `k`, by name."""
        self.facts(k)
        return self._sizes[k]

    def all(self) -> tuple[list[Mapping[str, Fact]], list[Mapping[str, int]]]:
        """Facts and sizes of the small sets and of the largest."""
        places = range(self._count + 1)
        return [self.facts(k) for k in places], [self.at(k) for k in places]

    def others(self, half: bool) -> list[int]:
        """The sets at which what the first showed has to hold too."""
        return [*range(1, self._count), self._count + half]

    def facts(self, k: int) -> Mapping[str, Fact]:
        """What is known of every tensor at set `k`."""
        if k in self._facts:
            return self._facts[k]
        if k >= self._count:
            known, place = self.facts(0), k - self._count
            sizes, facts = far(self._scope, lambda s: tied(self._asked, self._sizes[0], s), known, place, self._box)
            self._sizes += [sizes] * (k + 1 - len(self._sizes))
        else:
            sizes, facts = settle(self._scope, self._sizes[k])
        self._sizes[k], self._facts[k] = sizes, facts
        if k == 0:
            self._sizes[1:] = [tied(self._asked, sizes, other) for other in self._sizes[1:]]
        return facts

    @property
    def following(self) -> frozenset[str]:
        """The sizes that the model leaves no choice of, as that of points that are as many as rows times columns."""
        settled, wanted = self.at(0), set(self._asked.values())
        return frozenset(name for name, size in settled.items() if size not in wanted)

    def is_apart(self, other: SizeSets) -> bool:
        """Whether each two sizes that differ at some of the other's sets differ at one of these, unless all are fixed.

        And whether all of these are of the box, and none that has several values there is one number at all of them.
        """
        mine, theirs = ([sets.at(k) for k in range(sets._count + 1)] for sets in (self, other))
        names = list(mine[0])
        values = {name: tuple(sizes[name] for sizes in mine) for name in names}
        before = {name: tuple(sizes[name] for sizes in theirs) for name in names}
        merged = any(
            values[a] == values[b] and before[a] != before[b] and len(set(values[a])) > 1
            for a, b in combinations(names, 2)
        )
        inside = all(lo <= size <= hi for name, (lo, hi) in self._box.items() for size in values.get(name, ()))
        changing = all(lo == hi or len(set(values[name])) > 1 for name, (lo, hi) in self._box.items() if name in values)
        return inside and changing and not merged

    def shared(self, ranges: Box) -> dict[str, tuple[int, int]]:
        """Ranges of sizes, which names that are one and the same size share; none that leave no size of 2 or more."""
        both = self._of_alike(ranges).items()
        return {name: (max(lo, 2), min(hi, MOST)) for name, (lo, hi) in both if max(lo, 2) <= hi}

    def _of_alike(self, ranges: Box) -> dict[str, tuple[int, int]]:
        """What is said of each size that changes, by all of its names."""
        sets = [self.at(k) for k in range(self._count + 1)]
        out = {}
        for name in sets[0]:
            alike = [other for other in sets[0] if all(sizes[name] == sizes[other] for sizes in sets)]
            said = [ranges[other] for other in alike if other in ranges]
            if said and len({sizes[name] for sizes in sets}) > 1:
                out[name] = max(lo for lo, _ in said), min(hi for _, hi in said)
        return out

    @cached_property
    def stated(self) -> Box:
        """What the user says of each size that changes, as long as its names do not contradict each other."""
        return {name: (lo, hi) for name, (lo, hi) in self._said.items() if lo <= hi}

    @property
    def contradicted(self) -> Box:
        """What the user says of names that are one size here, where it cannot hold for that; else empty."""
        apart = [name for name, (lo, hi) in self._said.items() if lo > hi and name in self._stated]
        return {name: self._stated[name] for name in apart if self.at(0)[name] == self.at(0)[apart[0]]}

    @cached_property
    def _said(self) -> Box:
        return self._of_alike(self._stated) if self._stated and self.are_dynamic else {}

    @property
    def ranges(self) -> Mapping[str, tuple[int, int]]:
        """Sizes that are asked for by name; from 1 on where 1 is all that the user says, since 2 is not meant then."""
        least = {name: (size, MOST) for name, size in self._least.items()}
        return {name: (1, MOST) for name, (_, hi) in self.stated.items() if hi == 1} | least | dict(self._box)

    @cached_property
    def ends(self) -> tuple[Mapping[str, Fact], Mapping[str, Fact]]:
        """Facts where all stated sizes are the smallest, and where they are the largest; none without any."""
        if not self.stated:
            return {}, {}
        usual = {name: (size, size) for name, size in self.at(0).items()}
        asked = [{name: ends[k] for name, ends in (usual | dict(self.stated)).items()} for k in (0, 1)]
        least, most = (tied(self._asked, self.at(0), sizes) for sizes in asked)
        facts = infer(self._scope, least)
        return facts, facts if most == least else infer(self._scope, most)

    @cached_property
    def _without_box(self) -> list[Mapping[str, Fact]]:
        """Facts where sizes that have a single value at the small sets, for the box has few, have another one."""
        sets = [self.at(k) for k in range(self._count)]
        if all(len({sizes[name] for sizes in sets}) > 1 for name in self._box):
            return []
        usual, own = assignments(list(self._asked))[0], self.at(0)
        others = {name: size + (size == own[name]) for name, size in usual.items()}  # usual ones are odd
        return [settle(self._scope, tied(self._asked, own, others))[1]]

    def static_dims(self, tensor: str) -> list[int | None]:
        """Dims that are the same at every small set; None for a dynamic one, which may have one value in the box."""
        known = [*map(self.facts, range(self._count)), *self._without_box]
        shapes = [facts.get(tensor, UNKNOWN).shape or () for facts in known]
        if len(shapes[-1]) != len(shapes[0]):
            return [None] * len(shapes[0])
        return [dims[0] if len(set(dims)) == 1 else None for dims in zip(*shapes, strict=True)]

    def shapes(self, images: Container[int]) -> tuple[Mapping[str, Shape], ...]:
        """Shapes of every tensor at each small set, and at sizes of 1 if all fits there; none without dynamic dims.

        At the last, dynamic dims are 1 but for those that are among the sizes of `images` at the first set: 3. Nothing
        is proven there, for an axis of size 1 has no index: validation runs there, for a model may branch on 1.
        """
        if not self.are_dynamic:
            return ()
        found = [_shapes(self.facts(k)) for k in range(self._count)]
        asked = {name: 3 if size in images else 1 for name, size in self._sizes[0].items()}
        asked |= {name: min(max(lo, asked[name]), hi) for name, (lo, hi) in self._box.items() if name in asked}
        conflicts: list[Conflict] = []
        facts = infer(self._scope, asked, conflicts=conflicts)
        if not conflicts and all(fact.shape is not None for fact in facts.values()):
            found.append(_shapes(facts))
        return tuple(found)


def _shapes(facts: Mapping[str, Fact]) -> dict[str, Shape]:
    return {name: fact.shape for name, fact in facts.items() if fact.shape is not None}
