"""Models on disk: read without weights, written atomically."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from google.protobuf.message import DecodeError, EncodeError  # type: ignore[import-untyped,unused-ignore]
from onnx import ModelProto

from onnxgs_opt.errors import ModelError, UsageError
from onnxgs_opt.external import external_tensors, location_of
from onnxgs_opt.importer import readable_text
from onnxgs_opt.wellformed import check_model

_PROTOBUF_LIMIT = 2**31
_CHUNK = 1 << 22


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
            f"{path} is not an ONNX model or is truncated",
            "check that the file is complete: copy or export it again",
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


# -- writing --------------------------------------------------------------------------------------


def write_model(model: ModelProto, path: Path, source: Path | None) -> None:
    """Write ``model`` to ``path`` in one step, and see that its external data lies beside it.

    Args:
        model: The model; its external tensors stay references.
        path: The file to make or replace.
        source: Folder of the model that the references come from, None when there is none.

    Raises:
        UsageError: The folder or a file in it cannot be written. Nothing is left behind.
        ModelError: The model is too big for one file, or its data file is missing.
    """
    with contextlib.ExitStack() as undo:
        try:
            if path.is_dir():
                raise UsageError(f"cannot write {path}: it is a folder", "name a file, such as out.onnx")
            if source is not None:
                _bring_data(model, source, path.parent, undo)
            _replace(path, _serialize(model), undo)
        except OSError as error:
            raise UsageError(
                f"cannot write {path}: {_reason(error)}",
                "choose a folder that exists, is writable and has space",
            ) from error
        undo.pop_all()


def _serialize(model: ModelProto) -> bytes:
    try:
        return bytes(model.SerializeToString())
    except (EncodeError, ValueError) as error:
        raise ModelError("the model is over 2 GiB in one file", "save its weights as external data") from error


def _replace(path: Path, raw: bytes, undo: contextlib.ExitStack) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:64]}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    undo.callback(temporary.unlink, missing_ok=True)
    with os.fdopen(descriptor, "wb") as file:
        file.write(raw)
        file.flush()
        os.fchmod(file.fileno(), _mode_for(path))
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync_folder(path.parent)


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


def _bring_data(model: ModelProto, source: Path, folder: Path, undo: contextlib.ExitStack) -> None:
    for location in sorted({location_of(tensor) for tensor in external_tensors(model)}):
        here, there = source / location, folder / location
        if not here.is_file():
            raise ModelError(f"the model's data file {here} does not exist", "put it back beside the model")
        if there.exists():
            _check_same_data(here, there)
            continue
        for parent in reversed([p for p in there.parents if folder in p.parents and not p.exists()]):
            parent.mkdir()
            undo.callback(_remove_empty, parent)
        _copy(here, there, undo)


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _check_same_data(here: Path, there: Path) -> None:
    mine, other = here.stat(), there.stat()
    same_copy = mine.st_size == other.st_size and mine.st_mtime_ns == other.st_mtime_ns
    if here.samefile(there) or same_copy:
        return
    raise UsageError(
        f"{there} exists and is not the data file of the model",
        "write to another folder, or remove that file",
    )


def _copy(here: Path, there: Path, undo: contextlib.ExitStack) -> None:
    # Never a link: onnx refuses to load data files with several links, the original's from then on too.
    temporary = there.with_name(f".{there.name[:64]}.{os.getpid()}.tmp")
    undo.callback(temporary.unlink, missing_ok=True)
    with here.open("rb") as source, temporary.open("wb") as target:
        try:
            _clone(source.fileno(), target.fileno(), here.stat().st_size)
        except (OSError, AttributeError):
            source.seek(0)
            target.seek(0)
            shutil.copyfileobj(source, target, _CHUNK)
            target.truncate()
        os.fsync(target.fileno())
    shutil.copystat(here, temporary)
    undo.callback(there.unlink, missing_ok=True)
    temporary.replace(there)


def _clone(source: int, target: int, size: int) -> None:
    """Copy inside the kernel; file systems that can share the blocks do."""
    while size > 0:
        copied = os.copy_file_range(source, target, size)
        if not copied:
            raise OSError("the file became shorter")
        size -= copied


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
