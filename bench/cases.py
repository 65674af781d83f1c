"""What is measured: sizes, coordinates, and the models that stand side by side."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto

from onnxgs_opt.api import optimize
from onnxgs_opt.lowering import LOWERINGS
from onnxgs_opt.runtime.native import installed_library

MODELS = Path(__file__).parent / "models"
SIZES = {
    "1x1x1080x1920": (1, 1, 1080, 1920),
    "1x64x135x240": (1, 64, 135, 240),
    "4x256x64x64": (4, 256, 64, 64),
    "8x64x270x480": (8, 64, 270, 480),
    "1x3x1080x1920": (1, 3, 1080, 1920),
    "1x3x8x8": (1, 3, 8, 8),
    "1x3x32x32": (1, 3, 32, 32),
    "1x32x8x8": (1, 32, 8, 8),
    "1x32x32x32": (1, 32, 32, 32),
}
KERNELS = ("nearest", "cubic")
"""Of other samplers, whose models are named so before the sizes: nearest-1x64x135x240."""

OF_KERNELS = ("1x1x1080x1920", "1x64x135x240")
"""Their sizes."""

NORMALISED = "normalised-"
"""What the names of cases begin with whose points are those of GridSample, for align_corners 0, with zeros outside."""

OF_NORMALISED = ("1x1x1080x1920", "1x64x135x240", "1x3x8x8", "1x3x32x32", "1x32x8x8", "1x32x32x32")
"""Their sizes."""

NO_SPELLINGS = ("keep", "plugin", "resize", "polyphase-conv", "axis-matmul", "deform-conv", "tensorrt-attention")
"""Lowerings that are no spelling of a sampler in ONNX's own operators."""

LOOSE = 1e-2
"""Tolerance under which a lowering is timed that auto would refuse for its precision; the error is in the table."""


@dataclass(frozen=True)
class Row:
    """One model of a case, or why there is none; `sampler` names a function of `bench.sampler` instead.

    `normalised`: it takes points as GridSample does, and is compared with nothing. `libraries` are those of custom
    operators that it is run with.
    """

    name: str
    model: ModelProto | None = None
    sampler: str = ""
    note: str = ""
    normalised: bool = False
    libraries: tuple[str, ...] = ()


def shape_of(case: str) -> tuple[int, int, int, int]:
    """The shape of a case's image."""
    return SIZES[case.rpartition("-")[2]]


def feeds(case: str, smooth: bool, seed: int = 0) -> dict[str, Any]:
    """A unit-normal image, and a point for every pixel: anywhere in the image, or moved a little from its pixel.

    The case of another kernel, or of normalised points, has its name before the sizes.
    """
    n, c, h, w = shape_of(case)
    rng = np.random.default_rng(seed)
    rows, columns = np.meshgrid(np.arange(h), np.arange(w), indexing="ij")
    if smooth:
        x, y = columns + 1.5 * np.sin(rows / 37) + 0.3, rows + 1.5 * np.cos(columns / 41) + 0.4
        x, y = np.broadcast_to(x, (n, h, w)), np.broadcast_to(y, (n, h, w))
    else:
        x, y = rng.random((n, h, w)) * (w + 3) - 2, rng.random((n, h, w)) * (h + 3) - 2
    image = rng.standard_normal((n, c, h, w), dtype=np.float32)
    grid = np.stack([x, y], -1)
    grid = (2 * grid + 1) / np.array([w, h]) - 1 if case.startswith(NORMALISED) else grid
    return {"image": image, "grid": grid.astype(np.float32)}


def rows(case: str, target: str, frameworks: bool = True, only: Sequence[str] = ()) -> Iterator[Row]:
    """The exported model, what other tools and each lowering make of it, what auto makes of it, and PyTorch.

    `only` names rows to make beside the exported model; all of them by default.
    """
    path = MODELS / f"{case}.onnx"
    yield Row("exported", onnx.load(path))
    makers: dict[str, Callable[[], Row | None]] = {
        "onnxsim": partial(_simplified, path),
        "onnxslim": partial(_slimmed, path),
        **{
            name: partial(_lowered, path, name, target, lowering=name, atol=LOOSE, validate=False)
            for name in LOWERINGS
            if name not in NO_SPELLINGS
        },
        "auto": partial(_lowered, path, "auto", target),
    }
    if importlib.util.find_spec("onnxgs_ops") is not None:
        makers["auto --ops"] = partial(_lowered, path, "auto --ops", target, ops=True)
    makers["bare GridSample"] = partial(_bare, case)
    if target != "ort-cpu":
        makers["auto --atol 2e-3"] = partial(_lowered, path, "auto --atol 2e-3", target, atol=2e-3)
    for name in ("eager", "compile", "grid_sample") if frameworks else ():
        makers[f"PyTorch {name}"] = partial(Row, f"PyTorch {name}", sampler=name)
    for name, make in makers.items():
        row = make() if not only or name in only else None
        if row is not None:
            yield row


def _lowered(path: Path, name: str, target: str, **options: Any) -> Row:
    result = optimize(onnx.load(path), target=target, **options)
    (site,) = result.report.sites
    note = f"{site.lowering}: {site.reason}" if name.startswith("auto") else ""
    if site.lowering == "keep" and not name.startswith("auto"):
        return Row(name, note=site.reason)
    libraries = (installed_library()[0],) if options.get("ops") else ()
    return Row(name, result.model, note=note, libraries=libraries)


def _bare(case: str) -> Row:
    """The node alone, on a grid that is normalised before: no window, no mask, and none of the arithmetic of either."""
    text = f"""<ir_version: 8, opset_import: ["": 17]> g (float{list(shape_of(case))} image, float[n, h, w, 2] grid)
        => (float[n, c, h, w] sampled) {{ sampled = GridSample <align_corners = 1> (image, grid) }}"""
    note = "a GridSample node on a grid that was normalised before, without the window and its mask"
    return Row("bare GridSample", onnx.parser.parse_model(text), note=note, normalised=True)


def normalised(inputs: dict[str, Any]) -> dict[str, Any]:
    """The same points in the coordinates of a GridSample with align_corners."""
    height, width = inputs["image"].shape[2:]
    scale = 2 / np.array([width - 1, height - 1], np.float32)
    return {**inputs, "grid": inputs["grid"] * scale - np.float32(1)}


def _simplified(path: Path) -> Row | None:
    try:
        import onnxsim
    except ImportError:
        return None
    return Row("onnxsim", onnxsim.simplify(onnx.load(path))[0])


def _slimmed(path: Path) -> Row | None:
    try:
        import onnxslim
    except ImportError:
        return None
    return Row("onnxslim", onnxslim.slim(onnx.load(path)))
