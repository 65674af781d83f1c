"""A second forward sweep, with sizes as symbols: which formula every size and every number made of sizes follows.

`infer` gives numbers at one set of sizes; this says which of them are one quotient of polynomials at all sizes, and
names the node that makes one for which there is none: a Min of two sizes, say, whose order changes with them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from onnxgs_opt.ir import Body, Constant, Node
from onnxgs_opt.ir.constants import is_size, plain_attributes
from onnxgs_opt.ir.def_use import Array, Scope, reads_of
from onnxgs_opt.ir.evaluator import EVALUATORS, Call
from onnxgs_opt.ir.operators import COPIES, ELEMENTWISE, SIZES, operator
from onnxgs_opt.recognition.algebra.polynomial import Number, Poly
from onnxgs_opt.recognition.algebra.quantity import Quantity, Range
from onnxgs_opt.recognition.lifting.quotients import Quotients
from onnxgs_opt.recognition.lifting.shape_functions import UNKNOWN, Fact
from onnxgs_opt.recognition.lifting.shape_inference import dim_name, infer
from onnxgs_opt.recognition.lifting.size_values import (
    MOST,
    REDUCTIONS,
    ROUNDED,
    Break,
    Element,
    SizeArithmetic,
    element,
    in_names,
)
from onnxgs_opt.recognition.lifting.symbolic_shapes import DIMS, State

LONGEST = 4096
"""Elements of a tensor of numbers that follow from sizes: shapes and limits are short, where channels begin is long."""


class Sizes:
    """What is known of every tensor of one graph in terms of its dynamic sizes.

    `names` are those of the sizes, the model's own first; others are of results whose size is no formula here, as
    that of a convolution is. `aliases` are, by name, what the model calls that size besides. `facts` are the numbers at
    each analysed set of sizes, `given` those sets, `following` the names of sizes that the others leave no choice of.
    """

    def __init__(
        self,
        scope: Scope,
        facts: Sequence[Mapping[str, Fact]],
        given: Sequence[Mapping[str, int]],
        ranges: Mapping[str, Range],
        following: Collection[str] = (),
    ) -> None:
        self.names: list[str] = []
        self.aliases: dict[str, tuple[str, ...]] = {}
        self.states: dict[str, State] = {}
        self.halves: set[str] = set()
        self.sources: dict[int, frozenset[int]] = {}
        self._ranges = dict(ranges)
        self.quotients = Quotients(self._ranged, self.at_sets, self.range_of, lambda poly: in_names(poly, self.names))
        self.following = following
        self._facts = list(facts)
        self._at: list[dict[int, int]] = [{} for _ in facts]
        self._scope = scope
        symbols = self._symbols(given)
        for tensor in scope.inputs:
            dims = tuple(
                Quantity.of(d) if is_size(d) else symbols[dim_name(tensor, axis)]
                for axis, d in enumerate(tensor.shape or ())
            )
            self.states[tensor.name] = State(dims if tensor.shape is not None else None)
        for name, tensor in scope.tensors.items():
            if isinstance(tensor, Constant):
                self.states[name] = State(tuple(map(Quantity.of, tensor.shape)))
        self._seen: set[int] = set()

    def _symbols(self, given: Sequence[Mapping[str, int]]) -> dict[str, Quantity]:
        """A size by name: names that have one value at every set are one size, one that never changes is a number."""
        names: dict[tuple[int, ...], list[str]] = {}
        for name in given[0]:
            names.setdefault(tuple(sizes[name] for sizes in given), []).append(name)
        self.aliases = {own[0]: tuple(own[1:]) for own in names.values()}
        known = {values: self._symbol(own[0], values) for values, own in names.items()}
        return {name: known[values] for values, own in names.items() for name in own}

    def _symbol(self, name: str, values: Sequence[int]) -> Quantity:
        if len(set(values)) == 1:
            return Quantity.of(values[0])
        for sizes, value in zip(self._at, values, strict=True):
            sizes[len(self.names)] = value
        self.names.append(name)
        return Quantity(Poly.atom(len(self.names) - 1))

    def _ranged(self, name: str, values: Sequence[int], ends: Range) -> Quantity:
        """A new symbol that is between other ends than usual."""
        self._ranges[name] = ends[0], ends[1] or MOST
        return self._symbol(name, values)

    def range_of(self, atom: int) -> Range:
        """The sizes of one symbol that are asked for."""
        return self._ranges.get(self.names[atom], (2, MOST))

    def look_at(self, nodes: Iterable[Node]) -> None:
        """Follow the sizes through nodes, in execution order, that were not looked at before."""
        for node in nodes:
            if id(node) not in self._seen:
                self._seen.add(id(node))
                self._visit(node)

    def breaks(self, nodes: Iterable[Node], of_tables: bool = True) -> Break | None:
        """The first break that one of the nodes, which compute with more than sizes, uses; None where there is none.

        Without `of_tables`, the elements of tensors of more than one may be made otherwise at other sizes; numbers that
        those are made of may not.
        """
        for node in nodes:
            for tensor in node.outputs:
                found = self.states.get(tensor.name, State()).first_break(values=False)
                if found is not None:
                    return found
            if operator(node) in SIZES or all(self.is_sized(t.name) for t in node.outputs):
                alone = (self.states.get(t.name, State()) for t in (() if of_tables else node.outputs))
                broken = (s.first_break(values=True) for s in alone if s.value is not None and s.value.size == 1)
                if (found := next(filter(None, broken), None)) is not None:
                    return found
                continue
            for tensor in node.inputs:
                state = self.states.get(tensor.name, State())
                found = state.first_break(values=of_tables or state.value is None or state.value.size == 1)
                if found is not None:
                    return found
                if state.is_rounded:  # a limit just below a pixel keeps an index from it
                    return Break(node.name, ROUNDED)
        return None

    def at_sets(self, each: Quantity) -> tuple[Number, ...]:
        """The number that a formula is at each set."""
        return tuple(each.at(sizes) for sizes in self._at)

    def reach(self, dims: Sequence[Element]) -> tuple[int, int] | None:
        """A limit of each of some dims at the last set, and what none of them reaches; None where that is not known."""
        known = [dim for dim in dims if isinstance(dim, Quantity)]
        tops = [dim.bounds(self.range_of)[1] for dim in known]
        if not known or len(known) < len(dims) or any(top is None for top in tops):
            return None
        most = int(max(top for top in tops if top is not None)) + 1
        return int(min(dim.at(self._at[-1]) for dim in known)) - 2, min(most, MOST)

    def is_sized(self, name: str) -> bool:
        """Whether its elements follow from sizes alone."""
        return self.states.get(name, State()).value is not None

    def atoms(self, dims: Iterable[Element]) -> frozenset[int]:
        """The symbols that dims depend on."""
        return frozenset(a for dim in dims if isinstance(dim, Quantity) for a in dim.atoms)

    def behind(self, atom: int) -> frozenset[int]:
        """The symbols that one follows from: by no formula, or by a quotient that is rounded."""
        return self.sources.get(atom, frozenset()) | self.quotients.behind(atom)

    # ---- one node -------------------------------------------------------------------------------------------------

    def _visit(self, node: Node) -> None:
        inputs = [self.states.get(t.name, State()) for t in node.inputs]
        try:
            results = self._apply(node, inputs)
        except (ValueError, IndexError, TypeError, KeyError, ZeroDivisionError, AttributeError):
            results = []
        for position, tensor in enumerate(node.outputs):
            state = results[position] if position < len(results) else State()
            self.states[tensor.name] = self._checked(node, tensor.name, position, state)

    def _apply(self, node: Node, inputs: list[State]) -> list[State]:
        if operator(node) == "If":
            return self._branch(node, inputs[0])
        if any(s.value is not None for s in inputs) or operator(node) in SIZES:
            values = self._values(node, inputs)
            if values is not None:
                return [State(tuple(map(Quantity.of, v.shape)), v) for v in values]
        rule = DIMS.get(operator(node))
        constants = [self._constant(t.name) for t in node.inputs]
        results = [] if rule is None else rule(node, inputs, constants)
        return [self._stepped(node, constants, inputs[0], results[0])] if operator(node) == "Slice" else results

    def _stepped(self, node: Node, constants: Sequence[Array | None], whole: State, part: State) -> State:
        """What a Slice takes, with a quotient for each axis of which it takes every so many elements."""
        dims = list(part.dims or ())
        for axis, old in enumerate(whole.dims or ()):
            if isinstance(dims[axis], Break):
                dims[axis] = self.quotients.strided(node, constants, axis, old) or dims[axis]
        return State(tuple(dims))

    def _constant(self, name: str) -> Array | None:
        """The value of a tensor that does not depend on sizes: neither its elements nor how many there are."""
        state = self.states.get(name, State())
        is_short = all(isinstance(dim, Quantity) and dim.constant is not None for dim in state.dims or ())
        return self._facts[0].get(name, UNKNOWN).value if state.value is None and is_short else None

    def _values(self, node: Node, inputs: list[State]) -> list[Array] | None:
        """The numbers of the results where all inputs have some; None where one has none, or they are too many."""
        op = operator(node)
        if op in SIZES:
            return self._shape(node, inputs[0])
        arrays = [
            (self._constant(t.name) if s.value is None else s.value) if t.name else None
            for s, t in zip(inputs, node.inputs, strict=True)
        ]
        if any(a is None and t.name for a, t in zip(arrays, node.inputs, strict=True)):
            return None
        given = [np.empty(0) if a is None else a for a in arrays]
        if (op in COPIES and op not in ELEMENTWISE) or op == "Identity":
            return self._moved(node, arrays)
        arithmetic = SizeArithmetic(node, *self._types(node), self.range_of, self.names, self.quotients.of)
        if op in REDUCTIONS:
            return [_reduced(arithmetic, node, given)]
        if op not in ELEMENTWISE or max(a.size for a in given) > LONGEST:
            return None
        wide = np.broadcast_shapes(*(a.shape for a, t in zip(given, node.inputs, strict=True) if t.name))
        places = [np.broadcast_to(a, wide).reshape(-1) for a, t in zip(given, node.inputs, strict=True) if t.name]
        out = np.empty(prod(wide), object)
        for k in range(out.size):
            out[k] = arithmetic.apply([element(a[k]) for a in places])
        if arithmetic.target == np.float16:
            self.halves.add(node.outputs[0].name)
        return [out.reshape(wide)]

    def _types(self, node: Node) -> tuple[np.dtype[Any] | None, np.dtype[Any] | None]:
        facts = self._facts[0]
        return facts.get(node.inputs[0].name, UNKNOWN).dtype, facts.get(node.outputs[0].name, UNKNOWN).dtype

    def _shape(self, node: Node, state: State) -> list[Array] | None:
        if state.dims is None or all(isinstance(d, Quantity) and d.constant is not None for d in state.dims):
            return None
        dims = list(state.dims)
        if operator(node) == "Shape":
            return [_objects(dims[node.attrs.get("start", 0) : node.attrs.get("end", len(dims))])]
        total = Quantity.of(1)
        for dim in dims:
            if isinstance(dim, Break):
                return [_objects([dim]).reshape(())]
            total = total.times(dim)
        return [_objects([total]).reshape(())]

    def _moved(self, node: Node, arrays: list[Array | None]) -> list[Array] | None:
        """Movement of elements, at places that do not depend on sizes; None where they do."""
        rule = EVALUATORS.get(operator(node))
        fixed = arrays[1:] if operator(node) != "Concat" else []
        if rule is None or any(a is not None and a.dtype == object for a in fixed):
            return None
        wide = [
            a if a is None or (k and operator(node) != "Concat") else _objects_like(a) for k, a in enumerate(arrays)
        ]
        result = rule(Call(wide, plain_attributes(node.attrs), self._scope.opset, len(node.outputs)))
        return [np.asarray(r) for r in (result if isinstance(result, tuple) else (result,))]

    def _branch(self, node: Node, condition: State) -> list[State]:
        """The branch that is taken at all sizes; where that changes, what both make alike, a break in all else."""
        value = self._facts[0].get(node.inputs[0].name, UNKNOWN).value
        if condition.value is not None:
            (chosen,) = condition.value.reshape(-1)
            if isinstance(chosen, Break):
                both = zip(*(self._of_body(node.attrs[name]) for name in ("then_branch", "else_branch")), strict=True)
                broken = (State(self._broken_dims(t.name, chosen), _objects([chosen])) for t in node.outputs)
                return [one if one.is_same(other) else bad for (one, other), bad in zip(both, broken, strict=True)]
            value = np.asarray(chosen.constant)
        if value is None:
            return []
        return self._of_body(node.attrs["then_branch" if bool(value) else "else_branch"])

    def _of_body(self, body: Body) -> list[State]:
        """What is known of the results of a branch."""
        inner = Scope.of(body)
        self._facts = [{**infer(inner, {}, facts), **facts} for facts in self._facts]
        for name, tensor in inner.tensors.items():
            if isinstance(tensor, Constant):
                self.states[name] = State(tuple(map(Quantity.of, tensor.shape)))
        self.look_at(inner.nodes)
        return [self.states.get(t.name, State()) for t in body.outputs]

    # ---- what was found against the numbers at each set of sizes -----------------------------------------------------

    def _checked(self, node: Node, name: str, position: int, state: State) -> State:
        """The state, with a break wherever it does not give the numbers that inference has."""
        facts = [f.get(name, UNKNOWN) for f in self._facts]
        dims = state.dims
        if any(f.shape is None for f in facts):
            dims = None
        elif dims is None or len(dims) != len(facts[0].shape or ()) or not self._agrees(dims, facts):
            dims = self._guessed(node, name, [f.shape or () for f in facts])
        return State(dims, self._checked_value(node, state.value, facts))

    def _agrees(self, dims: Sequence[Element], facts: Sequence[Fact]) -> bool:
        return all(
            isinstance(dim, Break) or dim.at(self._at[k]) == (fact.shape or ())[axis]
            for axis, dim in enumerate(dims)
            for k, fact in enumerate(facts)
            if len(fact.shape or ()) == len(dims)
        )

    def _checked_value(self, node: Node, value: Array | None, facts: Sequence[Fact]) -> Array | None:
        known = [fact.value for fact in facts if fact.value is not None]
        if value is None:
            return _without_formula(node, known) if len(known) == len(facts) else None
        flat = value.reshape(-1)
        for k, fact in enumerate(facts):
            actual = np.empty(0) if fact.value is None or fact.value.shape != value.shape else fact.value.reshape(-1)
            for place, number in enumerate(actual):
                if not self._is_near(flat[place], float(number), k):
                    flat[place] = Break(node.name, f"{node.op} of sizes is not what its formula says")
        return value

    def _is_near(self, item: Element, number: float, k: int) -> bool:
        """Whether the formula gives a number of set `k`, which floats may have rounded."""
        if isinstance(item, Break):
            return True
        expected = float(item.at(self._at[k]))
        return abs(expected - number) <= abs(expected) * (1e-6 if number.is_integer() else 1e-3)

    def _broken_dims(self, name: str, why: Break) -> tuple[Element, ...] | None:
        shapes = [f.get(name, UNKNOWN).shape for f in self._facts]
        return None if shapes[0] is None else (why,) * len(shapes[0])

    def _guessed(self, node: Node, name: str, shapes: Sequence[tuple[int, ...]]) -> tuple[Element, ...] | None:
        """Dims of an operator without a rule: numbers, dims at the same place of its input, or sizes of their own."""
        if len({len(shape) for shape in shapes}) > 1:
            return None
        first = self.states.get(node.inputs[0].name, State()).dims if node.inputs else None
        out: list[Element] = []
        for axis, values in enumerate(zip(*shapes, strict=True)):
            like = first[axis] if first is not None and axis < len(first) else None
            if len(set(values)) == 1:
                out.append(Quantity.of(values[0]))
            elif isinstance(like, Break) or (like is not None and self._has(like, values)):
                out.append(like)
            elif (dim := self.quotients.strided(node, (), axis, like, 2)) is not None and self._has(dim, values):
                out.append(dim)
            else:
                out.append(self._symbol(f"dim {axis} of '{name}'", values))
                self.sources[len(self.names) - 1] = self._behind(like)
        return tuple(out)

    def _has(self, dim: Quantity, values: Sequence[int]) -> bool:
        return all(dim.at(self._at[k]) == value for k, value in enumerate(values))

    def _behind(self, like: Element | None) -> frozenset[int]:
        """The symbols that a size follows from by no formula: those of the dim at its place of the input."""
        atoms = like.atoms if isinstance(like, Quantity) else frozenset()
        return atoms | {b for a in atoms for b in self.sources.get(a, ())}


def of_claim(scope: Scope, output: str, stops: Collection[str]) -> list[Node]:
    """The nodes from `stops` to `output` and the arithmetic of sizes that they use, not what is behind a shape."""
    found: dict[int, Node] = {}
    pending = [output]
    while pending:
        name = pending.pop()
        node, _ = scope.producer.get(name, (None, 0))
        if node is None or name in stops or id(node) in found:
            continue
        found[id(node)] = node
        pending += [] if operator(node) in SIZES else [t.name for t in reads_of(node)]
    return sorted(found.values(), key=lambda node: scope.order[node.outputs[0].name])


def _without_formula(node: Node, known: Sequence[Array]) -> Array | None:
    """Breaks for numbers that differ from set to set; None where there are none, or as many as a size says."""
    first = known[0]
    if all(np.array_equal(v, first) for v in known) or any(v.shape != first.shape for v in known):
        return None
    why = Break(node.name, f"no formula is known for what {node.op} makes of sizes")
    return _objects([why] * first.size).reshape(first.shape)


def _objects(items: Sequence[Any]) -> Array:
    out = np.empty(len(items), object)
    out[:] = items
    return out


def _objects_like(array: Array) -> Array:
    return _objects([element(v) for v in array.reshape(-1)]).reshape(array.shape)


def _reduced(arithmetic: SizeArithmetic, node: Node, arrays: Sequence[Array]) -> Array:
    """A reduction of a list of numbers to one."""
    if arrays[0].ndim != 1:
        raise ValueError("a reduction of a table")
    total = arithmetic.apply([element(v) for v in arrays[0]])
    return _objects([total]).reshape((1,) if node.attrs.get("keepdims", 1) else ())
