"""Weights that lie in other files than the model: which tensors refer to them, and to which file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from onnx import AttributeProto, GraphProto, ModelProto, TensorProto

from onnxgs_opt.errors import ModelError


def external_tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Every tensor of the model whose data lies in another file."""
    return (tensor for tensor in tensors_of(model) if tensor.data_location == TensorProto.EXTERNAL)


def tensors_of(model: ModelProto) -> Iterator[TensorProto]:
    """Every tensor that the model holds or refers to: initialisers and attributes, in subgraphs and functions too."""
    yield from _tensors_of_graph(model.graph)
    yield from _tensors_of_nodes(node for function in model.functions for node in function.node)


def _tensors_of_graph(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _tensors_of_nodes(graph.node)


def _tensors_of_nodes(nodes: Any) -> Iterator[TensorProto]:
    for node in nodes:
        for attr in node.attribute:
            if attr.type == AttributeProto.TENSOR:
                yield attr.t
            elif attr.type == AttributeProto.GRAPH:
                yield from _tensors_of_graph(attr.g)
            elif attr.type in (AttributeProto.TENSORS, AttributeProto.GRAPHS):
                yield from attr.tensors
                for graph in attr.graphs:
                    yield from _tensors_of_graph(graph)


def location_of(tensor: TensorProto) -> PurePosixPath:
    """Path of a tensor's data file, relative to the model's folder.

    Raises:
        ModelError: There is no location, or it leads out of the model's folder.
    """
    location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
    if not isinstance(location, str):  # protobuf hands out text that is not UTF-8 as bytes
        raise ModelError(f"the location of tensor {tensor.name!r} is not UTF-8", "export the model again")
    path, windows = PurePosixPath(location), PureWindowsPath(location)
    outside = path.is_absolute() or windows.drive or windows.root or ".." in windows.parts
    if not location or outside or "\0" in location:
        raise ModelError(
            f"the data of tensor {tensor.name!r} is said to lie in {location!r}, outside the model's folder",
            "external data must lie in the model's folder: save the model again with a relative location",
        )
    return path
