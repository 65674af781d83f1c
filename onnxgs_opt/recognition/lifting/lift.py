"""Lift one element of a tensor to an `Expr`: pull it back through the graph to the elements it is made of.

Layout operators rewrite the index, arithmetic becomes algebra, and a gather puts a computed index into the element it
reads. What has no rule is a leaf. The lift never fails and is exact: a leaf only makes less recognisable.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from onnxgs_opt.ir import Body, Constant, Node
from onnxgs_opt.ir.constants import constant_value
from onnxgs_opt.ir.def_use import Array, Scope
from onnxgs_opt.ir.operators import RANGES, READS, operator
from onnxgs_opt.recognition.algebra.expression import Algebra, Bound, Expr, less_than_its_floor, walk
from onnxgs_opt.recognition.algebra.polynomial import Number
from onnxgs_opt.recognition.fixed_values import is_fixed
from onnxgs_opt.recognition.lifting.elementwise import ARITHMETIC, EXACT_BELOW, taken_branch
from onnxgs_opt.recognition.lifting.indexing import LAYOUT, MOVING, reindex
from onnxgs_opt.recognition.lifting.rule import Index, NoRule, Rule
from onnxgs_opt.recognition.lifting.shape_functions import UNKNOWN, Fact
from onnxgs_opt.recognition.lifting.shape_inference import infer
from onnxgs_opt.recognition.lifting.tables import affine, exact, sampled
from onnxgs_opt.recognition.lifting.windows import SHIFTS

Element = tuple[str, tuple[Number | None, ...]]
"""A tensor and the constant parts of an index into it: the x or the y of a tensor that holds both."""


class Known(NamedTuple):
    """What is known of a number: its bounds, and whether it is surely whole."""

    lo: Bound
    hi: Bound
    integral: bool = False

    @classmethod
    def of(cls, value: Expr) -> Known:
        """What is known of an expression."""
        return cls(value.lo, value.hi, value.integral)

    def or_else(self, value: Expr) -> Known:
        """What is known of this number or of a `value`, whichever it is."""
        return Known(
            None if self.lo is None or value.lo is None else min(self.lo, value.lo),
            None if self.hi is None or value.hi is None else max(self.hi, value.hi),
            self.integral and value.integral,
        )


MAX_DEPTH = 150
"""Recursion guard; the deepest sampler seen is 70 nodes from read to coordinate."""


def constants(index: Index) -> tuple[Number | None, ...]:
    """The constant parts of an index, None for the others."""
    return tuple(i.value for i in index)


class Lift:
    """Lifts tensors of one graph at concrete sizes; its arguments say where it ends, its attributes what it met.

    `stops` are tensors that become leaves where they are read, `ends` those that do wherever they are used, `cuts`
    single coordinates that do, with what is known of them. `splits` gives, for a stop, an axis and the sizes that it
    stands for (an image whose rows are linear). `through`: reads of what is itself made by reads go on, of rows first,
    say.

    `values` are the elements that were lifted, each behind those it is made of; `askers` the elements that are made of
    one, None for the root. `levels` are the tensors that reads were pulled through, `images` those where they ended;
    `rounded` the coordinates that a floor, ceil or cast rounds, with their bounds, `rounded_again` those that floors
    are a part of, `divided` those that whole numbers alone are divided to, `remainders` what those were divided by that
    are left of a division;
    `unmerged` gives, for those that a Reshape made by merging axes, what
    it took; `compared` is what the model compares; `exact_below` the largest index that its type holds. `mixes` may be
    set before: then sums of several tensors are followed, and no coordinate ends the lift.
    """

    def __init__(
        self,
        scope: Scope,
        facts: Mapping[str, Fact],
        stops: frozenset[str] = frozenset(),
        splits: Mapping[str, tuple[int, tuple[int, ...]]] | None = None,
        cuts: Mapping[Element, Known] | None = None,
        ends: frozenset[str] = frozenset(),
        through: bool = False,
    ) -> None:
        self.algebra = Algebra()
        self.facts = facts
        self.levels: dict[str, None] = {}
        self.images: set[str] = set()
        self.exact_below = EXACT_BELOW[8]
        self.mixes = False
        self.values: dict[tuple[str, Index], Expr] = {}
        self.askers: dict[tuple[str, Index], list[tuple[str, Index] | None]] = {}
        self._asker: tuple[str, Index] | None = None
        self._scope = scope
        self._producer = scope.producer
        self._tensors = scope.tensors
        self.rounded: dict[Element, Known] = {}
        self.rounded_again: set[Element] = set()
        self.divided: set[Element] = set()
        self.remainders: dict[Element, Number] = {}
        self.compared: set[Expr] = set()
        self.narrow: dict[str, tuple[Number, Number]] = {}
        self.unmerged: dict[Element, Element] = {}
        self._rounded_as: dict[Expr, Element] = {}
        self._order = scope.order
        self._entered: set[int] = set()
        self._stops = stops
        self._cuts = cuts or {}
        self._ends = ends
        self._reading = RULES if through else READING
        self._moves = False
        self._splits = dict(splits or {})
        self._depth = 0
        self._tables: dict[str, Array | None] = {}
        self._fixed: dict[str, bool] = {}

    def root(self, name: str) -> tuple[Expr, Index]:
        """The expression of one element of `name` and its index variables."""
        shape = self.shape(name)
        index = tuple(self.algebra.idx(axis, size) for axis, size in enumerate(shape))
        return self.value(name, index), index

    def moved(self, name: str, index: Index) -> Expr:
        """The element that one is by layout alone, as a leaf of the tensor where anything is computed or read."""
        follows = Lift(self._scope, self.facts, self._stops, self._splits, self._cuts, self._ends)
        follows.algebra, follows._reading, follows._moves = self.algebra, MOVING, True
        return follows.value(name, index)

    def shape(self, name: str) -> tuple[int, ...]:
        """The tensor's concrete shape; NoRule when unknown."""
        shape = self.facts.get(name, UNKNOWN).shape
        if shape is None:
            raise NoRule(f"the shape of '{name}' is not known")
        return shape

    def value(self, name: str, index: Index) -> Expr:
        """Element `index` of tensor `name`."""
        key = (name, index)
        self.askers.setdefault(key, []).append(self._asker)
        found = self.values.get(key)
        if found is None:
            asker, self._asker = self._asker, key
            self._depth += 1
            found = self.values[key] = self._lifted(name, index)
            self._depth -= 1
            self._asker = asker
        return found

    def _lifted(self, name: str, index: Index) -> Expr:
        reading = self._moves or any([i.leaves for i in index])
        if reading:
            self.levels[name] = None
        cut = name in self._ends or (self._cuts and (name, constants(index)) in self._cuts)
        if cut or (reading and name in self._stops) or self._depth > MAX_DEPTH:
            return self.leaf(name, index)
        table = self._table(name)
        if table is not None:
            return self._element(name, table, index)
        node, position = self._producer.get(name, (None, 0))
        if node is None:
            return self.leaf(name, index)
        rules = self._reading if reading and not self._is_index_table(name) else RULES
        rule = rules.get(op := operator(node))
        if rule is None:
            return self.leaf(name, index)
        try:
            found = rule(self, node, position, index)
            if op in ARITHMETIC:
                self._note_narrow(name, found)
            return found
        except (NoRule, ValueError, KeyError, IndexError):
            return self.leaf(name, index)

    def _note_narrow(self, name: str, value: Expr) -> None:
        """Remember the bounds of a number whose integer type may not hold it; NoRule where it does not."""
        dtype = self.facts.get(name, UNKNOWN).dtype
        if dtype is None or dtype.kind not in "iu" or dtype.name in ("int32", "int64"):
            return
        held = np.iinfo(dtype)
        if value.lo is None or value.hi is None or value.lo < held.min or value.hi > held.max:
            raise NoRule("its type does not hold every such number")
        self.narrow[name] = value.lo, value.hi

    def leaf(self, name: str, index: Index) -> Expr:
        """The element as a leaf: what computes it is not looked at."""
        fact = self.facts.get(name, UNKNOWN)
        sizes = fact.shape or (2**62,) * len(index)
        if any(i.leaves for i in index):
            self.images.add(name)
        if name in self._splits:
            index, sizes = self._split(index, sizes, *self._splits[name])
        integral = fact.dtype is not None and fact.dtype.kind in "iub"
        node, _ = self._producer.get(name, (None, 0))
        own = Known(*RANGES.get("" if node is None else operator(node), (None, None)))
        known = self._cuts.get((name, constants(index)), own)
        return self.algebra.elem(name, index, known.lo, known.hi, integral or known.integral, sizes)

    def _split(
        self, index: Index, sizes: tuple[int, ...], axis: int, parts: tuple[int, ...]
    ) -> tuple[Index, tuple[int, ...]]:
        rest, left_over = divmod(sizes[axis], math.prod(p for p in parts if p > 0))
        if left_over:
            return index, sizes  # the axis does not consist of such images
        dims = tuple(rest if p < 0 else p for p in parts)
        pieces = self.algebra.unravel(index[axis], dims)
        return (*index[:axis], *pieces, *index[axis + 1 :]), (*sizes[:axis], *dims, *sizes[axis + 1 :])

    def _table(self, name: str) -> Array | None:
        """The values of a constant tensor; None for a computed or external one.

        Of computed constants only scalars and shapes count: longer ones are coordinates, which stay visible as such.
        """
        if name not in self._tables:
            tensor = self._tensors.get(name)
            value = self.facts.get(name, UNKNOWN).value
            node, _ = self._producer.get(name, (None, 0))
            if node is not None and operator(node) == "Constant" and isinstance(node.attrs.get("value"), Constant):
                tensor = node.attrs["value"]
            if isinstance(tensor, Constant):
                value = value if value is not None else constant_value(tensor)
            elif value is not None and value.size > 1 and not self.mixes and (value.ndim > 1 or value.size > 8):
                value = None
            self._tables[name] = value
        return self._tables[name]

    def _is_index_table(self, name: str) -> bool:
        """Whether a tensor holds whole numbers that sizes alone tell: where windows of an image begin, say."""
        return self.dtype_kind(name) in "iu" and self.is_fixed(name)

    def _element(self, name: str, table: Array, index: Index) -> Expr:
        """Element of a constant: a number, an affine function of the index variables, or a leaf with known range."""
        if table.dtype.kind not in "iubf" or not table.size:
            return self.leaf(name, index)
        variables = sorted({t for i in index for t, _ in i.terms if t.op == "idx"}, key=lambda t: t.serial)
        if any(t not in variables for i in index for t, _ in i.terms):
            return self._looked_up(name, table, index)
        part = sampled(table, index, variables)
        slopes = affine(part)
        if slopes is not None:
            out = self.algebra.num(exact(part.flat[0]))
            for variable, slope in zip(variables, slopes, strict=True):
                out = self.algebra.add(out, variable, slope)
            return out
        if not np.isfinite(part).all():
            return self.leaf(name, index)
        lo, hi = exact(part.min()), exact(part.max())
        return self.algebra.elem(name, index, lo, hi, table.dtype.kind in "iub", self.shape(name))

    def _looked_up(self, name: str, table: Array, index: Index) -> Expr:
        """Element of a constant at an index that data tell: an affine function of it where the whole table is one."""
        ends = [(i.lo, i.hi, size - 1) for i, size in zip(index, table.shape, strict=True)]
        inside = all(lo is not None and hi is not None and 0 <= lo <= hi <= last for lo, hi, last in ends)
        numbers = "iuf" if self._reading is RULES else "iu"  # of floats alone an image is made
        slopes = affine(table) if inside and table.dtype.kind in numbers else None
        if slopes is None:
            return self.leaf(name, index)
        out = self.algebra.num(exact(table.flat[0]))
        for i, slope in zip(index, slopes, strict=True):
            out = self.algebra.add(out, i, slope)
        return out

    def enter(self, body: Body) -> None:
        """Make the tensors of a subgraph, whose names are unique in the model, known to the lift."""
        if id(body) in self._entered:
            return
        self._entered.add(id(body))
        scope = Scope.of(body)
        self.facts = {**self.facts, **infer(scope, {}, self.facts)}
        self._producer = {**self._producer, **scope.producer}
        self._tensors = {**self._tensors, **scope.tensors}

    def operands(self, node: Node, index: Index) -> list[Expr]:
        """The inputs of an elementwise operator at output index `index`."""
        return [self.value(t.name, self.broadcast(t.name, index)) for t in node.inputs if t.name]

    def broadcast(self, name: str, index: Index) -> Index:
        """The index into an operand that is broadcast to the output that `index` is of."""
        shape = self.shape(name)
        kept = index[len(index) - len(shape) :]
        return tuple([self.algebra.zero if size == 1 else i for i, size in zip(kept, shape, strict=True)])

    def note_rounded(self, name: str, index: Index, value: Expr) -> None:
        """Remember a coordinate that is about to be rounded, and the bounds of all its elements."""
        if not value.leaves or value.integral:
            return
        name = self._first_of(name, index, value)
        element = name, constants(index)
        rest = self.algebra.sub(value, self.algebra.num(math.floor(value.constant)))
        other = self._rounded_as.setdefault(rest, element)
        if other[0] != name:  # the same but for an integer: the one made first is the coordinate
            first = min(other, element, key=lambda e: self._order.get(e[0], -1))
            if first is other:
                return
            self.rounded.pop(other, None)
            self._rounded_as[rest] = element
        self.rounded_again |= {element} if value.floored else set()
        self.divided |= {element} if all(term.integral for term, _ in value.terms) else set()
        of_one = less_than_its_floor(self.algebra.scale(value, -1))  # n*(q - floor(q)) is what is left of n*q
        self.remainders |= {} if of_one is None else {element: -dict(value.terms)[of_one]}
        self._note_unmerged(element, index, value)
        self.rounded[element] = self.rounded.get(element, Known.of(value)).or_else(value)

    def counted(self) -> dict[Element, Known]:
        """The whole numbers made of coordinates whose quotients are rounded down: each counts parts of a pixel.

        Each is named where it is made first, and is known to be whole there, in floats or not.
        """
        floors = (e.args[0] for e in walk(tuple(self.values.values())) if e.op == "floor")
        terms = (t for argument in floors for t, _ in argument.terms)  # type: ignore[attr-defined]
        whole = {t for t in terms if t.integral and t.leaves and t.op != "elem"}
        found: dict[Element, Known] = {}
        named: set[Expr] = set()
        for (name, index), value in sorted(self.values.items(), key=lambda entry: self.place_of(entry[0][0])):
            (term, factor), *more = value.terms or ((value, 0),)
            if factor != 1 or more or term not in whole or term in named:
                continue
            named.add(term)
            element = name, constants(index)
            found[element] = found.get(element, Known.of(value)).or_else(value)
        return found

    def _first_of(self, name: str, index: Index, value: Expr) -> str:
        """The first tensor on the way to `name` that holds the same there: a division by 1 makes no new coordinate."""
        while True:
            node, _ = self._producer.get(name, (None, 0))
            if node is None or operator(node) == "Cast":
                return name
            same = (t.name for t in node.inputs if self.values.get((t.name, index)) is value)
            before = next(same, None)
            if before is None:
                return name
            name = before

    def _note_unmerged(self, element: Element, index: Index, value: Expr) -> None:
        name, _ = element
        node, _ = self._producer.get(name, (None, 0))
        if node is None or operator(node) not in ("Reshape", "Flatten"):
            return
        source = node.inputs[0].name
        old, new = self.shape(source), self.shape(name)
        if 0 in old or len(old) <= len(new):
            return
        apart = reindex(self, index, old, new)
        if self.values.get((source, apart)) is value:
            self.unmerged[element] = source, constants(apart)

    def maker(self, name: str) -> Node | None:
        """The node that makes a tensor, None for an input or a constant."""
        return self._producer.get(name, (None, 0))[0]

    def place_of(self, name: str) -> int:
        """The place of the node that makes a tensor, -1 for an input or a constant."""
        return self._order.get(name, -1)

    def is_fixed(self, name: str) -> bool:
        """Whether a tensor follows from constants and sizes alone."""
        return is_fixed(self._scope, name, self._fixed)

    def leads_to_read(self, name: str) -> bool:
        """Whether a tensor has a part in where something is read."""
        indices = [node.inputs[1].name for node in self._scope.nodes if operator(node) in READS]
        makers = self._scope.backward_slice(indices)
        return name in indices or any(name == t.name for node in makers for t in node.inputs)

    def dtype_kind(self, name: str) -> str:
        """Numpy's kind letter of a tensor's dtype, '?' when unknown."""
        dtype = self.facts.get(name, UNKNOWN).dtype
        return "?" if dtype is None else dtype.kind


READING: dict[str, Rule] = {**LAYOUT, **SHIFTS, "If": taken_branch}
"""Operators through which a read is followed to its image."""

RULES: dict[str, Rule] = {**READING, **ARITHMETIC}
