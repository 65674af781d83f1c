"""What timing one candidate of a site gave."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """One timed candidate of a site; `ratio` is before / after, above 1 is faster."""

    lowering: str
    status: str
    median_ms: float | None = None
    ratio: float | None = None
