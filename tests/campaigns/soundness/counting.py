"""What the campaigns of one kind of site share: their options, the counts, and how two models are compared."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
import onnx

from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.passes.lower_sites import lower
from onnxgs_opt.runtime.ort import open_session
from onnxgs_opt.samplers.site import AnySite
from tests.fixtures.recognised import prove_once

Case = TypeVar("Case")
Feeds = Mapping[str, np.ndarray]


def campaign(
    words: str | None,
    streams: Mapping[str, Callable[[int], Iterator[tuple[str, Case]]]],
    judge: Callable[[Case], str],
    count: int = 300,
    families: Sequence[str] = ("",),
    family_of: Callable[[Case], str] = lambda _: "",
) -> int:
    """Judge `count` cases of each stream, or as many as the command says, and print the counts; 1 where any failed.

    A stream gives names and cases of a seed; `words` say what the command does, in their first line. So many of each
    family are judged, of all families or of those that `--family` names.
    """
    parser = argparse.ArgumentParser(description=words.splitlines()[0] if words else None)
    for name, default in (*dict.fromkeys(streams, count).items(), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    if len(families) > 1:
        parser.add_argument("--family", choices=families, action="append", help="judge this one; may be repeated")
    options = parser.parse_args()
    families = getattr(options, "family", None) or families
    prove_once()
    failures = 0
    for family, (what, made) in itertools.product(families, streams.items()):
        own = (each for each in made(options.seed) if family_of(each[1]) == family)
        failures += failures_of(f"{family} {what}".strip(), itertools.islice(own, getattr(options, what)), judge)
    return 1 if failures else 0


def run(model: onnx.ModelProto, feeds: Feeds) -> list[np.ndarray]:
    """The outputs in onnxruntime, as the file has the model."""
    return open_session(model, threads=1, optimise=False).run(None, feeds)


def gap(graph: Graph, site: AnySite, form: str, cases: tuple[Feeds, list[np.ndarray]], allowed: float) -> str:
    """In words what is wrong with a lowering of a site, given inputs and what the model makes of them; else empty."""
    feeds, before = cases
    after = run(lower(graph, [site], {site.id: form}).to_proto(), feeds)
    for a, b in zip(before, after, strict=True):
        if not np.allclose(a, b, rtol=1e-4, atol=allowed, equal_nan=True):
            return f"wrong as {form} by {float(np.abs(a - b).max()):.3g}"
    return ""


def failures_of(what: str, cases: Iterable[tuple[str, Case]], judge: Callable[[Case], str]) -> int:
    """Judge cases by name, print those that are "wrong..." or spellings that are not "found", and the counts."""
    failures = 0
    counts: Counter[str] = Counter()
    for name, case in cases:
        became = judge(case)
        counts["wrong" if became.startswith("wrong") else became] += 1
        if became.startswith("wrong") or (what.endswith("spellings") and became != "found"):
            failures += 1
            sys.stderr.write(f"{name}: {became}\n")
    told = ", ".join(f"{number} {name}" for name, number in counts.items())
    sys.stdout.write(f"{what}: {sum(counts.values())} judged, {told}\n")
    return failures
