"""The graph: what reads, edits and writes nodes and tensors; graphsurgeon's types, which no other room imports."""

from onnx_graphsurgeon import Constant, Node, Tensor, Variable
from onnx_graphsurgeon import Graph as Body

__all__ = ["Body", "Constant", "Node", "Tensor", "Variable"]
