"""Find the samplers of one graph: prove what each sum of reads computes, and name the tensors that it is made of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import pairwise

from onnxgs_opt.diagnostics import Remark
from onnxgs_opt.ir import Node
from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.ir.operators import MOVES, operator
from onnxgs_opt.recognition.algebra.effort import MAX_EFFORT, Exhausted
from onnxgs_opt.recognition.algebra.expression import Algebra, Expr
from onnxgs_opt.recognition.candidates import TAPS, Join, has_reads, joins_of
from onnxgs_opt.recognition.cone import alive, escape, reach
from onnxgs_opt.recognition.cut_points import Cuts, other_cuts
from onnxgs_opt.recognition.grids import tests_pixels
from onnxgs_opt.recognition.lifting.dynamic_dims import assignments, settle, symbols, tied
from onnxgs_opt.recognition.lifting.elementwise import EXACT_BELOW
from onnxgs_opt.recognition.lifting.lift import Lift
from onnxgs_opt.recognition.lifting.rule import NoRule
from onnxgs_opt.recognition.lifting.shape_functions import UNKNOWN, Conflict, Fact, Shape
from onnxgs_opt.recognition.lifting.shape_inference import infer
from onnxgs_opt.recognition.match import Match, Miss
from onnxgs_opt.recognition.matcher import recognise
from onnxgs_opt.recognition.operands import Placement, place
from onnxgs_opt.recognition.reflection import is_mirrored
from onnxgs_opt.samplers.site import Site
from onnxgs_opt.samplers.view import View, known_product

PLACEMENT = "GSO108"
"""The code of a sampler for which no tensors at this place hold the image, the coordinates or the output's axes."""

BOUND = "GSO116"
"""The miss of what takes more work than one look may; nothing else is tried then."""

LATE = frozenset(("GSO101", "GSO103", "GSO107", "GSO114"))
"""Codes of sums that do read the pixels around two floors; these are reported of a single read of all corners too."""

LAYOUTS = MOVES | {"If"}


@dataclass(frozen=True)
class Found:
    """The sites of a graph, and its near-misses: what looks like a site and is not, each with its reason.

    `sizes` has, for each analysis, the values of the dynamic dims by name. `shapes` has every tensor's shape there, and
    perhaps at one more set of sizes; it is empty where nothing is dynamic.
    """

    sites: tuple[Site, ...]
    near_misses: tuple[Remark, ...]
    sizes: tuple[Mapping[str, int], ...] = ()
    shapes: tuple[Mapping[str, Shape], ...] = ()


@dataclass(frozen=True)
class _Hit:
    """A proven sampler whose result is `output`; `exact` where the model compares its coordinates in pixels."""

    output: str
    match: Match
    placement: Placement
    cuts: Cuts
    exact: bool


def find_sites(scope: Scope) -> Found:
    """Every sampler of one graph (not of its subgraphs)."""
    return _Search(scope).run() if has_reads(scope.own) else Found((), ())


