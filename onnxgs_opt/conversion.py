"""A model at a later opset, for lowerings that need one."""

from __future__ import annotations

from onnx import version_converter

from onnxgs_opt.errors import UsageError
from onnxgs_opt.graph import Graph


def converted(graph: Graph, opset: int) -> Graph:
    """The model converted up to `opset` by onnx's version converter; itself where it is there already.

    Raises:
        UsageError: The converter cannot do it.
    """
    if graph.opset >= opset:
        return graph
    try:
        model = version_converter.convert_version(graph.to_proto(), opset)
    except Exception as reason:  # the converter's C++ errors have no other base
        line = " ".join(str(reason).split())[:200]
        raise UsageError(f"cannot convert from opset {graph.opset} to {opset}: {line}", "export it there") from None
    return Graph.from_proto(model, graph.folder)
