"""From which sizes on a claim is looked at: where what a pool or a stride makes of two pixels is one, they begin later.

Along an axis of one element no index moves, so that a claim is another one there; of the sizes that lead to it is no
claim.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.recognition.lifting.dynamic_dims import SizeSets, settle
from onnxgs_opt.recognition.lifting.shape_functions import UNKNOWN, Fact

TIMES = (2, 4, 8, 16)
"""How much larger the least sizes may be than those that every claim begins at."""


def shrunk(names: Iterable[str], usual: Mapping[str, Fact], small: Mapping[str, Fact]) -> Iterator[str]:
    """The tensors with less than two elements along an axis at `small` sizes, or no shape, and more at `usual` ones."""
    for name in names:
        dims, fewer = (facts.get(name, UNKNOWN).shape for facts in (usual, small))
        if dims is not None and (fewer is None or any(b < 2 <= a for a, b in zip(dims, fewer, strict=False))):
            yield name


def least_sizes(scope: Scope, sizes: SizeSets, names: Collection[str]) -> dict[str, int]:
    """The least sizes, by name, at which no tensor is `shrunk`, without those that may be 2; empty if none is seen."""
    first, asked = sizes.facts(0), sizes.at(len(sizes.near) - 1)

    def suffice(times: Mapping[str, int]) -> bool:
        _, facts = settle(scope, {name: 2 * times.get(name, 1) for name in asked})
        return not any(shrunk(names, first, facts))

    enough = (t for t in TIMES if suffice(dict.fromkeys(asked, t)))
    least = dict.fromkeys(asked, next(enough, 0)) if names else {}
    for name in least:
        fewer = {other: t for other, t in least.items() if other != name}
        least = fewer if suffice(fewer) else least
    return {name: 2 * t for name, t in least.items() if t}
