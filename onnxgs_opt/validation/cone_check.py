"""The check of a site by its cone: what that makes of inputs serves every lowering."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from onnx import ModelProto

from onnxgs_opt.lowering.base import Tolerance
from onnxgs_opt.runtime import Runtime
from onnxgs_opt.validation.compare import Comparison, compare_runs
from onnxgs_opt.validation.inputs import Run
from onnxgs_opt.validation.original import Original
from onnxgs_opt.validation.terms import Terms

S = TypeVar("S")


@dataclass(frozen=True)
class ConeCheck(Generic[S]):
    """The check of one site.

    Attributes:
        site: What is checked.
        cone: The model from what the site reads to its output.
        terms: How to check.
        runs: The inputs.
        lowered: From the cone, the site and a lowering's name to the same model with the site lowered.
        tolerance: What the output of a site may differ by, by a lowering's name and at one of the inputs.
    """

    site: S
    cone: Original
    terms: Terms
    runs: tuple[Run, ...]
    lowered: Callable[[ModelProto, S, str], ModelProto]
    tolerance: Callable[[S, str, Run], Tolerance]

    @classmethod
    def of(
        cls,
        site: S,
        cone: ModelProto,
        terms: Terms,
        runs: Iterable[Run],
        lowered: Callable[[ModelProto, S, str], ModelProto],
        tolerance: Callable[[S, str, Run], Tolerance],
    ) -> ConeCheck[S]:
        """Prepare the checks of a site whose cone is known."""
        return cls(
            site, Original(cone, custom_ops=terms.custom_ops, keeps=True), terms, tuple(runs), lowered, tolerance
        )

    def compare(self, name: str, runtime: Runtime | None = None) -> Comparison:
        """Compare the cone with what a lowering writes for it, which runs in `runtime` or onnxruntime on a CPU."""

        def allowed(run: Run) -> Tolerance:
            return self.terms.tolerance(self.tolerance(self.site, name, run))

        after = self.lowered(self.cone.model, self.site, name)
        return compare_runs(replace(self.cone, runtime=runtime), after, self.runs, allowed, self.terms.seed, None)
