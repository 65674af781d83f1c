"""Prove that an expression is bilinear sampling, or say where it is not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import product

from onnxgs_opt.recognition.algebra.expression import Algebra, Expr, walk
from onnxgs_opt.recognition.algebra.piecewise import MAX_CELLS, Cell, Coordinate, Resolver, Split, Unresolved
from onnxgs_opt.recognition.algebra.polynomial import ZERO, Monomial, Number, Poly
from onnxgs_opt.recognition.match import Axis, Match, Miss
from onnxgs_opt.samplers.definition import policies, reference, window_condition
from onnxgs_opt.samplers.policy import WINDOWS, BorderName, Policy


def recognise(algebra: Algebra, root: Expr) -> Match | Miss:
    """Decide whether `root` is bilinear sampling of one tensor at two data-dependent coordinates."""
    reads = [e for e in walk((root,)) if e.op == "elem" and e.leaves != frozenset((e,))]
    if not reads:
        return Miss("no read has an index that depends on data", code="GSO111")
    if len({r.args[0] for r in reads}) > 1:
        return Miss(
            "the reads are of different tensors: " + ", ".join(sorted({str(r.args[0]) for r in reads})),
            len(reads),
            "GSO104",
        )
    found = coordinates_of(algebra, reads)
    if isinstance(found, Miss):
        return found
    if len(found) != 2:
        condition = f"the reads depend on {len(found)} coordinate{'s' * (len(found) != 1)}, not 2"
        return Miss(condition, len(reads), degenerate=len(found) < 2, apart=len(found) > 2)
    try:
        return _match(algebra, root, found)
    except Unresolved as reason:
        return Miss(str(reason), len(reads), reason.code)


def coordinates_of(algebra: Algebra, reads: Sequence[Expr]) -> list[Coordinate] | Miss:
    """The coordinates that the reads' indices take the floor of, each up to an integer."""
    slopes: dict[Expr, dict[tuple[Number, Expr], None]] = {}
    for floor in walk(tuple(i for read in reads for i in read.args[1])):  # type: ignore[attr-defined]
        if floor.op != "floor":
            continue
        for piece in pieces(algebra, floor.args[0]):  # type: ignore[arg-type]
            key = _moved(algebra, piece)
            if key is not None:
                slopes.setdefault(key[0], {})[key[1:]] = None
    leaves = {leaf for read in reads for leaf in read.leaves if not leaf.integral}
    if not slopes or leaves - set(slopes):
        return Miss("an index is not the floor of a coordinate", len(reads), "GSO109")
    out = []
    for leaf, found in slopes.items():
        if len(found) > 1:
            return Miss(f"'{leaf.args[0]}' is rounded at more than one scale", len(reads), "GSO108")
        slope, offset = next(iter(found))
        out.append(Coordinate(leaf, slope, offset))
    return sorted(out, key=lambda c: c.leaf.serial)


def pieces(algebra: Algebra, expr: Expr) -> list[Expr]:
    """The affine functions of one leaf that a clamped coordinate consists of, its constant pieces left out."""
    if not expr.leaves:
        return []
    if expr.op == "elem":
        return [expr]
    if expr.op == "select":
        _, a, b = expr.args
        return [*pieces(algebra, a), *pieces(algebra, b)]  # type: ignore[arg-type]
    if expr.op == "mul":
        factors: tuple[Expr, Expr] = expr.args  # type: ignore[assignment]
        masked = [b for a, b in (factors, factors[::-1]) if a.integral and a.lo == 0 and a.hi == 1]
        return pieces(algebra, masked[0]) if masked else []
    if expr.op == "lin":
        varying = [(t, c) for t, c in expr.terms if t.leaves]
        if len(varying) != 1:
            return []
        (term, slope), rest = varying[0], algebra.add(expr, varying[0][0], -varying[0][1])
        return [algebra.add(rest, piece, slope) for piece in pieces(algebra, term)]
    return []


def _moved(algebra: Algebra, piece: Expr) -> tuple[Expr, Number, Expr] | None:
    """(leaf, slope > 0, offset) of an affine piece; a negative one stands for a ceil, and offsets count modulo 1."""
    (leaf, slope), *more = [(t, c) for t, c in piece.terms if t.leaves]
    if more or leaf.op != "elem":
        return None
    sign = 1 if slope > 0 else -1
    offset = algebra.scale(algebra.add(piece, leaf, -slope), sign)
    whole = math.floor(offset.constant)
    return leaf, slope * sign, algebra.sub(offset, algebra.num(whole))


