"""Samplers of coordinates that are rounded to the nearest integer where it makes no difference which of two is taken.

Halfway between two integers ONNX's Round takes the even one. round(x - 1/2) is so floor(x), but for every other whole
x, where it is one less; the sample of a kernel whose weights are continuous is the same from either pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import product
from operator import is_

from onnxgs_opt.recognition.algebra.effort import Exhausted
from onnxgs_opt.recognition.algebra.expression import Algebra, Expr, children, walk
from onnxgs_opt.recognition.match import Match, Miss
from onnxgs_opt.samplers.kernel import Rounding, half_down, half_up

MAX_ROUNDED = 3
"""Coordinates that are rounded, one an axis; ties of each are taken upwards and downwards."""

Ask = Callable[[Expr], "Match | Miss"]


def whatever_the_ties(algebra: Algebra, root: Expr, ask: Ask) -> Match | None:
    """The sampler that `ask` finds of `root`, one and the same whichever integer each tie is rounded to; else None."""
    order = list(walk((root,)))
    rounded = [expr for expr in order if expr.op == "round" and expr.leaves]
    if not 0 < len(rounded) <= MAX_ROUNDED or sum(expr.is_read for expr in order) < 2:
        return None
    found: Match | None = None
    with suppress(Exhausted):
        for other in _rounded_otherwise(algebra, order, rounded):
            match = ask(other)
            if isinstance(match, Miss) or (found is not None and match != found):
                return None
            found = match
        return found
    return None


def _rounded_otherwise(algebra: Algebra, order: list[Expr], rounded: list[Expr]) -> Iterator[Expr]:
    """The last expression with the ties of each rounding taken upwards, then with those of some taken downwards."""
    for ways in product((half_up, half_down), repeat=len(rounded)):
        made: dict[Expr, Expr] = {}
        instead = dict(zip(rounded, ways, strict=True))
        for expr in order:
            made[expr] = _made_again(algebra, expr, made, instead)
        yield made[order[-1]]


def _made_again(algebra: Algebra, expr: Expr, made: Mapping[Expr, Expr], instead: Mapping[Expr, Rounding]) -> Expr:
    """An expression of the operands that are `made` for its own, rounded otherwise where `instead` says so."""
    parts = [made[part] for part in children(expr)]
    if expr in instead:
        return instead[expr](algebra, parts[0])
    if all(map(is_, parts, children(expr))):
        return expr
    match expr.op:
        case "lin":
            total = algebra.num(expr.constant)
            for part, (_, factor) in zip(parts, expr.terms, strict=True):
                total = algebra.add(total, part, factor)
            return total
        case "elem":
            name, _, sizes = expr.args
            return algebra.elem(str(name), tuple(parts), expr.lo, expr.hi, expr.integral, sizes)  # type: ignore[arg-type]
        case _:
            again: Expr = getattr(algebra, expr.op)(*parts)
            return again
