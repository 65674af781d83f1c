"""The number that a sampler reads wherever a tap lies outside the image."""

from __future__ import annotations

from collections.abc import Sequence

from onnxgs_opt.recognition.algebra.expression import Expr
from onnxgs_opt.recognition.algebra.piecewise import Cell, Resolver, Split, Unresolved
from onnxgs_opt.recognition.algebra.polynomial import Number


def fill_of(resolver: Resolver, root: Expr, factor: Expr, cells: Sequence[list[Cell]]) -> Number:
    """The c for which `root` is `factor` * c in the corner before the first row and column; 0 where it is no number.

    Where a pixel is read there, it fills nothing. A proof has to follow: of zeros on the image less c, plus c.
    """
    try:
        corner = [resolver.partition(axis, part, [root])[0] for axis, part in enumerate(cells)]
        value, scale = (resolver.evaluate(expr, corner) for expr in (root, factor))
    except (Split, Unresolved):
        return 0
    return value.over(scale) or 0
