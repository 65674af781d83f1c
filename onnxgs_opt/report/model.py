"""The report of one run: frozen records that mirror the JSON report key by key, and the exit code.

`schemas/report-2.json` is the schema of `to_dict`. Tensor and node names are the model's own. Errors are
differences between the model before and after, in the unit of the output; a time's name ends in its unit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

from onnxgs_opt._version import __version__
from onnxgs_opt.tuning.measurement import Measurement

if TYPE_CHECKING:
    from onnxgs_opt.runtime.tensorrt.engine import Engine
    from onnxgs_opt.runtime.timing import Race
    from onnxgs_opt.samplers.site import Domain

SCHEMA_VERSION = "2"
Status = Literal[
    "optimised",
    "nothing-to-do",
    "checks-failed",
    "dry-run",
    "findings",
    "too-few",
    "too-slow",
    "mismatch",
    "engine-failed",
]
EXIT_CODES: dict[Status, int] = {
    "optimised": 0,
    "nothing-to-do": 0,
    "checks-failed": 0,
    "dry-run": 0,
    "findings": 1,
    "too-few": 1,
    "too-slow": 1,
    "mismatch": 3,
    "engine-failed": 4,
}
"""Exit code by status; 2 (usage, unreadable model) and 130 (interrupted) leave no report."""

Gate = Literal["check", "fail-on", "require-match", "min-speedup"]
"""Options that end a run with exit code 1."""


@dataclass(frozen=True)
class Tool:
    """What made the report."""

    name: str = "onnxgs-opt"
    version: str = __version__


@dataclass(frozen=True)
class Count:
    """One quantity of the model before and after."""

    before: int
    after: int


@dataclass(frozen=True)
class SitePolicy:
    """What a site computes: `kind` in words, which may have sizes ("deformable convolution (3 x 3, pad 1)").

    `border` names what happens outside the image ("zeros", "interior", ...). `coordinates` is "pixel" or "normalised";
    `align_corners` is None for pixels; `layout` is the image's.
    """

    kind: str
    border: str
    coordinates: str
    align_corners: bool | None
    layout: str
    dtype: str


@dataclass(frozen=True)
class SiteError:
    """The largest differences at a site; None where it was not checked."""

    max_abs: float | None = None
    max_rel: float | None = None


@dataclass(frozen=True)
class SiteReport:
    """One site, lowered or kept: `grid` is one tensor's name or several ones, x first, `reads` are node names.

    `reason` says why `lowering` was chosen, `refusals` why each other one could not be. `body` is the path of the If,
    Loop or Scan body that holds it, empty for the main graph. `domain` has the sizes that its proof covers, None for
    what needs no proof.
    """

    id: str
    rule: str
    policy: SitePolicy
    image: str
    grid: str | tuple[str, ...]
    output: str
    reads: tuple[str, ...]
    read_op: str
    lowering: str
    reason: str
    refusals: Mapping[str, str] = field(default_factory=dict)
    error: SiteError = SiteError()
    measurements: tuple[Measurement, ...] = ()
    body: str = ""
    domain: Domain | None = None

    @property
    def is_kept(self) -> bool:
        """True when the site stays as exported."""
        return self.lowering == "keep"


@dataclass(frozen=True)
class NearMiss:
    """What looks like a site and was refused: the condition that failed at `node`, and what would cure it."""

    code: str
    node: str
    condition: str
    hint: str


@dataclass(frozen=True)
class Hazard:
    """What is legal in the model and goes wrong in some runtime."""

    code: str
    node: str
    hint: str


@dataclass(frozen=True)
class TargetCheck:
    """How far the result is, in the target's own runtime, from the original in onnxruntime; `reason` if it did not run.

    `exported_max_abs` is how far the exported model itself is there, where the result is off by more than is allowed.
    """

    runtime: str
    max_abs: float | None = None
    exported_max_abs: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Validation:
    """The whole-model check: `shapes` holds, for each run, the shape of every input.

    `reason` says why it was not run where it was asked for, or that the result does not load or run, which is this
    tool's fault; else it is None. `from_double` says how far the original and the result are from the original in
    double precision at most, where they differ by so much that it was run. `target` is the check in the target's own
    runtime, None where there was none.
    """

    status: Literal["ok", "mismatch", "not-run"] = "not-run"
    shapes: tuple[Mapping[str, tuple[int, ...]], ...] = ()
    max_abs: float | None = None
    max_rel: float | None = None
    seed: int | None = None
    reason: str | None = None
    from_double: tuple[float, float] | None = None
    target: TargetCheck | None = None


@dataclass(frozen=True)
class Latency:
    """How long the whole model takes before and after, run in turn; `ratio` is before / after, above 1 is faster.

    Of the ratios of all rounds it is the median, `ratio_low` and `ratio_high` are the quartiles.
    """

    before_ms: float
    after_ms: float
    ratio: float
    ratio_low: float
    ratio_high: float
    rounds: int

    @classmethod
    def of(cls, race: Race) -> Latency:
        """What a race of `before` and `after` says."""
        low, high = race.quartiles("before", "after")
        return cls(
            before_ms=round(race.median_ms("before"), 4),
            after_ms=round(race.median_ms("after"), 4),
            ratio=round(race.ratio("before", "after"), 4),
            ratio_low=round(low, 4),
            ratio_high=round(high, 4),
            rounds=len(race.seconds["before"]),
        )

    @property
    def is_clear(self) -> bool:
        """Whether three rounds of four agree which is faster."""
        return self.ratio_low > 1 or self.ratio_high < 1


@dataclass(frozen=True)
class Failure:
    """Why a run ends with exit code 1: the option that asks for it, and what it found.

    `gate` is the option's name without dashes; `code` and `place` are those of what was found, empty where it is the
    whole model: a site's id, or the name of a node.
    """

    gate: Gate
    message: str
    code: str = ""
    place: str = ""


@dataclass(frozen=True)
class Provenance:
    """How a report came about: when (UTC), by which command, where, with what, and of which file.

    `model_sha256` is that of the model's own file, without external data; None where it was not a file or bytes.
    """

    date: str
    command: str
    machine: str
    versions: Mapping[str, str]
    model_sha256: str | None = None


@dataclass(frozen=True)
class Report:
    """Everything one run found and did; `output` is None when nothing was written.

    `failures` are what options for CI asked about and was not so. `latency` is None where it was not timed.
    """

    input: str
    output: str | None
    target: str
    status: Status
    nodes: Count
    reads: Count
    sites: tuple[SiteReport, ...] = ()
    near_misses: tuple[NearMiss, ...] = ()
    hazards: tuple[Hazard, ...] = ()
    validation: Validation = Validation()
    engine: Engine | None = None
    latency: Latency | None = None
    failures: tuple[Failure, ...] = ()
    provenance: Provenance | None = None
    timings: Mapping[str, float] = field(default_factory=dict)
    tool: Tool = Tool()

    @property
    def exit_code(self) -> int:
        """The exit code that the status stands for."""
        return EXIT_CODES[self.status]

    @property
    def changed(self) -> tuple[tuple[str, Count], ...]:
        """The counts that changed, by name."""
        counts = (("nodes", self.nodes), ("reads", self.reads))
        return tuple((name, count) for name, count in counts if count.before != count.after)

    @property
    def lowered(self) -> tuple[SiteReport, ...]:
        """The sites that were, or in a dry run would be, replaced."""
        return tuple(site for site in self.sites if not site.is_kept)

    def failure(self, code: str, place: str) -> Failure | None:
        """Why what was found at a place, a site's id or a node, makes the run fail; None where it does not."""
        return next((each for each in self.failures if (each.code, each.place) == (code, place)), None)


def to_dict(report: Report) -> dict[str, Any]:
    """The report as JSON's own types, in the order of the documented keys."""
    body = asdict(report)
    head = ("tool", "input", "output", "target", "status")
    return {
        "schema_version": SCHEMA_VERSION,
        **{key: body.pop(key) for key in head},
        "exit_code": report.exit_code,
        **{key: _jsonable(value) for key, value in body.items()},
    }


def schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) that `to_dict` obeys."""
    text = files("onnxgs_opt").joinpath(f"schemas/report-{SCHEMA_VERSION}.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def _jsonable(value: Any) -> Any:
    """Lists for tuples; "inf" and "nan" as words, for JSON has no such numbers and null means not checked."""
    match value:
        case float() if not math.isfinite(value):
            return str(value)
        case Mapping():
            return {str(key): _jsonable(item) for key, item in value.items()}
        case list() | tuple():
            return [_jsonable(item) for item in value]
        case _:
            return value
