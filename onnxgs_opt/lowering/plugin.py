"""`plugin`: the sampler as one node of the domain onnxgs, with a function body where no kernel is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxgs_opt.ir import Node, Tensor, Variable
from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.ir.exporter import to_onnx_type
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering.base import REORDERED, SLOPE, Emitted, Tolerance
from onnxgs_opt.lowering.emit.cells import as_own_mask
from onnxgs_opt.lowering.emit.coordinates import emit_pixel_grid, for_batch
from onnxgs_opt.lowering.emit.image_layouts import in_result_type
from onnxgs_opt.lowering.emit.operands import margin_of
from onnxgs_opt.lowering.emit.views import emit_view
from onnxgs_opt.lowering.function import sample_function
from onnxgs_opt.lowering.tap_functions import cubic_function, nearest_function
from onnxgs_opt.runtime import Quirk
from onnxgs_opt.runtime.target import Target
from onnxgs_opt.samplers.kernel import KERNELS
from onnxgs_opt.samplers.op import (
    BORDER_CODES,
    COORDINATE_CODES,
    CUBIC,
    DOMAIN,
    KERNEL_CODES,
    LAYOUT_CODES,
    MASK_CODES,
    MOVING,
    NAME,
    NEAREST,
    TAP_BORDER_CODES,
    VERSION,
    WINDOW_CODES,
    is_own,
    name_for,
)
from onnxgs_opt.samplers.policy import WINDOWS
from onnxgs_opt.samplers.site import BILINEAR, Site
from onnxgs_opt.samplers.view import View

FIRST_WITH_FORMS_OF_MASKS = 12
"""The first opset whose Constant takes an attribute by reference."""
TO_ROWS, FROM_ROWS = (0, 2, 3, 1), (0, 3, 1, 2)
FUNCTIONS = {NAME: sample_function, NEAREST: nearest_function, CUBIC: cubic_function}
"""What makes the body of each operator."""


@dataclass(frozen=True)
class Plugin:
    """The node keeps the whole sampler, so that an engine's plugin or a custom operator of that name can take it.

    What its attributes say is in `samplers.op`. The strings `plugin_namespace` and `plugin_version` make TensorRT 10.7
    and later prefer the plugin to the function.
    """

    name: str = "plugin"
    tolerance: Tolerance = REORDERED
    borders: frozenset[str] = frozenset(BORDER_CODES)

    def refusal(self, site: Site, target: Target) -> str | None:
        """Refuse what the function body cannot compute: whatever runs the node falls back on it."""
        if len(site.kernels) != len(BILINEAR) or len(set(site.kernels)) > 1:
            return f"plugin has one kernel along two axes, and this sampler is {_along_axes(site)}"
        name = name_for(site.kernels[0])
        if site.policy.border not in (BORDER_CODES if site.kernels == BILINEAR else TAP_BORDER_CODES):
            return f"{name} has one border along both axes, and this sampler has {site.policy.border}"
        if Quirk.NO_FUNCTIONS in target.quirks:
            return f"the target knows no {name} and loads no function for it"
        if target.opset < 11:
            return f"the body of {name} needs opset >= 11, the model has {target.opset}"
        if site.dtype not in ("float16", "float32", "float64"):
            return f"{name} takes no image of {site.dtype}"
        kinds = {site.dtype, *site.types}
        mixed = len(kinds - {"float16"}) != 1 or ("float16" in kinds and site.dtype != "float16")
        if KERNELS[site.kernels[0]].shift and mixed:
            return f"{name} may add a half to its coordinates in another type, and round them to another pixel"
        if "float64" in (site.dtype, *site.types) and Quirk.NO_DOUBLES in target.quirks:
            return "TensorRT computes nothing in double precision"
        return None

    def emit(self, builder: Builder, site: Site) -> Emitted:
        """Write the node, its function, the import of its domain and the IR version that functions need."""
        image = _image(builder, site)
        grid, coordinates = _grid(builder, site, image)
        grid = grid if grid.dtype == np.float64 else builder.cast(grid, np.float32)
        height, width = ((grid.shape or [None] * 4)[axis] for axis in (1, 2))
        batch, channels = (image.shape or [None] * 4)[:2]
        element = np.dtype(site.dtype if image.dtype is None else image.dtype)
        kernel = site.kernels[0]
        result: Tensor = builder.op(
            name_for(kernel),
            image,
            grid,
            domain=DOMAIN,
            dtype=element,
            shape=[batch, channels, height, width],
            border=_border_code(site),
            window=WINDOW_CODES[site.policy.window],
            coordinates=COORDINATE_CODES[coordinates],
            layout=LAYOUT_CODES["NCHW"],
            **({} if site.kernels == BILINEAR else {"kernel": KERNEL_CODES[kernel]}),
            **_for_body(element, np.dtype(grid.dtype)),
            plugin_namespace=DOMAIN,
            plugin_version="1",
        )
        declare(builder.graph)
        return Emitted(in_result_type(builder, site, result), give_mask(builder, site, result.inputs[0]))


def _image(builder: Builder, site: Site) -> Tensor:
    """The image, in the type of the result where that is the wider one: samples are rounded to the image's."""
    image, result = emit_view(builder, site.image), builder.graph.tensor(site.output).dtype
    if any(dtype is None or isinstance(dtype, int) for dtype in (image.dtype, result)):
        return image  # of a type that is not known, or that numpy has no name for
    return builder.cast(image, np.promote_types(image.dtype, result))


