"""The command line: options in, one call of `optimize`, the report out. Nothing imports this module.

onnx, onnxruntime and rich are imported only once there is a model to read: --help answers at once.
"""

from __future__ import annotations

import gc
import io
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxgs_opt._version import __version__
from onnxgs_opt.cli_options import NAMES, EngineFlags, engine_options
from onnxgs_opt.errors import OptError, UsageError
from onnxgs_opt.report.files import report_path, require_folder, write_report

if TYPE_CHECKING:
    from onnxgs_opt.report.model import Report
    from onnxgs_opt.runtime.timing import Race

LOWERINGS = (
    *("auto", "keep", "merged-gather", "blocked-gather", "lerp-gather", "row-gather", "packed-gather"),
    *("grid-sample", "roi-align", "plugin"),
)
TARGETS = ("ort-cpu", "ort-cuda", "tensorrt", "tensorrt-rtx")
FORMATS = ("text", "json", "markdown", "sarif", "github")
INTERRUPTED = 130
GROUPS = {
    "What to do": ("dry_run", "check", "require_match"),
    "How to lower": ("lowering", "target", "opset", "plan", "save_plan", "bench", "no_cache"),
    "Validation": ("shapes", "inputs", "rtol", "atol", "seed", "custom_ops_library", "no_validate"),
    "Engine": NAMES,
    "Output": ("report_files", "format_", "verbose", "quiet", "color"),
}
"""Headings of --help and the parameters under each; the rest come last, under "About"."""


class GroupedCommand(click.Command):
    """A command whose --help lists its options under the headings of `GROUPS`."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one definition list a group."""
        params = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        options = {str(param.name): _record(param, ctx) for param in params}
        rest = tuple(name for name in options if not any(name in names for names in GROUPS.values()))
        for heading, names in {**GROUPS, "About": rest}.items():
            with formatter.section(heading):
                formatter.write_dl([record for name in names if (record := options[name])])


def _record(option: click.Option, ctx: click.Context) -> tuple[str, str] | None:
    """An option's names and help, without what click says of ranges: an error does."""
    found = option.get_help_record(ctx)
    return found and (found[0], found[1].replace("  [x>=0]", "").replace("; x>=0", ""))


@dataclass(frozen=True)
class Voice:
    """How much to say and in what form."""

    format: str
    verbosity: int
    colour: bool


@dataclass(frozen=True)
class Options:
    """What was asked for, but for what to say of it."""

    model: str | None
    output: str | None
    dry_run: bool
    check: bool
    require_match: int
    lowering: str
    target: str | None
    opset: int | None
    plan: str | None
    save_plan: str | None
    bench: bool
    no_cache: bool
    shapes: tuple[str, ...]
    inputs: str | None
    rtol: float | None
    atol: float | None
    seed: int
    custom_ops_library: tuple[str, ...]
    no_validate: bool
    report_files: tuple[str, ...]
    engine: EngineFlags


