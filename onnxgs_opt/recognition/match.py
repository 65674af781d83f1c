"""What matching an expression gives: a proven sampler, or why it is none."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import IntEnum

from onnxgs_opt.recognition.algebra.expression import Algebra, Expr
from onnxgs_opt.recognition.algebra.failures import UNBOUNDED
from onnxgs_opt.recognition.algebra.piecewise import Coordinate, Reach, Unresolved
from onnxgs_opt.recognition.algebra.polynomial import Number
from onnxgs_opt.samplers.border import border_of
from onnxgs_opt.samplers.kernel import FLOOR, HALF, NEAREST
from onnxgs_opt.samplers.policy import Policy
from onnxgs_opt.samplers.sampler import Sampler

UPWARDS = frozenset((NEAREST,))
"""Kernels that are a floor of what is a half more."""


@dataclass(frozen=True)
class Axis:
    """One coordinate: pixel p = slope * leaf + offset, which indexes axis `position` of the image, of `size`.

    `reach` is that of its `Coordinate`: where there is one, the image may be mirrored or repeated. `turns`: so many
    pixels on the sample is the same; 0 where that is not so, or not known.
    """

    leaf: Expr
    slope: Number
    offset: Expr
    position: int
    size: int
    reach: Reach | None = None
    turns: int = 0

    @property
    def coordinate(self) -> Coordinate:
        """The coordinate by itself, without what it indexes."""
        return Coordinate(self.leaf, self.slope, self.offset, self.reach)

    @property
    def counts_parts(self) -> bool:
        """Whether the leaf is a whole number that counts parts of a pixel."""
        return self.leaf.integral and self.slope != 1

    @property
    def is_bounded(self) -> bool:
        """Whether the numbers that the leaf lies between are known."""
        return self.leaf.lo is not None and self.leaf.hi is not None

    def pixel(self, algebra: Algebra) -> Expr:
        """The pixel coordinate."""
        return algebra.add(self.offset, self.leaf, self.slope)


@dataclass(frozen=True)
class Match:
    """A proven sampler: what it reads and where.

    `axes` are the spatial axes in the order of the image's, (y, x) where there are two, with a part of the `sampler`
    for each. `index` is the index of every axis of the image, None for a spatial one, and `sizes` are their sizes. The
    expression is `factor` times the sample plus `addend`; neither depends on the coordinates. The sample is `fill` plus
    that of the image less `fill`. `mirrored`: the coordinates are mirrored into the image before.
    `within`: it is that sampler where the known bounds keep the coordinates, and perhaps not beyond.
    """

    sampler: Sampler
    image: str
    axes: tuple[Axis, ...]
    index: tuple[Expr | None, ...]
    sizes: tuple[int, ...]
    factor: Expr
    addend: Expr
    mirrored: bool = False
    fill: Number = 0
    within: bool = False

    @property
    def kernels(self) -> tuple[str, ...]:
        """The names of its kernels, an axis each."""
        return tuple(spec.kernel.name for spec in self.sampler)

    @property
    def taps(self) -> int:
        """How many pixels a sample takes."""
        return math.prod(spec.kernel.taps for spec in self.sampler)

    def rounded_down(self, algebra: Algebra) -> Match | None:
        """The same sampler of coordinates that are larger by a half, whose floors are read; None where it has none."""
        if not {spec.kernel for spec in self.sampler} & UPWARDS:
            return None
        up = [spec.kernel in UPWARDS for spec in self.sampler]
        half = algebra.num(HALF)
        sampler = tuple(replace(s, kernel=FLOOR) if is_up else s for s, is_up in zip(self.sampler, up, strict=True))
        axes = tuple(
            replace(a, offset=algebra.add(a.offset, half)) if is_up else a
            for a, is_up in zip(self.axes, up, strict=True)
        )
        return replace(self, sampler=sampler, axes=axes)

    @property
    def policy(self) -> Policy:
        """What it does outside the image."""
        border = border_of([spec.border.name for spec in self.sampler])
        return Policy(border, self.sampler[0].window.name, self.mirrored, self.fill)

    @property
    def is_plain(self) -> bool:
        """Whether the expression is the sample itself."""
        return self.factor.value == 1 and self.addend.value == 0


class Stage(IntEnum):
    """How far an expression came: of several looks at it, each cut at another place, the furthest tells the reason."""

    LIFTED = 0
    COORDINATES = 1
    REGIONS = 2
    TAPS = 3
    CORNERS = 4
    OUTSIDE = 5
    PROOF = 6
    OPERANDS = 7


@dataclass(frozen=True)
class Miss:
    """Why an expression is not a known sampler.

    `code` is the near-miss code, `taps` how many reads it sums where it sums most. `split` is set when the pixels stand
    in one axis of the image: the tensor, the axis, and the sizes (the first -1) to see it as. `degenerate` says that a
    coordinate is missing, which at the smallest size may only mean that its scale is 0 there. `apart`: there are more
    coordinates or images than one sampler has, or reads that say where others read: a part of the sum may be one.
    `extents`: how many indices run along an axis of the image, and its size, where that is another number.
    `beside`: whole numbers that the place in the output tells are added to floors, perhaps those of coordinates.
    `stage`: what was reached when it failed. `like`: what it is otherwise, for the start of a sentence that `condition`
    ends. `about`: the expression that the condition is about; `node`: the one that computes that, once it is known.
    `reported`: the code that is told, where it is another one than that by which the search goes on. `hint`: what to do
    about it, where that is not what the code says.
    """

    condition: str
    taps: int = 0
    code: str = "GSO112"
    split: tuple[str, int, tuple[int, ...]] | None = None
    degenerate: bool = False
    apart: bool = False
    extents: tuple[int, int] | None = None
    beside: bool = False
    stage: Stage = Stage.LIFTED
    like: str = ""
    about: Expr | None = None
    node: str = ""
    reported: str = ""
    hint: str = ""

    @classmethod
    def unresolved(cls, reason: Unresolved, taps: int) -> Miss:
        """That of an expression of which no region is one polynomial."""
        stage = Stage.COORDINATES if str(reason) == UNBOUNDED else Stage.REGIONS
        return cls(str(reason), taps, reason.code, extents=reason.extents, stage=stage, about=reason.about)

    @property
    def told(self) -> str:
        """The whole sentence."""
        at = f"at '{self.node}', " if self.node else ""
        return f"{self.like}, but {at}{self.condition}" if self.like else f"{at}{self.condition}"

    def gives_way_to(self, other: Miss) -> bool:
        """Whether a look for every kernel, `other`, tells the reason: here coordinates or pixels were only counted.

        There are not the two or the four that a bilinear sampler has; if `other` came further, it is no bilinear one.
        """
        coordinates = self.stage == Stage.COORDINATES and (self.degenerate or self.apart)
        only_counts = coordinates or self.stage == Stage.TAPS < other.stage
        return self.code == "GSO112" and not self.reported and only_counts

    def saying(self, other: Miss) -> Miss:
        """This miss, by which the search goes on, with the reason of another look at the same."""
        said = {"condition": other.condition, "like": other.like, "reported": other.reported or other.code}
        return replace(self, **said, about=other.about, stage=other.stage)  # type: ignore[arg-type]

    def is_further(self, other: Miss) -> bool:
        """Whether it is the better reason: the one of a later stage, or of more reads."""
        return (self.stage, self.taps) > (other.stage, other.taps)
