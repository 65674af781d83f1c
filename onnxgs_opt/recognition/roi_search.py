"""The search of one graph for RoIAlign by hand: bilinear samples on a regular grid in each box, and their means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.recognition.algebra.effort import Exhausted
from onnxgs_opt.recognition.algebra.expression import Expr
from onnxgs_opt.recognition.algebra.polynomial import Number
from onnxgs_opt.recognition.box_lines import Along, NoGridError, Places, lift_of_boxes, places_of
from onnxgs_opt.recognition.box_pools import Pool, pool_of
from onnxgs_opt.recognition.cone import reach
from onnxgs_opt.recognition.every_size import EverySize
from onnxgs_opt.recognition.lifting.dynamic_dims import SizeSets
from onnxgs_opt.recognition.lifting.lift import Lift
from onnxgs_opt.recognition.lifting.rule import NoRule
from onnxgs_opt.recognition.lifting.shape_functions import Fact
from onnxgs_opt.recognition.lifting.symbolic_sizes import of_claim
from onnxgs_opt.recognition.roi_aligns import RULE, difference
from onnxgs_opt.samplers.policy import Policy
from onnxgs_opt.samplers.roi_align import Line, RoiAlignSite, Span
from onnxgs_opt.samplers.site import AS_IT_IS, BILINEAR, AnySite, Site
from onnxgs_opt.samplers.view import View, known_product


@dataclass(frozen=True)
class _Samples:
    """Bilinear samples in boxes, before anything is made of them; axes are those of the tensor that holds them.

    `batch` are the axes along which another image is read, `boxes` further ones of boxes.
    """

    output: str
    inner: AnySite
    image: View
    items: View | None
    policy: Policy
    types: tuple[str, ...]
    batch: tuple[int, ...]
    boxes: tuple[int, ...]
    channels: tuple[int, ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    y: Along
    x: Along


@dataclass(frozen=True)
class _Claim:
    """What is said of samples at one set of sizes."""

    output: str
    rows: Places
    columns: Places
    pool: Pool
    differs: str | None


def find_roi_aligns(scope: Scope, samplers: Sequence[Site]) -> tuple[RoiAlignSite, ...]:
    """The samplers of one graph that are RoIAlign, where a node of that name computes the same."""
    seen = [samples for site in samplers if (samples := _in_boxes(site)) is not None]
    return tuple(_Search(scope).run(seen)) if seen else ()


def _in_boxes(site: Site) -> _Samples | None:
    """A bilinear sampler whose rows depend on one coordinate and whose columns on the other; None for all others."""
    plain = site.kernels == BILINEAR and site.affine == AS_IT_IS and site.x is not None and site.y is not None
    if not plain or site.x is None or site.y is None or any((*site.x.steps, *site.y.steps)):
        return None
    y, x = (_along(site, view) for view in (site.y, site.x))
    every = [axis for group in (0, 2, 3) for axis in site.output_groups[group]]
    both = [axis for axis in every if axis in y.axes and axis in x.axes]
    rows, columns = ([a for a in every if a in one.axes and a not in two.axes] for one, two in ((y, x), (x, y)))
    if not rows and not columns:
        return None
    batch = site.output_groups[0]
    if not set(batch) <= set(both):
        return None
    boxes = tuple(axis for axis in both if axis not in batch)
    return _Samples(
        output=site.output,
        inner=site,
        image=site.image,
        items=None,
        policy=site.policy,
        types=site.types,
        batch=batch,
        boxes=boxes,
        channels=site.output_groups[1],
        rows=tuple(rows),
        columns=tuple(columns),
        y=y,
        x=x,
    )


def _along(site: Site, view: View) -> Along:
    groups = [group for k, group in enumerate(site.output_groups) if k != 1]
    pairs = (pair for own, its in zip(groups, view.groups, strict=True) for pair in zip(own, its, strict=False))
    return Along(view, {own: at for own, at in pairs if at not in view.repeated})


class _Search:
    """The search of one graph; the sizes are settled once."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._sizes = SizeSets(scope)
        self._every: EverySize | None = None
        self._lifts: dict[int, Lift] = {}

    def run(self, seen: Sequence[_Samples]) -> Iterator[RoiAlignSite]:
        """The sites among samples in boxes."""
        for samples in seen:
            with suppress(NoGridError, NoRule, Exhausted):
                claim = self._proven(samples)
                if claim is not None:
                    yield self._site(samples, claim)

    def _proven(self, samples: _Samples) -> _Claim | None:
        claim = self._claim(samples, 0)
        if claim is None or (claim.differs is not None and claim.pool.ratio == 1):
            return None
        sets = self._sizes.others(False) if self._sizes.are_dynamic else ()
        if any(not _is_same(claim, self._claim(samples, k, claim.output)) for k in sets):
            return None
        return None if self._changes(samples, claim) else claim

    def _claim(self, samples: _Samples, k: int, output: str | None = None) -> _Claim | None:
        """What the samples are at set `k` of sizes; `output` is what was made of them at the first."""
        facts = self._sizes.facts(k)
        if k not in self._lifts:
            self._lifts[k] = lift_of_boxes(self._scope, facts)
        boxes = (*samples.batch, *samples.boxes)
        rows = places_of(self._lifts[k], samples.y, boxes, samples.rows)
        columns = places_of(self._lifts[k], samples.x, boxes, samples.columns)
        pooled = self._pooled(samples, facts, (rows, columns), output)
        if pooled is None:
            return None
        image = self._lifts[k].shape(samples.image.tensor)
        height, width = (image[a] for group in samples.image.groups[2:] for a in group)
        why = difference(samples.policy, (rows.bounds, columns.bounds), (height, width))
        return _Claim(*pooled, why)

    def _pooled(
        self, samples: _Samples, facts: Mapping[str, Fact], lines: tuple[Places, Places], output: str | None
    ) -> tuple[str, Places, Places, Pool] | None:
        """The last tensor that is made of the samples alone and is their mean in bins, or the samples themselves."""
        best = None
        for node in reach(self._scope, self._scope.producer[samples.output][0]):
            name = node.outputs[0].name
            if output not in (None, name):
                continue
            pool = pool_of(Lift(self._scope, facts, ends=frozenset((samples.output,))), name, samples.output, lines)
            best = (name, *lines, pool) if pool is not None else best
        return best

    def _changes(self, samples: _Samples, claim: _Claim) -> bool:
        """Whether a size changes what is claimed."""
        if not self._sizes.are_dynamic:
            return False
        if self._every is None:
            self._every = EverySize(self._scope, *self._sizes.all(), {})
        parts: list[tuple[str, tuple[str, ...]]] = [(claim.output, (samples.output,))]
        parts += [(a.view.tensor, tuple(p.sources)) for a, p in ((samples.y, claim.rows), (samples.x, claim.columns))]
        return any(
            self._every.broken(output, View(stops[0], ()), [View(name, ()) for name in stops[1:]]) is not None
            for output, stops in parts
            if output not in stops
        )

    def _site(self, samples: _Samples, claim: _Claim) -> RoiAlignSite:
        pool, inner = claim.pool, samples.inner
        spans = self._spans(samples, claim)
        stops = {samples.image.tensor, *(span.tensor for span in spans)}
        own = {axis: at for at, axis in pool.axes.items()}
        around = (samples.batch, samples.boxes, samples.channels)
        bins = (pool.rows, pool.columns)
        lines = zip((samples.y, samples.x), (claim.rows, claim.columns), bins, strict=True)
        rows, columns = (_line(along, samples, places, sizes) for along, places, sizes in lines)
        shape, image = (self._sizes.static_dims(name) for name in (samples.output, samples.image.tensor))
        return RoiAlignSite(
            id="",
            rule=RULE,
            output=claim.output,
            reads=inner.reads,
            read_op=inner.read_op,
            dtype=inner.dtype,
            policy=samples.policy,
            kernels=BILINEAR,
            coordinates="pixel",
            layout=inner.layout,
            domain=inner.domain,
            inner=inner,
            image=samples.image,
            rows=rows,
            columns=columns,
            items=samples.items,
            differs=claim.differs,
            types=samples.types,
            ratio=pool.ratio,
            scale=pool.scale,
            output_groups=(
                *(tuple(own[axis] for axis in group) for group in around),
                *(tuple(axis for axis, _ in sizes) for sizes in bins),
            ),
            output_rank=len(self._sizes.static_dims(claim.output)),
            cone=tuple(n.name for n in of_claim(self._scope, claim.output, stops)),
            spans=spans,
            boxes=known_product(shape[axis] for axis in (*samples.batch, *samples.boxes)),
            channels=known_product(image[axis] for axis in samples.image.groups[1]),
            image_size=tuple(image[axis] for group in samples.image.groups[2:] for axis in group),
        )

    def _spans(self, samples: _Samples, claim: _Claim) -> tuple[Span, ...]:
        """What the boxes are made of, from how their samples move with it at the first two sets of sizes."""
        other = self._claim(samples, 1, claim.output) if self._sizes.are_dynamic else None
        first, second = ((c.rows, c.columns) if c is not None else None for c in (claim, other))
        image = self._sizes.facts(0)[samples.image.tensor].shape or ()
        out: dict[tuple[str, tuple[int | None, ...]], Span] = {}
        for axis, places in enumerate(first or ()):
            later = {_place(element): slope for element, slope in second[axis].slopes.items()} if second else {}
            for element, slope in places.slopes.items():
                own = _place(element)
                moves = later.get(own, slope) != slope
                size = image[samples.image.groups[2 + axis][0]] if moves else None
                span = Span(*own, axis, float(slope), size, (_number(element.lo), _number(element.hi)))
                out.setdefault(own, span)
        return tuple(out.values())


def _place(element: Expr) -> tuple[str, tuple[int | None, ...]]:
    name, index = element.args[:2]
    return str(name), tuple(None if i.value is None else int(i.value) for i in index)  # type: ignore[attr-defined]


def _number(bound: Number | None) -> float | None:
    return None if bound is None else float(bound)


def _line(along: Along, samples: _Samples, places: Places, bins: Sequence[tuple[int, int]]) -> Line:
    """The coordinates as [boxes, samples]."""
    boxes = tuple(along.axes[axis] for axis in (*samples.batch, *samples.boxes))
    line = tuple(along.axes[axis] for axis in places.order)
    view = replace(along.view, groups=(boxes, line), units=along.rank - len(boxes) - len(line), repeats=(), steps=())
    return Line(view, places.samples, tuple(size for _, size in bins), places.is_wide)


def _is_same(one: _Claim, other: _Claim | None) -> bool:
    """Whether two sets of sizes show the same; bounds follow from the sizes."""
    if other is None or (other.differs, other.pool) != (one.differs, one.pool):
        return False
    lines = ((one.rows, other.rows), (one.columns, other.columns))
    return all((a.order, a.sizes, a.is_wide, a.sources) == (b.order, b.sizes, b.is_wide, b.sources) for a, b in lines)
