"""The search of one graph for what is a Resize: forms of fixed reads, compared with each at every set of sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from math import prod

import numpy as np

from onnxgs_opt.ir import Node
from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.ir.operators import ORDERED, READS, operator
from onnxgs_opt.recognition.algebra.quantity import Quantity
from onnxgs_opt.recognition.every_size import EverySize
from onnxgs_opt.recognition.fixed_tables import changes_beyond
from onnxgs_opt.recognition.fixed_values import FixedValues, is_fixed
from onnxgs_opt.recognition.lifting.dynamic_dims import PRIMES, SizeSets, settle
from onnxgs_opt.recognition.lifting.elementwise import EXACT_BELOW
from onnxgs_opt.recognition.lifting.shape_functions import UNKNOWN, Fact
from onnxgs_opt.recognition.lifting.symbolic_sizes import of_claim
from onnxgs_opt.recognition.linear_form import Form, NoForm
from onnxgs_opt.recognition.linear_forms import RULES, Forms
from onnxgs_opt.recognition.match import Miss
from onnxgs_opt.recognition.resizes import RULE, reads_pixels
from onnxgs_opt.recognition.resizing.found import AtSomeSizes, FoundResizes
from onnxgs_opt.recognition.resizing.resampling import (
    Axes,
    Found,
    Matrices,
    NoResizeError,
    axes_of,
    candidates,
    still,
)
from onnxgs_opt.recognition.stated import OUTSIDE, excluded
from onnxgs_opt.samplers.resize import ResizedAxis, ResizeSite
from onnxgs_opt.samplers.site import Domain
from onnxgs_opt.samplers.view import View

FEWER = (101, 97, 89, 83, 79, 73)
"""The last large sizes that are tried, where an index is repeated for every channel."""

SAME_ELEMENTS = ORDERED | {"Transpose", "Identity"}
"""What only brings elements into another shape or order."""

LEAST_RANK = 3
"""Axes of what is resampled: a batch, channels, and one along which it is."""

MOST_TRIED = 8
"""Tensors that are made of the same reads: the sum of them, what leads to it, and what is made of that."""

NO_SIZE = "a nearest lookup at a ratio that changes with the sizes is rounded otherwise at some of them"


def find_resizes(scope: Scope, claimed: Collection[str], sizes: SizeSets) -> FoundResizes:
    """The resamplings of one graph of these sizes; `claimed` are names of reads that belong to other sites."""
    known: dict[str, bool] = {}
    seeds = [
        node
        for node in scope.own
        if operator(node) in READS
        and node.name not in claimed
        and reads_pixels(node)
        and is_fixed(scope, node.inputs[1].name, known)
        and not is_fixed(scope, node.inputs[0].name, known)
    ]
    return _Search(scope, sizes).run(seeds) if seeds else FoundResizes()


@dataclass(frozen=True)
class _Root:
    """A tensor that may be a resampling of `base`, by `reads`, at the first sizes; `steps` lead to it."""

    output: str
    base: str
    reads: frozenset[str]
    axes: Axes
    found: tuple[Found, ...]
    steps: tuple[str, ...]


class _Search:
    """The search of one graph."""

    def __init__(self, scope: Scope, sizes: SizeSets) -> None:
        self._scope = scope
        self._sizes = sizes
        self._values: dict[int, FixedValues] = {}
        self._partial: list[AtSomeSizes] = []

    def run(self, seeds: Sequence[Node]) -> FoundResizes:
        """Look at what is made of every read that is not a part of an earlier site.

        What is made of that by further reads may be another one, as of images that are made twice as large twice.
        """
        sites: list[ResizeSite] = []
        misses: dict[str, str] = {}
        bases = {seed.name: self._base_of(seed.inputs[0].name) for seed in seeds}
        waiting = set(bases)
        for seed in seeds:
            if seed.name in waiting:
                base = bases[seed.name]
                made, forms = self._made_of(base, seed, waiting)
                found = self._sites(made, forms, misses, bases) if forms is not None else []
                sites += found
                waiting -= {read for site in found for read in site.reads}
                every = frozenset[str]().union(*made.values())
                first = {read for read in every if bases[read] == base}
                waiting -= {seed.name} | {read for read in every if not first <= made.get(bases[read], frozenset())}
        sites.sort(key=lambda site: self._scope.order[site.output])
        shapes = self._sizes.shapes(()) if sites else ()
        return FoundResizes(tuple(sites), misses, shapes, self._partial)

    def _sites(
        self, made: Mapping[str, frozenset[str]], forms: Forms, misses: dict[str, str], bases: Mapping[str, str]
    ) -> list[ResizeSite]:
        """The resamplings among tensors that are made of one, those of the most reads first, each read in one only.

        Of several of the same reads it is the first whose axes stand as those of what is read, or, where the
        last that is made of all of them is none, as what is scaled or added to, one of the first, or what all other
        reads are of: `bases` says that of each. Of one inside which something else is needed, such parts are, if any.
        """
        taken: set[str] = set()
        sites: list[ResizeSite] = []
        needed: list[ResizeSite] = []
        tapped = self._tapped(made, forms)
        between = set(bases.values())
        last = sorted(made, key=lambda name: (-len(made[name]), name not in between, self._turns(forms, name)))
        missed: Counter[frozenset[str]] = Counter()
        within = [name for name in last if name in between]
        first = {read for read, base in bases.items() if base == forms.base}
        whole = [name for name in last if name not in tapped]
        for k, name in enumerate((*whole, *(name for name in made if name in tapped), *within)):
            reads = made[name]
            is_part = not missed[reads] and any(more & first <= reads < more for more in missed)
            may_be = is_part if k >= len(made) else name not in tapped or 0 < missed[reads] < MOST_TRIED
            if reads & taken or not may_be:
                continue
            found = self._found(forms, name, made)
            if isinstance(found, Miss):
                misses[self._scope.producer[name][0].name] = found.condition
                missed[reads] += 1
                continue
            if within and self._is_needed_inside(found, made):
                missed[reads] += 1
                needed.append(found)
                continue
            sites.append(found)
            taken |= reads
        return [*sites, *(site for site in needed if taken.isdisjoint(site.reads))]

    def _found(self, forms: Forms, name: str, made: Mapping[str, frozenset[str]]) -> ResizeSite | Miss:
        """The site of a tensor, or why it is none; a Resize at the first sizes alone is kept to be told."""
        try:
            root = self._root(forms, name, made)
            found = self._proven(root)
        except NoResizeError as reason:
            return Miss(str(reason))
        if isinstance(found, Miss) and found.code not in OUTSIDE and self._sizes.are_dynamic:
            node, kind = self._scope.producer[name][0].name, root.found[0].resampling
            self._partial.append(AtSomeSizes(node, made[name], kind, self._sizes.at(0), found.condition))
        return found

    def _is_needed_inside(self, site: ResizeSite, made: Collection[str]) -> bool:
        """Whether what is made on the way to a site is an output, or something else reads it."""
        cone = set(site.cone)
        inside = [t.name for name in cone for t in self._by_name[name].outputs if t.name in made]
        return any(
            name in self._scope.outputs or any(node.name not in cone for node in self._scope.consumers.get(name, ()))
            for name in inside
            if name != site.output
        )

    @cached_property
    def _by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self._scope.nodes}

    def _turns(self, forms: Forms, name: str) -> bool:
        """Whether the axes of a tensor stand in another order than those of what is read."""
        try:
            order = axes_of(forms.of(name), forms.shape(forms.base)).order
        except NoResizeError:
            return True
        return list(order) != sorted(order)

    def _at(self, k: int) -> FixedValues:
        if k not in self._values:
            self._values[k] = FixedValues(self._scope, self._sizes.facts(k))
        return self._values[k]

    def _made_of(self, base: str, seed: Node, reads: Collection[str]) -> tuple[dict[str, frozenset[str]], Forms | None]:
        """What is made of `base` by fixed reads from `seed` on, each with the names of those, and the forms of it."""
        made: dict[str, frozenset[str]] = {}
        try:
            forms = Forms(self._scope, self._at(0), base)
        except NoForm:
            return made, None
        if len(forms.shape(base)) < LEAST_RANK:
            return made, None
        for node in self._scope.nodes[self._scope.order[seed.outputs[0].name] :]:
            own = frozenset[str]().union(*(made.get(t.name, frozenset()) for t in node.inputs))
            own |= {node.name} & set(reads)
            if not own or operator(node) not in RULES or not self._is_made(node, made, base):
                continue
            for tensor in node.outputs:
                with suppress(NoForm):
                    forms.of(tensor.name)
                    made[tensor.name] = own
        return made, forms

    def _tapped(self, made: Collection[str], forms: Forms) -> set[str]:
        """Tensors of which others are sums: a part of one may look like a resampling of its own."""
        found: set[str] = set()
        for name in reversed(list(made)):
            if name in found or len(forms.of(name).terms) > 1:
                found.update(t.name for t in self._scope.producer[name][0].inputs)
        return found

    def _base_of(self, name: str) -> str:
        """The tensor that one has the elements of, in whatever order and shape."""
        while name in self._scope.producer and operator(self._scope.producer[name][0]) in SAME_ELEMENTS:
            name = self._scope.producer[name][0].inputs[0].name
        return name

    def _is_made(self, node: Node, made: Collection[str], base: str) -> bool:
        """Whether a node computes with nothing but what is made of `base` and what is fixed."""
        names = [t.name for t in node.inputs if t.name and t.name not in made]
        return all(self._at(0).is_fixed(name) or self._base_of(name) == base for name in names)

    def _root(self, forms: Forms, output: str, made: Mapping[str, frozenset[str]]) -> _Root:
        form = forms.of(output)
        shape = forms.shape(forms.base)
        axes = axes_of(form, shape, self._resampled(forms.base, output, axes_of(form, shape)))
        found = tuple(candidates(Matrices(form, axes)))
        return _Root(output, forms.base, made[output], axes, found, tuple(made)[: list(made).index(output) + 1])

    def _resampled(self, base: str, output: str, axes: Axes) -> set[int]:
        """The axes that are resampled, or have another size than the result's at some sizes."""
        shapes = [
            [self._sizes.facts(k).get(name, UNKNOWN).shape or () for name in (base, output)]
            for k in range(len(self._sizes.near))
        ]
        pairs = [(read, made) for made, read in enumerate(axes.order)]
        changed = {read for own, new in shapes if own and new for read, made in pairs if own[read] != new[made]}
        return changed | {axis.read for axis in axes.spatial}

    # ---- the proof --------------------------------------------------------------------------------------------------

    def _proven(self, root: _Root) -> ResizeSite | Miss:
        """The site of a root, once it is the same Resize at the other sizes too."""
        found = list(root.found)
        if self._sizes.are_dynamic:
            try:
                for k in range(1, len(self._sizes.near)):
                    found = self._still(self._at(k), root, found)
                far, values, found = self._far(root, found)
            except (NoForm, NoResizeError) as reason:
                return Miss(str(reason), code="GSO111")
            changes = self._every_size.changes_of_tables(root.output, self._view(root), self._seen(far))
            nodes = of_claim(self._scope, root.output, {root.base})
            beyond = changes_beyond(nodes, self._at(0), values, self._seen(far))
            changes = changes or (Miss(beyond, code="GSO111") if beyond else None)
            return self._named(root, found, far) if changes is None else changes
        return self._named(root, found, {})

    def _still(self, values: FixedValues, root: _Root, found: list[Found]) -> list[Found]:
        forms = Forms(self._scope, values, root.base)
        form = self._form(forms, root)
        axes = axes_of(form, forms.shape(root.base), {axis.read for axis in root.axes.spatial})
        if [(a.read, a.made) for a in axes.spatial] != [(a.read, a.made) for a in root.axes.spatial]:
            raise NoResizeError("which axes are resampled changes with the sizes")
        return still(Matrices(form, axes), found)

    def _form(self, forms: Forms, root: _Root) -> Form:
        for name in root.steps:
            form = forms.of(name)
        return form

    def _far(self, root: _Root, found: list[Found]) -> tuple[Mapping[str, int], FixedValues, list[Found]]:
        """The largest sizes of the resampled axes at which all can be evaluated, that, and what it still is there."""
        first = self._sizes.at(0)
        large = {axis.size for axis in root.axes.spatial} | {axis.samples for axis in root.axes.spatial}
        values = sorted({size for size in first.values() if size in large}) or sorted(set(first.values()))
        for primes in (*PRIMES, FEWER):
            chosen = {value: primes[k % len(primes)] for k, value in enumerate(values)}
            sizes, facts = settle(self._scope, {name: chosen.get(size, size) for name, size in first.items()})
            known = FixedValues(self._scope, facts)
            with suppress(NoForm):
                return sizes, known, self._still(known, root, found)
        raise NoForm("at large sizes it has more elements than are looked at")

    @cached_property
    def _every_size(self) -> EverySize:
        return EverySize(self._scope, self._sizes)

    def _seen(self, far: Mapping[str, int]) -> int:
        """The largest number that sizes of a resampled axis were told from."""
        first = self._sizes.at(0)
        return min((size for name, size in far.items() if size != first[name]), default=max(far.values())) - 2

    def _view(self, root: _Root) -> View:
        spatial = [axis.read for axis in root.axes.spatial]
        others = tuple(k for k in range(len(root.axes.order)) if k not in spatial)
        return View(root.base, (others, (), *((k,) for k in spatial)))

    def _named(self, root: _Root, found: Sequence[Found], far: Mapping[str, int]) -> ResizeSite | Miss:
        """The site, by the first resampling whose number of samples can be said."""
        ratios = [Fraction(axis.samples, axis.size) for axis in root.axes.spatial]

        def rank(each: Found) -> tuple[int, int]:
            """Scales that are samples over pixels first; of dynamic sizes, those that are numbers."""
            others = sum(s not in (None, ratio) for s, ratio in zip(each.scales, ratios, strict=True))
            return others, each.scales.count(None) if far else 0

        for each in sorted(found, key=rank):
            axes = [self._axis(root, each, k) for k in range(len(root.axes.spatial))]
            known = [axis for axis in axes if axis is not None]
            if len(known) == len(axes):
                domain = self._domain(root, each, known, far) if far else Domain()
                return excluded(self._sizes, domain, self._view(root)) or self._site(root, each, known, domain)
        return Miss(NO_SIZE if found[0].resampling.mode == "nearest" else "no tensor is as long as its result")

    def _axis(self, root: _Root, found: Found, k: int) -> ResizedAxis | None:
        axis, scale = root.axes.spatial[k], found.scales[k]
        size, samples = (
            self._sizes.static_dims(name)[place] for name, place in ((root.base, axis.read), (root.output, axis.made))
        )
        if samples is not None and (size is not None or found.resampling.mode != "nearest"):
            usual = size is not None and scale == Fraction(samples, size)
            return ResizedAxis(axis.read, size, samples, None if usual else scale)
        made, read = (
            (self._every_size.dims(name) or ())[place : place + 1]
            for name, place in ((root.output, axis.made), (root.base, axis.read))
        )
        if scale is not None and made and read and _is_multiple(made[0], read[0], scale):
            return ResizedAxis(axis.read, size, samples, scale)
        if found.resampling.mode == "nearest" or scale is not None:
            return None
        source = self._source(root, axis.samples, made)
        return None if source is None else ResizedAxis(axis.read, size, samples, None, source)

    def _source(self, root: _Root, samples: int, made: Sequence[object]) -> tuple[str, int] | None:
        """The smallest fixed tensor with an axis as long as one of the result, and that axis."""
        facts = self._sizes.facts(0)
        best: tuple[int, str, int] | None = None
        for node in of_claim(self._scope, root.output, {root.base}):
            for name in (t.name for t in node.outputs if self._at(0).is_fixed(t.name)):
                shape = facts.get(name, UNKNOWN).shape or ()
                for axis in (a for a, size in enumerate(shape) if size == samples):
                    dims = self._every_size.dims(name) or ()
                    if tuple(dims[axis : axis + 1]) == tuple(made) and (best is None or prod(shape) < best[0]):
                        best = prod(shape), name, axis
        return None if best is None else best[1:]

    def _site(self, root: _Root, found: Found, axes: Sequence[ResizedAxis], domain: Domain) -> ResizeSite:
        facts: Mapping[str, Fact] = self._sizes.facts(0)
        cone = of_claim(self._scope, root.output, {root.base})
        reads = [self._scope.producer[t.name][0] for node in cone for t in node.outputs[:1] if node.name in root.reads]
        own, made = (facts.get(name, UNKNOWN).dtype for name in (root.base, root.output))
        widened = own == np.float16 and made in (np.float32, np.float64)
        dtype = np.dtype(np.float32) if widened else made if made == np.float16 else own
        return ResizeSite(
            id="",
            rule=RULE,
            output=root.output,
            reads=tuple(node.name for node in reads),
            read_op=reads[0].op,
            dtype="unknown" if dtype is None else str(dtype),
            domain=domain,
            image=root.base,
            resampling=found.resampling,
            axes=tuple(axes),
            order=root.axes.order,
            image_shape=tuple(self._sizes.static_dims(root.base)),
            cone=tuple(node.name for node in cone),
        )

    def _domain(self, root: _Root, found: Found, axes: Sequence[ResizedAxis], far: Mapping[str, int]) -> Domain:
        """The sizes that the proof covers; up to those seen where the rounding of a nearest lookup may matter."""
        sources = [View(axis.source[0], ()) for axis in axes if axis.source is not None]
        domain = self._every_size.domain(self._view(root), sources, EXACT_BELOW[8])
        if found.resampling.mode != "nearest" or all(_is_power_of_two(scale) for scale in found.scales):
            return domain
        return replace(domain, sizes=tuple(replace(size, at_most=far.get(size.name)) for size in domain.sizes))


def _is_multiple(made: object, read: object, scale: Fraction) -> bool:
    """Whether a size is a fixed multiple of another one at all sizes."""
    return isinstance(made, Quantity) and isinstance(read, Quantity) and made == read.times(Quantity.of(scale))


def _is_power_of_two(scale: Fraction | None) -> bool:
    """Whether dividing by a scale rounds nothing."""
    return scale is not None and all(n & (n - 1) == 0 for n in (scale.numerator, scale.denominator))
