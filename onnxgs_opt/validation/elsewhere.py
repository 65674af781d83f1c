"""The whole model in the runtime that it is for: how far it is there from what onnxruntime makes of it on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from onnxgs_opt.errors import RunError
from onnxgs_opt.lowering import Tolerance
from onnxgs_opt.runtime import Runtime
from onnxgs_opt.validation.check import Model, check_model, proto_and_folder
from onnxgs_opt.validation.compare import BROKEN, ROUNDINGS, Comparison, gaps
from onnxgs_opt.validation.inputs import ModelInputs
from onnxgs_opt.validation.original import Original


@dataclass(frozen=True)
class Elsewhere:
    """What a runtime makes of a result.

    Attributes:
        runtime: Its name.
        check: The comparison with the exported model, as onnxruntime and as this runtime computes it.
        off: Where that is more than `atol`, how far result and exported model are from onnxruntime's exported one.
        atol: What may differ.
    """

    runtime: str
    check: Comparison
    off: tuple[float, float] | None
    atol: float

    @property
    def is_right(self) -> bool:
        """Whether the result is within the tolerance, or at most `ROUNDINGS` times as far off as the exported model.

        A runtime of shorter floats moves both.
        """
        if self.off is None:
            return self.check.status != "mismatch"
        result, exported = self.off
        return result <= ROUNDINGS * exported + self.atol

    @property
    def words(self) -> str:
        """What is wrong with the result."""
        if self.off is None:
            return self.check.worst
        result, exported = self.off
        return f"on {self.runtime} the whole model is off by {result:.3g} so, and by {exported:.3g} as exported"


def check_elsewhere(
    runtime: Runtime, models: tuple[Model, Model], inputs: ModelInputs, tolerance: Tolerance
) -> Elsewhere:
    """Run the result, the second of `models`, in a runtime; where it is off, the exported one, the first, as well."""
    before, after = models
    check = check_model(before, after, inputs, tolerance, runtime=runtime)
    off = None
    differs = check.status == "mismatch" or check.max_abs > tolerance.atol
    if differs and not check.worst.startswith(BROKEN):
        result, exported = (max(_distances(runtime, before, model, inputs), default=0.0) for model in (after, before))
        off = result, exported
    return Elsewhere(runtime.name, check, off, tolerance.atol)


def _distances(runtime: Runtime, before: Model, model: Model, inputs: ModelInputs) -> Iterator[float]:
    """For each run that the reference makes, how far a model is from it in a runtime; inf where that does not run."""
    (source, folder), (proto, own) = proto_and_folder(before), proto_and_folder(model)
    reference = Original(source, folder)
    try:
        loaded = runtime.load(proto, own)
    except RunError:
        yield float("inf")
        return
    for run in inputs.runs(source):
        try:
            expected = reference.outputs(run)
        except RunError:
            continue
        try:
            made = loaded.run(reference.session.outputs, run.feeds)
        except RunError:
            yield float("inf")
            continue
        for a, b in zip(expected, made, strict=True):
            yield float(gaps(np.asarray(a), np.asarray(b)).max(initial=0.0))
