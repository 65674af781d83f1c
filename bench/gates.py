"""What `auto` gains where it has to gain so much: `python -m bench.resizes --gates`, and likewise the other benchmarks.

The whole of it is timed: the model as exported, and what `optimize` makes of it by itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import onnxruntime as ort
from onnx import ModelProto

from bench.one_site import NOTHING, nothing_of
from onnxgs_opt.api import optimize
from onnxgs_opt.runtime import RUNTIMES
from onnxgs_opt.runtime.ort import CPU
from onnxgs_opt.runtime.timing import Call, Feeds, race

FLOOR = 0.98
"""What nothing may be below, beside the noise of a machine."""

BUDGET_S = 0.6


@dataclass(frozen=True)
class Gate:
    """One model at one size: how many times as fast `auto` has to make it, and makes it.

    `most` is how many times as fast as the model a call is that does nothing.
    """

    what: str
    least: float
    form: str
    ratio: float
    most: float

    @property
    def is_missed(self) -> bool:
        """Whether it is not as fast."""
        return self.ratio < self.least


def gate(what: str, least: float, model: ModelProto, feeds: Feeds, target: str) -> Gate:
    """Time a model against what `auto` makes of it at the sizes of these inputs; FLOOR is the least in any case."""
    shapes = {value.name: feeds[value.name].shape for value in model.graph.input}
    result = optimize(model, target=target, shapes=shapes)
    forms = ", ".join(dict.fromkeys(site.lowering for site in result.report.sites)) or "no site"
    models = {"exported": model, NOTHING: nothing_of(model)}
    if result.report.status == "optimised":
        models["auto"] = result.model
    times = race({name: _bound(own, feeds, target) for name, own in models.items()}, BUDGET_S)
    # Where nothing is gained the original is what is written.
    ratio = times.ratio("exported", "auto") if "auto" in models else 1.0
    sys.stderr.write(f"{what}: {forms} {ratio:.2f}\n")
    return Gate(what, max(least, FLOOR), forms, ratio, times.ratio("exported", NOTHING))


def _bound(model: ModelProto, feeds: Feeds, target: str) -> Call:
    """A call of a model whose inputs and outputs are bound: what Python adds to a call is no part of any model.

    It is 3 us here, as much as a small Resize takes.
    """
    runtime = RUNTIMES[target]
    if target != "ort-cpu":
        return runtime.prepare(model, feeds)
    session: Any = runtime.load(model)
    return bound(session.raw, feeds)


def bound(session: Any, feeds: Feeds) -> Call:
    """A call of a session of onnxruntime on the CPU, into outputs that are there."""
    binding = session.io_binding()
    for value in session.get_inputs():
        binding.bind_cpu_input(value.name, feeds[value.name])
    for value, made in zip(session.get_outputs(), session.run(None, dict(feeds)), strict=True):
        binding.bind_ortvalue_output(value.name, ort.OrtValue.ortvalue_from_numpy(made))
    assert session.get_providers() == [CPU], "what is bound lies in the memory of the processor"

    def call() -> None:
        session.run_with_iobinding(binding)

    call()
    return call


def judge(gates: Iterable[Gate], machine: str) -> int:
    """Print every gate beside what was measured; 1 where one is missed."""
    found = list(gates)
    lines = [f"exported / auto, {machine}, onnxruntime {ort.__version__}; calls with bound inputs and outputs", ""]
    lines += ["| | at least | auto | form | a call of nothing | |", "|---|---|---|---|---|---|"]
    for own in found:
        figures = f"{own.least:g} | {own.ratio:.2f} | {own.form} | {own.most:.2f}"
        lines.append(f"| {own.what} | {figures} | {'MISSED' * own.is_missed} |")
    sys.stdout.write("\n".join(lines) + "\n")
    return int(any(own.is_missed for own in found))
