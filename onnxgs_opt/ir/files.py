"""Models on disk: read without weights, written atomically."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from functools import lru_cache
from pathlib import Path, PurePosixPath

from google.protobuf.message import DecodeError, EncodeError  # type: ignore[import-untyped,unused-ignore]
from onnx import ModelProto

from onnxgs_opt.errors import ModelError, UsageError
from onnxgs_opt.files.atomic import fill, followed, is_stream, put, reason_of, stream_to, temporary, turn, writing
from onnxgs_opt.files.foreign import what_else
from onnxgs_opt.ir.external_data import external_tensors, location_of
from onnxgs_opt.ir.importer import readable_text
from onnxgs_opt.ir.verifier import verify

_PROTOBUF_LIMIT = 2**31
_CHUNK = 1 << 22


def read_model(path: Path) -> ModelProto:
    """Parse the file at ``path``; external weights are not read.

    Raises:
        ModelError: The file is missing, is not a model, or the model is not a valid graph.
    """
    return parsed(_read(path), str(path))


def parsed(raw: bytes, name: str) -> ModelProto:
    """The model that the bytes of a file are; errors call it `name`.

    Raises:
        ModelError: They are not a model, or the model is not a valid graph.
    """
    model = ModelProto()
    try:
        model.ParseFromString(raw)
        with readable_text():
            verify(model)
    except (DecodeError, RuntimeError, ModelError) as error:
        raise _refusal(name, raw, error) from error
    return model


def _refusal(name: str, raw: bytes, error: Exception) -> ModelError:
    """What to say of a file that is no model: what else it is, where its first bytes tell."""
    if other := what_else(raw):
        return ModelError(f"{name} is {other[0]}", other[1])
    if isinstance(error, ModelError):
        return ModelError(f"{name}: {error}", error.hint)
    hint = "check that the file is complete: copy or export it again"
    return ModelError(f"{name} is not an ONNX model or is truncated", hint)


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
        raise ModelError(f"cannot read {path}: {reason_of(error)}", "check the path and its permissions") from error
    if not raw:
        raise ModelError(f"{path} is empty", "export the model again")
    return raw


def write_model(model: ModelProto, path: Path, source: Path | None) -> None:
    """Write ``model`` to ``path`` in one step, and see that its external data lies beside it.

    Whatever ends the process, ``path`` is what it was or the whole model with its data. Two runs that write into one
    folder take turns. External tensors stay references; ``source`` is the folder that these come from, if there is one.
    A symbolic link stays: the file that it leads to is written, with data beside both names.

    Raises:
        UsageError: The folder or a file in it cannot be written. Nothing is left behind.
        ModelError: The model is too big for one file, or its data file is missing.
    """
    raw = _serialize(model)
    brought = data_copies(model, path, source)
    with writing(path):
        if is_stream(path):
            stream_to(path, raw)
            return
        target = followed(path)
        if target.is_dir():
            raise UsageError(f"cannot write {path}: it is a folder", "name a file, such as out.onnx")
        with turn([target.parent, path.parent.resolve()]), contextlib.ExitStack() as undo:
            unfinished = temporary(target, undo)
            for here, there in brought:
                _bring(here, there, unfinished, undo)
            fill(unfinished, raw, target)
            put(unfinished, target)


def data_copies(model: ModelProto, path: Path, source: Path | None) -> list[tuple[Path, Path]]:
    """Each data file of the model, and where the model looks for it once it lies at ``path``.

    Through a symbolic link there are two such places: onnxruntime looks beside the name that it is given.

    Raises:
        UsageError: ``path`` takes bytes only, as a pipe does, and there are data files.
    """
    locations = [] if source is None else data_files(model)
    if locations and is_stream(path):
        raise UsageError(
            f"{path} takes one file, and the model's weights lie in others", "name OUT in a folder, such as out.onnx"
        )
    with writing(path):
        folders = sorted({path.parent.resolve(), followed(path).parent})
    return [((source or Path()) / each, folder / each) for folder in folders for each in locations]


def data_files(model: ModelProto) -> list[PurePosixPath]:
    """The files that external tensors of the model lie in, relative to its folder."""
    return sorted({location_of(tensor) for tensor in external_tensors(model)})


def _serialize(model: ModelProto) -> bytes:
    try:
        return bytes(model.SerializeToString())
    except (EncodeError, ValueError) as error:
        raise ModelError("the model is over 2 GiB in one file", "save its weights as external data") from error


def _bring(here: Path, there: Path, unfinished: Path, undo: contextlib.ExitStack) -> None:
    """Copy a data file to where the model looks for it; it goes again while the model is unfinished."""
    check_data(here, there)
    if there.exists():
        return
    target = there.resolve()  # where a link leads to that nothing is at yet
    for parent in reversed([p for p in target.parents if not p.exists()]):
        undo.callback(_remove_empty, parent)
        parent.mkdir()
    copy = temporary(target, undo)
    _copy(here, copy)
    undo.callback(_withdraw, target, unfinished)
    copy.replace(target)


def check_data(here: Path, there: Path) -> None:
    """Refuse a data file that is missing, or for which another file lies where a copy of the model would look.

    Raises:
        ModelError: ``here`` is not there.
        UsageError: ``there`` is, and holds other bytes.
    """
    if not here.is_file():
        raise ModelError(f"the model's data file {here} does not exist", "put it back beside the model")
    if not there.exists():
        return
    if there.is_file() and _same_bytes(here, there, _state(here), _state(there)):
        return
    raise UsageError(
        f"{there} exists and is not the data file of the model", "write to another folder, or remove that file"
    )


def _state(path: Path) -> tuple[int, ...]:
    """What changes with a file's bytes: the time of its last change too, which no program can set."""
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@lru_cache(maxsize=1024)  # refused before the work, and again when its end comes to write: read once
def _same_bytes(here: Path, there: Path, mine: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two files of these states hold the same bytes; no more than two blocks of them are in memory."""
    if mine[:2] == other[:2]:
        return True
    if mine[2] != other[2]:
        return False
    a, b = bytearray(_CHUNK), bytearray(_CHUNK)
    at = 0
    with here.open("rb") as first, there.open("rb") as second:
        while at < mine[2]:
            at = min(_after_hole(file.fileno(), at, mine[2]) for file in (first, second))
            first.seek(at)
            second.seek(at)
            read = first.readinto(a)
            if read != second.readinto(b) or a[:read] != b[:read]:
                return False
            at += read or mine[2]
    return True


def _after_hole(file: int, at: int, size: int) -> int:
    """Where data follows, at ``at`` or after it; a hole holds zeros, and reading it takes as long as reading data."""
    try:
        return os.lseek(file, at, os.SEEK_DATA)
    except (OSError, AttributeError) as error:
        return size if getattr(error, "errno", None) == errno.ENXIO else at


def _withdraw(data: Path, unfinished: Path) -> None:
    # The model is in place as soon as its temporary file is not: then its data stays, whatever happens.
    if unfinished.exists():
        data.unlink(missing_ok=True)


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


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
