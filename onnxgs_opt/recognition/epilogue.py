"""Find the tensors that stand beside a sample: those that scale it and those that are added to it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import combinations
from typing import NamedTuple

from onnxgs_opt.recognition.algebra.expression import Expr
from onnxgs_opt.recognition.algebra.piecewise import Resolver, Split, Unresolved
from onnxgs_opt.recognition.algebra.polynomial import Number, Poly
from onnxgs_opt.recognition.axes import axes_along
from onnxgs_opt.recognition.lifting.lift import Lift
from onnxgs_opt.recognition.lifting.rule import Index
from onnxgs_opt.recognition.match import Match, Miss
from onnxgs_opt.samplers.site import Affine
from onnxgs_opt.samplers.view import View

MAX_CANDIDATES = 24
"""How many tensors are tried in twos and threes."""


class _Candidate(NamedTuple):
    """A tensor that lies as the output does, and what its elements are."""

    view: View
    poly: Poly


def affine_of(lift: Lift, index: Index, match: Match, like: Affine | None = None) -> Affine | Miss:
    """Find the tensors that a match's factor and addend are; `like` has those found at other sizes."""
    if match.is_plain:
        return Affine()
    names = None if like is None else like.names
    resolver = Resolver(())
    try:
        factor, addend = (resolver.evaluate(expr, ()) for expr in (match.factor, match.addend))
    except (Split, Unresolved):
        return Miss("what scales the pixels has no formula", 4, "GSO108")
    product = _product(factor, list(_candidates(lift, index, match.factor, resolver, names)))
    if product is None:
        return Miss(
            "every pixel is scaled alike, and no tensor along axes of the output holds that factor", 4, "GSO108"
        )
    addends = _sum(addend, list(_candidates(lift, index, match.addend, resolver, names)))
    if addends is None:
        return Miss("something is added to the sample, and no tensor along axes of the output holds it", 4, "GSO108")
    return Affine(product[0], product[1], addends)


def _candidates(
    lift: Lift, index: Index, value: Expr, resolver: Resolver, names: Collection[str] | None
) -> Iterator[_Candidate]:
    """Tensors that `value` may be made of: first those in the output's order of axes, later nodes first."""
    found: list[tuple[bool, int, View, Expr]] = []
    for (name, at), held in lift.values.items():
        constant = held.value is not None
        if lift.dtype_kind(name) not in "fb" or (names is not None and name not in names):
            continue
        if (constant and value.value is None) or not held.leaves <= value.leaves or (value.leaves and not held.leaves):
            continue
        groups = _groups(at, lift.shape(name), index)
        if groups is not None:
            axes = [axis for group in groups for axis in group]
            view = View(name, groups, units=len(at) - len(axes))
            found.append((axes == sorted(axes), lift.place_of(name), view, held))
    found.sort(key=lambda entry: entry[:2], reverse=True)
    for *_, view, held in found:
        try:
            yield _Candidate(view, resolver.evaluate(held, ()))
        except (Split, Unresolved):
            continue


def _groups(at: Index, shape: tuple[int, ...], index: Index) -> tuple[tuple[int, ...], ...] | None:
    """For each axis of the output, the tensor's axes along it; None where the tensor has an axis along none."""
    where = axes_along(at, shape)
    if where is None:
        return None
    groups = tuple((where.pop(i),) if i in where else () for i in index)
    return None if where else groups


def _product(factor: Poly, candidates: list[_Candidate]) -> tuple[Number, tuple[View, ...]] | None:
    """The number and the fewest tensors, at most three, whose product is `factor`; None where there are none."""
    if factor.constant is not None:
        return factor.constant, ()
    for one in candidates:
        scale = factor.over(one.poly)
        if scale is not None:
            return scale, (one.view,)
    for count in (2, 3):
        for several in combinations(candidates[:MAX_CANDIDATES], count):
            product = several[0].poly
            for candidate in several[1:]:
                product = product * candidate.poly
            scale = factor.over(product)
            if scale is not None:
                return scale, tuple(candidate.view for candidate in several)
    return None


def _sum(addend: Poly, candidates: list[_Candidate]) -> tuple[View, ...] | None:
    """The one or two tensors whose sum is `addend`; None where there are none."""
    if not addend:
        return ()
    for one in candidates:
        if one.poly == addend:
            return (one.view,)
    for several in combinations(candidates[:MAX_CANDIDATES], 2):
        if several[0].poly + several[1].poly == addend:
            return tuple(candidate.view for candidate in several)
    return None
