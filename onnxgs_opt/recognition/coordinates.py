"""The coordinates that reads depend on, and where they can be."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence, Set
from fractions import Fraction

from onnxgs_opt.recognition.algebra.expression import ROUNDINGS, Algebra, Expr, children, masked, walk
from onnxgs_opt.recognition.algebra.piecewise import Cell, Coordinate
from onnxgs_opt.recognition.algebra.polynomial import Number
from onnxgs_opt.recognition.match import Miss
from onnxgs_opt.recognition.reasons import source

HALF = Fraction(1, 2)

PIECE = 8
"""Steps that an affine function counts for: each is added to several times."""


def in_indices(reads: Sequence[Expr]) -> Iterator[Expr]:
    """Every expression in the indices of reads, each once, operands first."""
    return walk(tuple(i for read in reads for i in children(read)))


def coordinates_of(algebra: Algebra, reads: Sequence[Expr]) -> list[Coordinate] | Miss:
    """The coordinates that the reads' indices take the floor of, each up to an integer."""
    slopes: dict[Expr, dict[tuple[Number, Expr], None]] = {}
    for floor in in_indices(reads):
        if floor.op not in ROUNDINGS:
            continue
        for piece in pieces(algebra, floor.args[0]):  # type: ignore[arg-type]
            key = _moved(algebra, piece)
            if key is not None:
                slopes.setdefault(key[0], {})[key[1:]] = None
    leaves = {leaf for read in reads for leaf in read.leaves if not leaf.integral}
    if not slopes or leaves - set(slopes):
        none = Miss("no coordinate is rounded to say where it reads", len(reads), "GSO109")
        return not_rounded(algebra, reads, leaves - set(slopes)) or none
    out = []
    for leaf, found in slopes.items():
        if len(found) > 1:
            told = f"{source(leaf)} is rounded twice, each time scaled or shifted otherwise"
            return Miss(told, len(reads), "GSO108", apart=True)
        slope, offset = next(iter(found))
        out.append(Coordinate(leaf, slope, offset))
    return sorted(out, key=lambda c: c.leaf.serial)


def not_rounded(algebra: Algebra, reads: Sequence[Expr], leaves: Set[Expr] = frozenset()) -> Miss | None:
    """Why no index is the floor of a coordinate, or that of `leaves` is none; None where no reason is seen."""
    for floor in in_indices(reads):
        if floor.op in ROUNDINGS and floor.leaves & leaves:
            mixed = " and ".join(source(leaf) for leaf in sorted(floor.leaves, key=lambda leaf: leaf.serial)[:3])
            condition = f"what is rounded is no coordinate by itself but made of {mixed}"
            return Miss(condition, len(reads), "GSO109", about=floor)
    whole = {leaf for read in reads for leaf in read.leaves if leaf.integral and leaf.lo is None}  # no table's
    for leaf in sorted(leaves or whole, key=lambda leaf: leaf.serial):
        condition = f"{source(leaf)} says where to read as it stands: no coordinate is rounded to it"
        return Miss(condition, len(reads), "GSO109", about=leaf)
    return None


def choosers(root: Expr, coordinates: Sequence[Coordinate]) -> list[Coordinate]:
    """The coordinates that say which element is read and weigh none: an item of a batch that data choose, say."""
    weighing: set[Expr] = set()
    seen: set[Expr] = set()
    pending = [root]
    while pending:
        expr = pending.pop()
        if expr in seen:
            continue
        seen.add(expr)
        if expr.op == "elem":
            weighing.add(expr)
        else:
            pending += children(expr)
    return [c for c in coordinates if c.leaf not in weighing]


