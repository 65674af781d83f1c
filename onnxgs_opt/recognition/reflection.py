"""Tell whether a coordinate was mirrored into the image, which reports call reflection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import product

from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.recognition.algebra.expression import Algebra, Expr, walk
from onnxgs_opt.recognition.algebra.piecewise import Cell, Coordinate, Resolver, Split, Unresolved
from onnxgs_opt.recognition.algebra.polynomial import Number
from onnxgs_opt.recognition.lifting.lift import Lift
from onnxgs_opt.recognition.lifting.shape_functions import Fact
from onnxgs_opt.recognition.match import Match
from onnxgs_opt.samplers.border import HALF, clamp, mirror

SPANS = (
    Fraction(-11, 4),
    Fraction(-13, 8),
    Fraction(-2, 3),
    Fraction(-1, 7),
    Fraction(2, 5),
    Fraction(9, 8),
    Fraction(17, 6),
)
"""Where it is looked at, in units of the image's size: inside, and up to three images away on both sides."""


def is_mirrored(algebra: Algebra, value: Expr, size: int) -> bool:
    """Whether `value` is an affine function of one leaf, reflected at the image's borders and clamped.

    This names a policy and decides nothing: the sampler is proven on the mirrored coordinates themselves.
    """
    last, points = algebra.num(size - 1), [size * span for span in SPANS]
    mirrored = [
        [clamp(algebra, mirror(algebra, algebra.num(p), last, beyond), last).value for p in points]
        for beyond in (Fraction(0), HALF)
    ]
    # What is mirrored at edges may be in the expression as the distance from the edge only.
    for (leaf, slope, offset), beyond in product(_affine_parts(value), (Fraction(0), HALF)):
        resolver = Resolver([Coordinate(leaf, slope, algebra.num(offset - beyond))], algebra.effort)
        if [_at(resolver, value, p) for p in points] in mirrored:
            return True
    return False


def _affine_parts(value: Expr) -> Iterator[tuple[Expr, Number, Number]]:
    """Every leaf, slope and offset of which an affine function is part of the expression."""
    for expr in walk((value,)):
        terms = expr.terms
        if len(terms) == 1 and terms[0][0].op == "elem" and expr.op in ("lin", "elem"):
            leaf, slope = terms[0]
            yield (leaf, slope, expr.constant) if slope > 0 else (leaf, -slope, -expr.constant)


def _at(resolver: Resolver, value: Expr, p: Fraction) -> Number | None:
    whole = p.numerator // p.denominator
    try:
        return resolver.evaluate(value, (Cell(whole, whole, p - whole, p - whole, True, True),)).constant
    except (Split, Unresolved):
        return None


def mirrors_coordinates(scope: Scope, facts: Mapping[str, Fact], match: Match) -> bool:
    """Whether the model mirrors every coordinate of a match into the image before it rounds it."""
    lift = Lift(scope, facts)
    for axis in match.axes:
        name, index, _ = axis.leaf.args
        copied = tuple(_copied(lift.algebra, i) for i in index)  # type: ignore[attr-defined]
        if not is_mirrored(lift.algebra, lift.value(str(name), copied), axis.size):
            return False
    return True


def _copied(algebra: Algebra, index: Expr) -> Expr:
    """The same index variable or number in another algebra."""
    if index.value is not None:
        return algebra.num(index.value)
    return algebra.idx(*index.args) if index.op == "idx" else algebra.zero  # type: ignore[arg-type]
