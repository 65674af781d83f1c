"""Counts over changed deformable attention: whatever is still found stays equal.

python -m tests.campaigns.soundness.attentions --mutants 300 --edits 300 [--seed 0]; exit code 1 on any failure. Mutants
have axes, levels and places exchanged, edits a random change of a node, an attribute or a constant of the model.
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
from onnxgs_opt.lowering.attention import WHOLE
from tests.campaigns.soundness.counting import campaign, gap, run
from tests.fixtures.attention.text import feeds_of, model, mutants
from tests.fixtures.point_mutants import point_mutant

ALLOWED = 2e-5
"""What a sum of four unit-normal samples and weights may be off by, with places about the image."""


def judge(proto: onnx.ModelProto) -> str:
    """What became of a model: found, none, invalid, or, in words, what is wrong."""
    try:
        feeds = feeds_of()
        before = run(proto, feeds)
        graph, found = look(Graph.from_proto(proto))
    except (OptError, onnx.checker.ValidationError):  # an edit that no runtime takes
        return "invalid"
    for site, form in itertools.product(found.attentions, WHOLE):
        if wrong := gap(graph, site, form, (feeds, before), ALLOWED):
            return wrong
    return "found" if found.attentions else "none"


def _edited(seed: int) -> Iterator[tuple[str, onnx.ModelProto]]:
    for k in itertools.count():
        changed, edit = point_mutant(model(), random.Random(f"{seed} {k}"))
        yield edit, changed


def _built(seed: int) -> Iterator[tuple[str, onnx.ModelProto]]:
    return ((str(edits), model(edits)) for edits in mutants(seed))


def main() -> int:
    """Judge everything and print the counts."""
    return campaign(__doc__, {"mutants": _built, "edits": _edited}, judge)


if __name__ == "__main__":
    sys.exit(main())
