"""The command line: options in, one call of `optimize`, the report out. Nothing but `__main__` imports this module.

onnx, onnxruntime and rich are imported only once there is a model to read: --help answers at once.
"""

from __future__ import annotations

import gc
import io
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
import cloup

from onnxgs_opt._version import __version__
from onnxgs_opt.cli.config import read_config
from onnxgs_opt.cli.given import Command, explicit, options_given, with_options
from onnxgs_opt.cli.interrupts import raise_if_pressed, remembered, was_asked_to_end, was_pressed
from onnxgs_opt.cli.mistakes import said_of
from onnxgs_opt.cli.told import tell, warnings_told
from onnxgs_opt.errors import OptError, UsageError
from onnxgs_opt.files.atomic import is_stdout
from onnxgs_opt.options import Options
from onnxgs_opt.report.files import report_path, write_report

if TYPE_CHECKING:
    from onnxgs_opt.report.model import Report

INTERRUPTED, ENDED = 130, 143
"""What shells make of SIGINT and SIGTERM."""
HELP = cloup.HelpFormatter.settings(col1_max_width=30, row_sep=None)


@dataclass(frozen=True)
class Voice:
    """How much to say, in what form, and whether on stderr because stdout carries a file."""

    format: str
    verbosity: int
    colour: bool
    on_stderr: bool = False


