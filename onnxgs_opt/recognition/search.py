"""Find the samplers of one graph: prove what each sum of reads computes, and name the tensors that it is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.recognition.algebra.effort import MAX_EFFORT, Exhausted
from onnxgs_opt.recognition.beyond import as_far_as_bounds
from onnxgs_opt.recognition.candidates import TAPS, Join, has_reads, joins_of, picked, single_reads
from onnxgs_opt.recognition.claims import Claim, FoundSites, adds_nothing, between, rounds_a_sum, site_of
from onnxgs_opt.recognition.cone import alive, carried, made_of, reach, through_layouts
from onnxgs_opt.recognition.cut_points import Cuts, other_cuts
from onnxgs_opt.recognition.grids import tests_pixels
from onnxgs_opt.recognition.known_proofs import Proofs
from onnxgs_opt.recognition.least_sizes import least_sizes
from onnxgs_opt.recognition.lifting.dynamic_dims import Box, SizeSets, one_size
from onnxgs_opt.recognition.lifting.lift import Lift
from onnxgs_opt.recognition.lifting.rule import NoRule
from onnxgs_opt.recognition.lifting.shape_functions import Fact
from onnxgs_opt.recognition.match import Miss, Stage
from onnxgs_opt.recognition.near_misses import placed, remarks, unsized
from onnxgs_opt.recognition.operands import place
from onnxgs_opt.recognition.precision import inexact
from onnxgs_opt.recognition.reflection import mirrors_coordinates
from onnxgs_opt.recognition.size_claims import SizeClaims
from onnxgs_opt.recognition.stated import OUTSIDE
from onnxgs_opt.samplers.kernel import FLOOR
from onnxgs_opt.samplers.site import Site

PLACEMENT = "GSO108"
"""The code of a sampler for which no tensors at this place hold the image, the coordinates or the output's axes."""

LEAVES = "GSO114"
"""The miss of an index that may leave the image: of a line, it goes before that its coordinate is rounded twice."""

BOUND = "GSO116"
"""The miss of what takes more work than one look may; nothing else is tried then."""

MASK = "GSO107"
"""The miss of what a mask makes of a sum: of two that come as far, the one behind the mask is told."""

MAX_OTHERS = 16
"""Sums and reads that the look for other kernels may miss: unrolled tables have hundreds, and no sampler."""


def find_sites(scope: Scope, proofs: Proofs, ranges: Box | None = None, stated: Box | None = None) -> FoundSites:
    """Every sampler of one graph (not of its subgraphs); `ranges` suffice where not all sizes can be proven.

    What holds at no size that is `stated` is none.
    """
    if not has_reads(scope.own):
        return FoundSites((), ())
    search = _Search(scope, proofs, stated)
    found, equal = search.run(), search.one_size()
    again = _Search(scope, proofs, stated, equal) if equal else search
    best = again.run() if equal else found
    if len(best.sites) <= len(found.sites):
        again, best = search, found
    least = again.least_sizes() if best.near_misses else {}
    if least:
        best = best.joined(_Search(scope, proofs, stated, equal if again is not search else None, least=least).run())
    return again.between(ranges, best) if ranges and found.near_misses else best


