"""The list of options as click's, and what was given on the command line as `Options`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import Field, replace
from pathlib import Path
from typing import Any

import click

from onnxgs_opt.errors import UsageError
from onnxgs_opt.options import OPTIONS, Options, Spec, options_of

GROUPS = tuple(dict.fromkeys(each.metadata["spec"].group for each in OPTIONS if each.metadata["spec"].flags))
"""Headings of --help, in order."""


STREAMS = {"in": "/dev/stdin", "out": "/dev/stdout"}
"""What `-` stands for."""


class GroupedCommand(click.Command):
    """A command whose --help lists its options under the headings of `GROUPS`; the rest come last."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one definition list a group."""
        rest = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        for heading in GROUPS:
            names = {option.name for option in options_of(heading)}
            shown = rest if heading == GROUPS[-1] else [param for param in rest if param.name in names]
            rest = [param for param in rest if param not in shown]
            with formatter.section(heading):
                formatter.write_dl([record for param in shown if (record := _record(param, ctx))])


def _record(option: click.Option, ctx: click.Context) -> tuple[str, str] | None:
    """An option's names and help, without what click says of ranges: an error does."""
    found = option.get_help_record(ctx)
    return found and (found[0], re.sub(r"  \[x>=\d+\]|; x>=\d+", "", found[1]))


def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command every option that has a name on the command line."""
    for each in reversed(OPTIONS):
        if each.metadata["spec"].flags:
            command = _click_option(each)(command)
    return command


def _click_option(option: Field[Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    spec: Spec = option.metadata["spec"]
    how: dict[str, Any] = {"help": spec.help, "metavar": spec.metavar, "show_default": bool(spec.choices)}
    if "/" in spec.flags[0]:
        how |= {"default": None}
    elif option.type == "bool" or _is_negative(spec):
        how |= {"is_flag": True}
    elif option.type == "int" and spec.metavar is None:
        how |= {"count": True}
    elif (spec.metavar or "").startswith("["):
        how |= {"is_flag": False, "flag_value": ""}
    else:
        repeats = str(option.type).startswith(("Sequence", "Shapes"))
        how |= {"type": _type(option, spec), "multiple": repeats, "default": () if repeats else option.default}
    return click.option(*spec.flags, option.name, **how)


def _type(option: Field[Any], spec: Spec) -> Any:
    """What click checks of a value."""
    if spec.choices:
        return click.Choice(spec.choices)
    if spec.path:
        return click.Path(exists=spec.path == "in", dir_okay=False, readable=spec.path == "in")
    match str(option.type).split()[0]:
        case "int":
            return click.IntRange(min=spec.least)
        case "float":
            return click.FloatRange(min=spec.least)
    return None


def _is_negative(spec: Spec) -> bool:
    """Whether the option takes something away that is there without it."""
    return bool(spec.flags) and spec.flags[0].startswith("--no-")


def options_given(cache: Path, /, model: str | None, output: str | None, **given: Any) -> Options:
    """What click has read; `cache` is where measurements are kept unless they shall not be.

    Raises:
        UsageError: IN or OUT is missing, a shape is none, or `Options` refuses what was given.
    """
    if model is None:
        raise UsageError("no model was named", "onnxgs-opt IN.onnx OUT.onnx; --help lists the options")
    model = STREAMS["in"] if model == "-" else model
    output = STREAMS["out"] if output == "-" else output
    profiles = dict(parse_profile(text) for text in given.pop("shapes"))
    smallest, shapes, largest = ({name: three[k] for name, three in profiles.items()} for k in range(3))
    given |= {each.name: not given[each.name] for each in OPTIONS if _is_negative(each.metadata["spec"])}
    given["cache"] = cache if given["cache"] else None
    options = Options(model, output, smallest=smallest, shapes=shapes, largest=largest, **given)
    if options.writes and output is None:
        raise UsageError("no output was named", f"onnxgs-opt {model} OUT.onnx, or --dry-run to look only")
    return options if options.writes else replace(options, output=None)


_SHAPE = "[0-9]+(?:x[0-9]+)*(?:,[0-9]+(?:x[0-9]+)*)*"


def parse_shape(text: str) -> tuple[str, tuple[int, ...]]:
    """The input name and sizes of NAME=1x3x224x224; the name may hold "=" itself."""
    name, found, sizes = text.rpartition("=")
    parts = sizes.lower().split("x")
    if not (found and name and all(part.isascii() and part.isdigit() and int(part) for part in parts)):
        raise UsageError(f"--shape {text} is no shape", "write it as NAME=1x3x224x224, sizes of 1 or more")
    return name, tuple(int(part) for part in parts)


def parse_profile(text: str) -> tuple[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
    """The input name and its least, best and largest shape: NAME=MIN,OPT,MAX, or NAME=SHAPE for all of them."""
    name, found, shapes = text.rpartition("=")
    if several := re.fullmatch(rf"(.+={_SHAPE}),(.+=.+)", text):
        repeated = f"--shape {several[1]} --shape {several[2]}"
        raise UsageError(f"--shape {text} names several inputs", f"give each its own: {repeated}")
    parts = shapes.split(",")
    if found and len(parts) > 1 and all(re.fullmatch(" *[0-9]+ *", part) for part in parts) and len(parts) != 3:
        sizes = "x".join(part.strip() for part in parts)
        raise UsageError(f"--shape {text}: sizes are written with an x between", f"--shape {name}={sizes}")
    three = [parse_shape(f"{name}={shape}" if found else text)[1] for shape in parts]
    if len(three) not in (1, 3):
        raise UsageError(f"--shape {text} has {len(three)} shapes", "give one, or three: NAME=MIN,OPT,MAX")
    return name, (three[0], three[len(three) // 2], three[-1])
