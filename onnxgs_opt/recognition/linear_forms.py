"""What a tensor is of another one: sums of its elements at fixed places, times fixed numbers.

Every rule works at one set of sizes. What is computed of data has no such form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from math import prod

import numpy as np

from onnxgs_opt.ir import Node
from onnxgs_opt.ir.def_use import Array, Scope
from onnxgs_opt.ir.operators import einsum_letters, operator
from onnxgs_opt.recognition.broadcast import apart, spread, squashed, wide
from onnxgs_opt.recognition.fixed_values import FixedValues
from onnxgs_opt.recognition.lifting.shape_functions import UNKNOWN, reduced_axes, slice_ranges, split_sizes
from onnxgs_opt.recognition.linear_form import (
    Form,
    NoForm,
    Term,
    at_places,
    bounded,
    identity,
    reshaped,
    scaled,
    summed,
    together,
)
from onnxgs_opt.samplers.view import ramp

MOST_TERMS = 128
DEEPEST = 50
"""Tensors on the way to one whose form is asked for."""

MOST_SUMMED = 16
"""Elements that a sum over axes may have: it sums the reads that were stacked there."""


def shape_of(values: FixedValues, name: str) -> tuple[int, ...]:
    """A tensor's shape; NoForm where it is not known."""
    shape = values.facts.get(name, UNKNOWN).shape
    if shape is None:
        raise NoForm(f"the shape of '{name}' is not known")
    return shape


