"""Make the example reports: python docs/examples/make.py FOLDER, from the repository's root.

The lowering is forced, so that the reports do not depend on which one is fastest on this machine.
"""

from __future__ import annotations

import sys
from pathlib import Path

from onnxgs_opt.cli import main as onnxgs_opt

OUTPUTS = Path("build/examples")
MODELS = {
    "masked_interior": "tests/fixtures/models/masked_interior.dy18.dyn.onnx",
    "warp": "examples/models/warp.onnx",
    "two_samplers": "examples/models/two_samplers.onnx",
}


def main(folder: str) -> int:
    """Write NAME.html and NAME.sarif for every model; the exit code of the first that fails."""
    OUTPUTS.mkdir(parents=True, exist_ok=True)
    for name, model in MODELS.items():
        reports = [word for ending in ("html", "sarif") for word in ("--report", f"{folder}/{name}.{ending}")]
        code = onnxgs_opt([model, f"{OUTPUTS}/{name}.onnx", "--lowering", "merged-gather", *reports])
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
