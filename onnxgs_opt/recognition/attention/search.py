"""Above the samplers of one graph: which of them are the levels of deformable attention, proven by value.

Every element on the way is traced: which sample each weight meets, where the samples are and which pixels they read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from onnxgs_opt.diagnostics import Remark
from onnxgs_opt.ir import Node
from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.ir.operators import operator
from onnxgs_opt.recognition.attention.proof import FLOATS, proven
from onnxgs_opt.recognition.attention.ways import Way, ways_of
from onnxgs_opt.recognition.attentions import RULE
from onnxgs_opt.recognition.composite_sizes import Composites, CompositeSizes, of_all
from onnxgs_opt.recognition.fixed_values import FixedValues
from onnxgs_opt.recognition.lifting.dynamic_dims import SizeSets
from onnxgs_opt.recognition.lifting.shape_functions import float_types
from onnxgs_opt.recognition.lifting.symbolic_sizes import of_claim
from onnxgs_opt.recognition.linear_form import NoForm
from onnxgs_opt.recognition.traced import check_apart
from onnxgs_opt.samplers.attention import AttentionSite, Source
from onnxgs_opt.samplers.policy import Policy
from onnxgs_opt.samplers.site import Site

CODE = "GSO118"
"""The code of weighted samples of several images whose sum is no deformable attention."""


def find_attentions(scope: Scope, sites: Sequence[Site], sets: SizeSets) -> Composites[AttentionSite]:
    """The deformable attention whose samplers are among `sites`; `sets` are the sizes of the graph."""
    found: list[AttentionSite] = []
    reasons: dict[frozenset[int], Remark] = {}
    claimed: set[int] = set()
    sizes = CompositeSizes(scope, sets)
    for way in ways_of(scope, sites):
        if not claimed.isdisjoint(way.samplers):
            continue
        try:
            found.append(_site(scope, sizes, [sites[k] for k in way.samplers], way))
        except NoForm as reason:
            why = Remark(CODE, scope.producer[way.output][0].name, str(reason))
            if way.folds and len(way.samplers) > 1:  # frames that are blended are nothing that lacks something
                reasons.setdefault(frozenset(way.samplers), why)
            continue
        claimed |= set(way.samplers)
    misses = [
        why for own, why in reasons.items() if claimed.isdisjoint(own) and not any(own < more for more in reasons)
    ]
    return Composites(tuple(found[::-1]), tuple(misses[::-1]))


def _site(scope: Scope, sizes: CompositeSizes, sites: Sequence[Site], way: Way) -> AttentionSite:
    """The site of a way whose samplers are `sites`; NoForm where it is none."""
    seen = [proven(scope, FixedValues(scope, facts), sites, way) for facts in sizes.near()]
    if len({found.sizes[2] for found in seen}) > 1:  # an axis of a dynamic size alone: of one head, it is of items
        seen = [proven(scope, FixedValues(scope, facts), sites, way, heads=1) for facts in sizes.near()]
    found = seen[0]
    if any(replace(other, sizes=found.sizes, levels=found.levels, points=found.points) != found for other in seen):
        raise NoForm("what it computes changes with the dynamic sizes")
    static = of_all(other.sizes for other in seen)
    if None in (static[2], static[3]) or any(other.points != found.points for other in seen):
        raise NoForm("how many heads, channels or points there are is dynamic")
    check_apart(scope, way.output, {site.output for site in sites}, found.operands)
    cone = of_claim(scope, way.output, found.operands)
    facts = sizes.sets.facts(0)
    types = float_types([facts[name] for name in found.operands], cone, facts)
    if others := [name for name in types if name not in FLOATS]:
        raise NoForm(f"it computes in {' and '.join(others)}, not in {' or '.join(FLOATS)} alone")
    samplers = tuple(sites[k] for k in found.samplers)
    domain = sizes.domain(way.output, found.value, [found.locations, found.weights], samplers)
    levels = tuple(_level(own) for own in zip(*(other.levels for other in seen), strict=True))
    return AttentionSite(
        id="",
        rule=RULE,
        output=way.output,
        reads=tuple(dict.fromkeys(read for site in samplers for read in site.reads)),
        read_op=samplers[0].read_op,
        dtype=float_types([facts[view.tensor] for view in (found.value, found.weights)], (), facts)[-1],
        types=types,
        policy=Policy(),
        kernels=samplers[0].kernels,
        coordinates="unit",
        align_corners=False,
        layout="NSHD",
        domain=domain,
        samplers=samplers,
        value=found.value,
        locations=found.locations,
        weights=found.weights,
        points=found.points,
        levels=levels,
        sources=tuple(_sources(sizes, cone, *own) for own in zip(samplers, levels, strict=True)),
        output_groups=found.output_groups,
        sizes=static,
        cone=tuple(node.name for node in cone),
    )


def _level(sets: Iterable[tuple[int, int]]) -> tuple[int | None, int | None]:
    """Rows and columns of a level that has these at several sets of sizes."""
    height, width = of_all(sets)
    return height, width


def _sources(
    sizes: CompositeSizes, cone: Sequence[Node], site: Site, level: tuple[int | None, int | None]
) -> tuple[Source | None, Source | None]:
    """Where the dynamic sizes of a level stand: axes of tensors, not made in the cone, whose shape it asks for."""
    if None not in level:
        return None, None
    made = {t.name for node in cone for t in node.outputs}
    asked = [node.inputs[0].name for node in cone if operator(node) == "Shape"]
    outside = [name for name in dict.fromkeys(asked) if name not in made]
    dims = sizes.every.dims(site.image.tensor)
    found: list[Source | None] = []
    for size, group in zip(level, site.image.groups[2:], strict=True):
        if size is not None:
            found.append(None)
            continue
        wanted = dims[group[0]] if dims is not None and len(group) == 1 and site.image.split is None else None
        axes = (
            (name, axis) for name in outside for axis, dim in enumerate(sizes.every.dims(name) or ()) if dim == wanted
        )
        source = next(axes, None)
        if wanted is None or source is None:
            raise NoForm("the sizes of its levels are dynamic, and no tensor has them")
        found.append(source)
    return found[0], found[1]
