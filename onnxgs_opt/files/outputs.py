"""What a run may write: refused before any work where it would spoil what is read, or another output."""

from __future__ import annotations

import os
import stat
from collections.abc import Hashable, Sequence
from contextlib import suppress
from pathlib import Path

from onnxgs_opt.errors import UsageError
from onnxgs_opt.files.atomic import followed, is_stdout, is_stream, writing

Uses = Sequence[tuple[str, Path]]
"""Files, each with what names it: IN, OUT or an option."""


def require_apart(reads: Uses, writes: Uses) -> None:
    """Refuse an output that cannot be written, or that is an input or another output; OUT alone may be IN.

    Files are the same when they are one file, whatever links and folders their names lead through.

    Raises:
        UsageError: An output is refused.
    """
    taken = {identity(path): _whose(what) for what, path in reads}
    for what, path in writes:
        with writing(path):
            _require_writable(what, path)
        other = taken.get(own := identity(path))
        if other is not None and (what, other) != ("OUT", _whose("IN")):
            raise UsageError(f"{what} {path} is {other}", f"give what {what} writes another name")
        taken[own] = _whose(what)


def require_each_apart(runs: Sequence[tuple[str, Uses, Uses]], config: Path | None) -> None:
    """Refuse what the run of one model writes and that of another one reads or writes, or that is the `config` file.

    Each run has its model, what it reads and what it writes. Two names of one model are no two models, and all may
    share a timing cache.

    Raises:
        UsageError: An output is refused.
    """
    models = {model: identity(Path(model)) for model, _, _ in runs}
    read = {identity(path): (model, "read") for model, reads, _ in runs for what, path in reads if what == "IN"}
    taken = {**read, **({} if config is None else {identity(config): ("the options", "read")})}
    for model, _, writes in runs:
        for what, path in writes:
            other, use = taken.get(own := identity(path), (model, ""))
            if other != model and models.get(other) != models[model] and what != "--timing-cache":
                message = f"{what} {path} would be written for {model}, and is {use} for {other}"
                raise UsageError(message, f"rename one, or give what {what} writes another folder")
            taken[own] = model, "written"


def _whose(what: str) -> str:
    return "the model's own path" if what in ("IN", "OUT") else f"{what}'s path too"


def identity(path: Path) -> Hashable:
    """What all names of one file have in common; of one that is not there yet: its folder and its name."""
    with suppress(OSError):
        found = path.stat()
        return found.st_dev, found.st_ino
    target = Path(os.path.realpath(path))
    with suppress(OSError):
        folder = target.parent.stat()
        return folder.st_dev, folder.st_ino, target.name
    return target


def require_folder(what: str, folder: Path) -> None:
    """UsageError of a folder that nothing can be written into; `what` names what goes there."""
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"cannot write into {folder}", f"make it, or choose another folder for {what}")


def _require_writable(what: str, path: Path) -> None:
    target = followed(path)
    if is_stdout(path):
        if os.isatty(1):
            raise UsageError(f"{what} is a terminal, which shows no model", "name a file, or pipe it on")
        return
    if target.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder", f"name a file in it for {what}")
    if is_stream(path):
        mode = path.stat().st_mode
        if not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)) or not os.access(path, os.W_OK):
            raise UsageError(f"cannot write {path}: it is no file, pipe or device that takes bytes", "name a file")
        return
    folder = target.parent if path.is_symlink() else path.parent
    require_folder(what, folder)
    if target.exists() and not os.access(target, os.W_OK):
        raise UsageError(f"cannot write {path}: it is read-only", f"make it writable, or give {what} another name")
