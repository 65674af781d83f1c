"""Make the files of the matrix with the tools that write samplers by machine, in whatever Python has them.

python make.py FOLDER [TOOL...]: onnxsim; torch, which needs onnxscript; jax and keras, which need jax2onnx.

TOOL.CASE.dyn.onnx has sizes by name, TOOL.CASE.stK.onnx those of number K of `SIZES`; a tool whose export takes fixed
sizes only has the latter. The image is [N, C, H, W] or [H, W], the points are a grid, pixel coordinates or none.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import onnx
import onnx.parser

SIZES = ((2, 3, 6, 8, 5, 7), (1, 3, 9, 5, 4, 4), (3, 2, 7, 7, 1, 6), (1, 1, 16, 12, 9, 1), (2, 4, 5, 11, 8, 3))
"""N, C, H, W of the image, P, Q of the points."""

MODES = ("constant", "nearest", "mirror", "wrap", "reflect")
FILL = 2.5
Made = Iterator[tuple[str, onnx.ModelProto]]


def of_onnxsim() -> Made:
    """GridSample as onnxsim rewrites it for runtimes that have none."""
    import onnxsim

    for mode, border, corners in product(("bilinear", "nearest"), ("zeros", "border", "reflection"), (0, 1)):
        named = ("N", "C", "H", "W", "P", "Q")
        for suffix, (n, c, h, w, p, q) in (("dyn", named), *((f"st{k}", size) for k, size in enumerate(SIZES))):
            text = f"""<ir_version: 8, opset_import: ["" : 17]>
            g (float[{n},{c},{h},{w}] image, float[{n},{p},{q},2] grid) => (float[{n},{c},{p},{q}] out) {{
              out = GridSample<mode="{mode}", padding_mode="{border}", align_corners={corners}>(image, grid) }}"""
            rewrite = ["rewrite_gridsample_to_gather"]
            made, _ = onnxsim.simplify(onnx.parser.parse_model(text), extra_optimizers=rewrite)
            yield f"onnxsim.{mode}-{border}-{corners}.{suffix}", made


def of_torch() -> Made:
    """torch's own decompositions of grid_sampler_2d and of the upsampling operators."""
    import torch
    from torch.nn import functional

    aten = torch.ops.aten
    image, grid = torch.rand(2, 3, 6, 8), torch.rand(2, 5, 7, 2) * 2 - 1
    sizes = [torch.export.Dim(name, min=2, max=4096) for name in "NCHWPQ"]
    n, c, h, w, p, q = sizes
    dims = {"image": {0: n, 1: c, 2: h, 3: w}, "grid": {0: n, 1: p, 2: q}}
    for mode, border, corners in product(("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection"), (0, 1)):
        how = {"mode": mode, "padding_mode": border, "align_corners": bool(corners)}
        sample = partial(functional.grid_sample, **how)
        name = f"torch.grid_sampler-{mode}-{border}-{corners}.dyn"
        yield name, _torch_export(sample, (image, grid), dims, [aten.grid_sampler_2d.default])
    ways: dict[str, dict[str, Any]] = {
        "nearest": {"mode": "nearest"},
        "nearest-exact": {"mode": "nearest-exact"},
        "bilinear-0": {"mode": "bilinear", "align_corners": False},
        "bilinear-1": {"mode": "bilinear", "align_corners": True},
        "bicubic-0": {"mode": "bicubic", "align_corners": False},
        "bicubic-1": {"mode": "bicubic", "align_corners": True},
    }
    for case, how in ways.items():
        resize = partial(functional.interpolate, size=(9, 13), **how)
        yield f"torch.upsample-{case}.st0", _torch_export(resize, (image,), None, _upsamplings(torch))
    for case in ("nearest", "bilinear-0"):
        resize = partial(functional.interpolate, scale_factor=1.5, **ways[case])
        yield f"torch.upsample-{case}-scale.st0", _torch_export(resize, (image,), None, _upsamplings(torch))


def _upsamplings(torch: Any) -> list[Any]:
    names = ("upsample_nearest2d", "_upsample_nearest_exact2d", "upsample_bilinear2d", "upsample_bicubic2d")
    return [getattr(getattr(torch.ops.aten, name), overload) for name in names for overload in ("default", "vec")]


def _torch_export(function: Callable[..., Any], inputs: tuple[Any, ...], dims: Any, operators: list[Any]) -> Any:
    import torch

    class Module(torch.nn.Module):
        def forward(self, image: Any, grid: Any = None) -> Any:
            return function(image) if grid is None else function(image, grid)

    shapes = None if dims is None else {name: dims[name] for name in ("image", "grid")[: len(inputs)]}
    program = torch.export.export(Module(), inputs, dynamic_shapes=shapes)
    own, table = torch._decomp.decomposition_table, torch.export.default_decompositions()
    for operator in operators:
        if operator in own:
            table[operator] = own[operator]
    return torch.onnx.export(program.run_decompositions(table), dynamo=True, opset_version=18).model_proto


def of_jax() -> Made:
    """jax.scipy.ndimage.map_coordinates."""
    from jax.scipy.ndimage import map_coordinates

    yield from _map_coordinates("jax", lambda order, mode: partial(map_coordinates, order=order, mode=mode, cval=FILL))


def of_keras() -> Made:
    """keras.ops.image.map_coordinates on JAX."""
    os.environ["KERAS_BACKEND"] = "jax"
    from keras.ops import image

    def made(order: int, mode: str) -> Callable[..., Any]:
        return partial(image.map_coordinates, order=order, fill_mode=mode, fill_value=FILL)

    yield from _map_coordinates("keras", made)


def _map_coordinates(tool: str, made: Callable[[int, str], Callable[..., Any]]) -> Made:
    import jax
    from jax2onnx import to_onnx

    for order, mode in product((0, 1), MODES):
        for k, (_, _, h, w, p, q) in enumerate(SIZES):
            image, points = (jax.ShapeDtypeStruct(shape, "float32") for shape in ((h, w), (2, p, q)))
            yield f"{tool}.map_coordinates-{mode}-{order}.st{k}", to_onnx(made(order, mode), [image, points])


TOOLS = {"onnxsim": of_onnxsim, "torch": of_torch, "jax": of_jax, "keras": of_keras}


def main() -> None:
    """Write the files of the tools that are named, or of all."""
    folder, *names = sys.argv[1:]
    for name in names or TOOLS:
        for case, model in TOOLS[name]():
            onnx.save(model, Path(folder) / f"{case}.onnx")
            print(case)  # noqa: T201


if __name__ == "__main__":
    main()
