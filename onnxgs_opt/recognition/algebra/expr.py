"""Scalar expressions as data: what an `Expr` is, and every part of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from onnxgs_opt.recognition.algebra.polynomial import Number

Op = Literal["lin", "idx", "elem", "mul", "floor", "round", "ge", "select"]
ROUNDINGS = ("floor", "round")
"""What makes an integer of any number."""

Terms = tuple[tuple["Expr", Number], ...]
Bound = Number | None  # None: unbounded


class Expr:
    """One scalar; made by an `Algebra` only, equal exactly when identical.

    `lo`, `hi`: inclusive bounds where known. `integral`: always an integer. `leaves`: the data-dependent elements it
    depends on, those inside the index of a read included. `floored`: a floor or a condition is part of its value.
    `value` is the number this is, None when it is not constant; `constant` the constant term of a linear combination, 0
    for anything else.
    """

    __slots__ = ("args", "below", "constant", "floored", "hi", "integral", "leaves", "lo", "op", "serial", "value")

    def __init__(self, serial: int, op: Op, args: tuple[object, ...]) -> None:
        self.serial = serial
        self.op = op
        self.args = args
        self.constant: Number = args[0] if op == "lin" else 0  # type: ignore[assignment]
        self.value: Number | None = args[0] if op == "lin" and not args[1] else None  # type: ignore[assignment]
        self.lo: Bound = None
        self.hi: Bound = None
        self.integral = False
        self.floored = False
        self.leaves: frozenset[Expr] = frozenset()
        self.below: tuple[Expr, ...] | None = None  # its operands, once they were asked for

    @property
    def terms(self) -> Terms:
        """The linear combination that this is, without its constant."""
        return self.args[1] if self.op == "lin" else ((self, 1),)  # type: ignore[return-value]

    @property
    def is_read(self) -> bool:
        """Whether it is an element whose index depends on data."""
        return self.op == "elem" and self not in self.leaves

    @property
    def is_condition(self) -> bool:
        """Whether it is 1 or 0, as a mask is."""
        return self.integral and self.lo == 0 and self.hi == 1

    def __repr__(self) -> str:
        if self.op == "lin":
            return "(" + " + ".join([f"{c}*{t!r}" for t, c in self.terms] + [str(self.constant)]) + ")"
        return f"{self.op}{self.args}"


def walk(roots: Sequence[Expr]) -> Iterator[Expr]:
    """Every expression below `roots`, each once, operands first."""
    seen: set[Expr] = set()
    stack: list[Expr | None] = list(roots)
    while stack:
        expr = stack.pop()
        if expr is None:  # the operands of the one below were all yielded
            yield stack.pop()  # type: ignore[misc]
        elif expr not in seen:
            seen.add(expr)
            stack += expr, None
            stack += children(expr)


def masked(product: Expr) -> Expr | None:
    """What a condition is multiplied with; None where neither factor is one."""
    a, b = children(product)
    return b if a.is_condition else a if b.is_condition else None


def children(expr: Expr) -> tuple[Expr, ...]:
    """The operands of an expression, the index of an element included."""
    if expr.below is None:
        expr.below = _operands(expr)
    return expr.below


def _operands(expr: Expr) -> tuple[Expr, ...]:
    if expr.op == "lin":
        return tuple([t for t, _ in expr.terms])
    if expr.op == "elem":
        return expr.args[1]  # type: ignore[return-value]
    return tuple([a for a in expr.args if isinstance(a, Expr)])