def _match(algebra: Algebra, root: Expr, coordinates: list[Coordinate]) -> Match | Miss:
    rough = Resolver(coordinates)
    cells = [domain(c) for c in coordinates]
    grid = partitions(rough, cells, [root])
    seen: Miss | None = None
    for region in sorted(product(*grid), key=lambda r: -_width(r[0]) * _width(r[1])):
        poly = rough.evaluate(root, region)
        taps = _taps(rough, poly)
        if len(taps) == 4:
            return _identify(algebra, root, coordinates, rough, region, taps, outside(algebra, rough, poly, taps))
        if seen is None or len(taps) > seen.taps:
            where = " and ".join(c.describe(n) for c, n in zip(region, "pq", strict=True))
            seen = Miss(f"{len(taps)} reads are summed where {where}, not 4", len(taps))
        if len(taps) > 4:
            break  # a cell has four corners, wherever it is
    return seen or Miss("no region is read")


def domain(coordinate: Coordinate) -> list[Cell]:
    """The cells of floor(p) that the leaf's known bounds leave."""
    leaf, offset = coordinate.leaf, coordinate.offset
    if leaf.lo is None or leaf.hi is None or offset.lo is None or offset.hi is None:
        return [Cell()]
    low = coordinate.slope * leaf.lo + offset.lo
    high = coordinate.slope * leaf.hi + offset.hi
    first, last = math.floor(low), math.floor(high)
    if Fraction(high).denominator != 1 or first == last:
        return [Cell(first, last)]
    return [Cell(first, last - 1), Cell(last, last, 0, 0, True, True)]


def _width(cell: Cell) -> float:
    """How many integers a bounded cell spans; unbounded ones and points are the least interesting."""
    if cell.lo is None or cell.hi is None or cell.u_lo == cell.u_hi:
        return 0
    return cell.hi - cell.lo + 1


def _taps(resolver: Resolver, poly: Poly) -> set[int]:
    return {a for monomial, _ in poly for a in monomial if a in resolver.elements}


def _identify(
    algebra: Algebra,
    root: Expr,
    coordinates: list[Coordinate],
    rough: Resolver,
    region: tuple[Cell, ...],
    taps: set[int],
    affine: tuple[Expr, Expr],
) -> Match | Miss:
    """Name the image's axes from one region with four taps, then prove the rest."""
    elements = [rough.elements[t] for t in sorted(taps)]
    image, columns = elements[0][0], list(zip(*(values for _, values in elements), strict=True))
    spatial = [axis for axis, column in enumerate(columns) if len(set(column)) > 1]
    if len(spatial) != 2:
        split = _linear(columns[spatial[0]]) if len(spatial) == 1 else None
        found = None if split is None else (image, spatial[0], split)
        return Miss(f"the four reads differ along {len(spatial)} axes of '{image}', not 2", 4, "GSO102", found)
    rest: list[Expr | None] = []
    for axis, column in enumerate(columns):
        plain = None if axis in spatial else rough.index_expr(algebra, column[0])
        if axis not in spatial and plain is None:
            return Miss(f"axis {axis} of '{image}' is not indexed by one output axis", 4, "GSO108")
        rest.append(plain)
    sizes = _sizes(root, image)
    best = Miss("the four reads are not the corners around the coordinate", 4, "GSO102")
    for order in ((0, 1), (1, 0)):
        axes = _axes(algebra, coordinates, order, spatial, columns, region, sizes)
        if axes is None:
            continue
        result = _prove(algebra, root, image, axes, tuple(rest), affine)
        if isinstance(result, Match):
            return result
        best = result
    return best


def _axes(
    algebra: Algebra,
    coordinates: list[Coordinate],
    order: tuple[int, int],
    spatial: list[int],
    columns: list[tuple[Poly, ...]],
    region: tuple[Cell, ...],
    sizes: tuple[int, ...],
) -> tuple[Axis, Axis] | None:
    """Coordinates `order` as the indices of the two spatial axes; None when an index is not that floor plus 0 and 1."""
    out = []
    for position, k in zip(spatial, order, strict=True):
        cell = region[k]
        base = Poly.const(cell.lo) if cell.lo is not None and cell.lo == cell.hi else Poly.atom(2 * k)
        shifts = {c for value in columns[position] if (c := (value - base).constant) is not None}
        fixed = all((value - base).constant is not None for value in columns[position])
        if not fixed or len(shifts) != 2 or max(shifts) - min(shifts) != 1:
            return None
        coordinate = coordinates[k]
        offset = algebra.add(coordinate.offset, algebra.num(min(shifts)))
        out.append(Axis(coordinate.leaf, coordinate.slope, offset, position, sizes[position]))
    return out[0], out[1]


