"""Whether the samples of a box stand evenly apart along one axis of an image, and where at most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from itertools import permutations, product
from math import prod

from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.ir.operators import READS, operator
from onnxgs_opt.recognition.algebra.expression import Expr, children
from onnxgs_opt.recognition.algebra.polynomial import Number
from onnxgs_opt.recognition.fixed_values import is_fixed
from onnxgs_opt.recognition.lifting.lift import Lift
from onnxgs_opt.recognition.lifting.shape_functions import Fact
from onnxgs_opt.samplers.view import View

MOST = 256
"""Samples of a box along an axis that are looked at."""

ULPS = Fraction(4, 2**23)
"""What the numbers in a file may be off by, as parts of the largest: a table in single precision is rounded."""

Bounds = tuple[Number | None, Number | None]


class NoGridError(Exception):
    """Samples do not stand as RoiAlign has them; the message says in a sentence what is otherwise."""


@dataclass(frozen=True)
class Along:
    """A tensor of pixel coordinates less a `shift`, split as a `View` is; `axes` of the samples are those of it."""

    tensor: str
    rank: int
    axes: Mapping[int, int]
    split: tuple[int, tuple[int, ...]] | None = None
    shift: int = 0

    def view(self, *groups: Sequence[int]) -> View:
        """The coordinates with an axis for each group of the samples' axes."""
        own = tuple(tuple(self.axes[axis] for axis in group) for group in groups)
        return View(self.tensor, own, self.split, self.rank - sum(map(len, own)), self.shift)

    def shape(self, lift: Lift) -> list[int]:
        """The sizes of its axes, once it is split."""
        return [int(size or 0) for size in self.view().split_dims(lift.shape(self.tensor))]


@dataclass(frozen=True)
class Places:
    """Evenly spaced places of samples.

    `order` has the axes of the samples that they lie along, the slowest first, and `sizes` theirs. `bounds` are those
    of all coordinates, `extent` of the length of a box, None where it has one sample; `slopes` say of each element
    that the boxes are made of by how many pixels they move with it at most.
    """

    order: tuple[int, ...]
    sizes: tuple[int, ...]
    bounds: Bounds
    extent: Bounds | None
    slopes: Mapping[Expr, Number]

    @property
    def sources(self) -> frozenset[str]:
        """The tensors that the boxes are made of."""
        return frozenset(str(element.args[0]) for element in self.slopes)

    @property
    def samples(self) -> int:
        """How many a box has."""
        return prod(self.sizes)

    @property
    def is_wide(self) -> bool:
        """Whether every box is a pixel long at least."""
        return self.extent is None or (self.extent[0] is not None and self.extent[0] >= 1 - ULPS)


def lift_of_boxes(scope: Scope, facts: Mapping[str, Fact]) -> Lift:
    """A lift that ends where data say which element is read: the best boxes, say, of all."""
    known: dict[str, bool] = {}
    reads = (node for node in scope.nodes if operator(node) in READS)
    chosen = (node for node in reads if not is_fixed(scope, node.inputs[1].name, known))
    lift = Lift(scope, facts, ends=frozenset(node.outputs[0].name for node in chosen))
    lift.mixes = True
    return lift


def places_of(lift: Lift, along: Along, boxes: Sequence[int], line: Sequence[int]) -> Places:
    """The places of samples in the boxes that lie along axes `boxes` of the samples; `line` are those of the places.

    Raises:
        NoGridError: They are not evenly apart, or too many.
        NoRule: A shape is not known.
    """
    shape = along.shape(lift)
    sizes = {axis: shape[along.axes[axis]] for axis in line}
    if prod(sizes.values()) > MOST:
        raise NoGridError(f"a box has more than {MOST} samples along an axis")
    every = product(*map(range, sizes.values()))
    table = {taken: _at(lift, along, shape, boxes, dict(zip(line, taken, strict=True))) for taken in every}
    origin = table[(0,) * len(line)]
    for order in permutations(line):
        places, counts = [line.index(axis) for axis in order], [sizes[axis] for axis in order]
        steps = {_ravel([taken[k] for k in places], counts): value for taken, value in table.items()}
        if _is_even(lift, steps):
            ends = origin, steps[len(steps) - 1]
            return Places(order, tuple(sizes[a] for a in order), _bounds(ends), _extent(lift, steps), _slopes(ends))
    raise NoGridError("its samples do not stand evenly apart in a box")


def _ravel(place: Sequence[int], sizes: Sequence[int]) -> int:
    return reduce(lambda out, step: out * step[1] + step[0], zip(place, sizes, strict=True), 0)


def _at(lift: Lift, along: Along, shape: Sequence[int], boxes: Sequence[int], place: Mapping[int, int]) -> Expr:
    """The coordinate of one sample in every box, whose number along each axis is a variable."""
    algebra = lift.algebra
    index = [algebra.zero] * len(shape)
    for axis in boxes:
        index[along.axes[axis]] = algebra.idx(axis, shape[along.axes[axis]])
    for axis, k in place.items():
        index[along.axes[axis]] = algebra.num(k)
    if along.split is not None:
        first, parts = along.split
        whole = slice(first, first + len(parts))
        index[whole] = [algebra.ravel(index[whole], shape[whole])]
    return algebra.add(lift.value(along.tensor, tuple(index)), algebra.num(along.shift))


def _is_even(lift: Lift, steps: Mapping[int, Expr]) -> bool:
    """Whether each place is as far from the one before as the last from the first, parted by their number."""
    last = len(steps) - 1
    if not last:
        return True
    whole = lift.algebra.sub(steps[last], steps[0])
    return all(_is_near(lift, steps[k], lift.algebra.add(steps[0], whole, Fraction(k, last))) for k in steps)


def _is_near(lift: Lift, one: Expr, other: Expr) -> bool:
    """Whether two sums are the same, up to roundings of the numbers in them."""
    rest = lift.algebra.sub(one, other)
    largest = max((abs(Fraction(c)) for e in (one, other) for _, c in e.terms), default=Fraction(0))
    offset = max(abs(Fraction(one.constant)), abs(Fraction(other.constant)), largest)
    return abs(Fraction(rest.constant)) <= ULPS * offset and all(
        abs(Fraction(c)) <= ULPS * largest for _, c in rest.terms
    )


def _bounds(ends: Sequence[Expr]) -> Bounds:
    lows, highs = [e.lo for e in ends], [e.hi for e in ends]
    return (None if None in lows else min(lows)), (None if None in highs else max(highs))  # type: ignore[type-var]


def _extent(lift: Lift, steps: Mapping[int, Expr]) -> Bounds | None:
    """Bounds of the length of a box: as many steps as it has samples."""
    last = len(steps) - 1
    if not last:
        return None
    whole = lift.algebra.scale(lift.algebra.sub(steps[last], steps[0]), Fraction(last + 1, last))
    return whole.lo, whole.hi


def _slopes(ends: Sequence[Expr]) -> dict[Expr, Number]:
    """Of each element that sums are made of the largest factor that it has on the way into one."""
    found: dict[Expr, Number] = {}
    pending: list[tuple[Expr, Number]] = [(end, 1) for end in ends]
    while pending:
        expr, factor = pending.pop()
        for term, coefficient in expr.terms:
            slope = abs(Fraction(factor * coefficient))
            if term.op == "elem":
                found[term] = max(found.get(term, 0), slope)
            else:
                pending += [(part, slope) for part in children(term)]
    return found
