"""Seeds of the fuzzers: one small model for each kind of thing that a model can hold, as .onnx files in this folder.

`python -m tests.campaigns.reliability.corpus` makes the files anew.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent

SLOW = (
    *("two-reads", "grid-sample", "grid-sample-20"),
    *("sampler-lerp", "sampler-border", "sampler-interior", "sampler-index"),
    *("nearest-plane", "cubic-line", "floor-volume", "resize-line", "resize-rows", "resize-lerps"),
    *("boxes", "deform-rows", "deform-grid", "attention", "attention-halves"),
)
"""Seeds that hold a site, which takes 10 to 100 ms; the others take about one."""


@cache
def seeds() -> dict[str, bytes]:
    """The committed files: bytes by name."""
    return {path.stem: path.read_bytes() for path in sorted(FOLDER.glob("*.onnx"))}


def small_seeds() -> list[str]:
    """Names of the seeds that hold no site."""
    return [name for name in seeds() if name not in SLOW]
