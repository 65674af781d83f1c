"""Outputs as the model declares them, for runtimes that compute in types of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto
from onnx.helper import tensor_dtype_to_np_dtype

from onnxgs_opt.samplers.view import Array


@dataclass(frozen=True)
class Outputs:
    """A model's outputs in order: their names, and their types."""

    types: Mapping[str, np.dtype[Any]]

    @classmethod
    def of(cls, model: ModelProto) -> Outputs:
        """Those of a model."""
        return cls({o.name: tensor_dtype_to_np_dtype(o.type.tensor_type.elem_type) for o in model.graph.output})

    def named(self, names: Sequence[str] | None, values: Iterable[Array]) -> list[Array]:
        """Of the values of all outputs those of some names, in their order, or all; each in its own type."""
        made = dict(zip(self.types, values, strict=True))
        return [made[name].astype(self.types[name], copy=False) for name in (self.types if names is None else names)]