@click.command(cls=GroupedCommand, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("model", metavar="IN.onnx", required=False)
@click.argument("output", metavar="[OUT.onnx]", required=False)
@click.option("--dry-run", is_flag=True, help="Report only, write no model.")
@click.option("--check", is_flag=True, help="As --dry-run; exit 1 when something could be optimised.")
@click.option(
    "--require-match",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Exit 1 when fewer than N sites are found.",
)
@click.option(
    "--lowering",
    type=click.Choice(LOWERINGS),
    default="auto",
    show_default=True,
    metavar="NAME",
    help=f"What replaces each site: {', '.join(LOWERINGS)}.",
)
@click.option("--target", type=click.Choice(TARGETS), metavar="NAME", help=f"Runtime: {', '.join(TARGETS)}.")
@click.option("--opset", type=click.IntRange(min=7), metavar="N", help="Convert the model up to opset N first.")
@click.option("--plan", type=click.Path(exists=True, dir_okay=False), help="Take the choices of a saved plan.")
@click.option("--save-plan", type=click.Path(dir_okay=False), help="Write this run's choices.")
@click.option("--bench", is_flag=True, help="Time the model before and after.")
@click.option("--no-cache", is_flag=True, help="Measure anew what earlier runs have measured.")
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="NAME=1x3x224x224",
    help="Shape of a dynamic input; repeatable.",
)
@click.option(
    "--inputs",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE.npz",
    help="Real inputs for the whole-model check.",
)
@click.option(
    "--rtol",
    type=click.FloatRange(min=0),
    metavar="X",
    help="Relative tolerance, else each lowering's own.",
)
@click.option(
    "--atol",
    type=click.FloatRange(min=0),
    metavar="X",
    help="Absolute tolerance, else each lowering's own.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="N",
    default=0,
    show_default=True,
    help="Seed of generated inputs.",
)
@click.option(
    "--custom-ops-library",
    type=click.Path(exists=True, dir_okay=False),
    multiple=True,
    metavar="FILE",
    help="Custom operators for onnxruntime; repeatable.",
)
@click.option("--no-validate", is_flag=True, help="Do not run the model before and after.")
@click.option(
    "--report",
    "report_files",
    type=click.Path(dir_okay=False),
    multiple=True,
    metavar="FILE",
    help="Also a report: .json, .md, .sarif, .html; repeatable.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    metavar="NAME",
    help=f"What stdout carries: {', '.join(FORMATS)}.",
)
@click.option("--explain", is_flag=False, flag_value="", metavar="[CODE]", help="What a code of the report means.")
@click.option("-v", "--verbose", count=True, help="Say more; -vv shows an error's traceback.")
@click.option("-q", "--quiet", is_flag=True, help="Only the last line; no progress.")
@click.option("--color/--no-color", default=None, help="Default: colour on a terminal, unless NO_COLOR is set.")
@click.version_option(__version__, prog_name="onnxgs-opt", message="%(prog)s %(version)s")
@engine_options
def command(format_: str, explain: str | None, verbose: int, quiet: bool, color: bool | None, **asked: Any) -> int:
    """Find hand-written bilinear samplers, replace them, prove it, write OUT.onnx."""
    voice = Voice(format_, -1 if quiet else verbose, _wants_colour(color))
    try:
        if explain is not None:
            return _explain(explain, voice)
        report = _run(Options(**asked), voice)
        _show(report, voice)
        return report.exit_code
    except OptError as error:
        if verbose > 1:
            traceback.print_exc()
        return _fail(str(error), error.hint, error.exit_code)


def _run(asked: Options, voice: Voice) -> Report:
    """Refuse what cannot be done, then do it and write what was asked for."""
    report_paths = [report_path(text, asked.model, asked.output) for text in asked.report_files]
    asked_to_write = not (asked.dry_run or asked.check)
    source = _source(asked.model, asked.output, asked_to_write)
    target = asked.engine.target(asked.target)
    asked.engine.require_engine(source, asked.output, target)
    profiles = dict(parse_profile(text) for text in asked.shapes)
    sizes = {name: best for name, (_, best, _) in profiles.items()}

    from onnxgs_opt.api import find, optimize
    from onnxgs_opt.report.model import judge

    # Too few matches is a failure, and a failure leaves no OUT: so count before anything is written.
    writes = asked_to_write and (asked.require_match == 0 or len(find(source)) >= asked.require_match)
    with _progress(voice) as progress:
        result = optimize(
            source,
            asked.output if writes else None,
            lowering=asked.lowering,
            target=target,
            plugin=asked.engine.plugin_library is not None,
            opset=asked.opset,
            shapes=sizes,
            largest={name: most for name, (_, _, most) in profiles.items()},
            inputs=asked.inputs,
            rtol=asked.rtol,
            atol=asked.atol,
            seed=asked.seed,
            validate=not asked.no_validate,
            dry_run=not writes,
            plan=asked.plan,
            save_plan=asked.save_plan,
            bench=asked.bench,
            cache=None if asked.no_cache else _cache_folder(),
            custom_ops=asked.custom_ops_library,
            progress=progress,
        )
    report = judge(result.report, check=asked.check, require_match=asked.require_match)
    report = asked.engine.add_to(result, report, source, profiles, asked.inputs)
    for path in report_paths:
        write_report(report, result.evidence, path)
    if asked.bench:
        _say_times(result.race)
    return report


