"""Which models are meant by the names on the command line, and where the result of each goes."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path

from onnxgs_opt.errors import UsageError

STREAMS = {"in": "/dev/stdin", "out": "/dev/stdout"}
"""What `-` stands for."""

SEVERAL = "several models need --output-dir DIR or --in-place; --check and --dry-run look at each"
Pair = tuple[str, str | None]


def pairs(named: Sequence[str], folder: str | None, in_place: bool, writes: bool) -> list[Pair]:
    """Each model and its output, None for one that is only looked at.

    Two names are IN and OUT, unless a folder or `in_place` says where results go. Folders stand for the `.onnx` files
    in them, patterns for what they match.

    Raises:
        UsageError: No model was named, a folder holds none, or it is not clear what goes where.
    """
    if not named:
        raise UsageError("no model was named", "onnxgs-opt IN.onnx OUT.onnx; --help lists the options")
    if folder is not None and in_place:
        raise UsageError("--output-dir and --in-place both say where results go", "leave one of them out")
    if len(named) > 1 and named[0] in ("optimize", "optimise", "run") and not Path(named[0]).exists():
        raise UsageError(f"there is no command '{named[0]}'", f"onnxgs-opt {' '.join(named[1:])}")
    if folder is None and not in_place and (writes or _is_in_and_out(named)):
        return [_in_and_out(named, writes)]
    found = [each for name in named for each in _models(name, folder)]
    return [
        (model, _output(model, below, folder, in_place) if writes else None) for model, below in dict(found).items()
    ]


def _is_in_and_out(named: Sequence[str]) -> bool:
    """Whether the second name is where the result would go: it is no model yet."""
    return len(named) == 2 and not Path(named[1]).exists() and not glob.has_magic(named[1])


def _in_and_out(named: Sequence[str], writes: bool) -> Pair:
    model, *rest = named
    if writes and (len(rest) > 1 or Path(model).is_dir()):
        what = f"{len(named)} files were named" if rest[1:] else f"{model} is a folder"
        raise UsageError(f"{what}, and there is no telling where results go", SEVERAL)
    if writes and not rest:
        raise UsageError("no output was named", f"onnxgs-opt {model} OUT.onnx, or --dry-run to look only")
    output = rest[0] if writes else None
    return (STREAMS["in"] if model == "-" else model, STREAMS["out"] if output == "-" else output)


def _models(name: str, folder: str | None) -> Iterator[tuple[str, Path]]:
    """The models that a name stands for, each with its path below the folder that was named."""
    path = Path(name)
    if name == "-":
        yield STREAMS["in"], Path("stdin.onnx")
        return
    if not path.is_dir():
        matched = [name]
        if glob.has_magic(name) and not path.exists():
            matched = sorted(glob.glob(name, recursive=True))  # noqa: PTH207  (patterns of whole paths, which Path refuses)
        if not matched:
            raise UsageError(f"no file matches {name}", "check the pattern")
        yield from ((each, Path(Path(each).name)) for each in matched)
        return
    written = None if folder is None else Path(folder).resolve()
    inside = [each for each in sorted(path.rglob("*.onnx")) if written is None or written not in each.resolve().parents]
    if not inside:
        raise UsageError(f"there is no .onnx file in {name}", "check the path")
    yield from ((str(each), each.relative_to(path)) for each in inside)


def _output(model: str, below: Path, folder: str | None, in_place: bool) -> str:
    if in_place and model == STREAMS["in"]:
        raise UsageError("standard input has no place to write to", "onnxgs-opt - OUT.onnx")
    return model if folder is None else str(Path(folder) / below)


def require_different(found: Sequence[Pair]) -> None:
    """Refuse two models of one name that would be written to one file.

    Raises:
        UsageError: There are two.
    """
    taken: dict[str, str] = {}
    for model, output in found:
        if output is not None and taken.setdefault(output, model) != model:
            message = f"{taken[output]} and {model} would both be written to {output}"
            raise UsageError(message, "name the folder that holds both: their places in it are kept")
