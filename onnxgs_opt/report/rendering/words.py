"""The words that every format of a report shares: names made printable, counts, what a site is, the verdict."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from onnxgs_opt.report.model import Latency, Report, SitePolicy, SiteReport, TargetCheck
from onnxgs_opt.samplers.border import BESIDE
from onnxgs_opt.samplers.policy import ATTENTION, DEFORMABLE
from onnxgs_opt.tuning.measurement import Measurement

AS_READ = "as read"
"""The border of a site that only reads: it has none."""


def printable(text: str) -> str:
    """The text with control and other unprintable characters escaped: names come from the file."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def advised(error: str, hint: str) -> str:
    """What was wrong, and what to do about it where that is known."""
    return f"{error}; {hint}" if hint else error


def number(value: float | None) -> str:
    """A difference in three digits; 0 is exact equality."""
    if value is None:
        return "not checked"
    return f"{value:.3g}" if math.isfinite(value) else str(value)


def count(n: int, noun: str) -> str:
    """A number and its noun, in the singular or the plural."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


OUTSIDE = {
    "zeros": "zeros outside the image",
    "border": "the edge is repeated outside the image",
    "reflection": "mirrored at the edge pixels outside the image",
    "symmetric": "mirrored at the edges outside the image",
    "wrap": "the image is repeated outside",
    "cylinder": "rows end where they begin, above and below the edge is repeated",
}
"""What a border reads where a tap lies outside."""

WINDOWS = {
    "interior": "zero unless all four pixels are inside",
    "interior-closed": "zero outside the image",
    "interior-open": "zero at the outermost pixels and outside",
    "interior-open-low": "zero at the first pixels and outside the image",
    "reach": "zero a pixel outside the image and beyond",
    "reach-closed": "zero more than a pixel outside the image",
    "cells": "zero from the size of the image on, and below 0",
}
"""Where a window makes the result zero."""

NAMED = ("RoIAlign", DEFORMABLE, ATTENTION)
"""Sites that are more than a sampler begin with what they are."""

UNITS = {"pixel": "pixel coordinates", "normalised": "coordinates -1 to 1", "unit": "coordinates 0 to 1"}


def outside(policy: SitePolicy) -> str:
    """What a site computes outside the image, in words; a name that has none stays as it is."""
    filled = re.fullmatch(r"(?:(.+), )?constant (\S+)", policy.border)
    if filled is None:
        return _of_border(policy.border)
    return re.sub(r"\bzeros?\b", filled[2], _of_border(filled[1] or "zeros"))


def _of_border(name: str) -> str:
    along = name.split(BESIDE)
    if len(along) > 1:
        return ", ".join(f"along {axis} {OUTSIDE[own]}" for axis, own in zip("zyx"[-len(along) :], along, strict=True))
    for window, words in WINDOWS.items():
        if name == window:
            return words
        border = name.removesuffix(f"-{window}")
        if border in OUTSIDE:
            return f"{words}; else {OUTSIDE[border]}" if border != name else OUTSIDE[border]
    return name


def units(policy: SitePolicy) -> str:
    """The unit of the coordinates."""
    corners = "" if policy.align_corners is None else f" (align_corners={int(policy.align_corners)})"
    return UNITS.get(policy.coordinates, f"{policy.coordinates} coordinates") + corners


def kind(site: SiteReport) -> str:
    """What a site computes, on which data."""
    policy = site.policy
    if policy.coordinates == "index":  # of where it reads nothing else is known
        if policy.border != AS_READ:
            return f"Resize, {policy.border}, {policy.dtype}"
        return f"a sum of {count(len(site.reads), 'read')}, {policy.dtype}"
    data = f"{policy.layout} {policy.dtype}".strip()
    return f"{sample(site)}, {outside(policy)}, {units(policy)}, {data}"


def sample(site: SiteReport) -> str:
    """What a site is, in a few words."""
    own = site.policy.kind
    return own if own.startswith(NAMED) else {"grid-sample": "GridSample node"}.get(own, f"{own} sample")


def sentence(site: SiteReport) -> str:
    """What a site makes, of what, and what that is outside the image."""
    inside = f" in {site.body}" if site.body else ""
    if site.policy.border != AS_READ and site.policy.coordinates == "index":
        what = f"Resize of {site.image}{inside} ({site.policy.border})"
    elif site.policy.coordinates == "index":
        what = (
            f"a sum of {count(len(site.reads), 'read')} of {site.image} at {grid(site)}{inside}, not a bilinear sampler"
        )
    else:
        how = f"{outside(site.policy)}; {units(site.policy)}"
        what = f"{sample(site)} of {site.image} at {grid(site)}{inside} ({how})"
    return f"{site.output} = {what}"


def findings(report: Report) -> Iterator[tuple[str, str, str]]:
    """Everything that was found: its code, a site's id or a node, and what it is."""
    for site in report.sites:
        becomes = f"{len(site.reads)} {site.read_op} -> {site.lowering}: {site.reason}"
        yield site.rule, site.id, f"{sentence(site)}: {becomes}"
    yield from ((miss.code, miss.node, f"{miss.condition}. {miss.hint}") for miss in report.near_misses)
    yield from ((hazard.code, hazard.node, hazard.hint) for hazard in report.hazards)


