"""Files that are written whole or not at all: beside themselves, then renamed; what is no regular file is streamed to.

A symbolic link stays, and what it leads to is written. Mode, owner and extended attributes of a file that is replaced
are kept where the system lets us.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from onnxgs_opt.errors import UsageError

Buffer = bytes | bytearray | memoryview
_OWNER_ONLY = 0o600


def write_whole(path: Path, raw: Buffer) -> None:
    """Write a file in one step: whatever ends the process, it is what it was or the whole new one.

    Raises:
        UsageError: It cannot be written. Nothing is left behind.
    """
    with writing(path):
        if is_stream(path):
            stream_to(path, raw)
            return
        target = followed(path)
        with turn([target.parent]), contextlib.ExitStack() as undo:
            unfinished = temporary(target, undo)
            fill(unfinished, raw, target)
            put(unfinished, target)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say of what the system refuses which file could not be written, in one sentence."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {reason_of(error)}", "choose a folder that exists, is writable and has space"
        ) from error


def followed(path: Path) -> Path:
    """The file that a path leads to through symbolic links, which need not be there yet.

    Raises:
        OSError: It leads nowhere, as links in a circle do.
    """
    with contextlib.suppress(FileNotFoundError):
        path.stat()
    return Path(os.path.realpath(path))


def is_stream(path: Path) -> bool:
    """Whether bytes are to be passed to what is there, as to a pipe or a device, and nothing is to take its place."""
    try:
        found = path.stat()
    except OSError:
        return False
    return is_stdout(path) or not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode))


def is_stdout(path: Path) -> bool:
    """Whether the path leads to what this process has as its standard output."""
    with contextlib.suppress(OSError):
        return sys.stdout is not None and os.path.samestat(path.stat(), os.fstat(1))
    return False


def stream_to(path: Path, raw: Buffer) -> None:
    """Pass bytes to a pipe, a device or standard output; for a pipe it waits until somebody reads."""
    if is_stdout(path):
        sys.stdout.flush()
        with os.fdopen(os.dup(1), "wb") as file:  # opened anew, it would begin at its start, or could not be opened
            file.write(raw)
        return
    with path.open("wb") as file:
        file.write(raw)


@contextlib.contextmanager
def turn(folders: Iterable[Path]) -> Iterator[None]:
    """Wait until no other run writes into these folders; the system ends a turn with its process."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    with contextlib.ExitStack() as stack:
        for folder in sorted(set(folders)):  # in one order, so that two runs never wait for each other
            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            with contextlib.suppress(OSError):  # some network file systems know no locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


def temporary(path: Path, undo: contextlib.ExitStack) -> Path:
    """Make an empty file beside ``path`` that goes with the end of ``undo``, and remove what killed runs have left.

    Its name has one length, so that names as long as a file system allows can be written too.
    """
    prefix = f".onnxgs-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}-"
    for stale in path.parent.iterdir():
        if stale.name.startswith(prefix) and stale.name.endswith(".tmp"):
            stale.unlink(missing_ok=True)
    made = path.with_name(f"{prefix}{secrets.token_hex(4)}.tmp")
    undo.callback(made.unlink, missing_ok=True)
    os.close(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY))
    return made


def fill(unfinished: Path, raw: Buffer, target: Path) -> None:
    """Write a temporary file, as whose it will be: with what the file has that it replaces."""
    with unfinished.open("wb") as file:
        file.write(raw)
        file.flush()
        _inherit(target, file.fileno())
        os.fsync(file.fileno())


def put(unfinished: Path, target: Path) -> None:
    """Give a finished file its name."""
    unfinished.replace(target)
    # Some file systems refuse to sync a folder; the rename is atomic all the same.
    with contextlib.suppress(OSError):
        descriptor = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _inherit(target: Path, file: int) -> None:
    """Owner, permissions and attributes of the file that is replaced, else what the process gives new files."""
    try:
        old = target.stat()
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        os.fchmod(file, 0o666 & ~mask)
        return
    for owner in (old.st_uid, -1):  # who may not give a file away may still give it to a group
        with contextlib.suppress(OSError):
            os.fchown(file, owner, old.st_gid)
            break
    os.fchmod(file, stat.S_IMODE(old.st_mode) & 0o777)
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError):
        for name in os.listxattr(target):
            with contextlib.suppress(OSError):
                os.setxattr(file, name, os.getxattr(target, name))


def reason_of(error: Exception) -> str:
    """What the system says, without numbers and paths."""
    return getattr(error, "strerror", None) or str(error)
