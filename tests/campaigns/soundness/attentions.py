"""Counts over changed deformable attention: whatever is still found stays equal.

python -m tests.campaigns.soundness.attentions --mutants 300 --edits 300 [--seed 0]; exit code 1 on any failure. Mutants
have axes, levels and places exchanged, edits a random change of a node, an attribute or a constant of the model.
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
from onnxgs_opt.lowering.attention import WHOLE
from onnxgs_opt.passes.lower_sites import lower
from onnxgs_opt.runtime.ort import open_session
from tests.campaigns.soundness.counting import failures_of
from tests.fixtures.attention.text import feeds_of, model, mutants
from tests.fixtures.point_mutants import point_mutant

ALLOWED = 2e-5
"""What a sum of four unit-normal samples and weights may be off by, with places about the image."""


def judge(proto: onnx.ModelProto) -> str:
    """What became of a model: found, none, invalid, or, in words, what is wrong."""
    try:
        feeds = feeds_of()
        before = _run(proto, feeds)
        graph, found = look(Graph.from_proto(proto))
    except (OptError, onnx.checker.ValidationError):  # an edit that no runtime takes
        return "invalid"
    for site, form in itertools.product(found.attentions, WHOLE):
        after = _run(lower(graph, [site], {site.id: form}).to_proto(), feeds)
        for a, b in zip(before, after, strict=True):
            if not np.allclose(a, b, rtol=1e-4, atol=ALLOWED, equal_nan=True):
                return f"wrong as {form} by {float(np.abs(a - b).max()):.3g}"
    return "found" if found.attentions else "none"


def _run(proto: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    return open_session(proto, threads=1, optimise=False).run(None, feeds)


def _edited(seed: int) -> Iterator[tuple[str, onnx.ModelProto]]:
    for k in itertools.count():
        changed, edit = point_mutant(model(), random.Random(f"{seed} {k}"))
        yield edit, changed


def main() -> int:
    """Judge everything and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    for name, default in (("mutants", 300), ("edits", 300), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    streams: dict[str, Iterator[tuple[str, onnx.ModelProto]]] = {
        "mutants": ((str(edits), model(edits)) for edits in mutants(options.seed)),
        "edits": _edited(options.seed),
    }
    failures = [
        failures_of(what, itertools.islice(stream, getattr(options, what)), judge) for what, stream in streams.items()
    ]
    return 1 if any(failures) else 0


if __name__ == "__main__":
    sys.exit(main())
