"""Linear Resize nodes on which MNN ends the process that it runs in: such a model is not loaded.

MNN 3.6.1 says of a linear Resize of other than three or four axes that it gives no outputs; by then it has written over
memory of the process, which dies of that later, wherever it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress

import onnx
from onnx import GraphProto, ModelProto, NodeProto

from onnxgs_opt.errors import RunError
from onnxgs_opt.ir.traversal import bodies_of

OF_IMAGES = (3, 4)
"""Axes of what a linear Resize may have: [N, C, W] or [N, C, H, W]."""


def require_images(model: ModelProto) -> None:
    """Let only models pass whose linear Resize nodes are of images, as far as ONNX's inference tells their axes.

    Raises:
        RunError: One is of something else.
    """
    if not any(True for _ in _linear(model.graph, {})):
        return
    with suppress(onnx.shape_inference.InferenceError, RuntimeError, ValueError, TypeError, MemoryError):
        model = onnx.shape_inference.infer_shapes(model)
    for name, rank in _linear(model.graph, {}):
        if rank is not None and rank not in OF_IMAGES:
            raise RunError(f"MNN writes over other memory in {name!r}, a linear Resize of {rank} axes")


def _linear(graph: GraphProto, outer: Mapping[str, int]) -> Iterator[tuple[str, int | None]]:
    """Each linear Resize of a graph and of the bodies in it: its name, and how many axes it has where that is known."""
    ranks = {**outer, **{t.name: len(t.dims) for t in graph.initializer}}
    for info in (*graph.input, *graph.value_info, *graph.output):
        if info.type.tensor_type.HasField("shape"):
            ranks[info.name] = len(info.type.tensor_type.shape.dim)
    for node in graph.node:
        if _is_linear(node):
            yield node.name or node.output[0], ranks.get(node.input[0])
        for body in bodies_of(node):
            yield from _linear(body, ranks)


def _is_linear(node: NodeProto) -> bool:
    modes = (attribute.s for attribute in node.attribute if attribute.name == "mode")
    return node.op_type in ("Resize", "Upsample") and b"linear" in modes
