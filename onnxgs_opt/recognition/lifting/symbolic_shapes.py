"""Shapes of operators' results where the sizes are symbols."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, TypeAlias

import numpy as np

from onnxgs_opt.ir import Node
from onnxgs_opt.ir.def_use import Array
from onnxgs_opt.ir.operators import ELEMENTWISE, einsum_letters
from onnxgs_opt.recognition.algebra.quantity import Quantity
from onnxgs_opt.recognition.lifting.shape_functions import SHAPES, Fact, ShapeRule, slice_bounds
from onnxgs_opt.recognition.lifting.size_values import MOST, Break, Element, element

Dims: TypeAlias = tuple[Element, ...]
ONE = Quantity.of(1)


@dataclass(frozen=True)
class State:
    """What is known of a tensor: its dims, and its elements where they follow from sizes."""

    dims: Dims | None = None
    value: Array | None = None

    @property
    def is_rounded(self) -> bool:
        """Whether an element is a whole number, which floats give only nearly."""
        items = () if self.value is None else self.value.reshape(-1)
        return any(isinstance(item, Quantity) and item.is_rounded and item.is_integral for item in items)

    def is_same(self, other: State) -> bool:
        """Whether both are the same numbers at all sizes."""
        if self.value is None or other.value is None or self.first_break(values=True) is not None:
            return False
        return self.dims == other.dims and bool(np.array_equal(self.value, other.value))

    def first_break(self, values: bool) -> Break | None:
        """The first dim that is a break, or, where `values`, the first element."""
        items = (*(self.dims or ()), *(() if self.value is None or not values else self.value.reshape(-1)))
        return next((item for item in items if isinstance(item, Break)), None)


Rule = Callable[[Node, list[State], list["Array | None"]], list[State]]


def _known(state: State) -> Dims:
    if state.dims is None:
        raise ValueError("unknown shape")
    return state.dims


def _is(dim: Element, number: int) -> bool:
    return isinstance(dim, Quantity) and dim.constant == number


def _broadcast(shapes: Sequence[Dims]) -> Dims:
    """Sizes that are not 1: where two have different names, the model runs only where they are equal."""
    out: list[Element] = []
    for places in zip_longest(*(reversed(s) for s in shapes), fillvalue=ONE):
        wide = [d for d in places if not _is(d, 1)]
        broken = next((d for d in wide if isinstance(d, Break)), None)
        out.append(broken or (min(wide, key=_simplicity) if wide else ONE))
    return tuple(reversed(out))


def _simplicity(dim: Element) -> tuple[int, int]:
    """Numbers first, then the sizes that came first."""
    return (0, 0) if not isinstance(dim, Quantity) or not dim.atoms else (1, min(dim.atoms))


def _of_numbers(rule: ShapeRule) -> Rule:
    """The rule for sizes that are numbers, which serves for symbols too where it computes nothing of them."""

    def moved(node: Node, inputs: list[State], constants: list[Array | None]) -> list[State]:
        shapes: list[Any] = [state.dims and tuple(map(_plain, state.dims)) for state in inputs]
        made: list[Any] = rule(node, [Fact(shape, None, value) for shape, value in zip(shapes, constants, strict=True)])
        return [State(fact.shape and tuple(map(_symbolic, fact.shape))) for fact in made]

    return moved


def _plain(dim: Element) -> Element | int:
    """A size as a number, where it is one."""
    return dim.constant if isinstance(dim, Quantity) and isinstance(dim.constant, int) else dim


def _symbolic(dim: Element | int) -> Element:
    return Quantity.of(dim) if isinstance(dim, int) else dim


def _elementwise(node: Node, inputs: list[State], constants: list[Array | None]) -> list[State]:
    return [State(_broadcast([_known(s) for s, t in zip(inputs, node.inputs, strict=True) if t.name]))]


def _numbers(node: Node, inputs: list[State], constants: list[Array | None], position: int) -> list[Element]:
    """The elements of a shape that is an input."""
    value = inputs[position].value
    array = constants[position] if value is None else value
    if array is None:
        raise ValueError("not known")
    return [element(v) for v in np.ravel(array)]


def _reshape(node: Node, inputs: list[State], constants: list[Array | None]) -> list[State]:
    old = _known(inputs[0])
    if "shape" in node.attrs:
        target = [element(int(v)) for v in node.attrs["shape"]]
    else:
        target = _numbers(node, inputs, constants, 1)
    zero = bool(node.attrs.get("allowzero", 0))
    dims = [old[k] if _is(d, 0) and not zero else d for k, d in enumerate(target)]
    if any(_is(d, -1) for d in dims):
        place = next(k for k, d in enumerate(dims) if _is(d, -1))
        dims[place] = _rest(old, [d for k, d in enumerate(dims) if k != place], node)
    return [State(tuple(dims))]


def _rest(old: Sequence[Element], others: Sequence[Element], node: Node) -> Element:
    """What is left of a product for a dim of -1."""
    broken = next((d for d in (*old, *others) if isinstance(d, Break)), None)
    if broken is not None:
        return broken
    total = ONE
    for dim in old:
        total = total.times(dim) if isinstance(dim, Quantity) else total
    for dim in others:
        total = total.by(dim) if isinstance(dim, Quantity) else total
    return total if total.is_integral else Break(node.name, "a Reshape leaves a size that is no product of sizes")


def _flatten(node: Node, inputs: list[State], constants: list[Array | None]) -> list[State]:
    old, axis = _known(inputs[0]), node.attrs.get("axis", 1)
    axis += len(old) if axis < 0 else 0
    return [State((_rest(old[:axis], (), node), _rest(old[axis:], (), node)))]


def _expand(node: Node, inputs: list[State], constants: list[Array | None]) -> list[State]:
    return [State(_broadcast([_known(inputs[0]), tuple(_numbers(node, inputs, constants, 1))]))]


def _filled(node: Node, inputs: list[State], constants: list[Array | None]) -> list[State]:
    return [State(tuple(_numbers(node, inputs, constants, 0)))]


def _tile(node: Node, inputs: list[State], constants: list[Array | None]) -> list[State]:
    repeats = _numbers(node, inputs, constants, 1)
    return [State(tuple(_rest((d, r), (), node) for d, r in zip(_known(inputs[0]), repeats, strict=True)))]


def _range(node: Node, inputs: list[State], constants: list[Array | None]) -> list[State]:
    start, limit, step = (_numbers(node, inputs, constants, k)[0] for k in range(3))
    if isinstance(start, Break) or isinstance(limit, Break) or isinstance(step, Break):
        return [State((next(n for n in (start, limit, step) if isinstance(n, Break)),))]
    if not step.over:
        return []
    count = limit.plus(start, -1).by(step)
    return [State((count,))] if count.is_integral and not count.is_rounded else []


def _concat(node: Node, inputs: list[State], constants: list[Array | None]) -> list[State]:
    shapes = [_known(s) for s in inputs]
    axis = node.attrs["axis"] % len(shapes[0])
    total: Element = shapes[0][axis]
    for shape in shapes[1:]:
        other = shape[axis]
        if isinstance(total, Quantity):
            total = total.plus(other) if isinstance(other, Quantity) else other
    wide = _broadcast(shapes)
    return [State((*wide[:axis], total, *wide[axis + 1 :]))]


def _gather_elements(node: Node, inputs: list[State], constants: list[Array | None]) -> list[State]:
    return [State(_known(inputs[1]))]


def _matmul(node: Node, inputs: list[State], constants: list[Array | None]) -> list[State]:
    """Batches of matrices; a vector has one row, or one column, that the result has not."""
    left, right = _known(inputs[0]), _known(inputs[1])
    batch = _broadcast([left[:-2], right[:-2]])
    return [State((*batch, *left[-2:-1], *(right[-1:] if len(right) > 1 else ())))]


def _einsum(node: Node, inputs: list[State], constants: list[Array | None]) -> list[State]:
    equation = einsum_letters(node)
    if equation is None:
        raise ValueError("not an equation of plain letters")
    sources, target = equation
    shapes = [dict(zip(letters, _known(s), strict=True)) for letters, s in zip(sources, inputs, strict=True)]
    return [State(tuple(_broadcast([(dims[axis],) for dims in shapes if axis in dims])[0] for axis in target))]


def _slice(node: Node, inputs: list[State], constants: list[Array | None]) -> list[State]:
    """Axes that are cut are of a length of their own, unless the whole or a part from the end is taken."""
    dims = list(_known(inputs[0]))
    for start, end, axis, step in zip(*slice_bounds(node, constants), strict=True):
        dims[axis] = _cut(node, dims[axis], start, end, step)
    return [State(tuple(dims))]


def _cut(node: Node, dim: Element, start: int, end: int, step: int) -> Element:
    if isinstance(dim, Break):
        return dim
    if isinstance(dim.constant, int):
        return Quantity.of(len(range(*slice(start, end, step).indices(dim.constant))))
    least, longest = dim.bounds(lambda _: (0, MOST))
    whole = end >= 2**31 - 1 or (longest is not None and end >= longest)
    if step == 1 and start in (0, 1) and (whole or end == -1) and not (start and not whole):
        return dim.plus(ONE, -1) if start or not whole else dim
    kept_out = start if whole else start - end  # of what has a margin, say, a part that is never longer
    if step == 1 and start >= 0 and (whole or end < 0) and least is not None and kept_out <= least:
        return dim.plus(ONE, -kept_out)
    if step == 1 and (start, end) in ((0, 1), (1, 2), (0, 2)):
        return Quantity.of(end - start)
    if step == 1 and start == -1 and whole:
        return ONE
    return Break(node.name, f"how many elements [{start}:{end}:{step}] are changes with the size that is cut")


DIMS: dict[str, Rule] = {
    **{name: _of_numbers(rule) for name, rule in SHAPES.items()},
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    "Concat": _concat,
    "ConstantOfShape": _filled,
    "Einsum": _einsum,
    "Expand": _expand,
    "Flatten": _flatten,
    "GatherElements": _gather_elements,
    "MatMul": _matmul,
    "Range": _range,
    "Reshape": _reshape,
    "Slice": _slice,
    "Tile": _tile,
}
"""What shape operators give; the others' results have sizes of their own."""