def grids_of(algebra: Algebra, reads: Sequence[Expr]) -> dict[Expr, Expr]:
    """Of each leaf whose floor the reads' indices add a grid to, always the same but for a constant, that grid.

    floor(p) + i is floor(p + i) where i is whole: the coordinate is the sum, which the model need not have.
    """
    found: dict[Expr, set[Expr]] = {}
    for expr in in_indices(reads):
        floors = [(t, c) for t, c in expr.terms if t.op == "floor" and t.leaves] if expr.op == "lin" else []
        if len(floors) != 1 or abs(floors[0][1]) != 1:
            continue
        (floor, sign), rest = floors[0], algebra.num(0)
        for term, factor in expr.terms:
            rest = rest if term is floor else algebra.add(rest, term, factor * sign)
        for piece in pieces(algebra, floor.args[0]):  # type: ignore[arg-type]
            leaf, slope = next((t, c) for t, c in piece.terms if t.leaves)
            found.setdefault(leaf, set()).add(rest if slope > 0 else algebra.scale(rest, -1))
    whole = {leaf: next(iter(grids)) for leaf, grids in found.items() if len(grids) == 1}
    return {leaf: g for leaf, g in whole.items() if g.terms and all(t.op == "idx" for t, _ in g.terms) and g.integral}


def pieces(algebra: Algebra, expr: Expr) -> tuple[Expr, ...]:
    """The affine functions of one leaf that a clamped coordinate consists of, each once, its constant pieces left out.

    Conditions behind conditions share what they choose from, so that each expression is looked at once.
    """
    return _pieces(algebra, expr, {})


def _pieces(algebra: Algebra, expr: Expr, seen: dict[Expr, tuple[Expr, ...]]) -> tuple[Expr, ...]:
    if expr not in seen:
        seen[expr] = tuple(dict.fromkeys(_made_of(algebra, expr, seen)))
        algebra.effort.spend(PIECE * len(seen[expr]))
    return seen[expr]


def _made_of(algebra: Algebra, expr: Expr, seen: dict[Expr, tuple[Expr, ...]]) -> Sequence[Expr]:
    if not expr.leaves:
        return ()
    if expr.op == "elem":
        return (expr,)
    if expr.op == "select":
        _, a, b = expr.args
        return (*_pieces(algebra, a, seen), *_pieces(algebra, b, seen))  # type: ignore[arg-type]
    if expr.op == "mul":
        inner = masked(expr)
        return () if inner is None else _pieces(algebra, inner, seen)
    if expr.op == "lin":
        varying = [(t, c) for t, c in expr.terms if t.leaves]
        if len(varying) != 1:
            return ()
        (term, slope), rest = varying[0], algebra.add(expr, varying[0][0], -varying[0][1])
        return [algebra.add(rest, piece, slope) for piece in _pieces(algebra, term, seen)]
    return ()


def _moved(algebra: Algebra, piece: Expr) -> tuple[Expr, Number, Expr] | None:
    """(leaf, slope > 0, offset) of an affine piece; a negative one stands for a ceil, and offsets count modulo 1."""
    (leaf, slope), *more = [(t, c) for t, c in piece.terms if t.leaves]
    if more or leaf.op != "elem":
        return None
    sign = 1 if slope > 0 else -1
    offset = algebra.scale(algebra.add(piece, leaf, -slope), sign)
    whole = math.floor(offset.constant)
    return leaf, slope * sign, algebra.sub(offset, algebra.num(whole))


def domain(coordinate: Coordinate) -> list[Cell]:
    """The cells of floor(p) that the leaf's known bounds leave, or those that stand for all."""
    leaf, offset = coordinate.leaf, coordinate.offset
    if leaf.lo is None or leaf.hi is None or offset.lo is None or offset.hi is None:
        return [Cell(*coordinate.reach[:2]) if coordinate.reach else Cell()]
    low = coordinate.slope * leaf.lo + offset.lo
    high = coordinate.slope * leaf.hi + offset.hi
    first, last = math.floor(low), math.floor(high)
    if first == last:
        return [Cell(first, last)]
    over, rest = Fraction(low) - first, Fraction(high) - last
    before = [Cell(first, first, over, 1, True, False)] if over > HALF else []  # which is rounded up
    behind = [Cell(last, last, 0, rest, True, True)] if rest < HALF else []  # and down
    middle = Cell(first + len(before), last - len(behind))
    return [*before, *([middle] if last - first >= len(before) + len(behind) else []), *behind]
