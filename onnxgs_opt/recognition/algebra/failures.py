"""What keeps an expression from being one polynomial on a region, in words."""

from __future__ import annotations

from onnxgs_opt.recognition.algebra.cells import MAX_CELLS
from onnxgs_opt.recognition.algebra.expression import Bound

MANY = f"it changes at more than {MAX_CELLS} places along one coordinate"
MIXED = "a condition depends on more than one coordinate"
UNBOUNDED = "a number without bounds is rounded down"


def outside(axis: str, lo: Bound, hi: Bound, last: int) -> str:
    """How far an index between two bounds leaves an axis."""
    low = "" if lo is not None and lo >= 0 else "below 0" if lo is None else f"at {lo}"
    high = "" if hi is not None and hi <= last else f"beyond {last}" if hi is None else f"at {hi}, beyond {last}"
    return f"{axis} may be read {' and '.join(filter(None, (low, high)))}: nothing keeps the index inside"
