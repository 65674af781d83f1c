"""A layer of the decoder of RT-DETR, and of D-FINE, as PyTorch has it, exported for `bench.attention_cuda`.

`python -m bench.decoder FOLDER` writes CASE.onnx for every case; it needs torch and onnxscript. 300 queries, 8 heads of
32 channels, levels of an image of 640 x 640; RT-DETR has 4 points a level, D-FINE 3, 6 and 3.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample

LEVELS = ((80, 80), (40, 40), (20, 20))
HEADS, DEPTH, QUERIES, WIDER = 8, 32, 300, 1024
POINTS = {"rt-detr": (4, 4, 4), "d-fine": (3, 6, 3)}
CASES = {f"{name}.{kind}": (name, kind) for name in POINTS for kind in ("float32", "float16")}


class Attention(nn.Module):
    """Deformable attention of boxes [B, Q, 4]."""

    def __init__(self, points: Sequence[int]) -> None:
        super().__init__()
        self.points, width = tuple(points), HEADS * DEPTH
        self.offsets, self.weights = (nn.Linear(width, HEADS * sum(points) * k) for k in (2, 1))
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.register_buffer("scale", torch.tensor([1 / n for n in points for _ in range(n)])[:, None])

    def forward(self, query: Tensor, memory: Tensor, boxes: Tensor) -> Tensor:
        """The samples of `memory` [B, S, C], weighted, for every query [B, Q, C]."""
        batch, queries, _ = query.shape
        lead = (batch, queries, HEADS, sum(self.points))
        value = self.value(memory).reshape(batch, memory.shape[1], HEADS, DEPTH).permute(0, 2, 3, 1).flatten(0, 1)
        offsets = self.offsets(query).reshape(*lead, 2)
        weights = self.weights(query).reshape(lead).softmax(-1)
        around = boxes[:, :, None, None]
        places = around[..., :2] + offsets * self.scale * around[..., 2:] * 0.5
        grids = (2 * places - 1).permute(0, 2, 1, 3, 4).flatten(0, 1).split(self.points, dim=-2)
        images = value.split([height * width for height, width in LEVELS], dim=-1)
        samples = [
            grid_sample(image.reshape(batch * HEADS, DEPTH, *level), grid, "bilinear", "zeros", align_corners=False)
            for image, grid, level in zip(images, grids, LEVELS, strict=True)
        ]
        factors = weights.permute(0, 2, 1, 3).reshape(batch * HEADS, 1, queries, sum(self.points))
        summed = (torch.concat(samples, dim=-1) * factors).sum(-1).reshape(batch, HEADS * DEPTH, queries)
        return self.out(summed.permute(0, 2, 1))


class Layer(nn.Module):
    """Attention among queries, deformable attention, and two linear layers, each with its norm."""

    def __init__(self, points: Sequence[int]) -> None:
        super().__init__()
        width = HEADS * DEPTH
        self.projections = nn.ModuleList(nn.Linear(width, width) for _ in range(4))
        self.attention = Attention(points)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.wide, self.narrow = nn.Linear(width, WIDER), nn.Linear(WIDER, width)

    def among(self, query: Tensor) -> Tensor:
        """Every query's sum of all, weighted by how alike they are."""
        batch, queries, width = query.shape
        apart = (own(query).reshape(batch, queries, HEADS, DEPTH).transpose(1, 2) for own in self.projections[:3])
        q, k, v = apart
        alike = (q @ k.transpose(2, 3) * DEPTH**-0.5).softmax(-1)
        return self.projections[3]((alike @ v).transpose(1, 2).reshape(batch, queries, width))

    def forward(self, query: Tensor, memory: Tensor, boxes: Tensor) -> Tensor:
        """The queries [B, Q, C] of the next layer."""
        query = self.norms[0](query + self.among(query))
        query = self.norms[1](query + self.attention(query, memory, boxes))
        return self.norms[2](query + self.narrow(self.wide(query).relu()))


def export(case: str, path: Path) -> None:
    """Write a case's model."""
    name, kind = CASES[case]
    torch.manual_seed(0)
    pixels, width = sum(height * width for height, width in LEVELS), HEADS * DEPTH
    inputs = (torch.randn(1, QUERIES, width), torch.randn(1, pixels, width), torch.rand(1, QUERIES, 4))
    layer = Layer(POINTS[name]).eval()
    if kind == "float16":
        layer, inputs = layer.half(), tuple(own.half() for own in inputs)
    names = ["query", "memory", "boxes"]
    program = torch.onnx.export(layer, inputs, input_names=names, dynamo=True, opset_version=18, verbose=False)
    program.save(str(path))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for wanted in CASES:
        export(wanted, Path(sys.argv[1]) / f"{wanted}.onnx")
