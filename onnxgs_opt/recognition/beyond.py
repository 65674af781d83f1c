"""Whether what is proven of bounded coordinates holds beyond their bounds; where not, nothing is checked there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.recognition.cut_points import Cuts
from onnxgs_opt.recognition.known_proofs import Proofs
from onnxgs_opt.recognition.lifting.shape_functions import Fact
from onnxgs_opt.recognition.match import Match
from onnxgs_opt.recognition.operands import stays_inside


def as_far_as_bounds(
    match: Match,
    proofs: Proofs,
    cuts: Cuts,
    scope: Scope,
    facts: Mapping[str, Fact],
    output: str,
    samples: frozenset[str],
) -> Match:
    """The match of `output`, `within` where its coordinates are cut at bounds beyond which it is another function.

    A clamp in front of the cut keeps them there; the cone behind it may compute anything else. What stays inside the
    image is checked there alone.
    """
    cut = cuts.coordinates or cuts.counted
    if match.within or not cut or not any(axis.is_bounded for axis in match.axes) or stays_inside(match):
        return match
    lift = cuts.lift(scope, facts, output, samples, bounded=False)
    root, _ = lift.root(output)
    wide = proofs.recognise(lift.algebra, root, cuts.grids, True, match.sampler)
    same = isinstance(wide, Match) and (wide.policy, wide.kernels) == (match.policy, match.kernels)
    return replace(match, within=not same)
