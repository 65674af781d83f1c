"""The data files of the model that is read and of the one that is written, held against all else that is written."""

from __future__ import annotations

from pathlib import Path

from onnx import ModelProto

from onnxgs_opt.errors import UsageError
from onnxgs_opt.files.outputs import Uses, identity
from onnxgs_opt.ir.files import check_data, data_copies, data_files


def require_data_apart(writes: Uses, model: ModelProto, source: Path) -> None:
    """Refuse, before any work, an output that is a data file of the model, or that lies where OUT looks for its data.

    Args:
        writes: The files that will be written.
        model: The model that was read.
        source: The folder that its data lies in.

    Raises:
        UsageError: An output is refused, or another file lies where OUT looks for its data.
        ModelError: A data file of the model is missing.
    """
    copies = [pair for what, path in writes if what == "OUT" for pair in data_copies(model, path, source)]
    taken = {identity(there): "where OUT looks for its data" for _, there in copies}
    taken |= {identity(source / location): "a data file of the model" for location in data_files(model)}
    for what, path in writes:
        if (other := taken.get(identity(path))) is not None:
            raise UsageError(f"{what} {path} is {other}", f"give what {what} writes another name")
    for here, there in copies:
        check_data(here, there)