def _along_axes(site: Site) -> str:
    """What a sampler is, and along how many axes where that is one or three."""
    axes = {1: " along one", 3: " along three"}.get(len(site.kernels), "")
    return f"{site.interpolation}{axes}"


def _border_code(site: Site) -> int:
    if site.kernels != BILINEAR:
        return TAP_BORDER_CODES[site.policy.border]
    margin = margin_of(site)
    return BORDER_CODES[site.policy.border if margin is None else "symmetric" if margin else "reflection"]


def read_in_place(graph: Graph, node: Node) -> bool:
    """Let a node between two Transposes, from [N, H, W, C] and back, read and write that layout itself; whether it did.

    `graph` is the one that the node is in.
    """
    image, samples = node.inputs[0], node.outputs[0]
    back = samples.outputs[0] if len(samples.outputs) == 1 and all(t is not samples for t in graph.outputs) else None
    if not (_is_transpose(image.inputs[0] if image.inputs else None, FROM_ROWS) and _is_transpose(back, TO_ROWS)):
        return False
    assert back is not None
    rows = back.outputs[0]
    node.inputs[0] = image.inputs[0].inputs[0]
    node.attrs.update(layout=LAYOUT_CODES["NHWC"], to_rows=[0, 1, 2, 3], from_rows=[0, 1, 2, 3])
    samples.shape = rows.shape
    graph.stand_in(rows, samples)
    graph.remove_nodes([back])
    return True


def _is_transpose(node: Node | None, axes: Sequence[int]) -> bool:
    return node is not None and node.op == "Transpose" and tuple(node.attrs.get("perm", ())) == tuple(axes)


def operator_nodes(graph: Graph) -> Iterator[Node]:
    """Every node of these operators in a graph and in the bodies in it."""
    return (n for part in (graph, *graph.bodies()) for n in part.nodes if is_own(n.domain, n.op))


def give_mask(builder: Builder, site: Site, node: Node) -> Tensor | None:
    """The node's second output as the model's own mask has it; None where there is none, or their shapes may differ."""
    if site.mask is None or WINDOWS[site.policy.window] == WINDOWS["all"]:
        return None
    image, grid = node.inputs
    form = _form_of_mask(builder.graph, site.mask, node)
    mask = Variable(builder.graph.fresh_name(f"{node.name}_mask"), image.dtype, _with_ones(form or "NHW", grid.shape))
    own = mask if form else as_own_mask(builder, site.mask, mask)
    if own is None:
        return None
    if len(node.outputs) > 1:
        node.outputs.pop()  # nameless, because another node of the model has a mask
    node.outputs.append(mask)
    node.attrs.update(_mask_attributes(form or "NHW"))
    declare(builder.graph)
    return own


