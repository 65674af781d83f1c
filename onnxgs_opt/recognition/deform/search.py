"""Above the samplers of one graph: which of them are the points of a deformable convolution, proven by value.

Every element on the way is traced: which offset, mask and pixel the contraction weighs with which weight. The numbers
that are added to the offsets say where the points of the kernel stand.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import replace
from math import sqrt

import numpy as np

from onnxgs_opt.diagnostics import Remark
from onnxgs_opt.ir import Node
from onnxgs_opt.ir.constants import constant_value
from onnxgs_opt.ir.def_use import Scope
from onnxgs_opt.ir.operators import PRODUCTS, operator
from onnxgs_opt.recognition.composite_sizes import Composites, CompositeSizes, of_all
from onnxgs_opt.recognition.deform.proof import Found, Way, proven
from onnxgs_opt.recognition.deform_conv import RULE
from onnxgs_opt.recognition.fixed_values import FixedValues
from onnxgs_opt.recognition.lifting.dynamic_dims import SizeSets
from onnxgs_opt.recognition.lifting.shape_functions import UNKNOWN
from onnxgs_opt.recognition.lifting.symbolic_sizes import of_claim
from onnxgs_opt.recognition.linear_form import NoForm
from onnxgs_opt.recognition.traced import LAYOUT
from onnxgs_opt.samplers.deform import DeformSite
from onnxgs_opt.samplers.policy import Policy
from onnxgs_opt.samplers.site import BILINEAR, Site

CODE = "GSO117"
"""The code of what weighs the samples of several points and is no deformable convolution."""

MOST_NODES = 1024
"""Nodes between the samples and what weighs them: a mask may be put together of as many parts as there are channels."""


def find_deform_convs(scope: Scope, sites: Iterable[Site], sets: SizeSets) -> Composites[DeformSite]:
    """The deformable convolutions whose samplers are among `sites`; `sets` are the sizes of the graph."""
    found: list[DeformSite] = []
    misses: list[Remark] = []
    sizes = CompositeSizes(scope, sets)
    for site in sites:
        way = way_of(scope, site)
        if way is None:
            continue
        try:
            made = _site(scope, sizes, site, way)
        except NoForm as reason:
            misses += [Remark(CODE, way.node.name, str(reason))] if way.is_folded else []
            continue
        found += [] if made is None else [made]
    return Composites(tuple(found), tuple(misses))


def way_of(scope: Scope, site: Site) -> Way | None:
    """From a sampler's result to the one node that weighs it, through layout and at most one mask; None of others.

    The sampler may have the mask itself: a factor of the weights of its taps.
    """
    if site.kernels != BILINEAR or not site.affine.only_scales or site.policy.fill or site.policy.mirrored:
        return None
    carried = {site.output}
    pending = [_entry(scope, node) for node in scope.consumers.get(site.output, ())]
    heapq.heapify(pending)
    seen: set[int] = set()
    masks: list[tuple[Node, str]] = []
    while pending and len(seen) < MOST_NODES:
        _, key, node = heapq.heappop(pending)
        if key in seen:
            continue
        seen.add(key)
        inputs = [t.name for t in node.inputs]
        own = [name for name in dict.fromkeys(inputs) if name in carried]
        if operator(node) == "Shape":
            continue
        if operator(node) in PRODUCTS:
            masked = len(masks) + len(site.affine.factors)
            alone = not pending and len(own) == 1 and masked < 2 and not carried & scope.outputs
            return Way(node, own[0], *masks[0] if masks else ()) if alone else None
        if operator(node) == "Mul" and [name in carried for name in inputs].count(True) == 1:
            masks.append((node, own[0]))
        elif operator(node) not in LAYOUT or not set(inputs[:1]) <= carried:
            return None
        carried |= {t.name for t in node.outputs}
        for name in (t.name for t in node.outputs):
            for consumer in scope.consumers.get(name, ()):
                heapq.heappush(pending, _entry(scope, consumer))
    return None


def _entry(scope: Scope, node: Node) -> tuple[int, int, Node]:
    return scope.order[node.outputs[0].name], id(node), node


def _site(scope: Scope, sizes: CompositeSizes, site: Site, way: Way) -> DeformSite | None:
    """The site of a way, None of one point, whose samples are merely weighted; NoForm where it is none."""
    seen = [proven(scope, FixedValues(scope, facts), site, way) for facts in sizes.facts(site.image)]
    found = seen[0]
    if found is None:
        return None
    if any(other is None or replace(other, sizes=found.sizes) != found for other in seen[1:]):
        raise NoForm("what it computes changes with the dynamic sizes")
    static = of_all(other.sizes for other in seen if other is not None)
    if static[1] is None or static[4] is None:
        raise NoForm("how many channels there are is dynamic")
    operands, output = found.operands, way.node.outputs[0].name
    floats = {str(sizes.sets.facts(0).get(name, UNKNOWN).dtype) for name in operands}
    if floats != {"float32"}:
        raise NoForm(f"it computes in {' and '.join(sorted(floats))}, which no DeformConv does")
    return DeformSite(
        id="",
        rule=RULE,
        output=output,
        reads=site.reads,
        read_op=site.read_op,
        dtype=site.dtype,
        policy=Policy(),
        kernels=site.kernels,
        coordinates="pixel",
        layout="NCHW",
        domain=sizes.domain(output, found.image, [operand.view for operand in found.beside], [site]),
        sampler=site,
        geometry=found.geometry,
        image=found.image,
        offsets=found.offsets,
        mask=found.mask,
        weights=found.weights,
        output_groups=found.output_groups,
        sizes=static,
        norm=_norm(scope, found),
        cone=tuple(node.name for node in of_claim(scope, output, operands)),
    )


def _norm(scope: Scope, found: Found) -> float:
    """The largest norm of the weights of an output channel; that of unit-normal ones where the file has none."""
    own = found.weights
    value = constant_value(scope.tensors[own.tensor])
    if value is None:
        return sqrt(found.sizes[1] // found.geometry.groups * found.geometry.points)
    rows = value.transpose(own.perm).reshape(value.shape[own.perm[0]], -1).astype(np.float64)
    return float(np.sqrt((rows**2).sum(1)).max(initial=0.0))