class _Search:
    """The search of one graph; what was inferred and tried is kept, for several sums ask for the same."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._sizes = assignments(symbols(scope))
        self._facts: dict[int, Mapping[str, Fact]] = {}
        self._tried: dict[tuple[str, Cuts], _Hit | Miss] = {}
        self._crowded: set[str] = set()

    def run(self) -> Found:
        """Try the joins of four reads first, then the smaller and the larger; a read belongs to one site only."""
        sites: list[Site] = []
        misses: dict[str, tuple[Join, Miss]] = {}
        claimed: dict[str, str] = {}
        endless: set[str] = set()
        joins = list(joins_of(self._scope, self._facts_at(0), crowded=self._crowded))
        wide = self._wide(joins, misses)
        for join in sorted(joins, key=lambda j: (len(j.reads) > TAPS, max(len(j.reads), 2 * TAPS), -len(j.reads))):
            known = {claimed[read] for read in join.reads if read in claimed}
            if known:
                join = replace(join, reads=join.reads - claimed.keys())
                if len(join.reads) < TAPS:
                    continue
            if any(join.reads <= reads for reads in wide) or not join.reads.isdisjoint(endless):
                continue
            if join.too_few and any(join.reads < other.reads for other, _ in misses.values()):
                continue
            result = self._try(join, frozenset(known))
            if isinstance(result, Miss):
                misses[join.node.outputs[0].name] = join, result
                endless |= join.reads if result.code == BOUND else set()
                continue
            whole = self._whole(join, result, joins)
            site = self._site(whole, result)
            if isinstance(site, Miss):
                misses[join.node.outputs[0].name] = join, site
                continue
            sites.append(site)
            claimed |= dict.fromkeys(whole.reads, site.output)
        sites.sort(key=lambda site: self._scope.order[site.output])
        named = tuple(replace(site, id=f"site{k}") for k, site in enumerate(sites))
        shapes = (*map(_shapes, map(self._facts_at, range(len(self._sizes)))), *self._single(named))
        shapes = shapes if len(self._sizes) > 1 else ()
        return Found(named, tuple(_remarks(misses, claimed.keys())), tuple(self._sizes), shapes)

    def _whole(self, join: Join, hit: _Hit, joins: Sequence[Join]) -> Join:
        """The join with just the reads inside the match: it may have had a part of them only, or reads of weights."""
        cone = {id(node) for node in self._between(hit)}
        reads = join.reads.union(*(other.reads for other in joins if id(other.node) in cone))
        return Join(join.node, frozenset(name for name in reads if id(self._scope.producer[name][0]) in cone))

    def _single(self, sites: Sequence[Site]) -> list[dict[str, Shape]]:
        """Shapes with every dynamic dim 1, those of images 3, for validation alone: a model may branch on a size of 1.

        Nothing is proven there, for an axis of size 1 has no index. Empty where the model is not consistent there.
        """
        kept = {size for site in sites for size in self._image_sizes(site)}
        asked = {name: 3 if size in kept else 1 for name, size in self._sizes[0].items()}
        conflicts: list[Conflict] = []
        facts = infer(self._scope, asked, conflicts=conflicts)
        return [] if conflicts or any(fact.shape is None for fact in facts.values()) else [_shapes(facts)]

    def _wide(self, joins: Sequence[Join], misses: dict[str, tuple[Join, Miss]]) -> list[frozenset[str]]:
        """The reads of each sum that has more than eight taps, as bicubic has: no part of such a sum is a site."""
        found: list[frozenset[str]] = []
        many = [j for j in joins if len(j.reads) > 2 * TAPS]
        for join in sorted(many, key=lambda j: -len(j.reads)):
            if any(join.reads <= reads for reads in found):
                continue
            result = self._match_at(0, join.node.outputs[0].name, Cuts())
            if not isinstance(result, _Hit) and result[0].taps > 2 * TAPS and not result[0].apart:
                found.append(join.reads)
                misses[join.node.outputs[0].name] = join, result[0]
        return found

    # ---- one join -------------------------------------------------------------------------------------------------

    def _try(self, join: Join, ends: frozenset[str]) -> _Hit | Miss:
        """The match that goes furthest beyond a join: a mask or a Reshape after the sum belongs to the sampler.

        `ends` are outputs of sites that are known already: what computes them is not looked at.
        """
        best: _Hit | None = None
        miss: Miss | None = None
        for node, midway in _through_layouts(reach(self._scope, join.node)):
            if miss is not None and node.outputs[0].name in self._crowded:
                break
            if midway and best is None and miss is not None and miss.code != PLACEMENT:
                continue  # the same elements elsewhere: the same miss, but where rows get the output's axes
            result = self._match(node.outputs[0].name, Cuts(ends=ends) if best is None else best.cuts)
            if isinstance(result, Miss) and best is not None and best.cuts.coordinates:
                result = self._match(node.outputs[0].name, Cuts(ends=ends))  # a mask of what is behind the cut
            if best is not None and (isinstance(result, Miss) or not _adds_nothing(best, result)):
                break
            if isinstance(result, Miss) and result.code == BOUND:
                return result
            if isinstance(result, Miss):
                miss = miss or result
                continue
            best = result
        return best or miss or Miss("nothing to lift")

    def _match(self, output: str, first: Cuts) -> _Hit | Miss:
        """Match one tensor at the first sizes, with the cuts `first` and then with those that its misses suggest.

        Results are kept: sums that follow one another ask for the same tensor.
        """
        key = output, first
        if key not in self._tried:
            self._tried[key] = self._matched(output, first)
        return self._tried[key]

    def _matched(self, output: str, first: Cuts) -> _Hit | Miss:
        miss = Miss("nothing to lift")
        seen: set[Cuts] = set()
        pending = [first]
        while pending:
            cuts = pending.pop(0)
            if cuts in seen:
                continue
            seen.add(cuts)
            result = self._match_at(0, output, cuts)
            if isinstance(result, _Hit):
                return result
            found, lift = result
            if len(seen) == 1 or (not cuts.through and (found.taps > miss.taps or miss.split is not None)):
                miss = found
            if lift is not None:
                pending += other_cuts(cuts, found, lift)
        return miss

    def _match_at(
        self, k: int, output: str, cuts: Cuts, like: Placement | None = None
    ) -> _Hit | tuple[Miss, Lift | None]:
        try:
            return self._looked_at(k, output, cuts, like)
        except Exhausted:
            return Miss(f"after {MAX_EFFORT} steps it is neither proven nor refuted", TAPS, BOUND), None

    def _looked_at(self, k: int, output: str, cuts: Cuts, like: Placement | None) -> _Hit | tuple[Miss, Lift | None]:
        try:
            lift = cuts.lift(self._scope, self._facts_at(k), output)
            root, index = lift.root(output)
        except NoRule as reason:
            return Miss(str(reason), code="GSO113"), None
        match = recognise(lift.algebra, root)
        if isinstance(match, Miss):
            return match, lift
        inexact = _inexact(lift, match)
        if inexact is not None:
            return inexact, lift
        placement = place(lift, index, match, alive(self._scope, output), cuts.split, like)
        if isinstance(placement, Miss):
            return placement, lift
        if cuts.coordinates and placement.inside and self._is_mirrored(k, match):
            match = replace(match, mirrored=True)
        return _Hit(output, match, placement, cuts, tests_pixels(lift, match))

    def _is_mirrored(self, k: int, match: Match) -> bool:
        """Whether the model mirrors both coordinates into the image before it rounds them."""
        lift = Lift(self._scope, self._facts_at(k))
        for axis in match.axes:
            name, index, _ = axis.leaf.args
            copied = tuple(_copied(lift.algebra, i) for i in index)  # type: ignore[attr-defined]
            if not is_mirrored(lift.algebra, lift.value(str(name), copied), axis.size):
                return False
        return True

    def _facts_at(self, k: int) -> Mapping[str, Fact]:
        if k not in self._facts:
            asked = self._sizes[k]
            self._sizes[k], self._facts[k] = settle(self._scope, asked)
            if k == 0:
                self._sizes[1:] = [tied(asked, self._sizes[0], sizes) for sizes in self._sizes[1:]]
        return self._facts[k]

    # ---- the site ---------------------------------------------------------------------------------------------------

    def _site(self, join: Join, hit: _Hit) -> Site | Miss:
        for k in range(1, len(self._sizes)):
            other = self._at_other_size(k, hit)
            if other is not None:
                return other
        escaped = escape(self._scope, join.reads, hit.output)
        if escaped is not None:
            return escaped
        reads = [self._scope.producer[t][0] for t in sorted(join.reads, key=self._scope.order.__getitem__)]
        image = hit.placement.image
        batch, channels, height, width = self._group_sizes(image)
        points = [self._group_sizes(view)[1:3] for view in hit.placement.coordinate_views]
        rows, columns = (None if None in sizes else max(s or 1 for s in sizes) for sizes in zip(*points, strict=True))
        facts = [self._facts_at(0).get(view.tensor, UNKNOWN) for view in (image, *hit.placement.coordinate_views)]
        if any(fact.dtype is not None and fact.dtype.kind not in "fiu" for fact in facts):
            return Miss("its image or its coordinates are no real numbers", 4, "GSO108")
        fact = facts[0]
        return Site(
            id="",
            rule="GSO001",
            policy=hit.match.policy,
            output=hit.output,
            output_rank=len(self._facts_at(0)[hit.output].shape or ()),
            reads=tuple(r.name for r in reads),
            read_op=reads[0].op,
            cone=tuple(n.name for n in self._between(hit)),
            batch=batch,
            channels=channels,
            image_size=(height, width),
            sample_size=(rows, columns),
            dtype="unknown" if fact.dtype is None else str(fact.dtype),
            layout=_layout(hit.placement),
            **{f: getattr(hit.placement, f) for f in Placement.__dataclass_fields__},
        )

    def _at_other_size(self, k: int, hit: _Hit) -> Miss | None:
        """Prove the same at the sizes of number `k`; None when it holds there too, else the miss."""
        result = self._match_at(k, hit.output, hit.cuts, hit.placement)
        if not isinstance(result, _Hit):
            if result[0].degenerate:
                return None  # at size 2 a scale of S-2 is 0, and the coordinate a constant
            sizes = ", ".join(f"{n}={s}" for n, s in self._sizes[k].items())
            return replace(result[0], condition=f"{result[0].condition} (at {sizes})")
        if result.match.policy != hit.match.policy or result.placement != hit.placement:
            return Miss("what it computes changes with the dynamic sizes", 4, "GSO113")
        return None

    def _between(self, hit: _Hit) -> list[Node]:
        """The nodes from the image and the coordinates to the output."""
        affine = hit.placement.affine
        views = (hit.placement.image, *hit.placement.coordinate_views, *affine.factors, *affine.addends)
        return self._scope.backward_slice([hit.output], frozenset(view.tensor for view in views))

    def _group_sizes(self, view: View) -> list[int | None]:
        """The size of each canonical axis of a view; None for a dynamic one."""
        dims = view.split_dims(self._static_dims(view.tensor))
        return [known_product(dims[a] for a in group) for group in view.groups]

    def _image_sizes(self, site: Site) -> list[int]:
        """The image's dims at the first sizes, batch and channels left out."""
        shape = self._facts_at(0)[site.image.tensor].shape or ()
        plain = site.image.split is None
        return [shape[a] for group in site.image.groups[2:] for a in group] if plain else list(shape)

    def _static_dims(self, tensor: str) -> list[int | None]:
        """Dims that are the same at every analysed size; None for a dynamic one."""
        shapes = [self._facts_at(k).get(tensor, UNKNOWN).shape or () for k in range(len(self._sizes))]
        return [dims[0] if len(set(dims)) == 1 else None for dims in zip(*shapes, strict=True)]


