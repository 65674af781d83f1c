"""Inputs at sizes that the tool did not choose, and how far apart two models are on them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto

from onnxgs_opt.errors import RunError
from onnxgs_opt.runtime.ort import open_session

Feeds = Mapping[str, NDArray[Any]]
Runs = Sequence[tuple[Feeds, list[Any]]]
RANGES = ((2, 9), (2, 40), (10, 20), (5, 5), (63, 66))
"""Of dynamic sizes, in turn: small, mixed, like each other, equal, long."""
TOLERANCE = {"float16": 3e-2, "float32": 2e-3, "float64": 2e-3}
"""Beside 1, of models whose own coordinates are rounded: a wrong pixel or weight is off by a tenth and more."""


def runs_of(model: ModelProto, count: int) -> Runs:
    """Inputs of its own for a model, and what it makes of them; fewer than `count` where it refuses some."""
    session = open_session(model, optimise=False, threads=1)
    out = []
    for seed in range(count):
        feeds = _feeds(model, seed)
        try:
            out.append((feeds, session.run(None, feeds)))
        except RunError:
            continue
    return out


def differs(model: ModelProto, runs: Runs) -> str:
    """Where a model computes something else than was computed in `runs`; "" where it does not."""
    session = open_session(model, optimise=False, threads=1)
    for feeds, wanted in runs:
        shapes = {name: array.shape for name, array in feeds.items()}
        try:
            made = session.run(None, feeds)
        except RunError as reason:
            return f"at {shapes} it fails: {reason}"
        for a, b in zip(wanted, map(np.asarray, made), strict=True):
            if (a.shape, a.dtype) != (b.shape, b.dtype):
                return f"at {shapes} {b.dtype}{b.shape} and not {a.dtype}{a.shape}"
            tolerance = TOLERANCE.get(str(a.dtype), 0.0)
            if not np.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True):
                return f"at {shapes} it is another result"
    return ""


def _feeds(model: ModelProto, seed: int) -> dict[str, NDArray[Any]]:
    """The first input is an image, unit-normal; all others lie among the pixels and beside them, some on them."""
    sizes, rng = random.Random(seed), np.random.default_rng(seed)
    named: dict[str, int] = {}
    constants = {tensor.name for tensor in model.graph.initializer}
    feeds: dict[str, NDArray[Any]] = {}
    for value in model.graph.input:
        if value.name in constants:
            continue
        shape = [
            dim.dim_value
            if dim.HasField("dim_value")
            else named.setdefault(dim.dim_param or f"{value.name}:{axis}", sizes.randint(*RANGES[seed % len(RANGES)]))
            for axis, dim in enumerate(value.type.tensor_type.shape.dim)
        ]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        if dtype.kind in "iub":
            feeds[value.name] = rng.integers(0, 2 if dtype.kind == "b" else 4, shape).astype(dtype)
        elif not feeds:
            feeds[value.name] = rng.normal(size=shape).astype(dtype)
        else:
            span = (1.0, 1.3, 4.0, 12.0, max([8, *shape]) + 3.0)[seed % 5]
            places = rng.random(shape) * span * 1.2 - 0.1 * span
            feeds[value.name] = np.where(rng.random(shape) < 0.3, np.round(places * 4) / 4, places).astype(dtype)
    return feeds
