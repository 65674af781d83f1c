"""Values of constants, decoded only when they are small and at hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray
from onnx import TensorProto
from onnx_graphsurgeon.ir.tensor import LazyValues, SparseValues

from onnxgs_opt.errors import ModelError
from onnxgs_opt.ir.external_data import location_of
from onnxgs_opt.ir.operators import COPIES, ELEMENTWISE, operator

SMALL = 4096  # elements: what is decoded once and kept, folded, and compared by value
MAX_TABLE = 2**18
"""Elements of a table that is read from another file; weights are never."""
INDICES, PLACES = ("int32", "int64"), ("bool", "float16", "float32", "float64")
"""Types of tables: of what is always one, and of what is one where its elements are taken one by one."""


def constant_value(tensor: gs.Tensor) -> NDArray[Any] | None:
    """Value of an initialiser or of a Constant node's output; do not write into it.

    None when the tensor is not constant, is sparse, or its data lies in a file that is not loaded.
    """
    if isinstance(tensor, gs.Constant):
        return _decoded(tensor)
    if len(tensor.inputs) != 1 or operator(tensor.inputs[0]) != "Constant":
        return None
    for name, value in tensor.inputs[0].attrs.items():
        if name == "value" and isinstance(value, gs.Constant):
            return _decoded(value)
        if name in _PLAIN_VALUES and isinstance(value, (int, float, list)):
            return np.asarray(value, _PLAIN_VALUES[name])
    return None


_PLAIN_VALUES = {
    "value_int": np.int64,
    "value_ints": np.int64,
    "value_float": np.float32,
    "value_floats": np.float32,
}


def _decoded(constant: gs.Constant) -> NDArray[Any] | None:
    values = constant._values
    if isinstance(values, np.ndarray):
        return values
    if isinstance(values, SparseValues) or values.tensor.data_location == TensorProto.EXTERNAL:
        return None
    source, array = constant.__dict__.get("decoded", (None, None))
    if source is values:
        return array  # type: ignore[no-any-return]
    try:
        array = onnx.numpy_helper.to_array(values.tensor)
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"the data of tensor {constant.name!r} does not fit its shape {list(values.tensor.dims)}",
            "the file is damaged: export the model again",
        ) from error
    if array.size <= SMALL:
        constant.decoded = (values, array)
    return array


def small_value(tensor: gs.Tensor) -> NDArray[Any] | None:
    """The value of a constant of at most `SMALL` elements; None of anything else, of which nothing is decoded."""
    count = element_count(tensor)
    value = constant_value(tensor) if count is None or count <= SMALL else None
    return None if value is None or value.size > SMALL else value


def plain_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a node with tensors as arrays."""
    return {name: constant_value(v) if isinstance(v, gs.Constant) else v for name, v in attributes.items()}


def byte_count(tensor: gs.Tensor) -> int:
    """Bytes of a constant's values, decoded or not; 0 of sparse ones and of what is not constant."""
    values = tensor._values if isinstance(tensor, gs.Constant) else constant_value(tensor)
    return int(values.nbytes) if isinstance(values, (np.ndarray, LazyValues)) else 0


def element_count(tensor: gs.Tensor) -> int | None:
    """Number of elements of a tensor, None when a dim or the rank is unknown. Nothing is decoded."""
    count = 1
    for dim in (None,) if tensor.shape is None else tensor.shape:
        if not isinstance(dim, int) or dim < 0:
            return None
        count *= dim
    return count


def is_size(dim: object) -> bool:
    """Whether a dim is a size: some exporters write -1 for one that is not known."""
    return isinstance(dim, int) and dim >= 0


def read_table(tensor: gs.Constant, folder: Path) -> bool:
    """Take a table out of the file beside the model that it lies in; whether it was one.

    Those are indices of 32 or 64 bits, and floats and booleans whose elements are taken one by one, as places are: no
    matrix, no kernel. They have at most `MAX_TABLE` elements. What cannot be read stays where it is: whoever runs the
    model says why.
    """
    values, count = tensor._values, element_count(tensor)
    whole = isinstance(values, LazyValues) and isinstance(values.tensor, TensorProto)  # a sparse one lies in the model
    if not whole or values.tensor.data_location != TensorProto.EXTERNAL:
        return False
    if count is None or count > MAX_TABLE or not _is_table(tensor):
        return False
    try:
        location_of(values.tensor)
        tensor._values = onnx.numpy_helper.to_array(values.tensor, str(folder))
    except (ModelError, OSError, ValueError, TypeError, onnx.checker.ValidationError):
        return False
    return True


def _is_table(tensor: gs.Constant) -> bool:
    by_elements = all(operator(node) in ELEMENTWISE | COPIES for node in tensor.outputs)
    return str(tensor.dtype) in (*INDICES, *(PLACES if by_elements else ()))