def warns(report: Report, code: str, place: str) -> bool:
    """Whether what was found is no mere note: a hazard, or what the run fails for."""
    return code.startswith("GSO2") or report.failure(code, place) is not None


def grid(site: SiteReport) -> str:
    """The tensors of the coordinates."""
    return site.grid if isinstance(site.grid, str) else ", ".join(site.grid)


def domain(site: SiteReport) -> str:
    """The sizes that the proof of a site with dynamic ones covers, else nothing."""
    return "" if site.domain is None or not site.domain.sizes else printable(site.domain.words)


def outcome(report: Report) -> str:
    """PASSED or FAILED, the exit code in a word."""
    return "FAILED" if report.exit_code else "PASSED"


def verdict(report: Report) -> str:
    """What came of the run in one line, without the word that `outcome` gives."""
    return _failure(report) if report.exit_code else "; ".join(_facts(report))


def _nearer(report: Report) -> str:
    """Where both are known, how far the original and the result are from the original in double precision."""
    if report.validation.from_double is None:
        return ""
    before, after = report.validation.from_double
    if before == after:
        return ""
    side = "original" if before < after else "result"
    return f" (the {side} is nearer to a run in double precision: {number(before)} off before, {number(after)} after)"


def _failure(report: Report) -> str:
    match report.status:
        case "findings":
            return "; ".join(_findings(report))
        case "too-few" | "too-slow":
            return "; ".join((*(failure.message for failure in report.failures), "nothing was written"))
        case "mismatch":
            if report.validation.reason is not None:
                return f"an internal failure: {printable(report.validation.reason)}; nothing was written"
            worst = number(report.validation.max_abs)
            return f"the result differs from the original, max |error| {worst}{_nearer(report)}; nothing was written"
        case _:
            return "the engine was not built"


def _findings(report: Report) -> Iterator[str]:
    """What --check and --fail-on found, in numbers and by their first places."""
    checked = [failure for failure in report.failures if failure.gate == "check"]
    others = [failure for failure in report.failures if failure.gate == "fail-on"]
    if checked:
        yield f"{count(len(checked), 'site')} could be optimised (--check)"
    if others:
        named = ", ".join(f"{failure.code} at {printable(failure.place)}" for failure in others[:3])
        more = f" and {len(others) - 3} more" if others[3:] else ""
        yield f"--fail-on: {named}{more}; nothing was written"


def speed(times: Latency) -> str:
    """How long the whole model takes before and after, in one line."""
    noise = "" if times.is_clear else ", within the noise"
    return (
        f"{times.before_ms:.3g} ms before, {times.after_ms:.3g} ms after: {times.ratio:.2f} times as fast "
        f"({times.ratio_low:.2f} to {times.ratio_high:.2f}{noise}; {count(times.rounds, 'round')} in turn)"
    )


def _found(report: Report) -> str:
    """How many samplers, and how many other sums of reads: those are none."""
    sums = sum(site.policy.border == AS_READ for site in report.sites)
    samplers = count(len(report.sites) - sums, "sampler")
    others = f"{sums} {'sum' if sums == 1 else 'sums'} of reads"
    return samplers if not sums else others if sums == len(report.sites) else f"{samplers} and {others}"


def _nothing(report: Report) -> str:
    left = "" if not report.sites else f", and left as {'it is' if len(report.sites) == 1 else 'they are'}"
    return f"{_found(report)} found{left}"


def spread(row: Measurement) -> str:
    """Between what the middle half of the ratios lies; "once" where it ran only once."""
    return "once" if row.ratio_low is None else f"{row.ratio_low:.2f} to {row.ratio_high:.2f}"


def _on_target(check: TargetCheck) -> str:
    """What the target's own runtime makes of the result."""
    if check.reason is not None:
        return f"not checked on {check.runtime}: {printable(check.reason)}"
    own = "" if check.exported_max_abs is None else f", {number(check.exported_max_abs)} of the exported model (GSO209)"
    return f"on {check.runtime} max |error| {number(check.max_abs)}{own}"


def _facts(report: Report) -> Iterator[str]:
    as_it_came = "" if report.output is None else f", the model is written as it came to {printable(report.output)}"
    if report.status == "nothing-to-do":
        yield f"{_nothing(report)}: nothing to do{as_it_came}"
    elif report.status == "checks-failed":
        failed = sum(site.reason.startswith(("its check failed", "internal failure")) for site in report.sites)
        yield f"nothing was lowered: what would replace {count(failed, 'site')} failed its check"
    elif report.status == "dry-run":
        would = f", {len(report.lowered)} would be lowered" if report.sites else ""
        yield f"{_found(report)} found{would}"
    else:
        yield f"{count(len(report.lowered), 'site')} lowered"
    check = report.validation
    if check.status == "ok":
        error = f"max |error| {number(check.max_abs)}{_nearer(report)}"
        yield f"validated over {count(len(check.shapes), 'shape')}, {error}"
        if check.target is not None:
            yield _on_target(check.target)
    elif check.reason is not None:
        alone = sum(site.error.max_abs is not None for site in report.lowered)
        yield f"{count(alone, 'site')} checked alone; the whole model was not checked: {printable(check.reason)}"
    elif report.status == "optimised":
        yield "not validated"
    if report.output is not None and report.status != "nothing-to-do":
        yield f"wrote {printable(report.output)}"
