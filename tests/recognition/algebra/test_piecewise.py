"""Regions: where conditions change, and what cannot be decided."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import pytest

from onnxgs_opt.recognition.algebra.cells import MAX_CELLS, split_floor, split_fraction
from onnxgs_opt.recognition.algebra.effort import Effort
from onnxgs_opt.recognition.algebra.expression import Algebra
from onnxgs_opt.recognition.algebra.piecewise import Cell, Coordinate, Resolver, Split, Unresolved, partitions
from onnxgs_opt.recognition.algebra.polynomial import Poly
from tests.recognition.algebra.test_expression import build, some_tree, value


@pytest.fixture
def algebra():
    return Algebra()


@pytest.fixture
def axes(algebra):
    leaves = [algebra.elem("y", ()), algebra.elem("x", ())]
    return leaves, Resolver([Coordinate(leaf, 1, algebra.zero) for leaf in leaves])


def test_a_clamp_splits_an_axis_at_its_bounds(algebra, axes):
    (y, _), resolver = axes
    clamped = algebra.minimum(algebra.maximum(y, algebra.zero), algebra.num(9))
    cells = resolver.partition(0, [Cell()], [clamped])
    values = [resolver.evaluate(clamped, (cell, Cell())) for cell in cells]
    assert {v.constant for v in values if v.constant is not None} == {0, 9}
    assert sum(v.constant is None for v in values) == 1


def test_cells_cover_the_line_once(algebra, axes):
    (y, _), resolver = axes
    corner = algebra.add(algebra.floor(y), algebra.one)
    roots = [algebra.ge(corner), algebra.ge(algebra.sub(algebra.num(7), corner)), algebra.gt(y)]
    cells = resolver.partition(0, [Cell()], roots)
    for whole in range(-4, 12):
        for fraction in (0, 0.25, 0.75):
            inside = [c for c in cells if contains(c, whole, fraction)]
            assert len(inside) == 1, (whole, fraction)


@pytest.mark.parametrize("slope", [1, -1, 2, Fraction(1, 3)])
def test_regions_are_polynomials_with_the_value_of_the_expression(slope):
    """a(x) * b(y) + c(x) at random points; x is made the pixel slope * x + 1/2, y is a pixel."""
    rng, resolved = random.Random(str(slope)), 0
    for _ in range(60):
        trees = [some_tree(rng, rng.randint(1, 9)) for _ in range(3)]
        algebra = Algebra()
        x, y = algebra.elem("x", ()), algebra.elem("y", ())
        a, b, c = (build(algebra, of, tree) for of, tree in zip((x, y, x), trees, strict=True))
        root = algebra.add(algebra.mul(a, b), c)
        half = algebra.num(Fraction(1, 2))
        resolver = Resolver([Coordinate(x, slope, half), Coordinate(y, 1, algebra.zero)])
        try:
            cells = partitions(resolver, [[Cell()], [Cell()]], [root])
        except Unresolved:
            continue
        resolved += 1
        for _ in range(8):
            at = [Fraction(rng.randint(-54, 54), 6) for _ in range(2)]
            left = (at[0] - Fraction(1, 2)) / slope
            wanted = value(trees[0], left) * value(trees[1], at[1]) + value(trees[2], left)
            found = polynomial_at(resolver, root, cells, at)
            assert found is None or found == wanted, (trees, at, cells)
    assert resolved > 30


def polynomial_at(resolver, root, cells, at):
    """The value of the region's polynomial at a point of pixels; None where it says of an integer whether it is odd."""
    floors = [math.floor(p) for p in at]
    region = []
    for own, floor, p in zip(cells, floors, at, strict=True):
        (cell,) = (cell for cell in own if contains(cell, floor, p - floor))
        region.append(cell)
    atoms = dict(enumerate((floors[0], at[0] - floors[0], floors[1], at[1] - floors[1])))
    poly = list(resolver.evaluate(root, region))
    if any(atom not in atoms for monomial, _ in poly for atom in monomial):
        return None
    return sum(c * math.prod(atoms[atom] for atom in monomial) for monomial, c in poly)


