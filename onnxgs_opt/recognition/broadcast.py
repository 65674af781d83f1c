"""Arrays that broadcast to what they describe: an axis of 1 is one along which they do not change."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onnxgs_opt.samplers.view import Array


def squashed(array: Array) -> Array:
    """The array with an axis of 1 where it does not change along an axis."""
    for axis, size in enumerate(array.shape):
        if size > 1:
            first = array.take([0], axis)
            array = first if (array == first).all() else array
    return array


def wide(array: Array, rank: int) -> Array:
    """The array with axes of 1 in front, so that it has `rank`."""
    return array.reshape([1] * (rank - array.ndim) + list(array.shape))


def spread(array: Array, places: Sequence[int], rank: int) -> Array:
    """The array with its axes at `places` of so many, and axes of 1 at the others."""
    array = array.transpose([places.index(axis) for axis in sorted(places)])
    sizes = dict(zip(sorted(places), array.shape, strict=True))
    return array.reshape([sizes.get(axis, 1) for axis in range(rank)])


def apart(array: Array, at: Array, axis: int) -> Array:
    """The elements at places of one axis, whose axes come in its place; they are 1 where nothing changes along it."""
    if array.shape[axis] == 1:
        return array.reshape((*array.shape[:axis], *[1] * at.ndim, *array.shape[axis + 1 :]))
    return array.take(at, axis)


def mixed(parts: Sequence[Array], sizes: Sequence[int], rank: int) -> Array:
    """One index from those of several axes of `sizes`, in their order."""
    whole = np.zeros([1] * rank, np.int64)
    for part, size in zip(parts, sizes, strict=True):
        whole = whole * size + part
    return squashed(whole)
