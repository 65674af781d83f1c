"""What comes of a model whose sizes are at stake: refused, lowered and the same, or lowered and wrong."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from onnxgs_opt.api import look
from onnxgs_opt.errors import RunError
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import Target
from onnxgs_opt.passes.lower_sites import lower
from onnxgs_opt.recognition import KINDS
from onnxgs_opt.runtime.ort import Session, open_session
from tests.campaigns.sizes.models import USUAL, Generated, Sizes

FIRST = ("merged-gather", "row-gather", "lerp-gather", "plugin", "roi-align")
"""Lowerings that take every such model."""

TRIED = (
    USUAL,
    USUAL | {"H": 2, "W": 2, "N": 1},
    USUAL | {"C": 1, "H": 3, "W": 2111, "P": 1, "Q": 60},
    USUAL | {"C": 1, "H": 331, "W": 3, "N": 9},
)
"""Sizes that every model which is found is run at."""


def judged(case: Generated) -> tuple[str, str]:
    """("refused" or "lowered" or "wrong" or "fails", why); a generated model is only proven, not validated."""
    return _judged(case, (*TRIED, *case.shows))


def judged_between(case: Generated) -> tuple[str, str]:
    """The same where only some sizes are asked for: about those at which the model shows what it changes, or few."""
    rng = random.Random(case.name)
    box = {}
    for name in rng.choice(("WH", "WHN")):
        near = rng.choice([*(sizes[name] for sizes in case.shows), rng.randint(2, 60)])
        least = max(1, near + rng.choice((-30, -8, -3, -1, 0, 1, 2)))
        box[name] = least, least + rng.choice((0, 0, 1, 2, 7, 25, 400))
    ends = {name: box.get(name, (2, 40)) for name in "WHN"}
    sets = [{name: rng.choice((lo, hi, rng.randint(lo, hi))) for name, (lo, hi) in ends.items()} for _ in range(8)]
    shown = ({name: min(max(sizes[name], lo), hi) for name, (lo, hi) in ends.items()} for sizes in case.shows)
    wanted = [USUAL | {"C": 1, "P": 3, "Q": 40} | sizes for sizes in (*shown, *sets)]
    return _judged(case, [s for s in wanted if s["N"] * s["H"] * s["W"] < MOST], box)


def _judged(
    case: Generated, wanted: Iterable[Sizes], box: Mapping[str, tuple[int, int]] | None = None
) -> tuple[str, str]:
    model = case.limits.model()
    graph, found = look(Graph.from_proto(model), ranges=box)
    if not found.samplers:
        return "refused", "; ".join(f"{miss.code} {miss.condition}" for miss in found.near_misses)
    (site,) = found.samplers
    refusals = KINDS[site.kind].refusals(site, Target(graph.opset, "ort-cpu"))
    turn = sum(map(ord, case.name)) % len(FIRST)
    name = next(n for n in (*FIRST[turn:], *FIRST) if n not in refusals)
    lowered = lower(graph, found.sites, {site.id: name}).to_proto()
    try:
        pair = Pair.of(model, lowered)
    except RunError as reason:
        return "wrong", f"{name} does not load: {reason}"
    for sizes in wanted:
        if gap := pair.differs(inputs(model, sizes)):
            return "wrong", f"{name} {gap} at {sizes}, proven for {site.domain and site.domain.words}"
    return "lowered", name


MOST = 2**24
"""Pixels of the images that are run."""


def inputs(model: onnx.ModelProto, sizes: Mapping[str, int]) -> dict[str, Any]:
    """Images of small numbers; coordinates over the image and beyond, half of them near its ends."""
    rng = np.random.default_rng(0)
    feeds = {}
    for info in model.graph.input:
        shape = [sizes[dim.dim_param] for dim in info.type.tensor_type.shape.dim]
        values = rng.random(shape)
        span = {"x": sizes["W"], "y": sizes["H"]}.get(info.name)
        if span is not None:
            near = rng.random(shape) < 0.5
            values = np.where(near, span - 4 + 5 * values, (span + 3) * values - 1.5)
        feeds[info.name] = values.astype(np.float32)
    return feeds


@dataclass(frozen=True)
class Pair:
    """A model and what was made of it, ready to run."""

    before: Session
    after: Session

    @classmethod
    def of(cls, model: onnx.ModelProto, other: onnx.ModelProto) -> Pair:
        """The model as it is, the other one with all optimisations."""
        return cls(open_session(model, optimise=False, threads=1), open_session(other, threads=1))

    def differs(self, feeds: Mapping[str, Any], atol: float = 1e-3) -> str | None:
        """How much they differ, in words; "" where they do not, None where the model itself does not run."""
        try:
            expected = self.before.run(None, feeds)
        except RunError:
            return None
        try:
            got = self.after.run(None, feeds)
        except RunError as reason:
            return f"does not run: {reason}"
        return next(filter(None, (_gap(a, b, atol) for a, b in zip(expected, got, strict=True))), "")


def _gap(a: Any, b: Any, atol: float) -> str:
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype != b.dtype:
        return f"is {b.dtype}{b.shape} instead of {a.dtype}{a.shape}"
    if a.dtype.kind not in "fiub" or not a.size:
        return ""
    same = np.isclose(a.astype(np.float64), b.astype(np.float64), rtol=1e-3, atol=atol, equal_nan=True)
    return "" if same.all() else f"is {b[~same][0]} instead of {a[~same][0]}"
