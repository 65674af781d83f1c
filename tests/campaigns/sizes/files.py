"""Models in files, at sizes that are chosen here: what is written is the same, or a hazard says where it is not."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from onnxgs_opt import OptError, optimize
from onnxgs_opt.lowering import LOWERINGS
from onnxgs_opt.report.model import Report
from tests.campaigns.sizes.judge import Pair

SETS = (
    (2, 3, 6, 5, 3, 4),
    (1, 1, 9, 14, 5, 2),
    (9, 2, 5, 5, 4, 4),
    (1, 3, 2, 140, 7, 3),
    (1, 2, 300, 280, 2, 3),
    (1, 1, 3, 3002, 2, 9),
    (2, 17, 8, 16, 1, 1),
    (1, 1, 2050, 2, 3, 1),
    (2, 3, 1, 5, 4, 3),
    (2, 3, 5, 1, 4, 3),
    (2, 3, 6, 7, 0, 3),
    (0, 3, 6, 7, 2, 3),
)
"""Batch, channels, rows, columns and two numbers of points."""

SMALL = "GSO208"
"""The hazard that says that sizes of 0 or 1 come out otherwise."""


def judged_file(path: Path, lowering: str) -> tuple[str, str]:
    """("written" or "kept" or "wrong", what was found)."""
    model = onnx.load(path)
    with redirect_stderr(io.StringIO()):
        try:
            result = optimize(path, lowering=lowering, measure=False)
        except OptError as error:
            return "kept", str(error)
        except Exception as error:
            return "wrong", f"internal error: {error!r}"
    report = result.report
    if report.status != "optimised":
        return "kept", report.status
    runs, pair = 0, Pair.of(model, result.model)
    for number, sizes in enumerate(SETS):
        for feeds in fitting(model, sizes, number):
            gap = pair.differs(feeds, atol=_allowed(model, feeds))
            runs += gap is not None
            if gap and not _is_said(report, sizes):
                return "wrong", f"{gap} at {sizes}, {[site.domain and site.domain.words for site in report.sites]}"
    return "written", f"{runs} runs"


def _is_said(report: Report, sizes: tuple[int, ...]) -> bool:
    """Whether a hazard says that such sizes come out otherwise."""
    return min(sizes) < 2 and any(hazard.code == SMALL for hazard in report.hazards)


def _allowed(model: onnx.ModelProto, feeds: Mapping[str, Any]) -> float:
    """What may differ: roundings of a type, as much as numbers are large."""
    types = {value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)}
    casts = {a.i for node in model.graph.node if node.op_type == "Cast" for a in node.attribute if a.name == "to"}
    largest = max((float(np.abs(v).max()) for v in feeds.values() if v.dtype.kind == "f" and v.size), default=1.0)
    return max(1.0, largest) * (2e-2 if onnx.TensorProto.FLOAT16 in types | casts else 1e-3)


def fitting(model: onnx.ModelProto, sizes: tuple[int, ...], seed: int) -> Iterator[Mapping[str, Any]]:
    """Inputs of these sizes, with coordinates in pixels and in -1 to 1, and with sizes of several inputs alike."""
    stored = {tensor.name for tensor in model.graph.initializer}
    infos = [info for info in model.graph.input if info.name not in stored]
    apart, alike = _by_name(infos, sizes), _by_place(infos, sizes)
    for names in (apart, alike) if apart != alike else (apart,):
        for unit in (False, True):
            rng = np.random.default_rng(seed)
            yield {info.name: _values(info, names, rng, unit, sizes) for info in infos}


def _by_name(infos: list[onnx.ValueInfoProto], sizes: tuple[int, ...]) -> dict[str, int]:
    """A size for each dynamic dim: of images by place, the others' first one is the batch."""
    batch, channels, height, width, *points = sizes
    rest = chain(points, count(3))
    found: dict[str, int] = {}
    for info in sorted(infos, key=lambda info: -len(info.type.tensor_type.shape.dim)):
        dims = info.type.tensor_type.shape.dim
        image = dict(enumerate((batch, channels, height, width))) if len(dims) == 4 and not found else {0: batch}
        for axis, dim in enumerate(dims):
            name = dim.dim_param or f"{info.name}:{axis}"
            if not dim.HasField("dim_value") and name not in found:
                found[name] = image[axis] if axis in image else next(rest)
    return found


def _by_place(infos: list[onnx.ValueInfoProto], sizes: tuple[int, ...]) -> dict[str, int]:
    """A size for each dynamic dim, the same at the same place: of one input by another, or nothing fits."""
    every = ((f"{info.name}:{k}", k, dim) for info in infos for k, dim in enumerate(info.type.tensor_type.shape.dim))
    return {dim.dim_param or name: sizes[k] for name, k, dim in every if not dim.HasField("dim_value")}


def _values(
    info: onnx.ValueInfoProto, names: Mapping[str, int], rng: np.random.Generator, unit: bool, sizes: tuple[int, ...]
) -> Any:
    dims = info.type.tensor_type.shape.dim
    shape = [
        dim.dim_value if dim.HasField("dim_value") else names[dim.dim_param or f"{info.name}:{axis}"]
        for axis, dim in enumerate(dims)
    ]
    kind = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type))
    if kind.kind == "b":
        return rng.random(shape) < 0.5
    if kind.kind != "f":
        return rng.integers(0, 3, shape).astype(kind)
    if len(shape) == 4 and shape[-1] != 2:
        return rng.standard_normal(shape).astype(kind)
    reach = max((size for size in (*shape, *sizes[2:4])), default=2) + 2
    return (2.4 * rng.random(shape) - 1.2 if unit else reach * rng.random(shape) - 2).astype(kind)


def files(folders: list[Path]) -> Iterator[tuple[Path, str]]:
    """Every model of some folders with every lowering."""
    for folder in folders:
        for path in sorted(folder.glob("*.onnx")):
            for name in ("auto", *(name for name in LOWERINGS if name != "keep")):
                yield path, name
