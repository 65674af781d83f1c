"""Whether a model's types hold the numbers that it computes its reads from."""

from __future__ import annotations

import math

import numpy as np

from onnxgs_opt.recognition.lifting.elementwise import exact_below
from onnxgs_opt.recognition.lifting.lift import Lift
from onnxgs_opt.recognition.lifting.shape_functions import UNKNOWN
from onnxgs_opt.recognition.match import Match, Miss
from onnxgs_opt.recognition.reasons import source


def inexact(lift: Lift, match: Match, most_pixels: int | None = None) -> Miss | None:
    """The miss of indices or coordinates whose float type does not hold every integer up to the sizes; else None.

    Indices of the pixels alone need to be exact up to `most_pixels` only, more of which no claim is made for.
    """
    pixels = math.prod(s for s, i in zip(match.sizes, match.index, strict=True) if i is None)
    are_pixels = pixels == math.prod(axis.size for axis in match.axes)
    if pixels > lift.exact_below and not (are_pixels and most_pixels is not None and most_pixels <= lift.exact_below):
        condition = f"its linear index goes up to {pixels}, and is computed in a type that is exact up to"
        return Miss(f"{condition} {lift.exact_below}", 4, "GSO110")
    for axis in reversed(match.axes):
        dtype = lift.facts.get(str(axis.leaf.args[0]), UNKNOWN).dtype
        is_whole = dtype is not None and dtype.kind in "iub"
        if dtype is None or (is_whole and not axis.counts_parts):
            continue
        dtype = np.dtype(np.float32) if is_whole else dtype  # in which parts of a pixel are divided
        largest = math.ceil(axis.size / axis.slope) if axis.counts_parts else axis.size
        if largest > (most := exact_below(dtype)):
            exact = f"{dtype}, which is exact up to {most}"
            return Miss(f"{source(axis.leaf)} is a coordinate up to {largest} in {exact}", 4, "GSO110")
    return None