class _Search:
    """The search of one graph; what was inferred and tried is kept, for several sums ask for the same."""

    def __init__(
        self,
        scope: Scope,
        proofs: Proofs,
        stated: Box | None,
        equal: Mapping[str, str] | None = None,
        box: Box | None = None,
        least: Mapping[str, int] | None = None,
    ) -> None:
        self._scope = scope
        self._proofs = proofs
        self._equal = equal
        self._stated = stated
        narrowed = partial(SizeSets, scope, equal, stated=stated, least=least)
        self._sizes = narrowed(box)
        self._claims = SizeClaims(scope, self._sizes, box or {}, self._like, narrowed)
        self._extents: set[tuple[int, int]] = set()
        self._facts_at = self._sizes.facts
        self._tried: dict[tuple[str, Cuts], Claim | Miss] = {}
        self._crowded: set[str] = set()
        self._joins = list(joins_of(scope, self._facts_at(0), crowded=self._crowded))
        self._misses: dict[str, tuple[Join, Miss]] = {}
        self._sites: dict[str, tuple[Join, Site]] = {}
        self._claimed: dict[str, str] = {}
        self._endless: set[str] = set()
        self._whole_family = False
        self._sums = {join.node.outputs[0].name for join in self._joins}
        self._samples: frozenset[str] = frozenset()
        self._picked = picked(scope)

    def run(self) -> FoundSites:
        """Try the joins of four reads first, then the smaller and the larger; a read belongs to one site only."""
        wide = self._wide()
        for join in sorted(self._joins, key=_rank):
            self._consider(join, wide)
        known = -1
        while known < len(self._sites):  # what was missed may read a sample that was found after it
            known = len(self._sites)
            behind = made_of(self._scope, self._samples)
            for join in [join for join, _ in self._misses.values() if join.node.outputs[0].name in behind]:
                self._endless -= join.reads
                self._consider(join, wide)
        self._look_at_others()
        sites = sorted((site for _, site in self._sites.values()), key=lambda site: self._scope.order[site.output])
        named = tuple(replace(site, id=f"site{k}") for k, site in enumerate(sites))
        kept = {size for site in named for size in self._image_sizes(site)}
        near = tuple(remarks(self._scope, self._misses, self._claimed.keys()))
        return FoundSites(named, near, self._sizes, self._sizes.shapes(kept))

    def between(self, ranges: Box, found: FoundSites) -> FoundSites:
        """What was `found` at every size, and what more there is between sizes that are stated."""
        box = self._sizes.shared(ranges) if self._sizes.are_dynamic else {}
        wide = {name: (lo, hi) for name, (lo, hi) in box.items() if lo < hi}  # if need be, single values too
        for part in (wide, box) if 0 < len(wide) < len(box) else (box,) if box else ():
            search = _Search(self._scope, self._proofs, self._stated, self._equal, part)
            more = search.run() if search._sizes.is_apart(self._sizes) else found
            outside = {miss.node: miss for miss in more.near_misses if miss.code in OUTSIDE}
            found = replace(found, near_misses=tuple(outside.get(miss.node, miss) for miss in found.near_misses))
            if len(more.sites) > len(found.sites):
                return found.joined(more)
        return found

    def least_sizes(self) -> dict[str, int]:
        """Sizes by name from which on claims may hold whose tensors have one element along an axis at the smallest."""
        return least_sizes(self._scope, self._sizes, self._claims.shrunk)

    def one_size(self) -> dict[str, str]:
        """Names of sizes that have to be equal for what was missed to be anything, one by the other."""
        return one_size(self._sizes.at(0), self._extents)

    def _consider(self, join: Join, wide: Sequence[frozenset[str]]) -> None:
        """Look at the reads of a join that are free."""
        free = replace(join, reads=join.reads - self._claimed.keys())
        if free.reads != join.reads and len(free.reads) < TAPS:
            return
        if any(free.reads <= reads for reads in wide) or not free.reads.isdisjoint(self._endless):
            return
        if free.too_few and any(free.reads < other.reads for other, _ in self._misses.values()):
            return
        self._take(free)

    def _look_at_others(self) -> None:
        """Look for every other kernel and number of axes in what is left, single reads included, the widest first."""
        self._whole_family = True
        self._tried.clear()
        looks = MAX_OTHERS
        # What has the corners of a bilinear sampler is nothing else, whatever is wrong with it.
        missed = [join.reads for join, miss in self._misses.values() if miss.stage >= Stage.OUTSIDE]
        for join in sorted((*self._joins, *single_reads(self._scope, self._facts_at(0))), key=lambda j: -len(j.reads)):
            if not join.reads.isdisjoint(self._claimed.keys() | self._endless) or self._is_inside(join):
                continue
            if any(join.reads <= reads for reads in missed):
                continue
            found = self._site_of(join)
            if not isinstance(found, Miss):
                self._keep(join, *found)
                continue
            looks -= 1
            if not looks:
                break
            missed += [] if found.apart else [join.reads]
            name = join.node.outputs[0].name
            known = self._misses[name][1] if name in self._misses else found
            told = known.gives_way_to(found) or (known.code, found.code) == (PLACEMENT, LEAVES)
            if told and not found.apart:
                self._misses[name] = join, found
            elif len(join.reads) == 1 and found.stage >= Stage.TAPS:
                self._misses.setdefault(name, (join, found))
        self._drop_stencils()

    def _drop_stencils(self) -> None:
        """Forget single pixels that are read beside others: what is made of them is an interpolation, or none.

        Of a sum that was missed every read has to be a sample, at points of its own.
        """
        single = {site.output: site for _, site in self._sites.values() if site.taps == 1}
        places = Counter((site.image.tensor, site.coordinate_tensors) for site in single.values())
        dropped = {name for name, site in single.items() if places[site.image.tensor, site.coordinate_tensors] > 1}
        for reads in (join.reads for join, _ in self._misses.values() if len(join.reads) > 1):
            inside = {self._claimed[read] for read in reads if read in self._claimed} & single.keys()
            apart = {single[name].coordinate_tensors for name in inside}
            dropped |= inside if len(apart) < len(reads) else set()
            floors = {self._claimed[read] for read in reads if read in self._claimed}
            if any(self._claimed.get(read, "") in {"", *dropped} for read in reads):
                dropped |= {name for name in floors if FLOOR.name in self._sites[name][1].kernels}
        for name in dropped.union(name for name, (_, site) in self._sites.items() if rounds_a_sum(site)):
            self._drop(name)

    def _is_inside(self, join: Join) -> bool:
        """Whether a site that is known has a join's node for a part of it."""
        return any(join.node.name in site.cone for _, site in self._sites.values())

    def _take(self, join: Join) -> None:
        """Keep what a join is, a site or a miss."""
        found = self._site_of(join)
        if isinstance(found, Miss):
            self._endless |= join.reads if found.code == BOUND else set()
            self._misses[join.node.outputs[0].name] = join, found
            return
        self._keep(join, *found)

    def _keep(self, join: Join, whole: Join, site: Site) -> None:
        """Keep a site of a join, `whole`; sites that were made of its inner tensors are made of its result."""
        self._misses.pop(join.node.outputs[0].name, None)
        self._sites[site.output] = join, site
        self._claimed |= dict.fromkeys(whole.reads, site.output)
        self._know(self._sites)
        inner = carried(self._scope, whole.reads, site.output) - {site.output}
        for other, later in list(self._sites.values()):
            if later.operands & inner:
                self._drop(later.output)
                self._take(other)

    def _drop(self, output: str) -> None:
        """Forget a site; its reads are free again."""
        del self._sites[output]
        self._claimed = {read: of for read, of in self._claimed.items() if of != output}
        self._know(self._sites)

    def _know(self, samples: Iterable[str]) -> None:
        """Look behind none of these from now on; what was tried before may have."""
        self._samples = frozenset(samples)
        self._tried.clear()

    def _site_of(self, join: Join) -> tuple[Join, Site] | Miss:
        """The site of a join, and all of its reads."""
        claim = self._try(join)
        if isinstance(claim, Miss):
            return claim
        whole = self._whole(join, claim)
        site = self._site(whole, claim)
        return site if isinstance(site, Miss) else (whole, site)

    def _whole(self, join: Join, claim: Claim) -> Join:
        """The join with just the reads inside the match: it may have had a part of them only, or reads of weights."""
        cone = {id(node) for node in between(self._scope, claim)}
        reads = join.reads.union(*(other.reads for other in self._joins if id(other.node) in cone))
        return Join(join.node, frozenset(name for name in reads if id(self._scope.producer[name][0]) in cone))

    def _wide(self) -> list[frozenset[str]]:
        """Reads that one sum puts together at more than two cells' corners: bicubic, say; no part of it is a site."""
        found: list[frozenset[str]] = []
        many = [j for j in self._joins if len(j.reads) > 2 * TAPS]
        for join in sorted(many, key=lambda j: -len(j.reads)):
            if any(join.reads <= reads for reads in found):
                continue
            result = self._match_at(self._facts_at(0), join.node.outputs[0].name, Cuts())
            if not isinstance(result, Claim) and result[0].taps > 2 * TAPS and not result[0].apart:
                found.append(join.reads)
                self._misses[join.node.outputs[0].name] = join, result[0]
        return found

    # ---- one join -------------------------------------------------------------------------------------------------

    def _try(self, join: Join) -> Claim | Miss:
        """The match that goes furthest beyond a join: a mask or a Reshape after the sum belongs to the sampler."""
        best: Claim | None = None
        miss: Miss | None = None
        for node, midway in through_layouts(reach(self._scope, join.node)):
            sums = self._sums if self._whole_family else self._crowded  # a miss that is summed is no other kernel
            if miss is not None and node.outputs[0].name in sums | self._crowded:
                break
            if midway and best is None and miss is not None and miss.code != PLACEMENT:
                continue  # the same elements elsewhere: the same miss, but where rows get the output's axes
            result = self._match(node.outputs[0].name, Cuts() if best is None else best.cuts)
            if isinstance(result, Miss) and best is not None and best.cuts.coordinates:
                result = self._match(node.outputs[0].name, Cuts())  # a mask of what is behind the cut
            if best is not None and (isinstance(result, Miss) or not adds_nothing(best, result)):
                break
            if isinstance(result, Miss) and result.code == BOUND:
                return result
            if isinstance(result, Miss):
                masked = result.code == MASK and miss is not None and not miss.is_further(result)
                miss = result if miss is None or masked or result.is_further(miss) else miss
                continue
            best = result
        return best or miss or Miss("nothing to lift")

    def _match(self, output: str, first: Cuts) -> Claim | Miss:
        """Match one tensor at the first sizes, with the cuts `first` and then with those that its misses suggest.

        Results are kept: sums that follow one another ask for the same tensor.
        """
        key = output, first
        if key not in self._tried:
            self._tried[key] = self._matched(output, first)
        return self._tried[key]

    def _matched(self, output: str, first: Cuts) -> Claim | Miss:
        miss = Miss("nothing to lift")
        seen: set[Cuts] = set()
        pending = [first]
        while pending:
            cuts = pending.pop(0)
            if cuts in seen:
                continue
            seen.add(cuts)
            result = self._match_at(self._facts_at(0), output, cuts)
            if isinstance(result, Claim):
                return result
            found, lift = result
            self._extents |= set() if found.extents is None else {found.extents}
            torn = cuts.first and lift is not None and lift.remainders  # of a remainder's two parts one is a coordinate
            if len(seen) == 1 or (not cuts.through and not torn and found.is_further(miss)):
                miss = placed(lift, found, self._scope, output)
            if self._whole_family and found.taps > 2 * TAPS and found.code == PLACEMENT and not found.stage:
                continue  # of many reads each look costs much, and which image is read no cut tells
            if lift is not None:
                pending += other_cuts(cuts, found, lift)
        return miss

    def _match_at(
        self, facts: Mapping[str, Fact], output: str, cuts: Cuts, like: Claim | None = None
    ) -> Claim | tuple[Miss, Lift | None]:
        try:
            return self._looked_at(facts, output, cuts, like)
        except Exhausted:
            return Miss(f"after {MAX_EFFORT} steps it is neither proven nor refuted", TAPS, BOUND), None

    def _looked_at(
        self, facts: Mapping[str, Fact], output: str, cuts: Cuts, like: Claim | None
    ) -> Claim | tuple[Miss, Lift | None]:
        try:
            lift = cuts.lift(self._scope, facts, output, self._samples | self._picked)
            root, index = lift.root(output)
        except NoRule as reason:
            told = unsized(self._scope, facts, output) or str(reason)
            return Miss(told, code="GSO113"), None
        known = None if like is None else like.match.sampler
        match = self._proofs.recognise(lift.algebra, root, cuts.grids, self._whole_family, known)
        if isinstance(match, Miss):
            return match, lift
        rounded = inexact(lift, match, None if like is None else like.exact_below)
        if rounded is not None:
            return replace(rounded, stage=Stage.PROOF), lift
        like_placed = None if like is None else like.placement
        if like_placed is None:
            ends = self._samples | self._picked
            match = as_far_as_bounds(match, self._proofs, cuts, self._scope, facts, output, ends)
        else:
            match = replace(match, within=match.within or bool(like_placed.bounds))
        placement = place(lift, index, match, alive(self._scope, output), cuts.split, like_placed)
        down = match.rounded_down(lift.algebra) if isinstance(placement, Miss) else None
        if down is not None:
            match, placement = down, place(lift, index, down, alive(self._scope, output), cuts.split, like_placed)
        if isinstance(placement, Miss):
            return replace(placement, stage=Stage.OPERANDS), lift
        if cuts.coordinates and placement.inside and mirrors_coordinates(self._scope, facts, match):
            match = replace(match, mirrored=True)
        return Claim(output, match, placement, cuts, tests_pixels(lift, match), lift.narrow, lift.exact_below)

    # ---- the site ---------------------------------------------------------------------------------------------------

    def _site(self, join: Join, claim: Claim) -> Site | Miss:
        held = self._claims.held(claim)
        if isinstance(held, Miss):
            return held
        return site_of(self._scope, self._sizes, join, held, self._claims.domain(held))

    def _like(self, facts: Mapping[str, Fact], claim: Claim) -> Claim | Miss:
        """What a claim's output computes where facts are others, where a grid may be of whole pixels beside floors."""
        result = self._match_at(facts, claim.output, claim.cuts, claim)
        if not isinstance(result, Claim) and result[0].beside and not claim.cuts.grids:
            again = self._match_at(facts, claim.output, replace(claim.cuts, grids=True), claim)
            result = again if isinstance(again, Claim) else result
        return result if isinstance(result, Claim) else result[0]

    def _image_sizes(self, site: Site) -> list[int]:
        """The image's dims at the first sizes, batch and channels left out."""
        shape = self._facts_at(0)[site.image.tensor].shape or ()
        return list(shape) if site.image.split else [shape[a] for group in site.image.groups[2:] for a in group]


def _rank(join: Join) -> tuple[bool, int, int]:
    """Four reads, then fewer, then more, from two cells' corners on."""
    return len(join.reads) > TAPS, max(len(join.reads), 2 * TAPS), -len(join.reads)
