"""A model in memory as a file, for runtimes that read no other."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onnx import ModelProto

from onnxgs_opt.errors import RunError
from onnxgs_opt.ir.external_data import external_tensors, location_of


@contextmanager
def as_file(model: ModelProto, folder: Path | None = None) -> Iterator[Path]:
    """Write the model into a folder of its own, in which its external weights of `folder` lie too.

    Raises:
        ModelError: The data of a tensor is said to lie outside the model's folder.
        RunError: Weights cannot be read, or there is no room for them.
    """
    with tempfile.TemporaryDirectory(prefix="onnxgs-") as name:
        place = Path(name)
        for location in {location_of(tensor) for tensor in external_tensors(model)} if folder is not None else ():
            _link((folder or place) / location, place / location)
        path = place / "model.onnx"
        path.write_bytes(model.SerializeToString())
        yield path


def _link(source: Path, target: Path) -> None:
    """The same file under another name, a copy where the system makes none: runtimes follow no symbolic link."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:  # another disk, or another owner
        try:
            shutil.copyfile(source, target)
        except OSError as error:
            raise RunError(f"cannot put the weights of '{source}' beside the model: {error.strerror}") from None