class Forms:
    """The forms of the tensors of one graph in terms of `base`, each found once.

    `drops_constants`: what is added that no data decides is left out, so that a form is the linear part of a tensor.
    """

    most_summed = MOST_SUMMED

    def __init__(self, scope: Scope, values: FixedValues, base: str, drops_constants: bool = False) -> None:
        self.values = values
        self.base = base
        self.drops_constants = drops_constants
        self._scope = scope
        self._depth = 0
        self._forms: dict[str, Form | NoForm] = {base: identity(self.shape(base))}
        self._seeds = frozenset((base,))

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape."""
        return shape_of(self.values, name)

    def of(self, name: str) -> Form:
        """The form of a tensor that is not far from what is known; NoForm where it has none."""
        if name not in self._forms:
            self._depth += 1
            try:
                self._forms[name] = self._found(name)
            except NoForm as reason:
                self._forms[name] = reason
            except (ValueError, IndexError, KeyError, TypeError) as reason:
                self._forms[name] = NoForm(f"'{name}' is made in a way that has no rule: {reason}")
            finally:
                self._depth -= 1
        found = self._forms[name]
        if isinstance(found, NoForm):
            raise found
        return found

    def constant(self, name: str, sign: float, rank: int) -> Sequence[Term]:
        """What a fixed tensor that is added is in a form of a rank: nothing, where it is left out."""
        if not self.drops_constants and self.fixed(name).any():
            raise NoForm("a number is added to it")
        return ()

    def traced(self, name: str) -> Form:
        """The form of a tensor, however far it is from what is known; NoForm where it has none."""
        for node in self._scope.backward_slice([name], self._seeds):
            for tensor in node.outputs:
                if not self.values.is_fixed(tensor.name):
                    with suppress(NoForm):
                        self.of(tensor.name)
        return self.of(name)

    def fixed(self, name: str) -> Array:
        """The value of a fixed tensor."""
        value = self.values.value(name)
        if value is None:
            raise NoForm(f"what '{name}' holds is not known")
        return value

    def _found(self, name: str) -> Form:
        node, position = self._scope.producer.get(name, (None, 0))
        rule = None if node is None else RULES.get(operator(node))
        if node is None or rule is None or self._depth > DEEPEST:
            raise NoForm(f"'{name}' is made of data")
        found = rule(self, node, position)
        if found.shape != self.shape(name) or len(found.terms) > MOST_TERMS:
            raise NoForm(f"'{name}' is no short sum of elements at fixed places")
        return found


Rule = Callable[[Forms, Node, int], Form]


# ---- elements at other places ---------------------------------------------------------------------------------------


def _same(forms: Forms, node: Node, position: int) -> Form:
    return forms.of(node.inputs[0].name)


def _transpose(forms: Forms, node: Node, position: int) -> Form:
    form = forms.of(node.inputs[0].name)
    perm = node.attrs.get("perm", range(len(form.shape))[::-1])
    return form.moved([form.shape[p] for p in perm], lambda a: a.transpose(perm))


def _reshape(forms: Forms, node: Node, position: int) -> Form:
    form, new = forms.of(node.inputs[0].name), forms.shape(node.outputs[0].name)
    return form.moved(new, lambda a: reshaped(a, form.shape, new))


def _expand(forms: Forms, node: Node, position: int) -> Form:
    form, new = forms.of(node.inputs[0].name), forms.shape(node.outputs[0].name)
    return form.moved(new, lambda a: wide(a, len(new)))


def _slice(forms: Forms, node: Node, position: int) -> Form:
    form = forms.of(node.inputs[0].name)
    bounds = [None, *(forms.fixed(t.name) if t.name else None for t in node.inputs[1:])]
    taken = slice_ranges(node, bounds, form.shape)
    return at_places(form, {axis: np.asarray(list(places)) for axis, places in taken.items()})


def _split(forms: Forms, node: Node, position: int) -> Form:
    form = forms.of(node.inputs[0].name)
    facts = [forms.values.facts.get(t.name, UNKNOWN) for t in node.inputs]
    axis, sizes = split_sizes(node, facts)
    start = sum(sizes[:position])
    return at_places(form, {axis: np.arange(start, start + sizes[position])})


def _gather(forms: Forms, node: Node, position: int) -> Form:
    form, index = forms.of(node.inputs[0].name), forms.fixed(node.inputs[1].name)
    axis = node.attrs.get("axis", 0) % len(form.shape)
    at = _wrapped(index, form.shape[axis])
    return form.moved((*form.shape[:axis], *at.shape, *form.shape[axis + 1 :]), lambda a: apart(a, at, axis))


def _wrapped(index: Array, size: int) -> Array:
    """Indices of which negative ones count from the end."""
    if index.size and not (index.min() >= -size and index.max() < size):
        raise NoForm("an index leaves what it reads")
    return np.where(index < 0, index + size, index)


def _gather_elements(forms: Forms, node: Node, position: int) -> Form:
    form, index = forms.of(node.inputs[0].name), forms.fixed(node.inputs[1].name)
    axis = node.attrs.get("axis", 0) % len(form.shape)
    at = squashed(_wrapped(index, form.shape[axis]))
    cut = at_places(form, {k: np.arange(size) for k, size in enumerate(index.shape) if k != axis})

    def move(array: Array) -> Array:
        if array.shape[axis] == 1:
            return array
        apart = [max(a, b) for a, b in zip(array.shape, at.shape, strict=True)]
        source, places = [*apart], [*apart]
        source[axis], places[axis] = array.shape[axis], at.shape[axis]
        wide = np.broadcast_to(array, bounded(source)), np.broadcast_to(at, bounded(places))
        return squashed(np.take_along_axis(*wide, axis))

    return cut.moved(index.shape, move)


def _gather_nd(forms: Forms, node: Node, position: int) -> Form:
    form, index = forms.of(node.inputs[0].name), forms.fixed(node.inputs[1].name)
    batch, depth, rank = node.attrs.get("batch_dims", 0), index.shape[-1], index.ndim - 1
    at = [ramp(axis, np.arange(size), rank) for axis, size in enumerate(index.shape[:batch])]
    at += [squashed(_wrapped(index[..., k], form.shape[batch + k])) for k in range(depth)]
    none = np.zeros([1] * rank, np.int64)

    def move(array: Array) -> Array:
        places = [none if array.shape[axis] == 1 else part for axis, part in enumerate(at)]
        bounded(np.broadcast_shapes(*(p.shape for p in places)))
        return array[tuple(np.broadcast_arrays(*places))] if places else array

    return form.moved((*index.shape[:-1], *form.shape[batch + depth :]), move)


# ---- sums and products ----------------------------------------------------------------------------------------------


def _multiply(forms: Forms, node: Node, position: int) -> Form:
    a, b = (t.name for t in node.inputs)
    if forms.values.is_fixed(a):
        a, b = b, a
    return scaled(forms.of(a), forms.fixed(b))


def _divide(forms: Forms, node: Node, position: int) -> Form:
    divisor = forms.fixed(node.inputs[1].name).astype(np.float64)
    if not divisor.all():
        raise NoForm("it is divided by 0")
    return scaled(forms.of(node.inputs[0].name), 1 / divisor)


def _sum(forms: Forms, names: Sequence[str], signs: Sequence[float]) -> Form:
    shapes = [forms.shape(name) for name in names]
    shape = np.broadcast_shapes(*shapes)
    terms: list[Term] = []
    for name, own, sign in zip(names, shapes, signs, strict=True):
        if forms.values.is_fixed(name):
            terms += forms.constant(name, sign, len(shape))
            continue
        form = forms.of(name) if sign == 1 else scaled(forms.of(name), np.asarray(sign))
        if own != shape:
            raise NoForm("sums of tensors of several shapes")
        terms += form.terms
    return Form(tuple(shape), tuple(terms))


def _add(forms: Forms, node: Node, position: int) -> Form:
    return _sum(forms, [t.name for t in node.inputs], [1.0] * len(node.inputs))


def _subtract(forms: Forms, node: Node, position: int) -> Form:
    return _sum(forms, [t.name for t in node.inputs], [1.0, -1.0])


def _negate(forms: Forms, node: Node, position: int) -> Form:
    return scaled(forms.of(node.inputs[0].name), np.asarray(-1.0))


def _reduce_sum(forms: Forms, node: Node, position: int) -> Form:
    """A sum over an axis of a few elements, at which reads were stacked."""
    name = node.inputs[0].name
    form = forms.of(name)
    axes = reduced_axes(node, [forms.values.facts.get(t.name, UNKNOWN) for t in node.inputs])
    if prod(form.shape[a] for a in axes) > forms.most_summed:
        raise NoForm("a sum of many elements")
    form, shape = summed(form, axes), forms.shape(node.outputs[0].name)
    return form.moved(shape, lambda a: reshaped(a, form.shape, shape))


def _einsum(forms: Forms, node: Node, position: int) -> Form:
    """Elements times a table, summed over axes of a few of them, as `ReduceSum` does."""
    terms, made = einsum_letters(node) or ([], "")
    names = [t.name for t in node.inputs]
    if len(terms) != len(names) or [forms.values.is_fixed(name) for name in names].count(True) != len(names) - 1:
        raise NoForm("an Einsum that is no product with a table")
    place = next(k for k, name in enumerate(names) if not forms.values.is_fixed(name))
    form, own = forms.of(names[place]), terms[place]
    for name, letters in zip(names, terms, strict=True):
        if name != names[place]:
            table = forms.fixed(name)
            if not set(letters) <= set(own):
                raise NoForm("an Einsum that makes axes of a table")
            form = scaled(form, spread(table, [own.index(a) for a in letters], len(own)))
    axes = [k for k, a in enumerate(own) if a not in made]
    if not set(made) <= set(own) or prod(form.shape[k] for k in axes) > forms.most_summed:
        raise NoForm("a sum of many elements")
    perm = [*(own.index(a) for a in made), *axes]
    shape = forms.shape(node.outputs[0].name)
    return summed(form, axes).moved(shape, lambda a: a.transpose(perm).reshape([a.shape[k] for k in perm[: len(made)]]))


def _where(forms: Forms, node: Node, position: int) -> Form:
    """One of two by a fixed mask; what both have of the same elements is one term."""
    shape, mask = forms.shape(node.outputs[0].name), forms.fixed(node.inputs[0].name)
    terms: list[Term] = []
    for tensor, own in zip(node.inputs[1:], (mask, ~mask), strict=True):
        if forms.values.is_fixed(tensor.name):
            terms += forms.constant(tensor.name, 1.0, len(shape)) if own.any() else ()
        elif own.any():
            form = scaled(forms.of(tensor.name), own.astype(np.float64))
            if form.shape != shape:
                raise NoForm("parts of tensors of several shapes")
            terms += form.terms
    return Form(shape, together(terms))


def _concat(forms: Forms, node: Node, position: int) -> Form:
    """Parts one after the other along an axis; each may have been read otherwise, but alike in number."""
    parts = [forms.of(t.name) for t in node.inputs]
    shape = forms.shape(node.outputs[0].name)
    axis = node.attrs["axis"] % len(shape)
    if len({(len(p.terms), tuple(len(t.factors) for t in p.terms)) for p in parts}) > 1:
        raise NoForm("parts that are made otherwise")

    def joined(arrays: Sequence[Array]) -> Array:
        tall = [np.broadcast_to(a, _with(a.shape, axis, p.shape[axis])) for a, p in zip(arrays, parts, strict=True)]
        wide = np.broadcast_shapes(*(_with(a.shape, axis, 1) for a in tall))
        whole = [np.broadcast_to(a, bounded(_with(wide, axis, a.shape[axis]))) for a in tall]
        return squashed(np.concatenate(whole, axis))

    terms = []
    for several in zip(*(p.terms for p in parts), strict=True):
        index = tuple(joined(arrays) for arrays in zip(*(t.index for t in several), strict=True))
        factors = tuple(joined(arrays) for arrays in zip(*(t.factors for t in several), strict=True))
        terms.append(Term(index, factors))
    return Form(tuple(shape), tuple(terms))


def _with(shape: Sequence[int], axis: int, size: int) -> tuple[int, ...]:
    return tuple(size if k == axis else own for k, own in enumerate(shape))


def _cast(forms: Forms, node: Node, position: int) -> Form:
    """Between floats: the values are the same, as exact as the type."""
    kinds = [forms.values.facts.get(t.name, UNKNOWN).dtype for t in (node.inputs[0], node.outputs[0])]
    if any(kind is None or kind.kind != "f" for kind in kinds):
        raise NoForm("it is cast to another kind of numbers")
    return forms.of(node.inputs[0].name)


RULES: dict[str, Rule] = {
    "Add": _add,
    "Cast": _cast,
    "Concat": _concat,
    "Div": _divide,
    "Einsum": _einsum,
    "Expand": _expand,
    "Flatten": _reshape,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Identity": _same,
    "Mul": _multiply,
    "Neg": _negate,
    "ReduceSum": _reduce_sum,
    "Reshape": _reshape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _reshape,
    "Sub": _subtract,
    "Sum": _add,
    "Transpose": _transpose,
    "Unsqueeze": _reshape,
    "Where": _where,
}