def _adds_nothing(inner: _Hit, outer: _Hit) -> bool:
    """Whether `outer`, further on in the graph, may be taken for `inner`: it adds a mask in pixels or layout alone.

    A factor or an addend stays outside; so does a mask in other units, since a point at a border may round to its other
    side. Coordinates that `inner` has in their own axes are not split for what is only layout.
    """
    a, b = inner.placement.affine, outer.placement.affine
    splits = {view.split for view in inner.placement.coordinate_views}
    whole = all(view.split in (None, *splits) for view in outer.placement.coordinate_views)
    masked = outer.match.policy.window != inner.match.policy.window and not outer.exact
    return whole and not masked and b.names <= a.names and b.scale in (a.scale, 1)


def _through_layouts(nodes: Iterable[Node]) -> Iterator[tuple[Node, bool]]:
    """Each node, and whether it is a layout operator with another one behind it."""
    for node, following in pairwise((*nodes, None)):
        assert node is not None
        yield node, following is not None and {operator(node), operator(following)} <= LAYOUTS


def _inexact(lift: Lift, match: Match) -> Miss | None:
    """The miss of indices or coordinates whose float type does not hold every integer up to the sizes; else None."""
    pixels = math.prod(s for s, i in zip(match.sizes, match.index, strict=True) if i is None)
    if pixels > lift.exact_below:
        return Miss(
            f"a linear index up to {pixels} is computed in a type that is exact to {lift.exact_below}", 4, "GSO110"
        )
    for axis in reversed(match.axes):
        dtype = lift.facts.get(str(axis.leaf.args[0]), UNKNOWN).dtype
        if dtype is not None and axis.size > EXACT_BELOW.get(dtype.itemsize, axis.size):
            return Miss(
                f"a coordinate up to {axis.size} is {dtype}, exact to {EXACT_BELOW[dtype.itemsize]}", 4, "GSO110"
            )
    return None