@pytest.mark.parametrize("slope", [1, -1])
@pytest.mark.parametrize("offset", [Fraction(0), Fraction(1, 2), Fraction(-3, 2), Fraction(1, 3), Fraction(3)])
def test_what_is_rounded_goes_to_the_even_neighbour_halfway(algebra, axes, slope, offset):
    (y, _), resolver = axes
    rounded = algebra.round(algebra.add(algebra.num(offset), y, slope))
    clamped = algebra.minimum(algebra.maximum(rounded, algebra.zero), algebra.num(7))
    cells = resolver.partition(0, [Cell()], [clamped])
    for place in range(-24, 60):
        p = Fraction(place, 6)
        (cell,) = (c for c in cells if contains(c, math.floor(p), p - math.floor(p)))
        found = resolver.evaluate(clamped, (cell, Cell()))
        atoms = {0: math.floor(p), 1: p - math.floor(p)}  # any other is 1 where the floor is odd
        value = sum(c * math.prod(atoms.get(a, math.floor(p) % 2) for a in m) for m, c in found)
        assert value == min(max(round(offset + slope * p), 0), 7), (p, cell)


def contains(cell, whole, fraction):
    low = cell.lo is None or cell.lo <= whole
    high = cell.hi is None or whole <= cell.hi
    above = fraction > cell.u_lo or (fraction == cell.u_lo and cell.u_lo_in)
    below = fraction < cell.u_hi or (fraction == cell.u_hi and cell.u_hi_in)
    return low and high and above and below


def test_halfway_between_integers_the_even_one_is_known_without_asking(algebra, axes):
    """floor(y) + y is 2f + 1/2 there, and 2f is even whatever f is."""
    (y, _), resolver = axes
    half = Cell(u_lo=Fraction(1, 2), u_hi=Fraction(1, 2), u_lo_in=True, u_hi_in=True)
    twice = algebra.add(algebra.floor(y), y)
    floor = resolver.evaluate(algebra.floor(y), (half, Cell()))
    assert resolver.evaluate(algebra.round(twice), (half, Cell())) == floor.scale(2)
    more = algebra.add(twice, algebra.one)
    assert resolver.evaluate(algebra.round(more), (half, Cell())) == floor.scale(2) + Poly.const(2)
    assert resolver.evaluate(algebra.round(y), (half, Cell())) != floor


def test_a_condition_that_changes_at_too_many_floors_is_given_up(algebra, axes):
    (y, _), resolver = axes
    floor = algebra.floor(y)
    slow = algebra.add(algebra.sub(y, floor), algebra.scale(floor, Fraction(1, 100)))
    with pytest.raises(Unresolved, match="at no fixed coordinate"):
        resolver.evaluate(algebra.ge(algebra.sub(slow, algebra.num(Fraction(1, 2)))), (Cell(), Cell()))


def test_an_undecided_condition_asks_for_a_split(algebra, axes):
    (_, x), resolver = axes
    with pytest.raises(Split) as split:
        resolver.evaluate(algebra.ge(algebra.sub(x, algebra.num(3))), (Cell(), Cell()))
    assert split.value.axis == 1
    assert [(c.lo, c.hi) for c in split.value.cells] == [(None, 2), (3, None)]


@pytest.mark.parametrize(("limit", "first"), [(Fraction(5, 2), 3), (3, 3), (Fraction(-1, 3), 0)])
def test_a_floor_is_cut_once(algebra, axes, limit, first):
    (y, _), resolver = axes
    cells = resolver.partition(0, [Cell()], [algebra.ge(algebra.sub(algebra.floor(y), algebra.num(limit)))])
    assert [(cell.lo, cell.hi) for cell in cells] == [(None, first - 1), (first, None)]
    falls = algebra.add(algebra.sub(y, algebra.scale(algebra.floor(y), 2)), algebra.num(math.floor(limit)))
    cells = resolver.partition(0, [Cell()], [algebra.ge(falls)])  # n - f + u
    assert [(cell.lo, cell.hi) for cell in cells] == [(None, math.floor(limit)), (math.floor(limit) + 1, None)]


def test_a_condition_on_both_axes_is_not_resolved(algebra, axes):
    (y, x), resolver = axes
    with pytest.raises(Unresolved, match="more than one coordinate") as reason:
        resolver.evaluate(algebra.ge(algebra.add(y, x)), (Cell(), Cell()))
    assert reason.value.code == "GSO102"


