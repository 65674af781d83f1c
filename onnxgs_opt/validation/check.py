"""Check a rewrite on inputs that find wrong samplers: one site alone, and the whole model."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx
from onnx import ModelProto

from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.ir.graph import Graph
from onnxgs_opt.lowering import Lowering, Tolerance, tolerance_of
from onnxgs_opt.runtime import Runtime
from onnxgs_opt.samplers.site import Site
from onnxgs_opt.samplers.view import Layout
from onnxgs_opt.validation.boundary_values import layout_at, layouts_of
from onnxgs_opt.validation.compare import Comparison, compare_runs
from onnxgs_opt.validation.extract import cone_of, lowered_cone
from onnxgs_opt.validation.form import form_of
from onnxgs_opt.validation.inputs import ModelInputs, Run, site_runs
from onnxgs_opt.validation.layouts import EDGES, OWN, PICKS, own_layouts
from onnxgs_opt.validation.moved import Moved
from onnxgs_opt.validation.original import Original
from onnxgs_opt.validation.readable import readable

Model = ModelProto | Graph | str | Path
DEFAULT = Tolerance(rtol=1e-5, atol=1e-5, reason="what differs is behind other layers, which scale it")
AIMLESS = ModelInputs()
"""Inputs of a model whose sites are not known."""


@dataclass(frozen=True)
class SiteCheck:
    """What the checks of a site's lowerings share: its exported cone, the inputs, and the cone's outputs for them.

    `seen` are the inputs that were made so far, `rest` makes the others. `form` is equal for sites of which each check
    shows the same. `untried`: the image has sizes that are free, and none of 0 or 1 could be laid out, as where they
    follow from other sizes.
    """

    site: Site
    cone: Original
    seed: int
    rest: Iterator[Run]
    seen: list[Run] = field(default_factory=list)
    form: Hashable | None = None
    untried: bool = False

    @classmethod
    def of(
        cls,
        graph: Graph,
        site: Site,
        seed: int = 0,
        picks: Sequence[Layout] = (*PICKS, *OWN),
        shapes: Sequence[Mapping[str, Sequence[int]]] = (),
        custom_ops: Sequence[str] = (),
        scopes: dict[str, Scope] | None = None,
    ) -> SiteCheck:
        """Prepare the checks of a site; the graph is not changed.

        The cone and what lowerings write run from the image and the coordinates (the grid, else x and y) to the site's
        output, over several sizes where dims are dynamic.

        Args:
            graph: The graph that the site was found in.
            site: The site.
            seed: Seed of the inputs.
            picks: Sizes to use where dims are dynamic.
            shapes: Shapes of every tensor, at each of several sizes that fit together; used instead of `picks`.
            custom_ops: Libraries of operators that onnxruntime lacks.
            scopes: Those of the graph and its bodies that were made before, by path.

        Raises:
            NotRunnableError: The cone reads something else whose shape or type is not known.
        """
        cone = cone_of(graph, site, scopes)
        needed = {view.tensor for view in (site.image, *site.coordinate_views)}
        fitting = [known for known in shapes if needed <= set(known)]
        layouts = [layout_at(site, known) for known in fitting] or layouts_of(site, picks)
        analysed = layouts if fitting else ()
        own, beyond = (tuple(own_layouts(graph, cone, analysed, picks)) for picks in (OWN, EDGES))
        form = form_of(cone, site, fitting, (tuple(layouts), own, beyond, seed, tuple(custom_ops)))
        runs = site_runs(cone, site, layouts, seed, fitting, own, beyond)
        untried = not beyond and None in site.image_size
        return cls(site, Original(cone, custom_ops=custom_ops, keeps=True), seed, runs, form=form, untried=untried)

    def compare(
        self,
        lowering: Lowering,
        tolerance: Callable[[Tolerance], Tolerance] = lambda own: own,
        runtime: Runtime | None = None,
    ) -> Comparison:
        """Compare the cone with what a lowering that does not refuse the site writes for it.

        That runs in `runtime` or onnxruntime on a CPU. `tolerance` is what may differ where the lowering says so much
        of itself at the image's size.
        """

        def allowed(run: Run) -> Tolerance:
            return tolerance(tolerance_of(lowering, replace(self.site, image_size=run.image)))

        lowered = lowered_cone(self.cone.model, self.site, lowering)
        seen = compare_runs(self.cone.on(runtime), lowered, self._runs(), allowed, self.seed, self.site)
        return replace(seen, untried=self.untried)

    def _runs(self) -> Iterator[Run]:
        yield from self.seen
        for run in self.rest:
            self.seen.append(run)
            yield run


def check_model(
    original: Model,
    result: Model,
    inputs: ModelInputs = AIMLESS,
    tolerance: Tolerance = DEFAULT,
    custom_ops: Sequence[str] = (),
    moved: Mapping[str, Moved] | None = None,
    runtime: Runtime | None = None,
) -> Comparison:
    """Compare two models of the same inputs and outputs.

    Inputs that hold a site's coordinates are aimed at the borders of its image. So are, roughly, other float
    inputs from which a Floor or a sampler is reached by arithmetic alone: they get pixels and normalised
    coordinates of every size in the model. The rest is unit-normal.

    Args:
        original: The reference: a proto, a Graph or a path.
        result: What is checked.
        inputs: What both are run on.
        tolerance: What may differ.
        custom_ops: Libraries of operators that onnxruntime lacks.
        runtime: Where the result runs; onnxruntime on a CPU, as the original does, where it is None.
        moved: By how much tensors inside may be off, by name; what follows may carry that further.
    """
    before, folder = proto_and_folder(original)
    after, result_folder = proto_and_folder(result)
    reference = Original(before, folder, custom_ops, moved=moved or {}, runtime=runtime)
    return compare_runs(reference, after, inputs.runs(before), tolerance, inputs.seed, None, result_folder)


def proto_and_folder(model: Model) -> tuple[ModelProto, Path | None]:
    """The model with inputs and outputs that can be compared, and the folder of its external weights, if it has any."""
    if isinstance(model, ModelProto):
        return readable(model), None
    if isinstance(model, Graph):
        return readable(model.to_proto()), model.folder
    path = Path(model)
    return readable(onnx.load(path, load_external_data=False)), path.parent
