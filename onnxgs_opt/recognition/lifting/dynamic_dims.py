"""Sizes of the dynamic dims at which a model is consistent."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

from onnxgs_opt.ir.constants import is_size
from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.recognition.lifting.shape_functions import Conflict, Fact
from onnxgs_opt.recognition.lifting.shape_inference import dim_name, infer


def symbols(scope: Scope) -> list[str]:
    """Names of the dynamic dims of the inputs, in order; an unnamed dim gets the name `input:axis`."""
    dynamic = ((t, axis) for t in scope.inputs for axis, dim in enumerate(t.shape or ()) if not is_size(dim))
    return list(dict.fromkeys(dim_name(t, axis) for t, axis in dynamic))


def assignments(names: list[str]) -> list[dict[str, int]]:
    """Sizes to analyse dynamic dims at: distinct ones, so that no two dims are confused, the small ones included.

    The expressions are polynomials of low degree in each dim, with breakpoints at a dim plus or minus one or two, so
    what holds at a large, a middle and a minimal size holds at all.
    """
    count = len(names)
    if not count:
        return [{}]
    large = {name: 7 + 2 * k for k, name in enumerate(names)}
    mixed = {name: 4 + (3 * k) % (count + 3) + k for k, name in enumerate(names)}
    small = {name: 2 + (k % 2) for k, name in enumerate(names)}
    return [large, mixed, small]


def settle(scope: Scope, sizes: Mapping[str, int]) -> tuple[dict[str, int], dict[str, Fact]]:
    """Sizes at which the model is consistent, as near to `sizes` as possible, and the facts there.

    Exporters name dims that are one and the same differently, and freeze others while they call them dynamic. Where all
    `sizes` are distinct, two dims that do not fit tell which name has to change; where products do not fit, dims at the
    same place of two inputs are tried as one.
    """
    best, facts = _fitted(scope, sizes)
    pairs = _namesakes(scope) if _unknown(facts) else []
    for joined in [*([pair] for pair in pairs), pairs]:
        trial = dict(sizes)
        for one, other in joined:
            trial[other] = trial[one]
        found, known = _fitted(scope, trial)
        if _unknown(known) < _unknown(facts):
            best, facts = found, known
    return best, facts


def _fitted(scope: Scope, sizes: Mapping[str, int]) -> tuple[dict[str, int], dict[str, Fact]]:
    """Sizes that conflicts have been taken out of, one after the other, and the facts there."""
    current = dict(sizes)
    for _ in range(len(sizes) + 1):
        conflicts: list[Conflict] = []
        facts = infer(scope, current, conflicts=conflicts)
        fixed = next((f for c in conflicts if (f := _fixed(current, c)) is not None), None)
        if fixed is None:
            break
        current = fixed
    return current, facts


def _unknown(facts: Mapping[str, Fact]) -> int:
    return sum(fact.shape is None for fact in facts.values())


def _namesakes(scope: Scope) -> list[tuple[str, str]]:
    """Pairs of names of dynamic dims that stand at the same place of two inputs."""
    places: dict[int, dict[str, None]] = {}
    for tensor in scope.inputs:
        for axis, dim in enumerate(tensor.shape or ()):
            if not isinstance(dim, int):
                places.setdefault(axis, {})[dim_name(tensor, axis)] = None
    return [pair for names in places.values() for pair in combinations(names, 2)]


def tied(asked: Mapping[str, int], settled: Mapping[str, int], sizes: Mapping[str, int]) -> dict[str, int]:
    """Other `sizes`, with those names made equal that `settled` has equal and `asked` had not, and fixed ones fixed."""
    names = {size: name for name, size in asked.items()}
    out = dict(sizes)
    for name, size in settled.items():
        if size != asked[name]:
            out[name] = sizes[names[size]] if size in names else size
    return out


def _fixed(sizes: Mapping[str, int], conflict: Conflict) -> dict[str, int] | None:
    for wrong, right in (conflict.dims, conflict.dims[::-1]):
        if wrong in sizes.values():
            return {name: right if size == wrong else size for name, size in sizes.items()}
    return None
