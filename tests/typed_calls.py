"""What a type checker has to accept and to refuse of the public functions: mypy reads this, nothing runs it.

An error that is ignored has to be there: mypy --strict reports an ignore that is not needed.
"""

from __future__ import annotations

from pathlib import Path

import onnx

from onnxgs_opt import Result, find, optimize


def accepted(proto: onnx.ModelProto) -> list[Result]:
    """Every kind of model, and names that there are."""
    find(proto)
    return [
        optimize("in.onnx", Path("out.onnx"), lowering="merged-gather", target="ort-cpu"),
        optimize(b"", shapes={"img": (1, 3, 8, 9)}, target="openvino:GPU", fail_on=["GSO1"]),
        optimize(proto, raise_on_mismatch=True),
    ]


def refused() -> None:
    """Names that are none, and what is no model."""
    optimize("in.onnx", lowering="mergd")  # type: ignore[arg-type]
    optimize("in.onnx", target="cuda")  # type: ignore[arg-type]
    optimize(3)  # type: ignore[arg-type]
