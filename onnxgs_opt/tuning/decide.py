"""The choice for every site: what was measured earlier, what is measured now, or the recorded table.

Sites of one signature are measured once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from onnxgs_opt.errors import EngineError
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.job import without_sizes
from onnxgs_opt.lowering import LOWERINGS, Target
from onnxgs_opt.lowering.keep import KEEP
from onnxgs_opt.runtime import runtime_of
from onnxgs_opt.runtime.timing import SlowError
from onnxgs_opt.samplers.site import AnySite
from onnxgs_opt.tuning.database import Cache, Tuning, hopeless
from onnxgs_opt.tuning.measurement import Measurement
from onnxgs_opt.tuning.pace import Pace, Progress
from onnxgs_opt.tuning.plan import Choice, by_record
from onnxgs_opt.tuning.race import FIRST_LIMIT_S, Contest
from onnxgs_opt.tuning.trial import Trial, trial_of, with_shapes
from onnxgs_opt.validation.compare import Comparison

UNMEASURED = ("plugin",)
"""Lowerings that need a library beside the runtime, so that they cannot be timed here unless it is loaded."""

Check = Callable[[AnySite], Callable[[str], Comparison]]
"""From a site to the function that checks one of its lowerings, given by name."""

SPENT = "--time-budget was spent"
Checks = dict[str, Comparison]
"""What checking a site's lowerings found, by the lowering's name."""


@dataclass(frozen=True)
class Tuner:
    """Measures the lowerings of sites on a target and chooses the fastest that is right.

    `shapes` are sizes of dynamic inputs, `cache` a folder of earlier measurements; `least_call_s` (seconds) is the
    runtime's where it is None. After `time_budget` seconds no other form is begun.
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
    time_budget: float | None = None

    def tune(self, sites: Sequence[AnySite], choices: Mapping[str, Choice]) -> tuple[dict[str, Choice], Checks]:
        """A choice for each of `sites`, measured once a signature, and by site's id the checks of those chosen now."""
        sized = with_shapes(self.graph, self.shapes)
        chosen, comparisons = dict(choices), {}
        done: dict[str, Tuning] = {}
        trials = [trial_of(self.graph, sized, site) for site in sites]
        first = {trial.signature: trial for trial in reversed(trials)}
        forms = sum(len(self._names(trial, choices[trial.site.id].refusals)) for trial in first.values())
        pace = Pace(forms, self.time_budget, self.progress)
        for site, trial in zip(sites, trials, strict=True):
            own = trial.signature
            if own not in done:
                done[own], checks = self._found(trial, choices[site.id].refusals, pace)
                if done[own].lowering in checks:
                    comparisons[site.id] = checks[done[own].lowering]
            found = done[own]
            chosen[site.id] = Choice(found.lowering, found.reason, choices[site.id].refusals, found.measurements)
        return chosen, comparisons

    def _names(self, trial: Trial, refusals: Mapping[str, str]) -> list[str]:
        """The lowerings that are worth measuring; of a site that cannot stay also those that are slower than it."""
        slower = () if KEEP in refusals else hopeless(trial.site, self.target.runtime)
        out = (KEEP, *self._unmeasured, *slower, *refusals)
        return [name for name in LOWERINGS if name not in out]

    @property
    def _least_s(self) -> float:
        """Seconds of a call; what takes less is not timed."""
        return runtime_of(self.target.runtime).least_call_s if self.least_call_s is None else self.least_call_s

    @property
    def _cache(self) -> Cache:
        return Cache(self.cache, self.target, self._least_s)

    @property
    def _unmeasured(self) -> tuple[str, ...]:
        return () if self.target.ops else UNMEASURED

    def _found(self, trial: Trial, refusals: Mapping[str, str], pace: Pace) -> tuple[Tuning, Checks]:
        begun = pace.begun
        found = self._known(trial, refusals, pace) or self._measure(trial, refusals, pace)
        pace.skip(begun + len(self._names(trial, refusals)) - pace.begun)
        return found

    def _known(self, trial: Trial, refusals: Mapping[str, str], pace: Pace) -> tuple[Tuning, Checks] | None:
        """What needs no measuring, or cannot be measured."""
        if refusals.keys() >= set(LOWERINGS) - {KEEP}:
            return Tuning(trial.signature, KEEP, "every other form is refused, as -v says", ()), {}
        known = self._cache.recall(trial.signature)
        if known is not None:
            return known, {}
        why = None
        if by_record(trial.site, self.target, refusals, is_timed=True)[0] in self._unmeasured:
            why = "the plugin is not measured"
        elif trial.is_dynamic and not self.shapes:
            why = "give --shape NAME=1x3x480x640 to time it"
        elif pace.is_over:
            why = SPENT
        return None if why is None else (self._untimed(trial, refusals, why), {})

    def _untimed(self, trial: Trial, refusals: Mapping[str, str], why: str) -> Tuning:
        """What the recorded table says of a site that is not measured; the whole model is timed all the same."""
        lowering, reason = by_record(trial.site, self.target, refusals, is_timed=True)
        return Tuning(trial.signature, lowering, f"{reason}; {why}", ())

    def _measure(self, trial: Trial, refusals: Mapping[str, str], pace: Pace) -> tuple[Tuning, Checks]:
        runtime = runtime_of(self.target.runtime)
        names = self._names(trial, refusals)
        refused = {name: Measurement(name, "refused") for name in self._names(trial, {}) if name in refusals}
        try:
            contest = Contest(trial, self.graph, runtime, self.seed, self.custom_ops, min(FIRST_LIMIT_S, pace.left))
            if contest.kept_s < self._least_s:
                why = f"it takes under {1e3 * self._least_s:g} ms here, too short to be timed"
                return self._untimed(trial, refusals, why), {}
        except EngineError as error:
            return self._untimed(trial, refusals, f"its exported form makes no engine: {error}"), {}
        except SlowError as error:
            why = SPENT if pace.is_over else f"its exported form could not be timed: {error}"
            return self._untimed(trial, refusals, why), {}
        except Exception as error:  # a cone that does not run alone is not timed; runtimes' errors have no common base
            line = str(error).partition("\n")[0]
            why = f"it could not be measured{self._chosen()}: {line}"
            return Tuning(trial.signature, KEEP, why, tuple(refused.values())), {}
        checks = dict(self._entered(contest, trial, names, pace))
        if names and not checks:
            return self._untimed(trial, refusals, SPENT), {}
        winner, reason, rows = contest.run(pace.left)
        rows |= refused
        reason += f"; {SPENT} before {len(names) - len(checks)} others" if len(checks) < len(names) else ""
        where = f", sizes taken as {trial.sizes}" if trial.is_dynamic else ""
        order = [KEEP, *(name for name in LOWERINGS if name in rows and name != KEEP)]
        why = f"{reason} on {self.target.runtime}{where}"
        result = Tuning(trial.signature, winner, why, tuple(rows[name] for name in order))
        if len(checks) == len(names):
            self._cache.remember(result)
        return result, checks

    def _chosen(self) -> str:
        """Of which inputs the sizes were not said, in words; "" where they were of all."""
        unsaid = " and ".join(f"'{name}'" for name in without_sizes(self.graph, self.shapes))
        return f" with sizes chosen for {unsaid}, of which --shape says nothing" if unsaid else ""

    def _entered(
        self, contest: Contest, trial: Trial, names: Sequence[str], pace: Pace
    ) -> Iterator[tuple[str, Comparison]]:
        check = self.check(trial.site)
        for name in names:
            if pace.is_over:
                return
            pace.begin()
            compared = check(name)
            contest.enter(name, compared)
            yield name, compared
