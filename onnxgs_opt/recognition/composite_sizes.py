"""The sizes at which what is made of samplers is looked at, and those that a claim on it covers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Generic, TypeVar

from onnxgs_opt.diagnostics import Remark
from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.recognition.every_size import EverySize
from onnxgs_opt.recognition.fixed_tables import changes_beyond
from onnxgs_opt.recognition.fixed_values import FixedValues
from onnxgs_opt.recognition.lifting.dynamic_dims import SizeSets, settle
from onnxgs_opt.recognition.lifting.elementwise import EXACT_BELOW
from onnxgs_opt.recognition.lifting.shape_functions import UNKNOWN, Fact
from onnxgs_opt.recognition.lifting.size_values import MOST
from onnxgs_opt.recognition.lifting.symbolic_sizes import of_claim
from onnxgs_opt.recognition.linear_form import NoForm
from onnxgs_opt.samplers.site import AnySite, Domain, Site, SizeRange
from onnxgs_opt.samplers.view import View, spans

S = TypeVar("S", bound=AnySite)
LARGER = (61, 59)
"""Pixels along y and x of an image that is looked at last."""


@dataclass(frozen=True)
class Composites(Generic[S]):
    """What a graph has that is made of samplers, of one kind and without ids, and why what looks like it is none."""

    sites: tuple[S, ...] = ()
    misses: tuple[Remark, ...] = ()


class CompositeSizes:
    """The sizes that one graph is looked at: the small ones of `sets`, and larger ones of an image."""

    def __init__(self, scope: Scope, sets: SizeSets) -> None:
        self.scope, self.sets = scope, sets
        self._larger: dict[tuple[int, int], Mapping[str, Fact]] = {}

    @cached_property
    def every(self) -> EverySize:
        """The sizes as symbols."""
        return EverySize(self.scope, self.sets)

    def near(self) -> Iterator[Mapping[str, Fact]]:
        """What is known of every tensor at each set of small sizes."""
        yield from (self.sets.facts(k) for k in range(len(self.sets.near)))

    def facts(self, image: View) -> Iterator[Mapping[str, Fact]]:
        """The same, and last where the image is larger."""
        yield from self.near()
        if self.sets.are_dynamic:
            first = self.sets.at(0)
            *_, height, width = sizes_of(image, self.sets.facts(0))
            if (height, width) not in self._larger:
                larger = dict(zip((height, width), LARGER, strict=True))
                asked = {name: larger.get(size, size) for name, size in first.items()}
                self._larger[height, width] = settle(self.scope, asked)[1]
            yield self._larger[height, width]

    def domain(self, output: str, image: View, others: list[View], samplers: Iterable[Site]) -> Domain:
        """The sizes at which `output` is one formula of the operands, and the samplers in it are what they are.

        Raises:
            NoForm: At some sizes it is another one.
        """
        if not self.sets.are_dynamic:
            return Domain()
        broken = self.every.broken(output, image, others)
        if broken is not None:
            raise NoForm(f"at '{broken.node}' {broken.why}")
        nodes = of_claim(self.scope, output, {image.tensor, *(view.tensor for view in others)})
        near, *_, far = (FixedValues(self.scope, facts) for facts in self.facts(image))
        if (beyond := changes_beyond(nodes, near, far, MOST)) is not None:
            raise NoForm(beyond)
        made = self.every.domain(image, others, EXACT_BELOW[8])
        for inner in (site.domain for site in samplers if site.domain is not None):
            own = {size.name: size for size in inner.sizes}
            ranges = tuple(_both(size, own[size.name]) if size.name in own else size for size in made.sizes)
            pixels = [count for count in (made.pixels, inner.pixels) if count is not None]
            made = Domain(ranges, min(pixels, default=None))
        return made


def sizes_of(view: View, facts: Mapping[str, Fact]) -> list[int]:
    """The canonical sizes of a tensor.

    Raises:
        NoForm: They are not known.
    """
    shape = facts.get(view.tensor, UNKNOWN).shape
    if shape is None:
        raise NoForm(f"the sizes of '{view.tensor}' are not known")
    return spans(view, shape)


def of_all(sets: Iterable[Iterable[int]]) -> tuple[int | None, ...]:
    """Each of some sizes that is one at all sets; None for one that changes."""
    return tuple(own[0] if len(set(own)) == 1 else None for own in zip(*sets, strict=True))


def _both(one: SizeRange, other: SizeRange) -> SizeRange:
    """The sizes that are in two ranges."""
    ends = [size.at_most for size in (one, other) if size.at_most is not None]
    return replace(one, at_least=max(one.at_least, other.at_least), at_most=min(ends, default=None))
