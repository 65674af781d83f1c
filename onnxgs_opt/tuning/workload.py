"""What two sites have in common when one measurement serves both, as a text that survives renaming."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256

from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.samplers.site import AnySite, Site, StructuralSite
from onnxgs_opt.samplers.view import Layout, View

Sizes = Sequence[int | None]


def signature(graph: Graph, site: AnySite, layout: Layout | None = None) -> str:
    """Everything that decides how fast a site is: what it computes, its sizes, and how it was spelt.

    Names do not count, nor does anything outside the cone, so that a plan outlives another export of the model.
    `layout` is where dynamic sizes were measured.
    """
    if isinstance(site, StructuralSite):
        return f"reads {site.read_op} {site.dtype} x{len(site.reads)} opset{graph.opset} {site.shapes}"
    words = [
        site.rule,
        f"{site.policy.border}-{site.policy.window}",
        _coordinates(site),
        site.dtype,
        f"{_text((site.batch, site.channels, *site.image_size))}->{_text(site.sample_size)}",
        *([] if layout is None else [f"at:{_text((*layout.of_image(), *layout.samples))}"]),
        f"opset{graph.opset}",
        f"cone:{_cone(graph, site)}",
    ]
    return " ".join(words)


def _coordinates(site: Site) -> str:
    parts = [site.coordinates, "corners" if site.align_corners else "", "flipped" if site.flipped else ""]
    return ":".join(part for part in (*parts, "mask" if site.mask is not None else "") if part)


def _text(sizes: Sizes) -> str:
    return "x".join("?" if size is None else str(size) for size in sizes)


def _cone(graph: Graph, site: Site) -> str:
    """A digest of the cone's operators and of the layouts that its operands come in."""
    names = set(site.cone)
    operators = sorted(Counter(node.op for node in graph.at(site.body).nodes if node.name in names).items())
    views = [_layout(view) for view in (site.image, *site.coordinate_views)]
    return sha256(repr((operators, views, site.output_groups, site.output_rank)).encode()).hexdigest()[:12]


def _layout(view: View) -> tuple[object, ...]:
    return view.groups, view.split, view.units
