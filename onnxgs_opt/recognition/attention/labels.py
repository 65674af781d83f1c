"""Which axes of a tensor are which of the attention's: items, queries, heads, levels, points and channels.

A label is a list of numbers, one array for each entry: a term of the sum, say. An array broadcasts to the output.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import prod

import numpy as np

from onnxgs_opt.ir.def_use import Array
from onnxgs_opt.recognition.broadcast import mixed, squashed
from onnxgs_opt.recognition.linear_form import NoForm
from onnxgs_opt.samplers.view import View, ramp


@dataclass(frozen=True)
class Label:
    """One axis of an operand: its size, and which of its places each entry has."""

    size: int
    places: tuple[Array, ...]


Labels = Mapping[str, Label]


def is_same(one: Array, other: Array) -> bool:
    """Whether two arrays that broadcast to one shape are equal there."""
    return bool(np.array_equal(squashed(one), squashed(other)))


def view_of(name: str, shape: Sequence[int], index: Sequence[Sequence[Array]], labels: Labels, dynamic: str) -> View:
    """The view of a tensor that has the labels as its axes, in their order.

    `index` has, for each axis of the tensor, a place for each entry. `dynamic` are the labels whose sizes are not
    written into the view.

    Raises:
        NoForm: The tensor has other axes, or more.
    """
    left = {key: label for key, label in labels.items() if label.size > 1}
    held: dict[int, tuple[str, ...]] = {}
    for axis, size in enumerate(shape):
        if size == 1:
            continue
        found = _on_axis(size, index[axis], left)
        if found is None:
            raise NoForm(f"'{name}' has elements in another order, or others, than the sum has terms")
        held[axis] = found
        left = {key: label for key, label in left.items() if key not in found}
    if left:
        raise NoForm(f"'{name}' does not have an element of its own for every term")
    many = [axis for axis, keys in held.items() if len(keys) > 1]
    if len(many) > 1:
        raise NoForm(f"'{name}' has several axes that are many in one")
    split = None
    moved = {axis: axis for axis in held}
    if many:
        (axis,) = many
        keys = held[axis]
        sizes = tuple(-1 if key == keys[0] and key in dynamic else labels[key].size for key in keys)
        split = axis, sizes
        moved = {own: own + (len(keys) - 1) * (own > axis) for own in held}
    places = {key: moved[axis] + k for axis, keys in held.items() for k, key in enumerate(keys)}
    groups = tuple((places[key],) if key in places else () for key in labels)
    rank = len(shape) + (0 if split is None else len(split[1]) - 1)
    return View(name, groups, split, rank - len(places))


def _on_axis(size: int, places: Sequence[Array], labels: Labels) -> tuple[str, ...] | None:
    """The labels that one axis holds, in their order."""
    for count in range(1, len(labels) + 1):
        for keys in permutations(labels, count):
            own = [labels[key] for key in keys]
            sizes = [label.size for label in own]
            if prod(sizes) == size and all(
                is_same(place, mixed([label.places[entry] for label in own], sizes, place.ndim))
                for entry, place in enumerate(places)
            ):
                return keys
    return None


def groupings(shape: Sequence[int], sizes: Mapping[str, int]) -> Iterator[tuple[tuple[str, ...], ...]]:
    """Every way in which axes of a shape may hold all labels of more than one element, each in some order."""
    left = [key for key, size in sizes.items() if size > 1]
    if not shape:
        yield from [()] if not left else []
        return
    for count in range(len(left) + 1):
        for keys in permutations(left, count):
            if prod(sizes[key] for key in keys) == shape[0]:
                rest = {key: size for key, size in sizes.items() if key not in keys}
                yield from ((keys, *others) for others in groupings(shape[1:], rest))


def along(shape: Sequence[int], groups: Sequence[Sequence[str]], sizes: Mapping[str, int]) -> dict[str, Array]:
    """For each label the place along it of every element of a shape whose axes hold the groups."""
    found = {key: np.zeros([1] * len(shape), np.int64) for key in sizes}
    for axis, keys in enumerate(groups):
        places = np.unravel_index(np.arange(shape[axis]), [sizes[key] for key in keys]) if keys else ()
        for key, place in zip(keys, places, strict=True):
            found[key] = ramp(axis, place, len(shape))
    return found
