"""What was proven of an expression serves every expression of the same form: sites alike are proven once.

Two expressions have the same form where they differ in the names of tensors alone, the order in which they were made
and the alphabetical order of the names included, since both decide which of several answers is given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from onnxgs_opt.recognition.algebra.effort import Exhausted
from onnxgs_opt.recognition.algebra.expression import Algebra, Expr, children, walk
from onnxgs_opt.recognition.family import recognise_any
from onnxgs_opt.recognition.match import Match, Miss
from onnxgs_opt.recognition.matcher import recognise
from onnxgs_opt.recognition.ties import whatever_the_ties
from onnxgs_opt.samplers.sampler import Sampler

NUMBERED = re.compile("\0(\\d+)\0")
Form = tuple[object, ...]


class Proofs:
    """What `recognise` said, by the form of what it was asked."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._known: dict[tuple[Form, bool, bool, Sampler | None], tuple[Match | Miss | None, list[Expr]]] = {}

    def recognise(
        self,
        algebra: Algebra,
        root: Expr,
        grids: bool = False,
        whole_family: bool = False,
        like: Sampler | None = None,
    ) -> Match | Miss:
        """What `recognise` says of `root`, or `recognise_any` does; where that is too much work, it is every time."""
        order = sorted(walk((root,)), key=lambda expr: expr.serial)
        names = sorted({str(expr.args[0]) for expr in order if expr.op == "elem"})
        form = _form(order, names), grids, whole_family, like
        if form not in self._known:
            copies = _copied(order, names)
            ask = partial(recognise_any if whole_family else recognise, copies[1], grids=grids, like=like)
            try:
                found = ask(copies[0][-1])
            except Exhausted:
                found = None
            if isinstance(found, Miss):
                found = whatever_the_ties(copies[1], copies[0][-1], ask) or found
            self._known[form] = found, copies[0]
        found, copied = self._known[form]
        if found is None:
            raise Exhausted
        return _Names(algebra, names, dict(zip(copied, order, strict=True))).told(found)


def _form(order: Sequence[Expr], names: Sequence[str]) -> Form:
    place = {expr: k for k, expr in enumerate(order)}
    number = {name: k for k, name in enumerate(names)}
    return tuple(_entry(expr, place, number) for expr in order)


def _entry(expr: Expr, place: Mapping[Expr, int], number: Mapping[str, int]) -> tuple[object, ...]:
    below = tuple(place[child] for child in children(expr))
    own: tuple[object, ...] = ()
    match expr.op:
        case "lin":
            own = expr.constant, tuple(factor for _, factor in expr.terms) if below else ()
        case "elem":
            own = number[str(expr.args[0])], expr.args[2]
        case "idx":
            own = expr.args
    return expr.op, below, own, expr.lo, expr.hi, expr.integral, expr.floored


def _copied(order: Sequence[Expr], names: Sequence[str]) -> tuple[list[Expr], Algebra]:
    """Expressions in an algebra of their own, in which tensors have numbers for names."""
    algebra = Algebra()
    number = {name: f"\0{k:04}\0" for k, name in enumerate(names)}
    copies: dict[Expr, Expr] = {}
    for expr in order:
        copies[expr] = algebra.copied(expr, copies, number)
    return list(copies.values()), algebra


@dataclass(frozen=True)
class _Names:
    """From what was said of the copies to the same of what was asked, `origins` by copy."""

    algebra: Algebra
    names: Sequence[str]
    origins: dict[Expr, Expr]

    def told(self, found: Match | Miss) -> Match | Miss:
        """A match or a miss, of the names and expressions asked for."""
        if isinstance(found, Miss):
            split = None if found.split is None else (self._named(found.split[0]), *found.split[1:])
            about = None if found.about is None else self._origin(found.about)
            condition, like = self._named(found.condition), self._named(found.like)
            return replace(found, condition=condition, like=like, split=split, about=about)
        axes = [replace(a, leaf=self._origin(a.leaf), offset=self._origin(a.offset)) for a in found.axes]
        return replace(
            found,
            image=self._named(found.image),
            axes=tuple(axes),
            index=tuple(None if i is None else self._origin(i) for i in found.index),
            factor=self._origin(found.factor),
            addend=self._origin(found.addend),
        )

    def _named(self, text: str) -> str:
        return NUMBERED.sub(lambda number: self.names[int(number[1])], text)

    def _origin(self, expr: Expr) -> Expr:
        """What an expression is a copy of; one that was made of copies is made of what these are copies of."""
        if expr not in self.origins:
            self.origins[expr] = self._made(expr)
        return self.origins[expr]

    def _made(self, expr: Expr) -> Expr:
        if expr.op == "lin":
            total = self.algebra.num(expr.constant)
            for term, factor in expr.terms if expr.value is None else ():
                total = self.algebra.add(total, self._origin(term), factor)
            return total
        below = {child: self._origin(child) for child in children(expr)}
        return self.algebra.copied(expr, below, {f"\0{k:04}\0": name for k, name in enumerate(self.names)})
