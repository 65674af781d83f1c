"""Bilinear samplers as sites, however they were found: the sums of reads of `search`, and GridSample nodes."""

from __future__ import annotations

from dataclasses import dataclass

from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import LOWERINGS, Target, refusal_of
from onnxgs_opt.recognition.kind import Record, digest_of
from onnxgs_opt.samplers.kernel import KERNELS
from onnxgs_opt.samplers.site import BILINEAR, Site
from onnxgs_opt.samplers.view import Layout, by


@dataclass(frozen=True)
class Sampler:
    """A sampler of one rule; every lowering can say of itself whether it can write it."""

    rule: str
    keeps_rest: bool = False

    def refusals(self, site: Site, target: Target) -> dict[str, str]:
        """What each lowering says."""
        return {name: why for name, low in LOWERINGS.items() if (why := refusal_of(low, site, target)) is not None}

    def workload(self, graph: Graph, site: Site, layout: Layout | None = None) -> str:
        """Its policy, coordinates, type and sizes, and a digest of its cone."""
        words = [
            self.rule,
            *([] if site.kernels == BILINEAR else ["x".join(site.kernels)]),
            f"{site.policy.border}-{site.policy.window}" + ("-filled" if site.policy.fill else ""),
            _coordinates(site),
            site.dtype,
            f"{by((site.batch, site.channels, *site.image_size))}->{by(site.sample_size)}",
            *([] if layout is None else [f"at:{by((*layout.of_image(), *layout.samples))}"]),
            f"opset{graph.opset}",
            f"cone:{_cone(graph, site)}",
        ]
        return " ".join(words)

    def record(self, site: Site) -> Record:
        """Channels and the number of points; other kernels than the bilinear one have cases of their own."""
        sizes = site.channels, site.points
        is_dynamic = None in (*sizes, *site.image_size)
        table, family = ("cases", "") if site.kernels == BILINEAR else ("kernels", _family(site))
        return Record(table, sizes, family, is_dynamic)

    def operands(self, site: Site) -> tuple[str, str | tuple[str, ...]]:
        """The image, and the grid where the model has one."""
        if site.grid is not None:
            return site.image.tensor, site.grid.tensor
        return site.image.tensor, site.coordinate_tensors


def _family(site: Site) -> str:
    """The kernels whose samplers cost alike: how halves are rounded, and the parameter of a cubic one, cost nothing."""
    words = {"nearest" if KERNELS[name].taps == 1 else name.partition("(")[0] for name in site.kernels}
    return f"{' x '.join(sorted(words))} {len(site.kernels)}-D"


def _coordinates(site: Site) -> str:
    parts = [site.coordinates, "corners" if site.align_corners else "", "flipped" if site.flipped else ""]
    return ":".join(part for part in (*parts, "mask" if site.mask is not None else "") if part)


def _cone(graph: Graph, site: Site) -> str:
    views = [(view.groups, view.split, view.units, len(view.repeats)) for view in (site.image, *site.coordinate_views)]
    return digest_of(graph, site, views, site.output_groups, site.output_rank)
