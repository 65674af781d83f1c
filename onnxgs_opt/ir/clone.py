"""Copies of graph objects; weights are shared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_graphsurgeon as gs

from onnxgs_opt.ir.made import new_node, new_variable


def clone_model(graph: gs.Graph) -> gs.Graph:
    """Copy a main graph, its subgraphs and functions; the weights are shared."""
    return _clone(graph, {}, [_clone(function, {}) for function in graph.functions])


def _clone(graph: gs.Graph, made: dict[int, gs.Tensor], functions: Sequence[Any] = ()) -> gs.Graph:
    # ``made`` maps the ids of tensors, outer ones too, to their copies.

    def tensor(old: gs.Tensor) -> gs.Tensor:
        if id(old) not in made:
            made[id(old)] = _clone_tensor(old)
        return made[id(old)]

    constants = [tensor(c) for c in graph.__dict__.get("constants", ())]
    nodes = []
    for old in graph.nodes:
        attrs = {name: _clone_attribute(value, made) for name, value in old.attrs.items()}
        inputs, outputs = [tensor(t) for t in old.inputs], [tensor(t) for t in old.outputs]
        node = new_node(old.op, old.name, attrs, inputs, outputs, old.domain)
        _copy_state(old, node, ("origin",))
        nodes.append(node)
    own = {"domain": graph.domain, "attrs": graph.attrs} if isinstance(graph, gs.Function) else {}
    new = type(graph)(
        nodes=nodes,
        inputs=[tensor(t) for t in graph.inputs],
        outputs=[tensor(t) for t in graph.outputs],
        name=graph.name,
        doc_string=graph.doc_string,
        opset=graph.opset,
        import_domains=graph.import_domains,
        functions=functions,
        **own,
    )
    _copy_state(graph, new, ("origin", "input_infos", "value_infos", "defaults", "initializer_order"))
    new.constants = constants
    return new


def _clone_attribute(value: Any, made: dict[int, gs.Tensor]) -> Any:
    if isinstance(value, gs.Graph):
        return _clone(value, made)
    return list(value) if isinstance(value, list) else value


def _clone_tensor(old: gs.Tensor) -> gs.Tensor:
    if isinstance(old, gs.Constant):
        new = gs.Constant(old.name, old._values, data_location=old.data_location)
        _copy_state(old, new, ("info",))
        return new
    new = new_variable(old.name, old.dtype, None if old.shape is None else list(old.shape))
    new.type = old.type
    _copy_state(old, new, ("origin",))
    return new


def _copy_state(old: Any, new: Any, names: Sequence[str]) -> None:
    new.__dict__.update({name: old.__dict__[name] for name in names if name in old.__dict__})
