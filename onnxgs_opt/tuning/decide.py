"""The choice for every site: what was measured earlier, what is measured now, or the recorded table.

Sites of one signature are measured once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from onnxgs_opt.errors import EngineError
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import LOWERINGS, Target
from onnxgs_opt.runtime import RUNTIMES
from onnxgs_opt.samplers.site import AnySite
from onnxgs_opt.tuning.database import Cache, Tuning, hopeless
from onnxgs_opt.tuning.measurement import Measurement
from onnxgs_opt.tuning.plan import KEEP, Choice, by_record
from onnxgs_opt.tuning.race import Contest
from onnxgs_opt.tuning.trial import Trial, trial_of, with_shapes
from onnxgs_opt.validation.compare import Comparison

UNMEASURED = ("plugin",)
"""Lowerings that need a library beside the runtime, so that they cannot be timed here unless it is loaded."""

Check = Callable[[AnySite], Callable[[str], Comparison]]
"""From a site to the function that checks one of its lowerings, given by name."""

Progress = Callable[[str], None]
Checks = dict[str, Comparison]
"""What checking a site's lowerings found, by the lowering's name."""


@dataclass(frozen=True)
class Tuner:
    """Measures the lowerings of sites on a target and chooses the fastest that is right.

    `shapes` are sizes of dynamic inputs, `cache` a folder of earlier measurements; `least_call_s` (seconds) is the
    runtime's where it is None.
    """

    graph: Graph
    target: Target
    check: Check
    shapes: Mapping[str, Sequence[int]]
    cache: Path | None = None
    progress: Progress | None = None
    seed: int = 0
    least_call_s: float | None = None
    custom_ops: Sequence[str] = ()

    def tune(self, sites: Sequence[AnySite], choices: Mapping[str, Choice]) -> tuple[dict[str, Choice], Checks]:
        """A choice for each of `sites`, measured once a signature, and by site's id the checks of those chosen now."""
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
            found = done[own]
            chosen[site.id] = Choice(found.lowering, found.reason, choices[site.id].refusals, found.measurements)
        return chosen, comparisons

    @property
    def _unmeasured(self) -> tuple[str, ...]:
        return () if self.target.ops else UNMEASURED

    def _found(self, trial: Trial, refusals: Mapping[str, str]) -> tuple[Tuning, Checks]:
        cache = Cache(self.cache, self.target)
        known = cache.recall(trial.signature)
        if known is not None:
            return known, {}
        if by_record(trial.site, self.target, refusals)[0] in self._unmeasured:
            return self._untimed(trial, refusals, "the plugin is not measured"), {}
        if trial.is_dynamic and not self.shapes:
            return self._untimed(trial, refusals, "--shape NAME=... gives sizes to measure at"), {}
        return self._measure(trial, refusals, cache)

    def _untimed(self, trial: Trial, refusals: Mapping[str, str], why: str) -> Tuning:
        """What the recorded table says of a site that is not measured; the whole model is timed all the same."""
        lowering, reason = by_record(trial.site, self.target, refusals)
        return Tuning(trial.signature, lowering, f"{reason}; {why}", ())

    def _measure(self, trial: Trial, refusals: Mapping[str, str], cache: Cache) -> tuple[Tuning, Checks]:
        runtime = RUNTIMES[self.target.runtime]
        slow = hopeless(trial.site, self.target.runtime)
        names = [name for name in LOWERINGS if name not in (KEEP, *self._unmeasured, *slow)]
        refused = {name: Measurement(name, "refused") for name in names if name in refusals}
        try:
            contest = Contest(trial, self.graph, runtime, self.seed, self.custom_ops)
            if contest.kept_s < (runtime.least_call_s if self.least_call_s is None else self.least_call_s):
                return self._untimed(trial, refusals, "a call of it is too short to be worth measuring"), {}
        except EngineError as error:
            return self._untimed(trial, refusals, f"its exported form makes no engine: {error}"), {}
        except Exception as error:  # a cone that does not run alone is not timed; runtimes' errors have no common base
            why = f"it could not be measured: {error}"
            return Tuning(trial.signature, KEEP, why, tuple(refused.values())), {}
        checks = dict(self._entered(contest, trial, [name for name in names if name not in refusals]))
        winner, reason, rows = contest.run()
        rows |= refused
        where = f", sizes taken as {trial.sizes}" if trial.is_dynamic else ""
        order = [KEEP, *(name for name in LOWERINGS if name in rows and name != KEEP)]
        why = f"{reason} on {self.target.runtime}{where}"
        result = Tuning(trial.signature, winner, why, tuple(rows[name] for name in order))
        cache.remember(result)
        return result, checks

    def _entered(self, contest: Contest, trial: Trial, names: Sequence[str]) -> Iterator[tuple[str, Comparison]]:
        check = self.check(trial.site)
        for name in names:
            compared = check(name)
            contest.enter(name, compared)
            yield name, compared
