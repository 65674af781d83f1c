"""Counts over generated deformable convolutions: each spelling is found, and whatever is found stays equal.

python -m tests.campaigns.soundness.deforms --spellings 300 --mutants 300 --edits 300 [--seed 0]; exit code 1 on any
failure. Mutants have a fault, edits a random change of a node, an attribute or a constant of the model.
"""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Callable, Iterator

import onnx

from onnxgs_opt.api import look
from onnxgs_opt.errors import OptError
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.validation.check_deform_conv import deform_check
from onnxgs_opt.validation.terms import Terms
from tests.campaigns.soundness.counting import campaign, gap, run
from tests.fixtures.deform import Spelling, build, feeds_of, mutants, spellings
from tests.fixtures.point_mutants import point_mutant

FORMS = ("deform-conv", "merged-gather", "lerp-gather")
"""What writes all of a site: the node, reads of weighted pixels, and samples that a product weighs."""

ALLOWED = 5e-4
"""What a sum of at most 72 unit-normal samples and weights may be off by, with points some pixels outside."""


def judge(model: onnx.ModelProto) -> str:
    """What became of a model: found, none, invalid, or, in words, what is wrong."""
    try:
        feeds = feeds_of(model)
        before = run(model, feeds)
        graph, found = look(Graph.from_proto(model))
    except (OptError, onnx.checker.ValidationError):  # an edit that no runtime takes
        return "invalid"
    for site, form in itertools.product(found.deforms, FORMS):
        seen = deform_check(graph, site, Terms(lambda own: own)).compare(form)
        if seen.status != "ok":
            return "kept by its check"  # an edit may round otherwise beside a pixel
        if wrong := gap(graph, site, form, (feeds, before), ALLOWED):
            return wrong
    return "found" if found.deforms else "none"


def _edited(seed: int) -> Iterator[tuple[str, onnx.ModelProto]]:
    for k, spelling in enumerate(spellings(seed)):
        model, edit = point_mutant(build(spelling), random.Random(f"{seed} {k}"))
        yield f"{spelling} with {edit}", model


def _built(stream: Callable[[int], Iterator[Spelling]]) -> Callable[[int], Iterator[tuple[str, onnx.ModelProto]]]:
    return lambda seed: ((str(own), build(own)) for own in stream(seed))


def main() -> int:
    """Judge everything and print the counts."""
    streams = {"spellings": _built(spellings), "mutants": _built(mutants), "edits": _edited}
    return campaign(__doc__, streams, judge)


if __name__ == "__main__":
    sys.exit(main())