def outside(algebra: Algebra, resolver: Resolver, poly: Poly, taps: set[int]) -> tuple[Expr, Expr]:
    """The factor and the addend that the sum of four taps has if it is a sampler's: `factor` * sample + `addend`.

    The weights of the corners of a cell add up to 1, and at its first corner they are 1, 0, 0, 0. What the coordinates
    have a part in is none of either; then the factor is 1 and the addend 0.
    """
    first: dict[Monomial, Number] = {}
    rest: dict[Monomial, Number] = {}
    for monomial, coefficient in poly:
        others = tuple(atom for atom in monomial if atom not in taps)
        if len(others) == len(monomial):
            rest[monomial] = coefficient
        elif len(others) == len(monomial) - 1 and all(resolver.is_apart(atom) for atom in others):
            first[others] = first.get(others, 0) + coefficient
    factor = resolver.expr_of(algebra, Poly({m: c for m, c in first.items() if c}))
    addend = resolver.expr_of(algebra, Poly(rest))
    plain = factor is None or factor.value == 0 or addend is None
    return (algebra.one, algebra.zero) if plain else (factor, addend)  # type: ignore[return-value]


def _prove(
    algebra: Algebra,
    root: Expr,
    image: str,
    axes: tuple[Axis, Axis],
    rest: tuple[Expr | None, ...],
    affine: tuple[Expr, Expr],
) -> Match | Miss:
    """Compare `root` with every policy on every region, `affine` being the factor and the addend of the sample."""
    factor, addend = affine
    root = algebra.sub(root, addend)
    coordinates = [Coordinate(a.leaf, a.slope, a.offset) for a in axes]
    resolver = Resolver(coordinates)
    y, x = (algebra.add(a.offset, a.leaf, a.slope) for a in axes)
    size = (axes[0].size, axes[1].size)
    if min(size) < 2:
        return Miss(f"'{image}' is {size[0]} x {size[1]}, and a sampler needs 2 x 2 pixels", 4, "GSO113")
    sizes = _sizes(root, image)

    def read(row: Expr, column: Expr) -> Expr:
        index = list(rest)
        index[axes[0].position], index[axes[1].position] = row, column
        return algebra.elem(image, tuple(index), sizes=sizes)  # type: ignore[arg-type]

    borders: dict[BorderName, Expr] = {
        name: algebra.mul(factor, reference(algebra, name, y, x, size, read)) for name in ("zeros", "border")
    }
    domains = [domain(c) for c in coordinates]
    early = _differs_far_outside(resolver, root, borders, domains)
    if early is not None:
        return early
    table = _Table(resolver, root, borders, partitions(resolver, domains, [root, *borders.values()]))
    inside = all(a.leaf.lo is not None and a.leaf.hi is not None for a in axes)
    for policy in policies(prefer="border" if inside else "zeros"):
        conditions = [
            window_condition(algebra, WINDOWS[policy.window], p, s) for p, s in zip((y, x), size, strict=True)
        ]
        if table.agrees(policy, conditions):
            return Match(policy, image, axes[0], axes[1], rest, sizes, factor, addend)
    return table.first_difference()


def _differs_far_outside(
    resolver: Resolver, root: Expr, borders: dict[BorderName, Expr], cells: Sequence[list[Cell]]
) -> Miss | None:
    """A miss, where `root` is no border's sample and not 0 beyond a corner of the image; a cheap look before the proof.

    The sum that a mask follows is mostly told from a sampler there.
    """
    roots = [root, *borders.values()]
    try:
        ys, xs = (resolver.partition(axis, cells[axis], roots) for axis in (0, 1))
        middle = (max(ys, key=_width), max(xs, key=_width))
        if resolver.evaluate(root, middle) != resolver.evaluate(borders["zeros"], middle):
            return None  # the table tells more of what is wrong inside
        for region in product((ys[0], ys[-1]), (xs[0], xs[-1])):
            actual, *wanted = (resolver.evaluate(expr, region) for expr in roots)
            if actual not in (*wanted, ZERO):
                where = f"{region[0].describe('y')} and {region[1].describe('x')}"
                return Miss(f"it differs from bilinear sampling, whatever the border, where {where}", 4, "GSO103")
    except Split:
        return None
    return None


