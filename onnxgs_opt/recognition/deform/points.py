"""Where a sampler's points are: elements of a tensor of offsets, and the numbers that are added to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from onnxgs_opt.ir.def_use import Array, Scope
from onnxgs_opt.ir.operators import operator
from onnxgs_opt.recognition.composite_sizes import sizes_of
from onnxgs_opt.recognition.fixed_values import FixedValues
from onnxgs_opt.recognition.linear_form import NoForm
from onnxgs_opt.recognition.linear_forms import Forms
from onnxgs_opt.recognition.traced import canonical, elements, origins
from onnxgs_opt.samplers.coordinates import COORDINATES
from onnxgs_opt.samplers.site import Site
from onnxgs_opt.samplers.view import View, ramp

NO_GRID = "its points less their offsets stand on no grid of whole pixels: {}"
AXES = 2
"""Those of an image, and the coordinates of a point."""

UNIT = 1e-6
"""By how much a product of rounded factors may differ from 1."""


@dataclass(frozen=True)
class Point:
    """A pixel coordinate of every sample [n', s1, s2]: the element of `base` at `index`, plus `constant`.

    `index` has an array for each axis of `base`, which is of `shape`. `slack` is what rounding may have added to the
    constant.
    """

    base: str
    shape: tuple[int, ...]
    index: tuple[Array, ...]
    constant: Array
    slack: float


def points_of(scope: Scope, values: FixedValues, site: Site) -> Iterator[tuple[Point, Point]]:
    """The coordinates y and x of a sampler, in terms of what they may be made of, from the farthest on.

    Raises:
        NoForm: There is nothing that they are made of in such a way.
    """
    parts: list[tuple[View, int | None]] = [(view, None) for view in (site.y, site.x) if view is not None]
    if len(parts) < AXES:
        assert site.grid is not None, "a site without x and y has a grid"
        parts = [_component(scope, site.grid, k) for k in ((0, 1) if site.flipped else (1, 0))]
    sizes = sizes_of(site.image, values.facts)[2:]
    y, x = (_points(scope, values, site, part, size) for part, size in zip(parts, sizes, strict=True))
    together = parts[0][0] == parts[1][0]
    yield from ((own, other) for own, other in product(y, x) if own.base == other.base or not together)


def _component(scope: Scope, grid: View, k: int) -> tuple[View, int | None]:
    """One coordinate of a grid, by itself where the grid is put together of two tensors of one each."""
    node, _ = scope.producer.get(grid.tensor, (None, 0))
    if node is None or operator(node) != "Concat" or len(node.inputs) != AXES or grid.split is not None:
        return grid, k
    alone = grid.groups[-1] == (int(node.attrs["axis"]) % grid.rank,)
    return (replace(grid, tensor=node.inputs[k].name), 0) if alone else (grid, k)


def _points(scope: Scope, values: FixedValues, site: Site, part: tuple[View, int | None], size: int) -> list[Point]:
    """One coordinate in terms of each tensor behind it, the farthest first."""
    found: list[Point] = []
    why: NoForm | None = None
    view, place = part
    for base in reversed(origins(scope, values, view.tensor)):
        try:
            found.append(_point(scope, values, site, view, base, place, size))
        except NoForm as reason:
            why = why or reason
    if not found:
        raise why or NoForm("nothing is known of its points")
    return found


def _point(scope: Scope, values: FixedValues, site: Site, view: View, base: str, place: int | None, size: int) -> Point:
    forms = Forms(scope, values, base, drops_constants=True)
    form, factor = elements(forms, view.tensor)
    dtype = values.facts[base].dtype
    assumed = FixedValues(scope, values.facts, {base: np.zeros(forms.shape(base), dtype or np.float32)})
    added = assumed.value(view.tensor)
    if added is None:
        raise NoForm(f"what is added to '{base}' is not known")
    operands = [canonical(view, array, form.shape) for array in (*form.terms[0].index, factor, added)]
    if place is not None:
        operands = [array[..., min(place, array.shape[-1] - 1)] for array in operands]
    *index, factor, added = operands
    units = COORDINATES[site.coordinates, site.align_corners if site.coordinates != "pixel" else None]
    span = units.span
    scale = 1.0 if span is None else (size - 1 if units.align_corners else size) / float(span)
    if np.abs(factor * scale - 1).max(initial=0) > (UNIT if span is not None else 0):
        raise NoForm(f"its points are '{base}' times other numbers than 1")
    constant = (added.astype(np.float64) + view.shift - float(units.low)) * scale
    if span is not None and not units.align_corners:
        constant = constant - 0.5
    return Point(base, forms.shape(base), tuple(index), constant, 0.0 if span is None else size * 2.0**-18)


def grid_of(
    numbers: Sequence[Array], kernel: tuple[int, int], positions: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """The strides, dilations and first pixels of y and x, whose numbers [n, c, k, oy, ox] have to be those of a grid.

    Raises:
        NoForm: They are not.
    """
    y, x = (_along(own, axis, kernel, positions) for axis, own in enumerate(numbers))
    return (y[0], x[0]), (y[1], x[1]), (y[2], x[2])


def whole(numbers: Array, slack: float) -> Array:
    """Numbers as integers, from which they may differ by `slack`; NoForm where one differs by more."""
    rounded = np.rint(numbers).astype(np.int64)
    if np.abs(numbers - rounded).max(initial=0) > slack:
        raise NoForm(NO_GRID.format("some are between two"))
    return rounded


def _along(numbers: Array, axis: int, kernel: tuple[int, int], positions: tuple[int, int]) -> tuple[int, int, int]:
    """The stride, the dilation and the first pixel of one coordinate."""
    if (numbers != numbers[:1, :1]).any():
        raise NoForm(NO_GRID.format("those of two items or channels differ"))
    grid = numbers[0, 0].reshape(*(kernel if numbers.shape[2] > 1 else (1, 1)), *numbers.shape[3:])
    first = int(grid.flat[0])
    steps = [int(grid.take(1, k).flat[0]) - first if grid.shape[k] > 1 else 0 for k in (axis, 2 + axis)]
    ramps = [ramp(k, np.arange(grid.shape[k]), 4) for k in (axis, 2 + axis)]
    if (grid != first + steps[0] * ramps[0] + steps[1] * ramps[1]).any():
        raise NoForm(NO_GRID.format("a point or a position is at another distance from the next"))
    sizes = kernel[axis], positions[axis]
    dilation, stride = (step if size > 1 else 1 for step, size in zip(steps, sizes, strict=True))
    if dilation < 1 or stride < 1:
        raise NoForm(NO_GRID.format("they stand still or go backwards"))
    return stride, dilation, first
