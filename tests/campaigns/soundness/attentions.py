"""Counts over changed deformable attention: whatever is still found stays equal.

python -m tests.campaigns.soundness.attentions --mutants 300 --edits 300 --uneven 300 --halves 300 [--seed 0]

Exit code 1 on any failure. Mutants have axes, levels and places exchanged, edits a random change of a node, an
attribute or a constant of the model. Uneven are both, of levels that have other numbers of points, and halves both, of
models partly in float16; discrete are edits of attention that reads the nearest pixels. Spellings of all these have to
be found.
"""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Iterator

import onnx

from onnxgs_opt.api import look
from onnxgs_opt.errors import OptError
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import Target
from onnxgs_opt.lowering.attention import WHOLE
from onnxgs_opt.recognition import KINDS
from tests.campaigns.soundness.counting import campaign, gap, run
from tests.fixtures.attention.discrete import SPELLINGS as DISCRETE
from tests.fixtures.attention.discrete import discrete
from tests.fixtures.attention.text import (
    HALVES,
    UNEVEN_SPELLINGS,
    feeds_for,
    halves,
    model,
    mutants,
    uneven,
    uneven_mutants,
)
from tests.fixtures.point_mutants import point_mutant

OF_PIXELS = ("plugin", "merged-gather", "row-gather")
"""What samplers of the nearest pixel are written as, where it is possible."""

ALLOWED = {"float32": 2e-5, "float16": 3e-2}
"""By the shortest type, what sums of four unit-normal samples and weights may be off by, at places about the image."""


def judge(proto: onnx.ModelProto) -> str:
    """What became of a model: found, none, invalid, or, in words, what is wrong."""
    feeds = feeds_for(proto)
    try:
        before = run(proto, feeds)
        graph, found = look(Graph.from_proto(proto))
    except (OptError, onnx.checker.ValidationError):  # an edit that no runtime takes
        return "invalid"
    sites = (*found.attentions, *(site for site in found.samplers if site.taps == 1))
    for site in sites:
        forms = (
            WHOLE if site in found.attentions else set(OF_PIXELS) - KINDS[site.kind].refusals(site, Target(17)).keys()
        )
        for form in forms:
            if wrong := gap(graph, site, form, (feeds, before), ALLOWED[min(site.types, default="float32")]):
                return wrong
    return "found" if sites else "none"


def _edited(seed: int) -> Iterator[tuple[str, onnx.ModelProto]]:
    for k in itertools.count():
        changed, edit = point_mutant(model(), random.Random(f"{seed} {k}"))
        yield edit, changed


def _built(seed: int) -> Iterator[tuple[str, onnx.ModelProto]]:
    return ((str(edits), model(edits)) for edits in mutants(seed))


def _uneven(seed: int) -> Iterator[tuple[str, onnx.ModelProto]]:
    """Models of uneven levels, changed in one way and the other in turn."""
    for k, edits in enumerate(uneven_mutants(seed)):
        yield f"uneven {edits}", uneven(edits)
        changed, edit = point_mutant(uneven(), random.Random(f"{seed} {k}"))
        yield f"uneven {edit}", changed


def _halves(seed: int) -> Iterator[tuple[str, onnx.ModelProto]]:
    """Every way to have some of the model in float16, its lines and its nodes changed in turn."""
    own = itertools.cycle(HALVES)
    for k, (name, edits) in enumerate(zip(own, mutants(seed), strict=False)):
        free = {line: text for line, text in edits.items() if line not in HALVES[name][0]}
        yield f"{name} {free}", halves(name, free)
        changed, edit = point_mutant(halves(name), random.Random(f"{seed} {k}"))
        yield f"{name} {edit}", changed


def _discrete(seed: int) -> Iterator[tuple[str, onnx.ModelProto]]:
    for k in itertools.count():
        changed, edit = point_mutant(discrete(), random.Random(f"{seed} {k}"))
        yield f"discrete {edit}", changed


def _spelt(seed: int) -> Iterator[tuple[str, onnx.ModelProto]]:
    yield from ((f"uneven {edits}", uneven(edits)) for edits in UNEVEN_SPELLINGS)
    yield from ((name, halves(name)) for name in HALVES)
    yield from ((f"discrete {edits}", discrete(edits)) for edits in DISCRETE)


STREAMS = {
    "mutants": _built,
    "edits": _edited,
    "uneven": _uneven,
    "halves": _halves,
    "discrete": _discrete,
    "spellings": _spelt,
}


def main() -> int:
    """Judge everything and print the counts."""
    return campaign(__doc__, STREAMS, judge)


if __name__ == "__main__":
    sys.exit(main())
