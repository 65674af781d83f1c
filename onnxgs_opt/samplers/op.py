"""BilinearSample, NearestSample and CubicSample of the domain onnxgs: what their nodes say.

docs/native.md has it in words, for kernels.

    samples, mask = BilinearSample(image, grid)

| | NCHW (layout 0) | NHWC (layout 1) | type |
|---|---|---|---|
| image | [N, C, H, W] | [N, H, W, C] | T: float16, float32 or float64 |
| grid | [N, Ho, Wo, 2], x then y | the same | G: float32 or float64 |
| samples | [N, C, Ho, Wo] | [N, Ho, Wo, C] | T |
| mask, optional | [N, Ho, Wo] or as `MASK_CODES` has it | the same | T: 1 where both are in the window, else 0 |

Coordinates, cells, window and weights are computed in G; products and sums in A, which is float64 for a float64 image
and else float32; the sum is rounded to T once. Int attributes, 0 where absent, say what is sampled: `border`, `window`,
`coordinates`, `layout`, and `mask`, the form of the second output where that is used. Any size may be 0 or 1; an image
without pixels samples 0. NearestSample and CubicSample, whose `kernel` says which pixel or weights, differ in that the
border acts on the index of each pixel that is read, not on the coordinate. `BODY_ATTRIBUTES` and the strings
`plugin_namespace` and `plugin_version` serve the function body and TensorRT's parser: a kernel reads neither. Version 1
has no mask, layout 0, borders 0 and 1, and float32 alone.
"""

from __future__ import annotations

from onnxgs_opt.samplers.kernel import KERNELS
from onnxgs_opt.samplers.policy import WINDOWS
from onnxgs_opt.samplers.site import AnySite

DOMAIN = "onnxgs"
NAME, NEAREST, CUBIC = NAMES = ("BilinearSample", "NearestSample", "CubicSample")
"""One operator for each number of pixels that are read, because a function's body reads as many for every node."""

ATTENTION = "DeformableAttention"
"""[B, Q, H, D] of value [B, S, H, D], levels [L, 3], locations [B, Q, H, T, 2] and weights [B, Q, H, T]."""

BUILT_IN_ATTENTION = "MultiscaleDeformableAttnPlugin_TRT"
"""The same by the name and with the inputs of TensorRT's own plugin, which knows nodes by their name alone: levels, and
the first pixel of each, in int32; locations [B, Q, H, L, P, 2] and weights [B, Q, H, L, P]."""

VERSION = 2
"""Of the operators' domain; kernels of version 2 take nodes of version 1 too."""

OWN = "onnxgs/"
"""What the names of all nodes start with that were written for a site."""

BORDER_CODES = {"zeros": 0, "border": 1, "reflection": 2, "symmetric": 3}
TAP_BORDER_CODES = {**BORDER_CODES, "wrap": 4}
"""Of NearestSample and CubicSample."""

MOVING = frozenset((2, 3, 4))
"""Borders that move what is outside into the image, and not to its edge."""

COORDINATE_CODES = {"pixel": 0, "normalised": 1, "normalised-corners": 2}
WINDOW_CODES = {name: code for code, name in enumerate(WINDOWS)}
LAYOUT_CODES = {"NCHW": 0, "NHWC": 1}
MASK_CODES = {"NHW": 1, "N1HW": 2, "NHW1": 3}
"""The form of the mask, by its axes."""
KERNEL_CODES = {
    "linear": 0,
    "nearest": 1,
    "nearest-even": 2,
    "nearest-away": 3,
    "nearest-down": 4,
    "floor": 5,
    "cubic": 6,
    "cubic(-1/2)": 7,
}
"""Attribute values; a library is compiled with them, so they may be added to and never changed.

`kernel` is not written while it is linear. A library refuses a node with a code that it does not know.
"""

BODY_ATTRIBUTES = ("image_type", "grid_type", "sum_type", "to_rows", "from_rows", "mask_axes", "mask_shape")
"""ONNX's numbers of T, G and A, the axes that bring the image to [N, H, W, C] and the samples back, and those that
bring the window [1, N, Ho, Wo] to the mask's form; `mask_shape` has a 0, which copies a size, for each of its axes."""

ATTRIBUTES = (
    *("border", "window", "coordinates", "layout", "mask"),
    *BODY_ATTRIBUTES,
    *("plugin_namespace", "plugin_version"),
)
"""All that a node BilinearSample may have; the others have `kernel` besides."""


def name_for(kernel: str) -> str:
    """The operator that samples with a kernel, by its name among `KERNELS`."""
    taps = KERNELS[kernel].taps
    return NEAREST if taps == 1 else NAME if taps == 2 else CUBIC


def is_own(domain: str, operator: str) -> bool:
    """Whether an operator is one of these samplers."""
    return domain == DOMAIN and operator in NAMES


def has_kernel(domain: str, operator: str) -> bool:
    """Whether the library of onnxgs-ops has a kernel of an operator."""
    return domain == DOMAIN and operator in (*NAMES, ATTENTION)


def is_plugin(domain: str, operator: str) -> bool:
    """Whether TensorRT has a plugin for an operator, or is given one, so that a function body only is in its way."""
    return is_own(domain, operator) or (domain, operator) == (DOMAIN, BUILT_IN_ATTENTION)


def is_ours(site: AnySite) -> bool:
    """Whether all nodes that read were written for a site of an earlier run."""
    return all(name.startswith(OWN) for name in site.reads)


def prefix_of(site: AnySite) -> str:
    """What the names of a site's new nodes start with."""
    return f"{OWN}{site.id}"
