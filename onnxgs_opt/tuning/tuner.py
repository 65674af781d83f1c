"""Which lowering of a site is fastest here: each is checked, then timed against the cone as exported.

Sites of one signature are measured once. A result is kept in a cache file, if the caller names a folder, by signature,
version of the lowerings, runtime and device.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from onnx import ModelProto

from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import LOWERINGS, Target
from onnxgs_opt.runtime.memory import TooLargeError, require_sessions
from onnxgs_opt.runtime.ort import in_words, prepare, runtime_version
from onnxgs_opt.runtime.timing import Call, Feeds, Race, SlowError, race, run_within, settled
from onnxgs_opt.samplers.site import AnySite, Site
from onnxgs_opt.tuning.database import hopeless, recorded
from onnxgs_opt.tuning.measurement import Measurement
from onnxgs_opt.tuning.plan import KEEP, Choice
from onnxgs_opt.tuning.trial import Trial, trial_of, with_shapes
from onnxgs_opt.validation.boundary_values import coordinates_of
from onnxgs_opt.validation.compare import Comparison
from onnxgs_opt.validation.extract import NotRunnableError
from onnxgs_opt.validation.inputs import model_runs

VERSION = 3
"""Of what is timed and how: a change of what lowerings write, or of how they run, makes old measurements void."""

SITE_BUDGET_S = 0.15
LONG_BUDGET_S = 4.0
"""Time for the rounds of one signature: the least, and what a site may take whose every call is slow."""

MODEL_BUDGET_S = 0.05
LEAST_CALL_S = 5e-4
"""Where a site takes less than this, checking and timing every lowering costs more than any of them gains."""

PATIENCE = 8
"""A candidate is stopped when its first call takes this many times as long as the exported cone's."""

LEAST_LIMIT_S = 2.0
RIVAL = 1.5
"""Candidates this much slower than the best after one call are not timed further."""

INEXACT = 1.05
"""A lowering that costs precision has to be this much faster than one that does not."""

ROUNDINGS = 1e-5
"""An absolute tolerance up to this is roundings of fp32 alone."""

UNMEASURED = ("plugin",)
"""Lowerings that the runtime cannot run faster than others without a library of its own."""