def test_a_read_that_may_leave_the_tensor_is_refused(algebra, axes):
    (y, x), resolver = axes
    read = algebra.elem("image", (algebra.floor(y), algebra.floor(x)), sizes=(4, 5))
    inside = resolver.evaluate(read, (Cell(0, 3), Cell(0, 4)))
    assert inside.constant is None
    with pytest.raises(Unresolved, match="axis 1 of 'image' may be read at 5, beyond 4: nothing keeps"):
        resolver.evaluate(read, (Cell(0, 3), Cell(0, 5)))


def test_a_linear_index_divides_where_the_row_is_known(algebra, axes):
    (y, x), resolver = axes
    linear = algebra.add(algebra.scale(algebra.floor(y), 5), algebra.floor(x))
    row, column = algebra.unravel(linear, (4, 5))
    region = (Cell(0, 3), Cell(0, 4))
    assert resolver.evaluate(row, region) == resolver.evaluate(algebra.floor(y), region)
    assert resolver.evaluate(column, region) == resolver.evaluate(algebra.floor(x), region)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (Cell(39, 39, 0, 0, True, True), "x = 39"),
        (Cell(3, 3, Fraction(1, 2), Fraction(1, 2), True, True), "x = 3.5"),
        (Cell(3, 3, Fraction(1, 4), Fraction(1, 2)), "3.25 < x < 3.5"),
        (Cell(0, 8, Fraction(1, 2), Fraction(1, 2), True, True), "0 <= x < 9 and 0.5 <= x - floor(x) <= 0.5"),
        (Cell(None, None), "x is any number"),
        (Cell(None, None, 0, 0, True, True), "x is a whole number"),
        (Cell(2, None, 0, 0, True, True), "x is a whole number from 2"),
        (Cell(None, 2, 0, 0, True, True), "x is a whole number up to 2"),
        (Cell(None, 5, 0, Fraction(1, 2)), "x < 6 and 0 <= x - floor(x) <= 0.5"),
        (Cell(3, 3, 0, 1, False, False), "3 < x < 4"),
        (Cell(0, 37), "0 <= x < 38"),
        (Cell(None, -2), "x < -1"),
        (Cell(3, None), "x >= 3"),
        (Cell(0, 8, 0, 0, True, True), "x is a whole number from 0 up to 8"),
        (Cell(0, 8, Fraction(1, 2), 1), "0 <= x < 9 and 0.5 <= x - floor(x) <= 1"),
    ],
)
def test_a_cell_in_words(cell, words):
    assert cell.describe("x") == words


def test_an_index_of_a_product_is_bounded_by_its_corners(algebra, axes):
    """12 + i * floor(y), where floor(y) is -3 or -2 and i is from 0 to 4, is from 0 to 12."""
    (y, _), resolver = axes
    product = algebra.mul(algebra.idx(0, 5), algebra.floor(y))
    index = algebra.add(algebra.num(12), product)
    resolver.evaluate(algebra.elem("image", (index,), sizes=(13,)), (Cell(-3, -2), Cell()))
    with pytest.raises(Unresolved, match="may be read at 12, beyond 11"):
        resolver.evaluate(algebra.elem("other", (index,), sizes=(12,)), (Cell(-3, -2), Cell()))
    with pytest.raises(Unresolved, match=r"below 0|at -1"):
        resolver.evaluate(
            algebra.elem("third", (algebra.sub(index, algebra.one),), sizes=(13,)), (Cell(-3, -2), Cell())
        )


@pytest.mark.parametrize("count", [1, 2, 3])
def test_what_is_no_integer_stays_in_a_floor(algebra, count):
    """floor(x + e), e up to 1/4, is no sum of floors, of however many coordinates x is one."""
    leaves = [algebra.elem(f"p{k}", ()) for k in range(count)]
    resolver = Resolver([Coordinate(leaf, 1, algebra.zero) for leaf in leaves])
    beside = [algebra.elem(f"e{k}", (), 0, Fraction(1, 4)) for k in range(3)]
    whole = algebra.elem("n", (), 0, 3, integral=True)
    for each in beside:
        with pytest.raises(Unresolved):
            resolver.evaluate(algebra.floor(algebra.add(leaves[0], each)), [Cell()] * count)
    found = resolver.evaluate(algebra.floor(algebra.add(leaves[0], whole)), [Cell()] * count)
    floor, integer = (resolver.evaluate(e, [Cell()] * count) for e in (algebra.floor(leaves[0]), whole))
    assert found == floor + integer


