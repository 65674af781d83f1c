"""What the user says of a model's inputs, checked against the model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onnxgs_opt.errors import UsageError
from onnxgs_opt.ir import Constant, Tensor
from onnxgs_opt.ir.constants import is_size
from onnxgs_opt.ir.graph import Graph


def _wanted_inputs(graph: Graph) -> dict[str, Tensor]:
    return {t.name: t for t in graph.inputs if not isinstance(t, Constant)}


def known_shapes(graph: Graph, shapes: Mapping[str, Sequence[int]]) -> Mapping[str, Sequence[int]]:
    """The shapes that the user gave, each for an input of the model and of its rank."""
    wanted = _wanted_inputs(graph)
    for name, shape in shapes.items():
        if name not in wanted:
            raise UsageError(f"--shape: the model has no input '{name}'", f"its inputs are {', '.join(wanted)}")
        _check_shape("--shape", wanted[name], shape)
    return shapes


def _check_shape(what: str, tensor: Tensor, shape: Sequence[int]) -> None:
    dims = tensor.shape
    fits = dims is None or (
        len(dims) == len(shape) and all(not is_size(d) or d == s for d, s in zip(dims, shape, strict=True))
    )
    if not fits:
        given, declared = "x".join(map(str, shape)), "x".join(map(str, dims))
        hint = "give every dim, in the model's order"
        raise UsageError(f"{what}: input '{tensor.name}' is {declared}, not {given}", hint)


def read_inputs(graph: Graph, path: str | os.PathLike[str] | None) -> dict[str, np.ndarray[Any, Any]] | None:
    """The arrays of an .npz file, one for every input of the model."""
    if path is None:
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, AttributeError) as error:
        message = f"cannot read inputs from '{os.fspath(path)}': {error}"
        raise UsageError(message, "save them with numpy.savez") from None
    wanted = _wanted_inputs(graph)
    for name, tensor in wanted.items():
        if name not in arrays:
            raise UsageError(f"--inputs: no array '{name}' in '{os.fspath(path)}'", f"it needs {', '.join(wanted)}")
        _check_shape("--inputs", tensor, arrays[name].shape)
    return {name: arrays[name] for name in wanted}
