"""The image of a deformable convolution: what the sampler reads, without the zeros that were put around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from onnxgs_opt.ir import Node
from onnxgs_opt.ir.def_use import Array, Scope
from onnxgs_opt.ir.operators import operator
from onnxgs_opt.recognition.broadcast import wide
from onnxgs_opt.recognition.composite_sizes import sizes_of
from onnxgs_opt.recognition.fixed_values import FixedValues
from onnxgs_opt.recognition.linear_form import NoForm
from onnxgs_opt.recognition.linear_forms import Forms
from onnxgs_opt.recognition.traced import LAYOUT, Laid, canonical, elements, fades, first_of, laid_out, origins, taken
from onnxgs_opt.samplers.site import Site
from onnxgs_opt.samplers.view import View

NO_ZEROS = "outside its image the sampler does not read zeros ({})"


@dataclass(frozen=True)
class Plane:
    """The image [N, C, H, W]: its layout, its (H, W), and the zeros before it that the sampler counts as pixels."""

    view: View
    size: tuple[int, int]
    lead: tuple[int, int]


def plane_of(scope: Scope, values: FixedValues, site: Site, samples: Sequence[Array], sizes: tuple[int, int]) -> Plane:
    """The image whose [N, C], of `sizes`, the samples [n, c, k, oy, ox] are of; `samples` are n', c' and the places.

    Raises:
        NoForm: There is none, or other channels, or other pixels than zeros outside.
    """
    batch, channels = sizes
    height, width = sizes_of(site.image, values.facts)[2:]
    items = [array[..., :1, :1, :1] for array in samples[:2]]
    if any(array.shape != item.shape for array, item in zip(samples[:2], items, strict=True)):
        raise NoForm("the samples of one channel are not of one image")
    places = [array[..., 0] for array in items]
    rows, columns = (
        np.arange(size).reshape(shape) for size, shape in ((height, (1, 1, -1, 1)), (width, (1, 1, 1, -1)))
    )

    def laid_by(base: str) -> Laid:
        forms = Forms(scope, values, base)
        form, factor = elements(forms, site.image.tensor)
        if (factor != 1).any():
            raise NoForm("its image is scaled")
        arrays = [canonical(site.image, array, form.shape) for array in form.terms[0].index]
        index = [wide(taken(array, (*places, rows, columns)), 4) for array in arrays]
        laid = laid_out(base, forms.shape(base), index, (batch, height, width))
        if laid.channels != channels or not np.array_equal(laid.table.reshape(-1), np.arange(channels)):
            raise NoForm("its channels are weighted in another order than they have in the image")
        return laid

    laid = first_of(laid_by, reversed(origins(scope, values, site.image.tensor, LAYOUT)), "its image is not known")
    return _without_zeros(scope, values, site, Plane(laid.view, (height, width), (0, 0)))


def _without_zeros(scope: Scope, values: FixedValues, site: Site, plane: Plane) -> Plane:
    """The plane without a border of zeros, and with zeros outside."""
    outside = fades(site.policy)
    node, _ = scope.producer.get(plane.view.tensor, (None, 0))
    zeros = None if node is None or plane.view.split is not None else _zeros_around(values, node, plane.view)
    if zeros is None:
        if not outside:
            raise NoForm(NO_ZEROS.format(site.policy.name))
        return plane
    (top, left), (bottom, right) = zeros
    if not outside and (min(top, left, bottom, right) < 1 or site.policy.border not in ("zeros", "border")):
        raise NoForm(NO_ZEROS.format(site.policy.name))
    size = plane.size[0] - top - bottom, plane.size[1] - left - right
    return Plane(replace(plane.view, tensor=node.inputs[0].name), size, (top, left))


def _zeros_around(values: FixedValues, node: Node, view: View) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """The zeros before and behind rows and columns that a node puts around its input; None of other nodes."""
    if operator(node) != "Pad" or node.attrs.get("mode", "constant") not in ("constant", b"constant"):
        return None
    fill = values.value(node.inputs[2].name) if len(node.inputs) > 2 and node.inputs[2].name else np.zeros(1)
    pads = values.value(node.inputs[1].name) if len(node.inputs) > 1 else np.asarray(node.attrs.get("pads", ()))
    if fill is None or fill.any() or pads is None or node.attrs.get("value") or len(node.inputs) > 3:
        return None
    rank = len(pads) // 2
    axes = [group[0] if len(group) == 1 else None for group in view.groups[2:]]
    sides = pads[:rank], pads[rank:]
    if None in axes or any(side[k] != 0 for side in sides for k in range(rank) if k not in axes) or (pads < 0).any():
        return None
    before, behind = ((int(side[axes[0]]), int(side[axes[1]])) for side in sides)
    return before, behind
