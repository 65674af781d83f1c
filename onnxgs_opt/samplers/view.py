"""A tensor and the layout that makes it a canonical operand: its sizes, and arrays laid out so."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Size = int | str | None
"""A dimension: its size, or its name, or nothing known."""


def known_product(sizes: Iterable[int | None]) -> int | None:
    """The product of sizes, 1 of none; None where one is not known."""
    known = list(sizes)
    return None if None in known else math.prod(cast("list[int]", known))


@dataclass(frozen=True)
class Layout:
    """Canonical sizes of a site: N, C, H, W, Ho, Wo."""

    batch: int
    channels: int
    image: tuple[int, int]
    samples: tuple[int, int]

    def of_image(self) -> tuple[int, ...]:
        """Shape of the image."""
        return (self.batch, self.channels, *self.image)

    def of_samples(self) -> tuple[int, ...]:
        """Shape of the coordinates, and of the result without its channels."""
        return (self.batch, *self.samples)


def tensor_shape(view: View, dims: Sequence[Size], canonical: Sequence[int]) -> tuple[int, ...]:
    """The tensor's shape at canonical sizes; an axis that is 1 broadcasts.

    Raises:
        ValueError: The tensor's static dims and the sizes contradict each other.
    """
    inner: list[Size] = list(dims)
    if view.split is not None:
        axis, sizes = view.split
        inner[axis : axis + 1] = [None if s < 0 else s for s in sizes]
    for group, size in zip(view.groups, canonical, strict=False):
        _settle(inner, group, size)
    solved = [d if isinstance(d, int) else 1 for d in inner]
    if view.split is not None:
        axis, sizes = view.split
        solved[axis : axis + len(sizes)] = [int(np.prod(solved[axis : axis + len(sizes)]))]
    return tuple(solved)


def _settle(dims: list[Size], group: Sequence[int], size: int) -> None:
    """Give the unknown dims of one group what is left of its size: the first all of it."""
    known = int(np.prod([d for a in group if isinstance(d := dims[a], int)], dtype=np.int64))
    unknown = [a for a in group if not isinstance(dims[a], int)]
    if not unknown:
        if group and known not in (1, size):
            raise ValueError(f"an axis of {known} cannot stand for {size}")
        return
    if size % known:
        raise ValueError(f"{size} does not divide into {known}")
    for axis in unknown:
        dims[axis] = 1
    dims[unknown[0]] = size // known


def lay_out(view: View, canonical: Array, shape: Sequence[int]) -> Array:
    """A tensor of `shape` whose view is `canonical`, or a part of it where the tensor has an axis of 1."""
    canonical = canonical - np.asarray(view.shift, canonical.dtype) if view.shift else canonical
    for axis, step in enumerate(view.steps):
        canonical = canonical - ramp(axis, step * np.arange(canonical.shape[axis]), len(view.steps), canonical.dtype)
    inner = cast("list[int]", view.split_dims(shape))
    part = canonical[tuple(slice(0, size) for size in spans(view, shape))]
    apart = part.reshape([inner[a] for a in view.order])
    placed = apart.transpose([view.order.index(a) for a in sorted(view.order)])
    return np.ascontiguousarray(placed.reshape(tuple(shape)))


def ramp(axis: int, values: Array, rank: int, dtype: Any) -> Array:
    """Values along one axis of so many, the others 1."""
    return values.astype(dtype).reshape([-1 if k == axis else 1 for k in range(rank)])


def spans(view: View, shape: Sequence[int]) -> list[int]:
    """The canonical sizes that a tensor of `shape` holds; 1 where it broadcasts."""
    inner = cast("list[int]", view.split_dims(shape))
    return [int(np.prod([inner[a] for a in group], dtype=np.int64)) for group in view.groups]


@dataclass(frozen=True)
class View:
    """A tensor of the graph and the layout that makes it a canonical operand.

    The operand is `tensor`, with axis `split[0]` first reshaped into sizes `split[1]` (one may be -1), transposed so
    that the axes stand in the order of `groups`, and each group merged into one axis; an empty group is an axis of 1.
    Axes of the (split) tensor, `rank` in all, that are in no group have size 1 and are dropped. `shift` is added: the
    model may count its pixels from another one. So is, of each axis of the operand, the place times its one of `steps`:
    the model may have distances from where a point stands.
    """

    tensor: str
    groups: tuple[tuple[int, ...], ...]
    split: tuple[int, tuple[int, ...]] | None = None
    units: int = 0
    shift: int = 0
    steps: tuple[int, ...] = ()

    @property
    def rank(self) -> int:
        """Axes of the (split) tensor, its `units` dropped ones included."""
        return len(self.order) + self.units

    @property
    def order(self) -> tuple[int, ...]:
        """The axes of the (split) tensor in the operand's order."""
        return tuple(axis for group in self.groups for axis in group)

    def split_dims(self, dims: Sequence[int | None]) -> list[int | None]:
        """The sizes of the axes of the (split) tensor, whose own are `dims`; None for what is not known."""
        inner = list(dims)
        if self.split is not None:
            axis, sizes = self.split
            whole, known = dims[axis], math.prod(s for s in sizes if s > 0)
            inner[axis : axis + 1] = [s if s > 0 else None if whole is None else whole // known for s in sizes]
        return inner

    def with_unit_axis(self, axis: int) -> View:
        """The same view with an axis of size 1 at `axis`: one that it would drop, if there is any."""
        spare = sorted(set(range(self.rank)) - set(self.order))[:1]
        groups = (*self.groups[:axis], tuple(spare), *self.groups[axis:])
        steps = (*self.steps[:axis], 0, *self.steps[axis:]) if self.steps else ()
        return replace(self, groups=groups, units=self.units - len(spare), steps=steps)
