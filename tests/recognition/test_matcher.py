"""A kind of sampler is data: the matcher proves each one that it is given, and the tool gives it one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import pytest

from onnxgs_opt.recognition.algebra.expression import Algebra, Expr
from onnxgs_opt.recognition.match import Match, Miss, Stage
from onnxgs_opt.recognition.matcher import RECOGNISED, Interpolation, recognise
from onnxgs_opt.recognition.periods import within_periods
from onnxgs_opt.samplers.border import BORDERS, Border
from onnxgs_opt.samplers.kernel import KERNELS
from onnxgs_opt.samplers.policy import WINDOWS
from onnxgs_opt.samplers.sampler import AxisSpec, Sampler, sample

SIZES = (9, 11, 8)
KINDS = [
    Interpolation("nearest", 1 * (KERNELS["nearest"],)),
    Interpolation("nearest", 2 * (KERNELS["nearest"],)),
    Interpolation("linear", 1 * (KERNELS["linear"],)),
    Interpolation("bilinear", 2 * (KERNELS["linear"],)),
    Interpolation("trilinear", 3 * (KERNELS["linear"],)),
    Interpolation("cubic", 1 * (KERNELS["cubic"],)),
    Interpolation("bicubic", 2 * (KERNELS["cubic"],)),
]


def written(algebra: Algebra, sampler: Sampler, bound: int | None = None) -> Expr:
    """The sample of an image [C, *S] at as many tensors of coordinates, each within -bound and size + bound."""
    axes, at = len(sampler), (algebra.idx(1, 50),)
    limits = [(None, None) if bound is None else (-bound, size + bound) for size in SIZES[:axes]]
    points = [algebra.elem(f"p{k}", at, *limits[k], sizes=(50,)) for k in range(axes)]
    sizes = (4, *SIZES[:axes])

    def read(index: tuple[Expr, ...]) -> Expr:
        return algebra.elem("image", (algebra.idx(0, 4), *index), sizes=sizes)

    return sample(algebra, sampler, points, [algebra.num(size) for size in SIZES[:axes]], read)


@pytest.mark.parametrize("border", ["zeros", "border"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.name}-{kind.axes}")
def test_each_kind_is_one_entry(kind: Interpolation, border: str) -> None:
    algebra, sampler = Algebra(), tuple(AxisSpec(kernel, BORDERS[border]) for kernel in kind.kernels)
    root = written(algebra, sampler)
    found = recognise(algebra, root, [kind])
    assert isinstance(found, Match), found
    assert (found.sampler, found.image, found.is_plain) == (sampler, "image", True)
    assert [(axis.leaf.args[0], axis.position, axis.size) for axis in found.axes] == [
        (f"p{k}", k + 1, SIZES[k]) for k in range(kind.axes)
    ]
    assert all(axis.slope == 1 and axis.offset.value == 0 for axis in found.axes)
    shipped = recognise(algebra, root)
    assert isinstance(shipped, Match) == (kind in RECOGNISED)
    assert kind in RECOGNISED or (isinstance(shipped, Miss) and shipped.code == "GSO112")


@pytest.mark.parametrize("border", ["reflection", "symmetric", "wrap"])
def test_a_border_is_one_entry(border: str) -> None:
    added = BORDERS[border]
    kind = Interpolation("bilinear", 2 * (KERNELS["linear"],), (*RECOGNISED[0].borders, added))
    algebra, sampler = Algebra(), 2 * (AxisSpec(KERNELS["linear"], added),)
    root = written(algebra, sampler, bound=5)
    found = recognise(algebra, root, [kind])
    assert isinstance(found, Match), found
    assert found.sampler == sampler
    everywhere = recognise(algebra, written(algebra, sampler))
    assert isinstance(everywhere, Match), everywhere
    assert everywhere.sampler == sampler
    for other in (BORDERS["zeros"], BORDERS["border"]):
        _is_found_beside(kind, other)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("border", "wrap"), "cylinder"),
        (("wrap", "border"), "wrap x border"),
        (("zeros", "wrap"), "zeros x wrap"),
        (("border", "reflection"), "border x reflection"),
        (("symmetric", "wrap"), "symmetric x wrap"),
        (("zeros", "border"), "zeros x border"),
        (("border", "zeros"), "border x zeros"),
    ],
)
def test_axes_with_borders_of_their_own(names: tuple[str, str], told: str) -> None:
    algebra, sampler = Algebra(), tuple(AxisSpec(KERNELS["linear"], BORDERS[name]) for name in names)
    found = recognise(algebra, written(algebra, sampler))
    assert isinstance(found, Match), found
    assert (found.sampler, found.policy.name) == (sampler, told)


@pytest.mark.parametrize("border", ["reflection", "wrap"])
def test_the_floors_that_stand_for_all_are_those_of_the_coordinate(border: str) -> None:
    """It is leaf - 1/2, of which reads tell no more than that it is leaf + 1/2 or that and a whole number."""
    algebra, sampler = Algebra(), 2 * (AxisSpec(KERNELS["linear"], BORDERS[border]),)
    kind = Interpolation("bilinear", 2 * (KERNELS["linear"],), (*RECOGNISED[0].borders, BORDERS[border]))
    leaves = [algebra.elem(f"p{k}", (algebra.idx(1, 50),), sizes=(50,)) for k in range(2)]
    points = [algebra.sub(leaf, algebra.num(Fraction(1, 2))) for leaf in leaves]

    def read(index: tuple[Expr, ...]) -> Expr:
        return algebra.elem("image", (algebra.idx(0, 4), *index), sizes=(4, *SIZES[:2]))

    root = sample(algebra, sampler, points, [algebra.num(size) for size in SIZES[:2]], read)
    found = recognise(algebra, root, [kind])
    assert isinstance(found, Match), found
    for axis, point in zip(found.axes, points, strict=True):
        own = within_periods(root, replace(axis.coordinate, reach=None))
        assert axis.pixel(algebra) is point
        assert axis.reach == own.reach is not None


def _is_found_beside(kind: Interpolation, border: Border) -> None:
    """A sampler at coordinates that nothing bounds, where no period ends, is found with the new border beside it."""
    algebra, sampler = Algebra(), tuple(AxisSpec(kernel, border) for kernel in kind.kernels)
    found = recognise(algebra, written(algebra, sampler), [kind])
    assert isinstance(found, Match), found
    assert found.sampler == sampler


def test_a_window_and_a_kernel_that_differ_are_told_apart() -> None:
    algebra = Algebra()
    windowed = 3 * (AxisSpec(window=WINDOWS["interior"]),)
    trilinear = Interpolation("trilinear", 3 * (KERNELS["linear"],))
    found = recognise(algebra, written(algebra, windowed), [trilinear])
    assert isinstance(found, Match)
    assert found.policy.window == "interior"
    mixed = AxisSpec(), AxisSpec(window=WINDOWS["cells"]), AxisSpec(border=BORDERS["border"])
    miss = recognise(algebra, written(algebra, mixed), [trilinear])
    assert isinstance(miss, Miss)
    assert miss.code == "GSO103"
    assert miss.told == (
        "it is like trilinear sampling of 'image' (x from 'p2', y from 'p1', z from 'p0'), but where 0 <= z < 8 and "
        "0 <= y < 10 and -1 < x < 0, the pixel (floor(z), floor(y), 0) counts (1-v)*(1-w), and would have to count "
        "u*(1-v)*(1-w) if it is 0 outside"
    )


H, W = SIZES[:2]
Index = tuple[Expr, ...]


class Four:
    """Four reads around (y, x) with the weights of a bilinear sample, clamped to the image."""

    def __init__(self, item: Callable[[Algebra], Expr] = lambda algebra: algebra.idx(0, 4), gap: int = 1) -> None:
        self.algebra = Algebra()
        self.at = (self.algebra.idx(1, 50),)
        self.item = item(self.algebra)
        self.gap = gap

    def coordinate(self, name: str, lo: int | None = None, hi: int | None = None) -> Expr:
        return self.algebra.elem(name, self.at, lo, hi, sizes=(50,))

    def image(self, y: Expr, x: Expr) -> tuple[str, Index, tuple[int, ...]]:
        return "image", (self.item, y, x), (4, H, W)

    def root(self, read: Callable[[Expr, Expr], tuple[str, Index, tuple[int, ...]]], y: Expr, x: Expr) -> Expr:
        algebra, total = self.algebra, self.algebra.zero
        for j, i in ((0, 0), (0, 1), (1, 0), (1, 1)):
            weight, place = algebra.one, []
            for p, k, size in ((y, j, H), (x, i, W)):
                floor = algebra.floor(p)
                part = algebra.sub(p, floor)
                weight = algebra.mul(weight, part if k else algebra.sub(algebra.one, part))
                corner = algebra.maximum(algebra.add(floor, algebra.num(k * self.gap)), algebra.zero)
                place.append(algebra.minimum(corner, algebra.num(size - 1)))
            name, index, sizes = read(*place)
            total = algebra.add(total, algebra.mul(weight, algebra.elem(name, index, sizes=sizes)))
        return total

    def plain(self) -> Expr:
        return self.root(self.image, self.coordinate("p0"), self.coordinate("p1"))

    def rows(self, size: int, step: int = W, images: int = 0) -> Expr:
        """The image in one axis, whose index is y * step + x, or base * `images` + that."""
        base = self.algebra.idx(2, 3)

        def read(y: Expr, x: Expr) -> tuple[str, Index, tuple[int, ...]]:
            index = self.algebra.add(self.algebra.scale(y, step), x)
            return "flat", (self.item, self.algebra.add(index, base, images)), (4, size)

        return self.root(read, self.coordinate("p0"), self.coordinate("p1"))


def test_axes_are_those_that_each_coordinate_indexes() -> None:
    four = Four()
    turned = four.root(
        lambda y, x: ("image", (x, four.item, y), (W, 4, H)), four.coordinate("p0"), four.coordinate("p1")
    )
    found = recognise(four.algebra, turned)
    assert isinstance(found, Match), found
    assert [(a.leaf.args[0], a.position, a.size) for a in found.axes] == [("p1", 0, W), ("p0", 2, H)]
    assert (found.index, found.sizes) == ((None, four.item, None), (W, 4, H))


@pytest.mark.parametrize(("slope", "shift"), [(2, Fraction(1, 2)), (Fraction(3, 4), Fraction(-5, 4))])
def test_a_coordinate_may_be_scaled_and_moved(slope: Fraction, shift: Fraction) -> None:
    four = Four()
    y = four.algebra.add(four.algebra.num(shift), four.coordinate("p0"), slope)
    found = recognise(four.algebra, four.root(four.image, y, four.coordinate("p1")))
    assert isinstance(found, Match), found
    assert [axis.pixel(four.algebra) for axis in found.axes] == [y, four.coordinate("p1")]


def test_a_sample_may_be_scaled_and_added_to() -> None:
    four = Four()
    plain, gain, bias = four.plain(), four.coordinate("gain"), four.coordinate("bias")
    cases = {
        four.algebra.add(four.algebra.mul(gain, plain), bias): (gain, bias),
        four.algebra.add(four.algebra.scale(plain, -3), four.algebra.num(2)): (-3, 2),
        four.algebra.mul(four.algebra.mul(gain, bias), plain): (four.algebra.mul(gain, bias), 0),
    }
    for root, (factor, addend) in cases.items():
        found = recognise(four.algebra, root)
        assert isinstance(found, Match), found
        assert found.factor in (factor, four.algebra.num(factor) if isinstance(factor, int) else None)
        assert found.addend in (addend, four.algebra.num(addend) if isinstance(addend, int) else None)
        assert not found.is_plain


def test_what_is_added_to_a_floor_is_added_to_the_coordinate_where_that_is_asked_for() -> None:
    four = Four()
    y = four.algebra.add(four.coordinate("p0"), four.algebra.idx(2, 7))
    root = four.root(four.image, y, four.coordinate("p1"))
    plain = recognise(four.algebra, root)
    assert isinstance(plain, Miss)
    assert plain.beside
    found = recognise(four.algebra, root, grids=True)
    assert isinstance(found, Match), found
    assert [axis.pixel(four.algebra) for axis in found.axes] == [y, four.coordinate("p1")]


MISSES: dict[str, tuple[Callable[[Four], Expr], Miss]] = {
    "nothing moves": (
        lambda f: f.algebra.elem("image", (f.item, f.algebra.one, f.algebra.zero), sizes=(4, H, W)),
        Miss("every read is at a fixed place: no index depends on what an input holds", code="GSO111"),
    ),
    "two images": (
        lambda f: f.algebra.add(
            f.plain(), f.root(lambda y, x: ("b", (y, x), (H, W)), f.coordinate("p0"), f.coordinate("p1"))
        ),
        Miss("it adds up reads of 'b' and 'image', and a sampler reads one tensor", 8, "GSO104", apart=True),
    ),
    "one axis": (
        lambda f: written(f.algebra, (AxisSpec(),)),
        Miss(
            "where it reads depends on 1 coordinate, 'p0', and bilinear sampling has 2",
            2,
            degenerate=True,
            stage=Stage.COORDINATES,
        ),
    ),
    "three axes": (
        lambda f: written(f.algebra, 3 * (AxisSpec(),)),
        Miss(
            "where it reads depends on 3 coordinates, 'p0', 'p1' and 'p2', and bilinear sampling has 2",
            8,
            apart=True,
            stage=Stage.COORDINATES,
        ),
    ),
    "a chosen item": (
        lambda f: Four.root(_choosing(f), f.image, f.coordinate("p0"), f.coordinate("p1")),
        Miss(
            "which part of 'image' is sampled is told by 'p2', and a sampler reads the item of a batch that it makes a "
            "sample of",
            4,
            apart=True,
            stage=Stage.COORDINATES,
        ),
    ),
    "no rounding": (
        lambda f: f.algebra.elem("image", (f.item, *_whole(f)), sizes=(4, H, W)),
        Miss("no coordinate is rounded to say where it reads", 1, "GSO109", stage=Stage.COORDINATES),
    ),
    "sixteen pixels": (
        lambda f: written(f.algebra, 2 * (AxisSpec(KERNELS["cubic"]),)),
        Miss(
            "it adds up 16 pixels where 1 <= p < 7 and 1 <= q < 9 (p from 'p0', q from 'p1'), and bilinear sampling "
            "adds up 4",
            16,
            stage=Stage.TAPS,
        ),
    ),
    "rows": (
        lambda f: f.rows(H * W),
        Miss(
            "the four reads differ along 1 of the axes of 'flat', and not 2",
            4,
            "GSO102",
            ("flat", 1, (-1, W)),
            stage=Stage.CORNERS,
        ),
    ),
    "rows of images": (
        lambda f: f.rows(3 * H * W, images=H * W),
        Miss(
            "the four reads differ along 1 of the axes of 'flat', and not 2",
            4,
            "GSO102",
            ("flat", 1, (-1, H, W)),
            stage=Stage.CORNERS,
        ),
    ),
    "rows and a rest": (
        lambda f: f.rows(H * W + 1),
        Miss(
            f"axis 1 of 'flat' is read in rows of {W}, and {H * W + 1} is no multiple of that",
            4,
            "GSO102",
            ("flat", 1, (-1, W)),
            stage=Stage.CORNERS,
        ),
    ),
    "steps that do not divide": (
        lambda f: f.rows(400, images=H * W + 1),
        Miss(
            f"axis 1 of 'flat' is read in steps of 1, {W} and {H * W + 1}, each of which would have to divide the next",
            4,
            "GSO102",
            stage=Stage.CORNERS,
        ),
    ),
    "every other item": (
        lambda f: f.root(
            lambda y, x: ("image", (f.algebra.scale(f.item, 2), y, x), (8, H, W)),
            f.coordinate("p0"),
            f.coordinate("p1"),
        ),
        Miss(
            "axis 0 of 'image' is read neither at one index nor along an axis of the output",
            4,
            "GSO108",
            stage=Stage.CORNERS,
        ),
    ),
}


def _choosing(four: Four) -> Four:
    """The same with an item of the batch that is told by a coordinate."""
    four.item = four.algebra.floor(four.coordinate("p2", 0, 3))
    return four


def _whole(four: Four) -> list[Expr]:
    """Indices that come as integers."""
    return [four.algebra.elem(f"i{k}", four.at, 0, size - 1, True, sizes=(50,)) for k, size in enumerate((H, W))]


@pytest.mark.parametrize("name", MISSES)
def test_why_it_is_no_sampler_is_said(name: str) -> None:
    make, wanted = MISSES[name]
    four = Four()
    assert recognise(four.algebra, make(four)) == wanted


def test_of_kinds_with_fewer_and_with_more_axes_both_are_told() -> None:
    four = Four()
    linear, trilinear = (kind for kind in KINDS if kind.name in ("linear", "trilinear"))
    found = recognise(four.algebra, four.plain(), [trilinear, linear])
    condition = "where it reads depends on 2 coordinates, 'p0' and 'p1', and bilinear sampling has 1 or 3"
    assert found == Miss(condition, 4, stage=Stage.COORDINATES)


def test_pixels_that_are_no_neighbours_are_named() -> None:
    four = Four(gap=2)
    condition = "along axis 1 of 'image' it reads pixels that lie 2 apart, and are no neighbours"
    assert recognise(four.algebra, four.plain()) == Miss(condition, 4, "GSO102", stage=Stage.CORNERS)


def test_an_index_beyond_the_tensor_is_named_with_what_computes_it() -> None:
    four = Four(lambda algebra: algebra.add(algebra.idx(0, 4), algebra.idx(2, 3)))
    found = recognise(four.algebra, four.plain())
    assert isinstance(found, Miss)
    assert found.condition == "axis 0 of 'image' may be read at 5, beyond 3: nothing keeps the index inside"
    assert (found.code, found.taps, found.extents, found.stage) == ("GSO114", 4, (6, 4), Stage.REGIONS)
    assert found.about is not None
    assert found.about.op == "elem"


def test_a_weight_that_grows_with_the_coordinate_is_no_factor() -> None:
    four = Four()
    found = recognise(four.algebra, four.algebra.mul(four.coordinate("p0"), four.plain()))
    assert isinstance(found, Miss)
    assert (found.code, found.stage) == ("GSO101", Stage.PROOF)
    assert found.told.startswith(
        "it is like bilinear sampling of 'image' (x from 'p1', y from 'p0'), but where 0 <= y < 8"
    )
