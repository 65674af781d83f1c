"""The list of options as click's, and what was given on the command line as `Options`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import Field
from pathlib import Path
from typing import Any

import click
import cloup
from click.core import ParameterSource

from onnxgs_opt.cli.config import Config
from onnxgs_opt.cli.named import pairs, require_different
from onnxgs_opt.errors import UsageError
from onnxgs_opt.files.atomic import writing
from onnxgs_opt.files.outputs import require_each_apart
from onnxgs_opt.options import OPTIONS, Options, flag, options_of
from onnxgs_opt.options.spec import Spec

GROUPS = tuple(dict.fromkeys(each.metadata["spec"].group for each in OPTIONS if each.metadata["spec"].flags))
"""Headings of --help, in order."""
NAME = "{name}"
"""What stands for a model's own name in the path of a file that each has."""


class Command(cloup.Command):
    """A command that keeps, as its context's `obj`, what was written on the command line: reports name it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the arguments, then read them."""
        ctx.obj = tuple(args)
        return super().parse_args(ctx, args)


class Option(cloup.Option):
    """An option whose help says nothing of its range: an error does."""

    def get_help_extra(self, ctx: click.Context) -> Any:
        """What click adds to the help, without the range."""
        return {name: value for name, value in super().get_help_extra(ctx).items() if name != "range"}


def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command every option that has a name on the command line, under the heading of its group."""
    for heading in reversed(GROUPS):
        listed = [_click_option(each) for each in options_of(heading) if each.metadata["spec"].flags]
        command = cloup.option_group(heading, *listed)(command)
    return command


def _click_option(option: Field[Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    spec: Spec = option.metadata["spec"]
    how: dict[str, Any] = {"help": spec.help, "metavar": spec.metavar}
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
    return cloup.option(*spec.flags, option.name, cls=Option, **how)


def _type(option: Field[Any], spec: Spec) -> Any:
    """What click checks of a value."""
    if spec.choices:
        return _Choice(spec)
    if spec.path == "folder":
        return click.Path(file_okay=False)
    if spec.path:
        return _File(exists=spec.path == "in", dir_okay=False, readable=spec.path == "in")
    match str(option.type).split()[0]:
        case "int":
            return click.IntRange(min=spec.least)
        case "float":
            return click.FloatRange(min=spec.least)
    return None


class _File(click.Path):
    """A file; one for each model, of which the path has `{name}`, is looked for when that is filled in."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if NAME in str(value) else super().convert(value, param, ctx)


class _Choice(click.Choice[str]):
    """The choices of an option, some of which take `:DEVICE` after them."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec.choices)
        self._spec = spec

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if self._spec.allows(value) else super().convert(value, param, ctx)


def _is_negative(spec: Spec) -> bool:
    """Whether the option takes something away that is there without it."""
    return bool(spec.flags) and spec.flags[0].startswith("--no-")


def options_given(cache: Path, context: click.Context, config: Config, /, **given: Any) -> list[Options]:
    """What click has read, for each model that is meant; `cache` is where measurements may be kept.

    Raises:
        UsageError: IN or OUT is missing, a shape is none, or `Options` refuses what was given.
    """
    writes = not (given["dry_run"] or given["check"] or given["compare_targets"])
    found = pairs(given.pop("named"), given["output_dir"], given["in_place"], writes)
    require_different(found)
    given["command"] = shlex.join(["onnxgs-opt", *context.obj])
    said = explicit(context)
    each = [(model, output, _complete({**given, **config.of(model, said)}, cache)) for model, output in found]
    if given["output_dir"] is not None and writes:
        make_folders(Path(output).parent for _, output in found if output is not None)
    options = [Options(model, output, **_of_one(own, model, len(found))) for model, output, own in each]
    require_each_apart([(str(one.model), one.files("in"), one.files("out")) for one in options], config.path)
    return options


def explicit(context: click.Context) -> frozenset[str]:
    """The options that the command line says itself."""
    sources = {str(param.name): context.get_parameter_source(str(param.name)) for param in context.command.params}
    return frozenset(name for name, source in sources.items() if source is ParameterSource.COMMANDLINE)


def _complete(given: dict[str, Any], cache: Path) -> dict[str, Any]:
    """One model's options as `Options` takes them."""
    profiles = dict(parse_profile(text) for text in given.pop("shapes"))
    smallest, shapes, largest = ({name: three[k] for name, three in profiles.items()} for k in range(3))
    given |= {"smallest": smallest, "shapes": shapes, "largest": largest}
    given |= {each.name: not given[each.name] for each in OPTIONS if _is_negative(each.metadata["spec"])}
    given["cache"] = cache if given["cache"] else None
    if given["jobs"] > 1 and given["min_speedup"] is not None:
        raise UsageError("--min-speedup measures, and with --jobs models disturb each other", "leave one of them out")
    return given


def make_folders(folders: Iterable[Path]) -> None:
    """Make the folders that results go into; UsageError where one cannot be made."""
    for folder in folders:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)


def _of_one(given: Mapping[str, Any], model: str, models: int) -> dict[str, Any]:
    """The options for one of several models: `{name}` in a path is the model's own name.

    Raises:
        UsageError: What is written for one would be written for the others.
    """
    own = dict(given)
    for each in OPTIONS:
        path = each.metadata["spec"].path
        if path not in ("in", "out") or not given[each.name]:
            continue
        paths = [given[each.name]] if isinstance(given[each.name], str) else given[each.name]
        if path == "out" and models > 1 and each.name != "timing_cache":
            _require_names(each, paths, models)
        name = str(Path(model).with_suffix("")).strip("./").replace("/", "-")
        filled = tuple(path.replace(NAME, name) for path in paths)
        own[each.name] = filled[0] if isinstance(given[each.name], str) else filled
    return own


def _require_names(option: Field[Any], paths: Sequence[str], models: int) -> None:
    """Refuse to write a file for each of several models where all would be one."""
    for path in paths:
        if NAME not in path:
            message = f"{flag(option)} {path} would be written once for each of {models} models"
            raise UsageError(message, f"put {{name}} into it: {flag(option)} {_with_name(path)}")


def _with_name(path: str) -> Path:
    return Path(path).with_name(f"{Path(path).stem}-{{name}}{Path(path).suffix}")


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
