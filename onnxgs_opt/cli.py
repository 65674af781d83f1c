"""The command line: options in, one call of `optimize`, the report out. Nothing imports this module.

onnx, onnxruntime and rich are imported only once there is a model to read: --help answers at once.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from onnxgs_opt._version import __version__
from onnxgs_opt.errors import OptError, UsageError

if TYPE_CHECKING:
    from onnxgs_opt.report import Report

LOWERINGS = ("auto", "keep", "merged-gather", "grid-sample", "plugin")
TARGETS = ("ort-cpu", "ort-cuda", "tensorrt", "tensorrt-rtx")
INTERRUPTED = 130

GROUPS = {
    "What to do": ("dry_run", "check", "require_match"),
    "How to lower": ("lowering", "target"),
    "Validation": ("shapes", "inputs", "rtol", "atol", "seed", "no_validate"),
    "Output": ("report_file", "format_", "verbose", "quiet", "color"),
}
"""Headings of --help and the parameters under each; the rest come last, under "About"."""


class GroupedCommand(click.Command):
    """A command whose --help lists its options under the headings of `GROUPS`."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one definition list a group."""
        params = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        options = {str(param.name): param.get_help_record(ctx) for param in params}
        rest = tuple(name for name in options if not any(name in names for names in GROUPS.values()))
        for heading, names in {**GROUPS, "About": rest}.items():
            with formatter.section(heading):
                formatter.write_dl([record for name in names if (record := options[name])])


@dataclass(frozen=True)
class Voice:
    """How much to say and in what form."""

    format: str
    verbosity: int
    colour: bool


@click.command(
    cls=GroupedCommand, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
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
    help="What replaces each site; a site that refuses it is kept.",
)
@click.option("--target", type=click.Choice(TARGETS), help="Runtime to be fast on.")
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
    help="Relative tolerance instead of each lowering's own.",
)
@click.option(
    "--atol",
    type=click.FloatRange(min=0),
    metavar="X",
    help="Absolute tolerance instead of each lowering's own.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="N",
    default=0,
    show_default=True,
    help="Seed of generated inputs.",
)
@click.option("--no-validate", is_flag=True, help="Do not run the model before and after.")
@click.option(
    "--report",
    "report_file",
    type=click.Path(dir_okay=False),
    metavar="FILE.json",
    help="Write the JSON report there too.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(("text", "json")),
    default="text",
    show_default=True,
    help="What stdout carries.",
)
@click.option(
    "--explain", is_flag=False, flag_value="", metavar="[CODE]", help="What a code of the report means."
)
@click.option("-v", "--verbose", count=True, help="Say more; -vv shows the traceback of an error.")
@click.option("-q", "--quiet", is_flag=True, help="Only the last line; no progress.")
@click.option("--color/--no-color", default=None, help="Default: colour on a terminal without NO_COLOR.")
@click.version_option(__version__, prog_name="onnxgs-opt", message="%(prog)s %(version)s")
def command(
    model: str | None,
    output: str | None,
    dry_run: bool,
    check: bool,
    require_match: int,
    lowering: str,
    target: str | None,
    shapes: tuple[str, ...],
    inputs: str | None,
    rtol: float | None,
    atol: float | None,
    seed: int,
    no_validate: bool,
    report_file: str | None,
    format_: str,
    explain: str | None,
    verbose: int,
    quiet: bool,
    color: bool | None,
) -> int:
    """Find hand-written bilinear samplers in IN.onnx, replace them, prove it, write OUT.onnx."""
    voice = Voice(format_, -1 if quiet else verbose, _wants_colour(color))
    try:
        if explain is not None:
            return _explain(explain, voice)
        report_path = _report_path(report_file, model, output)
        asked_to_write = not (dry_run or check)
        source = _source(model, output, asked_to_write)
        _require_available(target)
        sizes = dict(parse_shape(text) for text in shapes)

        from onnxgs_opt.api import find, optimize
        from onnxgs_opt.report import judge

        # Too few matches is a failure, and a failure leaves no OUT: so count before anything is written.
        writes = asked_to_write and (require_match == 0 or len(find(source)) >= require_match)
        with _progress(voice) as progress:
            result = optimize(
                source,
                output if writes else None,
                lowering=lowering,
                target=target,
                shapes=sizes,
                inputs=inputs,
                rtol=rtol,
                atol=atol,
                seed=seed,
                validate=not no_validate,
                dry_run=not writes,
                progress=progress,
            )
        report = judge(result.report, check=check, require_match=require_match)
        if report_path is not None:
            _write_report(report, report_path)
        _show(report, voice)
        return report.exit_code
    except OptError as error:
        if verbose > 1:
            traceback.print_exc()
        return _fail(str(error), error.hint, error.exit_code)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; the console script's entry point."""
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


def _source(model: str | None, output: str | None, writes: bool) -> str:
    """IN's path, once it and what the run needs beside it were named."""
    if model is None:
        raise UsageError("no model was named", "onnxgs-opt IN.onnx OUT.onnx; --help lists the options")
    if writes and output is None:
        raise UsageError("no output was named", f"onnxgs-opt {model} OUT.onnx, or --dry-run to look only")
    return model


def _require_available(target: str | None) -> None:
    if target not in (None, "ort-cpu"):
        raise UsageError(
            f"target {target} is not available in {__version__}", "use --target ort-cpu, or leave it out"
        )


def _report_path(text: str | None, model: str | None, output: str | None) -> Path | None:
    """The path of --report, refused before any work is done when it could not be written."""
    if text is None:
        return None
    path = Path(text)
    if path.suffix != ".json":
        raise UsageError(f"--report {path} has no known ending", "end it in .json")
    if any(other is not None and Path(other).resolve() == path.resolve() for other in (model, output)):
        raise UsageError(f"--report {path} is the model's own path", "give the report another name")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"cannot write into {path.parent}", "make it, or choose another folder for --report")
    return path


def _write_report(report: Report, path: Path) -> None:
    from onnxgs_opt.report import to_json

    try:
        path.write_text(to_json(report), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", "choose another --report") from error


def _show(report: Report, voice: Voice) -> None:
    from onnxgs_opt.rendering.text import to_text
    from onnxgs_opt.report import to_json

    if voice.format == "json":
        _say(to_json(report), colour=False)
        return
    _say(to_text(report, colour=voice.colour, verbosity=voice.verbosity), voice.colour)


def _explain(code: str, voice: Voice) -> int:
    from onnxgs_opt.codes import CODES
    from onnxgs_opt.rendering.text import explain, explain_all

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
    """A sink of stage names: a spinner on a terminal, lines under -v, else nothing. Always on stderr."""
    if voice.verbosity > 0:
        yield lambda stage: click.echo(f"{stage} ...", err=True)
        return
    if voice.verbosity < 0 or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.text import Text

    colour = _wants_colour(None)
    with Console(stderr=True, no_color=not colour).status("reading") as status:
        yield lambda stage: status.update(Text(stage))


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
