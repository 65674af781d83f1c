"""`keep`: leave the cone as it was exported; always possible, and what the others are measured against."""

from __future__ import annotations

from dataclasses import dataclass

from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.lowering.base import EXACT, Emitted, Tolerance
from onnxgs_opt.runtime.target import Target
from onnxgs_opt.samplers.site import Site

KEEP = "keep"


@dataclass(frozen=True)
class Keep:
    """No change. Passes that lower a plan skip its sites."""

    name: str = KEEP
    tolerance: Tolerance = EXACT

    def refusal(self, site: Site, target: Target) -> str | None:
        """Never refuse."""
        return None

    def emit(self, builder: Builder, site: Site) -> Emitted:
        """Not to be called: there is nothing to write."""
        raise AssertionError("the keep lowering writes nothing: leave the site's cone as it is")
