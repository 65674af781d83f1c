"""A site by itself, as it is measured: the sizes, the model of its cone, inputs for it, and the cone lowered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
from onnx import ModelProto
from onnx.helper import tensor_dtype_to_np_dtype

from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import LOWERINGS
from onnxgs_opt.passes import PASSES, Pipeline
from onnxgs_opt.recognition import KINDS
from onnxgs_opt.runtime.timing import Feeds
from onnxgs_opt.samplers.attention import AttentionSite
from onnxgs_opt.samplers.deform import DeformSite
from onnxgs_opt.samplers.site import AnySite, Site, StructuralSite
from onnxgs_opt.samplers.view import Layout, View, by, spans
from onnxgs_opt.validation.boundary_values import aims_of, layouts_of
from onnxgs_opt.validation.check_attention import attention_feeds
from onnxgs_opt.validation.check_deform_conv import deform_feeds
from onnxgs_opt.validation.check_gather_sum import read_models, read_runs
from onnxgs_opt.validation.check_resize import resize_cone
from onnxgs_opt.validation.check_roi_align import box_cone, box_feeds
from onnxgs_opt.validation.cone_check import feeds_at, lowered_alone, operand_cone
from onnxgs_opt.validation.extract import NotRunnableError, cone_of, lowered_cone
from onnxgs_opt.validation.inputs import site_feeds
from onnxgs_opt.validation.small_sizes import Shapes

DEFAULT = Layout(1, 3, (256, 256), (256, 256))
"""What dynamic sizes of a sampler are measured at where the caller says nothing."""


class Trial(Protocol):
    """What is timed of a site, and serves for all sites of the same signature."""

    @property
    def site(self) -> AnySite:
        """The site that is timed."""

    @property
    def signature(self) -> str:
        """What sites have in common that are equally fast: `SiteKind.workload`."""

    @property
    def is_dynamic(self) -> bool:
        """Whether the sizes are not the file's own."""

    @property
    def sizes(self) -> str:
        """The sizes that are measured, in words."""

    def cone(self, graph: Graph) -> ModelProto:
        """The site as exported, as a model."""

    def feeds(self, cone: ModelProto, seed: int) -> Feeds:
        """Inputs of that model."""

    def lowered(self, graph: Graph, cone: ModelProto, name: str) -> ModelProto:
        """The same model with the site lowered."""


def trial_of(graph: Graph, sized: Graph, site: AnySite) -> Trial:
    """The trial of a site; `sized` is the graph with sizes for its inputs, where the user gave some."""
    return TRIALS[site.kind](graph, sized, site)


def _sampler_trial(graph: Graph, sized: Graph, site: Site) -> SamplerTrial:
    layout = layout_of(sized, site)
    is_dynamic = None in (site.batch, site.channels, *site.image_size, *site.sample_size)
    own = KINDS[site.kind].workload(graph, site, layout if is_dynamic else None)
    return SamplerTrial(site, own, is_dynamic, layout, sized.at(site.body))


@dataclass(frozen=True)
class SamplerTrial:
    """A sampler, with points all over its image and a little beyond, in no order.

    `sized` is the graph that the site is in, with sizes for the model's inputs: its cone may take sizes of other
    tensors than the image and the coordinates.
    """

    site: Site
    signature: str
    is_dynamic: bool
    layout: Layout
    sized: Graph

    @property
    def sizes(self) -> str:
        """The shape of the image and the number of points."""
        return f"{by(self.layout.of_image())} at {by(self.layout.samples)} points"

    def cone(self, graph: Graph) -> ModelProto:
        """The model from the image and the coordinates to the site's output, and to its mask where that is used.

        Not every lowering gives the mask, and by hand it may cost as much as all reads.
        """
        return cone_of(graph, self.site, gives_mask=True)

    def feeds(self, cone: ModelProto, seed: int) -> Feeds:
        """Unit-normal images; points uniform over the image and, where they may leave it, 2 pixels beyond."""
        rng = np.random.default_rng(seed)
        shape = self.layout.of_samples()
        aimed = set(aims_of([self.site]))
        kinds = {v.type.tensor_type.elem_type for v in cone.graph.input if v.name in aimed}
        dtype = tensor_dtype_to_np_dtype(kinds.pop()) if len(kinds) == 1 else np.dtype(np.float32)
        margin = 0.0 if self.site.inside or self.site.bounds else 2.0
        sizes = self.layout.image[::-1]
        points = [(rng.random(shape) * (size - 1 + 2 * margin) - margin).astype(dtype) for size in sizes]
        return site_feeds(cone, self.site, self.layout, points, rng, _told_shapes(self.sized, cone))

    def lowered(self, graph: Graph, cone: ModelProto, name: str) -> ModelProto:
        """That model with the site written by a lowering; what it does not need is gone."""
        return lowered_cone(cone, self.site, LOWERINGS[name])