def test_a_product_costs_what_its_terms_are(algebra, axes):
    """x * y has two terms each, f + u; y + 1 has three, and is one more expression."""
    (y, x), _ = axes

    def spent(root):
        effort = Effort()
        resolver = Resolver([Coordinate(leaf, 1, algebra.zero) for leaf in (y, x)], effort)
        resolver.evaluate(root, (Cell(), Cell()))
        first = effort.left
        resolver.evaluate(root, (Cell(), Cell()))
        assert effort.left == first, "what was found is kept"
        return Effort().left - first

    plain, more = algebra.mul(x, y), algebra.mul(x, algebra.add(y, algebra.one))
    assert spent(more) - spent(plain) == 3 * 2 - 2 * 2 + 1
    most = algebra.mul(algebra.add(x, algebra.one), algebra.add(y, algebra.one))
    assert spent(most) - spent(more) == 3 * 3 - 3 * 2 + 1


@pytest.mark.parametrize("cuts", [MAX_CELLS - 1, MAX_CELLS])
def test_an_axis_has_so_many_cells_at_the_most(algebra, axes, cuts):
    """x is compared with other numbers where y is negative: only all axes together show where it has to be cut."""
    (y, x), resolver = axes
    root = algebra.zero
    for k in range(cuts - 1):
        here, there = (algebra.sub(x, algebra.num(k + more)) for more in (0, 1))
        root = algebra.add(root, algebra.ge(algebra.select(algebra.ge(y), here, there)))
    if cuts == MAX_CELLS:
        with pytest.raises(Unresolved, match="more than"):
            partitions(resolver, [[Cell()], [Cell()]], [root])
    else:
        rows, columns = partitions(resolver, [[Cell()], [Cell()]], [root])
        assert (len(rows), len(columns)) == (2, MAX_CELLS)


@pytest.mark.parametrize("slope", [1, -1, Fraction(1, 3), Fraction(-2, 5)])
@pytest.mark.parametrize(
    "rest", [(0, 1, True, False), (Fraction(-7, 2), -3, True, True), (2, 2, True, True), (0, 1, True, True)]
)
def test_the_sign_of_each_part_of_a_cell_is_known(slope, rest):
    """slope * f + r, r anywhere in its range: of one sign in the outer parts, which leave as few as can be between."""
    low, high, _, high_in = rest
    parts = split_floor(Cell(-30, 30), slope, rest)
    assert [f for part in parts for f in range(part.lo, part.hi + 1)] == list(range(-30, 31))
    for part in parts:
        if part.lo == part.hi:
            continue
        for f in (part.lo, part.hi):
            surely, never = slope * f + low >= 0, slope * f + high < 0 or (slope * f + high == 0 and not high_in)
            assert surely or never, (part, f)


def test_a_slope_that_leaves_too_much_between_is_given_up():
    assert split_floor(Cell(), 1, (None, 1, True, True)) == ()
    assert split_floor(Cell(), 1, (0, None, True, True)) == ()
    wide = Fraction(MAX_CELLS, 2)
    assert len(split_floor(Cell(), 1, (-wide, wide - 1, True, True))) == MAX_CELLS + 1
    assert split_floor(Cell(), 1, (-wide, wide, True, True)) == ()
    assert split_floor(Cell(0, 4), 1, (-9, -9, True, True)) == (Cell(0, 4),)


@pytest.mark.parametrize(
    ("cell", "slope", "constant", "fractions"),
    [
        (Cell(), 2, -1, [(0, Fraction(1, 2), True, False), (Fraction(1, 2),) * 2, (Fraction(1, 2), 1, False, False)]),
        (Cell(), 1, 0, [(0, 0), (0, 1, False, False)]),
        (Cell(u_lo_in=False), 1, 0, [(0, 1, False, False)]),
        (Cell(), 1, -1, [(0, 1, True, False)]),
        (Cell(u_hi_in=True), 1, -1, [(0, 1, True, False), (1, 1)]),
        (Cell(u_lo=Fraction(1, 2)), 2, -1, [(Fraction(1, 2),) * 2, (Fraction(1, 2), 1, False, False)]),
        (Cell(), 0, -1, []),
    ],
)
def test_a_cell_is_cut_where_a_fraction_is_zero(cell, slope, constant, fractions):
    found = split_fraction(cell, slope, constant)
    assert [(part.u_lo, part.u_hi, part.u_lo_in, part.u_hi_in) for part in found] == [
        (*each, True, True) if len(each) == 2 else each for each in fractions
    ]
