"""What rounds, compares or ranks samples: there a difference in the last place may become a whole step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from onnx import TensorProto

from onnxgs_opt.ir import Node, Tensor
from onnxgs_opt.ir.exporter import to_onnx_type
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.ir.operators import SIZES, STEPS, operator
from onnxgs_opt.ir.traversal import node_subgraphs
from onnxgs_opt.recognition.grid_sample import OP as GRID_SAMPLE
from onnxgs_opt.samplers.kernel import KERNELS
from onnxgs_opt.samplers.site import AnySite

FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)
"""Types a cast to which is no step, but the rounding of a float."""

FADING = ("all", "reach", "reach-closed")
"""Windows at whose edges a sampler with zeros outside is 0 on both sides."""


def steps_behind(graph: Graph, outputs: Iterable[tuple[str, str]], sites: Iterable[AnySite]) -> list[Node]:
    """The nodes that step, of those that compute with the numbers of some tensors, each once; none behind such a one.

    Args:
        graph: The graph that `sites` were found in.
        outputs: The tensors, each as the path of its body and its name.
        sites: What becomes of coordinates in one whose samples move with them is no step.
    """
    smooth = {name for site in sites if _is_continuous(site) for name in site.cone}
    around = dict(_around(graph))
    pending: list[Tensor] = [graph.at(body).tensor(name) for body, name in outputs]
    seen: set[int] = set()
    found: dict[int, Node] = {}
    while pending:
        tensor = pending.pop()
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        for node in tensor.outputs:
            if node.name not in smooth and is_step(node, tensor):
                found[id(node)] = node
            else:
                pending += _made_of(node)
        if id(tensor) in around:
            pending += _made_of(around[id(tensor)])
    parts = (graph, *graph.bodies())
    return [node for part in parts for node in part.nodes if id(node) in found]


def is_step(node: Node, operand: Tensor) -> bool:
    """Whether a node makes other numbers on both sides of one of an operand's, which holds floats."""
    match operator(node):
        case "Cast":
            return int(node.attrs["to"]) not in FLOATS
        case "CastLike":
            like = node.inputs[1].dtype
            return like is not None and to_onnx_type(like) not in FLOATS
        case "MaxPool":
            return len(node.outputs) > 1
        case op if op == GRID_SAMPLE:
            mode = node.attrs.get("mode", "")
            return operand is node.inputs[1] and (mode.decode() if isinstance(mode, bytes) else mode) == "nearest"
        case op:
            return op in STEPS


def _is_continuous(site: AnySite) -> bool:
    """Whether samples of a site move with its coordinates."""
    if any(KERNELS[name].taps == 1 for name in site.kernels):
        return False
    return site.policy is None or site.policy.window in FADING


def _around(graph: Graph) -> Iterator[tuple[int, Node]]:
    """Results of the bodies of If, Loop and Scan, and the node that each is of."""
    for part in (graph, *graph.bodies()):
        for node in part.nodes:
            for body in node_subgraphs(node):
                yield from ((id(tensor), node) for tensor in body.outputs)


def _made_of(node: Node) -> Iterator[Tensor]:
    """Where the numbers of a node's operands may go on: its outputs, and the inputs of its bodies."""
    if operator(node) in SIZES:
        return
    yield from node.outputs
    for body in node_subgraphs(node):
        yield from body.inputs
