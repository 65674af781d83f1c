"""Borders: what is read where a tap lies outside the image.

A new one is a name and an entry here, and its own formula in tests/fixtures/reference.py, which the tests ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol, TypeAlias

from onnxgs_opt.samplers.arithmetic import Arithmetic, E

BorderName: TypeAlias = str
"""The border of every axis, `cylinder`, or the border of each axis: "zeros x wrap"."""

HALF = Fraction(1, 2)


class IndexRule(Protocol):
    """Where a tap reads."""

    def __call__(self, o: Arithmetic[E], i: E, last: E) -> tuple[E, E]:
        """The index to read for tap `i` of an axis whose last index is `last`, and 1 where that counts, else 0."""


@dataclass(frozen=True)
class Border:
    """A rule for taps outside the image; a fill value c is `zeros` on the image minus c, plus c.

    `period`: of one that changes again and again outside, after how many pixels it begins anew, by the size.
    """

    name: BorderName
    index: IndexRule
    period: Callable[[int], int] | None = None

    @property
    def periodic(self) -> bool:
        """Whether it begins anew outside again and again."""
        return self.period is not None


def clamp(o: Arithmetic[E], i: E, last: E) -> E:
    """The nearest point of [0, last]."""
    return o.minimum(o.maximum(i, o.zero), last)


def mirror(o: Arithmetic[E], i: E, last: E, beyond: Fraction = Fraction(0)) -> E:
    """The point of [-beyond, last + beyond] that `i` is a mirror image of."""
    margin = o.num(beyond)
    span = o.add(last, o.num(2 * beyond))
    period = o.maximum(o.add(span, span), o.one)  # of a single pixel every index is a mirror image
    distance = _remainder(o, o.add(i, margin), period)
    return o.sub(o.minimum(distance, o.sub(period, distance)), margin)


def _back_and_forth(o: Arithmetic[E], i: E, last: E) -> E:
    """The index that a whole number is a mirror image of, about the outer edges: `mirror` without a half."""
    size = o.add(last, o.one)
    period = o.add(size, size)
    forth = _remainder(o, i, period)
    return o.minimum(forth, o.sub(o.sub(period, o.one), forth))


def _remainder(o: Arithmetic[E], i: E, period: E) -> E:
    return o.sub(i, o.mul(period, o.floor(o.div(i, period))))


ZEROS = Border("zeros", lambda o, i, last: (i, o.mul(o.ge(i), o.ge(o.sub(last, i)))))
BORDER = Border("border", lambda o, i, last: (clamp(o, i, last), o.one))
BORDERS: Mapping[str, Border] = {
    border.name: border
    for border in (
        ZEROS,
        BORDER,
        Border("reflection", lambda o, i, last: (mirror(o, i, last), o.one), lambda size: 2 * (size - 1)),
        Border("symmetric", lambda o, i, last: (_back_and_forth(o, i, last), o.one), lambda size: 2 * size),
        Border("wrap", lambda o, i, last: (_remainder(o, i, o.add(last, o.one)), o.one), lambda size: size),
    )
}
"""0; the nearest pixel; mirrored at the outer pixels' centres, or at their outer edges; the image repeated."""

PERIODIC = tuple(border for border in BORDERS.values() if border.periodic)
"""Those that change again and again outside."""

MIRRORED: Mapping[str, Fraction] = {"reflection": Fraction(0), "symmetric": HALF}
"""Of the borders that mirror, how far beyond the centres of the outer pixels."""

CYLINDER: BorderName = "cylinder"
"""Of panoramas: rows end where they begin, and above and below the edge goes on."""

BESIDE = " x "
"""Between the names of the borders of axes that differ."""


def borders_along(name: BorderName, axes: int) -> tuple[Border, ...]:
    """The border along each axis; of a cylinder the last axis is repeated, and the others end."""
    if name == CYLINDER:
        return (*(axes - 1) * (BORDER,), BORDERS["wrap"])
    names = name.split(BESIDE)
    return axes * (BORDERS[name],) if len(names) == 1 else tuple(BORDERS[own] for own in names)


def border_of(names: Sequence[str]) -> BorderName:
    """The name of the borders along the axes: what `borders_along` reads."""
    first, *others = names
    if {first}.issuperset(others):
        return first
    is_cylinder = names[-1] == "wrap" and set(names[:-1]) == {BORDER.name}
    return CYLINDER if is_cylinder else BESIDE.join(names)
