"""What a graph holds of resamplings, and what is one at some sizes only."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from onnxgs_opt.recognition.lifting.shape_functions import Shape
from onnxgs_opt.samplers.resampling import Resampling
from onnxgs_opt.samplers.resize import ResizeSite


@dataclass(frozen=True)
class AtSomeSizes:
    """A tensor that is a Resize at `sizes`, made by `node` of `reads`, and why it is no one Resize at all of them."""

    node: str
    reads: frozenset[str]
    resampling: Resampling
    sizes: Mapping[str, int]
    why: str

    @property
    def condition(self) -> str:
        """The whole sentence."""
        at = ", ".join(f"{name}={size}" for name, size in self.sizes.items())
        return f"at {at} it is a Resize ({self.resampling.words}), but {self.why}"


@dataclass(frozen=True)
class FoundResizes:
    """The resamplings of a graph, without ids; `misses` says by node why what is made of other fixed reads is none.

    `shapes` has every tensor's shape at several sets of sizes; it is empty where nothing is dynamic. `partial` are
    those at some sizes.
    """

    sites: tuple[ResizeSite, ...] = ()
    misses: Mapping[str, str] = field(default_factory=dict)
    shapes: tuple[Mapping[str, Shape], ...] = ()
    partial: Sequence[AtSomeSizes] = ()

    def untold(self, told: Collection[str]) -> Iterator[AtSomeSizes]:
        """What is a Resize at some sizes, of reads that are in nothing that is `told`; the widest of several."""
        kept: list[AtSomeSizes] = []
        for each in sorted(self.partial, key=lambda each: -len(each.reads)):
            if each.reads.isdisjoint(told) and not any(each.reads & other.reads for other in kept):
                kept.append(each)
                yield each