def with_shapes(graph: Graph, shapes: Mapping[str, Sequence[int]]) -> Graph:
    """The graph with sizes for its inputs, for shapes to be read off; the graph itself when there are none.

    Dims of other inputs that have the name of one that is given have its size.
    """
    if not shapes:
        return graph
    model = graph.to_proto()
    del model.graph.value_info[:]
    dims = {value.name: value.type.tensor_type.shape.dim for value in model.graph.input}
    pairs = [pair for name, shape in shapes.items() for pair in zip(dims.get(name, ()), shape, strict=False)]
    sizes = {dim.dim_param: size for dim, size in pairs if dim.dim_param}
    pairs += [(dim, sizes[dim.dim_param]) for own in dims.values() for dim in own if dim.dim_param in sizes]
    for dim, size in pairs:
        dim.dim_value = size
    sized = Graph.from_proto(model, graph.folder)
    Pipeline("sizes", (PASSES["infer-shapes"], PASSES["fold-constants"]), rounds=8).run(sized)
    return sized


def layout_of(sized: Graph, site: Site) -> Layout:
    """Sizes to measure a site at: its own, then those that follow from the inputs' shapes, then `DEFAULT`."""
    part = sized.at(site.body)
    own = layouts_of(site, [DEFAULT])[0]
    image = _told(part, site.image)
    points = [sizes for view in site.coordinate_views if (sizes := _told(part, view)) is not None]
    if image is not None:
        own = Layout(image[0], image[1], tuple(image[2:]), own.samples)
    if points:
        axes = range(1, 1 + len(site.image_size))
        own = replace(own, samples=tuple(max(p[axis] for p in points) for axis in axes))
    return layouts_of(site, [own])[0]


