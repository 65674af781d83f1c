"""Inputs for a site's cone and for a whole model that tell a right rewrite from a wrong one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto

from onnxgs_opt.ir.operators import BOOLEAN, COPIES, ELEMENTWISE, ROUNDS
from onnxgs_opt.ir.traversal import bodies_of
from onnxgs_opt.runtime.memory import require_array
from onnxgs_opt.samplers.op import NAMES
from onnxgs_opt.samplers.roi_align import RoiAlignSite
from onnxgs_opt.samplers.site import Site
from onnxgs_opt.samplers.view import Array, Layout, Size, by, spans, tensor_shape
from onnxgs_opt.validation.boundary_values import (
    Aim,
    aims_of,
    beside_ties,
    coordinate_values,
    image_values,
    normalised,
    pixels,
    pixels_of_items,
    words_of,
)
from onnxgs_opt.validation.box_values import with_boxes
from onnxgs_opt.validation.extract import NotRunnableError

POINTS = 2000
MAX_ROUNDS = 6


@dataclass(frozen=True)
class Run:
    """One set of inputs; for a site also its pixel coordinates [N, Ho, Wo], x first, and its image's (H, W).

    `beyond` says which sizes those are where nothing is claimed for them: what differs there is said, and no fault.
    `nearer` makes the inputs to take where a model does not run on these: its reads may fail far outside.
    """

    feeds: Mapping[str, Array]
    points: tuple[Array, ...] = ()
    image: tuple[int, ...] = (0, 0)
    beyond: str = ""
    nearer: Callable[[], Run] | None = None

    @property
    def shapes(self) -> str:
        """The inputs and their shapes, in words."""
        return ", ".join(f"{name} {by(value.shape)}" for name, value in self.feeds.items())


@dataclass(frozen=True)
class ModelInputs:
    """What a whole model is run on.

    Attributes:
        given: The user's own inputs; nothing else is run then.
        sites: At the borders of whose images generated coordinates are aimed.
        shapes: Shapes of inputs with dynamic dims; where there are none, several sizes are tried.
        fitting: Sets of shapes, by tensor, that are known to fit together; tried where `shapes` says nothing.
        seed: Seed of generated inputs.
        roi_aligns: Whose boxes generated inputs are all over the image.
    """

    given: Mapping[str, Array] | None = None
    sites: Sequence[Site] = ()
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    fitting: Sequence[Mapping[str, Sequence[int]]] = ()
    seed: int = 0
    roi_aligns: Sequence[RoiAlignSite] = ()

    def runs(self, model: ModelProto) -> Iterator[Run]:
        """The user's inputs, or generated ones at several sizes."""
        if self.given is not None:
            return iter([Run(self.given)])
        runs = model_runs(model, aims_of(self.sites), self.shapes, self.seed, self.fitting)
        rng = np.random.default_rng(self.seed)
        return (replace(run, feeds=with_boxes(run.feeds, self.roi_aligns, rng)) for run in runs)


