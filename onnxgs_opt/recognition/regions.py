"""Which regions of the coordinates tell best what an expression reads."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from onnxgs_opt.recognition.algebra.expression import Expr
from onnxgs_opt.recognition.algebra.piecewise import Cell, Coordinate, Resolver, Split, Unresolved, partitions
from onnxgs_opt.recognition.algebra.polynomial import Poly
from onnxgs_opt.recognition.coordinates import domain
from onnxgs_opt.recognition.reasons import extent

MAX_PROOFS = 3
"""Regions of a mirrored or repeated image from which a proof is tried."""


def in_order(cells: Sequence[Sequence[Cell]], coordinates: Sequence[Coordinate]) -> list[tuple[Cell, ...]]:
    """All regions: wide ones first; of mirror images, and of repeated ones, that which begins at pixel 0."""
    turning = any(coordinate.reach for coordinate in coordinates)
    return sorted(product(*cells), key=_from_zero if turning else lambda region: (False, -extent(region), 0))


def taps_in(resolver: Resolver, poly: Poly) -> set[int]:
    """The atoms of the pixels that a polynomial is made of."""
    return {a for monomial, _ in poly for a in monomial if a in resolver.elements}


def first_of(
    resolver: Resolver, root: Expr, coordinates: Sequence[Coordinate]
) -> tuple[tuple[Cell, ...], Poly, set[int]] | None:
    """The first region, the polynomial of `root` and its pixels there, seen without a look at any other region.

    None where only a look at all tells what is a region, or what is wrong.
    """
    axes = [resolver.partition(axis, domain(coordinate), [root]) for axis, coordinate in enumerate(coordinates)]
    region = in_order(axes, coordinates)[0]
    try:
        poly = resolver.evaluate(root, region)
    except (Split, Unresolved):
        return None
    return region, poly, taps_in(resolver, poly)


def fullest(
    resolver: Resolver, root: Expr, coordinates: Sequence[Coordinate], reads: int
) -> tuple[tuple[Cell, ...], Poly, set[int]]:
    """The widest of the regions with most pixels, the polynomial of `root` there and these; it has so many `reads`."""
    first = first_of(resolver, root, coordinates)
    if first is not None and len(first[2]) == reads:
        return first
    grid = partitions(resolver, [domain(coordinate) for coordinate in coordinates], [root])
    found = ((region, resolver.evaluate(root, region)) for region in product(*grid))
    every = ((region, poly, taps_in(resolver, poly)) for region, poly in found)
    return max(every, key=lambda seen: (len(seen[2]), extent(seen[0])))


def _from_zero(region: Sequence[Cell]) -> tuple[bool, int, int]:
    """Near pixel 0 first, and better behind it than before it."""
    width = extent(region)
    distance = sum(2 * abs(cell.lo) + (cell.lo < 0) for cell in region if cell.lo is not None)
    return not width, distance, -width


def ascends(poly: Poly, taps: Sequence[int], steps: Sequence[Poly], fraction: int) -> bool:
    """Whether the taps further along an axis, `steps` behind its floor, count for nothing where the `fraction` is 0.

    In a mirror image it is the other way round.
    """
    places = [step.constant or 0 for step in steps]
    later = {tap for tap, place in zip(taps, places, strict=True) if place != min(places)}
    return all(fraction in monomial for monomial, _ in poly if not later.isdisjoint(monomial))
