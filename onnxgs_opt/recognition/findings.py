"""Everything that one graph holds: samplers, GridSample nodes, other sums of reads, near-misses and hazards."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from onnxgs_opt.diagnostics import Remark
from onnxgs_opt.ir import Node
from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.ir.operators import READS, operator
from onnxgs_opt.recognition.attention.search import find_attentions
from onnxgs_opt.recognition.boxes.search import find_roi_aligns
from onnxgs_opt.recognition.candidates import NO_PIXELS, reads_labels
from onnxgs_opt.recognition.claims import FoundSites
from onnxgs_opt.recognition.deform.search import find_deform_convs
from onnxgs_opt.recognition.fixed_values import is_fixed
from onnxgs_opt.recognition.gather_sums import structural_sites, sums_of_fixed_parts
from onnxgs_opt.recognition.grid_sample import grid_sample_sites, has_grid_samples
from onnxgs_opt.recognition.hazards import node_hazards, read_hazards
from onnxgs_opt.recognition.known_proofs import Proofs
from onnxgs_opt.recognition.lifting.dynamic_dims import Box, SizeSets
from onnxgs_opt.recognition.lifting.shape_functions import UNKNOWN, Shape
from onnxgs_opt.recognition.resizing.found import FoundResizes
from onnxgs_opt.recognition.resizing.search import find_resizes
from onnxgs_opt.recognition.search import find_sites
from onnxgs_opt.samplers.attention import AttentionSite
from onnxgs_opt.samplers.deform import DeformSite
from onnxgs_opt.samplers.resize import ResizeSite
from onnxgs_opt.samplers.roi_align import RoiAlignSite
from onnxgs_opt.samplers.site import AnySite, Site, StructuralSite
from onnxgs_opt.samplers.view import spans

FIXED = "GSO111"
"""The code of reads at positions that depend on no input."""

UNSIZED = "GSO113"
"""The code of sizes that are not known, or that no memory can hold."""

MOST = 2**48
"""Elements of an image or a result: no memory holds more, and what is computed of their sizes fits in int64."""


_GROUPS = ("samplers", "sums", "resizes", "roi_aligns", "deforms", "attentions")
"""The fields of a survey that hold sites, in the order of the ids."""


@dataclass(frozen=True)
class Survey:
    """The sites of a model by kind, and what else there is to say; ids are unique over all kinds.

    Attributes:
        samplers: Bilinear samplers: proven sums of reads (GSO001) and GridSample nodes (GSO002).
        sums: Other sums of reads of one tensor (GSO003).
        resizes: Reads at places that no data decides, each a Resize (GSO004).
        roi_aligns: Samples on a regular grid in each box, and their means (GSO007); what they are made of is none of
            the others.
        deforms: Samplers whose samples a convolution weighs, each a DeformConv (GSO006).
        attentions: Samplers of several levels whose samples are weighted and summed (GSO008).
        near_misses: What looks like a sampler and is not, each with its reason.
        hazards: What goes wrong in some runtime.
        shapes: Of every tensor, at each of several sizes of the dynamic dims that fit together; by the path of the
            graph or body that was looked at.
    """

    samplers: tuple[Site, ...] = ()
    sums: tuple[StructuralSite, ...] = ()
    resizes: tuple[ResizeSite, ...] = ()
    roi_aligns: tuple[RoiAlignSite, ...] = ()
    deforms: tuple[DeformSite, ...] = ()
    attentions: tuple[AttentionSite, ...] = ()
    near_misses: tuple[Remark, ...] = ()
    hazards: tuple[Remark, ...] = ()
    shapes: Mapping[str, tuple[Mapping[str, Shape], ...]] = field(default_factory=dict)

    @property
    def fitting(self) -> tuple[Mapping[str, Shape], ...]:
        """Shapes of the inputs, among others, that fit together: those of the first part that has any."""
        return next((shapes for shapes in self.shapes.values() if shapes), ())

    @property
    def sites(self) -> tuple[AnySite, ...]:
        """Every site, in the order of the ids."""
        return (*self.samplers, *self.sums, *self.resizes, *self.roi_aligns, *self.deforms, *self.attentions)

    def changed(self, change: Callable[[Any], Any]) -> Survey:
        """The survey with what `change` makes of each site, in the order of the ids; sites of None are left out."""
        made = ((name, (change(site) for site in getattr(self, name))) for name in _GROUPS)
        groups: dict[str, Any] = {name: tuple(new for new in sites if new is not None) for name, sites in made}
        return replace(self, **groups)

    @property
    def every_sampler(self) -> tuple[Site, ...]:
        """The samplers, those inside other sites included."""
        boxed: list[Site] = [site.plain for site in self.roi_aligns if site.is_sampler]
        weighted = [sampler for site in self.attentions for sampler in site.plain]
        return (*self.samplers, *(site.plain for site in self.deforms), *boxed, *weighted)

    @property
    def understood(self) -> int:
        """How many sites are samplers, or made of them; sums of reads are not, nor is what no data decides."""
        return sum(map(len, (self.samplers, self.deforms, self.roi_aligns, self.attentions)))


def survey(
    graph: Graph,
    has_sums: bool = True,
    ranges: Box | None = None,
    stated: Box | None = None,
    proofs: Proofs | None = None,
) -> Survey:
    """Look at one canonical graph and the bodies in it; `has_sums` is False where there surely is no sum of reads.

    `ranges` are those of sizes by name that suffice where a sampler cannot be proven for all of them, `stated` all that
    are said; what holds at none of them is no site. `proofs` has what was proven of graphs like it, and gets more.
    """
    scopes: dict[str, Scope] = {}
    proofs = proofs or Proofs()
    said = (ranges, ranges if stated is None else stated)
    own = [_look(graph, has_sums, scopes, proofs, *said)]
    parts = [*own, *(_look(part, has_sums, scopes, proofs) for part in graph.bodies())]  # sizes there are its own
    every: dict[str, Any] = {name: tuple(site for part in parts for site in getattr(part, name)) for name in _GROUPS}
    ids = count()
    return Survey(
        **every,
        near_misses=tuple(miss for part in parts for miss in part.near_misses),
        hazards=(*node_hazards(graph.gs), *(remark for part in parts for remark in part.hazards)),
        shapes={path: shapes for part in parts for path, shapes in part.shapes.items()},
    ).changed(lambda site: replace(site, id=f"site{next(ids)}"))


def _look(
    part: Graph,
    has_sums: bool,
    scopes: dict[str, Scope],
    proofs: Proofs,
    ranges: Box | None = None,
    stated: Box | None = None,
) -> Survey:
    """What one graph holds, its bodies left out; no site has an id yet."""
    if not any(map(_reads_pixels, part.nodes)) and not has_grid_samples(part.nodes):
        return Survey()
    scope = Scope.at(part, scopes)
    found = find_sites(scope, proofs, ranges, stated) if has_sums else FoundSites((), ())
    held = [*found.sites, *grid_sample_sites(scope)]
    fitting = [site for site in held if not _is_vast(scope, site)]
    claimed = {name for site in held for name in site.reads}
    sizes = SizeSets(scope, stated=stated)
    resizes = find_resizes(scope, claimed, sizes)
    claimed |= {name for site in resizes.sites for name in site.reads}
    every_sum = tuple(structural_sites(scope, found.sizes or sizes, claimed)) if has_sums else ()
    roi_aligns = find_roi_aligns(scope, fitting, every_sum, sizes)
    inner = {site.inner.output for site in roi_aligns}
    deforms = find_deform_convs(scope, [site for site in fitting if site.output not in inner], sizes)
    inner |= {site.sampler.output for site in deforms.sites}
    attentions = find_attentions(scope, [site for site in fitting if site.output not in inner], sizes)
    inner |= {sampler.output for site in attentions.sites for sampler in site.samplers}
    sums = tuple(site for site in every_sum if site.output not in inner)
    told = claimed.union(*(site.reads for site in sums))
    return Survey(
        samplers=tuple(site for site in fitting if site.output not in inner),
        sums=sums,
        resizes=resizes.sites,
        roi_aligns=roi_aligns,
        deforms=deforms.sites,
        attentions=attentions.sites,
        near_misses=(
            *_unanswered(scope, found, sums, resizes, roi_aligns),
            *(Remark(FIXED, each.node, each.condition) for each in resizes.untold(told)),
            *_fixed(scope, told),
            *_vast(scope, held),
            *deforms.misses,
            *attentions.misses,
        ),
        hazards=read_hazards(scope, sums),
        shapes={part.path: found.shapes or resizes.shapes or (_fitting(sizes, fitting) if inner else ())},
    ).changed(lambda site: replace(site, body=part.path))


def _fitting(sizes: SizeSets, samplers: list[Site]) -> tuple[Mapping[str, Shape], ...]:
    """Shapes of every tensor at several sets of sizes, where no search of reads has settled them: see `Survey`."""
    shapes = ((site.image, sizes.facts(0).get(site.image.tensor, UNKNOWN).shape) for site in samplers)
    images = {size for image, shape in shapes if shape is not None for size in spans(image, shape)[2:]}
    return sizes.shapes(images)


def _fixed(scope: Scope, claimed: set[str]) -> Iterator[Remark]:
    why = "no read has an index that depends on data: it is a sum of four or more parts of one read"
    for node in sums_of_fixed_parts(scope, claimed):
        yield Remark(FIXED, node.name, why)


def _vast(scope: Scope, sites: list[Site]) -> Iterator[Remark]:
    why = "its image, its points or its result are said to have more elements than any memory holds"
    for site in sites:
        if _is_vast(scope, site):
            yield Remark(UNSIZED, scope.producer[site.output][0].name, why)


def _is_vast(scope: Scope, site: Site) -> bool:
    shapes = [scope.tensors[view.tensor].shape or () for view in (site.image, *site.coordinate_views)]
    known = [math.prod(size for size in shape if isinstance(size, int) and size > 0) for shape in shapes]
    return max(site.elements, *known) > MOST


def _reads_pixels(node: Node) -> bool:
    """Whether a node may read something else than sizes, which bodies are full of; images may be bytes."""
    return operator(node) in READS and (str(node.inputs[0].dtype) not in NO_PIXELS or reads_labels(node))


def _unanswered(
    scope: Scope,
    found: FoundSites,
    sums: tuple[StructuralSite, ...],
    resizes: FoundResizes,
    roi_aligns: tuple[RoiAlignSite, ...],
) -> tuple[Remark, ...]:
    """The near-misses, with only the best reason why it is no sampler for each sum whose reads merge.

    That indices are at fixed positions goes before every other reason.
    """
    cones = (*(site.cone for site in resizes.sites), *(site.cone for site in roi_aligns))
    answered = {name for cone in cones for name in cone}
    kept = [miss for miss in found.near_misses if miss.node not in answered]
    for site in sums:
        inside = _behind(scope, site)
        own = [miss for miss in kept if miss.node in inside]
        kept = [miss for miss in kept if miss.node not in inside]
        kept += _of_sum(scope, site, own, resizes.misses)
    return tuple(kept)


def _of_sum(scope: Scope, site: StructuralSite, own: list[Remark], misses: Mapping[str, str]) -> list[Remark]:
    last = scope.producer[site.output][0].name
    known: dict[str, bool] = {}
    if all(is_fixed(scope, name, known) for name in site.indices):
        why = f", and it is no Resize: {misses[last]}" if last in misses else ""
        return [Remark(FIXED, last, f"no read has an index that depends on data{why}")]
    return [miss for miss in own if miss.node == last] or own[:1]


def _behind(scope: Scope, site: StructuralSite) -> set[str]:
    """Names of the nodes between a site's reads and its sum, that included."""
    return {node.name for node in scope.backward_slice([site.output], site.results)}
