"""Look-alikes of Resize: reads at places, and weights, that no data decides, proven to be one Resize at every size."""

from __future__ import annotations

from dataclasses import dataclass

from onnxgs_opt.ir import Constant, Node
from onnxgs_opt.ir.constants import element_count
from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.ir.operators import READS, operator
from onnxgs_opt.lowering import LOWERINGS, Target
from onnxgs_opt.lowering.keep import KEEP
from onnxgs_opt.lowering.resizing import RESIZING
from onnxgs_opt.recognition.fixed_values import is_fixed
from onnxgs_opt.recognition.kind import Record, digest_of
from onnxgs_opt.samplers.resize import ResizeSite
from onnxgs_opt.samplers.view import Layout, by, known_product

RULE = "GSO004"
FEW = 4
"""Places up to which a read only takes a part of its input: a channel, or the corners of a cell."""

NO_POINTS = "its pixels stand at fixed places: it is a Resize, no sampler of points"


@dataclass(frozen=True)
class Resizes:
    """Resamplings at fixed places."""

    rule: str = RULE
    keeps_rest: bool = False

    def refusals(self, site: ResizeSite, target: Target) -> dict[str, str]:
        """Every lowering of samplers, and why each form of a Resize is not possible where it is not."""
        others = {name: NO_POINTS for name in LOWERINGS if name != KEEP and name not in RESIZING}
        own = {name: form.refusal(site, target) for name, form in RESIZING.items()}
        return {**others, **{name: why for name, why in own.items() if why is not None}}

    def workload(self, graph: Graph, site: ResizeSite, layout: Layout | None = None) -> str:
        """What it computes, its type and sizes, and a digest of its cone."""
        factors = ",".join(f"{axis.read}:{axis.factor or axis.samples or '?'}" for axis in site.axes)
        what = f"{self.rule} {site.border} {site.dtype} {by(site.image_shape)} by {factors}"
        return f"{what} opset{graph.opset} cone:{digest_of(graph, site, site.order)}"

    def record(self, site: ResizeSite) -> Record:
        """The number of elements that are made; cases are of one mode and number of axes, static or dynamic."""
        samples = {axis.read: axis.samples for axis in site.axes}
        made = known_product(samples.get(k, size) for k, size in enumerate(site.image_shape))
        free = "" if all(axis.size and axis.samples for axis in site.axes) else "dynamic "
        return Record("resizes", (made,), f"{free}{site.resampling.mode} {len(site.axes)}-D", bool(free))

    def operands(self, site: ResizeSite) -> tuple[str, str]:
        """The image, and what is computed of it."""
        return site.image, site.border


def may_hold_resizes(graph: Graph) -> bool:
    """Whether a graph, or a body in it, reads pixels at more than a few places that no data decides."""
    return any(_may_read(part) for part in (graph, *graph.bodies()))


def _may_read(graph: Graph) -> bool:
    reads = [node for node in graph.nodes if operator(node) in READS and reads_pixels(node)]
    if not reads:
        return False
    scope = Scope.of(graph.gs)
    known: dict[str, bool] = {}
    return any(is_fixed(scope, node.inputs[1].name, known) for node in reads)


def reads_pixels(node: Node) -> bool:
    """Whether a node reads floats that are no constant, and no vector, at more than a few places."""
    if len(node.inputs) < 2 or isinstance(node.inputs[0], Constant):
        return False
    data, index = node.inputs[:2]
    if not str(data.dtype).startswith("float") and data.dtype is not None:
        return False
    count = element_count(index)
    return (data.shape is None or len(data.shape) > 1) and (count is None or count > FEW)
