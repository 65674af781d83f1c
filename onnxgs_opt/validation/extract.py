"""A site alone as a model: its cone as exported, and the same with the site lowered."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import ModelProto

from onnxgs_opt.ir import Body, Constant, Node, Tensor
from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.ir.constants import constant_value
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.ir.traversal import captured
from onnxgs_opt.lowering import Lowering
from onnxgs_opt.lowering.emit.views import emit_output
from onnxgs_opt.passes.infer_shapes import InferShapes
from onnxgs_opt.samplers.site import Site
from onnxgs_opt.validation.boundary_values import coordinates_of


class NotRunnableError(Exception):
    """A check cannot be made; the message says why."""


def cone_of(graph: Graph, site: Site) -> ModelProto:
    """A model of the site's cone alone, from its cut points to its output.

    Raises:
        NotRunnableError: The cone reads something else whose shape or type is not known.
    """
    tensors = graph.at(site.body).tensors()
    cuts = {site.image.tensor, *coordinates_of([site]), *site.affine.names}
    views = (site.image, site.x, site.y, site.grid, site.mask, *site.affine.factors, *site.affine.addends)
    wanted = [tensors[name] for name in (site.output, *(v.tensor for v in views if v is not None))]
    nodes, leaves = _slice(wanted, cuts)
    for leaf in leaves:
        if leaf.dtype is None or leaf.shape is None:
            raise NotRunnableError(f"the type or rank of '{leaf.name}' is not known")
    inner = Body(nodes=nodes, inputs=leaves, outputs=[tensors[site.output]], opset=graph.opset, name=site.id)
    inner.functions = graph.gs.functions
    return Graph(inner, graph.envelope, graph.folder).to_proto()


def _slice(wanted: Sequence[Tensor], cuts: set[str]) -> tuple[list[Node], list[Tensor]]:
    """The nodes between the cuts and the wanted tensors, and the tensors that they start from."""
    nodes: dict[int, Node] = {}
    leaves: dict[str, Tensor] = {}
    todo = list(wanted)
    while todo:
        tensor = todo.pop()
        if not tensor.name or isinstance(tensor, Constant):
            continue
        if (tensor.name in cuts and constant_value(tensor) is None) or not tensor.inputs:
            leaves[tensor.name] = tensor
            continue
        for node in tensor.inputs:
            if id(node) not in nodes:
                nodes[id(node)] = node
                todo += [*node.inputs, *_read_from_outside(node)]
    return list(nodes.values()), list(leaves.values())


def _read_from_outside(node: Node) -> list[Tensor]:
    found = list(captured(node))
    made = {id(t) for t in found for p in t.inputs if not any(p is n for n in t.inputs)}
    return [t for t in found if t.inputs and id(t) not in made]


def lowered_cone(cone: ModelProto, site: Site, lowering: Lowering) -> ModelProto:
    """The same part of the model with the site written by a lowering."""
    graph = Graph.from_proto(cone)
    InferShapes().run(graph)  # the types of what it computes, which the lowered model has too
    builder = Builder(graph, site.id)
    result = emit_output(builder, site, lowering.emit(builder, site))
    graph.replace_all_uses(graph.tensor(site.output), result)
    graph.remove_dead()
    return graph.to_proto()
