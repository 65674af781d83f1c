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
from onnxgs_opt.samplers.site import Site
from onnxgs_opt.samplers.view import View

RULE = "GSO002"
OP = "GridSample"
BILINEAR = frozenset(("bilinear", "linear"))
"""The mode's name up to opset 19, and from 20 on."""

BORDERS: dict[str, BorderName] = {"zeros": "zeros", "border": "border", "reflection": "reflection"}
_IMAGE = ((0,), (1,), (2,), (3,))
_RANK = 4


def has_grid_samples(nodes: Iterable[Node]) -> bool:
    """Whether a GridSample node of any kind is among the nodes."""
    return any(operator(node) == OP for node in nodes)


def grid_sample_sites(scope: Scope) -> list[Site]:
    """The bilinear GridSample nodes over images (not volumes), in execution order, without ids."""
    return [site_of(node) for node in scope.own if operator(node) == OP and is_bilinear(node)]


def is_linear(node: Node) -> bool:
    """Whether a node is a GridSample that interpolates linearly, over an image or a volume."""
    return operator(node) == OP and _text(node.attrs.get("mode", "bilinear")) in BILINEAR


def is_bilinear(node: Node) -> bool:
    """Whether a node that has GridSample's inputs and attributes interpolates images, not volumes, bilinearly."""
    if _text(node.attrs.get("mode", "bilinear")) not in BILINEAR or len(node.inputs) < 2:
        return False
    image, grid = node.inputs[:2]
    if image.shape is None or len(image.shape) != _RANK:
        return False
    padding = _text(node.attrs.get("padding_mode", "zeros"))
    known = grid.shape is not None and len(grid.shape) == _RANK and _is_float(image) and _is_float(grid)
    return known and padding in BORDERS and all(_size(image, axis) not in (0, 1) for axis in (2, 3))


def _is_float(tensor: Tensor) -> bool:
    """Whether it may hold floats that numpy has too; bfloat16 is none."""
    return tensor.dtype is None or (not isinstance(tensor.dtype, int) and np.dtype(tensor.dtype).kind == "f")


def site_of(node: Node) -> Site:
    """The site, without an id, of a node that `is_bilinear` holds of."""
    image, grid = node.inputs[:2]
    return Site(
        id="",
        rule=RULE,
        policy=Policy(BORDERS[_text(node.attrs.get("padding_mode", "zeros"))]),
        image=View(image.name, _IMAGE),
        x=None,
        y=None,
        grid=View(grid.name, _IMAGE),
        coordinates="normalised",
        align_corners=bool(node.attrs.get("align_corners", 0)),
        mask=None,
        output=node.outputs[0].name,
        output_groups=_IMAGE,
        output_rank=_RANK,
        reads=(node.name,),
        read_op=OP,
        cone=(node.name,),
        batch=_size(image, 0),
        channels=_size(image, 1),
        image_size=(_size(image, 2), _size(image, 3)),
        sample_size=(_size(grid, 1), _size(grid, 2)),
        dtype="unknown" if image.dtype is None else str(image.dtype),
        layout="NCHW",
        kind="grid-sample",
    )


def _size(tensor: Tensor, axis: int) -> int | None:
    dim = cast("Sequence[int | str | None]", tensor.shape)[axis]
    return dim if isinstance(dim, int) and dim >= 0 else None


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
