"""For which sizes the claim of a site holds: what it computes of sizes has to be one formula at all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from onnxgs_opt.ir import Node
from onnxgs_opt.ir.constants import small_value
from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.ir.operators import BOUNDED, ELEMENTWISE, MOVES, operator
from onnxgs_opt.recognition.algebra.polynomial import Poly
from onnxgs_opt.recognition.algebra.quantity import Quantity
from onnxgs_opt.recognition.lifting.dynamic_dims import SizeSets
from onnxgs_opt.recognition.lifting.elementwise import EXACT_BELOW
from onnxgs_opt.recognition.lifting.shape_functions import UNKNOWN
from onnxgs_opt.recognition.lifting.size_values import MOST, ONE, ZERO, Break, Element, SizeArithmetic
from onnxgs_opt.recognition.lifting.symbolic_shapes import State
from onnxgs_opt.recognition.lifting.symbolic_sizes import Sizes, of_claim
from onnxgs_opt.recognition.match import Miss
from onnxgs_opt.samplers.site import Domain, SizeRange
from onnxgs_opt.samplers.view import View

CODE = "GSO115"
"""The code of what is computed differently at some sizes."""

DECIDES = BOUNDED & ELEMENTWISE
"""Operators that compare, or choose one of two numbers."""

MAX_STEPS = 16
"""Of layout between a Range and where its numbers are used."""


class EverySize:
    """The sizes of one graph as symbols, and what they say of each claim.

    What is analysed are the sets of `sizes`; those that are asked for by name are so, all others from 2 on.
    """

    def __init__(self, scope: Scope, sizes: SizeSets) -> None:
        facts, given = sizes.all()
        self._scope = scope
        self._facts = facts[0]
        self._largest = min((size for name, size in given[-1].items() if size != given[0][name]), default=2) - 2
        self._sizes = Sizes(scope, facts, given, sizes.ranges, sizes.following)

    def broken(self, output: str, image: View, others: Iterable[View]) -> Break | None:
        """Where what is computed from the views to `output` changes with a size, or is not known to be the same."""
        names = [view.tensor for view in (image, *others)]
        self._sizes.look_at(self._scope.backward_slice([output]))
        nodes = of_claim(self._scope, output, names)
        found = self._sizes.breaks(nodes) or self._broken_dims(names) or self._rounded(nodes, names[1:])
        found = found or self._counted(nodes) or self._confused(nodes) or self._unshaped(image)
        if found is None and (spatial := self._dynamic(image)):
            reach = None if image.split is not None else self._sizes.reach(spatial)
            computed = [n for n in nodes if not all(self._sizes.is_sized(t.name) for t in n.outputs)]
            found = self._unseen(computed, *(reach or (self._largest, MOST)))
        return found

    def changes_of_tables(self, output: str, image: View, seen: int) -> Miss | None:
        """The same where tables of indices and weights were compared by themselves, at sizes up to `seen`."""
        self._sizes.look_at(self._scope.backward_slice([output]))
        nodes = of_claim(self._scope, output, [image.tensor])
        found = self._sizes.breaks(nodes, of_tables=False) or self._broken_dims([image.tensor, output])
        found = found or self._rounded(nodes, ())
        found = found or self._unseen(nodes, min(seen, self._largest), MOST) or self._confused(nodes)
        return None if found is None else Miss(f"at '{found.node}' {found.why}", 4, CODE)

    def _broken_dims(self, names: Iterable[str]) -> Break | None:
        states = (self._sizes.states.get(name, State()) for name in names)
        return next((b for state in states if (b := state.first_break(values=False)) is not None), None)

    def _unshaped(self, image: View) -> Break | None:
        """An image that has no shape at some of the sizes that are analysed: there the model does not run, say."""
        if not image.groups or self._sizes.states.get(image.tensor, State()).dims is not None:
            return None
        node, _ = self._scope.producer.get(image.tensor, (None, 0))
        return Break("" if node is None else node.name, f"'{image.tensor}' has no shape at some sizes")

    def _confused(self, nodes: Iterable[Node]) -> Break | None:
        """Two numbers made of sizes that are not the same formula, and the same at every set: nothing tells them apart.

        They are held against each other, against the sizes and their neighbours, and against 0 and 1; a size that
        follows from others, as that of points that are as many as pixels, against the first formula that it is.
        """
        sizes = self._sizes
        own = [Quantity(Poly.atom(atom)) for atom in range(len(sizes.names)) if atom not in sizes.sources]
        known = [ONE, *own, *(size.plus(ONE, -1) for size in own)]
        seen = {sizes.at_sets(each): each for each in reversed(known)} | {sizes.at_sets(ZERO): ZERO}
        looked: set[Quantity] = set()
        formulas: dict[int, Quantity] = {}
        for node in nodes:
            for tensor in node.outputs:
                value = sizes.states.get(tensor.name, State()).value
                new = {e for e in value.reshape(-1) if isinstance(e, Quantity)} - looked if value is not None else set()
                looked |= new
                for each in (e for e in new if e.atoms.isdisjoint(sizes.sources)):
                    other = seen.setdefault(sizes.at_sets(each), each)
                    if not self._is_one(other, each, formulas):
                        names = ", ".join(sizes.names[a] for a in sorted(each.atoms | other.atoms))
                        return Break(node.name, f"no size that is analysed tells two numbers made of {names} apart")
        return None

    def _is_one(self, one: Quantity, other: Quantity, formulas: dict[int, Quantity]) -> bool:
        """Whether two numbers are one, with `formulas` of sizes that follow from others, which may get one more."""
        gap = one.plus(other, -1).put(formulas)
        follows = [atom for atom in gap.atoms if self._sizes.names[atom] in self._sizes.following]
        if len(follows) == 1 and (formula := gap.solved_for(*follows)) is not None:
            formulas[follows[0]] = formula
            return True
        return not gap.over

    def _counted(self, nodes: Iterable[Node]) -> Break | None:
        """A fixed number that the numbers from 0 to a size are compared with, and that some sizes reach only."""
        for node in nodes:
            last = [count.plus(ONE, -1) for t in node.inputs if (count := self._count(t.name)) is not None]
            values = [small_value(t) for t in node.inputs] if last and operator(node) in DECIDES else []
            fixed = {int(v) for value in values if value is not None and value.size for v in value.reshape(-1)}
            for number in sorted(abs(v) for v in fixed if abs(v) < MOST):
                decides = SizeArithmetic(node, None, None, self._sizes.range_of, self._sizes.names)
                for end in last:
                    found = decides.larger(end, Quantity.of(number), True)
                    if isinstance(found, Break):
                        return found
        return None

    def _count(self, name: str) -> Quantity | None:
        """How many numbers from 0 on a tensor holds that a Range makes, in whatever layout; None of all others."""
        for _ in range(MAX_STEPS):
            node, _ = self._scope.producer.get(name, (None, 0))
            if node is None or not node.inputs:
                return None
            if operator(node) == "Range":
                dims = self._sizes.states.get(name, State()).dims or (None,)
                return dims[0] if isinstance(dims[0], Quantity) and dims[0].constant is None else None
            if operator(node) not in MOVES | {"Cast"}:
                return None
            name = node.inputs[0].name
        return None

    def _rounded(self, nodes: Iterable[Node], coordinates: Iterable[str]) -> Break | None:
        """A number of sizes in half precision, where the coordinates are in a wider type."""
        if any(self._is_half(name) for name in coordinates):
            return None
        halves = (n for n in nodes for t in n.outputs if t.name in self._sizes.halves)
        node = next(halves, None)
        return None if node is None else Break(node.name, "a number of sizes over 2048 is rounded to float16")

    def _is_half(self, name: str) -> bool:
        return self._facts.get(name, UNKNOWN).dtype == np.float16

    def _most(self, view: View) -> int | None:
        """The largest size whose pixels are exact in the type of coordinates; None where no size is too large."""
        if self._is_half(view.tensor):
            return EXACT_BELOW[2] // view.parts
        return EXACT_BELOW[4] // view.parts if view.parts > 1 else None

    def _dynamic(self, image: View) -> list[Element]:
        """The dims of the image's pixels that are no fixed numbers."""
        dims = self._sizes.states.get(image.tensor, State()).dims or ()
        spatial = dims if image.split is not None else [dims[a] for group in image.groups[2:] for a in group]
        return [d for d in spatial if not isinstance(d, Quantity) or d.constant is None]

    def _unseen(self, nodes: Iterable[Node], largest: int, most: int) -> Break | None:
        """A fixed number that is compared with, larger than the `largest` size that was analysed, less than `most`."""
        for node in nodes:
            if operator(node) not in DECIDES:
                continue
            for tensor in node.inputs:
                value = small_value(tensor)
                if value is None or value.dtype.kind not in "iuf" or not value.size:
                    continue
                size = np.abs(value.astype(np.float64))  # half precision has no number as large as `most`
                if np.any((size > largest) & (size < most)):
                    return Break(node.name, f"compares with {value.reshape(-1)[0]}, which a size may pass")
        return None

    def dims(self, name: str) -> Sequence[Element] | None:
        """The sizes of a tensor behind a claim that was looked at, as formulas; None where they are not known."""
        return self._sizes.states.get(name, State()).dims

    def domain(self, image: View, others: Iterable[View], exact_below: int) -> Domain:
        """The sizes that the proof covers, by the names of those that the image and the coordinates have."""
        dims = [d for view in (image, *others) for d in self._sizes.states.get(view.tensor, State()).dims or ()]
        most = min((limit for view in others if (limit := self._most(view)) is not None), default=None)
        ranges = []
        own = self._sizes.atoms(dims)
        behind = frozenset[int]().union(*(self._sizes.behind(atom) for atom in own))
        for atom in sorted(own | {atom for atom in behind if self._sizes.range_of(atom)[0] > 2}):
            least, largest = self._sizes.range_of(atom)
            name = self._sizes.names[atom]
            also = self._sizes.aliases.get(name, ())
            ranges.append(SizeRange(name, least, most if largest == MOST else largest, also))
        return Domain(tuple(ranges), exact_below if exact_below < EXACT_BELOW[8] else None)
