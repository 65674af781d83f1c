"""How the lowerings of a site are checked."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from onnx import ModelProto

from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.lowering import Tolerance
from onnxgs_opt.runtime import Runtime
from onnxgs_opt.validation.compare import Comparison


@dataclass(frozen=True)
class Terms:
    """How to check.

    Attributes:
        tolerance: From a lowering's own tolerance to the one that is allowed.
        seed: Seed of the inputs.
        shapes: Shapes of every tensor, at each of several sizes of the dynamic dims that fit together.
        custom_ops: Libraries of operators that onnxruntime lacks.
        scopes: The scopes of the graph and its bodies that were made before, by path.
        runtime: Where lowerings have to be right as well; None for onnxruntime on a CPU alone.
        proven: What was found to be right, by its form and the lowering: it is right wherever it stands.
    """

    tolerance: Callable[[Tolerance], Tolerance]
    seed: int = 0
    shapes: Sequence[Mapping[str, Sequence[int]]] = ()
    custom_ops: Sequence[str] = ()
    scopes: dict[str, Scope] = field(default_factory=dict)
    runtime: Runtime | None = None
    proven: dict[tuple[Hashable, str], Comparison] = field(default_factory=dict)

    def shapes_of(self, cone: ModelProto) -> Sequence[Mapping[str, Sequence[int]]]:
        """Those sets of shapes that have every input of a cone; one that is empty, for a cone's own, where none has."""
        names = {value.name for value in cone.graph.input}
        return [shapes for shapes in self.shapes if names <= set(shapes)] or [{}]
