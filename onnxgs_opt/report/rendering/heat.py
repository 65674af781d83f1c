"""The check of a site as heat maps: the largest difference by place, on the image plane and its border.

Of an image of one axis a map has one row; of a volume the plane has the largest difference of all depths, and a row
more has them by depth.

Points of images of several sizes fall into one map, since a place is relative to the image: the lines p = -1, 0, S-1
and S, where a sampler's formula changes, are cells of their own; so are the strips between them; the inside of the
image is cut into equal parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from onnxgs_opt.report.rendering.words import count
from onnxgs_opt.samplers.view import Array
from onnxgs_opt.validation.error_map import Points

SIZES = {"x": "W", "y": "H", "z": "D"}
PARTS = 8
LINE, STRIP = 16, 36
"""Widths of a line's and of a strip's cells, in pixels."""

STEPS = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3)
"""Upper bounds of the classes of differences after "bit-equal"; the last class has none."""


@dataclass(frozen=True)
class Cell:
    """One cell, in pixels of the picture: how many points fell into it and their largest difference, in words."""

    left: int
    top: int
    width: int
    height: int
    grade: str
    title: str


@dataclass(frozen=True)
class HeatMap:
    """The cells; the outline of the image, from and to, the same on both axes; marks, alike; and the legend.

    `letters` are those of its axes, rows before columns, or of the columns alone. `values` has, row by row, "largest
    difference/points" of each cell, nothing where no point fell.
    """

    letters: str
    size: int
    height: int
    cells: tuple[Cell, ...]
    outline: tuple[int, int]
    marks: tuple[tuple[float, str], ...]
    legend: tuple[tuple[str, str], ...]
    points: int
    values: str

    @property
    def edges(self) -> tuple[int, ...]:
        """Where the cells of an axis begin, in pixels."""
        return tuple(sorted({cell.left for cell in self.cells}))

    @property
    def paths(self) -> dict[str, str]:
        """By grade, all cells of it as one SVG path, neighbours in a row as one box: a picture in a few kilobytes."""
        found: dict[str, str] = {}
        for (grade, top), alike in groupby(self.cells, key=lambda cell: (cell.grade, cell.top)):
            first, *more = alike
            width = first.width + sum(cell.width for cell in more)
            found[grade] = found.get(grade, "") + f"M{first.left} {top}h{width}v{first.height}h-{width}z"
        return found

    @property
    def grid(self) -> str:
        """The lines between the cells, as one SVG path."""
        across = "".join(f"M0 {edge}h{self.size}" for edge in self.edges[1:] if self.rows)
        return "".join(f"M{edge} 0v{self.height}" for edge in self.edges[1:]) + across

    @property
    def rows(self) -> str:
        """The letter of the rows; none where there is one alone."""
        return self.letters[:-1]


def bands(letter: str) -> tuple[tuple[str, int], ...]:
    """The cells of one axis, as words and widths; S is the axis' size."""
    p, size = letter, SIZES[letter]
    inside = [(f"{k}/{PARTS} to {k + 1}/{PARTS} of the way from {p} = 0 to {size}-1", STRIP) for k in range(PARTS)]
    return (
        (f"{p} < -1", STRIP),
        (f"{p} = -1", LINE),
        (f"-1 < {p} < 0", STRIP),
        (f"{p} = 0", LINE),
        *inside,
        (f"{p} = {size}-1", LINE),
        (f"{size}-1 < {p} < {size}", STRIP),
        (f"{p} = {size}", LINE),
        (f"{p} > {size}", STRIP),
    )


def places(p: Array, size: int) -> Array:
    """For each pixel coordinate on an axis of `size` the position of its cell in `bands`."""
    p = p.astype(np.float64)
    part = np.clip(np.floor(p / (size - 1) * PARTS), 0, PARTS - 1).astype(int)
    conditions = [p < -1, p == -1, p < 0, p == 0, p < size - 1, p == size - 1, p < size, p == size]
    after = 4 + PARTS
    return np.select(conditions, [0, 1, 2, 3, 4 + part, after, after + 1, after + 2], after + 3)


def heat_maps(runs: Sequence[Points]) -> tuple[HeatMap, ...]:
    """The maps of all runs, none where nothing was checked."""
    if not runs:
        return ()
    letters = "".join(runs[0].along)
    return tuple(_map(runs, own) for own in ((letters[1:], letters[0]) if len(letters) > 2 else (letters,)))


def _map(runs: Sequence[Points], letters: str) -> HeatMap:
    columns = bands(letters[-1])
    rows = bands(letters[0]) if len(letters) > 1 else (("", STRIP),)
    shape = (len(rows), len(columns))
    worst, hits = np.full(shape, -1.0), np.zeros(shape, int)
    for run in runs:
        column = places(*run.along[letters[-1]])
        at = places(*run.along[letters[0]]) if len(letters) > 1 else np.zeros_like(column), column
        np.maximum.at(worst, at, run.error)
        np.add.at(hits, at, 1)
    starts = np.cumsum([0, *(width for _, width in columns)])
    cells = tuple(
        _cell((int(starts[j]), int(starts[i])), column, row, float(worst[i, j]), int(hits[i, j]))
        for i, row in enumerate(rows)
        for j, column in enumerate(columns)
    )
    values = ",".join(
        f"{error:.2g}/{n}" if n else "" for error, n in zip(worst.ravel().tolist(), hits.ravel().tolist(), strict=True)
    )
    lines = {1: "-1", 3: "0", 4 + PARTS: "S-1", 6 + PARTS: "S"}
    marks = tuple((float(starts[k] + LINE / 2), name) for k, name in lines.items())
    corners = int(marks[1][0]), int(marks[2][0])
    size, height = int(starts[-1]), sum(width for _, width in rows)
    return HeatMap(letters, size, height, cells, corners, marks, _legend(), int(hits.sum()), values)


def grade(error: float) -> str:
    """The class of a difference: "none" where nothing was checked, "g0" for bit-equal, then one a step."""
    if error < 0:
        return "none"
    return "g0" if error == 0 else f"g{1 + sum(error > step for step in STEPS)}"


def _cell(corner: tuple[int, int], column: tuple[str, int], row: tuple[str, int], error: float, hits: int) -> Cell:
    found = f"max |error| {error:.3g} over {count(hits, 'point')}" if hits else "no point"
    where = ", ".join(name for name, _ in (column, row) if name)
    return Cell(*corner, column[1], row[1], grade(error), f"{where}: {found}")


def _legend() -> tuple[tuple[str, str], ...]:
    named = [(f"g{k + 1}", f"up to {step:g}") for k, step in enumerate(STEPS)]
    return (("none", "no point"), ("g0", "bit-equal"), *named, (f"g{len(STEPS) + 1}", f"above {STEPS[-1]:g}"))
