"""TensorRT-RTX engines, built without a GPU, of every lowering of whatever sampler."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from onnx import GraphProto, ModelProto, compose

from onnxgs_opt.api import look
from onnxgs_opt.ir.convert import inlined
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import LOWERINGS, Target
from onnxgs_opt.passes.lower_sites import lower
from onnxgs_opt.recognition.findings import Survey
from onnxgs_opt.runtime.tensorrt.build import Built, EngineOptions, Profile, Shape, build_engine
from onnxgs_opt.runtime.tensorrt.prepare import for_engine
from onnxgs_opt.tuning.plan import choose
from onnxgs_opt.tuning.trial import image_sizes
from onnxgs_opt.validation.boundary_values import aims_of
from onnxgs_opt.validation.inputs import model_runs

CAPABILITIES = ("8.9",)
LOOSE = 1e-2
"""Precision is not what is asked here."""
NAMES = tuple(name for name in LOWERINGS if name not in ("keep", "roi-align", "blocked-gather"))
"""The last two refuse TensorRT."""


@dataclass(frozen=True)
class Lowered:
    """A model with every site that takes it lowered one way; the shapes are of its dynamic inputs."""

    lowering: str
    model: ModelProto
    shapes: dict[str, Shape]

    @property
    def opset(self) -> int:
        """Of ONNX's own operators."""
        return next(entry.version for entry in self.model.opset_import if not entry.domain)

    @property
    def samplers(self) -> int:
        """Nodes that a plugin has to take."""
        return sum(node.op_type == "BilinearSample" for node in self.model.graph.node)


def lowered(model: ModelProto | str, names: Sequence[str] = NAMES) -> Iterator[Lowered]:
    """Each lowering that any site of a model takes; the model is looked at once."""
    graph = Graph.load(model) if isinstance(model, str) else Graph.from_proto(model)
    target = Target(graph.opset, "tensorrt-rtx", atol=LOOSE)
    canonical, found = look(inlined(graph))
    shapes = _shapes(graph.to_proto(), found)
    sizes = image_sizes(canonical, found.samplers, shapes)
    for name in names:
        choices = choose(found.sites, target, name, sizes)
        chosen = {key: name for key, choice in choices.items() if choice.lowering == name}
        if chosen:
            yield Lowered(name, lower(canonical, found.sites, chosen).to_proto(), shapes)


def _shapes(model: ModelProto, found: Survey) -> dict[str, Shape]:
    """Sizes for dynamic inputs that fit together; none where all are static."""
    inputs = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.input}
    if all(0 not in dims for dims in inputs.values()):
        return {}
    run = next(model_runs(model, aims_of(found.samplers), {}, 0, found.fitting))
    return {name: tuple(value.shape) for name, value in run.feeds.items() if 0 in inputs[name]}


def build(one: Lowered, origin: Path, output: Path) -> Built:
    """The engine; its plugin layers are counted."""
    profiles = {name: Profile(shape, shape, shape) for name, shape in one.shapes.items()}
    built = build_engine(one.model, origin, output, EngineOptions(
        backend="tensorrt-rtx", profiles=profiles, capabilities=CAPABILITIES, python_plugin=True
    ))  # fmt: skip
    assert sum(layer.type == "PLUGIN_V3" for layer in built.layers) == one.samplers
    return built


def together(parts: Sequence[Lowered]) -> Lowered:
    """One model that holds several beside each other, so that one build serves them all; plugin bodies are left out."""
    whole = ModelProto()
    whole.CopyFrom(parts[0].model)
    whole.ClearField("graph")
    whole.ClearField("functions")
    whole.graph.name = "together"
    shapes: dict[str, Shape] = {}
    for number, part in enumerate(parts):
        prefix = f"m{number}_"
        graph = compose.add_prefix(for_engine(part.model)[0], prefix).graph
        _own_sizes(graph, prefix)
        for field in ("node", "input", "output", "initializer"):
            getattr(whole.graph, field).extend(getattr(graph, field))
        shapes |= {f"{prefix}{name}": shape for name, shape in part.shapes.items()}
    return Lowered(parts[0].lowering, whole, shapes)


def _own_sizes(graph: GraphProto, prefix: str) -> None:
    """Names of dims are the model's own: TensorRT takes equal names for equal sizes."""
    for value in (*graph.input, *graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = prefix + dim.dim_param