def site_runs(
    cone: ModelProto,
    site: Site,
    layouts: Sequence[Layout],
    seed: int,
    shapes: Sequence[Mapping[str, Sequence[int]]] = (),
    own: Iterable[Layout] = (),
    beyond: Iterable[Layout] = (),
) -> Iterator[Run]:
    """Inputs for a site's cone: at each layout as many runs as it takes for all kinds of points to meet.

    `shapes` gives, for each layout, the shape of every tensor that has a known one. One run is made at each layout of
    `own` at which the cone's dims fit together and that the site's domain has, and at each of `beyond`, which it lacks.
    """
    rng = np.random.default_rng(seed)
    for k, layout in enumerate(layouts):
        known = shapes[k] if k < len(shapes) else {}
        points = math.prod(layout.of_samples())
        with suppress(
            ValueError
        ):  # of batches that nothing has told to be one, the file may have one and leave one open
            for _ in range(max(1, min(MAX_ROUNDS, -(-POINTS // max(1, points))))):
                yield _site_run(cone, site, layout, rng, known)
    for layout in own:
        with suppress(ValueError):  # an axis that is split or merged may not have such a size
            run = _site_run(cone, site, layout, rng, {})
            if site.domain is None or site.domain.covers(_sizes_by_name(cone, run), layout.image):
                yield run
    for layout in beyond:
        with suppress(ValueError):
            yield replace(_site_run(cone, site, layout, rng, {}), beyond=words_of(layout))


def _sizes_by_name(cone: ModelProto, run: Run) -> dict[str, int]:
    """The sizes of a run's inputs by the names of their dims, which are those of a `Domain`."""
    return {
        dim.dim_param or f"{value.name}:{axis}": run.feeds[value.name].shape[axis]
        for value in cone.graph.input
        for axis, dim in enumerate(value.type.tensor_type.shape.dim)
    }


def _site_run(
    cone: ModelProto, site: Site, layout: Layout, rng: np.random.Generator, known: Mapping[str, Sequence[int]]
) -> Run:
    """Coordinates and image of one layout; any other input of the cone matters by its shape only."""
    aims = aims_of([site])
    types = {v.name: _type_of(v) for v in cone.graph.input}
    dtype = next((_floats(types[name][0]) for name in aims if name in types), np.dtype(np.float32))
    sizes = layout.image[::-1]
    points = tuple(pixels_of_items(size, layout, rng, dtype) for size in sizes)
    if site.taps == 1:
        points = tuple(beside_ties(p, rng) for p in points)
    if site.inside:
        points = tuple(np.clip(p, 0, size - 1) for p, size in zip(points, sizes, strict=True))
    if site.bounds:
        ends = [b and (b[0], size + b[1]) for b, size in zip(site.bounds, sizes, strict=True)]
        points = tuple(p if end is None else np.clip(p, *end) for p, end in zip(points, ends, strict=True))
    feeds = site_feeds(cone, site, layout, points, rng, known)

    @cache
    def nearer() -> Run:
        """No corner is behind the last pixel or more than one before the first."""
        pairs = zip(points, sizes, strict=True)
        beside = tuple(np.clip(p, -1, np.nextafter(p.dtype.type(size - 1), p.dtype.type(0))) for p, size in pairs)
        return Run(site_feeds(cone, site, layout, beside, np.random.default_rng(0), known), beside, layout.image)

    return Run(feeds, points, layout.image, nearer=None if site.inside or site.bounds else nearer)


def site_feeds(
    cone: ModelProto,
    site: Site,
    layout: Layout,
    points: Sequence[Array],
    rng: np.random.Generator,
    known: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, Array]:
    """Inputs of a site's cone that put its points at pixels [N, Ho, Wo], x first; `known` are shapes of tensors."""
    aims = aims_of([site])
    given = known or {}
    types: dict[str, tuple[Any, list[Size]]] = {}
    for value in cone.graph.input:
        kind, dims = _type_of(value)
        types[value.name] = kind, list(given.get(value.name, dims))
    names: dict[str, int] = {}
    feeds: dict[str, Array] = {}
    for name in sorted(types, key=lambda n: n not in aims and n != site.image.tensor):
        kind, dims = types[name]
        if name in aims:
            aim = aims[name]
            shape = tensor_shape(aim.view, dims, (*layout.of_samples(), len(points)))
            feeds[name] = coordinate_values(aim, layout, points, shape).astype(kind)
        elif name == site.image.tensor:
            shape = tensor_shape(site.image, dims, layout.of_image())
            feeds[name] = image_values(shape, rng, kind)
        else:
            shape = tuple(_resolved(dim, names, 2) for dim in dims)
            feeds[name] = _plain_values(shape, kind, rng)
        names.update({dim: size for dim, size in zip(dims, shape, strict=True) if isinstance(dim, str)})
    return feeds


def model_runs(
    model: ModelProto,
    aims: Mapping[str, Aim],
    shapes: Mapping[str, Sequence[int]],
    seed: int,
    fitting: Sequence[Mapping[str, Sequence[int]]] = (),
) -> Iterator[Run]:
    """Inputs for a whole model: two runs at each of three sets of sizes; one set where all are static.

    `shapes` are the user's, `fitting` sets of shapes that the model is known to be consistent at.

    Raises:
        NotRunnableError: No values can be made for an input.
    """
    rng = np.random.default_rng(seed)
    stored = {t.name for t in model.graph.initializer}
    types = {v.name: _type_of(v) for v in model.graph.input if v.name not in stored}
    loose = _feeding_coordinates(model) - set(aims)
    known = [{name: shapes[name] for name in types if name in shapes}]
    dynamic = any(not isinstance(d, int) for name, (_, dims) in types.items() if name not in shapes for d in dims)
    for start in range(max(3, len(fitting)) if dynamic else 1):
        fits = fitting[start] if not known[0] and start < len(fitting) else {}
        given = {name: fits[name] for name in types if name in fits} or known[0]
        sizes = _sizes(types, given, start)
        for _ in range(2):
            yield Run({name: _value(name, types[name][0], sizes, aims, loose, rng) for name in types})


def _sizes(
    types: Mapping[str, tuple[Any, Sequence[Size]]], known: Mapping[str, Sequence[int]], start: int
) -> dict[str, tuple[int, ...]]:
    """A shape for every input: dims of one name are of one size, different names of different sizes."""
    picks = (5, 8, 11, 14, 17, 20, 23, 26) if start != 1 else (32, 64, 96, 48, 80, 112, 16, 128)
    names: dict[str, int] = {}
    for name, given in known.items():
        names.update({d: s for d, s in zip(types[name][1], given, strict=True) if isinstance(d, str)})
    fresh = iter([*picks[start:], *range(27, 200)])
    for _, dims in types.values():
        for axis, dim in enumerate(dims):
            if isinstance(dim, str) and dim not in names:
                names[dim] = start + 1 + (start == 0) if axis == 0 else next(fresh)
    return {
        name: tuple(known[name]) if name in known else tuple(_resolved(d, names, 2) for d in dims)
        for name, (_, dims) in types.items()
    }


def _resolved(dim: Size, names: Mapping[str, int], fallback: int) -> int:
    if isinstance(dim, int):
        return dim
    return names.get(dim, fallback) if dim is not None else fallback


def _value(
    name: str,
    kind: Any,
    sizes: Mapping[str, tuple[int, ...]],
    aims: Mapping[str, Aim],
    loose: set[str],
    rng: np.random.Generator,
) -> Array:
    shape = sizes[name]
    if name in aims:
        aimed = _aimed(aims[name], shape, sizes, rng, kind)
        if aimed is not None:
            return aimed
    if name in loose or name in aims:
        return _loose_values(shape, [s for n, s in sizes.items() if n != name], rng, kind)
    return _plain_values(shape, kind, rng)


def _aimed(
    aim: Aim,
    shape: tuple[int, ...],
    sizes: Mapping[str, tuple[int, ...]],
    rng: np.random.Generator,
    kind: Any,
) -> Array | None:
    """Coordinates at and around the borders of a site's image; None where the inputs do not tell its size."""
    image = sizes.get(aim.site.image.tensor)
    own = aim.site.image_size
    if image is not None and aim.site.image.split is None:
        own = tuple(int(np.prod([image[a] for a in group])) for group in aim.site.image.groups[2:])
    known = tuple(size for size in own if size is not None)
    if len(known) < len(own) or aim.view.split is not None:
        return None
    held, axes = spans(aim.view, shape), len(own)
    if held[1 + axes :] not in ([], [axes]):  # the input serves something else, too, that gives it another size
        return None
    canonical = tuple(held[: 1 + axes])
    count = math.prod(canonical)
    points = [pixels(size, count, rng, _floats(kind)).reshape(canonical) for size in reversed(known)]
    return coordinate_values(aim, Layout(1, 1, known, axes * (1,)), points, shape).astype(kind)


def _floats(kind: Any) -> np.dtype[Any]:
    """The type in which points are chosen whose coordinates are of a type: floats where it counts parts of a pixel."""
    return np.dtype(np.float32) if np.dtype(kind).kind in "iub" else np.dtype(kind)


def _loose_values(
    shape: tuple[int, ...], others: Sequence[tuple[int, ...]], rng: np.random.Generator, kind: Any
) -> Array:
    """Pixels and normalised coordinates of every image size that the other inputs may have.

    Halves are no further outside than that twice a size times them is finite: what infinite coordinates read is free.
    """
    spans = sorted({s for dims in others if len(dims) >= 2 for s in dims[-3:] if s > 1}) or [8, 32]
    require_array(shape)
    count = math.prod(shape)
    share = -(-count // (2 * len(spans)))
    parts = []
    for span in spans:
        p = pixels(span, 2 * share, rng, kind)
        parts += [p[:share], normalised(p[share:], span, align_corners=True)]
    values = np.asarray(rng.permutation(np.concatenate(parts))[:count].reshape(shape))
    if values.dtype != np.float16:
        return values
    furthest = np.float16(np.finfo(np.float16).max / (4 * max(spans)))
    return np.asarray(np.clip(values, -furthest, furthest))


def _plain_values(shape: tuple[int, ...], kind: Any, rng: np.random.Generator) -> Array:
    if np.dtype(kind).kind == "f":
        return image_values(shape, rng, kind)
    require_array(shape)
    return rng.integers(0, 2, shape).astype(kind)


TRACED = (ELEMENTWISE - BOOLEAN) | COPIES
"""Operators through which a coordinate is traced back to an input of the model."""


def _feeding_coordinates(model: ModelProto) -> set[str]:
    """Float inputs from which arithmetic alone leads to a Floor, a cast to integers or a sampler's grid."""
    sources = {v.name: {v.name} for v in model.graph.input if np.dtype(_type_of(v)[0]).kind == "f"}
    functions = {(f.domain, f.name): f for f in model.functions}
    return _rounded(model.graph.node, sources, functions)


def _rounded(
    nodes: Iterable[onnx.NodeProto], sources: dict[str, set[str]], functions: Mapping[tuple[str, str], Any]
) -> set[str]:
    """The inputs that reach a rounding; `sources`, those that reach each tensor, is filled on the way."""
    found: set[str] = set()
    for node in nodes:
        reaching = [sources.get(name, set()) for name in node.input]
        for parameters, body, results in _bodies(node, functions):
            inner = {**sources, **dict(zip(parameters, reaching, strict=False))}
            found |= _rounded(body, inner, functions)
            for name, result in zip(node.output, results, strict=False):
                sources[name] = sources.get(name, set()) | inner.get(result, set())
        if node.op_type in ROUNDS or (node.op_type == "Cast" and _to_integer(node)):
            found |= set().union(*reaching)
        elif node.op_type in ("GridSample", *NAMES):
            found |= reaching[1]
        elif node.op_type in TRACED:
            for name in node.output:
                sources[name] = set().union(*reaching)
    return found


def _bodies(
    node: onnx.NodeProto, functions: Mapping[tuple[str, str], Any]
) -> Iterator[tuple[Sequence[str], Iterable[onnx.NodeProto], Sequence[str]]]:
    """What a node runs inside: names that its inputs have there, the nodes, and names of the outputs."""
    called = functions.get((node.domain, node.op_type))
    if called is not None:
        yield called.input, called.node, called.output
    for body in bodies_of(node):
        results = [v.name for v in body.output]
        # A loop's body returns its condition first, and the node does not.
        yield [v.name for v in body.input], body.node, results[node.op_type == "Loop" :]


def _to_integer(node: onnx.NodeProto) -> bool:
    return any(a.name == "to" and a.i in (onnx.TensorProto.INT32, onnx.TensorProto.INT64) for a in node.attribute)


def _type_of(value: onnx.ValueInfoProto) -> tuple[Any, list[Size]]:
    """The element type and the dims of an input.

    Raises:
        NotRunnableError: It is a sequence or an optional, or has no type.
    """
    tensor = value.type.tensor_type
    if tensor.elem_type not in onnx.helper.get_all_tensor_dtypes():
        raise NotRunnableError(f"no values are made for its input '{value.name}', which is no tensor")
    dims: list[Size] = [
        d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else (d.dim_param or None) for d in tensor.shape.dim
    ]
    return onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type), dims
