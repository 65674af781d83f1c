"""`[tool.onnxgs-opt]` of the nearest pyproject.toml: options of the command line, for every model and by model.

    [tool.onnxgs-opt]
    target = "ort-cpu"
    fail-on = ["GSO1"]

    [tool.onnxgs-opt.models."nets/*.onnx"]
    shape = {img = "1x3x480x640"}

Options that write a file or load a library are not read from it: those are said by who runs the program.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import Field, dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import click

from onnxgs_opt.errors import UsageError
from onnxgs_opt.options import OPTIONS, flag

FILE = "pyproject.toml"
TABLE = "[tool.onnxgs-opt]"
MODELS = "models"
BY_MODEL = ("For CI", "How to lower", "Validation", "Engine")
"""Groups of options that each model may have its own of."""

EVERYWHERE = ("jobs", "format")
LIBRARIES = ("custom_ops", "plugin_library")

Values = dict[str, Any]


@dataclass(frozen=True)
class Config:
    """What a file says: values by the options' own names, and those of models by patterns of their paths."""

    path: Path | None = None
    values: Values = field(default_factory=dict)
    models: Mapping[str, Values] = field(default_factory=dict)

    def of(self, model: str, explicit: Collection[str]) -> Values:
        """What holds for a model, bar what the command line says itself; the last pattern that fits wins."""
        assert self.path is not None or not self.models
        own: Values = {}
        for pattern, values in self.models.items():
            if fnmatchcase(_relative(model, self.path), pattern):
                own |= values
        return {name: value for name, value in (self.values | own).items() if name not in explicit}


def read_config(context: click.Context, start: Path) -> Config:
    """The nearest file with the table, at `start` or above; no option where there is none.

    Raises:
        UsageError: It is no TOML, or holds what is no option or no value of one.
    """
    for folder in (start, *start.parents):
        path = folder / FILE
        table = _table(path) if path.is_file() else None
        if table is not None:
            models = table.pop(MODELS, {})
            if not _is_table_of_tables(models):
                raise UsageError(f"{path}: {MODELS} is no table of models", f'[tool.onnxgs-opt.{MODELS}."net.onnx"]')
            by_model = {pattern: _values(context, path, own, everywhere=False) for pattern, own in models.items()}
            return Config(path, _values(context, path, table, everywhere=True), by_model)
        if (folder / ".git").exists():
            break
    return Config()


def _table(path: Path) -> Values | None:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}", "mend it, or run from another folder") from None
    table = document.get("tool", {}).get("onnxgs-opt")
    if table is not None and not isinstance(table, dict):
        raise UsageError(f"{path}: tool.onnxgs-opt is no table", f"write {TABLE} and the options below it")
    return table


def _is_table_of_tables(found: object) -> bool:
    return isinstance(found, dict) and all(isinstance(each, dict) for each in found.values())


def _values(context: click.Context, path: Path, table: Values, everywhere: bool) -> Values:
    known = {flag(option).lstrip("-"): option for option in _allowed(everywhere)}
    values: Values = {}
    for key, value in table.items():
        if key not in known:
            raise UsageError(f"{path}: {TABLE} has no option '{key}'", _hint(key, known))
        values[known[key].name] = _converted(context, path, known[key], value)
    return values


def _allowed(everywhere: bool) -> Iterator[Field[Any]]:
    for option in OPTIONS:
        spec = option.metadata["spec"]
        if not spec.flags or spec.path == "out" or option.name in LIBRARIES:
            continue
        if spec.group in BY_MODEL or (everywhere and option.name in EVERYWHERE):
            yield option


def _hint(key: str, known: Mapping[str, object]) -> str:
    if any(flag(option).lstrip("-") == key for option in OPTIONS if option.metadata["spec"].flags):
        return f"say --{key} on the command line"
    near = get_close_matches(key, known, n=1)
    return f"did you mean {near[0]}" if near else f"one of {', '.join(known)}"


def _converted(context: click.Context, path: Path, option: Field[Any], value: Any) -> Any:
    """What click makes of a value, as if it stood on the command line; paths are relative to the file."""
    [param] = [param for param in context.command.params if param.name == option.name]
    if isinstance(value, dict):
        value = [f"{name}={size}" for name, size in value.items()]
    if param.multiple and isinstance(value, str):
        value = [value]
    if option.metadata["spec"].path and isinstance(value, str):
        value = os.path.relpath(path.parent / value)
    try:
        return param.type_cast_value(context, value)
    except (click.BadParameter, TypeError, ValueError) as error:
        said = error.message if isinstance(error, click.BadParameter) else str(error)
        name = flag(option).lstrip("-")
        raise UsageError(f"{path}: {name}: {said}", f"write it as the option --{name} takes it") from None


def _relative(model: str, path: Path | None) -> str:
    return Path(os.path.relpath(model, None if path is None else path.parent)).as_posix()
