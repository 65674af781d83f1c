"""Run a model or a part of it before and after, on inputs that find wrong samplers, and compare.

The reference runs without graph optimisations, the result with onnxruntime's defaults, as users run it; where they
differ by more than is allowed, the result may equal the original under the same optimisations instead, which fuse and
reorder the sums of convolutions. A NaN equals a NaN and an infinity itself; anything else against them is an infinite
difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx import ModelProto

from onnxgs_opt.builder import Builder
from onnxgs_opt.graph import Graph, captured, constant_value
from onnxgs_opt.lowering.base import Lowering, Tolerance
from onnxgs_opt.points import Points, points_of
from onnxgs_opt.probe import Array, Layout, coordinates_of, describe, layout_at, layouts_of
from onnxgs_opt.runs import PICKS, Run, model_runs, site_runs
from onnxgs_opt.site import Site
from onnxgs_opt.views import emit_output

Status = Literal["ok", "mismatch", "not-run"]
Shapes = tuple[tuple[int, ...], ...]
Model = ModelProto | Graph | str | Path

DEFAULT = Tolerance(rtol=1e-5, atol=1e-5, reason="what differs is behind other layers, which scale it")
THREADS = 2


@dataclass(frozen=True)
class Comparison:
    """What came of running both.

    Attributes:
        status: "ok", "mismatch", or "not-run" with the reason in `worst`.
        max_abs: Largest absolute difference; inf where one side is NaN and the other is not.
        max_rel: Largest relative difference, of values that are not near 0.
        shapes: The shapes of the inputs, a tuple a run.
        seed: What the inputs were made from.
        worst: Where the largest difference is, in words.
        points: Of a site's check, the differences point by point, a record a run.
    """

    status: Status
    max_abs: float = 0.0
    max_rel: float = 0.0
    shapes: tuple[Shapes, ...] = ()
    seed: int = 0
    worst: str = ""
    points: tuple[Points, ...] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True)
class Difference:
    """One output of one run: the largest differences, where, and whether all are within the tolerance."""

    within: bool
    max_abs: float
    max_rel: float
    index: tuple[int, ...]
    expected: float
    actual: float


def compare(expected: Array, actual: Array, tolerance: Tolerance) -> Difference:
    """Compare two results; other shapes or element types are an infinite difference."""
    if expected.shape != actual.shape or expected.dtype != actual.dtype:
        return Difference(False, float("inf"), float("inf"), (), float("nan"), float("nan"))
    if expected.size == 0:
        return Difference(True, 0.0, 0.0, (), 0.0, 0.0)
    a, b = expected.astype(np.float64), actual.astype(np.float64)
    gap = gaps(a, b)
    size = np.where(np.isfinite(a), np.abs(a), 0)
    excess = gap - tolerance.rtol * size
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(excess)), a.shape))
    relative = gap / np.maximum(size, 1e-2)
    return Difference(
        bool(excess.max() <= tolerance.atol),
        float(gap.max()),
        float(relative.max()),
        index,
        float(a[index]),
        float(b[index]),
    )


def gaps(a: Array, b: Array) -> Array:
    """|a - b| by element: a NaN equals a NaN and an infinity itself; anything else against them is infinitely far."""
    with np.errstate(invalid="ignore"):
        gap = np.abs(a.astype(np.float64) - b.astype(np.float64))
    gap[(a == b) | (np.isnan(a) & np.isnan(b))] = 0
    gap[np.isnan(gap)] = np.inf
    return gap


# -- one site, at its cut points ------------------------------------------------------------------


def check_site(
    graph: Graph,
    site: Site,
    lowering: Lowering,
    *,
    tolerance: Tolerance | None = None,
    seed: int = 0,
    picks: Sequence[Layout] = PICKS,
    shapes: Sequence[Mapping[str, Sequence[int]]] = (),
) -> Comparison:
    """Compare a site's cone with what a lowering writes for it; the graph is not changed.

    Both run from the image and the coordinates (the grid, else x and y) to the site's output, over several
    sizes where dims are dynamic.

    Args:
        graph: The graph that the site was found in.
        site: The site.
        lowering: A lowering that does not refuse the site.
        tolerance: What may differ; by default what the lowering says.
        seed: Seed of the inputs.
        picks: Sizes to use where dims are dynamic.
        shapes: Shapes of every tensor, at each of several sizes that fit together; used instead of `picks`.
    """
    try:
        cone = cone_of(graph, site)
        lowered = lowered_cone(cone, site, lowering)
    except NotRunnableError as reason:
        return Comparison("not-run", seed=seed, worst=str(reason))
    needed = {view.tensor for view in (site.image, *site.coordinate_views)}
    fitting = [known for known in shapes if needed <= set(known)]
    layouts = [layout_at(site, known) for known in fitting] or layouts_of(site, picks)
    runs = site_runs(cone, site, layouts, seed, fitting)
    return compare_runs(cone, lowered, runs, tolerance or _at_precision(lowering.tolerance, site.dtype), seed, site)


def _at_precision(tolerance: Tolerance, dtype: str) -> Tolerance:
    """The same number of roundings in a coarser type."""
    scale = float(np.finfo(dtype).eps / np.finfo(np.float32).eps) if dtype == "float16" else 1.0
    return replace(tolerance, rtol=scale * tolerance.rtol, atol=scale * tolerance.atol)


class NotRunnableError(Exception):
    """A check cannot be made; the message says why."""


def cone_of(graph: Graph, site: Site) -> ModelProto:
    """A model of the site's cone alone, from its cut points to its output.

    Raises:
        NotRunnableError: The cone reads something else whose shape or type is not known.
    """
    tensors = graph.tensors()
    cuts = {site.image.tensor, *coordinates_of([site])}
    views = (site.image, site.x, site.y, site.grid, site.mask)
    wanted = [tensors[name] for name in (site.output, *(v.tensor for v in views if v is not None))]
    nodes, leaves = _slice(wanted, cuts)
    for leaf in leaves:
        if leaf.dtype is None or leaf.shape is None:
            raise NotRunnableError(f"the type or rank of '{leaf.name}' is not known")
    inner = gs.Graph(nodes=nodes, inputs=leaves, outputs=[tensors[site.output]], opset=graph.opset, name=site.id)
    inner.functions = graph.gs.functions
    return Graph(inner, graph.envelope, graph.folder).to_proto()


def _slice(wanted: Sequence[gs.Tensor], cuts: set[str]) -> tuple[list[gs.Node], list[gs.Tensor]]:
    """The nodes between the cuts and the wanted tensors, and the tensors that they start from."""
    nodes: dict[int, gs.Node] = {}
    leaves: dict[str, gs.Tensor] = {}
    todo = list(wanted)
    while todo:
        tensor = todo.pop()
        if not tensor.name or isinstance(tensor, gs.Constant):
            continue
        if (tensor.name in cuts and constant_value(tensor) is None) or not tensor.inputs:
            leaves[tensor.name] = tensor
            continue
        for node in tensor.inputs:
            if id(node) not in nodes:
                nodes[id(node)] = node
                todo += [*node.inputs, *_read_from_outside(node)]
    return list(nodes.values()), list(leaves.values())


def _read_from_outside(node: gs.Node) -> list[gs.Tensor]:
    found = list(captured(node))
    made = {id(t) for t in found for p in t.inputs if not any(p is n for n in t.inputs)}
    return [t for t in found if t.inputs and id(t) not in made]


def lowered_cone(cone: ModelProto, site: Site, lowering: Lowering) -> ModelProto:
    """The same part of the model with the site written by a lowering."""
    graph = Graph.from_proto(cone)
    builder = Builder(graph, site.id)
    result = emit_output(builder, site, lowering.emit(builder, site))
    graph.replace_all_uses(graph.tensor(site.output), result)
    graph.remove_dead()
    return graph.to_proto()


# -- the whole model ------------------------------------------------------------------------------


def check_model(
    original: Model,
    result: Model,
    *,
    tolerance: Tolerance = DEFAULT,
    sites: Sequence[Site] = (),
    inputs: Mapping[str, Array] | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    fitting: Sequence[Mapping[str, Sequence[int]]] = (),
    seed: int = 0,
) -> Comparison:
    """Compare two models of the same inputs and outputs.

    Inputs that hold a site's coordinates are aimed at the borders of its image. So are, roughly, other float
    inputs from which a Floor or a sampler is reached by arithmetic alone: they get pixels and normalised
    coordinates of every size in the model. The rest is unit-normal.

    Args:
        original: The reference: a proto, a Graph or a path.
        result: What is checked.
        tolerance: What may differ.
        sites: Sites of the original, for aiming.
        inputs: The user's own inputs; nothing else is run then.
        shapes: Shapes of inputs, for those that have dynamic dims; several sizes are tried without.
        fitting: Sets of shapes, by tensor, that are known to fit together; tried where `shapes` is not given.
        seed: Seed of the inputs.
    """
    before, folder = _proto_of(original)
    after, result_folder = _proto_of(result)
    if inputs is not None:
        runs: Iterator[Run] = iter([Run(dict(inputs))])
    else:
        runs = model_runs(before, {n: a for n, a in coordinates_of(sites).items()}, shapes or {}, seed, fitting)
    return compare_runs(before, after, runs, tolerance, seed, None, folder, result_folder)


def _proto_of(model: Model) -> tuple[ModelProto, Path | None]:
    if isinstance(model, ModelProto):
        return model, None
    if isinstance(model, Graph):
        return model.to_proto(), model.folder
    path = Path(model)
    return onnx.load(path, load_external_data=False), path.parent


# -- running --------------------------------------------------------------------------------------


def compare_runs(
    before: ModelProto,
    after: ModelProto,
    runs: Iterator[Run],
    tolerance: Tolerance,
    seed: int,
    site: Site | None,
    folder: Path | None = None,
    result_folder: Path | None = None,
) -> Comparison:
    """Run both over all inputs; a result that does not run where the original does is a mismatch."""
    seen = Comparison("not-run", seed=seed, worst="no inputs were tried")
    try:
        reference = _session(before, folder, optimise=False)
    except Exception as reason:  # onnxruntime's errors have no other base
        return replace(seen, worst=f"onnxruntime does not load the original: {_line(reason)}")
    try:
        checked = _session(after, result_folder, optimise=True)
    except Exception as reason:
        return replace(
            seen, status="mismatch", max_abs=float("inf"), worst=f"the result does not load: {_line(reason)}"
        )
    sessions = _Sessions(reference, checked, before, folder)
    for run in runs:
        seen = _add_run(seen, sessions, run, tolerance, site)
    return seen


@dataclass
class _Sessions:
    """The original without graph optimisations, the result with them."""

    reference: Any
    checked: Any
    before: ModelProto
    folder: Path | None

    @cached_property
    def optimised(self) -> Any:
        """The original with graph optimisations; made only when it is needed."""
        return _session(self.before, self.folder, optimise=True)


def _add_run(seen: Comparison, sessions: _Sessions, run: Run, tolerance: Tolerance, site: Site | None) -> Comparison:
    reference, checked = sessions.reference, sessions.checked
    try:
        expected = reference.run(None, dict(run.feeds))
    except Exception as reason:
        if seen.status == "not-run":
            return replace(seen, worst=f"the original does not run at {_shapes(run)}: {_line(reason)}")
        return seen
    names = [output.name for output in reference.get_outputs()]
    shapes = (*seen.shapes, tuple(value.shape for value in run.feeds.values()))
    seen = replace(seen, shapes=tuple(dict.fromkeys(shapes)), status="ok" if seen.status == "not-run" else seen.status)
    try:
        actual = checked.run(names, dict(run.feeds))
    except Exception as reason:
        return replace(seen, status="mismatch", max_abs=float("inf"), worst=f"the result does not run: {_line(reason)}")
    for name, a, b in zip(names, expected, actual, strict=True):
        found = compare(np.asarray(a), np.asarray(b), tolerance)
        if not found.within:
            same = sessions.optimised.run([name], dict(run.feeds))[0]
            found = min(found, compare(np.asarray(same), np.asarray(b), tolerance), key=_badness)
        seen = _add_difference(seen, name, found, run, site)
        seen = _add_points(seen, np.asarray(a), np.asarray(b), run, site)
    return seen


def _badness(found: Difference) -> tuple[bool, float]:
    return not found.within, found.max_abs


def _add_points(seen: Comparison, a: Array, b: Array, run: Run, site: Site | None) -> Comparison:
    found = None if site is None or a.shape != b.shape else points_of(site, run, gaps(a, b))
    return seen if found is None else replace(seen, points=(*seen.points, found))


def _add_difference(seen: Comparison, name: str, found: Difference, run: Run, site: Site | None) -> Comparison:
    worse = found.max_abs > seen.max_abs or (not found.within and seen.status == "ok")
    return replace(
        seen,
        status=seen.status if found.within else "mismatch",
        max_abs=max(seen.max_abs, found.max_abs),
        max_rel=max(seen.max_rel, found.max_rel),
        worst=_where(name, found, run, site) if worse else seen.worst,
    )


def _where(name: str, found: Difference, run: Run, site: Site | None) -> str:
    if not found.index and np.isinf(found.max_abs):
        return f"'{name}' has another shape or type"
    values = f"{found.actual:.6g} instead of {found.expected:.6g}"
    if site is None or run.x is None or run.y is None:
        return f"'{name}'[{', '.join(map(str, found.index))}] is {values}"
    n, i, j = _point(site, found.index, run)
    x, y = float(run.x[n, i, j]), float(run.y[n, i, j])
    return f"{values} at {describe(x, run.image[1], 'x')}, {describe(y, run.image[0], 'y')}"


def _point(site: Site, index: Sequence[int], run: Run) -> tuple[int, int, int]:
    """The canonical point (n, i, j) that an element of the site's output belongs to."""
    assert run.x is not None
    places = []
    for group, size in zip((site.output_groups[0], *site.output_groups[2:]), run.x.shape, strict=True):
        place = 0 if len(group) != 1 else index[group[0]]
        places.append(min(place, size - 1))
    return places[0], places[1], places[2]


def _session(model: ModelProto, folder: Path | None, optimise: bool) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.log_severity_level = 4
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if folder is not None:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _line(reason: Exception) -> str:
    return " ".join(str(reason).split())[:300]


def _shapes(run: Run) -> str:
    return ", ".join(f"{name} {'x'.join(map(str, value.shape))}" for name, value in run.feeds.items())
