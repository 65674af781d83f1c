"""A model with its functions written out, or at a later opset, by onnx's own tools.

Exporters wrap modules, and some every operator, in functions. A function by itself has no shapes, and its reads may
come together in its callers.
"""

from __future__ import annotations

from onnx import FunctionProto, ModelProto, inliner, version_converter
from onnx import __version__ as onnx_version
from onnx.defs import onnx_opset_version

from onnxgs_opt.errors import UsageError
from onnxgs_opt.ir.graph import Graph


def converted(graph: Graph, opset: int) -> Graph:
    """The model converted up to `opset` by onnx's converter, itself where it is there; UsageError where it cannot."""
    if graph.opset >= opset:
        return graph
    if opset > onnx_opset_version():
        latest = f"the latest that onnx {onnx_version} knows is {onnx_opset_version()}"
        raise UsageError(f"there is no opset {opset} here", f"{latest}: --opset {onnx_opset_version()} or less")
    try:
        model = version_converter.convert_version(graph.to_proto(), opset)
    except Exception as reason:  # the converter's C++ errors have no other base
        line = " ".join(str(reason).split())[:200]
        raise UsageError(f"cannot convert from opset {graph.opset} to {opset}: {line}", "export it there") from None
    return Graph.from_proto(model, graph.folder)


RUNTIME_DOMAINS = frozenset(("onnxgs", "com.microsoft", "com.microsoft.nchwc"))
"""Functions of these domains stand in for operators that runtimes have kernels for."""


def inlined(graph: Graph) -> Graph:
    """The model with every function of its own written out where it is called; itself where there is none.

    Functions of `RUNTIME_DOMAINS` stay, but not a function of the user's that has the name of this tool's operator. So
    does the whole model where onnx's inliner cannot do it.
    """
    kept = [f.unique_id for f in graph.gs.functions if f.domain in RUNTIME_DOMAINS and _stands_in(f.source)]
    if len(kept) == len(graph.gs.functions):
        return graph
    model = graph.to_proto()
    # The inliner works on bytes: weights would be copied twice, and more than 2 GiB of them do not fit a message.
    weights = list(model.graph.initializer)
    del model.graph.initializer[:]
    try:
        flat: ModelProto = inliner.inline_selected_functions(model, kept, exclude=True)
    except Exception:  # its C++ errors have no other base
        return graph
    flat.graph.initializer.extend(weights)
    return Graph.from_proto(flat, graph.folder)


def _stands_in(function: FunctionProto) -> bool:
    """Whether a function is no other one than its name says: this tool's has the attributes that a plugin asks for."""
    return function.domain != "onnxgs" or "plugin_version" in function.attribute
