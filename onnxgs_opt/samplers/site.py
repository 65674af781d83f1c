"""What recognition finds: one `Site` a sampler, in terms of existing tensors of the graph."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

from onnxgs_opt.samplers.coordinates import CoordinateName
from onnxgs_opt.samplers.kernel import KERNELS, interpolation
from onnxgs_opt.samplers.policy import Policy
from onnxgs_opt.samplers.view import View, known_product


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

    @property
    def only_scales(self) -> bool:
        """Whether it is the sample times the factors as they are, and nothing else."""
        return replace(self, factors=()) == AS_IT_IS and not any(view.shift for view in self.factors)


AS_IT_IS = Affine()
BILINEAR = ("linear", "linear")
"""The kernels of a bilinear sampler."""


@dataclass(frozen=True)
class SizeRange:
    """A dynamic size by name, with the least and, where one is known, the largest value that a proof covers.

    `also` are other names that the model has for what the proof takes to be this size.
    """

    name: str
    at_least: int = 2
    at_most: int | None = None
    also: tuple[str, ...] = ()

    @property
    def names(self) -> str:
        """The name, and what has to be equal to it."""
        return " = ".join((self.name, *self.also))

    @property
    def words(self) -> str:
        """As a sentence has it."""
        if self.at_most is None:
            return f"{self.names} >= {self.at_least}"
        if self.at_most == self.at_least:
            return f"{self.names} = {self.at_least}"
        return f"{self.at_least} <= {self.names} <= {self.at_most}"


@dataclass(frozen=True)
class Domain:
    """The sizes that the proof of a site covers: of each dynamic one, and of the pixels of one image.

    `pixels` is None where any number of them has an exact index. Without `sizes`, it is the sizes in the file alone.
    """

    sizes: tuple[SizeRange, ...] = ()
    pixels: int | None = None

    @property
    def is_limited(self) -> bool:
        """Whether some size from 2 up is not in it."""
        return any(size.at_least > 2 or size.at_most is not None for size in self.sizes)

    def covers(self, sizes: Mapping[str, int], image: tuple[int, ...]) -> bool:
        """Whether sizes by name and an image of such a size are in it, or smaller where it begins at 2."""
        known = [(size, sizes[size.name]) for size in self.sizes if size.name in sizes]
        if any(size.at_least > max(2, have) or have > (size.at_most or have) for size, have in known):
            return False
        if any(sizes.get(other, have) != have for size, have in known for other in size.also):
            return False
        return self.pixels is None or math.prod(image) <= self.pixels

    @property
    def words(self) -> str:
        """Which sizes those are, in a few words."""
        if not self.sizes:
            return "the sizes in the file"
        bounded = ", ".join(size.words for size in self.sizes if size.at_most is not None)
        open_ended: dict[int, list[str]] = {}
        for size in self.sizes:
            if size.at_most is None:
                open_ended.setdefault(size.at_least, []).append(size.names)
        rest = " and ".join(f"every {', '.join(names)} >= {least}" for least, names in open_ended.items())
        text = " and ".join(part for part in (bounded, rest) if part)
        return text if self.pixels is None else f"{text} with at most {self.pixels} pixels"


@dataclass(frozen=True, kw_only=True)
class AnySite:
    """Something that was found and can be rewritten, of any kind; what else is known of a kind is in `KINDS`.

    Attributes:
        id: Its name in the report and the plan.
        kind: The name of its kind in `KINDS`.
        rule: The code of the rule that found it.
        output: The tensor that holds its result.
        reads: Names of the nodes that read.
        read_op: Their operator.
        cone: Names of the nodes from what it is made of to its output; of a sum, from its reads on.
        dtype: The element type that it computes in.
        body: The path of the If, Loop or Scan body that it is in, empty in the main graph; operands may lie outside.
        policy: What it does outside the image, where that is known.
        kernels: The names of the kernels along the image's axes, in their order; none where that is not known.
        coordinates: The unit of what says where to read.
        align_corners: Which normalised coordinates those are; None where they are none.
        layout: The order of the image's axes in memory, where that is known.
        domain: The sizes that what is said of it is proven for; None where that needs no proof.
    """

    id: str
    kind: str
    rule: str
    output: str
    reads: tuple[str, ...]
    read_op: str
    cone: tuple[str, ...]
    dtype: str
    body: str = ""
    policy: Policy | None = None
    kernels: tuple[str, ...] = ()
    coordinates: CoordinateName | Literal["index"] = "index"
    align_corners: bool | None = None
    layout: str = ""
    domain: Domain | None = None

    @property
    def border(self) -> str:
        """What it does outside the image, by name."""
        return "as read" if self.policy is None else self.policy.name

    @property
    def what(self) -> str:
        """What it is, in a word or two."""
        return self.kind


class OfCoordinates:
    """What has the coordinates of a sampler: a site, and what was found of one at some sizes."""

    x: View | None
    y: View | None
    z: View | None
    grid: View | None

    @property
    def coordinate_views(self) -> tuple[View, ...]:
        """Where the coordinates are: x, y and z as there are axes, or the grid where the model has no pixels."""
        views = (self.grid,) if self.x is None else (self.x, self.y, self.z)
        return tuple(view for view in views if view is not None)

    @property
    def coordinate_tensors(self) -> tuple[str, ...]:
        """The tensors that hold them."""
        return tuple(view.tensor for view in self.coordinate_views)


@dataclass(frozen=True, kw_only=True)
class Site(AnySite, OfCoordinates):
    """One sampler: out[N, C, Ho, Wo] = sample(image[N, C, H, W] at x, y [N, Ho, Wo]), with one, two or three axes.

    `x` and `y` are pixel coordinates that the model computes; a canonical axis of theirs may be 1 and broadcast. Both
    are None where it computes none: a GridSample node has its `grid` only, and so has a model that rounds both in one
    tensor. `flipped`: the grid holds y, then x, or z, y, x. `inside`: what makes coordinates keeps them in [0, S-1].
    `bounds`: it is that sampler between these only, x first, the upper ones less S; none where it is everywhere.
    `kernels` are the names of those along the image's axes, in their order; along three, z is the first's coordinate.
    `grid` [N, Ho, Wo, 2] is a tensor that holds both, x then y: the same pixels, or, where `coordinates` is
    "normalised", GridSample's units under `align_corners`. `mask` [N, Ho, Wo] is a 0/1 tensor of the model's own that
    equals the window's condition. `output_groups` says which axes of `output` make N, C, Ho and Wo.
    What the output holds is not the sample but what `affine` makes of it. `types` are the float types of coordinates,
    weights and result, which need not be the image's; `index_type` is the integer type of the indices, "" for several.
    """

    kind: str = "bilinear"
    policy: Policy
    coordinates: CoordinateName
    image: View
    x: View | None
    y: View | None
    z: View | None = None
    grid: View | None
    mask: View | None
    output_groups: tuple[tuple[int, ...], ...]
    output_rank: int
    batch: int | None
    channels: int | None
    image_size: tuple[int | None, ...]
    sample_size: tuple[int | None, ...]
    kernels: tuple[str, ...] = BILINEAR
    flipped: bool = False
    inside: bool = False
    bounds: tuple[tuple[int, int] | None, ...] = ()
    affine: Affine = AS_IT_IS
    types: tuple[str, ...] = ()
    index_type: str = ""

    @property
    def what(self) -> str:
        """The kind, or the kernels where they are not those of every site of the kind."""
        return self.kind if self.kernels == BILINEAR else self.interpolation

    @property
    def interpolation(self) -> str:
        """The kernels in a word or two, as users know them."""
        return interpolation(self.kernels)

    @property
    def taps(self) -> int:
        """How many pixels a sample takes."""
        return math.prod(KERNELS[name].taps for name in self.kernels)

    @property
    def points(self) -> int | None:
        """How many samples a channel has, N*Ho*Wo; None where one of them is dynamic."""
        return known_product((self.batch, *self.sample_size))

    @property
    def operands(self) -> frozenset[str]:
        """The tensors that it is made of: the image, the coordinates, the mask and what is beside the sample."""
        views = (self.image, self.x, self.y, self.z, self.grid, self.mask)
        return self.affine.names.union(view.tensor for view in views if view is not None)

    @property
    def elements(self) -> int:
        """The product of the sizes that are known, of the image or of the result: what the larger one has at least."""
        ends = self.image_size, self.sample_size
        return max(math.prod(size for size in (self.batch, self.channels, *end) if size) for end in ends)


@dataclass(frozen=True, kw_only=True)
class StructuralSite(AnySite):
    """Several reads of one tensor that are summed, by the same operator and attributes, at indices of one shape.

    Nothing is known of the weights or of where the indices point: one read at all indices gives the same elements.

    Attributes:
        data: The tensor that is read.
        attributes: Attributes of the reads, by name.
        indices: For each read the tensor of its indices.
        results: For each read the tensor that it makes.
        stack: The axis of the indices along which they may be joined.
        part: The axis of the results that follows it.
        shapes: Shapes of the data and of each index at sizes of the dynamic dims at which the model is consistent.
    """

    kind: str = "structural"
    data: str
    attributes: tuple[tuple[str, int], ...]
    indices: tuple[str, ...]
    results: tuple[str, ...]
    stack: int
    part: int
    shapes: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]

    @property
    def written(self) -> dict[str, Any]:
        """The attributes as a node has them: GatherND of opset 11 knows no batch_dims, which are 0 then."""
        return {name: value for name, value in self.attributes if (name, value) != ("batch_dims", 0)}
