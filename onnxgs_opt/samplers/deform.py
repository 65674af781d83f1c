"""A deformable convolution as a site: what one DeformConv would compute, above the sampler that reads for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from onnxgs_opt.samplers.policy import DEFORMABLE
from onnxgs_opt.samplers.site import AnySite, Site
from onnxgs_opt.samplers.view import View


@dataclass(frozen=True)
class Operand:
    """An operand [N, channels, Ho, Wo] of a DeformConv: the channels `table` of the operand that `view` makes.

    Attributes:
        view: A tensor, laid out as [N, all channels, Ho, Wo].
        channels: How many channels that has.
        table: Which of them are taken, in the order of DeformConv's.
    """

    view: View
    channels: int
    table: tuple[int, ...]

    @property
    def is_whole(self) -> bool:
        """Whether all channels are taken, in their order."""
        return self.table == tuple(range(self.channels))


@dataclass(frozen=True)
class Geometry:
    """The attributes of a DeformConv, y before x, in pixels; `pads` as ONNX has them: before y, before x, behind both.

    Point k of the kernel, in rows, of the output's (oy, ox) is at y = oy * strides[0] - pads[0] + (k // kernel[1]) *
    dilations[0] + its offset, and x likewise.
    """

    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilations: tuple[int, int]
    groups: int
    offset_groups: int

    @property
    def points(self) -> int:
        """Points of the kernel."""
        return self.kernel[0] * self.kernel[1]

    @property
    def words(self) -> str:
        """What it is, in a few words."""
        y, x = self.kernel
        parts = [f"{y} x {x}"]
        if self.strides != (1, 1):
            parts.append(f"stride {_pair(self.strides)}")
        if self.dilations != (1, 1):
            parts.append(f"dilation {_pair(self.dilations)}")
        if any(self.pads):
            same = self.pads[:2] == self.pads[2:]
            parts.append("pad " + (_pair(self.pads[:2]) if same else ", ".join(map(str, self.pads))))
        if self.groups > 1:
            parts.append(f"{self.groups} groups")
        if self.offset_groups > 1:
            parts.append(f"{self.offset_groups} offset groups")
        return ", ".join(parts)


def _pair(sizes: tuple[int, ...]) -> str:
    return str(sizes[0]) if sizes[0] == sizes[1] else f"{sizes[0]} x {sizes[1]}"


@dataclass(frozen=True)
class Weights:
    """The weights [O, C / groups, kernel] as a tensor has them, and the bias [O].

    `tensor` is transposed by `perm`, reshaped to [O, columns] and its columns are taken in the order `columns`; an
    empty `columns` is their own. `bias` is empty where there is none.
    """

    tensor: str
    perm: tuple[int, ...]
    columns: tuple[int, ...] = ()
    bias: str = ""


class OfOperands:
    """What has the operands of a deformable convolution: a site, and what was proven at one set of sizes."""

    image: View
    offsets: tuple[Operand, ...]
    mask: Operand | None
    weights: Weights

    @property
    def operands(self) -> frozenset[str]:
        """The tensors that it is made of."""
        views = (self.image, *(operand.view for operand in self.beside))
        return frozenset({*(view.tensor for view in views), self.weights.tensor, self.weights.bias} - {""})

    @property
    def beside(self) -> tuple[Operand, ...]:
        """The offsets and, where there is one, the mask."""
        return self.offsets if self.mask is None else (*self.offsets, self.mask)


@dataclass(frozen=True, kw_only=True)
class DeformSite(AnySite, OfOperands):
    """A sampler whose samples are the points of a kernel, weighted: `output` is one DeformConv of `image`.

    What is not written as a whole can be lowered as its sampler alone: `plain`.

    Attributes:
        sampler: The sampler whose samples are contracted.
        geometry: The node's attributes.
        image: What is convolved, [N, C, H, W].
        offsets: The offsets [N, offset groups * points * 2, Ho, Wo], y before x; or two operands of half the channels,
            those of y and those of x.
        mask: The factors [N, offset groups * points, Ho, Wo]; None where there are none.
        weights: The weights and the bias.
        output_groups: For each axis of `output` those of [N, O, Ho, Wo] that it holds; none for an axis of 1.
        sizes: N, C, H, W, O, Ho and Wo; None for what is dynamic.
        norm: The largest norm of the weights of an output channel: how much larger than a sample the output is.
    """

    kind: str = "deform-conv"
    sampler: Site
    geometry: Geometry
    image: View
    offsets: tuple[Operand, ...]
    mask: Operand | None
    weights: Weights
    output_groups: tuple[tuple[int, ...], ...]
    sizes: tuple[int | None, ...]
    norm: float

    @property
    def plain(self) -> Site:
        """The sampler under the site's name, in its body: what is lowered where the whole is not written."""
        return replace(self.sampler, id=self.id, body=self.body)

    @property
    def what(self) -> str:
        """The node's attributes."""
        return f"{DEFORMABLE} ({self.geometry.words})"
