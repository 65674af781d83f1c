"""Every kernel along every number of axes is told from its indices, and proven."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import pytest

from onnxgs_opt.recognition.algebra.expression import Algebra, Expr
from onnxgs_opt.recognition.family import recognise_any
from onnxgs_opt.recognition.match import Match, Miss
from onnxgs_opt.recognition.matcher import recognise
from onnxgs_opt.samplers.border import BORDERS
from onnxgs_opt.samplers.kernel import KERNELS, Kernel, cubic
from onnxgs_opt.samplers.policy import WINDOWS, Window
from onnxgs_opt.samplers.sampler import AxisSpec, Sampler, sample

SIZES = (9, 11, 8)
TURNED = {
    **dict.fromkeys(("nearest", "nearest-even", "nearest-away", "nearest-down"), ((9,), (2, 8), (3, 7, 2))),
    "linear": ((9,), (3, 7, 2)),
    "cubic": ((9,), (2, 8)),
    "cubic(-1/2)": ((9,), (3, 4)),
}
"""Sizes of the images of each kernel that are mirrored or repeated; two axes of linear ones are `matcher`'s."""


def written(algebra: Algebra, sampler: Sampler, sizes: tuple[int, ...] = SIZES, bound: int | None = None) -> Expr:
    """The sample of an image [C, *S] at as many tensors of coordinates, each within -bound and size + bound."""
    axes, at = len(sampler), (algebra.idx(1, 50),)
    limits = [(None, None) if bound is None else (-bound, size + bound) for size in sizes[:axes]]
    points = [algebra.elem(f"p{k}", at, *limits[k], sizes=(50,)) for k in range(axes)]

    def read(index: tuple[Expr, ...]) -> Expr:
        return algebra.elem("image", (algebra.idx(0, 4), *index), sizes=(4, *sizes[:axes]))

    return sample(algebra, sampler, points, [algebra.num(size) for size in sizes[:axes]], read)


def proven(algebra: Algebra, root: Expr, offset: Fraction = Fraction(0)) -> Match:
    found = recognise_any(algebra, root)
    assert isinstance(found, Match), found
    assert all(axis.slope == 1 and axis.offset.value == offset for axis in found.axes)
    return found


