"""The race of one site's lowerings: each that is right is timed against the cone as exported; and of whole models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite

from onnx import ModelProto

from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import LOWERINGS
from onnxgs_opt.lowering.keep import KEEP
from onnxgs_opt.runtime import Runtime
from onnxgs_opt.runtime.memory import TooLargeError, require_sessions
from onnxgs_opt.runtime.timing import Call, Race, SlowError, race, run_within, settled
from onnxgs_opt.tuning.measurement import Measurement
from onnxgs_opt.tuning.trial import Trial
from onnxgs_opt.validation.compare import Comparison
from onnxgs_opt.validation.extract import NotRunnableError
from onnxgs_opt.validation.inputs import ModelInputs

SITE_BUDGET_S = 0.15
LONG_BUDGET_S = 4.0
"""Seconds for the timed rounds of one signature: at least, and at most where every call is slow."""

MODEL_BUDGET_S = 0.05
PATIENCE = 8
"""A candidate is out when its first call takes this many times as long as the exported cone's."""

LEAST_LIMIT_S = 2.0
RIVAL = 1.5
"""Candidates that took this much longer than the best in two calls are not timed further."""

INEXACT = 1.05
"""A lowering that costs precision has to be this much faster than one that does not."""

ROUNDINGS = 1e-5
"""A lowering with an absolute tolerance up to this differs by roundings of fp32 only: it costs no precision."""

FIRST_LIMIT_S = 600
"""Seconds that the exported form, or a whole model, may take for its first call."""


class Contest:
    """The exported form of one trial and the candidates that are ready to be timed against it.

    Raises:
        Exception: The cone does not run alone; runtimes' errors have no common base.
    """

    def __init__(
        self,
        trial: Trial,
        graph: Graph,
        runtime: Runtime,
        seed: int = 0,
        custom_ops: Sequence[str] = (),
        limit_s: float = FIRST_LIMIT_S,
    ) -> None:
        """Run the cone as exported once, in `limit_s` seconds."""
        self._trial, self._graph, self._runtime, self._custom_ops = trial, graph, runtime, custom_ops
        self._cone = trial.cone(graph)
        self._feeds = trial.feeds(self._cone, seed)
        self._calls = {KEEP: self._prepared(self._cone)}
        self._first = run_within(self._calls[KEEP], limit_s)
        self._rows: dict[str, Measurement] = {}
        self._errors: dict[str, float] = {}

    @property
    def kept_s(self) -> float:
        """Seconds of a call of the exported form."""
        return min(self._first, settled(self._calls[KEEP]))

    def enter(self, name: str, check: Comparison) -> None:
        """Let a lowering take part, where it is right, builds, and its first call is not hopelessly slow."""
        if check.status != "not-run" and isfinite(check.max_abs):
            self._errors[name] = check.max_abs
        found = "wrong" if check.status == "mismatch" else self._candidate(name)
        if isinstance(found, str):
            self._rows[name] = Measurement(name, found, max_abs=self._errors.get(name))
            return
        self._calls[name] = found

    def _prepared(self, model: ModelProto) -> Call:
        return self._runtime.prepare(model, self._feeds, custom_ops=self._custom_ops)

    def _candidate(self, name: str) -> Call | str:
        """The call of a lowering, or the status of one that failed."""
        try:
            call = self._prepared(self._trial.lowered(self._graph, self._cone, name))
            run_within(call, max(LEAST_LIMIT_S, PATIENCE * self._first))
            return call
        except SlowError:
            return "timeout"
        except Exception:  # runtimes' errors have no common base
            return "build_failed"

    def run(self, left_s: float = LONG_BUDGET_S) -> tuple[str, str, dict[str, Measurement]]:
        """The winner, why it won, and a row for each that took part; those far behind in two calls run no further.

        Where less than `left_s` seconds are left, the others run for a shorter time, too.
        """
        once = first_calls(self._calls)
        best = min(once.values())
        racing = {name: call for name, call in self._calls.items() if name == KEEP or once[name] <= RIVAL * best}
        most = max(SITE_BUDGET_S, min(LONG_BUDGET_S, left_s))
        result = race(racing, min(most, max(SITE_BUDGET_S, 8 * sum(once[name] for name in racing))), once)
        rows = {name: _row(result, name) if name in racing else _slow_row(result, once, name) for name in self._calls}
        rows = {name: replace(row, max_abs=self._errors.get(name)) for name, row in rows.items()}
        return *winner_of(result), {**self._rows, **rows}


def first_calls(calls: Mapping[str, Call]) -> dict[str, float]:
    """Seconds of a call of each; of the shorter of two where the first is far behind, as one may have been held up."""
    once = {name: settled(call) for name, call in calls.items()}
    limit = RIVAL * min(once.values())
    return {name: taken if taken <= limit else min(taken, settled(calls[name])) for name, taken in once.items()}


def _row(result: Race, name: str) -> Measurement:
    ratio, (low, high) = result.ratio(KEEP, name), result.quartiles(KEEP, name)
    time = result.median_ms(KEEP) / ratio
    return Measurement(name, "ok", *(round(figure, 4) for figure in (time, ratio, low, high)))


def _slow_row(result: Race, once: Mapping[str, float], name: str) -> Measurement:
    ratio = once[KEEP] / once[name]
    return Measurement(name, "ok", round(result.median_ms(KEEP) / ratio, 4), round(ratio, 4))


def winner_of(result: Race) -> tuple[str, str]:
    """The lowering that won, and why; one that costs precision has to win by more."""
    winners = [name for name in result.seconds if name != KEEP and result.is_faster(KEEP, name)]
    if not winners:
        return KEEP, "no form that was timed is clearly faster than the exported one"
    ratios = {name: result.ratio(KEEP, name) for name in winners}
    best = max(winners, key=lambda name: ratios[name] / (1 if _is_exact(name) else INEXACT))
    fastest = max(winners, key=ratios.__getitem__)
    but = "" if fastest == best else f"; {fastest}, at {ratios[fastest]:.2f}, is not so much faster as to round for it"
    return best, f"measured {ratios[best]:.2f} times as fast as exported{but}"


def _is_exact(name: str) -> bool:
    return LOWERINGS[name].tolerance.atol <= ROUNDINGS


def race_models(
    before: Graph, after: Graph, runtime: Runtime, inputs: ModelInputs, custom_ops: Sequence[str] = ()
) -> Race:
    """The original and the result in turn; where the largest inputs do not fit, on ones of sizes that do.

    Raises:
        NotRunnableError: One of them does not run there.
    """
    old, new = before.to_proto(), after.to_proto()
    try:
        require_sessions((old, new))
    except TooLargeError as reason:
        raise NotRunnableError(str(reason)) from reason
    ways = [replace(inputs, fitting=())]
    if inputs.fitting and inputs.given is None:
        ways.append(inputs)
    for way in ways:
        try:
            feeds = max(
                (run.feeds for run in way.runs(old)), key=lambda feeds: sum(value.size for value in feeds.values())
            )
            calls = {"before": runtime.prepare(old, feeds, before.folder, custom_ops)}
            calls["after"] = runtime.prepare(new, feeds, after.folder, custom_ops)
            once = sum(run_within(call, FIRST_LIMIT_S) for call in calls.values())
            return race(calls, min(LONG_BUDGET_S, max(MODEL_BUDGET_S, 10 * once)))
        except Exception as reason:  # runtimes' errors have no common base
            failure = NotRunnableError(str(reason))
    raise failure
