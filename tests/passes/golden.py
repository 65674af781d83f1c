"""Golden cases: one file a case, ``input === becomes === output`` in ONNX text."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.parser
import onnx.printer

from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.passes import PASSES

CASES = Path(__file__).parent.parent / "fixtures" / "cases"
SEPARATOR = "=== becomes ==="


def cases(name: str) -> list[str]:
    return sorted(path.name for path in CASES.glob(f"{name.replace('-', '_')}.*.onnxtxt"))


def check(name: str, case: str) -> None:
    before, expected = (CASES / case).read_text().split(SEPARATOR)
    model = onnx.parser.parse_model(before)
    original = onnx.ModelProto.FromString(model.SerializeToString())
    graph = Graph.from_proto(model)
    changed = PASSES[name].run(graph)
    after = graph.to_proto()
    onnx.checker.check_model(after)
    wanted = original if expected.strip() == "unchanged" else onnx.parser.parse_model(expected)
    assert onnx.printer.to_text(after) == onnx.printer.to_text(wanted)
    assert changed == (after != original)
    assert not PASSES[name].run(graph)
    assert not PASSES[name].run(Graph.from_proto(after))
    assert model == original  # from_proto refers to its messages, so nobody may write into them
