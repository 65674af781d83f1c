"""Models on disk: read without weights, written atomically."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from google.protobuf.message import DecodeError, EncodeError  # type: ignore[import-untyped,unused-ignore]
from onnx import ModelProto

from onnxgs_opt.errors import ModelError, UsageError
from onnxgs_opt.ir.external_data import external_tensors, location_of
from onnxgs_opt.ir.importer import readable_text
from onnxgs_opt.ir.verifier import check_model

_PROTOBUF_LIMIT = 2**31
_CHUNK = 1 << 22
_MARK = ".onnxgs-"
"""In the name of every temporary file."""


def read_model(path: Path) -> ModelProto:
    """Parse the file at ``path``; external weights are not read.

    Raises:
        ModelError: The file is missing, is not a model, or the model is not a valid graph.
    """
    raw = _read(path)
    model = ModelProto()
    try:
        model.ParseFromString(raw)
    except (DecodeError, RuntimeError) as error:
        raise ModelError(
            f"{path} is not an ONNX model or is truncated", "check that the file is complete: copy or export it again"
        ) from error
    try:
        with readable_text():
            check_model(model)
    except ModelError as error:
        raise ModelError(f"{path}: {error}", error.hint) from error
    return model


def _read(path: Path) -> bytes:
    if path.is_dir():
        raise ModelError(f"{path} is a folder, not a model", "name the .onnx file in it")
    try:
        if path.stat().st_size >= _PROTOBUF_LIMIT:
            raise ModelError(f"{path} is over 2 GiB, more than protobuf can hold", "save its weights as external data")
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(f"{path} does not exist", "check the path") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {path}: {_reason(error)}", "check the path and its permissions") from error
    if not raw:
        raise ModelError(f"{path} is empty", "export the model again")
    return raw


def write_model(model: ModelProto, path: Path, source: Path | None) -> None:
    """Write ``model`` to ``path`` in one step, and see that its external data lies beside it.

    Whatever ends the process, ``path`` is what it was or the whole model with its data. Two runs that write into one
    folder take turns. External tensors stay references; ``source`` is the folder that these come from, if there is one.

    Raises:
        UsageError: The folder or a file in it cannot be written. Nothing is left behind.
        ModelError: The model is too big for one file, or its data file is missing.
    """
    raw = _serialize(model)
    folder = path.parent if source is None else source
    locations = [] if source is None else data_files(model)
    try:
        if path.is_dir():
            raise UsageError(f"cannot write {path}: it is a folder", "name a file, such as out.onnx")
        with _turn(path.parent), contextlib.ExitStack() as undo:
            unfinished = _temporary(path, undo)
            for location in locations:
                _bring(folder / location, path.parent / location, path.parent, unfinished, undo)
            _fill(unfinished, raw, _mode_for(path))
            unfinished.replace(path)
            _sync_folder(path.parent)
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {_reason(error)}", "choose a folder that exists, is writable and has space"
        ) from error


def data_files(model: ModelProto) -> list[PurePosixPath]:
    """The files that external tensors of the model lie in, relative to its folder."""
    return sorted({location_of(tensor) for tensor in external_tensors(model)})


def _serialize(model: ModelProto) -> bytes:
    try:
        return bytes(model.SerializeToString())
    except (EncodeError, ValueError) as error:
        raise ModelError("the model is over 2 GiB in one file", "save its weights as external data") from error


@contextlib.contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Wait until no other run writes into the folder; the system ends a turn with its process."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems know no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _temporary(path: Path, undo: contextlib.ExitStack) -> Path:
    """Make an empty file beside ``path`` that goes with the end of ``undo``, and remove what killed runs have left."""
    prefix = f".{path.name[:64]}{_MARK}"
    for stale in path.parent.iterdir():
        if stale.name.startswith(prefix) and stale.name.endswith(".tmp"):
            stale.unlink(missing_ok=True)
    temporary = path.with_name(f"{prefix}{secrets.token_hex(4)}.tmp")
    undo.callback(temporary.unlink, missing_ok=True)
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    return temporary


def _fill(path: Path, raw: bytes, mode: int) -> None:
    with path.open("wb") as file:
        file.write(raw)
        file.flush()
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())


def _mode_for(path: Path) -> int:
    """Permissions of the file that is replaced, else what the process gives new files."""
    with contextlib.suppress(OSError):
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _sync_folder(folder: Path) -> None:
    # Some file systems refuse to sync a folder; the rename is atomic all the same.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _bring(here: Path, there: Path, folder: Path, unfinished: Path, undo: contextlib.ExitStack) -> None:
    """Copy a data file to where the model in ``folder`` looks for it; it goes again while the model is unfinished."""
    if not here.is_file():
        raise ModelError(f"the model's data file {here} does not exist", "put it back beside the model")
    if there.exists():
        _check_same_data(here, there)
        return
    for parent in reversed([p for p in there.parents if folder in p.parents and not p.exists()]):
        undo.callback(_remove_empty, parent)
        parent.mkdir()
    copy = _temporary(there, undo)
    _copy(here, copy)
    undo.callback(_withdraw, there, unfinished)
    copy.replace(there)


def _withdraw(data: Path, unfinished: Path) -> None:
    # The model is in place as soon as its temporary file is not: then its data stays, whatever happens.
    if unfinished.exists():
        data.unlink(missing_ok=True)


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _check_same_data(here: Path, there: Path) -> None:
    mine, other = here.stat(), there.stat()
    same_copy = mine.st_size == other.st_size and mine.st_mtime_ns == other.st_mtime_ns
    if here.samefile(there) or same_copy:
        return
    raise UsageError(
        f"{there} exists and is not the data file of the model", "write to another folder, or remove that file"
    )


def _copy(here: Path, there: Path) -> None:
    # Never a link: onnx refuses to load data files with several links, the original's from then on too.
    with here.open("rb") as source, there.open("wb") as target:
        try:
            _clone(source.fileno(), target.fileno(), here.stat().st_size)
        except (OSError, AttributeError):
            source.seek(0)
            target.seek(0)
            shutil.copyfileobj(source, target, _CHUNK)
            target.truncate()
        os.fsync(target.fileno())
    shutil.copystat(here, there)


def _clone(source: int, target: int, size: int) -> None:
    """Copy inside the kernel; file systems that can share the blocks do, and holes stay holes."""
    os.ftruncate(target, size)
    at = 0
    while at < size:
        try:
            start = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole follows
                return
            raise
        at = os.lseek(source, start, os.SEEK_HOLE)
        _clone_part(source, target, start, at)


def _clone_part(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        copied = os.copy_file_range(source, target, end - start, start, start)
        if not copied:
            raise OSError("the file became shorter")
        start += copied


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
