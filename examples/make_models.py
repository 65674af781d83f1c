"""Make the models of this folder; needs torch, run by hand. The files are committed, so that nothing else needs torch.

warp         an optical-flow warp, border policy: the module of export_pipeline.py
two_samplers one sampler with zero padding in normalised coordinates, and one whose weights are swapped: a near-miss
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from export_pipeline import module as warp

FOLDER = Path(__file__).parent / "models"


def corners(grid: Any, height: int, width: int) -> tuple[Any, ...]:
    """Fractions and corners of normalised coordinates, align_corners=False."""
    x = ((grid[..., 0] + 1) * width - 1) / 2
    y = ((grid[..., 1] + 1) * height - 1) / 2
    x0, y0 = x.floor(), y.floor()
    return x - x0, y - y0, x0, y0


def read(image: Any, row: Any, column: Any) -> Any:
    """Pixels of a batch, zero outside the image."""
    count, _, height, width = image.shape
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    rows, columns = row.clamp(0, height - 1).long(), column.clamp(0, width - 1).long()
    batch = torch.arange(count)[:, None, None]
    return image[batch, :, rows, columns].permute(0, 3, 1, 2) * inside.unsqueeze(1).to(image.dtype)


class TwoSamplers(torch.nn.Module):
    """Samples two images at one grid; the second one has the weights of its left and right column swapped."""

    def forward(self, image: Any, other: Any, grid: Any) -> tuple[Any, Any]:
        """Both samples, [N, C, Ho, Wo]."""
        return self.sample(image, grid, swapped=False), self.sample(other, grid, swapped=True)

    def sample(self, image: Any, grid: Any, *, swapped: bool) -> Any:
        """The weighted sum of the four pixels around each coordinate."""
        u, v, x0, y0 = corners(grid, image.shape[2], image.shape[3])
        u, v = u.unsqueeze(1), v.unsqueeze(1)
        left, right = (u, 1 - u) if swapped else (1 - u, u)
        above = read(image, y0, x0) * left + read(image, y0, x0 + 1) * right
        below = read(image, y0 + 1, x0) * left + read(image, y0 + 1, x0 + 1) * right
        return above * (1 - v) + below * v


def main() -> None:
    """Export both at opset 17."""
    torch.manual_seed(0)
    flow = torch.randn(1, 3, 24, 32), torch.randn(1, 2, 24, 32)
    save(warp(), flow, "warp", ["image", "flow"], ["warped"])
    images = torch.randn(1, 3, 24, 32), torch.randn(1, 3, 24, 32), torch.rand(1, 9, 11, 2) * 2 - 1
    save(TwoSamplers(), images, "two_samplers", ["image", "other", "grid"], ["sampled", "swapped"])


def save(model: Any, inputs: Any, name: str, input_names: list[str], output_names: list[str]) -> None:
    """Export one model into the folder."""
    path = str(FOLDER / f"{name}.onnx")
    names: dict[str, Any] = {"input_names": input_names, "output_names": output_names}
    torch.onnx.export(model.eval(), inputs, path, opset_version=17, dynamo=False, **names)


if __name__ == "__main__":
    main()