def _form_of_mask(graph: Graph, view: View, node: Node) -> str | None:
    """The form in which the node writes the model's own mask itself, if there is one."""
    many = any(len(group) > 1 for group in view.groups)
    if graph.opset < FIRST_WITH_FORMS_OF_MASKS or view.split or view.repeats or many:
        return None
    old, grid = graph.tensor(view.tensor), node.inputs[1].shape
    if grid is None or None in grid or list(view.order) != sorted(view.order) or old.dtype != node.inputs[0].dtype:
        return None
    return next((form for form in MASK_CODES if _with_ones(form, grid) == old.shape), None)


def _with_ones(form: str, grid: Sequence[int | str | None] | None) -> list[int | str | None] | None:
    return None if grid is None else [1 if axis == "1" else grid["NHW".index(axis)] for axis in form]


def _mask_attributes(form: str) -> Mapping[str, Any]:
    axes = [1, 0, 2, 3] if form == "N1HW" else [1, 2, 3, 0]
    return {"mask": MASK_CODES[form], "mask_axes": axes, "mask_shape": [0] * len(form)}


def declare(graph: Graph) -> None:
    """Give the model the functions that all its nodes need, and nodes of version 1 what it needs of them."""
    root = graph.root
    every = list(operator_nodes(root))
    for name, make in FUNCTIONS.items():
        nodes = [node for node in every if node.op == name]
        if not nodes:
            continue
        masks = any(node.attrs.get("mask") for node in nodes)
        for node in nodes:
            single = _for_body(np.dtype(np.float32), np.dtype(np.float32))
            node.attrs.update({name: value for name, value in single.items() if name not in node.attrs})
            if masks and len(node.outputs) == 1:
                node.outputs.append(Variable.empty())
        root.add_function(make(graph.opset, any(node.attrs.get("border") in MOVING for node in nodes), masks))
    root.import_domain(DOMAIN, VERSION)


def _for_body(image: np.dtype[Any], grid: np.dtype[Any]) -> Mapping[str, Any]:
    sums = np.promote_types(image, np.float32)
    types = {name: to_onnx_type(t) for name, t in (("image_type", image), ("grid_type", grid), ("sum_type", sums))}
    return {**types, "to_rows": list(TO_ROWS), "from_rows": list(FROM_ROWS), **_mask_attributes("NHW"), "mask": 0}


def tolerance_from_grid(site: Site) -> Tolerance | None:
    """What recomputing pixels from a normalised grid costs; None where the node reads the model's own pixels.

    Export and node each round a coordinate a few times, by half an ulp of the size of the image, and neighbouring
    pixels of a unit-normal image differ by a few units: 6 * (H + W) * 2^-24, at least 1e-4.
    """
    if not _reads_normalised(site):
        return None
    height, width = site.image_size
    size = (height or 0) + (width or 0)
    return Tolerance(1e-4, max(1e-4, SLOPE * size * 2.0**-24), "pixels are computed anew from the normalised grid")


def _reads_normalised(site: Site) -> bool:
    return site.grid is not None and site.coordinates == "normalised" and site.policy.window == "all" and site.taps > 1


def _grid(builder: Builder, site: Site, image: Tensor) -> tuple[Tensor, str]:
    """The grid and the name of its coordinates.

    A window and the nearest pixel are decided on the very pixel coordinates of the model: computed anew from
    normalised ones they could differ by an ulp, and a point on the window's edge or halfway by its whole value.
    """
    if site.grid is None or not _reads_normalised(site):
        return emit_pixel_grid(builder, site, image), "pixel"
    grid = for_batch(builder, site.grid, image, emit_view(builder, site.grid))
    return grid, "normalised-corners" if site.align_corners else "normalised"
