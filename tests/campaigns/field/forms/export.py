"""Exports of the forms, where torch is installed: TorchScript and dynamo, fixed sizes and free ones, several opsets."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from tests.campaigns.field.forms import first, fourth, second, third

Inputs = Callable[[], tuple[Tensor, ...]]
Axes = tuple[dict[int, str], ...]
FREE: dict[str, tuple[Callable[..., Tensor], Inputs, Axes]] = second.FORMS | third.FORMS | fourth.FORMS
"""Forms whose free axes have names."""
OPSETS = (11, 12, 13, 14, 15, 16, 17)
"""TorchScript's, which a form takes by its place in its list: the second and the third are one."""


class _Module(nn.Module):
    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self._function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self._function(*inputs)


def export(folder: Path, names: list[str]) -> list[str]:
    """Write forms in every way, all where none is named; what the exporter refuses, and why."""
    failed = []
    folder.mkdir(parents=True, exist_ok=True)
    logging.disable(logging.WARNING)
    for name in names or [*first.FORMS, *FREE]:
        for way, given in _ways(name).items():
            path = folder / f"{name}.{way}.onnx"
            try:
                _quietly(name, path, given)
            except Exception as reason:
                path.unlink(missing_ok=True)
                failed.append(f"{path.name}: {str(reason).splitlines()[0][:90]}")
    return failed


def _ways(name: str) -> dict[str, dict[str, Any]]:
    """By the second part of a file's name, what the exporter is given."""
    if name in first.FORMS:
        return {"ts17": {"dynamo": False, "opset_version": 17}, "dynamo": {"dynamo": True}}
    axes = FREE[name][2]
    names = [f"in{k}" for k in range(len(axes))]
    own = fourth.FORMS if name in fourth.FORMS else second.FORMS | third.FORMS
    opset = OPSETS[sorted(own).index(name) % len(OPSETS)]
    free = tuple({axis: torch.export.Dim.AUTO for axis in given} for given in axes)
    common = {"input_names": names, "output_names": ["out"]}
    dynamic = {name: given for name, given in zip(names, axes, strict=True) if given}
    return {
        f"ts{opset}.st": common | {"dynamo": False, "opset_version": opset},
        "ts17.dyn": common | {"dynamo": False, "opset_version": 17, "dynamic_axes": dynamic},
        "dy20.dyn": common | {"dynamo": True, "opset_version": 20, "dynamic_shapes": (free,)},
        "dy18.unopt": common | {"dynamo": True, "opset_version": 18, "optimize": False},
        "dy21.st": common | {"dynamo": True, "opset_version": 21},
    }


def _quietly(name: str, path: Path, given: dict[str, Any]) -> None:
    """One export. Where onnxscript's optimiser breaks a file (two Clips of one tensor), it is left out."""
    function, inputs = first.FORMS[name] if name in first.FORMS else FREE[name][:2]
    torch.manual_seed(0)
    args = inputs()
    given = given if not given["dynamo"] else given | {"external_data": False}
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        torch.onnx.export(_Module(function).eval(), args, str(path), **given)
        try:
            onnx.checker.check_model(str(path))
        except onnx.checker.ValidationError:
            if given["dynamo"]:
                torch.onnx.export(_Module(function).eval(), args, str(path), **given | {"optimize": False})
