"""The search of one graph for RoIAlign by hand: bilinear samples on a regular grid in each box, and their means."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.ir.operators import operator
from onnxgs_opt.recognition.algebra.effort import Exhausted
from onnxgs_opt.recognition.algebra.expression import Expr
from onnxgs_opt.recognition.algebra.polynomial import Number
from onnxgs_opt.recognition.boxes.lines import Along, NoGridError, Places, lift_of_boxes, places_of
from onnxgs_opt.recognition.boxes.pools import Pool, pool_of
from onnxgs_opt.recognition.boxes.samples import Samples, of_sampler, of_sum, same
from onnxgs_opt.recognition.claims import group_sizes
from onnxgs_opt.recognition.cone import reach
from onnxgs_opt.recognition.every_size import EverySize
from onnxgs_opt.recognition.lifting.dynamic_dims import SizeSets
from onnxgs_opt.recognition.lifting.lift import Lift
from onnxgs_opt.recognition.lifting.rule import NoRule
from onnxgs_opt.recognition.lifting.shape_functions import Fact
from onnxgs_opt.recognition.lifting.symbolic_sizes import of_claim
from onnxgs_opt.recognition.roi_aligns import RULE, difference
from onnxgs_opt.recognition.stated import excluded
from onnxgs_opt.samplers.roi_align import Line, RoiAlignSite, Span
from onnxgs_opt.samplers.site import BILINEAR, Domain, Site, StructuralSite
from onnxgs_opt.samplers.view import View, known_product


@dataclass(frozen=True)
class _Claim:
    """What is said of samples at one set of sizes."""

    output: str
    rows: Places
    columns: Places
    pool: Pool
    differs: str | None


def find_roi_aligns(
    scope: Scope, samplers: Sequence[Site], sums: Sequence[StructuralSite], sizes: SizeSets
) -> tuple[RoiAlignSite, ...]:
    """RoIAlign by hand in one graph, among its samplers and its sums of reads of which no more is known."""
    seen = [samples for site in samplers if (samples := of_sampler(site)) is not None]
    return tuple(_Search(scope, sizes).run(seen, sums)) if seen or sums else ()


class _Search:
    """The search of one graph."""

    def __init__(self, scope: Scope, sizes: SizeSets) -> None:
        self._scope = scope
        self._sizes = sizes

    @cached_property
    def _every(self) -> EverySize:
        return EverySize(self._scope, self._sizes)

    def run(self, seen: Sequence[Samples], sums: Sequence[StructuralSite]) -> Iterator[RoiAlignSite]:
        """The sites among samples in boxes, and those of images that data choose."""
        for samples in (*seen, *self._of_sums(sums)):
            with suppress(NoGridError, NoRule, Exhausted):
                claims = self._proven(samples)
                if claims:
                    yield self._site(samples, claims)

    def _of_sums(self, sums: Sequence[StructuralSite]) -> Iterator[Samples]:
        for site in sums:
            with suppress(NoRule, Exhausted):
                samples = of_sum(self._scope, self._sizes.facts(0), site)
                if samples is not None:
                    yield samples

    def _proven(self, samples: Samples) -> list[_Claim]:
        """What is said of samples at every set of sizes, the same at each; nothing where it is not the same at all."""
        claim = self._claim(samples, 0)
        if claim is None or (claim.differs is not None and claim.pool.ratio == 1):
            return []
        claims = [claim]
        for k in self._sizes.others(False) if self._sizes.are_dynamic else ():
            other = self._claim(samples, k, claim.output)
            if other is None or not _is_same(claim, other):
                return []
            claims.append(other)
        if self._changes(samples, claim):
            return []
        domain = self._domain(samples)
        outside = domain is not None and excluded(self._sizes, domain, samples.image) is not None
        return [] if outside else claims

    def _claim(self, samples: Samples, k: int, output: str | None = None) -> _Claim | None:
        """What the samples are at set `k` of sizes; `output` is what was made of them at the first."""
        facts = self._sizes.facts(k)
        if k and samples.items is not None:
            again = of_sum(self._scope, facts, samples.inner, samples.output)
            if again is None or not same(samples, again):
                return None
        lift, boxes = lift_of_boxes(self._scope, facts), (*samples.batch, *samples.boxes)
        rows = places_of(lift, samples.y, boxes, samples.rows)
        columns = places_of(lift, samples.x, boxes, samples.columns)
        pooled = self._pooled(samples, facts, (rows, columns), output)
        if pooled is None:
            return None
        image = samples.image.split_dims(lift.shape(samples.image.tensor))
        sizes = [int(image[a] or 0) for group in samples.image.groups[2:] for a in group]
        why = difference(samples.policy, (rows.bounds, columns.bounds), sizes)
        return _Claim(*pooled, why)

    def _pooled(
        self, samples: Samples, facts: Mapping[str, Fact], lines: tuple[Places, Places], output: str | None
    ) -> tuple[str, Places, Places, Pool] | None:
        """The last tensor that is made of the samples alone and is their mean in bins, or the samples themselves."""
        best = None
        for node in reach(self._without_sizes(samples.output), self._scope.producer[samples.output][0]):
            name = node.outputs[0].name
            if output not in (None, name):
                continue
            if self._is_sized_outside(samples.output, name):
                break
            pool = pool_of(Lift(self._scope, facts, ends=frozenset((samples.output,))), name, samples.output, lines)
            best = (name, *lines, pool) if pool is not None else best
        return best

    def _without_sizes(self, name: str) -> Scope:
        """The graph as if nobody asked for the shape of a tensor: exporters do where they reshape it."""
        others = tuple(node for node in self._scope.consumers.get(name, ()) if operator(node) != "Shape")
        return replace(self._scope, consumers={**self._scope.consumers, name: others})

    def _is_sized_outside(self, name: str, output: str) -> bool:
        """Whether the shape of a tensor counts for more than what `output` is made of, and would keep the tensor."""
        if name == output:
            return False
        inside = {id(node) for node in self._scope.backward_slice([output])}
        pending = [node for node in self._scope.consumers.get(name, ()) if operator(node) == "Shape"]
        seen: set[int] = set()
        while pending:
            node = pending.pop()
            if id(node) not in inside:
                return True
            if id(node) not in seen and not any(t.name == output for t in node.outputs):
                seen.add(id(node))
                pending += [c for t in node.outputs for c in self._scope.consumers.get(t.name, ())]
        return False

    def _changes(self, samples: Samples, claim: _Claim) -> bool:
        """Whether a size changes what is claimed."""
        if not self._sizes.are_dynamic:
            return False
        lines = ((samples.y, claim.rows), (samples.x, claim.columns))
        parts: list[tuple[str, View, list[View]]] = [(claim.output, View(samples.output, ()), [])]
        parts += [(a.tensor, View("", ()), [View(name, ()) for name in p.sources]) for a, p in lines]
        if samples.items is not None:
            parts.append((samples.output, samples.image, [samples.y.view(), samples.x.view(), samples.items]))
        return any(self._every.broken(*part) is not None for part in parts)

    def _site(self, samples: Samples, claims: Sequence[_Claim]) -> RoiAlignSite:
        claim = claims[0]
        pool, inner = claim.pool, samples.inner
        spans = self._spans(samples, claims)
        stops = {samples.image.tensor, *(span.tensor for span in spans)}
        own = {axis: at for at, axis in pool.axes.items()}
        around = (samples.batch, samples.boxes, samples.channels)
        bins = (pool.rows, pool.columns)
        lines = zip((samples.y, samples.x), (claim.rows, claim.columns), bins, strict=True)
        rows, columns = (_line(along, samples, places, sizes) for along, places, sizes in lines)
        shape = self._sizes.static_dims(samples.output)
        _, channels, *image_size = group_sizes(self._sizes, samples.image)
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
            domain=self._domain(samples),
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
            channels=channels,
            image_size=tuple(image_size),
        )

    def _domain(self, samples: Samples) -> Domain | None:
        """The sizes that the proof covers, once it is known that no size changes what is claimed."""
        if samples.items is None:
            own: Domain | None = samples.inner.domain
            return own
        if not self._sizes.are_dynamic:
            return Domain()
        views = [samples.y.view(), samples.x.view(), samples.items]
        return self._every.domain(samples.image, views, samples.exact_below or 0)

    def _spans(self, samples: Samples, claims: Sequence[_Claim]) -> tuple[Span, ...]:
        """What the boxes are made of, from how their samples move with it at the first two sets of sizes."""
        first, second = ((claim.rows, claim.columns) for claim in (claims[0], claims[min(1, len(claims) - 1)]))
        shape = self._sizes.facts(0)[samples.image.tensor].shape or ()
        image = samples.image.split_dims(shape)
        out: dict[tuple[str, tuple[int | None, ...]], Span] = {}
        for axis, places in enumerate(first):
            later = {_place(element): slope for element, slope in second[axis].slopes.items()}
            for element, slope in places.slopes.items():
                own = _place(element)
                moves = later.get(own, slope) != slope
                size = image[samples.image.groups[2 + axis][0]] if moves else None
                span = Span(*own, axis, float(slope), size, (_number(element.lo), _number(element.hi)))
                out.setdefault(own, span)
        for element in self._items_of(samples):
            out.setdefault(_place(element), Span(*_place(element), None))
        return tuple(out.values())

    def _items_of(self, samples: Samples) -> Iterable[Expr]:
        """The elements that say which image each box is of."""
        if samples.items is None:
            return ()
        lift = lift_of_boxes(self._scope, self._sizes.facts(0))
        shape = lift.shape(samples.items.tensor)
        return lift.value(samples.items.tensor, tuple(lift.algebra.idx(k, n) for k, n in enumerate(shape))).leaves


def _place(element: Expr) -> tuple[str, tuple[int | None, ...]]:
    name, index = element.args[:2]
    return str(name), tuple(None if i.value is None else int(i.value) for i in index)  # type: ignore[attr-defined]


def _number(bound: Number | None) -> float | None:
    return None if bound is None else float(bound)


def _line(along: Along, samples: Samples, places: Places, bins: Sequence[tuple[int, int]]) -> Line:
    """The coordinates as [boxes, samples]."""
    view = along.view((*samples.batch, *samples.boxes), places.order)
    return Line(view, places.samples, tuple(size for _, size in bins), places.is_wide)


def _is_same(one: _Claim, other: _Claim) -> bool:
    """Whether two sets of sizes show the same; bounds follow from the sizes."""
    if (other.differs, other.pool) != (one.differs, one.pool):
        return False
    lines = ((one.rows, other.rows), (one.columns, other.columns))
    return all((a.order, a.sizes, a.is_wide, a.sources) == (b.order, b.sizes, b.is_wide, b.sources) for a, b in lines)
