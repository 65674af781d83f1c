"""Many models in one call: each by itself, a line each, and one summary; a model that fails stops no other."""

from __future__ import annotations

import json
import traceback
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from onnxgs_opt.cli.interrupts import raise_if_pressed
from onnxgs_opt.cli.processes import Workers
from onnxgs_opt.cli.told import warnings_told
from onnxgs_opt.errors import OptError
from onnxgs_opt.options import Options
from onnxgs_opt.report.files import report_path, write_report

if TYPE_CHECKING:
    from onnxgs_opt.report.model import Report


WORDS = {
    "optimised": "optimised",
    "nothing-to-do": "with nothing to do",
    "checks-failed": "kept, for what would replace their sites failed its check",
    "dry-run": "could be optimised",
    "findings": "could be optimised",
    "too-few": "with too few sites",
    "too-slow": "not as fast as asked for",
    "mismatch": "whose result differs",
    "engine-failed": "without an engine",
}
"""How many models are what, by the status of their reports."""


@dataclass(frozen=True)
class Done:
    """What came of one model: its report, or what was wrong and what to do about it."""

    model: str
    exit_code: int
    report: Report | None = None
    error: str = ""
    hint: str = ""


def each_done(options: Sequence[Options], at_once: int) -> Generator[Done, None, None]:
    """What comes of each, in their order.

    Where several run at once, each in a process of its own, nothing is measured: they would disturb each other.
    """
    if at_once == 1 or len(options) == 1:
        yield from map(carried_out, options)
        return
    quiet = [replace(each, measure=False) for each in options]
    yield from Workers(_apart, min(at_once, len(quiet)), _died).results(quiet)


def _apart(options: Options) -> Done:
    """The same in a process of its own."""
    with warnings_told():
        return carried_out(options)


def _died(options: Options, exit_code: int) -> Done:
    """What is said of a model whose process ended, as one does that the system takes the memory from."""
    how = f"by signal {-exit_code}" if exit_code < 0 else f"with {exit_code}"
    hint = "it may need more memory than is free: leave --jobs out, or do it by itself"
    return Done(str(options.model), OptError.exit_code, None, f"its process ended {how}", hint)


def carried_out(options: Options) -> Done:
    """Do one, and write its reports."""
    name = str(options.model)
    try:
        from onnxgs_opt.api import run

        paths = [report_path(path) for path in options.reports]
        result = run(options)
        for path in paths:
            write_report(result.report, result.evidence, path)
        return Done(name, result.report.exit_code, result.report)
    except OptError as error:
        raise_if_pressed()
        return Done(name, error.exit_code, None, str(error), error.hint)
    except Exception as error:  # a bug, which is no reason to leave the other models out
        raise_if_pressed()
        traceback.print_exc()
        hint = "please report the lines above, with the model"
        return Done(name, OptError.exit_code, None, f"internal error: {type(error).__name__}", hint)


def row(done: Done, width: int) -> str:
    """One line of the table: the model, PASSED or FAILED, and what came of it."""
    from onnxgs_opt.report.rendering.words import outcome, printable, verdict

    word, said = ("FAILED", done.error) if done.report is None else (outcome(done.report), verdict(done.report))
    return f"{printable(done.model):{width}}  {word}  {printable(said)}\n"


def summary(done: Sequence[Done]) -> str:
    """The last line: how many of each kind."""
    kinds = Counter("failed" if each.report is None else _kind(each.report) for each in done)
    said = ", ".join(f"{n} {kind}" for kind, n in kinds.items())
    return f"onnxgs-opt: {'FAILED' if exit_code(done) else 'PASSED'} {len(done)} models: {said}\n"


def _kind(report: Report) -> str:
    has_nothing = report.status == "dry-run" and not report.lowered
    return WORDS["nothing-to-do" if has_nothing else report.status]


def exit_code(done: Sequence[Done]) -> int:
    """The highest of all: a failure is not hidden by a finding, nor a finding by what passed."""
    return max(each.exit_code for each in done)


def document(format_: str, done: Sequence[Done]) -> str:
    """The reports of all in one of the formats, with what was wrong where there is none; SARIF has a run for each."""
    from onnxgs_opt.report.rendering import github, junit, markdown, render, sarif

    if format_ == "junit":
        return junit.document(
            junit.broken(each.model, each.error, each.hint) if each.report is None else junit.suite(each.report)
            for each in done
        )
    if format_ == "sarif":
        return sarif.log(
            sarif.broken(each.model, each.error, each.hint, each.exit_code)
            if each.report is None
            else sarif.run(each.report)
            for each in done
        )
    if format_ == "json":
        reports = [json.loads(render(format_, each.report)) for each in done if each.report is not None]
        errors = [
            {"input": each.model, "exit_code": each.exit_code, "error": each.error, "hint": each.hint}
            for each in done
            if each.report is None
        ]
        whole = {"exit_code": exit_code(done), "reports": reports, "errors": errors}
        return json.dumps(whole, indent=2) + "\n"
    texts = [
        (github if format_ == "github" else markdown).broken(each.model, each.error, each.hint)
        if each.report is None
        else render(format_, each.report)
        for each in done
    ]
    return "".join(texts) + (summary(done) if format_ == "github" else "")
