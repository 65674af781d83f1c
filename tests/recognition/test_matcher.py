"""A kind of sampler is data: the matcher proves each one that it is given, and the tool gives it one."""

from __future__ import annotations

import pytest

from onnxgs_opt.recognition.algebra.expression import Algebra, Expr
from onnxgs_opt.recognition.match import Match, Miss
from onnxgs_opt.recognition.matcher import RECOGNISED, Interpolation, recognise
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
    mixed = AxisSpec(), AxisSpec(), AxisSpec(border=BORDERS["border"])
    miss = recognise(algebra, written(algebra, mixed), [trilinear])
    assert isinstance(miss, Miss)
    assert miss.code == "GSO103"
    assert miss.told == (
        "it is like trilinear sampling of 'image' (x from 'p2', y from 'p1', z from 'p0'), but where 0 <= z < 8 and "
        "0 <= y < 10 and -1 < x < 0, the pixel (floor(z), floor(y), 0) counts (1-v)*(1-w), and would have to count "
        "u*(1-v)*(1-w) if it is 0 outside"
    )
