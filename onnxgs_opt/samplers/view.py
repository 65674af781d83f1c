"""A tensor and the layout that makes it a canonical operand: its sizes, and arrays laid out so."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
T = TypeVar("T")
LARGEST = 2**31 - 2**8
"""The most parts of a pixel that are tried: integers of four bytes hold it, and so do floats exactly."""
NO_SHAPES: Mapping[str, Sequence[int]] = {}
Size = int | str | None
"""A dimension: its size, or its name, or nothing known."""


def known_product(sizes: Iterable[int | None]) -> int | None:
    """The product of sizes, 1 of none; None where one is not known."""
    known = list(sizes)
    return None if None in known else math.prod(cast("list[int]", known))


def by(sizes: Iterable[Size]) -> str:
    """Sizes as a shape is written, `2x3xHx?`, where one is not known."""
    return "x".join("?" if size is None else str(size) for size in sizes)


@dataclass(frozen=True)
class Layout:
    """Canonical sizes of a site: N, C, H, W, Ho, Wo; as many of the image and of the points as there are axes."""

    batch: int
    channels: int
    image: tuple[int, ...]
    samples: tuple[int, ...]

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
    inner += [repeat.size for repeat in view.repeats]
    for group, size in zip(view.groups, canonical, strict=False):
        _settle(inner, group, size)
    solved = [d if isinstance(d, int) else 1 for d in inner][: view.rank - len(view.repeats)]
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
    if size % known if known else size:
        raise ValueError(f"{size} does not divide into {known}")
    for axis in unknown:
        dims[axis] = 1
    dims[unknown[0]] = size // known if known else 1


def lay_out(view: View, canonical: Array, shape: Sequence[int]) -> Array:
    """A tensor of `shape` whose view is `canonical`, or a part of it where the tensor has an axis of 1.

    Where it counts parts of a pixel, it holds the nearest whole number of them.
    """
    canonical = canonical - np.asarray(view.shift, canonical.dtype) if view.shift else canonical
    for axis, step in enumerate(view.steps):
        grid = (step * np.arange(canonical.shape[axis])).astype(canonical.dtype)
        canonical = canonical - ramp(axis, grid, len(view.steps))
    if view.parts != 1:
        canonical = np.clip(np.rint(canonical.astype(np.float64) * view.parts), -LARGEST, LARGEST)
    if not canonical.size:  # what is repeated along no points may be anything
        return np.zeros(tuple(shape), canonical.dtype)
    apart = _apart(view, canonical, shape)
    placed = apart.transpose([view.order.index(a) for a in sorted(view.order)])
    once = tuple(0 if a in view.repeated else slice(None) for a in sorted(view.order))
    return np.ascontiguousarray(placed[once].reshape(tuple(shape)))


def held(view: View, canonical: Array, shape: Sequence[int]) -> Array:
    """What a tensor of `shape` holds of an operand: 1 along what its layout leaves out, the same along repeats."""
    apart = _apart(view, canonical, shape)
    once = apart[tuple(slice(0, 1) if a in view.repeated else slice(None) for a in view.order)]
    sizes = [math.prod(apart.shape[view.order.index(a)] for a in group) for group in view.groups]
    return np.broadcast_to(once, apart.shape).reshape(sizes)


def _apart(view: View, canonical: Array, shape: Sequence[int]) -> Array:
    """The part of an operand that a tensor of `shape` stands for, with all axes of the (split) tensor."""
    inner: list[Size] = list(view.split_dims(shape))
    for group, size in zip(view.groups, canonical.shape, strict=False):
        if any(axis in view.repeated for axis in group):
            _settle(inner, group, size)
    solved = cast("list[int]", inner)
    spans = [math.prod(solved[a] for a in group) for group in view.groups]
    return canonical[tuple(slice(0, size) for size in spans)].reshape([solved[a] for a in view.order])


def ramp(axis: int, values: Array, rank: int) -> Array:
    """Values along one axis of so many, the others 1."""
    return values.reshape([-1 if k == axis else 1 for k in range(rank)])


def spans(view: View, shape: Sequence[int], others: Mapping[str, Sequence[int]] = NO_SHAPES) -> list[int]:
    """The canonical sizes that a tensor of `shape` holds; 1 where it broadcasts.

    An axis along which it is repeated is as long as `others`, shapes by name, say; 1 where they do not.
    """
    inner = view.split_dims(shape)
    for axis, repeat in zip(view.repeated, view.repeats, strict=True):
        like = others.get(repeat.like)
        inner[axis] = repeat.size or (1 if like is None else like[repeat.place])
    return [math.prod(cast("list[int]", [inner[a] for a in group])) for group in view.groups]


@dataclass(frozen=True)
class Repeat:
    """An axis that a tensor does not have and along which all its elements are the same.

    It is as long as axis `place` of the tensor `like`, which is `size` where that is a number.
    """

    like: str = ""
    place: int = 0
    size: int | None = None


@dataclass(frozen=True)
class View:
    """A tensor of the graph and the layout that makes it a canonical operand.

    The operand is `tensor`, with axis `split[0]` first reshaped into sizes `split[1]` (one may be -1), transposed so
    that the axes stand in the order of `groups`, and each group merged into one axis; an empty group is an axis of 1.
    Axes of the (split) tensor, `rank` in all, that are in no group have size 1 and are dropped. Where `parts` is not 1
    the tensor holds whole numbers, in floats or integers, and so many are one pixel. `shift` is added: the model may
    count its pixels from another one. So is, of each axis of the operand, the place times its one of `steps`:
    the model may have distances from where a point stands. `repeats` are axes behind those of the (split)
    tensor, along which it is repeated: coordinates of a row are those of all its columns.
    """

    tensor: str
    groups: tuple[tuple[int, ...], ...]
    split: tuple[int, tuple[int, ...]] | None = None
    units: int = 0
    shift: int = 0
    steps: tuple[int, ...] = ()
    repeats: tuple[Repeat, ...] = ()
    parts: int = 1

    @property
    def rank(self) -> int:
        """Axes of the (split) tensor, its `units` dropped ones and its `repeats` included."""
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
        return [*inner, *(repeat.size for repeat in self.repeats)]

    @property
    def repeated(self) -> range:
        """The axes that the (split) tensor does not have."""
        return range(self.rank - len(self.repeats), self.rank)

    def with_unit_axis(self, axis: int) -> View:
        """The same view with an axis of size 1 at `axis`: one that it would drop, if there is any."""
        spare = sorted(set(range(self.rank)) - set(self.order))[:1]
        groups = (*self.groups[:axis], tuple(spare), *self.groups[axis:])
        steps = (*self.steps[:axis], 0, *self.steps[axis:]) if self.steps else ()
        return replace(self, groups=groups, units=self.units - len(spare), steps=steps)
