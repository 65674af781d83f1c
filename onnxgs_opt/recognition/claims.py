"""What is said of a proven sampler: which tensors it is made of, and the `Site` that they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from onnxgs_opt.diagnostics import Remark
from onnxgs_opt.ir import Constant, Node
from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.recognition.algebra.polynomial import Number
from onnxgs_opt.recognition.candidates import Join
from onnxgs_opt.recognition.cone import escape
from onnxgs_opt.recognition.cut_points import Cuts
from onnxgs_opt.recognition.lifting.dynamic_dims import SizeSets
from onnxgs_opt.recognition.lifting.shape_functions import UNKNOWN, Shape, float_types
from onnxgs_opt.recognition.match import Match, Miss
from onnxgs_opt.recognition.operands import Placement
from onnxgs_opt.samplers.kernel import FLOOR, KERNELS
from onnxgs_opt.samplers.site import BILINEAR, Domain, Site
from onnxgs_opt.samplers.view import View, known_product


@dataclass(frozen=True)
class Claim:
    """A proven sampler whose result is `output`; `exact` where the model compares its coordinates in pixels."""

    output: str
    match: Match
    placement: Placement
    cuts: Cuts
    exact: bool
    narrow: Mapping[str, tuple[Number, Number]]
    exact_below: int

    def in_pixels(self) -> Claim | None:
        """The claim that its coordinates are pixels, whatever units these are made of; None where it is that."""
        plain = self.placement.in_pixels()
        return None if plain is None else replace(self, placement=plain)


@dataclass(frozen=True)
class FoundSites:
    """The sites of a graph, and its near-misses: what looks like a site and is not, each with its reason.

    `sizes` are those that it was looked at, None where it was not. `shapes` has every tensor's shape at the small ones,
    and perhaps at one more set of sizes; it is empty where nothing is dynamic.
    """

    sites: tuple[Site, ...]
    near_misses: tuple[Remark, ...]
    sizes: SizeSets | None = None
    shapes: tuple[Mapping[str, Shape], ...] = ()

    def joined(self, more: FoundSites) -> FoundSites:
        """What else was found, where it has more sites; of those that are known what is said of them stays."""
        if len(more.sites) <= len(self.sites):
            return self
        known = {site.output: site for site in self.sites}
        return replace(more, sites=tuple(replace(known.get(site.output, site), id=site.id) for site in more.sites))


def adds_nothing(inner: Claim, outer: Claim) -> bool:
    """Whether `outer`, further on in the graph, may be taken for `inner`: it adds a mask in pixels or layout alone.

    A factor or an addend stays outside; so does a mask in other units, since a point at a border may round to its other
    side. Coordinates that `inner` has in their own axes are not split for what is only layout.
    """
    a, b = inner.placement.affine, outer.placement.affine
    splits = {view.split for view in inner.placement.coordinate_views}
    whole = all(view.split in (None, *splits) for view in outer.placement.coordinate_views)
    masked = outer.match.policy.window != inner.match.policy.window and not outer.exact
    return whole and not masked and b.names <= a.names and b.scale in (a.scale, 1)


def between(scope: Scope, claim: Claim) -> list[Node]:
    """The nodes from the image and the coordinates to the output."""
    views = claim.placement.image, *claim.placement.operands
    return scope.backward_slice([claim.output], frozenset(view.tensor for view in views))


def rounds_a_sum(site: Site) -> bool:
    """Whether a whole number is added to a coordinate whose nearest pixel alone counts: a float may round there."""
    nearest = any(KERNELS[name].taps == 1 for name in site.kernels)
    return nearest and any(view.shift and view.parts == 1 for view in site.coordinate_views)


def site_of(scope: Scope, sizes: SizeSets, join: Join, claim: Claim, domain: Domain) -> Site | Miss:
    """The site of a claim, whose reads are those of `join`; a miss where something else needs what lies between."""
    escaped = escape(scope, join.reads, claim.output)
    if escaped is not None:
        return escaped
    facts, placement = sizes.facts(0), _with_static_sizes(sizes, claim.placement)
    reads = [scope.producer[t][0] for t in sorted(join.reads, key=scope.order.__getitem__)]
    batch, channels, *image_size = group_sizes(sizes, placement.image)
    points = [group_sizes(sizes, view)[1 : 1 + len(image_size)] for view in placement.coordinate_views]
    counts = (None if None in each else max(s or 1 for s in each) for each in zip(*points, strict=True))
    image, *coordinates = (facts.get(v.tensor, UNKNOWN) for v in (placement.image, *placement.coordinate_views))
    if any(fact.dtype is not None and fact.dtype.kind not in "fiu" for fact in (image, *coordinates)):
        return Miss("its image or its coordinates are no real numbers", 4, "GSO108")
    is_table = isinstance(scope.tensors[placement.image.tensor], Constant) or claim.match.kernels == (FLOOR.name,)
    if is_table and len(claim.match.axes) == claim.match.taps == 1:
        return Miss("a row is looked up by one number, which is no point of an image", 1, "GSO113")
    indices = {str(facts.get(node.inputs[1].name, UNKNOWN).dtype) for node in reads if len(node.inputs) > 1}
    cone, is_bilinear = between(scope, claim), claim.match.kernels == BILINEAR
    return Site(
        id="",
        kind="bilinear" if is_bilinear else "sampler",
        rule="GSO001" if is_bilinear else "GSO005",
        policy=claim.match.policy,
        output=claim.output,
        output_rank=len(facts[claim.output].shape or ()),
        reads=tuple(r.name for r in reads),
        read_op=reads[0].op,
        cone=tuple(n.name for n in cone),
        batch=batch,
        channels=channels,
        image_size=tuple(image_size),
        sample_size=tuple(counts),
        kernels=claim.match.kernels,
        dtype="unknown" if image.dtype is None else str(image.dtype),
        layout=placement.layout,
        domain=domain,
        types=float_types(coordinates, cone, facts),
        index_type=indices.pop() if len(indices) == 1 else "",
        **{f: getattr(placement, f) for f in Placement.__dataclass_fields__},
    )


def _with_static_sizes(sizes: SizeSets, placement: Placement) -> Placement:
    """With the numbers that are known of what coordinates are repeated along."""

    def told(view: View | None) -> View | None:
        known = [sizes.static_dims(repeat.like)[repeat.place] for repeat in view.repeats] if view else []
        return view and replace(
            view, repeats=tuple(replace(r, size=size) for r, size in zip(view.repeats, known, strict=True))
        )

    return replace(placement, x=told(placement.x), y=told(placement.y), z=told(placement.z))


def group_sizes(sizes: SizeSets, view: View) -> list[int | None]:
    """The size of each canonical axis of a view; None for a dynamic one."""
    dims = view.split_dims(sizes.static_dims(view.tensor))
    return [known_product(dims[a] for a in group) for group in view.groups]
