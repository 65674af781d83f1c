"""Run two models on the same inputs and compare what comes out.

The reference runs without graph optimisations, the result with onnxruntime's defaults, as users run it; where they
differ by more than is allowed, the result may equal the original under the same optimisations instead, which fuse and
reorder the sums of convolutions, or be as far from the exact value as the original itself. Where samplers read what
others make, it may also be as far off as the original moves when its inputs move by what one of them may be off. A NaN
equals a NaN and an infinity itself; anything else against them is an infinite difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from onnx import ModelProto

from onnxgs_opt.errors import RunError
from onnxgs_opt.lowering.base import Tolerance
from onnxgs_opt.runtime import Loaded
from onnxgs_opt.runtime.memory import TooLargeError, require_sessions
from onnxgs_opt.runtime.ort import Session
from onnxgs_opt.samplers.site import Site
from onnxgs_opt.samplers.view import Array
from onnxgs_opt.validation.boundary_values import describe
from onnxgs_opt.validation.error_map import Points, points_of
from onnxgs_opt.validation.extract import NotRunnableError
from onnxgs_opt.validation.inputs import Run
from onnxgs_opt.validation.original import Original

Status = Literal["ok", "mismatch", "not-run"]
Shapes = tuple[tuple[int, ...], ...]
BROKEN = "the result does not "
"""What is said of a result that does not load, or not run where the original does, begins so."""
ROUNDINGS = 2
"""A result may differ by this many times the error of the exported model itself, beside the tolerance."""
MOVES = 8
"""How often the inputs of a chain are moved to see what it makes of small errors."""


@dataclass(frozen=True)
class Comparison:
    """What came of running both.

    Attributes:
        status: "ok", "mismatch", or "not-run" with the reason in `worst`.
        max_abs: Largest absolute difference; inf where one side is NaN and the other is not.
        max_rel: Largest relative difference, of values that are not near 0.
        shapes: The shapes of the inputs, a tuple a run.
        seed: What the inputs were made from.
        worst: Where the largest difference is, in words.
        from_double: How far the original and the result are from the original in double precision at most, where they
            differ by so much that it was run.
        runtime: Where the result ran; "" for onnxruntime on a CPU, which makes the reference.
        points: Of a site's check, the differences point by point, a record a run.
        beyond: Sizes of which nothing is claimed, in words, at which the original runs and the result differs or fails.
        untried: Whether the image's sizes are free and none of 0 or 1 could be tried.
    """

    status: Status
    max_abs: float = 0.0
    max_rel: float = 0.0
    shapes: tuple[Shapes, ...] = ()
    seed: int = 0
    worst: str = ""
    from_double: tuple[float, float] | None = None
    points: tuple[Points, ...] = field(default=(), repr=False, compare=False)
    beyond: tuple[str, ...] = ()
    untried: bool = False
    runtime: str = ""


@dataclass(frozen=True)
class Difference:
    """One output of one run: the largest differences, where, and whether all are within the tolerance."""

    within: bool
    max_abs: float
    max_rel: float
    index: tuple[int, ...]
    expected: float
    actual: float
    from_double: tuple[float, float] | None = None


def compare(expected: Array, actual: Array, tolerance: Tolerance, slack: Array | None = None) -> Difference:
    """Compare two results; other shapes or element types are an infinite difference.

    `slack` is what the expected result may itself be away from the exact one, by element. Whole numbers are relative to
    nothing where it is 0: of those that are counts or names, the next one is another thing.
    """
    if expected.shape != actual.shape or expected.dtype != actual.dtype:
        return Difference(False, float("inf"), float("inf"), (), float("nan"), float("nan"))
    if expected.size == 0:
        return Difference(True, 0.0, 0.0, (), 0.0, 0.0)
    if expected.dtype.kind not in "biuf":
        return _compare_words(expected, actual)
    a, b = expected.astype(np.float64), actual.astype(np.float64)
    gap = gaps(expected, actual)
    size = np.where(np.isfinite(a), np.abs(a), 0)
    allowed = 0 if slack is None else slack
    scaled = tolerance.rtol * (size if expected.dtype.kind == "f" else size * (np.asarray(allowed) > 0))
    excess = gap - scaled - allowed
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(excess)), a.shape))
    relative = gap / np.maximum(size, 1e-2)
    return Difference(
        bool(excess.max() <= tolerance.atol),
        float(gap.max()),
        float(relative.max()),
        index,
        float(a[index]),
        float(b[index]),
    )


def _compare_words(expected: Array, actual: Array) -> Difference:
    """Strings and whatever else is no number are equal or infinitely far apart."""
    differ = np.argwhere(expected != actual)
    if not len(differ):
        return Difference(True, 0.0, 0.0, (), 0.0, 0.0)
    return Difference(False, float("inf"), float("inf"), tuple(map(int, differ[0])), float("nan"), float("nan"))


def gaps(a: Array, b: Array) -> Array:
    """|a - b| by element: a NaN equals a NaN and an infinity itself; anything else against them is infinitely far."""
    with np.errstate(invalid="ignore"):
        gap = np.asarray(np.abs(a.astype(np.float64) - b.astype(np.float64)))  # of two scalars it is none
    gap[(a == b) | (np.isnan(a) & np.isnan(b))] = 0
    gap[np.isnan(gap)] = np.inf
    if a.dtype.kind in "iu":  # the next number after a large one is the same in doubles
        gap[(gap == 0) & (a != b)] = 1
    return gap


def compare_runs(
    original: Original,
    after: ModelProto,
    runs: Iterable[Run],
    tolerance: Tolerance | Callable[[Run], Tolerance],
    seed: int,
    site: Site | None,
    result_folder: Path | None = None,
) -> Comparison:
    """Run both over all inputs; a result that does not run where the original does is a mismatch."""
    where = "" if original.runtime is None else original.runtime.name
    seen = Comparison("not-run", seed=seed, worst="no inputs were tried", runtime=where)
    try:
        require_sessions((original.model, after))
        _ = original.session
    except TooLargeError as reason:
        return replace(seen, worst=str(reason))
    except RunError as reason:
        return replace(seen, worst=f"onnxruntime does not load the original: {reason}")
    try:
        checked = original.loaded(after, result_folder)
    except RunError as reason:
        worst = f"{BROKEN}load{original.there}: {reason}"
        return replace(seen, status="mismatch", max_abs=float("inf"), worst=worst)
    try:
        for run in runs:
            allowed = tolerance if isinstance(tolerance, Tolerance) else tolerance(run)
            seen = _add_run(seen, original, checked, run, allowed, site)
    except (TooLargeError, NotRunnableError) as reason:  # the inputs of the next run
        return replace(seen, worst=str(reason)) if seen.status == "not-run" else seen
    return seen


def _add_run(
    seen: Comparison, original: Original, checked: Loaded, run: Run, tolerance: Tolerance, site: Site | None
) -> Comparison:
    try:
        expected = original.outputs(run)
    except RunError as reason:
        if run.nearer is not None:
            return _add_run(seen, original, checked, run.nearer(), tolerance, site)
        if seen.status == "not-run":
            return replace(seen, worst=f"the original does not run at {run.shapes}: {reason}")
        return seen
    names = original.session.outputs
    if run.beyond:
        same = _is_same(original, checked, run, expected, tolerance)
        return seen if same else replace(seen, beyond=(*seen.beyond, run.beyond))
    shapes = (*seen.shapes, tuple(value.shape for value in run.feeds.values()))
    seen = replace(seen, shapes=tuple(dict.fromkeys(shapes)), status="ok" if seen.status == "not-run" else seen.status)
    try:
        actual = checked.run(names, run.feeds)
    except RunError as reason:
        worst = f"{BROKEN}run{original.there} at {run.shapes}: {reason}"
        return replace(seen, status="mismatch", max_abs=float("inf"), worst=worst)
    for name, a, b in zip(names, expected, actual, strict=True):
        found = _difference(original, run, name, np.asarray(a), np.asarray(b), tolerance)
        if site is None and not found.within and _has_no_number(np.asarray(a)) and np.shape(a) == np.shape(b):
            continue
        seen = _add_difference(seen, name, found, run, site)
        seen = _add_points(seen, np.asarray(a), np.asarray(b), run, site)
    return seen


def _has_no_number(a: Array) -> bool:
    """Whether an output is NaN throughout: where one point has a grid divided by 0, coordinates are free (GSO207)."""
    return a.dtype.kind == "f" and bool(np.isnan(a).all())


def _is_same(original: Original, checked: Loaded, run: Run, expected: Sequence[Any], tolerance: Tolerance) -> bool:
    """Whether the result gives what was expected."""
    names = original.session.outputs
    try:
        actual = checked.run(names, run.feeds)
    except RunError:
        return False
    pairs = ((name, np.asarray(a), np.asarray(b)) for name, a, b in zip(names, expected, actual, strict=True))
    return all(_difference(original, run, *pair, tolerance).within for pair in pairs)


def _difference(original: Original, run: Run, name: str, a: Array, b: Array, tolerance: Tolerance) -> Difference:
    """How far an output `b` is from the original's `a`, with all that the original's own errors allow for."""
    found = compare(a, b, tolerance)
    if not found.within:
        found = _beside_optimised(original, run, name, b, tolerance, found)
    if found.within or tolerance.strict:
        return found
    found = _beside_exact(original, run, name, a, b, tolerance) or found
    if not found.within and a.shape == b.shape and original.beside is not None:
        found = _beside_rounded(original.beside, run, name, a, b, tolerance)
    if not found.within and tolerance.carried and a.dtype.kind == "f":
        moved = _beside_moved(original, run, name, a, b, tolerance)
        found = replace(moved, from_double=found.from_double)
    return found


def _beside_optimised(
    original: Original, run: Run, name: str, b: Array, tolerance: Tolerance, found: Difference
) -> Difference:
    """The difference from the original as results run, where that is the better one.

    Elsewhere than in onnxruntime it only excuses the difference from the reference, which stays what is said.
    """
    try:
        same = original.optimised.run([name], run.feeds)[0]
    except RunError:  # it believes what the file says of inner shapes, or does not run where results do
        return found
    beside = compare(np.asarray(same), b, tolerance)
    return min(found, beside, key=_badness) if original.runtime is None else replace(found, within=beside.within)


def _beside_exact(
    original: Original, run: Run, name: str, a: Array, b: Array, tolerance: Tolerance
) -> Difference | None:
    """The same comparison, which also allows for the original's own error: its distance from double precision.

    Far outside an image, weights cancel and leave roundings of any size. None where it does not run in doubles.
    """
    if original.exact is None or a.dtype != np.float32 or a.shape != b.shape:
        return None
    wide = {n: v.astype(np.float64) if v.dtype == np.float32 else v for n, v in run.feeds.items()}
    try:
        exact = np.asarray(original.exact.run([name], wide)[0])
    except RunError:
        return None
    own = gaps(a, exact)
    found = compare(a, b, tolerance, np.where(np.isfinite(own), ROUNDINGS * own, 0))
    return replace(found, from_double=(float(own.max()), float(gaps(b, exact).max())))


def _beside_rounded(beside: Session, run: Run, name: str, a: Array, b: Array, tolerance: Tolerance) -> Difference:
    """The same comparison, which also allows for what the original makes of samples that are off by what they may be.

    A sample of halves is off by their roundings, which what follows may multiply by any factor. One that is rounded to
    a whole number, compared, or ranked among others is another number where it is just above, and where just below.
    """
    slack = np.zeros(a.shape)
    changed = np.zeros(a.shape, bool)
    for _ in range(MOVES):
        other = np.asarray(beside.run([name], run.feeds)[0])
        if a.dtype.kind not in "fiub":
            changed |= a != other
            continue
        gap = gaps(a, other)
        slack = np.maximum(slack, np.where(np.isfinite(gap), gap, 0))
    return compare(np.where(changed, b, a) if changed.any() else a, b, tolerance, ROUNDINGS * slack)


def _beside_moved(original: Original, run: Run, name: str, a: Array, b: Array, tolerance: Tolerance) -> Difference:
    """The same comparison, which also allows for what the original makes of inputs that one site's error has moved.

    Each sampler of a chain multiplies an error of its coordinates by the slope of its image; ten can make 1 of 1e-6.
    """
    rng = np.random.default_rng(0)
    slack = np.zeros(a.shape)
    for _ in range(MOVES):
        moved = {n: _moved(v, tolerance.carried, rng) for n, v in run.feeds.items()}
        gap = gaps(a, np.asarray(original.session.run([name], moved)[0]))
        slack = np.maximum(slack, np.where(np.isfinite(gap), gap, 0))
    return compare(a, b, tolerance, ROUNDINGS * slack)


def _moved(value: Array, by: float, rng: np.random.Generator) -> Array:
    """Floats moved by `by`, of themselves and absolutely, up or down."""
    if value.dtype.kind != "f":
        return value
    signs = rng.choice((-1.0, 1.0), value.shape)
    return np.asarray(value + signs * by * (1 + np.abs(value.astype(np.float64)))).astype(value.dtype)


def _badness(found: Difference) -> tuple[bool, float]:
    return not found.within, found.max_abs


def _add_points(seen: Comparison, a: Array, b: Array, run: Run, site: Site | None) -> Comparison:
    found = None if site is None or a.shape != b.shape else points_of(site, run, gaps(a, b))
    return seen if found is None else replace(seen, points=(*seen.points, found))


def _add_difference(seen: Comparison, name: str, found: Difference, run: Run, site: Site | None) -> Comparison:
    worse = found.max_abs > seen.max_abs or (not found.within and seen.status == "ok")
    return replace(
        seen,
        status=seen.status if found.within else "mismatch",
        max_abs=max(seen.max_abs, found.max_abs),
        max_rel=max(seen.max_rel, found.max_rel),
        worst=_where(name, found, run, site) if worse else seen.worst,
        from_double=_farther(seen.from_double, found.from_double),
    )


def _farther(a: tuple[float, float] | None, b: tuple[float, float] | None) -> tuple[float, float] | None:
    """The larger of each; those of the other one where there is none."""
    return a or b if a is None or b is None else (max(a[0], b[0]), max(a[1], b[1]))


def _where(name: str, found: Difference, run: Run, site: Site | None) -> str:
    if not found.index and np.isinf(found.max_abs):
        return f"'{name}' has another shape or type"
    values = _apart(found.actual, found.expected)
    if site is None or not run.points:
        return f"'{name}'[{', '.join(map(str, found.index))}] is {values}"
    place = _point(site, found.index, run)
    axes = zip(run.points, run.image[::-1], "xyz", strict=False)
    return f"{values} at {', '.join(describe(float(p[place]), size, letter) for p, size, letter in axes)}"


def _apart(actual: float, expected: float) -> str:
    """Two numbers in as few digits as tell them apart; doubles do in 17."""
    digits = next((n for n in range(6, 17) if f"{actual:.{n}g}" != f"{expected:.{n}g}"), 17)
    return f"{actual:.{digits}g} instead of {expected:.{digits}g}"


def _point(site: Site, index: Sequence[int], run: Run) -> tuple[int, ...]:
    """The canonical point (n, i, j) that an element of the site's output belongs to."""
    places = []
    for group, size in zip((site.output_groups[0], *site.output_groups[2:]), run.points[0].shape, strict=True):
        place = 0 if len(group) != 1 else index[group[0]]
        places.append(min(place, size - 1))
    return tuple(places)
