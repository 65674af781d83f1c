"""The export hook: a PyTorch module is exported, optimised and checked against itself; a pipeline as CI runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

import onnxgs_opt
from onnxgs_opt import torch as hook

torch = pytest.importorskip("torch", reason="torch is not installed")
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.filterwarnings("default::pytest.PytestWarning")]


def sampled(image: Any, x: Any, y: Any) -> Any:
    """A bilinear sampler by hand, the edge repeated: as repositories spell it."""
    height, width = image.shape[2:]
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    x0, y0 = x.floor(), y.floor()
    u, v = (x - x0).unsqueeze(1), (y - y0).unsqueeze(1)
    left, top = x0.long(), y0.long()
    right, bottom = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    flat = image.flatten(2)

    def read(row: Any, column: Any) -> Any:
        index = (row * width + column).flatten(1).unsqueeze(1).expand(-1, image.shape[1], -1)
        return flat.gather(2, index).unflatten(2, tuple(row.shape[1:]))

    above = read(top, left) * (1 - u) + read(top, right) * u
    below = read(bottom, left) * (1 - u) + read(bottom, right) * u
    return above * (1 - v) + below * v


class Three(torch.nn.Module):
    """Three samplers, one after the other, with a convolution between."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = torch.nn.Conv2d(3, 3, 1)

    def forward(self, image: Any, flow: Any) -> Any:
        rows, columns = torch.meshgrid(
            torch.arange(flow.shape[2], dtype=flow.dtype), torch.arange(flow.shape[3], dtype=flow.dtype), indexing="ij"
        )
        once = sampled(image, flow[:, 0] + columns, flow[:, 1] + rows)
        twice = sampled(self.mix(once), flow[:, 2] + columns, flow[:, 3] + rows)
        return once, sampled(torch.relu(twice), flow[:, 4] + columns, flow[:, 5] + rows)


@pytest.fixture(scope="module")
def arguments() -> tuple[Any, ...]:
    torch.manual_seed(0)
    return torch.randn(1, 3, 12, 16), 3 * torch.randn(1, 6, 12, 16)


@pytest.mark.parametrize("dynamo", [False, True])
def test_a_pipeline(tmp_path: Path, arguments: tuple[Any, ...], dynamo: bool) -> None:
    """Module with three samplers -> hook -> optimised, proven against the module; SARIF and JUnit written."""
    module, path = Three().eval(), tmp_path / "three.onnx"
    made = hook.export(module, arguments, path, exporter={"dynamo": dynamo}, lowering="merged-gather")
    assert [site.lowering for site in made.result.report.sites] == ["merged-gather"] * 3
    assert made.result.report.validation.status == "ok"
    assert max(made.before, made.after) < 1e-5
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    feeds = dict(zip(names, (each.numpy() for each in arguments), strict=True))
    for found, wanted in zip(session.run(None, feeds), module(*arguments), strict=True):
        np.testing.assert_allclose(found, wanted.detach().numpy(), rtol=1e-4, atol=1e-5)
    for ending in ("sarif", "xml"):
        made.result.save_report(tmp_path / f"r.{ending}")
    assert made.result.report.input == made.result.report.output == str(path)
    [run] = json.loads((tmp_path / "r.sarif").read_text(encoding="utf-8"))["runs"]
    assert [result["ruleId"] for result in run["results"]].count("GSO001") == 3
    assert ET.parse(tmp_path / "r.xml").getroot().attrib["failures"] == "0"


def test_a_program_comes_back_as_a_program(arguments: tuple[Any, ...]) -> None:
    program = torch.onnx.export(Three().eval(), arguments, dynamo=True)
    result = onnxgs_opt.optimize(program, lowering="merged-gather")
    assert len(result.report.lowered) == 3
    again = result.as_given
    assert type(again) is type(program)
    assert len(again.model_proto.graph.node) == result.report.nodes.after
    wanted = program.exported_program.module()(*arguments)
    for found, each in zip(again(*arguments), wanted, strict=True):
        torch.testing.assert_close(found, each.detach(), rtol=1e-4, atol=1e-5)


class Noise(torch.nn.Module):
    """What comes out is another each time, as of a module in training."""

    def forward(self, image: Any) -> Any:
        return image + (torch.rand(1) if not torch.onnx.is_in_onnx_export() else 7)


def test_what_differs_from_the_module_is_not_written(tmp_path: Path, arguments: tuple[Any, ...]) -> None:
    path = tmp_path / "noise.onnx"
    with pytest.raises(onnxgs_opt.MismatchError, match="the export differs from the module by"):
        hook.export(Noise(), arguments[:1], path, exporter={"dynamo": False})
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_rewrite_is_not_written(
    tmp_path: Path, arguments: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where every check of the run itself was off, that against the module still sees it."""
    from onnxgs_opt import api

    def spoilt(*given: Any) -> Any:
        lowered = lower(*given)
        first = next(n for n in lowered.nodes if n.op == "Mul" and n.name.startswith("onnxgs/"))
        first.op = "Add"
        return lowered

    lower = api.lower
    monkeypatch.setattr(api, "lower", spoilt)
    path = tmp_path / "three.onnx"
    with pytest.raises(onnxgs_opt.MismatchError, match="the optimised model differs from the module"):
        hook.export(
            Three().eval(), arguments, path, exporter={"dynamo": False}, lowering="merged-gather", validate=False
        )
    assert list(tmp_path.iterdir()) == []


def test_arguments_that_the_export_has_not(tmp_path: Path, arguments: tuple[Any, ...]) -> None:
    class Half(torch.nn.Module):
        def forward(self, image: Any, unused: Any) -> Any:
            return image * 2

    with pytest.raises(onnxgs_opt.OptError, match="the export has 1 inputs") as refused:
        hook.export(Half(), arguments, tmp_path / "half.onnx", exporter={"dynamo": False})
    assert "does not use" in refused.value.hint
