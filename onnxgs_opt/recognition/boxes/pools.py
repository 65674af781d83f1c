"""What is made of samples in boxes: the means of whole bins, or the samples laid out otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from onnxgs_opt.recognition.algebra.polynomial import Number, tidy
from onnxgs_opt.recognition.boxes.lines import ULPS, Places
from onnxgs_opt.recognition.lifting.lift import Lift
from onnxgs_opt.recognition.lifting.rule import Index


@dataclass(frozen=True)
class Pool:
    """A tensor that is `scale` times the mean of `ratio` by `ratio` samples.

    `axes` says which axis of the samples an axis of it is, where that is one of boxes or channels; `rows` and `columns`
    are those that bins lie along, the slowest first, each with its size.
    """

    ratio: int
    scale: Number
    axes: Mapping[int, int]
    rows: tuple[tuple[int, int], ...]
    columns: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class _Bins:
    """Bins along one axis of the image, and which sample of a bin each term takes."""

    axes: tuple[tuple[int, int], ...]
    ratio: int
    taken: tuple[int, ...]


def pool_of(lift: Lift, output: str, samples: str, lines: tuple[Places, Places]) -> Pool | None:
    """What `output` is of the elements of `samples`, at which the lift ends; None where it is no mean of whole bins.

    Raises:
        NoRule: A shape is not known.
    """
    root, index = lift.root(output)
    if root.constant or not all(term.op == "elem" and term.args[0] == samples for term, _ in root.terms):
        return None
    weights = [Fraction(weight) for _, weight in root.terms]
    if max(weights) - min(weights) > ULPS * abs(weights[0]):
        return None
    elements: list[Index] = [term.args[1] for term, _ in root.terms]  # type: ignore[misc]
    along = {axis for line in lines for axis in line.order}
    axes = _others(index, elements, along, lift.shape(samples))
    bins = [_bins(lift, line, elements) for line in lines]
    if axes is None or bins[0] is None or bins[1] is None:
        return None
    rows, columns = bins[0], bins[1]
    pairs = set(zip(rows.taken, columns.taken, strict=True))
    if rows.ratio != columns.ratio or len(pairs) < len(elements) or len(elements) != rows.ratio**2:
        return None
    used = [*axes, *(axis for axis, _ in (*rows.axes, *columns.axes))]
    variables = [int(i.args[0]) for i in index if i.op == "idx"]  # type: ignore[call-overload]
    scale = tidy(weights[0] * len(elements))
    whole = 1 if abs(weights[0] * len(elements) - 1) <= ULPS else scale
    return Pool(rows.ratio, whole, axes, rows.axes, columns.axes) if sorted(used) == sorted(variables) else None


def _others(index: Index, elements: Sequence[Index], along: set[int], shape: Sequence[int]) -> dict[int, int] | None:
    """For axes of the output the one of the samples that it is; None where one is not taken whole, or moved."""
    found = {}
    for axis, size in enumerate(shape):
        taken = {element[axis] for element in elements}
        if axis in along:
            continue
        if len(taken) > 1:
            return None
        (place,) = taken
        if place.op == "idx" and place.hi == size - 1:
            found[int(place.args[0])] = axis  # type: ignore[call-overload]
        elif size != 1 or place.value != 0:
            return None
    return found


def _bins(lift: Lift, line: Places, elements: Sequence[Index]) -> _Bins | None:
    """The bins that samples at these places of a line are the elements of."""
    places = [lift.algebra.ravel([element[axis] for axis in line.order], line.sizes) for element in elements]
    moving = {place.terms for place in places}
    offsets = [place.constant for place in places]
    if len(moving) > 1 or min(offsets) or any(offset.denominator != 1 for offset in offsets):
        return None
    ratio = int(max(offsets)) + 1
    (terms,) = moving
    axes, stride = [], ratio
    for variable, step in sorted(terms, key=lambda term: term[1]):
        if variable.op != "idx" or step != stride:
            return None
        size = int(variable.hi or 0) + 1
        axes.append((int(variable.args[0]), size))  # type: ignore[call-overload]
        stride *= size
    return _Bins(tuple(reversed(axes)), ratio, tuple(map(int, offsets))) if stride == line.samples else None