class _Table:
    """The root's and each border's polynomial on every region."""

    def __init__(
        self,
        resolver: Resolver,
        root: Expr,
        borders: dict[BorderName, Expr],
        cells: tuple[list[Cell], list[Cell]],
    ) -> None:
        self._resolver = resolver
        self._cells = cells
        self._rows: dict[tuple[int, int], tuple[Poly, dict[BorderName, Poly]]] = {}
        for (i, a), (j, b) in product(enumerate(cells[0]), enumerate(cells[1])):
            actual = resolver.evaluate(root, (a, b))
            self._rows[i, j] = actual, {name: resolver.evaluate(e, (a, b)) for name, e in borders.items()}

    def agrees(self, policy: Policy, conditions: Sequence[Expr]) -> bool:
        """Whether the policy is the root on every region."""
        try:
            inside = [self._decided(axis, condition) for axis, condition in enumerate(conditions)]
        except (Split, Unresolved):
            return False  # the window changes inside a cell where the root does not
        return all(
            actual == (wanted[policy.border] if inside[0][i] and inside[1][j] else ZERO)
            for (i, j), (actual, wanted) in self._rows.items()
        )

    def _decided(self, axis: int, condition: Expr) -> list[bool]:
        out = []
        for cell in self._cells[axis]:
            region = [cells[0] for cells in self._cells]
            region[axis] = cell
            out.append(bool(self._resolver.evaluate(condition, region)))
        return out

    def first_difference(self) -> Miss:
        """Where the border that agrees on most regions first differs, in words."""
        wrong = {
            border: [k for k, (actual, wanted) in self._rows.items() if actual not in (wanted[border], ZERO)]
            for border in ("zeros", "border")
        }
        border, places = min(wrong.items(), key=lambda item: len(item[1]))
        if not places:
            return Miss("it is zero on a part of the plane that is no known window", 4, "GSO107")
        inner = max(self._rows, key=lambda k: _width(self._cells[0][k[0]]) * _width(self._cells[1][k[1]]))
        i, j = inner if inner in places else places[0]
        where = f"{self._cells[0][i].describe('y')} and {self._cells[1][j].describe('x')}"
        code = "GSO101" if inner in places else "GSO103"
        return Miss(f"it differs from bilinear sampling ({border} outside) where {where}", 4, code)


def _linear(column: tuple[Poly, ...]) -> tuple[int, ...] | None:
    """The sizes to split an axis into whose index is base * H * W + y * W + x; None when it is not that."""
    steps = {abs(int(c)) for m, c in column[0] if m and c.denominator == 1}
    offsets = sorted({d for v in column if (d := (v - column[0]).constant) is not None})
    if len(offsets) != 4 or len(steps) not in (2, 3):
        return None
    width, *bigger = sorted(steps - {1})
    if 1 not in steps or any(b % width for b in bigger):
        return None
    return (-1, *(b // width for b in bigger), width)


def _sizes(root: Expr, image: str) -> tuple[int, ...]:
    """The dims of the image, as the reads have them."""
    read = next(e for e in walk((root,)) if e.op == "elem" and e.args[0] == image and e.leaves != {e})
    sizes: tuple[int, ...] = read.args[2]  # type: ignore[assignment]
    return sizes


def partitions(resolver: Resolver, cells: Sequence[list[Cell]], roots: Sequence[Expr]) -> tuple[list[Cell], list[Cell]]:
    """Cells of both axes on every pair of which all roots are polynomials."""
    ys = resolver.partition(0, cells[0], roots)
    xs = resolver.partition(1, cells[1], roots)
    while True:
        try:
            for a, b in product(ys, xs):
                for root in roots:
                    resolver.evaluate(root, (a, b))
        except Split as split:
            kept = (ys, xs)[split.axis]
            at = a if split.axis == 0 else b
            kept[kept.index(at) : kept.index(at) + 1] = split.cells
            if len(kept) > MAX_CELLS:
                raise Unresolved("too many breakpoints") from None
            continue
        return ys, xs
