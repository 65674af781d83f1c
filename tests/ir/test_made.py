"""Nodes and variables are what graphsurgeon would make of the same."""

from __future__ import annotations

import onnx_graphsurgeon as gs
import pytest

from onnxgs_opt.ir import made
from onnxgs_opt.ir.made import new_node, new_variable


@pytest.fixture(params=[True, False], ids=["as known", "otherwise"], autouse=True)
def version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The installed graphsurgeon has the attributes that are known, and another may have others."""
    assert made._AS_KNOWN
    monkeypatch.setattr(made, "_AS_KNOWN", request.param)


@pytest.mark.parametrize("known", [(), (float, [2, "n"])], ids=["untyped", "typed"])
def test_a_variable(known: tuple[object, ...]) -> None:
    mine, its = new_variable("x", *known), gs.Variable("x", *known)
    assert (type(mine), vars(mine)) == (type(its), vars(its))
    assert [type(own) for own in vars(mine).values()] == [type(own) for own in vars(its).values()]


def test_a_node_and_its_tensors_know_each_other() -> None:
    x, y, z = map(new_variable, "xyz")
    node = new_node("Add", "n", {"a": 1}, [x, y], [z], "d")
    assert vars(node) == vars(gs.Node("Add", "n", {"a": 1}, [x, y], [z], "d"))
    assert (x.outputs[0], y.outputs[0], z.inputs[0]) == (node, node, node)
    node.inputs[0] = z
    assert z.outputs == [node]
    z.inputs.clear()
    assert node.outputs == []
    node.outputs = [y]
    assert y.inputs == [node]
