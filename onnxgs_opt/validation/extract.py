"""A site alone as a model: its cone as exported, and the same with the site lowered."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import ModelProto

from onnxgs_opt.ir import Body, Constant, Node, Tensor
from onnxgs_opt.ir.builder import Builder
from onnxgs_opt.ir.constants import constant_value
from onnxgs_opt.ir.def_use import Scope, reads_of
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.ir.operators import SIZES, operator
from onnxgs_opt.lowering import Lowering, emit
from onnxgs_opt.lowering.emit.views import emit_output
from onnxgs_opt.passes.infer_shapes import InferShapes
from onnxgs_opt.passes.lower_bilinear import replace_mask
from onnxgs_opt.recognition.fixed_values import is_fixed
from onnxgs_opt.recognition.lifting.symbolic_sizes import of_claim
from onnxgs_opt.samplers.site import AnySite, Site
from onnxgs_opt.validation.boundary_values import aims_of


class NotRunnableError(Exception):
    """A check cannot be made; the message says why."""


def cone_of(graph: Graph, site: Site, scopes: dict[str, Scope] | None = None, gives_mask: bool = False) -> ModelProto:
    """A model of the site's cone alone, from its cut points to its output; `scopes` are those made before, by path.

    Where the model uses the site's mask for something else, that is the second output if `gives_mask`.

    Raises:
        NotRunnableError: The cone reads something else whose shape or type is not known.
    """
    part = graph.at(site.body)
    scope = Scope.at(part, {} if scopes is None else scopes)
    names = (site.output, *site.operands)
    tensors = scope.tensors if all(name in scope.tensors for name in names) else part.tensors()
    named = {site.image.tensor, *aims_of([site]), *site.affine.names}
    cuts = {name for name in named if constant_value(tensors[name]) is None}
    views = (site.image, site.x, site.y, site.z, site.grid, site.mask, *site.affine.factors, *site.affine.addends)
    wanted = [tensors[name] for name in (site.output, *(v.tensor for v in views if v is not None))]
    nodes = scope.backward_slice((t.name for t in wanted), cuts)
    outputs = [tensors[site.output], *([tensors[site.mask.tensor]] if gives_mask and site.mask is not None else [])]
    return _alone(graph, site, nodes, outputs, cuts, wanted)


def _alone(
    graph: Graph,
    site: AnySite,
    nodes: Sequence[Node],
    outputs: Sequence[Tensor],
    cuts: set[str],
    wanted: Sequence[Tensor] = (),
) -> ModelProto:
    """A model of some nodes, which make `outputs` and what else is `wanted`; `cuts` are inputs of it."""
    made = {t.name for node in nodes for t in node.outputs} - cuts
    read = {t.name: t for t in (*outputs, *wanted, *(t for node in nodes for t in reads_of(node)))}
    leaves = [t for name, t in read.items() if name not in made and not isinstance(t, Constant)]
    for leaf in leaves:
        if leaf.dtype is None or leaf.shape is None:
            raise NotRunnableError(f"the type or rank of '{leaf.name}' is not known")
    inner = Body(nodes=nodes, inputs=leaves, outputs=list(outputs), opset=graph.opset, name=site.id)
    inner.functions = graph.gs.functions
    return Graph(inner, graph.envelope, graph.folder).to_proto()


def cone_from(graph: Graph, site: AnySite, cuts: set[str], scopes: dict[str, Scope] | None = None) -> ModelProto:
    """A model of all that is between some tensors and the site's output.

    Raises:
        NotRunnableError: It reads something else whose shape or type is not known.
    """
    scope = Scope.at(graph.at(site.body), {} if scopes is None else scopes)
    return _alone(graph, site, scope.backward_slice([site.output], cuts), [scope.tensors[site.output]], cuts)


def cone_behind(graph: Graph, site: AnySite, image: str, scopes: dict[str, Scope] | None = None) -> ModelProto:
    """A model of all that is between a tensor and the site's output; others, that only give a shape, are inputs too.

    Raises:
        NotRunnableError: It reads something else whose shape or type is not known.
    """
    part = graph.at(site.body)
    scope = Scope.at(part, {} if scopes is None else scopes)
    output = scope.tensors[site.output]
    known: dict[str, bool] = {}
    nodes = of_claim(scope, site.output, {image})
    for node in nodes:  # the list grows: what gives no more than a shape is made here, too, where no data decides it
        shaped = [t.name for t in node.inputs if operator(node) in SIZES and is_fixed(scope, t.name, known)]
        nodes += [
            n for name in shaped for n in of_claim(scope, name, {image}) if not any(n is other for other in nodes)
        ]
    return _alone(graph, site, nodes, [output], {image})


def lowered_cone(cone: ModelProto, site: Site, lowering: Lowering) -> ModelProto:
    """The same part of the model with the site written by a lowering."""
    graph = Graph.from_proto(cone)
    InferShapes().run(graph)  # the types of what it computes, which the lowered model has too
    builder = Builder(graph, site.id)
    emitted = emit(lowering, builder, site)
    replace_mask(graph, site, emitted.mask)
    graph.replace_all_uses(graph.tensor(site.output), emit_output(builder, site, emitted.samples))
    graph.remove_dead()
    return graph.to_proto()