def image_sizes(graph: Graph, sites: Iterable[Site], shapes: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    """(H, W) by id for those of some samplers whose images are dynamic, where they follow from the inputs' shapes."""
    dynamic = [site for site in sites if None in site.image_size]
    if not dynamic or not shapes:
        return {}
    sized = with_shapes(graph, shapes)
    told = {site.id: _told(sized.at(site.body), site.image) for site in dynamic}
    return {name: tuple(sizes[2:]) for name, sizes in told.items() if sizes is not None}


def sized_sites(graph: Graph, sites: Iterable[AnySite], shapes: Mapping[str, Sequence[int]]) -> dict[str, AnySite]:
    """By id, those of some sites that have dynamic sizes, with the ones that follow from the inputs' shapes."""
    dynamic = [site for site in sites if site.kind in SIZED and KINDS[site.kind].record(site).is_dynamic]
    if not dynamic or not shapes:
        return {}
    sized = with_shapes(graph, shapes)
    return {site.id: SIZED[site.kind](sized.at(site.body), site) for site in dynamic}


def _sized_sampler(part: Graph, site: Site) -> Site:
    image, points = _told(part, site.image), [_told(part, view) for view in site.coordinate_views]
    if image is not None:
        site = replace(site, batch=image[0], channels=image[1], image_size=tuple(image[2:]))
    known = [sizes for sizes in points if sizes is not None]
    if len(known) < len(points):
        return site
    axes = range(1, 1 + len(site.image_size))
    return replace(site, sample_size=tuple(max(sizes[axis] for sizes in known) for axis in axes))


def _sized_attention(part: Graph, site: AttentionSite) -> AttentionSite:
    value, places = _told(part, site.value), _told(part, site.locations)
    if value is None or places is None:
        return site
    return replace(site, sizes=(value[0], places[1], value[2], value[3]))


def _told(part: Graph, view: View) -> list[int] | None:
    """The canonical sizes of a view, where its tensor's are all known."""
    shape, *others = (_shape(part, name) for name in (view.tensor, *(repeat.like for repeat in view.repeats)))
    known = {repeat.like: other for repeat, other in zip(view.repeats, others, strict=True) if other is not None}
    return None if shape is None else spans(view, shape, known)


def _shape(part: Graph, name: str) -> tuple[int, ...] | None:
    shape = None
    with suppress(KeyError):  # folded away where sizes are known
        shape = part.tensor(name).shape
    if shape is None or not all(isinstance(d, int) and d > 0 for d in shape):
        return None
    return tuple(shape)


@dataclass(frozen=True)
class ReadsTrial:
    """The reads of a sum alone, at random indices: what is done with their results stays the same."""

    site: StructuralSite
    signature: str
    is_dynamic: bool

    @property
    def sizes(self) -> str:
        """The shapes of what is read and of each index."""
        return " at indices ".join(map(by, self.site.shapes[0]))

    def cone(self, graph: Graph) -> ModelProto:
        """The model from the data and the indices to the result of each read."""
        return read_models(graph, self.site)[0]

    def feeds(self, cone: ModelProto, seed: int) -> Feeds:
        """Random data, and indices over the whole range."""
        return next(read_runs(cone, self.site, seed)).feeds

    def lowered(self, graph: Graph, cone: ModelProto, name: str) -> ModelProto:
        """One read for all, cut into the results of each: reads have no other lowering, whatever `name` says."""
        return read_models(graph, self.site)[1]


def _reads_trial(graph: Graph, sized: Graph, site: StructuralSite) -> ReadsTrial:
    own, told = (
        (_shape(part, site.data), _shape(part, site.indices[0])) for part in (graph.at(site.body), sized.at(site.body))
    )
    is_dynamic = None in own
    data, index = told
    if data is not None and index is not None:
        site = replace(site, shapes=((data, index), *site.shapes))  # the first are measured, all are checked
    return ReadsTrial(site, KINDS[site.kind].workload(graph, site), is_dynamic)


@dataclass(frozen=True)
class ConeTrial:
    """A site that is measured as a whole, from what it is made of to its output, at the sizes of `sized`."""

    site: AnySite
    signature: str
    is_dynamic: bool
    sized: Graph
    kind: _Whole

    @property
    def sizes(self) -> str:
        """The shapes of what it is made of."""
        shapes = (_shape(self.sized, name) for name in self.kind.shown(self.site))
        return self.kind.between.join("unknown sizes" if s is None else by(s) for s in shapes)

    def cone(self, graph: Graph) -> ModelProto:
        """The model from what it is made of to its output."""
        return self.kind.cone(graph, self.site)

    def feeds(self, cone: ModelProto, seed: int) -> Feeds:
        """Inputs as the kind has them, of the shapes that count."""
        return self.kind.feeds(cone, self.site, _told_shapes(self.sized, cone), seed)

    def lowered(self, graph: Graph, cone: ModelProto, name: str) -> ModelProto:
        """That model with the site, or with the samplers in it, written by a lowering."""
        return lowered_alone(cone, self.site, name)


class _Whole(NamedTuple):
    """How sites of a kind are measured as a whole.

    `sizes` are None where they are dynamic, `shown` the tensors whose shapes say them, with `between` between these in
    words; the shapes of `others` count as well.
    """

    cone: Callable[[Graph, Any], ModelProto]
    feeds: Callable[[ModelProto, Any, Shapes, int], Feeds]
    sizes: Callable[[Any], Iterable[int | None]]
    shown: Callable[[Any], Sequence[str]]
    between: str = " and "
    others: Callable[[Any], Iterable[str]] = lambda _: ()

    def trial(self, graph: Graph, sized: Graph, site: AnySite) -> ConeTrial:
        """The trial of a site; the shapes of what it is made of are in its signature where they are dynamic."""
        part, own = sized.at(site.body), KINDS[site.kind].workload(graph, site)
        is_dynamic = None in self.sizes(site)
        shapes = [_shape(part, name) for name in (*self.shown(site), *sorted(self.others(site)))]
        return ConeTrial(site, f"{own} at:{shapes}" if is_dynamic else own, is_dynamic, part, self)


def _told_shapes(sized: Graph, cone: ModelProto) -> dict[str, tuple[int, ...]]:
    """The shapes of a cone's inputs that are known."""
    told = {value.name: _shape(sized, value.name) for value in cone.graph.input}
    return {name: shape for name, shape in told.items() if shape is not None}


def _deform_feeds(cone: ModelProto, site: DeformSite, told: Shapes, seed: int) -> Feeds:
    """Unit-normal images and masks; points are up to 2 pixels from where the kernel has them."""
    rng = np.random.default_rng(seed)

    def near(size: int, grid: Any) -> Any:
        return grid + rng.uniform(-2, 2, grid.shape).astype(np.float32)

    return deform_feeds(cone, site, told, rng, near)


def _attention_feeds(cone: ModelProto, site: AttentionSite, told: Shapes, seed: int) -> Feeds:
    """Unit-normal values and weights; points are about 2 pixels of their level from their query's own.

    A query for each pixel is at that, any other number of them anywhere.
    """
    rng = np.random.default_rng(seed)
    try:
        levels = site.levels_at(told)
    except KeyError:
        raise NotRunnableError("the sizes of its levels are not known") from None
    pixels = np.concatenate([(np.indices(level).reshape(2, -1)[::-1].T + 0.5) / level[::-1] for level in levels])

    def near(size: int, axis: int, shape: tuple[int, ...]) -> Any:
        centres = pixels if shape[1] == len(pixels) else np.random.default_rng(seed).random((shape[1], 2))
        around = centres[:, axis].reshape(1, -1, 1, 1) * size - 0.5
        return (around + rng.normal(0, 2, shape)).astype(np.float32)

    return attention_feeds(cone, site, told, rng, near)


RESIZE = _Whole(
    resize_cone,
    lambda cone, _, told, seed: feeds_at(cone, told, np.random.default_rng(seed)),
    sizes=lambda site: (*site.image_shape, *(axis.samples for axis in site.axes)),
    shown=lambda site: (site.image,),
)
ROI_ALIGN = _Whole(
    box_cone,
    lambda cone, site, told, seed: box_feeds(cone, site, told, np.random.default_rng(seed)),
    sizes=lambda site: (site.boxes, site.channels, *site.image_size),
    shown=lambda site: (site.image.tensor, *site.sources),
)
DEFORM_CONV = _Whole(
    operand_cone, _deform_feeds, sizes=lambda site: site.sizes, shown=lambda site: (site.image.tensor,)
)
ATTENTION = _Whole(
    lambda graph, site: operand_cone(graph, site, others=site.told_by),
    _attention_feeds,
    sizes=lambda site: (*site.sizes, *(size for level in site.levels for size in level)),
    shown=lambda site: (site.value.tensor, site.locations.tensor),
    between=" at ",
    others=lambda site: site.told_by,
)

SIZED: dict[str, Callable[[Graph, Any], AnySite]] = {
    "bilinear": _sized_sampler,
    "sampler": _sized_sampler,
    "grid-sample": _sized_sampler,
    "deformable-attention": _sized_attention,
}
"""By a site's kind, what gives it the sizes that a graph with sizes for its inputs tells."""

TRIALS: dict[str, Callable[[Graph, Graph, Any], Trial]] = {
    "bilinear": _sampler_trial,
    "sampler": _sampler_trial,
    "grid-sample": _sampler_trial,
    "structural": _reads_trial,
    "resize": RESIZE.trial,
    "roi-align": ROI_ALIGN.trial,
    "deform-conv": DEFORM_CONV.trial,
    "deformable-attention": ATTENTION.trial,
}
"""By a site's kind, what makes its trial, given the graph, the graph with sizes for its inputs, and the site."""