Check = Callable[[AnySite], Callable[[str], Comparison]]
"""Of a site, the check of its lowerings by name."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Tuning:
    """What measuring found for one signature: the fastest lowering; `keep` where none wins by more than the noise."""

    signature: str
    lowering: str
    reason: str
    measurements: tuple[Measurement, ...]

    def choice(self, refusals: Mapping[str, str]) -> Choice:
        """The choice for one site of this signature."""
        return Choice(self.lowering, self.reason, refusals, self.measurements)


@dataclass(frozen=True)
class Tuner:
    """How to measure: the target, the check of a site's lowering, sizes of dynamic inputs, the cache's folder."""

    graph: Graph
    target: Target
    check: Check
    shapes: Mapping[str, Sequence[int]]
    cache: Path | None = None
    progress: Progress | None = None
    seed: int = 0
    least_call_s: float = LEAST_CALL_S
    custom_ops: Sequence[str] = ()

    def tune(
        self, sites: Sequence[AnySite], choices: Mapping[str, Choice]
    ) -> tuple[dict[str, Choice], dict[str, Comparison]]:
        """A measured choice for each of `sites`, and the checks that were made of chosen lowerings."""
        sized = with_shapes(self.graph, self.shapes)
        chosen, comparisons = dict(choices), {}
        done: dict[str, Tuning] = {}
        for count, site in enumerate(sites, 1):
            trial = trial_of(self.graph, sized, site)
            own = trial.signature
            if own not in done:
                if self.progress is not None:
                    self.progress(f"tune site {count} of {len(sites)}")
                done[own], checks = self._found(trial, choices[site.id].refusals)
                if done[own].lowering in checks:
                    comparisons[site.id] = checks[done[own].lowering]
            chosen[site.id] = done[own].choice(choices[site.id].refusals)
        return chosen, comparisons

    def _found(self, trial: Trial, refusals: Mapping[str, str]) -> tuple[Tuning, dict[str, Comparison]]:
        known = self._recall(trial.signature)
        if known is not None:
            return known
        if trial.is_dynamic and not self.shapes:
            return self._untimed(trial, refusals, "--shape NAME=... gives sizes to measure at"), {}
        return self._measure(trial, refusals)

    # -- one signature ----------------------------------------------------------------------------

    def _measure(self, trial: Trial, refusals: Mapping[str, str]) -> tuple[Tuning, dict[str, Comparison]]:
        own = trial.signature
        slow = hopeless(trial.site, self.target.runtime)
        names = [name for name in LOWERINGS if name not in (KEEP, *UNMEASURED, *slow)]
        rows = {name: Measurement(name, "refused") for name in names if name in refusals}
        try:
            cone = trial.cone(self.graph)
            feeds = trial.feeds(cone, self.seed)
            calls = {KEEP: prepare(cone, feeds, self.target.runtime, custom_ops=self.custom_ops)}
            first = run_within(calls[KEEP], 600)
            if min(first, settled(calls[KEEP])) < self.least_call_s:
                return self._untimed(trial, refusals, "a call of it is too short to be worth measuring"), {}
        except Exception as reason:  # a cone that does not run alone is not timed; onnxruntime's errors have no base
            return Tuning(own, KEEP, f"it could not be measured: {in_words(reason)}", tuple(rows.values())), {}
        checks: dict[str, Comparison] = {}
        check = self.check(trial.site)
        for name in (name for name in names if name not in refusals):
            checks[name] = check(name)
            found = self._prepare(trial, cone, name, feeds, checks[name], first)
            if isinstance(found, str):
                rows[name] = Measurement(name, found)
                continue
            calls[name] = found
        result = self._race(trial, calls, rows)
        self._remember(result)
        return result, checks

    def _untimed(self, trial: Trial, refusals: Mapping[str, str], why: str) -> Tuning:
        """What is recorded, for a site that is not measured; the whole model is timed all the same."""
        lowering, reason = recorded(trial.site, self.target.runtime, refusals)
        return Tuning(trial.signature, lowering, f"{reason}; {why}", ())

    def _prepare(
        self, trial: Trial, cone: ModelProto, name: str, feeds: Feeds, check: Comparison, keep_s: float
    ) -> Call | str:
        """The call of a candidate, or the status of one that failed."""
        if check.status == "mismatch":
            return "wrong"
        try:
            lowered = trial.lowered(self.graph, cone, name)
            call = prepare(lowered, feeds, self.target.runtime, custom_ops=self.custom_ops)
            run_within(call, max(LEAST_LIMIT_S, PATIENCE * keep_s))
            return call
        except SlowError:
            return "timeout"
        except Exception:  # onnxruntime's errors have no other base
            return "build_failed"

    def _race(self, trial: Trial, calls: Mapping[str, Call], rows: dict[str, Measurement]) -> Tuning:
        once = {name: settled(call) for name, call in calls.items()}
        best = min(once.values())
        racing = {name: call for name, call in calls.items() if name == KEEP or once[name] <= RIVAL * best}
        result = race(racing, min(LONG_BUDGET_S, max(SITE_BUDGET_S, 8 * sum(once[name] for name in racing))), once)
        for name in calls:
            rows[name] = _row(result, name) if name in racing else _slow_row(once, name)
        winner, reason = _winner(result)
        where = f", sizes taken as {trial.sizes}" if trial.is_dynamic else ""
        order = [KEEP, *(name for name in LOWERINGS if name in rows and name != KEEP)]
        reason = f"{reason} on {self.target.runtime}{where}"
        return Tuning(trial.signature, winner, reason, tuple(rows[name] for name in order))

    # -- the cache --------------------------------------------------------------------------------

    def _path(self, own: str) -> Path | None:
        if self.cache is None:
            return None
        key = (own, VERSION, runtime_version(), self.target.runtime, device(self.target.runtime), self._tolerances())
        return self.cache / f"{sha256(repr(key).encode()).hexdigest()[:32]}.json"

    def _tolerances(self) -> tuple[float | None, float | None]:
        return self.target.atol, self.target.rtol

    def _recall(self, own: str) -> tuple[Tuning, dict[str, Comparison]] | None:
        """What an earlier run measured; a file that is no such record is as none."""
        path = self._path(own)
        with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            if path is None:
                return None
            stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            rows = tuple(Measurement(**row) for row in stored.pop("measurements"))
            known = Tuning(**stored, measurements=rows)
            if known.signature == own and known.lowering in LOWERINGS:
                return replace(known, reason=f"{known.reason} (measured earlier)"), {}
        return None

    def _remember(self, result: Tuning) -> None:
        path = self._path(result.signature)
        if path is None:
            return
        with suppress(OSError):  # a cache that cannot be written is no reason to fail
            path.parent.mkdir(parents=True, exist_ok=True)
            new = path.with_suffix(".new")
            new.write_text(json.dumps(asdict(result)), encoding="utf-8")
            new.replace(path)


def device(runtime: str) -> str:
    """What the measurements belong to: the processor, for a GPU target with the name of the GPU where it is told."""
    if runtime == "ort-cpu":
        return f"{platform.machine()} {platform.processor()} {platform.node()}"
    return f"{platform.machine()} {runtime} {platform.node()}"


def _row(result: Race, name: str) -> Measurement:
    return Measurement(name, "ok", round(result.median_ms(name), 4), round(result.ratio(KEEP, name), 4))


def _slow_row(once: Mapping[str, float], name: str) -> Measurement:
    return Measurement(name, "ok", round(1e3 * once[name], 4), round(once[KEEP] / once[name], 4))


def _winner(result: Race) -> tuple[str, str]:
    winners = [name for name in result.seconds if name != KEEP and result.is_faster(KEEP, name)]
    if not winners:
        return KEEP, "nothing measured is faster than the exported form by more than the noise"
    best = max(winners, key=lambda name: result.ratio(KEEP, name) / (1 if _is_exact(name) else INEXACT))
    return best, f"measured {result.ratio(KEEP, best):.2f} times as fast as the exported form"


def _is_exact(name: str) -> bool:
    return LOWERINGS[name].tolerance.atol <= ROUNDINGS


def race_models(
    before: Graph,
    after: Graph,
    target: Target,
    sites: Sequence[Site],
    shapes: Mapping[str, Sequence[int]],
    inputs: Feeds | None = None,
    seed: int = 0,
    fitting: Sequence[Mapping[str, Sequence[int]]] = (),
    custom_ops: Sequence[str] = (),
) -> Race:
    """The original and the result in turn, on the user's inputs or on generated ones.

    `fitting` are small sets of shapes that dynamic inputs can have together, for where larger ones do not fit;
    `custom_ops` are libraries of operators that the models use.

    Raises:
        NotRunnableError: One of them does not run on the target.
    """
    old, new = before.to_proto(), after.to_proto()
    try:
        require_sessions((old, new))
    except TooLargeError as reason:
        raise NotRunnableError(str(reason)) from reason
    ways: list[Sequence[Mapping[str, Sequence[int]]]] = [()] if inputs or not fitting else [(), fitting]
    for way in ways:
        try:
            feeds = inputs or _model_feeds(old, sites, shapes, seed, way)
            calls = {"before": prepare(old, feeds, target.runtime, before.folder, custom_ops)}
            calls["after"] = prepare(new, feeds, target.runtime, after.folder, custom_ops)
            once = sum(run_within(call, 600) for call in calls.values())
            return race(calls, min(LONG_BUDGET_S, max(MODEL_BUDGET_S, 10 * once)))
        except Exception as reason:  # onnxruntime's errors have no other base
            failure = NotRunnableError(in_words(reason))
    raise failure


def _model_feeds(
    model: ModelProto,
    sites: Sequence[Site],
    shapes: Mapping[str, Sequence[int]],
    seed: int,
    fitting: Sequence[Mapping[str, Sequence[int]]],
) -> Feeds:
    """The largest of the inputs that validation uses."""
    runs = list(model_runs(model, coordinates_of(sites), shapes, seed, fitting))
    return max(runs, key=lambda run: sum(value.size for value in run.feeds.values())).feeds