def main(args: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; the console script's entry point."""
    gc.set_threshold(100_000, 50, 50)  # nodes and expressions live to the end: looking for garbage took 8 % of a run
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code: int = command.main(args, prog_name="onnxgs-opt", standalone_mode=False)
    except click.ClickException as error:
        return _fail(error.format_message(), "onnxgs-opt --help lists the options", UsageError.exit_code)
    except click.Abort:
        return _fail("interrupted", "", INTERRUPTED)
    except Exception as error:
        # A bug, and never 1: that code means findings.
        traceback.print_exc()
        message = f"internal error: {type(error).__name__}"
        return _fail(message, "please report the lines above, with the model", UsageError.exit_code)
    return code


def parse_shape(text: str) -> tuple[str, tuple[int, ...]]:
    """The input name and sizes of NAME=1x3x224x224; the name may hold "=" itself."""
    name, found, sizes = text.rpartition("=")
    parts = sizes.split("x")
    if not (found and name and all(part.isascii() and part.isdigit() and int(part) for part in parts)):
        raise UsageError(f"--shape {text} is no shape", "write it as NAME=1x3x224x224, sizes of 1 or more")
    return name, tuple(int(part) for part in parts)


def parse_profile(text: str) -> tuple[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
    """The input name and its least, best and largest shape: NAME=MIN,OPT,MAX, or NAME=SHAPE for all of them."""
    name, found, shapes = text.rpartition("=")
    three = [parse_shape(f"{name}={shape}" if found else text)[1] for shape in shapes.split(",")]
    if len(three) not in (1, 3):
        raise UsageError(f"--shape {text} has {len(three)} shapes", "give one, or three: NAME=MIN,OPT,MAX")
    return name, (three[0], three[len(three) // 2], three[-1])


def _source(model: str | None, output: str | None, writes: bool) -> str:
    """IN's path, once it and what the run needs beside it were named."""
    if model is None:
        raise UsageError("no model was named", "onnxgs-opt IN.onnx OUT.onnx; --help lists the options")
    if writes and output is None:
        raise UsageError("no output was named", f"onnxgs-opt {model} OUT.onnx, or --dry-run to look only")
    if writes and output is not None:
        require_folder(Path(output), "OUT")
    return model


def _cache_folder() -> Path:
    """Where measurements are kept between runs: the user's folder for what can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "onnxgs-opt"


def _say_times(race: Race | None) -> None:
    """One line on stderr: stdout carries the report."""
    from onnxgs_opt.runtime.timing import describe

    click.echo("bench: the model was not rewritten, or does not run here" if race is None else describe(race), err=True)


def _show(report: Report, voice: Voice) -> None:
    from onnxgs_opt.report.rendering import render
    from onnxgs_opt.report.rendering.text import to_text

    if voice.format != "text":
        _say(render(voice.format, report), colour=False)
        return
    _say(to_text(report, colour=voice.colour, verbosity=voice.verbosity), voice.colour)


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
        yield lambda stage: click.echo(f"{stage} ...", err=True)
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
        task = bar.add_task("reading", total=None)  # how long a stage takes is not known before
        yield lambda stage: bar.update(task, description=escape(stage))


def _say(text: str, colour: bool) -> None:
    """Print to stdout; a reader that left (`| head`) does not change what the run found."""
    try:
        click.echo(text, nl=False, color=colour)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, hint: str, exit_code: int) -> int:
    """Print the error and the hint, one line each, and return the exit code."""
    lines = {"error": message, "hint": hint}
    for label, text in lines.items():
        if text:
            click.echo(f"{label}: {_one_line(text)}", err=True)
    return exit_code


def _one_line(text: str) -> str:
    folded = " ".join(text.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in folded)


if __name__ == "__main__":
    sys.exit(main())
