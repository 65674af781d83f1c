"""What recognition finds: one `Site` a sampler, in terms of existing tensors of the graph."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from onnxgs_opt.poly import Number

BorderName = Literal["zeros", "border", "reflection"]
CoordinateName = Literal["pixel", "normalised", "unit"]
"""Pixels; GridSample's -1 to 1 under `align_corners`; or 0 to 1 over the same span."""


class Window(NamedTuple):
    """The coordinates (per axis, in pixels) at which the sampler is not forced to zero.

    The bounds are `lo` and `S + hi`, S being the size of the axis; None is no bound.
    """

    lo: int | None
    lo_closed: bool
    hi: int | None
    hi_closed: bool


WINDOWS: dict[str, Window] = {
    "all": Window(None, False, None, False),
    "interior": Window(0, True, -1, False),
    "interior-closed": Window(0, True, -1, True),
    "interior-open": Window(0, False, -1, False),
    "interior-open-low": Window(0, False, -1, True),
    "reach": Window(-1, False, 0, False),
    "reach-closed": Window(-1, True, 0, True),
    "cells": Window(0, True, 0, False),
}
"""`interior` is 0 <= p < S-1; `interior-closed` 0 <= p <= S-1; `reach` -1 < p < S (ROIAlign's); `cells` 0 <= p < S."""


@dataclass(frozen=True)
class Policy:
    """What a sampler does outside the image.

    out = [x and y in window] * sum_ij w_i w_j I[y0+i, x0+j], where I outside the image is 0 (`zeros`), the nearest
    pixel (`border`) or the mirrored one (`reflection`). `mirrored`: the model itself has mirrored x and y into the
    image before, so that nothing is left to do outside.
    """

    border: BorderName = "zeros"
    window: str = "all"
    mirrored: bool = False

    @property
    def name(self) -> str:
        """The name that reports use: the window's where there is one, else the border's."""
        if self.window == "all":
            return "reflection" if self.mirrored else self.border
        return (
            self.window
            if self.border == "zeros" or self.window.startswith("interior")
            else f"{self.border}-{self.window}"
        )


@dataclass(frozen=True)
class View:
    """A tensor of the graph and the layout that makes it a canonical operand.

    The operand is `tensor`, with axis `split[0]` first reshaped into sizes `split[1]` (one may be -1), transposed so
    that the axes stand in the order of `groups`, and each group merged into one axis; an empty group is an axis of 1.
    Axes of the (split) tensor, `rank` in all, that are in no group have size 1 and are dropped. `shift` is added: the
    model may count its pixels from another one.
    """

    tensor: str
    groups: tuple[tuple[int, ...], ...]
    split: tuple[int, tuple[int, ...]] | None = None
    units: int = 0
    shift: int = 0

    @property
    def rank(self) -> int:
        """Axes of the (split) tensor, its `units` dropped ones included."""
        return len(self.order) + self.units

    @property
    def order(self) -> tuple[int, ...]:
        """The axes of the (split) tensor in the operand's order."""
        return tuple(axis for group in self.groups for axis in group)


@dataclass(frozen=True)
class Affine:
    """An output that is `scale` times a sample times every one of `factors`, plus every one of `addends`."""

    scale: Number = 1
    factors: tuple[View, ...] = ()
    addends: tuple[View, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """The tensors."""
        return frozenset(view.tensor for view in (*self.factors, *self.addends))


AS_IT_IS = Affine()


@dataclass(frozen=True)
class Site:
    """One sampler: out[N, C, Ho, Wo] = sample(image[N, C, H, W] at x, y [N, Ho, Wo]).

    `x` and `y` are pixel coordinates that the model computes; a canonical axis of theirs may be 1 and broadcast. Both
    are None where it computes none: a GridSample node has its `grid` only, and so has a model that rounds both in one
    tensor. `flipped`: the grid holds y, then x. `inside`: what makes the coordinates keeps them in [0, S-1].
    `grid` [N, Ho, Wo, 2] is a tensor that holds both, x then y: the same pixels, or, where `coordinates` is
    "normalised", GridSample's units under `align_corners`. `mask` [N, Ho, Wo] is a 0/1 tensor of the model's own that
    equals the window's condition. `output_groups` says which axes of `output` make N, C, Ho and Wo. `body` is the path
    of the If, Loop or Scan body that the sampler is in, empty in the main graph; its operands may lie outside.
    What the output holds is not the sample but what `affine` makes of it.
    """

    id: str
    rule: str
    policy: Policy
    image: View
    x: View | None
    y: View | None
    grid: View | None
    coordinates: CoordinateName
    align_corners: bool | None
    mask: View | None
    output: str
    output_groups: tuple[tuple[int, ...], ...]
    output_rank: int
    reads: tuple[str, ...]
    read_op: str
    cone: tuple[str, ...]
    batch: int | None
    channels: int | None
    image_size: tuple[int | None, int | None]
    sample_size: tuple[int | None, int | None]
    dtype: str
    layout: str
    flipped: bool = False
    inside: bool = False
    affine: Affine = AS_IT_IS
    body: str = ""

    @property
    def coordinate_views(self) -> tuple[View, ...]:
        """Where the coordinates are: x and y, or the grid where the model has no pixels."""
        views = (self.grid,) if self.x is None else (self.x, self.y)
        return tuple(view for view in views if view is not None)

    @property
    def elements(self) -> int:
        """The product of the sizes that are known, of the image or of the result: what the larger one has at least."""
        ends = self.image_size, self.sample_size
        return max(math.prod(size for size in (self.batch, self.channels, *end) if size) for end in ends)


@dataclass(frozen=True)
class StructuralSite:
    """Several reads of one tensor that are summed, by the same operator and attributes, at indices of one shape.

    Nothing is known of the weights or of where the indices point: one read at all indices gives the same elements.

    Attributes:
        id: Name of the site in the report and the plan.
        rule: The rule that found it.
        data: The tensor that is read.
        dtype: Its element type.
        output: The tensor that holds the sum.
        reads: Names of the reading nodes.
        read_op: Their operator.
        attributes: Their attributes, by name.
        indices: For each read the tensor of its indices.
        results: For each read the tensor that it makes.
        stack: The axis of the indices along which they may be joined.
        part: The axis of the results that follows it.
        shapes: Shapes of the data and of each index at sizes of the dynamic dims at which the model is consistent.
        body: Path of the body that the reads are in, empty in the main graph.
    """

    id: str
    rule: str
    data: str
    dtype: str
    output: str
    reads: tuple[str, ...]
    read_op: str
    attributes: tuple[tuple[str, int], ...]
    indices: tuple[str, ...]
    results: tuple[str, ...]
    stack: int
    part: int
    shapes: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    body: str = ""

    @property
    def written(self) -> dict[str, Any]:
        """The attributes as a node has them: GatherND of opset 11 knows no batch_dims, which are 0 then."""
        return {name: value for name, value in self.attributes if (name, value) != ("batch_dims", 0)}


AnySite: TypeAlias = "Site | StructuralSite"
