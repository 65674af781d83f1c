"""The sampler of the report that started this tool: pixel coordinates, one mask for the interior; needs torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Sampler(nn.Module):
    """Four reads by advanced indexing, as hand-written samplers do it."""

    def forward(self, image: Any, grid: Any) -> Any:
        """Image [N, C, H, W], grid [N, Ho, Wo, 2] in pixels, x then y -> samples [N, C, Ho, Wo] and the mask."""
        n, c, h, w = image.shape
        gh, gw = grid.shape[1], grid.shape[2]
        x, y = grid.split([1, 1], dim=-1)
        mask = ((x >= 0) & (y >= 0) & (x < w - 1) & (y < h - 1)).float()
        x0, y0 = torch.floor(x), torch.floor(y)
        x1, y1 = x0 + 1, y0 + 1
        wa = ((x1 - x) * (y1 - y)).permute(3, 0, 1, 2)
        wb = ((x1 - x) * (y - y0)).permute(3, 0, 1, 2)
        wc = ((x - x0) * (y1 - y)).permute(3, 0, 1, 2)
        wd = ((x - x0) * (y - y0)).permute(3, 0, 1, 2)
        x0, y0, x1, y1 = ((v * mask).view(n, gh, gw).long() for v in (x0, y0, x1, y1))
        items = torch.arange(n, device=image.device).view(n, 1).expand(-1, gh).view(n, gh, 1).expand(-1, -1, gw).long()
        planes = image.permute(1, 0, 2, 3)
        total = planes[:, items, y0, x0] * wa + planes[:, items, y1, x0] * wb
        total = total + planes[:, items, y0, x1] * wc + planes[:, items, y1, x1] * wd
        return total.permute(1, 0, 2, 3) * mask.permute(0, 3, 1, 2).expand(-1, c, -1, -1), mask


def grid_sample(image: Any, grid: Any) -> Any:
    """The same samples by the framework's own operator: normalise, sample, mask."""
    h, w = image.shape[2:]
    half = torch.tensor([w - 1, h - 1], device=grid.device, dtype=grid.dtype) / 2
    x, y = grid[..., 0], grid[..., 1]
    mask = ((x >= 0) & (y >= 0) & (x < w - 1) & (y < h - 1)).to(image.dtype)
    sampled = nn.functional.grid_sample(image, grid / half - 1, mode="bilinear", align_corners=True)
    return sampled * mask[:, None], mask


def export(path: str, shape: tuple[int, int, int, int]) -> None:
    """Write the sampler for images of `shape` and as many points, with the TorchScript exporter at opset 17."""
    n, _, h, w = shape
    grid = torch.rand(n, h, w, 2) * torch.tensor([w + 4.0, h + 4.0]) - 2
    names = ["image", "grid"]
    torch.onnx.export(
        Sampler().eval(), (torch.randn(*shape), grid), path, input_names=names, opset_version=17, dynamo=False
    )
