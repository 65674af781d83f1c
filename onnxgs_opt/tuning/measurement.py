"""What timing one candidate of a site gave."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """One timed candidate of a site; `ratio` is before / after, above 1 is faster.

    It is the median of the rounds in which both ran in turn, `ratio_low` and `ratio_high` are the quartiles, None where
    it ran once. `median_ms` is what the exported form's median is by that ratio: medians of both, taken apart, may say
    another order than the ratios do. `max_abs` is the largest difference that its check showed.
    """

    lowering: str
    status: str
    median_ms: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    max_abs: float | None = None
