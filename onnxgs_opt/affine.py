"""What a sum of taps does to the sample beside sampling: tensors that scale it, and tensors that are added."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from onnxgs_opt.bilinear import Match, Miss
from onnxgs_opt.expr import Expr
from onnxgs_opt.layout import Index
from onnxgs_opt.lift import Lift
from onnxgs_opt.poly import Number
from onnxgs_opt.site import Affine, View


def affine_of(lift: Lift, index: Index, match: Match, like: Affine | None = None) -> Affine | Miss:
    """Find the tensors that a match's factor and addend are; `like` has those found at other sizes."""
    names = None if like is None else like.names
    scale, parts = _product(match.factor)
    factors = _views(lift, index, [match.factor] if scale == 1 else [], names) or _views(lift, index, parts, names)
    if factors is None:
        return Miss("no tensor that lies as the output does holds a factor of all taps", 4, "GSO108")
    whole = [] if match.addend.value == 0 else [match.addend]
    addends = _views(lift, index, whole, names)
    if addends is None:
        addends = _views(lift, index, _sum(match.addend), names)
    if addends is None:
        return Miss("no tensor that lies as the output does holds what is added to the taps", 4, "GSO108")
    return Affine(scale, tuple(factors), tuple(addends))


def _product(expr: Expr) -> tuple[Number, list[Expr]]:
    """A number and what it is multiplied by."""
    if expr.value is not None:
        return expr.value, []
    if expr.op == "lin" and expr.constant == 0 and len(expr.terms) == 1:
        ((term, scale),) = expr.terms
        return scale, _product(term)[1]
    if expr.op == "mul":
        left, right = expr.args
        return 1, [*_product(left)[1], *_product(right)[1]]  # type: ignore[arg-type]
    return 1, [expr]


def _sum(expr: Expr) -> list[Expr]:
    """The terms of a sum without numbers; the sum itself where it has some."""
    plain = expr.constant == 0 and all(scale == 1 for _, scale in expr.terms)
    return [term for term, _ in expr.terms] if plain else [expr]


def _views(lift: Lift, index: Index, parts: Iterable[Expr], names: Collection[str] | None) -> list[View] | None:
    found = [_view(lift, index, part, names) for part in parts]
    return None if None in found else [view for view in found if view is not None]


def _view(lift: Lift, index: Index, value: Expr, names: Collection[str] | None) -> View | None:
    """The tensor that holds a value along the axes of the output: the one made last of those in the same order."""
    best: tuple[bool, int, View] | None = None
    for (name, at), held in lift.values.items():
        if held is not value or (names is not None and name not in names) or lift.dtype_kind(name) != "f":
            continue
        groups = _groups(at, lift.shape(name), index)
        if groups is None:
            continue
        axes = [axis for group in groups for axis in group]
        rank = axes == sorted(axes), lift.place_of(name)
        if best is None or rank > best[:2]:
            best = *rank, View(name, groups, units=len(at) - len(axes))
    return None if best is None else best[2]


def _groups(at: Index, shape: tuple[int, ...], index: Index) -> tuple[tuple[int, ...], ...] | None:
    """For each axis of the output the axis of a tensor that runs along it; None where one runs along none."""
    where: dict[Expr, int] = {}
    for axis, (i, size) in enumerate(zip(at, shape, strict=True)):
        if i.op == "idx" and i not in where and i.hi == size - 1:
            where[i] = axis
        elif not (size == 1 and i.value == 0):
            return None
    groups = tuple((where.pop(i),) if i in where else () for i in index)
    return None if where else groups