def told_as(kernel: str, border: str) -> tuple[str, Fraction]:
    """What a kernel is found as, and what is added to its coordinates."""
    if kernel == "floor":
        return "nearest", Fraction(-1, 2)
    same = kernel == "nearest-away" and border == "border"  # at -1/2 one reads pixel 0, and the other what is there
    return "nearest" if same else kernel, Fraction(0)


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("border", ["zeros", "border"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_each_kernel_is_told(kernel: str, border: str, axes: int) -> None:
    algebra, sampler = Algebra(), axes * (AxisSpec(KERNELS[kernel], BORDERS[border]),)
    if (kernel, axes) == ("linear", 2):
        assert isinstance(recognise_any(algebra, written(algebra, sampler)), Miss)  # `recognise` has that
        return
    name, offset = told_as(kernel, border)
    found = proven(algebra, written(algebra, sampler), offset)
    assert (found.kernels, found.policy.border) == (axes * (name,), border)


@pytest.mark.parametrize("border", ["reflection", "symmetric", "wrap"])
@pytest.mark.parametrize("kernel", [*TURNED, "nearest within bounds"])
def test_each_kernel_is_told_of_periodic_borders(kernel: str, border: str) -> None:
    """Sizes are odd and even: rounding to even numbers begins anew after an even number of pixels only."""
    name, bound = kernel.split()[0], 4 if kernel.endswith("bounds") else None
    for sizes in TURNED.get(kernel, ((9,), (3, 6))):
        algebra, sampler = Algebra(), len(sizes) * (AxisSpec(KERNELS[name], BORDERS[border]),)
        found = recognise_any(algebra, written(algebra, sampler, sizes, bound))
        assert isinstance(found, Match), found
        assert (found.kernels, found.policy.border) == (len(sizes) * (name,), border)
        assert [axis.offset.value for axis in found.axes] == len(sizes) * [0]


@pytest.mark.parametrize("kernel", ["nearest", "nearest-even", "cubic"])
@pytest.mark.parametrize("names", list(product(BORDERS, BORDERS)), ids=" x ".join)
def test_axes_with_borders_of_their_own(kernel: str, names: tuple[str, str]) -> None:
    algebra = Algebra()
    sampler = tuple(AxisSpec(KERNELS[kernel], BORDERS[name]) for name in names)
    found = recognise_any(algebra, written(algebra, sampler))
    assert isinstance(found, Match), found
    assert found.sampler == sampler


@pytest.mark.parametrize("names", [("zeros", "border", "wrap"), ("reflection", "zeros", "zeros")], ids=" x ".join)
def test_borders_of_a_volume(names: tuple[str, ...]) -> None:
    algebra = Algebra()
    sampler = tuple(AxisSpec(KERNELS["linear"], BORDERS[name]) for name in names)
    found = recognise_any(algebra, written(algebra, sampler, (3, 7, 4)))
    assert isinstance(found, Match), found
    assert found.sampler == sampler


@pytest.mark.parametrize(
    ("weights", "kernel"), [("cubic", "cubic(-1/2)"), ("cubic", "linear"), ("linear", "linear")], ids=str
)
def test_weights_of_another_kernel_are_no_samplers_of_a_mirrored_image(weights: str, kernel: str) -> None:
    """The pixels are those of `weights`, and count as those of `kernel` at three quarters of the fraction."""
    algebra, border = Algebra(), BORDERS["reflection"]
    p, last = algebra.elem("p", (algebra.idx(0, 50),), sizes=(50,)), algebra.num(8)
    u = algebra.sub(p, algebra.floor(p))
    counts = KERNELS[kernel].weights(algebra, algebra.scale(u, Fraction(3, 4)))
    total = algebra.zero
    for (tap, _), weight in zip(KERNELS[weights].at(algebra, p), [*counts, *4 * (algebra.zero,)], strict=False):
        pixel = algebra.elem("image", (border.index(algebra, tap, last)[0],), sizes=(9,))
        total = algebra.add(total, algebra.mul(weight, pixel))
    assert isinstance(recognise_any(algebra, total), Miss)


@pytest.mark.parametrize("border", ["zeros", "border"])
def test_axes_with_kernels_of_their_own(border: str) -> None:
    names = ("nearest-even", "cubic", "linear")
    sampler = tuple(AxisSpec(KERNELS[name], BORDERS[border]) for name in names)
    algebra = Algebra()
    assert proven(algebra, written(algebra, sampler)).sampler == sampler


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("kernel", ["nearest", "nearest-even"])
def test_windows_of_a_single_pixel(kernel: str, window: str) -> None:
    algebra, sampler = Algebra(), 2 * (AxisSpec(KERNELS[kernel], BORDERS["border"], WINDOWS[window]),)
    found = proven(algebra, written(algebra, sampler))
    assert found.policy.window == window


@pytest.mark.parametrize("sizes", list(product((2, 3), (2, 3))))
@pytest.mark.parametrize("kernel", ["nearest", "nearest-even", "cubic"])
def test_images_too_small_to_show_all_pixels(kernel: str, sizes: tuple[int, int]) -> None:
    algebra, sampler = Algebra(), 2 * (AxisSpec(KERNELS[kernel], BORDERS["border"]),)
    found = proven(algebra, written(algebra, sampler, sizes))
    assert found.sampler == sampler


WRONG = {
    "a half too far": lambda o, p: o.floor(o.add(p, o.num(Fraction(3, 4)))),
    "towards zero": lambda o, p: o.trunc(o.add(p, o.num(Fraction(1, 2)))),
}


@pytest.mark.parametrize("border", ["zeros", "border"])
@pytest.mark.parametrize("name", WRONG)
def test_a_rounding_of_its_own_is_what_it_comes_to(name: str, border: str) -> None:
    """Cut off towards zero, what lies up to 1 before the first pixel is that pixel, whatever is beyond."""
    algebra = Algebra()
    kernel = Kernel("wrong", 0, 1, lambda o, t: (o.one,), WRONG[name])  # type: ignore[arg-type]
    found = recognise_any(algebra, written(algebra, (AxisSpec(kernel, BORDERS[border]),)))
    assert isinstance(found, Match)
    told = found.kernels[0], found.axes[0].offset.value, found.policy.name
    if name == "a half too far":
        assert told == ("nearest", Fraction(1, 4), border)
    else:
        assert told == (("nearest", 0, "border") if border == "border" else ("floor", Fraction(1, 2), "border-reach"))


def test_cubic_weights_of_another_parameter_are_none() -> None:
    algebra, spec = Algebra(), AxisSpec(cubic(Fraction(-2, 3)), BORDERS["border"])
    assert isinstance(recognise_any(algebra, written(algebra, (spec,))), Miss)


def test_a_place_that_is_an_integer_is_looked_up() -> None:
    algebra = Algebra()
    number = algebra.elem("k", (algebra.idx(1, 50),), 0, 80, integral=True, sizes=(50,))
    index = algebra.quotient(number, 9)
    table = algebra.elem("table", (algebra.idx(0, 4), index), sizes=(4, 9))
    found = recognise_any(algebra, table)
    assert isinstance(found, Miss)
    assert "integer" in found.condition


@pytest.mark.parametrize(("end", "is_inside"), [("8.49", True), ("8.51", False)])
def test_a_pixel_is_inside_where_bounds_round_into_the_image(end: str, is_inside: bool) -> None:
    """Clamps just inside the outer edges keep what is rounded in the image."""
    algebra = Algebra()
    p = algebra.elem("p", (algebra.idx(1, 50),), Fraction("-0.49"), Fraction(end), sizes=(50,))
    root = algebra.elem("image", (algebra.idx(0, 4), algebra.round(p)), sizes=(4, 9))
    found = recognise_any(algebra, root)
    assert isinstance(found, Match) == is_inside
    assert not isinstance(found, Match) or found.kernels == ("nearest-even",)
    assert is_inside or (isinstance(found, Miss) and found.code == "GSO114")


def test_as_many_pixels_as_no_kernel_takes_are_counted() -> None:
    """Of a windowed sinc it was told that its indices are no rounded coordinates, which they are."""
    algebra = Algebra()
    p = algebra.elem("p", (algebra.idx(1, 50),), Fraction(3), Fraction(5), sizes=(50,))
    root = algebra.zero
    for k in range(-2, 4):
        index = algebra.add(algebra.floor(p), algebra.num(k))
        root = algebra.add(root, algebra.elem("image", (algebra.idx(0, 4), index), sizes=(4, 9)), Fraction(k + 3, 21))
    found = recognise_any(algebra, root)
    assert isinstance(found, Miss)
    assert found.condition.startswith("along axis 1 it reads 6 pixels of each point")


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("border", ["zeros", "border"])
def test_what_is_masked_is_proven_inside_too_where_it_is_known_of_other_sizes(border: str, window: Window) -> None:
    """The proof ended where the mask is 0, at the first region: what is another function inside was taken for it."""
    algebra, sampler, sizes = Algebra(), 2 * (AxisSpec(KERNELS["linear"], BORDERS[border], window),), (9, 11)
    points = [algebra.elem(f"p{k}", (algebra.idx(1, 50),), sizes=(50,)) for k in range(2)]

    def read(index: tuple[Expr, ...]) -> Expr:
        return algebra.elem("image", (algebra.idx(0, 4), *index), sizes=(4, *sizes))

    masked = sample(algebra, sampler, points, [algebra.num(size) for size in sizes], read)
    below = algebra.ge(algebra.sub(points[0], algebra.num(5)))
    assert isinstance(recognise(algebra, masked, like=sampler), Match)
    assert isinstance(recognise(algebra, algebra.select(below, algebra.scale(masked, 3), masked), like=sampler), Miss)


def test_of_two_rows_the_border_is_that_of_other_sizes() -> None:
    """Within one turn of two rows repeated ones are mirrored ones, too: a texture of any size was none, for that."""
    algebra, sampler, sizes = Algebra(), 2 * (AxisSpec(KERNELS["linear"], BORDERS["wrap"]),), (2, 3)
    at = (algebra.idx(1, 50),)
    points = [algebra.elem(f"p{k}", at, 0, size, sizes=(50,)) for k, size in enumerate(sizes)]

    def read(index: tuple[Expr, ...]) -> Expr:
        return algebra.elem("image", (algebra.idx(0, 4), *index), sizes=(4, *sizes))

    root = sample(algebra, sampler, points, [algebra.num(size) for size in sizes], read)
    found = [recognise(algebra, root, like=like) for like in (None, sampler)]
    assert [match.policy.border for match in found if isinstance(match, Match)] == ["reflection x wrap", "wrap"]
