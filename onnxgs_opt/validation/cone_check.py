"""The check of a site by its cone: what that makes of inputs serves every lowering."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from onnx import ModelProto
from onnx.helper import tensor_dtype_to_np_dtype

from onnxgs_opt.ir.constants import constant_value
from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering.base import Tolerance
from onnxgs_opt.passes.infer_shapes import InferShapes
from onnxgs_opt.passes.lower_sites import lower
from onnxgs_opt.runtime import Runtime
from onnxgs_opt.samplers.attention import AttentionSite
from onnxgs_opt.samplers.deform import DeformSite
from onnxgs_opt.samplers.site import AnySite
from onnxgs_opt.samplers.view import Array
from onnxgs_opt.validation.boundary_values import image_values
from onnxgs_opt.validation.compare import Comparison, compare_runs
from onnxgs_opt.validation.extract import NotRunnableError, cone_from
from onnxgs_opt.validation.inputs import Run
from onnxgs_opt.validation.original import Original
from onnxgs_opt.validation.small_sizes import Shapes, small_runs
from onnxgs_opt.validation.terms import Terms

S = TypeVar("S", bound=AnySite)


@dataclass(frozen=True)
class ConeCheck(Generic[S]):
    """The check of one site.

    Attributes:
        site: What is checked.
        cone: The model from what the site reads to its output.
        terms: How to check.
        runs: The inputs.
        tolerance: What the output of a site may differ by, by a lowering's name and at one of the inputs.
    """

    site: S
    cone: Original
    terms: Terms
    runs: tuple[Run, ...]
    tolerance: Callable[[S, str, Run], Tolerance]

    @classmethod
    def of(
        cls,
        site: S,
        cone: ModelProto,
        terms: Terms,
        runs: Iterable[Run],
        tolerance: Callable[[S, str, Run], Tolerance],
    ) -> ConeCheck[S]:
        """Prepare the checks of a site whose cone is known."""
        return cls(site, Original(cone, custom_ops=terms.custom_ops, keeps=True), terms, tuple(runs), tolerance)

    def compare(self, name: str, runtime: Runtime | None = None) -> Comparison:
        """Compare the cone with what a lowering writes for it, which runs in `runtime` or onnxruntime on a CPU."""

        def allowed(run: Run) -> Tolerance:
            return self.terms.tolerance(self.tolerance(self.site, name, run))

        after = lowered_alone(self.cone.model, self.site, name)
        return compare_runs(self.cone.on(runtime), after, self.runs, allowed, self.terms.seed, None)


def lowered_alone(cone: ModelProto, site: AnySite, name: str) -> ModelProto:
    """The same model, of which the site is the main graph's, with the site written by a lowering."""
    graph = Graph.from_proto(cone)
    InferShapes().run(graph)
    return lower(graph, [replace(site, body="")], {site.id: name}).to_proto()


def operand_cone(
    graph: Graph, site: DeformSite | AttentionSite, scopes: dict[str, Scope] | None = None, others: Iterable[str] = ()
) -> ModelProto:
    """The model from the operands that are no constants, and `others`, to the output.

    Raises:
        NotRunnableError: It reads something else whose shape or type is not known.
    """
    tensors = graph.at(site.body).tensors()
    cuts = {name for name in (*site.operands, *others) if constant_value(tensors[name]) is None}
    return cone_from(graph, site, cuts, scopes)


def runs_of(
    graph: Graph,
    cone: ModelProto,
    terms: Terms,
    feeds: Callable[[Shapes], dict[str, Array]],
    rounds: int,
    points: int | None = None,
) -> Iterator[Run]:
    """At each set of sizes `rounds` inputs, of which `feeds` makes one, and at sizes of 0 and 1.

    Where `points` are enough for all kinds of them to meet, the rounds end with so many elements of the largest inputs.
    """
    shapes = terms.shapes_of(cone)
    for known in shapes:
        seen = 0
        for _ in range(rounds):
            made = feeds(known)
            yield Run(made)
            seen += max(value.size for value in made.values())
            if points is not None and seen >= points:
                break
    yield from small_runs(cone, graph, shapes[0], feeds)


def feeds_at(cone: ModelProto, known: Shapes, rng: np.random.Generator) -> dict[str, Array]:
    """Unit-normal inputs of a cone, of `known` shapes where the file leaves them open.

    Raises:
        NotRunnableError: A shape is not known.
    """
    feeds: dict[str, Array] = {}
    for value in cone.graph.input:
        kind = value.type.tensor_type
        own = [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim]
        shape = known.get(value.name, own)
        if any(size is None for size in shape):
            raise NotRunnableError(f"no sizes are known for '{value.name}'")
        sizes = [int(size or 0) for size in shape]
        feeds[value.name] = image_values(sizes, rng, tensor_dtype_to_np_dtype(kind.elem_type))
    return feeds