@cloup.command(
    cls=Command,
    align_option_groups=False,
    formatter_settings=HELP,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@cloup.argument("named", metavar="IN.onnx [OUT.onnx] | MODEL...", nargs=-1, type=click.Path(readable=False))
@with_options
@cloup.version_option(__version__, prog_name="onnxgs-opt", message="%(prog)s %(version)s")
@click.pass_context
def command(context: click.Context, /, **given: Any) -> int:
    """Find hand-written samplers, replace them, prove it, write OUT.onnx."""
    verbosity = -1 if given["quiet"] else given["verbose"]
    voice = Voice(given["format"], verbosity, _wants_colour(given["color"]))
    try:
        if given["explain"] is not None:
            return _explain(given["explain"], voice)
        config = read_config(context, Path.cwd())
        if config.path is not None and verbosity > 0:
            tell(f"options of {config.path}")
        everywhere = {name: value for name, value in config.values.items() if name not in explicit(context)}
        voice = replace(voice, format=everywhere.get("format", voice.format))
        each = options_given(_cache_folder(), context, config, **{**given, **everywhere})
        if each[0].compare_targets:
            return _compare(each, voice)
        return _one(each[0], voice) if len(each) == 1 else _several(each, voice)
    except OptError as error:
        raise_if_pressed()
        if verbosity > 1:
            traceback.print_exc()
        return _fail(str(error), error.hint, error.exit_code)


def _one(options: Options, voice: Voice) -> int:
    """Do one model, and say how far it is, and all of it."""
    report_paths = [report_path(path) for path in options.reports]
    from onnxgs_opt.api import run

    voice = replace(voice, on_stderr=_has_stdout(options))
    try:
        with _progress(voice) as progress, warnings_told():
            result = run(replace(options, progress=progress))
    except OptError as error:
        if voice.format == "github":
            _annotate(str(options.model), error)
        raise
    for path in report_paths:
        write_report(result.report, result.evidence, path)
    if options.is_timed and result.report.latency is None:
        tell("the model was not timed: it was not rewritten, or does not run here")
    _show(result.report, voice)
    return result.report.exit_code


def _annotate(model: str, error: OptError) -> None:
    """Say what is wrong as GitHub's annotation too: beside it a job shows its exit code alone."""
    from onnxgs_opt.report.rendering.github import broken

    _say(broken(model, str(error), error.hint), colour=False)


def _compare(each: Sequence[Options], voice: Voice) -> int:
    """Measure one model on several targets, and print the table."""
    from onnxgs_opt.api import run_on_each
    from onnxgs_opt.report.targets import to_json, to_text

    if len(each) > 1 or voice.format not in ("text", "json"):
        raise UsageError("--compare-targets prints the table of one model", "name one, and --format text or json")
    with _progress(voice) as progress, warnings_told():
        runs = run_on_each(replace(each[0], progress=progress))
    _say(to_json(runs) if voice.format == "json" else to_text(runs), voice.colour)
    return 0


def _several(each: Sequence[Options], voice: Voice) -> int:
    """Do many models: a line each as soon as it is done, and a summary."""
    from onnxgs_opt.cli.several import document, each_done, exit_code, row, summary

    done = []
    width = max(len(str(options.model)) for options in each)
    with warnings_told(), closing(each_done(each, each[0].jobs)) as results:
        for one in results:
            done.append(one)
            if one.report is None:
                _fail(one.error if one.model in one.error else f"{one.model}: {one.error}", one.hint, one.exit_code)
            elif voice.format == "text" and voice.verbosity > 0:
                _show(one.report, voice)
            if voice.format == "text" and voice.verbosity >= 0:
                _say(row(one, width), voice.colour)
    _say(summary(done) if voice.format == "text" else document(voice.format, done), voice.colour)
    return exit_code(done)


def script() -> NoReturn:
    """The console script: run the command and end the process with its exit code."""
    code = main()
    timing = sys.modules.get("onnxgs_opt.runtime.timing")
    if timing is not None and timing.is_running():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime would keep an id and events, and send them
    gc.set_threshold(100_000, 50, 50)  # nodes and expressions live to the end: looking for garbage took 8 % of a run
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started the program
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  (to the end)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with remembered():
            code: int = command.main(args, prog_name="onnxgs-opt", standalone_mode=False)
    except click.ClickException as error:
        return _fail(*said_of(error), UsageError.exit_code)
    except Exception as error:
        if isinstance(error, click.Abort) or was_pressed():
            return _fail("ended", "", ENDED) if was_asked_to_end() else _fail("interrupted", "", INTERRUPTED)
        # A bug, and never 1: that code means findings.
        traceback.print_exc()
        message = f"internal error: {type(error).__name__}"
        return _fail(message, "please report the lines above, with the model", UsageError.exit_code)
    return code


def _cache_folder() -> Path:
    """Where measurements are kept between runs: the user's folder for what can be made again."""
    from platformdirs import user_cache_path

    return user_cache_path("onnxgs-opt", appauthor=False)


def _has_stdout(options: Options) -> bool:
    """Whether a file that is written is standard output: then nothing else goes there."""
    return any(is_stdout(path) for _, path in options.files("out"))


def _show(report: Report, voice: Voice) -> None:
    from onnxgs_opt.report.rendering import render
    from onnxgs_opt.report.rendering.text import to_text

    if voice.format != "text":
        _say(render(voice.format, report), colour=False, err=voice.on_stderr)
        return
    _say(to_text(report, colour=voice.colour, verbosity=voice.verbosity), voice.colour, voice.on_stderr)


def _explain(code: str, voice: Voice) -> int:
    from onnxgs_opt.diagnostics import CODES
    from onnxgs_opt.report.rendering.text import explain, explain_all

    if not code:
        _say(explain_all(colour=voice.colour), voice.colour)
        return 0
    entry = CODES.get(code.upper())
    if entry is None:
        raise UsageError(f"there is no code {code}", "onnxgs-opt --explain lists them")
    _say(explain(entry, colour=voice.colour), voice.colour)
    return 0


def _wants_colour(flag: bool | None) -> bool:
    """The flag's word, else a terminal's without NO_COLOR (https://no-color.org: set and not empty)."""
    if flag is not None:
        return flag
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


@contextmanager
def _progress(voice: Voice) -> Iterator[Callable[[str], None] | None]:
    """A sink of stage names: a bar on a terminal, lines under -v, else nothing. Always on stderr."""
    if voice.verbosity > 0:
        yield lambda stage: tell(f"{stage} ...")
        return
    if voice.verbosity < 0 or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, no_color=not _wants_colour(None))
    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("reading", total=None)

        def advance(stage: str) -> None:
            forms = re.search(r" form (\d+) of (\d+)", stage)  # of other stages nobody knows how long they take
            done, total = (int(forms[1]) - 1, int(forms[2])) if forms else (0, None)
            bar.update(task, description=escape(stage), completed=done, total=total)

        yield advance


def _say(text: str, colour: bool, err: bool = False) -> None:
    """Print to stdout; a reader that left (`| head`) does not change what the run found."""
    try:
        click.echo(text, nl=False, color=colour, err=err)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is buffered would fail again at the end
        raise UsageError(
            f"the report cannot be printed: {error.strerror}", "--report FILE writes it to a file"
        ) from None


def _fail(message: str, hint: str, exit_code: int) -> int:
    """Print the error and the hint, one line each, and return the exit code."""
    from onnxgs_opt.report.rendering.words import printable

    for label, text in (("error", message), ("hint", hint)):
        if text:
            click.echo(f"{label}: {printable(' '.join(text.split()))}", err=True)
    return exit_code
