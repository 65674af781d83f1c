"""A tensor as a sum of elements of another one, and what is made of such sums.

All arrays broadcast to the tensor's shape: the place along each axis of the other tensor, and the factors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from math import prod

import numpy as np

from onnxgs_opt.ir.def_use import Array
from onnxgs_opt.recognition.broadcast import apart, squashed, wide
from onnxgs_opt.recognition.fixed_values import MOST
from onnxgs_opt.recognition.lifting.indexing import next_run
from onnxgs_opt.samplers.view import ramp


class NoForm(Exception):  # noqa: N818 (a value that is not there, not a failure)
    """The tensor is no sum of elements at fixed places; the message says where that ends."""


@dataclass(frozen=True)
class Term:
    """Elements at `index`, one array of places for each axis of what is read, times all `factors`."""

    index: tuple[Array, ...]
    factors: tuple[Array, ...] = ()

    def moved(self, move: Callable[[Array], Array]) -> Term:
        """The term with every array moved alike."""
        return Term(tuple(map(move, self.index)), tuple(map(move, self.factors)))


@dataclass(frozen=True)
class Form:
    """A tensor of `shape` as a sum of terms, whose arrays have its rank and broadcast to it."""

    shape: tuple[int, ...]
    terms: tuple[Term, ...]

    def moved(self, shape: Sequence[int], move: Callable[[Array], Array]) -> Form:
        """The form of another shape, with every array moved alike."""
        return Form(tuple(shape), tuple(term.moved(move) for term in self.terms))


def identity(shape: Sequence[int]) -> Form:
    """A tensor as the form of itself."""
    index = [ramp(axis, np.arange(size), len(shape)) for axis, size in enumerate(shape)]
    return Form(tuple(shape), (Term(tuple(index)),))


def reshaped(array: Array, old: Sequence[int], new: Sequence[int]) -> Array:
    """An array that broadcasts to the old shape as one that broadcasts to the new one."""
    wide: list[int] = []
    target: list[int] = []
    i = j = 0
    while i < len(old) or j < len(new):
        i_end, j_end = next_run(tuple(old), tuple(new), i, j)
        alike = all(size == 1 for size in array.shape[i:i_end])
        wide += [1] * (i_end - i) if alike else old[i:i_end]
        target += [1] * (j_end - j) if alike else new[j:j_end]
        i, j = i_end, j_end
    return squashed(np.broadcast_to(array, bounded(wide)).reshape(target))


def bounded(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape; NoForm where it has more elements than are looked at."""
    if prod(shape) > MOST:
        raise NoForm("it has more elements than are looked at")
    return tuple(shape)


def at_places(form: Form, places: dict[int, Array]) -> Form:
    """The elements at some places of some axes."""

    def move(array: Array) -> Array:
        for axis, at in places.items():
            array = apart(array, at, axis)
        return array

    shape = [len(places[axis]) if axis in places else size for axis, size in enumerate(form.shape)]
    return form.moved(shape, move)


def scaled(form: Form, factor: Array) -> Form:
    """The form times a fixed array of at most its rank, which broadcasts to its shape."""
    if np.broadcast_shapes(form.shape, factor.shape) != form.shape:
        raise NoForm("it is repeated by what it is multiplied with")
    own = wide(factor.astype(np.float64), len(form.shape))
    return replace(form, terms=tuple(replace(t, factors=(*t.factors, squashed(own))) for t in form.terms))


def summed(form: Form, axes: Sequence[int]) -> Form:
    """The sum over some axes, of which axes of 1 are left."""
    for axis in axes:
        parts = [at_places(form, {axis: np.asarray([k])}) for k in range(form.shape[axis])]
        form = Form(parts[0].shape, tuple(t.moved(_only(axis)) for part in parts for t in part.terms))
    return form


def _only(axis: int) -> Callable[[Array], Array]:
    return lambda a: a.take([0], axis)


def together(terms: Sequence[Term]) -> tuple[Term, ...]:
    """Terms with those of the same elements as one, where their factors change along one axis only."""
    groups: dict[int, list[Term]] = {}
    for term in terms:
        groups.setdefault(id(term.index), []).append(term)
    found: list[Term] = []
    for own in groups.values():
        rank = own[0].index[0].ndim
        products = [reduce(np.multiply, term.factors, np.ones([1] * rank)) for term in own]
        total = reduce(np.add, products)
        found += own if sum(size > 1 for size in total.shape) > 1 else [Term(own[0].index, (squashed(total),))]
    return tuple(found)
