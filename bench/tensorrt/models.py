"""The models that `engines` measures: the exported sampler of each case, and each lowering of it; needs torch.

python -m bench.tensorrt.models FOLDER
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import onnx
import torch

from bench.sampler import Sampler
from onnxgs_opt.api import optimize
from onnxgs_opt.lowering import LOWERINGS

CASES = {
    "a": (1, 1, 1080, 1920),
    "b": (1, 64, 135, 240),
    "c": (4, 256, 64, 64),
    "d": (8, 64, 270, 480),
    "a8": (8, 3, 1080, 1920),
}
"""Images N, C, H, W; the grid is of the image's size."""
ATOL = 1e-2
"""Lets grid-sample through at every size: here its speed is asked for."""


class Samples(torch.nn.Module):
    """The sampler without its mask output."""

    def __init__(self) -> None:
        super().__init__()
        self.sampler = Sampler()

    def forward(self, image: Any, grid: Any) -> Any:
        """Image [N, C, H, W], grid [N, Ho, Wo, 2] in pixels -> samples [N, C, Ho, Wo]."""
        return self.sampler(image, grid)[0]


def main() -> int:
    """Write CASE.onnx and CASE.LOWERING.onnx for every case and lowering."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for case, (n, c, h, w) in CASES.items():
        exported = folder / f"{case}.onnx"
        inputs = torch.zeros(n, c, h, w), torch.zeros(n, h, w, 2)
        names = ["img", "grid"]
        torch.onnx.export(Samples().eval(), inputs, str(exported), input_names=names, opset_version=17, dynamo=False)
        for name in LOWERINGS:
            result = optimize(str(exported), lowering=name, target="tensorrt", validate=False, atol=ATOL)
            if result.report.status == "optimised":
                onnx.save(result.model, folder / f"{case}.{name}.onnx")
            else:
                sys.stdout.write(f"{case} {name}: {[site.reason for site in result.report.sites]}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
