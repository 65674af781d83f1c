"""What is said of an option, and the types of what is given to a run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from onnx import ModelProto

PathLike = str | os.PathLike[str]
Shapes = Mapping[str, Sequence[int]]


class Program(Protocol):
    """What an exporter hands out with the model in it, as `torch.onnx.ONNXProgram` does."""

    @property
    def model_proto(self) -> ModelProto:
        """The model."""


class IrModel(Protocol):
    """A model in memory, as `onnx_ir.Model` is."""

    @property
    def graph(self) -> Any:
        """Its main graph."""

    @property
    def opset_imports(self) -> Any:
        """The versions of its domains."""


LoweringName = Literal[
    "auto",
    "keep",
    "merged-gather",
    "blocked-gather",
    "lerp-gather",
    "row-gather",
    "packed-gather",
    "grid-sample",
    "roi-align",
    "plugin",
    "resize",
    "polyphase-conv",
    "axis-matmul",
    "deform-conv",
    "tensorrt-attention",
]
TargetName = Literal[
    "ort-cpu",
    "ort-cuda",
    "tensorrt",
    "tensorrt-rtx",
    "openvino",
    "openvino:CPU",
    "openvino:GPU",
    "openvino:GPU.0",
    "openvino:GPU.1",
    "openvino:NPU",
    "openvino:AUTO",
    "mnn",
]
"""Written out for type checkers. `NAME:DEVICE` stands for any device of that target."""

Model: TypeAlias = "PathLike | ModelProto | bytes | Program | IrModel"
Arrays: TypeAlias = "Mapping[str, np.ndarray[Any, Any]]"


@dataclass(frozen=True)
class Spec:
    """What is said of one option.

    Attributes:
        group: The heading of --help that it stands under.
        flags: Its names on the command line; none where only programs have it. `--no-x` sets a field to False.
        help: What it does, in one short sentence.
        more: What docs/usage.md says beyond that.
        python: What programs give, where the sentence does not say it.
        metavar: How its value is called.
        choices: The values that are allowed; None for any.
        on_devices: Those of the choices that take `:DEVICE` after them.
        least: The smallest number that is allowed.
        path: Whether it is a file that is read ("in", or "in later" where it may still be missing) or written ("out"),
            or a "folder".
    """

    group: str
    flags: tuple[str, ...]
    help: str
    more: str = ""
    python: str = ""
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    on_devices: tuple[str, ...] = ()
    least: int | None = None
    path: Literal["", "in", "in later", "out", "folder"] = ""

    def allows(self, value: object) -> bool:
        """Whether a value is one of the choices, or may be anything."""
        if not self.choices or value in self.choices:
            return True
        name, _, device = str(value).partition(":")
        return bool(device) and name in self.on_devices


def said(group: str, flags: str, help: str, **more: Any) -> dict[str, Spec]:
    """The metadata of a field; `flags` are separated by blanks."""
    return {"spec": Spec(group, tuple(flags.split()), help, **more)}
