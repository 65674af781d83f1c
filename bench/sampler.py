"""The sampler of the report that started this tool: pixel coordinates, one mask for the interior; needs torch.

Beside it the nearest pixel and sixteen with cubic weights, spelt by hand as such models have them.
"""

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


class Normalised(nn.Module):
    """What grid_sample computes, zeros outside and align_corners False, as those spell it who must not export it."""

    def forward(self, image: Any, grid: Any) -> Any:
        """Image [N, C, H, W], grid [N, Ho, Wo, 2] from -1 to 1, x then y -> samples [N, C, Ho, Wo]."""
        n, c, h, w = image.shape
        gh, gw = grid.shape[1], grid.shape[2]
        x, y = ((grid[..., 0] + 1) * w - 1) / 2, ((grid[..., 1] + 1) * h - 1) / 2
        x0, y0 = torch.floor(x), torch.floor(y)
        planes = image.view(n, c, h * w)
        total = 0
        for row, by_row in ((y0, y0 + 1 - y), (y0 + 1, y - y0)):
            for column, by_column in ((x0, x0 + 1 - x), (x0 + 1, x - x0)):
                inside = (column >= 0) & (column <= w - 1) & (row >= 0) & (row <= h - 1)
                index = (row.clamp(0, h - 1) * w + column.clamp(0, w - 1)).long().view(n, 1, gh * gw)
                read = planes.gather(2, index.expand(-1, c, -1)).view(n, c, gh, gw)
                total = total + read * (by_row * by_column * inside.to(image.dtype)).unsqueeze(1)
        return total


class Nearest(nn.Module):
    """One read of the rounded pixel, 0 outside, as projections into a camera's image do it."""

    def forward(self, image: Any, grid: Any) -> Any:
        """Image [N, C, H, W], grid [N, Ho, Wo, 2] in pixels, x then y -> samples [N, C, Ho, Wo]."""
        n, c, h, w = image.shape
        gh, gw = grid.shape[1], grid.shape[2]
        x, y = torch.round(grid[..., 0]).long(), torch.round(grid[..., 1]).long()
        inside = (x >= 0) & (x < w) & (y >= 0) & (y < h)
        index = (y.clamp(0, h - 1) * w + x.clamp(0, w - 1)).view(n, 1, gh * gw).expand(-1, c, -1)
        read = image.view(n, c, h * w).gather(2, index).view(n, c, gh, gw)
        return read * inside.to(image.dtype).unsqueeze(1)


class Cubic(nn.Module):
    """Sixteen reads of an image whose edge goes on, weighted along x and y with the parameter -3/4."""

    def forward(self, image: Any, grid: Any) -> Any:
        """Image [N, C, H, W], grid [N, Ho, Wo, 2] in pixels, x then y -> samples [N, C, Ho, Wo]."""
        n, c, h, w = image.shape
        gh, gw = grid.shape[1], grid.shape[2]
        planes = image.view(n, c, h * w)
        x, y = grid[..., 0], grid[..., 1]
        x0, y0 = torch.floor(x), torch.floor(y)
        across, down = self.weights(x - x0), self.weights(y - y0)
        total = 0
        for j in range(4):
            row = (y0 + (j - 1)).clamp(0, h - 1).long()
            for i in range(4):
                column = (x0 + (i - 1)).clamp(0, w - 1).long()
                index = (row * w + column).view(n, 1, gh * gw).expand(-1, c, -1)
                total = total + planes.gather(2, index).view(n, c, gh, gw) * (across[i] * down[j]).unsqueeze(1)
        return total

    @staticmethod
    def weights(t: Any, a: float = -0.75) -> tuple[Any, Any, Any, Any]:
        """Of the pixels -1, 0, 1, 2 beside the first one at the fraction t."""

        def inner(d: Any) -> Any:
            return ((a + 2) * d - (a + 3)) * d * d + 1

        def outer(d: Any) -> Any:
            return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

        return outer(t + 1), inner(t), inner(1 - t), outer(2 - t)


SAMPLERS = {"": Sampler, "normalised-": Normalised, "nearest-": Nearest, "cubic-": Cubic}
"""By what the names of their models start with."""


def grid_sample(image: Any, grid: Any) -> Any:
    """The same samples by the framework's own operator: normalise, sample, mask."""
    h, w = image.shape[2:]
    half = torch.tensor([w - 1, h - 1], device=grid.device, dtype=grid.dtype) / 2
    x, y = grid[..., 0], grid[..., 1]
    mask = ((x >= 0) & (y >= 0) & (x < w - 1) & (y < h - 1)).to(image.dtype)
    sampled = nn.functional.grid_sample(image, grid / half - 1, mode="bilinear", align_corners=True)
    return sampled * mask[:, None], mask


def export(path: str, shape: tuple[int, int, int, int], sampler: str = "") -> None:
    """Write a sampler for images of `shape` and as many points, with the TorchScript exporter at opset 17."""
    n, _, h, w = shape
    grid = torch.rand(n, h, w, 2) * torch.tensor([w + 4.0, h + 4.0]) - 2
    names = ["image", "grid"]
    torch.onnx.export(
        SAMPLERS[sampler]().eval(), (torch.randn(*shape), grid), path, input_names=names, opset_version=17, dynamo=False
    )