def _copied(algebra: Algebra, index: Expr) -> Expr:
    """The same index variable or number in another algebra."""
    if index.value is not None:
        return algebra.num(index.value)
    return algebra.idx(*index.args) if index.op == "idx" else algebra.zero  # type: ignore[arg-type]


def _shapes(facts: Mapping[str, Fact]) -> dict[str, Shape]:
    return {name: fact.shape for name, fact in facts.items() if fact.shape is not None}


def _layout(placement: Placement) -> str:
    """The image's axes by letter, in memory order: NCHW, NHWC, HW, ..."""
    letters = {axis: letter for group, letter in zip(placement.image.groups, "NCHW", strict=True) for axis in group}
    return "".join(letters.get(axis, "1") for axis in range(placement.image.rank))


def _remarks(misses: dict[str, tuple[Join, Miss]], claimed: Set[str]) -> Iterator[Remark]:
    """One near-miss for the widest sum of each group of reads that no site took."""
    kept: list[tuple[Join, Miss]] = []
    for join, miss in sorted(misses.values(), key=lambda entry: -len(entry[0].reads)):
        inside = any(join.reads <= other.reads for other, _ in kept)
        told = len(join.reads) > 1 or (miss.code in LATE and miss.taps >= TAPS)
        if not inside and told and not join.reads & claimed:
            kept.append((join, miss))
    for join, miss in kept:
        yield Remark(miss.code, join.node.name, miss.condition)
