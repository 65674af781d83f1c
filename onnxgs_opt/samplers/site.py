"""What recognition finds: one `Site` a sampler, in terms of existing tensors of the graph."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, Protocol

from onnxgs_opt.samplers.policy import CoordinateName, Policy
from onnxgs_opt.samplers.view import View


@dataclass(frozen=True)
class Affine:
    """An output that is `scale` times a sample times every one of `factors`, plus every one of `addends`."""

    scale: int | Fraction = 1
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
    kind: str = "bilinear"

    @property
    def coordinate_views(self) -> tuple[View, ...]:
        """Where the coordinates are: x and y, or the grid where the model has no pixels."""
        views = (self.grid,) if self.x is None else (self.x, self.y)
        return tuple(view for view in views if view is not None)

    @property
    def operands(self) -> tuple[str, str | tuple[str, str]]:
        """See `AnySite.operands`."""
        if self.grid is not None or self.x is None or self.y is None:
            return self.image.tensor, self.coordinate_views[0].tensor if self.grid is None else self.grid.tensor
        return self.image.tensor, (self.x.tensor, self.y.tensor)

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
    kind: str = "structural"
    policy: ClassVar[None] = None
    coordinates: ClassVar[str] = "index"
    align_corners: ClassVar[None] = None
    layout: ClassVar[str] = ""

    @property
    def operands(self) -> tuple[str, str]:
        """What is read, and the index of the first read."""
        return self.data, self.indices[0]

    @property
    def written(self) -> dict[str, Any]:
        """The attributes as a node has them: GatherND of opset 11 knows no batch_dims, which are 0 then."""
        return {name: value for name, value in self.attributes if (name, value) != ("batch_dims", 0)}


class AnySite(Protocol):
    """Something that was found and may be rewritten, of any kind; what else is known of a kind is in `KINDS`."""

    @property
    def id(self) -> str:
        """Its name in the report and the plan."""

    @property
    def kind(self) -> str:
        """The name of its kind in `KINDS`."""

    @property
    def rule(self) -> str:
        """The code of the rule that found it."""

    @property
    def body(self) -> str:
        """The path of the If, Loop or Scan body that it is in, empty in the main graph."""

    @property
    def output(self) -> str:
        """The tensor that holds its result."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the nodes that read."""

    @property
    def read_op(self) -> str:
        """Their operator."""

    @property
    def dtype(self) -> str:
        """The element type that it computes in."""

    @property
    def policy(self) -> Policy | None:
        """What it does outside the image, where that is known."""

    @property
    def coordinates(self) -> str:
        """The unit of what says where to read."""

    @property
    def align_corners(self) -> bool | None:
        """Which normalised coordinates those are; None where they are none."""

    @property
    def layout(self) -> str:
        """The order of the image's axes in memory, where that is known."""

    @property
    def operands(self) -> tuple[str, str | tuple[str, str]]:
        """The tensor that is read, and where: one tensor, or those of x and y."""
