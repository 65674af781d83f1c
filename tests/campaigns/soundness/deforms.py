"""Counts over generated deformable convolutions: each spelling is found, and whatever is found stays equal.

python -m tests.campaigns.soundness.deforms --spellings 300 --mutants 300 --edits 300 [--seed 0]; exit code 1 on any
failure. Mutants have a fault, edits a random change of a node, an attribute or a constant of the model.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
from collections.abc import Iterator

import numpy as np
import onnx

from onnxgs_opt.api import look
from onnxgs_opt.errors import OptError
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.passes.lower_sites import lower
from onnxgs_opt.runtime.ort import open_session
from onnxgs_opt.validation.check_deform_conv import deform_check
from onnxgs_opt.validation.terms import Terms
from tests.campaigns.soundness.counting import failures_of
from tests.fixtures.deform import build, feeds_of, mutants, spellings
from tests.fixtures.point_mutants import point_mutant

FORMS = ("deform-conv", "merged-gather", "lerp-gather")
"""What writes all of a site: the node, reads of weighted pixels, and samples that a product weighs."""

ALLOWED = 5e-4
"""What a sum of at most 72 unit-normal samples and weights may be off by, with points some pixels outside."""


def judge(model: onnx.ModelProto) -> str:
    """What became of a model: found, none, invalid, or, in words, what is wrong."""
    try:
        feeds = feeds_of(model)
        before = _run(model, feeds)
        graph, found = look(Graph.from_proto(model))
    except (OptError, onnx.checker.ValidationError):  # an edit that no runtime takes
        return "invalid"
    for site, form in itertools.product(found.deforms, FORMS):
        seen = deform_check(graph, site, Terms(lambda own: own)).compare(form)
        if seen.status != "ok":
            return "kept by its check"  # an edit may round otherwise beside a pixel
        after = _run(lower(graph, [site], {site.id: form}).to_proto(), feeds)
        for a, b in zip(before, after, strict=True):
            if not np.allclose(a, b, rtol=1e-4, atol=ALLOWED, equal_nan=True):
                return f"wrong as {form} by {float(np.abs(a - b).max()):.3g}"
    return "found" if found.deforms else "none"


def _run(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    return open_session(model, threads=1, optimise=False).run(None, feeds)


def _edited(seed: int) -> Iterator[tuple[str, onnx.ModelProto]]:
    for k, spelling in enumerate(spellings(seed)):
        model, edit = point_mutant(build(spelling), random.Random(f"{seed} {k}"))
        yield f"{spelling} with {edit}", model


def main() -> int:
    """Judge everything and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    for name, default in (("spellings", 300), ("mutants", 300), ("edits", 300), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    streams: dict[str, Iterator[tuple[str, onnx.ModelProto]]] = {
        "spellings": ((str(own), build(own)) for own in spellings(options.seed)),
        "mutants": ((str(own), build(own)) for own in mutants(options.seed)),
        "edits": _edited(options.seed),
    }
    failures = [
        failures_of(what, itertools.islice(stream, getattr(options, what)), judge) for what, stream in streams.items()
    ]
    return 1 if any(failures) else 0


if __name__ == "__main__":
    sys.exit(main())
