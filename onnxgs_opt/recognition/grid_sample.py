"""Sites that need no proof: GridSample nodes say themselves what they compute."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np

from onnxgs_opt.ir import Node, Tensor
from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.ir.operators import operator
from onnxgs_opt.samplers.border import BorderName
from onnxgs_opt.samplers.policy import Policy
from onnxgs_opt.samplers.site import BILINEAR as BILINEAR_KERNELS
from onnxgs_opt.samplers.site import Site
from onnxgs_opt.samplers.view import View

RULE = "GSO002"
TORCH_CUBIC = "cubic"
OP = "GridSample"
BILINEAR = frozenset(("bilinear", "linear"))
"""The mode's name up to opset 19, and from 20 on."""

BORDERS: dict[str, BorderName] = {"zeros": "zeros", "border": "border", "reflection": "reflection"}
KERNELS = {**dict.fromkeys(BILINEAR, "linear"), "nearest": "nearest-even", "bicubic": TORCH_CUBIC, "cubic": TORCH_CUBIC}
"""The kernel of each mode, by the names up to opset 19 and from 20 on; the nearest pixel is the even one of two."""

_RANK, _OF_VOLUMES = 4, 5


def has_grid_samples(nodes: Iterable[Node]) -> bool:
    """Whether a GridSample node of any kind is among the nodes."""
    return any(operator(node) == OP for node in nodes)


def grid_sample_sites(scope: Scope) -> list[Site]:
    """The GridSample nodes over images and volumes, in execution order, without ids."""
    return [site_of(node) for node in scope.own if operator(node) == OP and is_sampler(node)]


def is_linear(node: Node) -> bool:
    """Whether a node is a GridSample that interpolates linearly, over an image or a volume."""
    return operator(node) == OP and _text(node.attrs.get("mode", "bilinear")) in BILINEAR


def is_bilinear(node: Node) -> bool:
    """Whether a node that has GridSample's inputs and attributes interpolates images, not volumes, bilinearly."""
    return is_sampler(node) and _mode(node) in BILINEAR and len(node.inputs[0].shape) == _RANK


def is_sampler(node: Node) -> bool:
    """Whether a node that has GridSample's inputs and attributes samples images or volumes in a way that is known."""
    return not unknown_of(node)


def unknown_of(node: Node) -> str:
    """What of a node with GridSample's inputs and attributes keeps it from being a site, in words; empty if nothing."""
    padding = _text(node.attrs.get("padding_mode", "zeros"))
    if _mode(node) not in KERNELS or padding not in BORDERS or len(node.inputs) < 2:
        return f"mode {_mode(node)} with padding_mode {padding} is none that is known"
    image, grid = node.inputs[:2]
    rank = 0 if image.shape is None else len(image.shape)
    if rank not in (_RANK, _OF_VOLUMES) or grid.shape is None or len(grid.shape) != rank:
        return "its image and its grid are not known to have 4 or 5 axes"
    if rank != _RANK and KERNELS[_mode(node)] == TORCH_CUBIC:
        return "cubic weights of volumes are none that is known"
    if not (_is_float(image) and _is_float(grid)):
        return "its image and its grid are not both floats that numpy has"
    if any(_size(image, axis) in (0, 1) for axis in range(2, rank)):
        return "an axis of its image has less than 2 pixels, and a sampler needs 2"
    return ""


def _mode(node: Node) -> str:
    return _text(node.attrs.get("mode", "bilinear"))


def _is_float(tensor: Tensor) -> bool:
    """Whether it may hold floats that numpy has too; bfloat16 is none."""
    return tensor.dtype is None or (not isinstance(tensor.dtype, int) and np.dtype(tensor.dtype).kind == "f")


def site_of(node: Node) -> Site:
    """The site, without an id, of a node that `is_sampler` holds of."""
    image, grid = node.inputs[:2]
    axes = tuple((axis,) for axis in range(len(image.shape)))
    kernels = (KERNELS[_mode(node)],) * (len(axes) - 2)
    return Site(
        id="",
        rule=RULE,
        policy=Policy(_border(node, kernels)),
        kernels=kernels,
        image=View(image.name, axes),
        x=None,
        y=None,
        grid=View(grid.name, axes),
        coordinates="normalised",
        align_corners=bool(node.attrs.get("align_corners", 0)),
        mask=None,
        output=node.outputs[0].name,
        output_groups=axes,
        output_rank=len(axes),
        reads=(node.name,),
        read_op=OP,
        cone=(node.name,),
        batch=_size(grid if _size(image, 0) is None else image, 0),
        channels=_size(image, 1),
        image_size=tuple(_size(image, 2 + k) for k in range(len(kernels))),
        sample_size=tuple(_size(grid, 1 + k) for k in range(len(kernels))),
        dtype="unknown" if image.dtype is None else str(image.dtype),
        layout="NCHW" if len(axes) == _RANK else "NCDHW",
        kind="grid-sample",
    )


def _border(node: Node, kernels: tuple[str, ...]) -> BorderName:
    """What a node does outside; without `align_corners` it mirrors about the edges, which bilinear sites imply."""
    border = BORDERS[_text(node.attrs.get("padding_mode", "zeros"))]
    edges = border == "reflection" and not node.attrs.get("align_corners", 0) and kernels != BILINEAR_KERNELS
    return "symmetric" if edges else border


def _size(tensor: Tensor, axis: int) -> int | None:
    dim = cast("Sequence[int | str | None]", tensor.shape)[axis]
    return dim if isinstance(dim, int) and dim >= 0 else None


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
