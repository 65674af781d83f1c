"""Resolve piecewise expressions on regions of the coordinates, one or several, where each is one polynomial.

A coordinate p = f + u has f = floor(p) and 0 <= u < 1. A `Cell` is a range of f and a range of u; a region is a cell an
axis. On a region every floor, clamp and mask has one value or the region is split where that value changes, so two
samplers are the same function iff their polynomials agree on every region.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import NamedTuple

from onnxgs_opt.recognition.algebra.cells import MAX_CELLS, MAX_CELLS_OF_PERIODS, Cell, split_floor, split_fraction
from onnxgs_opt.recognition.algebra.effort import Effort
from onnxgs_opt.recognition.algebra.expression import ROUNDINGS, Algebra, Bound, Expr, walk
from onnxgs_opt.recognition.algebra.failures import MANY, MIXED, UNBOUNDED, outside
from onnxgs_opt.recognition.algebra.polynomial import ONE, ZERO, Number, Poly

__all__ = ["MAX_CELLS", "Cell", "Coordinate", "Reach", "Resolver", "Split", "Unresolved", "partitions"]


HALF = Fraction(1, 2)
USUAL_DEGREE = 32
"""Products of a lower one are a step a term; of squares of squares each doubles what there is to write."""
DECISIONS = ("select", "ge", *ROUNDINGS)


class Unresolved(Exception):  # noqa: N818 (an answer, not a failure)
    """An expression that no split of a region makes polynomial; the message says why, `code` of which kind.

    `about` is the innermost expression that is none.
    """

    def __init__(self, message: str, code: str = "GSO103", extents: tuple[int, int] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.extents = extents
        self.about: Expr | None = None


class Reach(NamedTuple):
    """Floors from `lo` to `hi`, beyond which an expression repeats what it was one `period` before."""

    lo: int
    hi: int
    period: int


@dataclass(frozen=True)
class Coordinate:
    """A data-dependent leaf and the pixel coordinate p = slope * leaf + offset that it moves along.

    `reach` stands for all of its floors; None where no such range is known.
    """

    leaf: Expr
    slope: Number
    offset: Expr
    reach: Reach | None = None


class Split(Exception):  # noqa: N818 (control flow between a decision and the list of cells)
    """A condition changes inside the cell of one axis."""

    def __init__(self, axis: int, cells: tuple[Cell, ...]) -> None:
        super().__init__(axis)
        self.axis, self.cells = axis, cells


class Resolver:
    """Evaluates expressions on regions, a cell for each coordinate.

    Atoms of its polynomials: 2k and 2k+1 are f and u of coordinate k; the others are what does not depend on the
    coordinates, and the elements that are read where these point.
    """

    def __init__(self, coordinates: Sequence[Coordinate], effort: Effort | None = None) -> None:
        self._effort = effort or Effort()
        self._leaves = {c.leaf: axis for axis, c in enumerate(coordinates)}
        self._coordinates = tuple(coordinates)
        self._atoms: dict[object, int] = {}
        self._bounds: dict[int, tuple[Bound, Bound, bool]] = {}
        # What was read: the atom of each data-dependent element, its tensor and resolved index.
        self.elements: dict[int, tuple[str, tuple[Poly, ...]]] = {}
        self._parities: set[int] = set()
        # What the coordinates have no part in, by its atom.
        self.apart: dict[int, Expr] = {}
        self._memo: dict[tuple[Cell, ...], dict[Expr, Poly]] = {}
        self._cells: tuple[Cell, ...] = ()
        self._axis_memo: dict[tuple[int, Cell], dict[Expr, Poly]] = {}
        self._constant_memo: dict[Expr, Poly] = {}
        self._region_memo: dict[Expr, Poly] = {}
        self._memo_of: dict[frozenset[Expr], dict[Expr, Poly]] = {}
        self._axes: dict[frozenset[Expr], tuple[int, ...]] = {}
        self._partitions: dict[tuple[object, ...], list[Cell]] = {}

    # ---- entry points ---------------------------------------------------------------------------------------------

    def evaluate(self, expr: Expr, cells: Sequence[Cell]) -> Poly:
        """The polynomial that `expr` is on the region; Split when it is more than one, Unresolved when none."""
        if (region := tuple(cells)) != self._cells:
            self._cells, self._memo_of = region, {}
            self._region_memo = self._memo.setdefault(region, {})
        return self._value(expr)

    def partition(self, axis: int, cells: Sequence[Cell], roots: Sequence[Expr]) -> list[Cell]:
        """Split `cells` of one axis until every condition that depends on this axis alone is decided."""
        key = axis, tuple(cells), tuple(roots)
        if key not in self._partitions:
            self._partitions[key] = self._partition(axis, cells, roots)
        return list(self._partitions[key])

    def _partition(self, axis: int, cells: Sequence[Cell], roots: Sequence[Expr]) -> list[Cell]:
        leaf = frozenset((self._coordinates[axis].leaf,))
        conditions = [e for e in walk(roots) if e.op in ("ge", *ROUNDINGS) and e.leaves == leaf]
        most = MAX_CELLS if self._coordinates[axis].reach is None else MAX_CELLS_OF_PERIODS
        settled: list[Cell] = []
        pending: list[tuple[Cell, Sequence[Expr]]] = [(cell, conditions) for cell in reversed(cells)]
        while pending:
            if len(settled) + len(pending) > most:
                raise Unresolved(MANY)
            cell, open_ones = pending.pop()
            parts, left = self._parts(axis, cell, open_ones)
            pending.extend((part, left) for part in reversed(parts))
            settled += () if parts else (cell,)
        return settled

    def _parts(self, axis: int, cell: Cell, conditions: Sequence[Expr]) -> tuple[tuple[Cell, ...], Sequence[Expr]]:
        """What a cell of `axis` is to be split into, for a condition that changes in it; nothing if none.

        And the conditions that may change in a part: what has one value on the whole has that on every part.
        """
        region = [Cell()] * len(self._coordinates)
        region[axis] = cell
        unresolved: list[Expr] = []
        for k, condition in enumerate(conditions):
            try:
                self.evaluate(condition, region)
            except Unresolved:
                unresolved.append(condition)
            except Split as split:
                if split.axis == axis:
                    return split.cells, (*unresolved, *conditions[k:])
                unresolved.append(condition)
        return (), ()

    # ---- evaluation -----------------------------------------------------------------------------------------------

    def _value(self, expr: Expr) -> Poly:
        memo = self._memo_of.get(expr.leaves)
        if memo is None:
            memo = self._memo_of[expr.leaves] = self._memo_for(expr)
        found = memo.get(expr)
        if found is None:
            try:
                found = memo[expr] = self._compute(expr)
            except Unresolved as reason:
                reason.about = reason.about or expr
                raise
        return found

    def _memo_for(self, expr: Expr) -> dict[Expr, Poly]:
        """Values are kept for as long as the cells that they depend on stay the same."""
        axes = self._axes.get(expr.leaves)
        if axes is None:
            found = sorted(self._leaves[leaf] for leaf in expr.leaves if leaf in self._leaves)
            axes = self._axes[expr.leaves] = tuple(found)
        if not axes:
            return self._constant_memo
        return self._axis_memo.setdefault((axes[0], self._cells[axes[0]]), {}) if len(axes) == 1 else self._region_memo

    def _compute(self, expr: Expr) -> Poly:
        self._effort.spend(1)
        if expr.op == "lin":
            return Poly.sum(expr.constant, [(self._value(term), coefficient) for term, coefficient in expr.terms])
        if expr.op == "mul":
            left, right = self._value(expr.args[0]), self._value(expr.args[1])  # type: ignore[arg-type]
            self._effort.spend(len(left.terms) * len(right.terms) * (1 + (left.degree + right.degree) // USUAL_DEGREE))
            return left * right
        if expr.op in DECISIONS and not self._axes[expr.leaves]:
            return self._as_atom(expr, expr)
        if expr.op == "select":
            condition, a, b = expr.args
            chosen = self._value(condition)  # type: ignore[arg-type]
            if chosen not in (ONE, ZERO):
                raise Unresolved("a condition depends on more than where the points are", "GSO102")
            return self._value(a if chosen == ONE else b)  # type: ignore[arg-type]
        if expr.op == "ge":
            return ONE if self._at_least_zero(self._value(expr.args[0])) else ZERO  # type: ignore[arg-type]
        if expr.op in ROUNDINGS:
            whole = self._floor if expr.op == "floor" else self._round
            return whole(self._value(expr.args[0]))  # type: ignore[arg-type]
        return self._as_atom(expr, expr) if expr.op == "idx" else self._element(expr)

    def _as_atom(self, expr: Expr, key: object) -> Poly:
        """An expression that stays what it is wherever the coordinates are."""
        number = self._atom(key, expr.lo, expr.hi, expr.integral)
        self.apart[number] = expr
        return Poly.atom(number)

    def _element(self, expr: Expr) -> Poly:
        if (axis := self._leaves.get(expr)) is not None:
            return self._leaf(axis)
        tensor, index, sizes = expr.args
        values = tuple([self._value(i) for i in index])  # type: ignore[attr-defined]
        if expr in expr.leaves:
            return self._as_atom(expr, (tensor, values))
        number = self._atom((tensor, values), expr.lo, expr.hi, expr.integral)
        self._check_inside(str(tensor), values, sizes)  # type: ignore[arg-type]
        self.elements[number] = (str(tensor), values)
        return Poly.atom(number)

    def _check_inside(self, tensor: str, values: tuple[Poly, ...], sizes: tuple[int, ...]) -> None:
        if len(values) != len(sizes):
            raise Unresolved(f"'{tensor}' has {len(sizes)} axes and is read at {len(values)} indices", "GSO114")
        for axis, (value, size) in enumerate(zip(values, sizes, strict=True)):
            if (place := value.constant) is not None and 0 <= place <= size - 1:
                continue
            lo, hi = self._range(value)[:2]
            if lo is None or hi is None or lo < 0 or hi > size - 1:
                extents = None if lo != 0 or hi is None else (int(hi) + 1, size)
                raise Unresolved(outside(f"axis {axis} of '{tensor}'", lo, hi, size - 1), "GSO114", extents)

    def _leaf(self, axis: int) -> Poly:
        cell, coordinate = self._cells[axis], self._coordinates[axis]
        f = self.floor_of(axis, cell)
        u = Poly.const(cell.u_lo) if cell.u_lo == cell.u_hi else Poly.atom(2 * axis + 1)
        pixel = f + u - self._value(coordinate.offset)
        return pixel if coordinate.slope == 1 else pixel.scale(Fraction(1) / coordinate.slope)

    def floor_of(self, axis: int, cell: Cell) -> Poly:
        """The floor of a coordinate in a cell."""
        return Poly.const(cell.lo) if cell.lo is not None and cell.lo == cell.hi else Poly.atom(2 * axis)

    def moves(self, poly: Poly) -> bool:
        """Whether a polynomial depends on a coordinate."""
        return any(atom < 2 * len(self._coordinates) for monomial, _ in poly for atom in monomial)

    def expr_of(self, algebra: Algebra, poly: Poly) -> Expr | None:
        """The expression that a polynomial is; None where the coordinates or what is read have a part in it."""
        total = algebra.zero
        for monomial, coefficient in poly:
            if any(atom not in self.apart for atom in monomial):
                return None
            term = algebra.num(coefficient)
            for atom in monomial:
                term = algebra.mul(term, self.apart[atom])
            total = algebra.add(total, term)
        return total

    def index_expr(self, algebra: Algebra, poly: Poly) -> Expr | None:
        """The index variable or number that a polynomial is; None for anything else."""
        if poly.constant is not None:
            return algebra.num(poly.constant)
        terms = list(poly)
        if len(terms) != 1 or terms[0][1] != 1 or len(terms[0][0]) != 1:
            return None
        names = {number: key for key, number in self._atoms.items()}
        key = names.get(terms[0][0][0])
        return key if isinstance(key, Expr) and key.op == "idx" else None

    def _atom(self, key: object, lo: Bound, hi: Bound, integral: bool) -> int:
        number = self._atoms.get(key)
        if number is None:
            number = self._atoms[key] = 2 * len(self._coordinates) + len(self._atoms)
            self._bounds[number] = (lo, hi, integral)
        return number

    # ---- decisions ------------------------------------------------------------------------------------------------

    def _is_integral(self, atom: int) -> bool:
        return atom % 2 == 0 if atom < 2 * len(self._coordinates) else self._bounds[atom][2]

    def _atom_range(self, atom: int) -> tuple[Bound, Bound, bool, bool]:
        if atom >= 2 * len(self._coordinates):
            lo, hi, _ = self._bounds[atom]
            return lo, hi, True, True
        cell = self._cells[atom // 2]
        if atom % 2 == 0:
            return cell.lo, cell.hi, True, True
        return cell.u_lo, cell.u_hi, cell.u_lo_in, cell.u_hi_in

    def _range(self, poly: Poly) -> tuple[Bound, Bound, bool, bool]:
        """Bounds of a polynomial on the region and whether each is attained."""
        lo: Bound = 0
        hi: Bound = 0
        lo_in = hi_in = True
        for monomial, c in poly:
            a, b, a_in, b_in = self._monomial_range(monomial)
            if c < 0:
                a, b, a_in, b_in = b, a, b_in, a_in
            lo = None if lo is None or a is None else lo + a * c if a else lo  # a fraction begins at 0, and nothing
            hi = None if hi is None or b is None else hi + b * c if b else hi  # costs as much as any number
            lo_in, hi_in = lo_in and a_in, hi_in and b_in
        return lo, hi, lo_in, hi_in

    def _monomial_range(self, monomial: tuple[int, ...]) -> tuple[Bound, Bound, bool, bool]:
        if not monomial:
            return 1, 1, True, True
        if len(monomial) == 1:
            return self._atom_range(monomial[0])
        lo: Bound = 1
        hi: Bound = 1
        for atom in monomial:
            a, b = self._atom_range(atom)[:2]
            if a is None or b is None or lo is None or hi is None:
                return None, None, True, True
            corners = (lo * a, lo * b, hi * a, hi * b)
            lo, hi = min(corners), max(corners)
        return lo, hi, True, True

    def _at_least_zero(self, poly: Poly) -> bool:
        lo, hi, _, hi_in = self._range(poly)
        if lo is not None and lo >= 0:
            return True
        if hi is not None and (hi < 0 or (hi == 0 and not hi_in)):
            return False
        raise self._split(poly)

    def _parted(self, poly: Poly) -> tuple[Poly, Poly]:
        """The part of a polynomial that surely is an integer, and the rest."""
        whole = {m: c for m, c in poly if c.denominator == 1 and all(map(self._is_integral, m))}
        return Poly(whole), Poly({m: c for m, c in poly if m not in whole})

    def _floor(self, poly: Poly) -> Poly:
        whole, rest = self._parted(poly)
        lo, hi, _, hi_in = self._range(rest)
        if lo is None or hi is None:
            raise Unresolved(UNBOUNDED)
        low, high = math.floor(lo), math.floor(hi)
        if high == hi and not hi_in:
            high -= 1
        if low == high:
            return whole + Poly.const(low)
        raise self._split(rest - Poly.const(low + 1))

    def _round(self, poly: Poly) -> Poly:
        """The nearest integer; halfway between n and n + 1 it is n and 1 where n is odd."""
        whole, rest = self._parted(poly)
        lo, hi, lo_in, hi_in = self._range(rest)
        if lo is None or hi is None:
            raise Unresolved("a number without bounds is rounded")
        near = math.ceil(lo - HALF)
        near += lo == near + HALF and not lo_in
        end = near + HALF
        if hi < end or (hi == end and not hi_in):
            return whole + Poly.const(near)
        if lo == hi:
            below = whole + Poly.const(near)
            return below + self._odd(below)
        raise self._split(rest - Poly.const(end))

    def _odd(self, whole: Poly) -> Poly:
        """1 where an integer is odd, else 0."""
        rest = Poly({m: 1 for m, c in whole if m and c % 2})
        is_odd = bool(dict(whole).get((), 0) % 2)
        if not rest:
            return ONE if is_odd else ZERO
        number = self._atom(("odd", rest), 0, 1, True)
        self._parities.add(number)
        return ONE - Poly.atom(number) if is_odd else Poly.atom(number)

    def _split(self, poly: Poly) -> Exception:
        """Where the sign of `poly` changes: along f of one axis, else along its u."""
        terms = dict(poly)
        constant = terms.pop((), 0)
        odd = {m: c for m, c in terms.items() if len(m) == 1 and m[0] in self._parities}
        axes = {m[0] // 2 for m in terms if len(m) == 1 and m[0] < 2 * len(self._coordinates)}
        if len(axes) != 1 or any(m not in odd and (len(m) != 1 or m[0] // 2 not in axes) for m in terms):
            return Unresolved(MIXED, "GSO102")
        axis = axes.pop()
        a_f, a_u = terms.get((2 * axis,), 0), terms.get((2 * axis + 1,), 0)
        cell = self._cells[axis]
        rest = Poly({m: c for m, c in (((2 * axis + 1,), a_u), ((), constant), *odd.items()) if c})
        if odd and not a_f:
            return Unresolved("a condition depends on whether a coordinate is odd")
        cells = split_floor(cell, a_f, self._range(rest)) if a_f else split_fraction(cell, a_u, constant)
        return Split(axis, cells) if len(cells) > 1 else Unresolved("a condition changes at no fixed coordinate")


def partitions(resolver: Resolver, cells: Sequence[list[Cell]], roots: Sequence[Expr]) -> tuple[list[Cell], ...]:
    """Parts of the `cells` of every axis, such that all roots are polynomials on each region that they make."""
    axes = tuple(resolver.partition(axis, part, roots) for axis, part in enumerate(cells))
    while True:
        try:
            for region in product(*axes):
                for root in roots:
                    resolver.evaluate(root, region)
        except Split as split:
            kept = axes[split.axis]
            at = kept.index(region[split.axis])
            kept[at : at + 1] = split.cells
            if len(kept) > MAX_CELLS:
                raise Unresolved(MANY) from None
            continue
        return axes
