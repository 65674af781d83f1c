"""Export a PyTorch model with a hand-written sampler, optimise it, check it against PyTorch, and time it.

    pip install torch . && python examples/export_pipeline.py [FOLDER]

Without torch it says so and does nothing. What a training script needs is the import and the call of `optimize`.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

import onnxgs_opt

CHANNELS, HEIGHT, WIDTH = 16, 120, 160
RUNS = 30


def module() -> Any:
    """A model that warps its image by a flow: the sampler is written with indices, as in many repositories."""
    import torch

    class Warp(torch.nn.Module):
        def forward(self, image: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
            _, _, height, width = image.shape
            rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
            x = (flow[:, 0] + columns).clamp(0, width - 1)
            y = (flow[:, 1] + rows).clamp(0, height - 1)
            x0, y0 = x.floor(), y.floor()
            u, v = (x - x0).unsqueeze(1), (y - y0).unsqueeze(1)
            left, top = x0.long(), y0.long()
            right, bottom = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)

            def read(row: torch.Tensor, column: torch.Tensor) -> torch.Tensor:
                batch = torch.arange(image.shape[0])[:, None, None]
                return image[batch, :, row, column].permute(0, 3, 1, 2)

            above = read(top, left) * (1 - u) + read(top, right) * u
            below = read(bottom, left) * (1 - u) + read(bottom, right) * u
            return above * (1 - v) + below * v

    return Warp().eval()


def exported(path: Path, inputs: tuple[Any, ...]) -> Path:
    """The model as PyTorch exports it."""
    import torch

    torch.onnx.export(module(), inputs, str(path), input_names=["image", "flow"], opset_version=17, dynamo=False)
    return path


def milliseconds(path: Path, feeds: dict[str, Any]) -> float:
    """The median time of a run in onnxruntime."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    session.run(None, feeds)
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        session.run(None, feeds)
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def main(folder: Path) -> int:
    """Run the four steps and say what came of each."""
    try:
        import torch
    except ImportError:
        print("skipped: torch is not installed (pip install torch)")
        return 0
    torch.manual_seed(0)
    inputs = torch.randn(1, CHANNELS, HEIGHT, WIDTH), 4 * torch.randn(1, 2, HEIGHT, WIDTH)
    before = exported(folder / "warp.onnx", inputs)
    result = onnxgs_opt.optimize(before, folder / "warp.opt.onnx")
    for site in result.report.sites:
        print(f"{site.id}: {site.policy.border} {site.policy.kind} sampling of {site.image}: {site.lowering}")
    if result.report.output is None:
        print(f"nothing was written: {result.report.status}")
        return 1
    after = Path(result.report.output)
    feeds = {"image": inputs[0].numpy(), "flow": inputs[1].numpy()}
    session = onnxruntime.InferenceSession(str(after), providers=["CPUExecutionProvider"])
    error = float(np.abs(session.run(None, feeds)[0] - module()(*inputs).numpy()).max())
    print(f"max |error| against PyTorch: {error:.3g}")
    slow, fast = milliseconds(before, feeds), milliseconds(after, feeds)
    print(f"exported {slow:.2f} ms, optimised {fast:.2f} ms: {slow / fast:.2f}x as fast")
    return 0 if error < 1e-5 else 1


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(main(Path(sys.argv[1])))
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(main(Path(scratch)))
